#pragma once

/*
 * The candidates of one rollout in the order in which they are told: during the steps by SHA-256 of
 * (node uid, profile uid, revision), so that each rollout has other canaries and every controller
 * the same ones; after the steps zone by zone, those without a zone last, and by that hash within
 * a zone. A binary heap whose entries live in their owners; no operation is dearer than O(log n).
 */

#include "base/sha.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As many of a digest's bytes as tell two nodes apart. */
enum { ROLLOUT_DIGEST_SIZE = 12 };

struct rollout_entry {
	unsigned int at; /* place in the heap plus 1; 0: not queued */
	unsigned char digest[ROLLOUT_DIGEST_SIZE];
};

/* With what mostly decides beside the pointer, a comparison seldom leaves the heap's own memory,
 * and an entry, of which each node has one for each profile, carries what is needed always. */
struct rollout_slot {
	uint64_t prefix; /* of the digest */
	const char *zone;
	struct rollout_entry *entry;
};

struct rollout_queue {
	struct rollout_slot *heap;
	size_t n, room;
	bool by_zone;
};

/* The digest of an entry, for one profile and revision. */
void rollout_entry_key(struct rollout_entry *entry, const char *node_uid, const char *profile_uid,
		       const char *revision);

void rollout_queue_deinit(struct rollout_queue *q); /* entries stay with their owners */

/* Set the order. Where it changes, what is queued is ordered anew: O(n). */
void rollout_queue_set_order(struct rollout_queue *q, bool by_zone);

/* No-op if it is queued already, here or elsewhere. The zone is borrowed while it is queued; "" for
 * none. */
void rollout_queue_push(struct rollout_queue *q, struct rollout_entry *entry, const char *zone);
/* No-op if it is not queued here. */
void rollout_queue_remove(struct rollout_queue *q, struct rollout_entry *entry);
void rollout_queue_clear(struct rollout_queue *q);

/* The first, taken out; NULL when there is none. */
struct rollout_entry *rollout_queue_pop(struct rollout_queue *q);
