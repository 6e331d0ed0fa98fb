#pragma once

/*
 * The former revisions of a profile, from the ControllerRevisions that the controller keeps. Pure.
 */

#include "base/err.h"
#include "base/js.h"
#include "cli/table.h"

#include <stddef.h>
#include <stdint.h>

#define REVISIONS_PATH "/apis/apps/v1/namespaces/%s/controllerrevisions"
#define REVISIONS_UID_LABEL "hauberk.dev/profile-uid"

struct revision_seen {
	int64_t number; /* grows each time that it becomes the newest */
	const char *id;
	const char *mode;
	const char *policy;
	int64_t created_ms;
	struct json_object *obj;
};

/* By number, the oldest first. */
struct revisions {
	struct revision_seen *all;
	size_t n;
};

/* Take a ControllerRevision in; a reference is kept. One that holds no policy is passed over. */
void revisions_add(struct revisions *r, struct json_object *obj);
void revisions_sort(struct revisions *r);
void revisions_clear(struct revisions *r);

/* By number or id; -ENOENT with a sentence. */
int revisions_find(const struct revisions *r, const char *word, const struct revision_seen **ret,
		   struct err *err);

/* What undo goes back to where nobody says: the newest that is not what spec asks for. */
int revisions_former(const struct revisions *r, struct json_object *aap,
		     const struct revision_seen **ret, struct err *err);

/* True where spec asks for just this. */
bool revision_is_asked_for(const struct revision_seen *rev, struct json_object *aap);

/* The merge patch that makes spec ask for `rev`, valid for the object as it was read, and takes off
 * what annotations say of it from an earlier time. The caller owns it. */
struct json_object *revision_patch(const struct revision_seen *rev, struct json_object *aap);

/* How many of `nodes`, {holds} each, hold it. */
int64_t revision_count(const struct revision_seen *rev, struct json_object *nodes, const char *key);

/* A row each: REVISION ID MODE AGE NODES WHAT. `nodes` NULL: not known. `key` names the field in
 * which each node says what it holds. */
void revisions_table(const struct revisions *r, struct json_object *aap, struct json_object *nodes,
		     const char *key, int64_t now_ms, struct table *t);

/* "3d4h", as kubectl shows ages. `out` has 16 bytes. */
void revision_age(int64_t ms, char out[16]);
