#pragma once

/*
 * The set last accepted, and the highest epoch seen, on disk for the next boot.
 *
 * They have to survive a power loss, together with the artefacts that the set names, so writing
 * waits for the disk: in a thread, for a busy disk takes seconds and the loop has none to give.
 */

#include "api/sync_msg.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum { LAST_SET_RETRY_MS = 10 * 1000 };

struct last_set {
	int64_t epoch;         /* 0: none seen */
	char hash[SHA256_HEX]; /* "": no set */
	struct sync_item *items;
	size_t n;
};

/* Read set.json and epoch below `dir`. A missing file leaves its fields empty; so does a damaged
 * one, and -EINVAL with a sentence says so. The caller clears *ret in any case. */
int last_set_load(const char *dir, struct last_set *ret, struct err *err);
void last_set_clear(struct last_set *s);

struct last_set_job;

struct last_set_writer {
	uv_loop_t *loop;
	char *dir;
	struct last_set_job *next;    /* to be written when it is time */
	struct last_set_job *running; /* in the thread */
	bool in_trouble;              /* the last write failed */
	uv_timer_t retry;             /* the owner closes it, after last_set_writer_close() */
};

void last_set_writer_init(struct last_set_writer *w, uv_loop_t *loop, const char *dir);

/* What is to be written. The set is encoded at once. A newer one replaces one not yet written. */
void last_set_note(struct last_set_writer *w, const char *hash, const struct sync_item *items,
		   size_t n);
void last_set_note_epoch(struct last_set_writer *w, int64_t epoch);

/* Now is a good time: write what was noted. Where that fails the old file stays, and it is tried
 * again every LAST_SET_RETRY_MS. */
void last_set_flush(struct last_set_writer *w);

/* At the end: what is noted is written, behind what is in the thread. The loop runs until then. */
void last_set_writer_close(struct last_set_writer *w);
