#pragma once

/*
 * Which node is to hold which revision. Pure: no I/O, no clock, no memory of its own; the same
 * facts give the same plan.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One chosen node, as last observed. */
struct plan_node {
	const char *uid;
	const char *zone;     /* topology.kubernetes.io/zone, "" for none */
	const char *held;     /* the revision that its kernel holds of ours, "" for none */
	const char *assigned; /* what it was last told, "" for nothing */
	bool away;            /* no report for a while */
	bool failed;          /* it could not load or verify what it was told */
};

struct plan_request {
	const char *target;  /* the revision that spec asks for, accepted and recorded */
	const char *current; /* the last complete one, "" for none */
	const struct plan_node *nodes;
	size_t n;
	int64_t now_ms;
};

enum plan_choice { PLAN_KEEP, PLAN_TARGET, PLAN_CURRENT };

struct plan {
	int64_t next_ms; /* when to plan again if nothing happens; INT64_MAX: not needed */
	const char *why; /* what it waits for, in words; "" for nothing. Static. */
};

/* Decide for all nodes: `choices` has room for req->n. */
struct plan rollout_plan(const struct plan_request *req, enum plan_choice *choices);
