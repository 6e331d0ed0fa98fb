#pragma once

/*
 * What the files of the keeper share: keeper.c (the turns), keeper_decide.c (reading the kernel,
 * deciding, failing), keeper_load.c (fetching and loading), keeper_remove.c.
 */

#include "base/map.h"
#include "drain.h"
#include "keeper.h"
#include "policy_cache.h"
#include "record.h"
#include "unit.h"

struct keeper {
	uv_loop_t *loop;
	uv_idle_t turn;
	uv_timer_t retry;
	uv_timer_t save; /* of the record, when the work is done */
	uv_timer_t slow; /* while more is to be fetched than has a place */
	struct drain drain;
	const struct kernel *kernel;
	char *off_reason;
	const struct fetcher *fetcher;
	void (*changed)(void *data);
	void *data;
	char *boot_id;
	struct map units; /* name -> struct unit */
	struct record record;
	struct policy_cache cache;
	struct map offered; /* hash -> struct buf: came with the set, and is not on disk yet */
	bool set_is_old;
	bool is_told;        /* `changed` was called since the last work was done */
	bool must_read;      /* the kernel could not be read when it should have been */
	bool has_intentions; /* in the record, and not on disk yet */
	int64_t revision;    /* of the kernel's policy, as far as it has been read */
	unsigned int n_fetches;
	unsigned int n_handles;
};

/* keeper.c */

/* Have the loop turn until nothing is left to do. */
void keeper_wake(struct keeper *k);

/* Any unit in this phase, or NULL. */
struct unit *keeper_find(const struct keeper *k, enum unit_phase phase);

/* Let the retry timer fire for the unit that is due first. */
void keeper_arm_retry(struct keeper *k);

/* keeper_decide.c */

/* The facts about a unit, as desired.h wants them; they point into it. */
struct desired_facts keeper_facts(const struct keeper *k, const struct unit *u);

/* Decide about one unit, from its item and what was last read, and set it going. */
void keeper_decide(struct keeper *k, struct unit *u);

/* To be loaded: from disk where the artefact is there, else after it is fetched. */
void keeper_queue_load(struct keeper *k, struct unit *u);

/* End what is under way. */
void keeper_rest(struct keeper *k, struct unit *u);

/* Try again after a while, longer each time. */
void keeper_wait(struct keeper *k, struct unit *u);

/* It failed, and is tried again after a while. */
void keeper_fail(struct keeper *k, struct unit *u, enum sync_reason reason, const struct err *err);

/* Read from the kernel what is not known of ours, which is all where policy has changed, and decide
 * about each. Where the kernel cannot be read nothing
 * is decided, and it is tried again. */
void keeper_read(struct keeper *k);

/* Read one. After an error what the unit holds is not to be trusted. */
int keeper_scan_one(struct keeper *k, struct unit *u, struct err *err);

/* True when policy was changed by somebody else since it was last read as a whole. Where that
 * cannot be told, must_read is set. */
bool keeper_kernel_moved(struct keeper *k);

/* After a change of our own. */
void keeper_note_own_change(struct keeper *k);

/* keeper_load.c */

/* Fill the places for fetches; true where one was started. */
bool keeper_start_fetches(struct keeper *k);

/* True where the bytes of an artefact need not be fetched. */
bool keeper_has_bytes(const struct keeper *k, const char *hash);

/* Put one of the artefacts that came with the set on disk; false when none is left. */
bool keeper_keep_offered(struct keeper *k);

/* Put what is about to be loaded on disk, before it is. True where something was written. */
bool keeper_write_intentions(struct keeper *k);

/* Load one that is ready, and read it back. */
void keeper_load(struct keeper *k, struct unit *u);

/* keeper_remove.c */

/* Remove some of those to be removed; false when there were none. */
bool keeper_remove_some(struct keeper *k);

/* Be woken when a task that holds one of ours ends; `data` of the wake function is the keeper. */
void keeper_watch_holders(struct keeper *k);
void keeper_on_task_ended(void *data);
