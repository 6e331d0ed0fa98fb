#pragma once

/*
 * Keeps this node's kernel as the controller told: fetches, loads, reads back, removes what is no
 * longer used, and knows what to report. One profile's failure never holds up another.
 */

#include "api/sync_msg.h"
#include "base/err.h"
#include "fetch.h"
#include "kernel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct keeper;

struct keeper_spec {
	uv_loop_t *loop;
	const char *state_dir; /* exists, and is ours alone */
	const char *boot_id;
	const struct kernel *kernel; /* NULL: this kernel takes no policy, for the reason … */
	const char *off_reason;      /* … given here */
	const struct fetcher *fetcher;
	int64_t cache_max_bytes;
	/* What would be reported may have changed, or the work is done: called from the loop, and
	 * from keeper_tell() and keeper_look(). */
	void (*changed)(void *data);
	void *data;
};

/* -errno with a sentence when the folder for artefacts cannot be made. A damaged record is logged,
 * and means that nothing is known to be ours. */
int keeper_new(const struct keeper_spec *spec, struct keeper **ret, struct err *err);

/* What the node should hold. Takes the items over. `is_old`: a set from before this process, which
 * says what to load and not yet what to remove. */
void keeper_tell(struct keeper *k, struct sync_item *items, size_t n, bool is_old);

/* Artefacts that came with the set that is told next: called before keeper_tell(). Takes the array
 * over. Those whose bytes are not what they are named for are logged and left out, and so fetched.
 */
void keeper_offer(struct keeper *k, struct sync_enclosed *enclosed, size_t n);

/* The controller has said that the set of before is still the right one. */
void keeper_confirm(struct keeper *k);

/* The kernel's policy may have changed: look at it, and act. */
void keeper_look(struct keeper *k);

/* True while something is going on that will end by itself soon. */
bool keeper_is_busy(const struct keeper *k);

/* All that is known of all profiles. The caller clears it. */
void keeper_report(const struct keeper *k, struct sync_report *ret);

/* The items last told, ordered by name: pointers into the keeper, in an array that the caller
 * frees.
 */
struct sync_item *keeper_items(const struct keeper *k, size_t *ret_n);

/* Ends what is under way, writes the record, and frees the keeper before the loop ends. Unloads
 * nothing. */
void keeper_close(struct keeper *k);
