#pragma once

/*
 * What one node holds of one profile, judged from what its agent read back. Pure.
 */

#include "api/sync_msg.h"
#include "controller/rollout_plan.h"

#include <stdbool.h>
#include <stdint.h>

struct build;

enum node_state {
	NODE_GONE, /* nothing of the profile there, and nothing wanted: not listed */
	NODE_PENDING,
	NODE_LOADED,
	NODE_FAILED,
	NODE_DRIFTED,
	NODE_DRAINING,
	NODE_UNSUPPORTED,
	NODE_UNREACHABLE,
	NODE_STATE_COUNT,
};

const char *node_state_name(enum node_state state);

struct placement_facts {
	bool selected; /* the node is chosen and the profile is to be there */
	bool reported; /* its agent has reported since we lead */
	bool away;     /* and is not heard of any more */
	bool away_ready;
	bool apparmor_enabled;
	const char *apparmor_reason;
	bool left_out;               /* its set has no room for the profile */
	const char *features_reason; /* why its feature set was not taken; NULL: it was */
	const char *features_message;
	const char *assigned; /* the revision that it was told; NULL: none */
	bool may_hold; /* it was told to load it, and has not said since that it holds none */
	bool waits;    /* that is another one than the rollout's target */
	const struct build *build; /* of that revision for this node's kernel; NULL: not begun */
	const struct sync_status *report; /* its entry for the profile; NULL: none */
	bool has_set; /* that was made by an agent that has what it is told now */
};

struct placement_state {
	const char *reason;  /* one word; "" for none. Static. */
	const char *message; /* borrowed from the facts; "" for none */
	enum node_state state;
	bool desired;  /* counts as a desired node */
	bool updated;  /* told to hold the target */
	bool holds;    /* the kernel may hold something of ours under this name */
	bool outdated; /* to be judged again once the agent has what it is told now */
};

/* One node's state. The message points into the facts, or is static. */
struct placement_state placement_judge(const struct placement_facts *f);

/* What else the rollout has to know of a node. Packed: there is one a node and profile. */
struct placement_share {
	enum rollout_class class_ : 8;
	bool holds_other : 1; /* the kernel holds a revision that is not the target */
	bool back : 1;        /* here, not told the target, and speaks of it or holds it still */
	bool unaware : 1; /* was told the target, then another revision, and does not know yet */
	bool never : 1;   /* chosen, away, and not heard of since we lead */
	bool here : 1;    /* an agent is here, so that a deletion has to wait for it */
};

struct placement_rollout {
	const char *target; /* NULL: there is none yet */
	bool told;          /* the target is what it was told */
	bool settled;       /* loaded for as long as the spec asks for */
	bool joined;        /* its Node came after we had begun to lead */
};

struct placement_share placement_share(const struct placement_facts *f,
				       const struct placement_rollout *r);

/* True when what was read back is what was expected: every profile and child, with the hash that
 * its kernel has, and nothing missing. */
bool placement_hashes_match(const struct sync_hash *expected, size_t n_expected,
			    const struct sync_hash *seen, size_t n_seen);

/* Sums over the placements of a profile, kept by difference. */
struct placement_counts {
	int64_t by_state[NODE_STATE_COUNT];
	int64_t desired, updated, ready, failed;
	int64_t awaited; /* selected, and no report since we lead, and not away */
	int64_t by_class[ROLLOUT_CLASS_COUNT];
	int64_t holds_other, back, never, here;
};

void placement_count(struct placement_counts *c, const struct placement_state *s, int sign);
void placement_count_share(struct placement_counts *c, const struct placement_share *s, int sign);
