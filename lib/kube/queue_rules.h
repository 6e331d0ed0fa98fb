#pragma once

/*
 * Which key is next, and when. Pure: time comes from the caller.
 */

#include "base/backoff.h"
#include "base/list.h"
#include "base/map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_rules {
	struct map items;         /* by key; held as long as there is anything to remember */
	struct list ready;        /* in the order in which they became so */
	struct queue_item **heap; /* those that wait, the earliest first */
	size_t n_heap, cap_heap;
	size_t n_ready, n_active;
};

void queue_rules_init(struct queue_rules *q);
void queue_rules_clear(struct queue_rules *q);

void queue_rules_add(struct queue_rules *q, const char *key);
void queue_rules_add_after(struct queue_rules *q, const char *key, int64_t at_ms);

/* The next key that may be worked on, NULL where there is none; it is active from now on. Valid
 * until queue_rules_done(). */
const char *queue_rules_take(struct queue_rules *q, int64_t now_ms);

void queue_rules_done(struct queue_rules *q, const char *key, bool ok, int64_t now_ms);

/* When queue_rules_take() may have something: now or earlier, later, or -1 for never by itself. */
int64_t queue_rules_next_ms(const struct queue_rules *q);

/* Keys that are ready, waiting or active, each counted once. */
size_t queue_rules_len(const struct queue_rules *q);
