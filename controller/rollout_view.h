#pragma once

/*
 * What the facts of a rollout amount to: sums of its nodes, and what its user asks for. The part of
 * rollout_plan.h that looks, as rollout_plan.c is the part that decides. Pure.
 */

#include "controller/rollout_plan.h"

/* The facts, added up once. */
struct rollout_view {
	const struct rollout_facts *f;
	const struct rollout_spec *spec;
	const int64_t *counts;
	int64_t unknown;    /* not heard of since a takeover, and told the target for all we know */
	int64_t placed;     /* nodes that have a place in a step */
	int64_t reachable;  /* nodes that can be expected to be done one day */
	int64_t free;       /* what is left of the budget */
	int64_t max_failed; /* INT64_MAX where failures stop nothing */
	bool can_go_back;   /* there is a current revision, and it is another */
	bool proven;        /* the target is the current revision */
	bool paused;        /* a user says so, in spec or by annotation */
	bool aborting;      /* a user says so, by annotation */
};

void rollout_look(struct rollout_view *ret, const struct rollout_facts *facts);

/* A restart token that was not acted upon yet; NULL for none. It waits while an abort stands. */
const char *rollout_restart_token(const struct rollout_facts *facts,
				  const struct rollout_state *state);

/* The number of steps whose soak a user has ended. */
int64_t rollout_promoted(const struct rollout_facts *facts);

bool rollout_pause_annotated(const struct rollout_facts *facts);
