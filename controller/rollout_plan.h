#pragma once

/*
 * How a new revision reaches the nodes: decides how many more of them may be told of it now, when
 * to think again, and what to say. Pure: no I/O, no clock, no memory of its own; the same facts
 * give the same plan. It sees nodes by number and class only, so that one plan costs the same for
 * ten nodes and for ten thousand; which of the candidates come next is rollout_queue.h's part.
 *
 * Words: a node was *told* a revision when its set names it, and *holds* one when its kernel does,
 * by its agent's report. The *target* is the revision that spec asks for, the *current* one the
 * last that was complete.
 *
 * What is not plain:
 *
 *  - The current revision is proven: going back to it knows the budget, but no steps.
 *  - A failed node keeps its place in a step, so that no other is touched in its stead; one with a
 *    trouble of its own, or lost, proves nothing, and another takes its place.
 *  - A step is filled when all of its nodes are done or, below maxFailed, failed, and one is done.
 *  - A soak that began runs on whatever happens; to be passed the step has to be filled then.
 *  - A promote counts for its step and those before it, as soon as each is filled.
 *  - In a step, nodes that have nothing to lose come before those that run something.
 *  - Where the current revision serves the empty nodes, completion does not wait for them.
 *  - Absent nodes are not waited for, unless they are the majority: a cut network fills no step and
 *    completes nothing.
 *  - Completion is final: a node that comes back later, or fails, starts no rollout; but the
 *    budget, maxFailed and a pause hold for those that are still to be updated.
 *  - After a takeover each node not heard of may be a canary, and may be the failed one.
 *  - A pause holds back a rollback for failures, never one that has begun or an abort.
 *  - An abort where there is nothing to go back to is a pause.
 *  - A restart waits while the abort stands; the verb takes the abort away.
 *  - Time that lies ahead of the clock is taken for now: a clock set back makes a wait begin
 *    again, never last for ever.
 */

#include "api/profile.h"
#include "api/rollout_spec.h"
#include "base/sha.h"

#include <stdbool.h>
#include <stdint.h>

/* What one selected node is to the plan. Nodes that are not selected, cannot hold policy at all, or
 * are unreachable and were not told the target, have no class: ROLLOUT_NONE, and are not counted.
 */
enum rollout_class {
	ROLLOUT_NONE,
	ROLLOUT_OLD,     /* holds another revision: a candidate */
	ROLLOUT_EMPTY,   /* holds no revision at all: a candidate outside the budget */
	ROLLOUT_UNHEARD, /* not known since we lead, or since its agent came back: unavailable */
	ROLLOUT_ABSENT,  /* its agent is away, and it was not told, or it holds nothing */
	ROLLOUT_MOVING,  /* told, and not confirmed: unavailable */
	ROLLOUT_MOVING_EMPTY, /* the same, and it holds nothing that could be lost */
	ROLLOUT_LOST,         /* told, and its agent is away: unavailable, but not waited for */
	ROLLOUT_SETTLING,     /* loaded, for less than minReadySeconds: unavailable */
	ROLLOUT_DONE,         /* loaded for that long */
	ROLLOUT_FAILED,       /* told, and could not load or verify it: unavailable for good, even
				 where its agent went away then */
	ROLLOUT_TROUBLED,     /* told, and has a trouble of its own: stops nobody else */
	ROLLOUT_CLASS_COUNT,
};

/* status.rollout.phase */
enum rollout_phase {
	ROLLOUT_PROGRESSING,
	ROLLOUT_SOAKING,      /* a step is filled, and its time runs or a promote is awaited */
	ROLLOUT_PAUSED,       /* a user asked for it */
	ROLLOUT_STOPPED,      /* maxFailed was reached */
	ROLLOUT_ROLLING_BACK, /* nodes are told the current revision again */
	ROLLOUT_ROLLED_BACK,  /* they hold it; the target is not tried again */
	ROLLOUT_ABORTED,      /* the same, because a user asked for it */
	ROLLOUT_COMPLETE,
	ROLLOUT_PHASE_COUNT,
};

const char *rollout_phase_name(enum rollout_phase phase); /* "Progressing", … */
/* False for a word that is none of them. */
bool rollout_phase_parse(const char *word, enum rollout_phase *ret);

/* What has to survive the controller: status.rollout. All zero: no rollout yet. */
struct rollout_state {
	char revision[PROFILE_REVISION_SIZE]; /* the target that it is about */
	enum rollout_phase phase;
	bool aborted; /* rolling back because a user asked for it. Not persisted. */
	int64_t started_ms;
	unsigned int step;          /* index of the step under way; n_steps: all have been passed */
	int64_t step_started_ms;    /* when it was filled and its soak began; 0: not yet */
	char step_hash[SHA256_HEX]; /* of the step's definition, so that an edit starts its soak
				       anew */
	char restart[64];           /* the last restart token acted upon */
	/* Not persisted; all zero after a takeover: */
	int64_t progress_ms; /* when it last came forward, or did not have to */
	int64_t done;        /* the most that were done */
	int64_t desired;     /* how many were desired then */
};

struct rollout_facts {
	const char *target;                /* accepted and recorded */
	const char *current;               /* "" for none */
	const struct rollout_spec *spec;   /* NULL: the user said nothing */
	const struct rollout_wish *wish;   /* what annotations ask for; NULL: nothing */
	const struct rollout_state *state; /* as last decided or persisted */
	int64_t counts[ROLLOUT_CLASS_COUNT];
	int64_t desired;       /* status.desiredNodes: what percentages are of */
	int64_t holding_other; /* selected nodes that hold a revision other than the target */
	int64_t told_unheard;  /* after a takeover: nodes that are away, never heard of, and were
				  told the target; beside those that are UNHEARD */
	int64_t back; /* while rolling back: nodes here that were told the target and do not hold
			 the current one again. One whose agent is away is told when it comes. */
	int64_t next_settled_ms; /* when the next SETTLING node will be DONE; INT64_MAX for none */
	int64_t now_ms;
};

struct rollout_plan {
	struct rollout_state state; /* from now on */
	int64_t grant;              /* so many OLD candidates may be told the target now */
	int64_t grant_empty;        /* and so many EMPTY ones */
	bool empty_current;         /* instead, all EMPTY ones are told the current revision */
	bool by_zone;               /* candidates come zone by zone; else as canaries do */
	bool roll_back; /* every node is told the current revision: those told the target, the
			   latest first, then the others */
	bool stopped;   /* FailureBudgetExceeded */
	bool deadline_exceeded;
	bool complete;
	int64_t next_ms; /* when to plan again if nothing happens; INT64_MAX: not needed. Never
			    the present or the past. */
	char why[160];   /* what it waits for, in words for a condition's message; "" for nothing.
			    No number in it changes with every report. */
};

struct rollout_plan rollout_plan(const struct rollout_facts *facts);

/* The node target of a step (0-based) with so many desired nodes, never more than these. */
int64_t rollout_step_nodes(const struct rollout_spec *spec, unsigned int step, int64_t desired);

/* Of a step's definition, for rollout_state.step_hash. */
void rollout_step_hash(const struct rollout_step *step, char out[SHA256_HEX]);
