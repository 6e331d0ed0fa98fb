#pragma once

/*
 * spec.rollout of an AppArmorProfile, and what its annotations ask of the rollout under way.
 */

#include "base/err.h"
#include "base/js.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ROLLOUT_STEPS_MAX = 32,
	ROLLOUT_SOAK_UNTIL_PROMOTED = -1, /* soak_s: until a user promotes */
	ROLLOUT_MIN_READY_MAX_S = 3600,
	ROLLOUT_WISH_MAX = 63, /* bytes of an annotation; a longer one counts as absent */
};

#define ROLLOUT_PAUSE_ANNOTATION "hauberk.dev/rollout-pause"     /* REVISION */
#define ROLLOUT_RESUME_ANNOTATION "hauberk.dev/rollout-resume"   /* REVISION */
#define ROLLOUT_PROMOTE_ANNOTATION "hauberk.dev/rollout-promote" /* REVISION/STEP, from 1 */
#define ROLLOUT_ABORT_ANNOTATION "hauberk.dev/rollout-abort"     /* REVISION */
#define ROLLOUT_RESTART_ANNOTATION "hauberk.dev/rollout-restart" /* REVISION/TOKEN */

/* A number of nodes, or a share of them. */
struct rollout_amount {
	int64_t value;
	bool is_percent;
};

/* Of `n` nodes: a share is rounded up. At least 1. */
int64_t rollout_amount_of(struct rollout_amount amount, int64_t n);

struct rollout_step {
	struct rollout_amount nodes;
	int64_t soak_s;
};

enum rollout_on_failure { ROLLOUT_ON_FAILURE_PAUSE, ROLLOUT_ON_FAILURE_ROLLBACK };

struct rollout_spec {
	struct rollout_amount max_unavailable;
	struct rollout_amount max_failed;
	enum rollout_on_failure on_failure;
	bool paused;
	int64_t min_ready_s;
	int64_t progress_deadline_s;
	struct rollout_step steps[ROLLOUT_STEPS_MAX];
	size_t n_steps;
};

/* What holds where the user says nothing. */
extern const struct rollout_spec rollout_spec_default;

/* spec.rollout; NULL gives the defaults. -EINVAL with a sentence where a field is of another type
 * or out of range, or where a step names fewer nodes than one of the same kind before it. */
int rollout_spec_parse(struct json_object *obj, struct rollout_spec *ret, struct err *err);

/* The annotations, "" where absent. What names another revision than the rollout's means nothing.
 */
struct rollout_wish {
	char *pause;
	char *resume;
	char *promote;
	char *abort;
	char *restart;
};

/* Fills *ret, for rollout_wish_clear(). `annotations` is metadata.annotations, or NULL. */
void rollout_wish_parse(struct json_object *annotations, struct rollout_wish *ret);
void rollout_wish_clear(struct rollout_wish *wish);
