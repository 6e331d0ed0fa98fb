#pragma once

/*
 * What the parts of the engine share: engine.c takes facts in and works them off, engine_profile.c
 * decides for one profile, engine_removal.c for one that is to go, engine_node.c for one node.
 */

#include "controller/engine.h"

/* A kernel feature set whose text is known. Never forgotten: builds point to it. */
struct features_known {
	char hash[SHA256_HEX];
	char *text;
};

struct engine {
	const struct engine_ops *ops;
	void *data;
	char *compiler_id;
	char **builtin;
	size_t n_builtin;

	bool started;
	bool fresh; /* something was marked since the last run */
	bool uninstalling;
	int64_t start_ms;
	int64_t now_ms;   /* of the latest fact or run */
	int64_t sweep_ms; /* when to look for agents that went away */

	struct map profiles; /* metadata.name -> struct aap */
	struct map holders;  /* effective name -> struct aap that holds it */
	struct map nodes;    /* name -> struct node */
	struct map features; /* hash -> struct features_known */
	struct map sets;     /* key -> struct set_body */
	struct list dirty_profiles;
	struct list dirty_nodes;
};

/* engine.c */
void engine_mark_profile(struct engine *e, struct aap *aap); /* its status may be another */
void engine_mark_step(struct engine *e, struct aap *aap);    /* all of it has to be looked at */
void engine_mark_node(struct engine *e, struct node *node);
const char *engine_features_text(const struct engine *e, const char *hash);
void engine_know_features(struct engine *e, const char *text);
struct aap *engine_holder(const struct engine *e, const char *name);

/* Which profile holds a name, looked up among all; old and new holder and those in conflict are
 * marked. */
void engine_elect(struct engine *e, const char *name);

/* engine_profile.c */
void engine_profile_free(struct aap *aap);
int64_t engine_profile_step(struct engine *e, struct aap *aap);
void engine_revision_free(struct revision *rev);
/* Our finalizer on, or off, unless that is so or asked for. Returns when to try again. */
int64_t engine_finalizer_step(struct engine *e, struct aap *aap, bool present);
struct build *engine_build(const struct revision *rev, const char *features);
/* Spec was read anew: which revision does it ask for? */
void engine_profile_want(struct engine *e, struct aap *aap);

/* engine_removal.c: one step of a deletion; returns when to look again. */
int64_t engine_removal_step(struct engine *e, struct aap *aap);
/* What a deletion or a disabled profile waits for, in words that name nodes and pods; "" for
 * nothing. The caller frees it. */
char *engine_removal_why(struct engine *e, const struct aap *aap);
/* A report came: what was noted as pending and is gone there is noted no more. */
void engine_removals_settle(struct engine *e, struct node *node);

/* engine_node.c */
void engine_node_free(struct engine *e, struct node *node);
void engine_node_step(struct engine *e, struct node *node);
int64_t engine_nodes_sweep(struct engine *e);
const struct sync_status *engine_report_of(const struct node *node, const char *name);

/* engine_place.c */
struct placement *engine_place(struct engine *e, struct aap *aap, struct node *node);
void engine_unplace(struct engine *e, struct placement *p);
struct placement_state engine_judge(const struct placement *p);
/* Judge again, keep the sums, mark profile and node where it matters. A placement of which nothing
 * is left is taken away. */
void engine_place_again(struct engine *e, struct placement *p);
void engine_select(struct engine *e, struct aap *aap);

/* engine_status.c */
struct json_object *engine_status_of(struct engine *e, const struct aap *aap, size_t max_nodes,
				     int64_t now_ms);
bool engine_is_complete(const struct aap *aap);
