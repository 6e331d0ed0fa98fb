#pragma once

/*
 * What an AppArmorProfile says of its rollout, for the commands that steer and show it. Pure.
 */

#include "base/js.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rollout_verdict {
	ROLLOUT_GOING,    /* it goes on, or waits for something that will come */
	ROLLOUT_COMPLETE, /* every node that can hold the revision does */
	ROLLOUT_FAILED,   /* a person has to do something */
};

/* Borrows from the object. */
struct rollout_seen {
	const char *name;
	const char *target;  /* the revision that is rolled out; "" where none was accepted yet */
	const char *current; /* the last complete one; "" for none */
	const char *phase;   /* "" before the first */
	const char *reason;  /* Progressing's; "" */
	const char *why;     /* its message; "" */
	bool observed;       /* the controller has seen the newest change of spec */
	bool rolled_back;    /* or aborted: the target is not tried again */
	bool paused_by_spec, paused_by_note, resumed_by_note;
	size_t step, n_steps; /* the step under way, from 1, of how many; 0: none */
	bool step_filled;     /* it soaks, or waits for a promote */
	int64_t soak_s;       /* of the step; -1: until a promote */
	int64_t soak_left_ms; /* 0 where it does not run */
	int64_t desired, told, ready, failed, unreachable;
};

void rollout_see(struct json_object *aap, int64_t now_ms, struct rollout_seen *ret);

bool rollout_is_paused(const struct rollout_seen *seen);

/* What became of the rollout that spec asks for, and one sentence about it, which the caller
 * frees. */
enum rollout_verdict rollout_judge(struct json_object *aap, char **ret_why);

/* One line without a time in it, so that it is another only where something changed:
 * "3 of 40 nodes hold 1a2b3c4d5e6f, 1 failed; step 1 of 2 soaks for 600 s". The caller frees it. */
char *rollout_line(const struct rollout_seen *seen);

/* The same as a bar of at most `width` columns, for a terminal. The caller frees it. */
char *rollout_bar(const struct rollout_seen *seen, size_t width);

/* The value of an annotation; "" where there is none. Borrowed. */
const char *rollout_note(struct json_object *aap, const char *key);
