#pragma once

/*
 * A cluster made of values, around one engine on virtual time: an API server that keeps objects and
 * revisions, a compiler that refuses what says "broken", and agents that load what they are told,
 * fail, or are away. Everything that is asked for is answered by fleet_settle().
 */

#include "base/buf.h"
#include "base/list.h"
#include "controller/engine.h"

#include <stdbool.h>
#include <stdint.h>

enum { FLEET_MAX = 64 };

struct fleet_agent {
	char name[16];
	bool away; /* says nothing */
	bool mute; /* its kernel takes its time: what it is told is pending */
	bool no_apparmor;
	bool drifted;                    /* somebody changed all that it holds */
	enum sync_reason trouble;        /* whatever it is told fails for this reason */
	char bad[PROFILE_REVISION_SIZE]; /* only this revision does: LoadFailed */
	struct sync_item *items;         /* the set last taken */
	size_t n_items;
	char set_hash[SHA256_HEX]; /* of that */
	struct map holds;          /* profile -> revision, in its kernel */
	int64_t heard_ms;
	bool changed; /* there is something to report, or a set to fetch */
};

struct fleet {
	struct engine *engine;
	const char *compiler;   /* of the next controller */
	struct engine *standby; /* another replica, which sees all objects and does nothing */
	int64_t now_ms;
	struct fleet_agent agents[FLEET_MAX];
	size_t n;
	struct map objects;   /* as the API server holds them */
	struct map revisions; /* id -> text */
	struct buf told;      /* "n3=REV " for each time that a node is told another revision */
	struct buf events;    /* "REASON " */
	bool unreadable;      /* revisions cannot be read back now */
	bool status_refused;  /* no status can be written */
	int64_t version;
	size_t n_hats; /* that what is compiled has, of long names */
	int n_compiled, n_status, n_completed;
	int n_node_writes; /* begun; whoever counts them answers them */
	struct list answers;
};

extern struct fleet fleet;

void fleet_up(size_t n); /* nodes n0 …, each with an agent that holds nothing */
void fleet_down(void);

/* The controller is killed and another one takes over; agents and objects are what they were. */
void fleet_kill_controller(void);

/* The same with a replica that has been standing by since fleet_stand_by(), and seen all objects
 * come and change. */
void fleet_stand_by(void);
void fleet_take_over(void);

/* Everything that can happen without time passing. */
void fleet_settle(void);
void fleet_wait(int64_t s);

/* `more` goes into spec, behind the policy. */
void fleet_apply(const char *profile, const char *policy, const char *more);
void fleet_annotate(const char *profile, const char *key, const char *value); /* NULL: taken off */
void fleet_join(const char *name, const char *labels);
struct fleet_agent *fleet_agent(const char *name);
void fleet_report(struct fleet_agent *agent);

/* What is asked of it. */
const char *fleet_revision(const char *profile); /* that spec asks for */
size_t fleet_holding(const char *profile, const char *revision);
struct json_object *fleet_status(const char *profile);
const char *fleet_ready(const char *profile); /* the reason */
const char *fleet_condition(const char *profile, const char *type, const char *field);
const char *fleet_phase(const char *profile);
