#include "kube/queue_rules.h"

#include "base/container_of.h"
#include "base/mem.h"

#include <stdlib.h>

/*
 * An item is in at most one of three places: in `ready`, active, or in the heap. One that is active
 * may in addition be wanted again (`again`) or wait in the heap for later. An item that is nowhere
 * and has not failed is forgotten.
 */

struct queue_item {
	struct list link; /* in `ready` */
	char *key;
	struct backoff backoff;
	bool ready, active;
	bool again;   /* added while active */
	size_t place; /* in the heap, from 1; 0: not there */
	int64_t at_ms;
};

void queue_rules_init(struct queue_rules *q)
{
	*q = (struct queue_rules){0};
	list_init(&q->ready);
}

static void queue_item_free(void *value)
{
	struct queue_item *item = value;

	free(item->key);
	free(item);
}

void queue_rules_clear(struct queue_rules *q)
{
	map_clear(&q->items, queue_item_free);
	free(q->heap);
	queue_rules_init(q);
}

static void queue_heap_set(struct queue_rules *q, size_t place, struct queue_item *item)
{
	q->heap[place] = item;
	item->place = place;
}

static void queue_heap_up(struct queue_rules *q, struct queue_item *item)
{
	size_t place = item->place;

	for (; place > 1 && q->heap[place / 2]->at_ms > item->at_ms; place /= 2)
		queue_heap_set(q, place, q->heap[place / 2]);
	queue_heap_set(q, place, item);
}

static void queue_heap_down(struct queue_rules *q, struct queue_item *item)
{
	size_t place = item->place;
	size_t child;

	for (; (child = place * 2) <= q->n_heap; place = child) {
		if (child < q->n_heap && q->heap[child + 1]->at_ms < q->heap[child]->at_ms)
			child++;
		if (q->heap[child]->at_ms >= item->at_ms)
			break;
		queue_heap_set(q, place, q->heap[child]);
	}
	queue_heap_set(q, place, item);
}

static void queue_heap_put(struct queue_rules *q, struct queue_item *item, int64_t at_ms)
{
	if (item->place > 0) {
		if (at_ms < item->at_ms) {
			item->at_ms = at_ms;
			queue_heap_up(q, item);
		}
		return;
	}
	item->at_ms = at_ms;
	if (q->n_heap + 2 > q->cap_heap) {
		q->cap_heap = q->cap_heap ? q->cap_heap * 2 : 16;
		q->heap = mem_resize(q->heap, q->cap_heap, sizeof(struct queue_item *));
	}
	queue_heap_set(q, ++q->n_heap, item);
	queue_heap_up(q, item);
}

static void queue_heap_remove(struct queue_rules *q, struct queue_item *item)
{
	size_t place = item->place;
	struct queue_item *last;

	if (place == 0)
		return;
	last = q->heap[q->n_heap--];
	item->place = 0;
	if (last == item)
		return;
	queue_heap_set(q, place, last);
	queue_heap_up(q, last);
	queue_heap_down(q, last);
}

static struct queue_item *queue_item_of(struct queue_rules *q, const char *key)
{
	struct queue_item *item = map_get(&q->items, key);

	if (item)
		return item;
	item = MEM_NEW(struct queue_item);
	*item = (struct queue_item){
	    .key = mem_strdup(key),
	    .backoff = {.first_ms = 5, .max_ms = 1000000, .factor = 2.0},
	};
	list_init(&item->link);
	map_put(&q->items, key, item);
	return item;
}

static void queue_make_ready(struct queue_rules *q, struct queue_item *item)
{
	queue_heap_remove(q, item);
	if (item->active) {
		item->again = true;
	} else if (!item->ready) {
		item->ready = true;
		q->n_ready++;
		list_append(&q->ready, &item->link);
	}
}

void queue_rules_add(struct queue_rules *q, const char *key)
{
	queue_make_ready(q, queue_item_of(q, key));
}

void queue_rules_add_after(struct queue_rules *q, const char *key, int64_t at_ms)
{
	struct queue_item *item = queue_item_of(q, key);

	if (!item->ready && !item->again)
		queue_heap_put(q, item, at_ms);
}

const char *queue_rules_take(struct queue_rules *q, int64_t now_ms)
{
	struct queue_item *item;

	while (q->n_heap > 0 && q->heap[1]->at_ms <= now_ms)
		queue_make_ready(q, q->heap[1]);
	if (list_is_empty(&q->ready))
		return NULL;
	item = container_of(q->ready.next, struct queue_item, link);
	list_remove(&item->link);
	item->ready = false;
	item->active = true;
	q->n_ready--;
	q->n_active++;
	return item->key;
}

static void queue_forget(struct queue_rules *q, struct queue_item *item)
{
	map_del(&q->items, item->key);
	queue_item_free(item);
}

void queue_rules_done(struct queue_rules *q, const char *key, bool ok, int64_t now_ms)
{
	struct queue_item *item = map_get(&q->items, key);

	if (!item || !item->active)
		abort(); /* the end of work that was never begun: state would be a lie from here on
			  */
	item->active = false;
	q->n_active--;
	if (ok)
		backoff_reset(&item->backoff);
	else
		queue_heap_put(q, item, now_ms + (int64_t)backoff_next(&item->backoff, 0));
	if (item->again) {
		item->again = false;
		queue_make_ready(q, item);
	}
	if (!item->ready && item->place == 0)
		queue_forget(q, item);
}

int64_t queue_rules_next_ms(const struct queue_rules *q)
{
	if (q->n_ready > 0)
		return 0;
	return q->n_heap > 0 ? q->heap[1]->at_ms : -1;
}

size_t queue_rules_len(const struct queue_rules *q)
{
	/* What is not ready, active or waiting is forgotten. */
	return q->items.n;
}
