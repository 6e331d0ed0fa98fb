#pragma once

/*
 * One profile on this node: what was told about it, what the kernel holds, and how far we are.
 * Plain data and the moves between phases; keeper.c does the work.
 */

#include "aafs.h"
#include "api/sync_msg.h"
#include "base/backoff.h"
#include "base/buf.h"
#include "desired.h"
#include "fetch.h"
#include "tasks.h"

#include <stdbool.h>
#include <stdint.h>

enum unit_phase {
	UNIT_RESTING,  /* there is nothing to do until something changes */
	UNIT_QUEUED,   /* to be fetched, when its turn comes */
	UNIT_FETCHING, /* under way */
	UNIT_READY,    /* its artefact is at hand: to be loaded, when its turn comes */
	UNIT_REMOVING, /* to be removed with the next look at the tasks */
	UNIT_DRAINING, /* in use; looked at again when a task ends */
	UNIT_WAITING,  /* failed; tried again at retry_at_ms */
	UNIT_PHASES,
};

struct keeper;

struct unit {
	struct keeper *keeper;
	char *name;
	bool has_item;
	struct sync_item item;
	struct aafs_tree kernel; /* as last read */
	bool is_read;            /* and it holds as far as the keeper's revision */
	struct desired desired;  /* as last decided */
	enum unit_phase phase;
	struct fetch *fetch; /* in UNIT_FETCHING */
	struct buf bytes;    /* in UNIT_READY, where they are not to be read from disk */
	int64_t fetch_started_us;
	enum sync_reason reason; /* of the last failure; SYNC_REASON_NONE: none stands */
	char message[SYNC_MESSAGE_MAX];
	struct backoff backoff;
	enum sync_reason backoff_for;
	int64_t retry_at_ms;   /* in UNIT_WAITING, on the monotonic clock */
	int64_t changed_at_ms; /* when somebody else last changed it */
	struct tasks_use use;  /* who holds it, in UNIT_DRAINING */
	bool has_drifted;      /* and that is not mended yet */
	bool has_leftovers;    /* the kernel still has children of a former version */
	bool is_seen;          /* scratch: in the set that is being gone through */
	int64_t fetch_us, load_us, verify_us;
};

struct unit *unit_new(const char *name);
void unit_free(struct unit *u); /* no fetch is under way */

/* The one place where a phase changes. Aborts for a move that makes no sense. */
void unit_enter(struct unit *u, enum unit_phase phase);

/* True while something is going on that will end by itself soon. */
bool unit_is_busy(const struct unit *u);

/* Remember why it failed, and how long to wait until it is tried again: longer each time it fails
 * for the same reason. */
void unit_fail(struct unit *u, enum sync_reason reason, const char *message);
void unit_recover(struct unit *u);
int64_t unit_backoff_ms(struct unit *u, uint64_t random);

/* What a report says of it; false: nothing. The caller clears *ret. */
bool unit_status(const struct unit *u, struct sync_status *ret);
