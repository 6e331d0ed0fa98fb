#pragma once

/*
 * What `kubectl hauberk rollout` does in a cluster; rollout_seen.h and rollout_order.h say what it
 * decides.
 */

#include "cli/cluster.h"
#include "cli/revisions.h"
#include "cli/rollout_order.h"
#include "cli/rollout_seen.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Write what a verb asks for; a change in between is read and decided upon again. *ret_said is the
 * caller's. */
int rollout_steer(struct cluster *cluster, const struct rollout_verb *verb, const char *name,
		  char **ret_said, struct err *err);

/* The revisions that are kept of a profile. The caller clears *ret. */
int rollout_revisions(struct cluster *cluster, const char *namespace_, struct json_object *aap,
		      struct revisions *ret, struct err *err);

/* Make spec ask for a former revision: `to` is a number or an id, NULL the one before. */
int rollout_undo(struct cluster *cluster, const char *namespace_, const char *name, const char *to,
		 char **ret_said, struct err *err);

struct rollout_follow_spec {
	const char *name;
	bool watch;         /* until it is complete or has failed */
	int64_t timeout_ms; /* 0: none */
	FILE *out;
	bool terminal; /* a bar that is drawn again in its place; else a line where something
			  changed */
};

/* Show a rollout. The verdict at the end; -ETIMEDOUT, or what the API server said, as an error.
 * `ret_why` is the caller's. */
int rollout_follow(struct cluster *cluster, const struct rollout_follow_spec *spec,
		   enum rollout_verdict *ret, char **ret_why, struct err *err);

/* "90", "90s", "5m", "1h30m"; false for anything else. */
bool rollout_duration(const char *text, int64_t *ret_ms);
