#pragma once

/*
 * A whole cluster on virtual time around the real engine: an API server that is slow, refuses and
 * loses answers; nodes that come, go and lose power; agents that speak the sync protocol and whose
 * kernels fail; users who change their minds; and a controller that is killed. One seed gives one
 * run, whatever the order in which the engine walks its maps. After each turn of the engine the
 * invariants are checked against what the simulation itself knows.
 *
 * sim_world.c turns the wheel, sim_api.c is the API server and what the controller asks of it,
 * sim_agents.c the nodes and their agents, sim_users.c those who write specs, sim_trouble.c what
 * goes wrong, sim_invariants.c what must hold after each turn and sim_end.c what must hold in the
 * end.
 */

#include "api/rollout_spec.h"
#include "base/map.h"
#include "controller/engine.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	SIM_OBJECTS = 5, /* AppArmorProfiles, at most */
	SIM_NAMES = 4,   /* kernel profile names; two objects may want one */
	SIM_NODES_MAX = 5000,
	SIM_FEATURES = 5, /* kinds of kernel */
	SIM_ZONES = 3,
};

/* Chance. Each question has its own stream, named by who asks, so that nothing depends on the order
 * in which the engine happens to ask. */
struct sim_chance {
	uint64_t state;
};

uint64_t sim_mix(uint64_t a, uint64_t b);
uint64_t sim_mix_text(uint64_t a, const char *text);
uint64_t sim_draw(struct sim_chance *c);
int64_t sim_between(struct sim_chance *c, int64_t min, int64_t max); /* both included */
bool sim_once_in(struct sim_chance *c, int64_t n);                   /* 0: never */
bool sim_percent(struct sim_chance *c, int64_t percent);
int64_t sim_delay(struct sim_chance *c, int64_t usual_ms, int64_t long_ms); /* a few are long */

/* Events. */

enum sim_event_kind {
	SIM_REQUEST,   /* an agent's sync reaches the controller */
	SIM_RESPONSE,  /* and its answer the agent */
	SIM_HOLD_OVER, /* a held poll has lasted long enough */
	SIM_TIMEOUT,   /* the agent waits no longer for an answer */
	SIM_SYNC,      /* the agent asks */
	SIM_UNIT,      /* a load, a removal or a retry is due on a node */
	SIM_BOOT,
	SIM_NODE_LATE, /* Kubernetes notices that a node is gone, or back */
	SIM_APPLY,     /* a call of the controller reaches the API server */
	SIM_ANSWER,    /* and its answer the controller */
	SIM_WATCH,     /* an object's change reaches the controller */
	SIM_USER,
	SIM_TROUBLE,
	SIM_LEAD, /* another controller takes over */
	SIM_CALM, /* trouble is over */
};

struct sim_event {
	int64_t at_ms;
	uint64_t tie; /* orders what happens at one time, by whom it concerns */
	uint64_t seq;
	enum sim_event_kind kind;
	int who;
	uint64_t id; /* of a request, an incarnation, … */
	void *data;  /* owned by the event */
};

/* What texts mean to compilers and kernels. */
struct sim_revision {
	char id[PROFILE_REVISION_SIZE];
	char *text;
	bool broken;       /* no compiler takes it */
	int not_on;        /* the kind of kernel for which it does not compile; -1: none */
	int fails_percent; /* of the nodes, whose kernel refuses it */
	bool misloads;     /* … or loads something else */
};

/* A set as an agent has taken it: one for all that were told the same, kept to the end. */
struct sim_item {
	bool mentioned;
	bool absent;
	char revision[PROFILE_REVISION_SIZE];
	char uid[40];
	struct sim_revision *rev; /* NULL where absent */
	struct sync_hash *hashes;
	size_t n_hashes;
};

struct sim_set {
	char hash[SHA256_HEX];
	struct sim_item items[SIM_NAMES];
	struct sync_item *raw;
	size_t n_raw;
};

/* Agents. */

struct sim_unit {
	const struct sim_item *item; /* of the set last taken; NULL: none */
	const struct sim_item *held; /* what the kernel holds of ours; NULL: nothing */
	bool drifted;                /* somebody changed it there */
	enum sync_state state;
	enum sync_reason reason;
	int64_t due_ms; /* a load or removal ends then; 0: nothing under way */
	unsigned int tries;
	uint32_t version; /* counts what happened to the kernel's profile */
};

/* One profile name in a report. */
struct sim_entry {
	bool present;
	enum sync_state state;
	enum sync_reason reason;
	const struct sim_item *held; /* NULL also where it was changed by somebody */
	char target[PROFILE_REVISION_SIZE];
	char uid[40];
	uint32_t version;
};

struct sim_request {
	struct sim_entry entries[SIM_NAMES];
	bool has_report, has_features, apparmor;
	uint64_t number; /* 0: repeated */
	int features, generation;
	uint64_t report_version;
	char set_hash[SHA256_HEX];
	int64_t epoch;
};

struct sim_response {
	struct sim_set *set; /* NULL: unchanged */
	bool want_report, want_features, refused;
	int64_t epoch;
};

/* What the present leader has been told by a node, and told it. */
struct sim_mirror {
	struct sim_entry said[SIM_NAMES];
	char told[SIM_OBJECTS][PROFILE_REVISION_SIZE];    /* decided by this leader, or adopted */
	char adopted[SIM_OBJECTS][PROFILE_REVISION_SIZE]; /* its first report had this target */
	int64_t loaded_ms[SIM_NAMES]; /* since when it says Loaded of one target; 0: it does not */
	int features;
	bool reported, apparmor;
	uint64_t seen[SIM_OBJECTS]; /* in which tally last */
	bool counted[SIM_OBJECTS];  /* as one that a former leader had told */
};

struct sim_node {
	char name[16];
	char uid[40];
	int generation; /* of the node: it may leave and come again */
	bool exists, powered, running, ready, apparmor, pool_b, excluded;
	int zone; /* 0: none */
	int features;
	bool features_changed;
	struct sim_chance chance;
	struct sim_set *set; /* on its disk */
	struct sim_unit units[SIM_NAMES];
	int64_t epoch;
	uint64_t request; /* the one that is waited for */
	uint64_t report_version, report_asked, report_acked;
	bool want_features;
	unsigned int retries;
	enum sync_reason trouble; /* its own */
	int load_ms;
	/* The controller's end. */
	uint64_t poll; /* the request that is held; 0: none */
	struct sim_request *polled;
	bool pending;
	/* The API server's. */
	bool has_object;
	struct pending_removal *noted;
	size_t n_noted;
	struct sim_mirror mirror;
};

/* Objects. */

struct sim_spec {
	char text[48];
	bool disabled, complain;
	int pool;         /* 0: all nodes, 1: pool b, 2: none at all */
	bool has_rollout; /* what follows is meant */
	struct rollout_spec rollout;
	char wishes[5][64]; /* pause, resume, promote, abort, restart */
};

struct sim_object {
	char name[16];
	int name_index;              /* the kernel profile's */
	struct json_object *object;  /* as the API server has it; NULL: none */
	int64_t version, generation; /* of the object */
	int64_t seen_version;        /* that the controller was told */
	int incarnation;             /* how often it was created */
	char uid[40];
	struct sim_spec spec;
	int64_t edits, writes, writes_before; /* before the last edit */
	/* What the checks remember of the rollout. */
	struct rollout_state state;
	int64_t state_generation;
	bool state_known;
	char was_current[PROFILE_REVISION_SIZE];
	int64_t told_before, told_heard;
	uint64_t tallies;
	char told_before_of[PROFILE_REVISION_SIZE];
};

/* How this run is. */
struct sim_config {
	int nodes, objects;
	int64_t trouble_ms; /* on the mean between two; 0: none */
	int64_t edit_ms;    /* the same for users */
	int64_t chaos_ms;   /* how long that lasts */
	int64_t grain_ms;   /* events fall on multiples of it */
	int lose_percent;   /* of requests and answers */
	int repeat_percent; /* of requests */
	int api_percent;    /* of the calls fail */
	bool final_edit;    /* users end with a good text and no wishes */
	bool calm;          /* no trouble at all: one rollout, from one revision to the next … */
	int64_t kill_ms;    /* … but perhaps one kill at this time; 0: none */
	bool leave_dead;    /* some nodes stay off to the end */
};

struct sim {
	uint64_t seed;
	bool verbose;
	struct sim_config config;
	struct sim_chance chance;
	int64_t now_ms, start_ms;
	int64_t skew_ms; /* of the controller's clock */

	struct sim_event *heap;
	size_t n_heap, room_heap;
	uint64_t seq, requests;

	struct engine *engine;
	uint64_t incarnation; /* of the controller */
	int64_t epoch;
	int64_t next_run_ms; /* by the engine's clock */
	int64_t lead_ms;     /* since when it leads, by its clock */
	bool touched;        /* a set was made in this run */
	int *pending;        /* nodes whose polls are to be looked at */
	size_t n_pending;

	struct sim_node *nodes;
	int n_nodes;
	struct sim_object objects[SIM_OBJECTS];
	int64_t version;         /* of the API server */
	struct map revisions;    /* id -> struct sim_revision */
	struct map records;      /* "uid/id" -> text: ControllerRevisions */
	struct map ever_records; /* those that were there once */
	struct map sets;         /* hash -> struct sim_set */
	char *features_text[SIM_FEATURES];
	char features_hash[SIM_FEATURES][SHA256_HEX];
	bool calm_now; /* trouble is over */
	bool finished;

	int64_t runs, events, n_told, n_kills, n_status, n_compiled, n_node_writes, n_troubles;
	int64_t idle_runs;
	uint64_t trace; /* a hash of all that was decided */
	uint64_t turn;  /* of what this turn decided, in any order */
	char outcome[SIM_OBJECTS][160];

	jmp_buf failed;
	const char *invariant;
	char why[1024];
};

/* sim_world.c */
void sim_push(struct sim *s, enum sim_event_kind kind, int64_t in_ms, int who, uint64_t id,
	      void *data);
int64_t sim_engine_ms(const struct sim *s); /* what the controller's clock says */
void sim_trace(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Ends the run: `invariant` did not hold. */
void sim_fail(struct sim *s, const char *invariant, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), noreturn));
/* True when all went well; else s->invariant and s->why are set. */
bool sim_run(struct sim *s, uint64_t seed, const struct sim_config *config, bool verbose);
void sim_clear(struct sim *s);
struct sim_config sim_config_of(uint64_t seed);
/* A quiet rollout, and the same with the controller killed at some time. */
struct sim_config sim_config_calm(uint64_t seed);

/* sim_api.c */
extern const struct engine_ops sim_ops;
void sim_api_free(enum sim_event_kind kind, void *data); /* of an event that never came */
void sim_api_apply(struct sim *s, void *call);
void sim_api_answer(struct sim *s, void *call);
void sim_api_watch(struct sim *s, int object, void *data);
/* A user's write; the object is made where there is none. NULL: it is deleted. */
void sim_api_write(struct sim *s, int object, struct json_object *meta, struct json_object *spec);
void sim_api_delete(struct sim *s, int object);
void sim_api_start(struct sim *s); /* a new controller reads everything */
struct aap *sim_aap(const struct sim *s, int object);
int sim_object_index(const struct sim *s, const char *name);
struct sim_revision *sim_revision(const struct sim *s, const char *id);
/* What a text becomes under that kernel name. */
struct sim_revision *sim_revision_of(struct sim *s, int name_index, const struct sim_spec *spec);

/* sim_agents.c */
void sim_node_add(struct sim *s, int node);
void sim_node_leave(struct sim *s, int node);
void sim_node_power(struct sim *s, int node, bool on);
void sim_agent_stop(struct sim *s, int node, int64_t for_ms);
void sim_agent_drift(struct sim *s, int node, int name);
void sim_agent_cure(struct sim *s, int node);
void sim_agent_soon(struct sim *s, int node);
void sim_agent_event(struct sim *s, const struct sim_event *ev);
void sim_polls_settle(struct sim *s);
void sim_polls_drop(struct sim *s); /* with the controller */
struct json_object *sim_node_object(const struct sim_node *n);
struct sim_set *sim_set_of(struct sim *s, const struct set_body *body);
const char *sim_held(const struct sim_unit *u); /* the revision in the kernel; "" for none */
bool sim_hates(const struct sim_node *n, const struct sim_revision *rev);

/* sim_users.c */
void sim_user_starts(struct sim *s);
void sim_user_acts(struct sim *s);
void sim_user_ends(struct sim *s);
void sim_user_calm(struct sim *s, int step); /* the next of a quiet run's edits */

/* sim_trouble.c */
void sim_trouble_strikes(struct sim *s);
void sim_trouble_ends(struct sim *s);
void sim_controller_kill(struct sim *s, int64_t down_ms);
void sim_controller_start(struct sim *s);

/* sim_invariants.c */
void sim_check_turn(struct sim *s);
void sim_check_set(struct sim *s, const struct node *node);
void sim_check_status(struct sim *s, const struct aap *aap, struct json_object *status);
void sim_check_lead(struct sim *s); /* a new leader: what it may go on from */
/* By what the leader was told: is the revision in place there? */
bool sim_confirmed(const struct sim_entry *e, const char *revision);

/* sim_end.c */
/* NULL once nothing is left to be done for any profile; else what is. */
const char *sim_unsettled(struct sim *s, char *why, size_t n);
/* In words that are the same for two runs that came to the same end. */
void sim_outcome(struct sim *s);
