#pragma once

/*
 * What the parts of the engine share: engine.c takes facts in and works them off, engine_due.c
 * knows who waits for a time. engine_profile.c decides for one profile, engine_revision.c keeps its
 * revisions, engine_rollout.c brings one to the nodes, engine_removal.c takes it away.
 * engine_place.c keeps what one node is to one profile, engine_set.c what one node should hold of
 * all; engine_node.c has the nodes, engine_agent.c and engine_report.c what their agents say.
 * engine_status.c and engine_conditions.c say so.
 *
 * Costs, with N nodes and P profiles: a report O(P of that node + log N), a new node O(P), a turn
 * of the rollout O(1) and O(log N) for each node that is told, a new target O(N log N) once, a
 * status O(N) at most once a second and only where it may be written. Nothing walks all nodes or
 * all profiles because one of them changed.
 */

#include "controller/engine.h"

/* A kernel feature set whose text is known. Where there is no room for another one, one that is not
 * built in and that no node has is forgotten. */
struct features_known {
	char hash[SHA256_HEX];
	char *text;
	bool builtin;
	size_t n_nodes; /* that have it: their `kernel` points here */
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
	struct map reported; /* what agents say, by its hash: engine_report.c */
	struct map zones;    /* name -> itself, never forgotten: nodes point to it */
	struct aap **due;    /* a heap of those that wait for a time: engine_due.c */
	size_t n_due, room_due;
	bool holding_back; /* nodes wait for a leader that does not know everything yet */
	size_t n_awaited;  /* nodes whose agent, which was there once, has not been heard of */
	struct list dirty_profiles;
	struct list dirty_nodes;
};

/* engine.c */
void engine_mark_profile(struct engine *e, struct aap *aap); /* its status may be another */
void engine_mark_step(struct engine *e, struct aap *aap);    /* all of it has to be looked at */
void engine_mark_node(struct engine *e, struct node *node);
void engine_mark_deletions(struct engine *e); /* a node that one may wait for is another */
const char *engine_features_text(const struct engine *e, const char *hash);
void engine_know_features(struct engine *e, const char *text);
struct aap *engine_holder(const struct engine *e, const char *name);

/* Which profile holds a name, looked up among all; old and new holder and those in conflict are
 * marked. */
void engine_elect(struct engine *e, const char *name);

int64_t engine_min(int64_t a, int64_t b);

/* engine_due.c: the profiles that have to be looked at at a time, whatever happens. */
void engine_due_set(struct engine *e, struct aap *aap, int64_t due_ms); /* INT64_MAX: none */
int64_t engine_due_next(const struct engine *e);
struct aap *engine_due_pop(struct engine *e, int64_t now_ms); /* NULL: none is due */

/* engine_profile.c */
void engine_profile_free(struct aap *aap);
/* Looks at what is marked, and says when to look again: engine_due_set(). */
void engine_profile_step(struct engine *e, struct aap *aap);
/* Our finalizer on, or off, unless that is so or asked for. Returns when to try again. */
int64_t engine_finalizer_step(struct engine *e, struct aap *aap, bool present);
/* Spec was read anew: which revision does it ask for? */
void engine_profile_want(struct engine *e, struct aap *aap);
/* The target becomes another one. */
void engine_serve(struct engine *e, struct aap *aap, struct revision *rev);

/* engine_revision.c */
struct revision *engine_revision_find(const struct aap *aap, const char *id);
/* Of that text, kept; one that is there already is not made twice. */
struct revision *engine_revision_need(struct engine *e, struct aap *aap, const char *text,
				      size_t n_text, enum profile_mode mode);
/* Frees those that nobody needs any more. */
void engine_revisions_tidy(struct aap *aap);
void engine_revisions_free(struct aap *aap);
void engine_revision_take(struct revision **slot, struct revision *rev); /* counts references */
/* No node has this feature set any more. */
void engine_builds_forget(struct engine *e, const char *features);
struct build *engine_build(const struct revision *rev, const char *features);
bool engine_has_build(const struct revision *rev, const struct node *node); /* that succeeded */
/* Start what is missing of the builds of each revision. Returns when to try one again. */
int64_t engine_compile(struct engine *e, struct aap *aap);
/* This revision is to be read back, once: by the next engine_fetch_step(). */
void engine_fetch(struct aap *aap, const char *id);
bool engine_is_fetching(const struct aap *aap, const char *id);
/* Ask for what is to be read back. Returns when to try again. */
int64_t engine_fetch_step(struct engine *e, struct aap *aap);

/* engine_rollout.c */
void engine_rollout_init(struct aap *aap);
void engine_rollout_deinit(struct aap *aap);
/* What status says of it: read when the object is first seen, and anew when we begin to lead. */
void engine_rollout_recall(struct aap *aap);
/* The target is another one: every placement is judged anew. */
void engine_rollout_retarget(struct engine *e, struct aap *aap);
/* Plan, and tell nodes. */
void engine_rollout_step(struct engine *e, struct aap *aap);
/* A placement's share changed: counts, queues and lists follow. */
void engine_rollout_share(struct engine *e, struct placement *p, struct placement_share share);
void engine_rollout_forget(struct placement *p);
/* What its agent says that it was told, where we do not know ourselves. */
void engine_rollout_adopt(struct engine *e, struct placement *p);
/* The id of the revision that a node is to have until the target is complete; "" for none. */
const char *engine_current(const struct aap *aap);
struct json_object *engine_rollout_status(const struct aap *aap);

/* engine_removal.c: one step of a deletion; returns when to look again. */
int64_t engine_removal_step(struct engine *e, struct aap *aap);
/* What a deletion or a disabled profile waits for, in words that name nodes and pods; "" for
 * nothing. The caller frees it. */
char *engine_removal_why(struct engine *e, const struct aap *aap);
/* Nodes of which nobody knows what they hold, and that are not waited for. */
size_t engine_removal_dead(struct engine *e);
/* A report came: what was noted as pending and is gone there is noted no more. */
void engine_removals_settle(struct engine *e, struct node *node);
/* The list of pending removals as the API server holds it; true when it is another one than ours.
 * Takes `removals` over. */
bool engine_removals_take(struct node *node, struct pending_removal *removals, size_t n, bool add);
void engine_removals_free(struct pending_removal *removals, size_t n);

/* engine_node.c */
void engine_node_free(struct engine *e, struct node *node);
void engine_node_step(struct engine *e, struct node *node);
int64_t engine_nodes_sweep(struct engine *e);
/* Something is another about it that decides whether it may hold what nobody knows of: an agent was
 * there once and has said nothing since we lead. One that Kubernetes calls out of order is not
 * waited for. */
void engine_node_await(struct engine *e, struct node *node);
/* The time to hold back what a new leader does not know yet is over. */
void engine_nodes_release(struct engine *e);
/* It is the node's no more. */
void engine_drop_kernel(struct engine *e, struct node *node);
/* The report that we have was made by an agent that had the set as it is now. */
bool engine_has_set(const struct node *node);
bool engine_is_orphan(struct engine *e, const struct node *node, const struct sync_status *report);

/* engine_set.c */
bool engine_has_item(const struct placement *p);           /* its node's set says something of it */
bool engine_set_make(struct engine *e, struct node *node); /* true when it is another one */
/* There is none yet, and what it should say will be known soon. */
bool engine_set_is_early(struct engine *e, const struct node *node);
void engine_set_unref(struct engine *e, struct set_body *set);

/* engine_report.c: what agents say, each thing kept once. */
const struct sync_status *engine_report_of(const struct node *node, const char *name);
const struct sync_status *engine_report_find(const struct node_report *report, const char *name);
bool engine_is_same_status(const struct sync_status *a, const struct sync_status *b);
/* Takes the contents over; what stands in `before` too is found sooner. */
struct node_report engine_report_keep(struct engine *e, const struct node_report *before,
				      struct sync_report *report);
void engine_report_drop(struct engine *e, struct node_report *report);

/* engine_place.c */
struct placement *engine_place(struct engine *e, struct aap *aap, struct node *node);
void engine_unplace(struct engine *e, struct placement *p);
struct placement_state engine_judge(const struct placement *p);
/* What the node's agent says of it. NULL: nothing, or the name is another object's, of which it
 * speaks then. */
const struct sync_status *engine_place_report(const struct placement *p);
/* Judge again, keep the sums, mark profile and node where it matters. A placement of which nothing
 * is left is taken away. */
void engine_place_again(struct engine *e, struct placement *p);
/* What the node is told becomes another revision; NULL: nothing. */
void engine_tell(struct engine *e, struct placement *p, struct revision *rev);
/* Which nodes are chosen: all of them, or one, is looked at. */
void engine_select(struct engine *e, struct aap *aap);
void engine_select_node(struct engine *e, struct aap *aap, struct node *node);
void engine_place_builtin(struct engine *e, struct aap *aap); /* no node's kernel is known */
/* The node's kernel is another one, or has become known. */
void engine_place_kernel(struct engine *e, struct placement *p);

/* engine_conditions.c */
struct json_object *engine_conditions(struct engine *e, const struct aap *aap, const char *now);
/* The same without messages, and cheap: has a condition another status or reason than the API
 * server was told? */
bool engine_has_news(const struct aap *aap);
bool engine_is_moving(const struct aap *aap); /* what the news say will soon be out of date */
/* One more of those that a message may name; `n` came before it. The first `max` by name are kept,
 * in order, so that the message is the same whoever makes it. */
void engine_note_first(const struct node **first, size_t n, size_t max, const struct node *node);
/* A few failing nodes, with their reasons. The caller frees it. */
char *engine_failures(const struct aap *aap);
void engine_announce(struct engine *e, struct aap *aap, struct json_object *status);
bool engine_is_complete(const struct aap *aap);
bool engine_is_leaving(const struct aap *aap);

/* engine_status.c */
/* The status that the API server was told last, as it was told. The caller owns it. */
struct json_object *engine_status_told(const struct aap *aap);
/* What it is to be told now; times of what did not change come from what it was told. */
struct json_object *engine_status_next(struct engine *e, const struct aap *aap,
				       struct json_object *told, size_t max_nodes, int64_t now_ms);
struct json_object *engine_status_of(struct engine *e, const struct aap *aap, size_t max_nodes,
				     int64_t now_ms);
