#pragma once

/*
 * Simulated agents, in one process and on one loop. Each has a connection, a token and a node of
 * its own and speaks the agent protocol as hauberk-agent does; only its kernel is made up.
 */

#include "base/backoff.h"
#include "base/sha.h"
#include "conn.h"
#include "policy/features.h"
#include "report.h"
#include "told.h"

enum { FLEET_MAX = 20000 };

struct fleet_options {
	const char *agents_file; /* lines "NODE TOKEN" */
	const char *ca_file;
	const char *address;
	const char *server_name;
	int64_t seconds;       /* then it ends by itself */
	int64_t load_ms;       /* how long one load takes, give or take a half */
	int64_t fail_permille; /* of loads */
	int64_t drop_permille; /* of connections, each minute */
};

/* What the driver reads, one JSON line on standard output whenever something has changed. */
struct fleet_counts {
	int64_t polling;      /* agents with a request under way */
	int64_t asked_us;     /* when the last sync was sent, on the wall clock */
	int64_t reports;      /* sent */
	int64_t reported_us;  /* when the last one was */
	int64_t syncs;        /* answered with 200 */
	int64_t sets;         /* received */
	int64_t loads;        /* done */
	int64_t enclosed;     /* artefacts that came with their set */
	int64_t fetches;      /* of others */
	int64_t failed_loads; /* as asked for */
	int64_t bad_artefacts;
	int64_t turned_away; /* answers other than 200, hops to a leader among them */
	int64_t broken;      /* connections that failed, or could not be made */
};

struct fleet {
	uv_loop_t loop;
	const struct fleet_options *options;
	struct conn_peer peer;
	struct told told;
	struct agent *agents;
	size_t n;
	struct fleet_counts counts;
	bool changed;
	char last_error[256];
	uv_timer_t show, drops, end;
	uv_signal_t sigint, sigterm;
	uv_pipe_t parent;
	bool ending;
};

struct agent {
	struct fleet *fleet;
	struct conn conn;
	uv_timer_t timer; /* a wait, a load, or the patience with an answer */
	enum agent_state {
		AGENT_POLLING,
		AGENT_FETCHING,
		AGENT_LOADING,
		AGENT_WAITING, /* after a failure */
	} state;
	char *node;
	char *token;
	char boot_id[37];
	const struct features *features;
	bool sha1; /* what its kernel hashes with */
	struct held *held;
	size_t n_held;
	size_t at;       /* while it fetches: of held */
	uint64_t *cache; /* artefacts that it has, by the first 16 digits */
	size_t n_cache;
	char set_hash[SHA256_HEX];
	char told_report[SHA256_HEX], heard_report[SHA256_HEX];
	bool want_report, want_features;
	int64_t epoch;
	uint64_t sent_ms;
	unsigned int hops, hasty;
	struct backoff backoff, slow;
};

/* agent.c. `line` is "NODE TOKEN". */
int agent_init(struct agent *agent, struct fleet *fleet, size_t i, const char *line,
	       struct err *err);
void agent_start(struct agent *agent);
void agent_drop(struct agent *agent); /* its connection breaks */
void agent_close(struct agent *agent);
void agent_free(struct agent *agent); /* after the loop has ended */
