#pragma once

/*
 * What `kubectl hauberk status` makes of AppArmorProfile objects. Pure.
 */

#include "base/js.h"
#include "cli/table.h"

#include <stdbool.h>

/* What one word and one sentence say of a profile. */
struct status_view {
	bool ready;
	const char *state;    /* Ready, NotReady, Deleting, Unknown */
	const char *nodes;    /* "3/4"; NULL: not known */
	const char *revision; /* NULL: none */
	const char *reason;   /* NULL: none */
	char *message;        /* the caller frees it; "" where all is well */
};

/* Borrows from `aap`. Ready only where the controller has seen the newest change. */
void status_view(struct json_object *aap, struct status_view *ret);

/* The table, without rows. */
void status_table_init(struct table *t);

/* A row for the profile, one for each node that its status lists, and one that counts the others.
 */
void status_table_add(struct table *t, struct json_object *aap);

/* The same for programs; the caller owns it. */
struct json_object *status_json(struct json_object *aap);
