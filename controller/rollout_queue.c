#include "controller/rollout_queue.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static unsigned int queue_nibble(char digit)
{
	return (unsigned int)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

void rollout_entry_key(struct rollout_entry *entry, const char *node_uid, const char *profile_uid,
		       const char *revision)
{
	/* Each with its NUL, so that no two triples are the same bytes. */
	const struct sha_part parts[] = {
	    {node_uid, strlen(node_uid) + 1},
	    {profile_uid, strlen(profile_uid) + 1},
	    {revision, strlen(revision) + 1},
	};
	char hex[SHA256_HEX];
	size_t i;

	sha_hex(SHA_256, parts, sizeof(parts) / sizeof(parts[0]), hex);
	for (i = 0; i < sizeof(entry->digest); i++)
		entry->digest[i] =
		    (unsigned char)(queue_nibble(hex[2 * i]) << 4 | queue_nibble(hex[2 * i + 1]));
}

void rollout_queue_deinit(struct rollout_queue *q)
{
	rollout_queue_clear(q);
	free(q->heap);
	q->heap = NULL;
	q->room = 0;
}

static int queue_compare_zones(const char *a, const char *b)
{
	if (a == b)
		return 0;
	if (!*a || !*b)
		return !*a - !*b;
	return strcmp(a, b);
}

static bool queue_is_before(const struct rollout_queue *q, const struct rollout_slot *a,
			    const struct rollout_slot *b)
{
	int order = q->by_zone ? queue_compare_zones(a->zone, b->zone) : 0;

	if (order)
		return order < 0;
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix;
	return memcmp(a->entry->digest, b->entry->digest, sizeof(a->entry->digest)) < 0;
}

static struct rollout_slot queue_slot(struct rollout_entry *entry, const char *zone)
{
	struct rollout_slot slot = {.zone = zone, .entry = entry};
	size_t i;

	for (i = 0; i < sizeof(slot.prefix); i++)
		slot.prefix = slot.prefix << 8 | entry->digest[i];
	return slot;
}

static void queue_put(struct rollout_queue *q, size_t at, struct rollout_slot slot)
{
	q->heap[at] = slot;
	slot.entry->at = (unsigned int)at + 1;
}

/* Find a place for a slot at or above a free one. */
static void queue_rise(struct rollout_queue *q, size_t at, struct rollout_slot slot)
{
	while (at > 0 && queue_is_before(q, &slot, &q->heap[(at - 1) / 2])) {
		queue_put(q, at, q->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	queue_put(q, at, slot);
}

/* Find a place for a slot at or below a free one. */
static void queue_sink(struct rollout_queue *q, size_t at, struct rollout_slot slot)
{
	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < q->n && queue_is_before(q, &q->heap[child + 1], &q->heap[child]))
			child++;
		if (child >= q->n || !queue_is_before(q, &q->heap[child], &slot))
			break;
		queue_put(q, at, q->heap[child]);
		at = child;
	}
	queue_put(q, at, slot);
}

void rollout_queue_set_order(struct rollout_queue *q, bool by_zone)
{
	size_t i;

	if (q->by_zone == by_zone)
		return;
	q->by_zone = by_zone;
	for (i = q->n / 2; i-- > 0;)
		queue_sink(q, i, q->heap[i]);
}

void rollout_queue_push(struct rollout_queue *q, struct rollout_entry *entry, const char *zone)
{
	if (entry->at)
		return;
	if (q->n == q->room) {
		q->room = q->room ? 2 * q->room : 16;
		q->heap = mem_resize(q->heap, q->room, sizeof(*q->heap));
	}
	q->n++;
	queue_rise(q, q->n - 1, queue_slot(entry, zone));
}

void rollout_queue_remove(struct rollout_queue *q, struct rollout_entry *entry)
{
	size_t at = entry->at - 1;
	struct rollout_slot last;

	/* One that is queued elsewhere is not ours to remove. */
	if (!entry->at || entry->at > q->n || q->heap[at].entry != entry)
		return;
	entry->at = 0;
	last = q->heap[--q->n];
	if (last.entry == entry)
		return;
	/* The last one fills the gap. It may belong above or below: it is of another branch. */
	if (at > 0 && queue_is_before(q, &last, &q->heap[(at - 1) / 2]))
		queue_rise(q, at, last);
	else
		queue_sink(q, at, last);
}

void rollout_queue_clear(struct rollout_queue *q)
{
	size_t i;

	for (i = 0; i < q->n; i++)
		q->heap[i].entry->at = 0;
	q->n = 0;
}

struct rollout_entry *rollout_queue_pop(struct rollout_queue *q)
{
	struct rollout_entry *first = q->n > 0 ? q->heap[0].entry : NULL;

	if (first)
		rollout_queue_remove(q, first);
	return first;
}
