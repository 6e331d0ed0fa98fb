#pragma once

/*
 * What Hauberk decides, without any way to do it: no loop, no clock, no socket, no file.
 *
 * Facts go in (a profile changed, an agent reported, a compilation ended), each with the time; what
 * has to be done comes out through struct engine_ops, and how that ended comes back in as a fact.
 * Facts only mark what they touch; engine_run() then looks at each marked profile and node once,
 * however many facts there were. So the whole of it runs in a test with thousands of agents on
 * virtual time.
 *
 * The picture it holds:
 *
 *   profile ──< placement >── node        what one node should hold of one profile, and does
 *      │                        │
 *   revision ──< build >── feature set    one text, compiled once for each kind of kernel
 */

#include "api/profile.h"
#include "api/sync_family.h"
#include "api/sync_msg.h"
#include "base/list.h"
#include "base/map.h"
#include "controller/placement.h"
#include "controller/rollout_plan.h"
#include "controller/rollout_queue.h"
#include "controller/write_rate.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	ENGINE_AGENT_AWAY_MS = 150 * 1000,  /* no report for so long: the agent is away */
	ENGINE_DELETE_WAIT_MS = 600 * 1000, /* a deletion waits so long for a Ready node's agent */
	ENGINE_DISCONNECTED_MS = 5 * 60 * 1000, /* AppArmorNode's AgentConnected becomes False */
	ENGINE_MOVING_SHOWN_MS = 1000,          /* what takes longer is shown while it goes on */
	ENGINE_COMPILE_RETRY_MS = 5000,         /* where the compiler itself failed */
	ENGINE_RETRY_MS = 1000,                 /* after a write that failed, doubled up to … */
	ENGINE_RETRY_MAX_MS = 60 * 1000,        /* … this */
	ENGINE_COUNTERS_MS = 1000, /* mere counters are written no more often, and the longer … */
	ENGINE_COUNTERS_MAX_MS = 10 * 1000, /* … a rollout takes, the less often, up to this */
	ENGINE_TAKEOVER_MS = 5 * 1000, /* a new leader says nothing about what it does not … */
	/* … know yet for so long */
	ENGINE_ASK_RETRY_MS = 10 * 1000, /* where a Node could not be read */
	ENGINE_FETCH_RETRY_MS = 1000,    /* doubled each time, up to ENGINE_RETRY_MAX_MS */
	/* Agents cannot make us write without end: what they cause beyond a few writes waits. */
	ENGINE_NEWS_BURST = 10, /* of one profile's status */
	ENGINE_NEWS_MS = 10 * 1000,
	ENGINE_FACTS_BURST = 10, /* of one AppArmorNode */
	ENGINE_FACTS_MS = 30 * 1000,
	ENGINE_STATUS_NODES_MAX = 100,
	ENGINE_FEATURE_SETS_MAX = 32, /* of a cluster, without those that are built in */
	ENGINE_BUILTIN_SETS_MAX = 4,
	ENGINE_ZONES_MAX = 4096, /* a node of one more counts as one without a zone */
	ENGINE_FEATURES_RETRY_MS = 10 * 60 * 1000,       /* is there room for another one now? */
	ENGINE_FEATURE_SET_PER_NODE_MS = 60 * 60 * 1000, /* one new one a node in so long */
};

/* One text as one kernel sees it. */
enum build_state { BUILD_WAITING, BUILD_OK, BUILD_FAILED };

struct build {
	char features[SHA256_HEX];
	enum build_state state;
	bool asked;       /* it is being compiled */
	bool lost;        /* its artefact proved damaged and has to be made again */
	int64_t retry_ms; /* not before this, after a failure that was not the text's */
	bool forbidden;   /* failed by what the blob defines, not by the parser */
	char *message;    /* why it failed, or the parser's warnings; "" */
	char artefact[SHA256_HEX];
	int64_t size;
	struct sync_hash *hashes;
	size_t n_hashes;
	struct sync_family family; /* what an agent says that holds just these */
	size_t n_bytes;            /* of them in a set */
};

/* Kept while spec asks for it, it is the target or the current one, or a node was told it. */
struct revision {
	struct list link; /* in its aap's revisions */
	char id[PROFILE_REVISION_SIZE];
	size_t refs; /* placements that point to it */
	char *name;
	enum profile_mode mode;
	char *text;
	size_t n_text;
	struct map builds; /* feature-set hash -> struct build */
	bool recorded;     /* its ControllerRevision is there */
	bool recording;
};

enum accept_state {
	ACCEPT_COMPILING,
	ACCEPT_OK,
	ACCEPT_PARSE_ERROR,
	ACCEPT_FORBIDDEN,
	ACCEPT_NAME_CONFLICT,
};

/* What engine_terminating() said of a profile that is being deleted. */
enum ending { ENDING_UNKNOWN, ENDING_ASKED, ENDING_DELETED, ENDING_UNINSTALLED };

/* A revision of which only the id is known, being read from its ControllerRevision. */
struct revision_fetch {
	struct list link;
	char id[PROFILE_REVISION_SIZE];
	bool asked;
	bool lost;          /* it cannot be had */
	unsigned int tries; /* that have failed */
	int64_t retry_ms;
};

/* The rollout of one profile's target: engine_rollout.c. */
struct rollout {
	struct rollout_state state;
	struct rollout_plan plan;   /* the last one */
	struct rollout_queue old;   /* candidates that hold another revision */
	struct rollout_queue empty; /* and those that hold nothing */
	struct list old_astray;     /* of them those not told the current revision … */
	struct list empty_astray;   /* … and these */
	struct list troubled;       /* those with a trouble of their own, not told the target */
	struct list settling;       /* those that settle, by when they will have */
	struct list told;           /* those told the target, the latest last */
	int64_t min_ready_ms;       /* by which `settling` was reckoned */
	int64_t told_before;        /* how many a former leader had told … */
	int64_t told_heard;         /* … and how many of these have reported since */
	char *blame;                /* what failed before it went back; NULL: not known */
	bool due;                   /* a count has changed, or what users ask for */
	bool may;                   /* nothing stands against telling nodes */
};

/* Of a kind of write that failed. Each kind waits by itself: a status that the API server refuses
 * for good must hold up no deletion. */
struct write_retry {
	unsigned int failures; /* one after the other */
	int64_t due_ms;        /* no such write before this */
};

struct aap {
	struct profile spec;
	struct json_object *object; /* as last seen; its status is what the API server holds */
	struct list dirty;
	size_t due_at;  /* place among those that wait for a time, plus 1; 0: none */
	int64_t due_ms; /* of the earliest of these: */
	int64_t step_ms, plan_ms, status_ms;

	struct list revisions;    /* all of these and those that nodes were told */
	struct revision *wanted;  /* what spec asks for */
	struct revision *served;  /* the target: the last one accepted and recorded */
	struct revision *current; /* the last complete one; NULL: none, or not read back yet */
	char current_id[PROFILE_REVISION_SIZE]; /* as status has it; "" for none */
	bool current_lost;                      /* it cannot be had any more */
	struct list fetches;
	size_t n_fetches;
	enum accept_state accept;
	char *accept_message;    /* "" */
	int64_t moving_since_ms; /* when something else than before was asked for */

	struct map placements; /* node->name -> struct placement */
	struct placement_counts counts;
	struct rollout rollout;
	bool holder;   /* of its profile name: no other object of that name has a say */
	bool reselect; /* the selector changed, or which profile holds the name */
	bool step;     /* more than its status and its rollout have to be looked at */
	bool unheard;  /* it may be held where no agent has been heard of since we lead */
	bool serving;  /* its placements are wanted: it holds the name, is enabled and not going */
	/* Feature sets of the chosen nodes, and how many nodes have each. */
	const char *needed[ENGINE_FEATURE_SETS_MAX + ENGINE_BUILTIN_SETS_MAX];
	int64_t n_on[ENGINE_FEATURE_SETS_MAX + ENGINE_BUILTIN_SETS_MAX];
	size_t n_needed;

	struct write_retry finalizer_retry, record_retry, status_retry;
	int64_t deleting_since_ms;
	enum ending ending;
	bool finalizer_asked;
	bool waits_named; /* the Warning Event about an absent agent was sent */

	/* Status: what the API server was last told, and when it may hear more. */
	bool status_dirty;
	bool status_writing;
	bool status_held; /* a former leader's words stand until we know better */
	struct write_rate news_rate;
	int64_t status_written_ms;
	int64_t status_made_ms; /* when it was last made and nothing was to be written */
	char *announced;        /* the last Event's reason and revision, so that each comes once */
};

/* A removal that a deletion did not wait for. */
struct pending_removal {
	char *profile; /* the kernel's name */
	char *uid;
	char revision[PROFILE_REVISION_SIZE];
};

/* What an agent reported last. The items, ordered by name, are shared with other nodes. */
struct node_report {
	const struct sync_status **items;
	size_t n;
	bool apparmor_enabled;
	char *apparmor_reason; /* why not; "" */
};

struct node {
	char *name;
	char *uid;
	struct json_object *labels; /* or NULL */
	const char *zone;           /* "" for none. The engine's, for good. */
	struct list dirty;
	int64_t created_ms;
	bool exists;   /* a Node object is there */
	bool excluded; /* labels say that no agent is to be expected */
	bool joined;   /* it came after we had begun to lead */

	/* The agent, as far as it has told since we lead. */
	bool reported;
	bool has_object; /* an AppArmorNode says that an agent was here once */
	bool awaited;    /* counted among those that may hold anything: engine_node_await() */
	bool away;
	bool away_ready; /* Kubernetes calls the node Ready; meaningful while away */
	bool away_known;
	int64_t ask_ms; /* when to ask for it again; 0: it is known, or being asked */
	bool disconnected;
	bool facts_dirty;
	bool facts_writing;
	struct write_rate facts_rate;
	char features[SHA256_HEX];
	char report_hash[SHA256_HEX];
	char report_set[SHA256_HEX]; /* the set that its agent had when it made that report */
	bool outdated;    /* something in it was so when it was judged: struct placement_state */
	int64_t heard_ms; /* its last request; at first, when we began to wait for one */
	char *agent_version, *kernel_release, *boot_id;
	char *features_problem; /* why its feature set was not taken, or NULL */
	const char *features_reason;
	int64_t features_retry_ms; /* when it may be brought again; INT64_MAX: never */
	const char *kernel;        /* its feature set where the text is known, else NULL */
	int64_t features_new_ms;   /* when it last brought a new one; 0: never */
	struct node_report report;

	struct list placements; /* struct placement, by on_node */
	size_t n_placements;
	struct pending_removal *removals;
	size_t n_removals;

	struct set_body *set; /* what it should hold; NULL: not made yet */
	bool parting;         /* it may hold what its set does not tell it to load any more */
	void *poll;           /* for the server of agents: its held request */
};

/* An encoded set. Nodes that should hold the same share one. */
struct set_body {
	unsigned int refs;
	char key[SHA256_HEX]; /* of the choices that it was made from */
	char hash[SHA256_HEX];
	char *text; /* a JSON array */
	char *keep; /* another: of names that the node keeps as it has them; NULL: none */
};

struct placement {
	struct aap *aap;
	struct node *node;
	struct revision *assigned; /* what it was told; NULL: nothing yet */
	struct revision *before;   /* told while there is no build of that for its kernel */
	bool selected;
	bool left_out; /* the node's set had no room for it */
	bool in_set;   /* the node's set says that it is to be loaded there … */
	bool may_hold; /* … or did so, and no report made since then says that it is not */
	struct placement_share share; /* as the rollout counts it */
	struct placement_state state;
	int64_t since_ms; /* of the state */

	/* What the rollout knows: engine_rollout.c. */
	const char *kernel; /* it is counted in needed[] for this feature set */
	int64_t loaded_ms;  /* since when it is Loaded with the target; 0: it is not */
	struct rollout_entry entry;
	struct list on_node; /* in node->placements */
	struct list link;    /* in one of the rollout's lists, by class */
	struct list told;    /* in its list of those told */
};

struct engine;

/* What has to be done. Each is called from engine_run() only; each that says "answer" is answered
 * by the function named, later. `data` is that of engine_new(). */
struct engine_ops {
	/* Compile a revision for a feature set whose text is known. Answer: engine_compiled(). */
	void (*compile)(void *data, const struct aap *aap, const struct revision *rev,
			const char *features, const char *features_text);
	/* Put our finalizer on, or take it off. Answer: engine_finalizer_done(). */
	void (*put_finalizer)(void *data, const struct aap *aap, bool present);
	/* Write the ControllerRevision. Answer: engine_recorded(). */
	void (*record)(void *data, const struct aap *aap, const struct revision *rev);
	/* Read a ControllerRevision. Answer: engine_fetched(). */
	void (*fetch)(void *data, const struct aap *aap, const char *revision);
	/* The current revision is another one: old ControllerRevisions may go. No answer. */
	void (*completed)(void *data, const struct aap *aap);
	/* Write status, which is taken over. Answer: engine_status_written(). */
	void (*write_status)(void *data, const struct aap *aap, struct json_object *status);
	/* Is the CRD or our namespace Terminating? Answer: engine_terminating(), or
	 * engine_terminating_unknown(). */
	void (*ask_terminating)(void *data, const struct aap *aap);
	/* Is this node Ready in Kubernetes? Answer: engine_node_ready(), or
	 * engine_node_ready_unknown(). */
	void (*ask_ready)(void *data, const struct node *node);
	/* Bring its AppArmorNode up to date. Answer: engine_node_written(). */
	void (*write_node)(void *data, const struct node *node);
	/* Its set is another one: release its poll. No answer. */
	void (*set_changed)(void *data, struct node *node);
	/* "namespace/name" of a pod, or NULL while that is not known; it may be looked up
	 * meanwhile, and engine_pods_known() tells. */
	const char *(*pod_name)(void *data, const struct node *node, const char *pod_uid);
	/* An Event about a profile. No answer. */
	void (*event)(void *data, const struct aap *aap, bool warning, const char *reason,
		      const char *message);
};

struct engine_options {
	const struct engine_ops *ops;
	void *data;
	const char *compiler_id; /* copied */
	/* Feature sets that are compiled for while no agent is known. Copied; ends with NULL. */
	const char *const *builtin_features;
};

struct engine *engine_new(const struct engine_options *options, int64_t now_ms);
void engine_free(struct engine *engine);

/* Nothing is decided before the caches have synced: `now_ms` is when we began to lead. */
void engine_start(struct engine *engine, int64_t now_ms);
bool engine_is_started(const struct engine *engine);

/* Work off all that is marked. Returns when to call again if nothing happens before, INT64_MAX for
 * never. */
int64_t engine_run(struct engine *engine, int64_t now_ms);

/* True while facts wait for engine_run(). */
bool engine_has_work(const struct engine *engine);

/* What whoever keeps AppArmorProfiles in memory does to each before: status.nodes, which is by far
 * the largest part and seldom read, becomes its own text, a tenth of the size. */
void engine_profile_trim(struct json_object *obj);

/* Facts: objects. The json_object is borrowed; a reference is taken. */
void engine_profile_seen(struct engine *engine, struct json_object *obj, int64_t now_ms);
void engine_profile_gone(struct engine *engine, const char *object);
void engine_node_seen(struct engine *engine, struct json_object *obj, int64_t now_ms);
void engine_node_gone(struct engine *engine, const char *name);
/* An AppArmorNode: an agent was there once. It appeared with these removals pending (`is_new`: they
 * are more beside those known), or somebody else than us has changed them: a person may take one
 * back, and another leader note one. `removals` is taken over. */
void engine_node_object_seen(struct engine *engine, const char *name,
			     struct pending_removal *removals, size_t n, bool is_new);
/* Its AppArmorNode is gone. It is made again where anything is known of the node. */
void engine_node_object_gone(struct engine *engine, const char *name);

/* The CRD or our namespace is going: finalizers come off and nothing is unloaded any more. */
void engine_uninstall(struct engine *engine);

/* Facts: agents. */
enum report_verdict {
	REPORT_TAKEN,
	REPORT_UNKNOWN_NODE, /* no such Node object, or one with another uid */
};

/* A sync came in from an agent whose identity is proved. The contents of `req` are taken over as
 * far as they are new. */
enum report_verdict engine_agent_heard(struct engine *engine, const char *node_name,
				       const char *node_uid, struct sync_request *req,
				       int64_t now_ms);

/* The artefacts that a node has to load and does not hold: at most `max` of them, 0 where it holds
 * all. Borrowed until the next engine_run(). */
struct lacking {
	const char *artefact;
	int64_t size;
};
size_t engine_lacking(const struct node *node, struct lacking *ret, size_t max);

/* NULL where there is none of that name. Its set is up to date after engine_run(). */
struct node *engine_node(struct engine *engine, const char *name);

/* True when the text of this node's feature set is needed and not known. */
bool engine_wants_features(const struct engine *engine, const struct node *node);

/* Answers to ops. Names and revisions are looked up again: what is gone meanwhile is passed over.
 */
struct compiled {
	enum build_state state; /* BUILD_OK or BUILD_FAILED; BUILD_WAITING: try again later */
	bool forbidden;
	const char *message;
	const char *artefact;
	int64_t size;
	const struct sync_hash *hashes;
	size_t n_hashes;
};
void engine_compiled(struct engine *engine, const char *object, const char *revision,
		     const char *features, const struct compiled *res, int64_t now_ms);
/* The object had changed meanwhile and was read anew: decide again. */
void engine_finalizer_again(struct engine *engine, const char *object);
void engine_finalizer_done(struct engine *engine, const char *object, bool ok, int64_t now_ms);
void engine_recorded(struct engine *engine, const char *object, const char *revision, bool ok,
		     int64_t now_ms);
/* `text` NULL: there is no such revision, or it cannot be understood. */
void engine_fetched(struct engine *engine, const char *object, const char *revision,
		    const char *text, size_t n_text, enum profile_mode mode);
/* It could not be read, which says nothing about it: it is asked for again. */
void engine_unfetched(struct engine *engine, const char *object, const char *revision,
		      int64_t now_ms);
void engine_status_written(struct engine *engine, const char *object, bool ok, int64_t now_ms);
void engine_terminating(struct engine *engine, const char *object, bool terminating);
void engine_node_ready(struct engine *engine, const char *name, bool ready);
/* The API server did not say: it is asked again, later. */
void engine_terminating_unknown(struct engine *engine, const char *object, int64_t now_ms);
void engine_node_ready_unknown(struct engine *engine, const char *name, int64_t now_ms);
void engine_node_written(struct engine *engine, const char *name, bool ok, int64_t now_ms);
void engine_pods_known(struct engine *engine, const char *node_name);

/* An artefact proved damaged: each build that it came from has to be made again. */
void engine_artefact_lost(struct engine *engine, const char *sha256);

/* NULL where there is none of that name. */
struct aap *engine_profile(const struct engine *engine, const char *object);

/* Walks, for whoever shows or encodes the picture: start with *it = 0. */
struct aap *engine_next_profile(struct engine *engine, size_t *it);
struct node *engine_next_node(struct engine *engine, size_t *it);

/* The status a profile has now, as write_status would be given. The caller owns it. */
struct json_object *engine_status(struct engine *engine, const struct aap *aap, size_t max_nodes,
				  int64_t now_ms);
