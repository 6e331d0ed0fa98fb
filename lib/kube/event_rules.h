#pragma once

/*
 * Which Events are written, under which name and count. Pure: time comes from the caller.
 */

#include "base/list.h"
#include "base/map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	EVENT_SIMILAR_MAX = 10,
	EVENT_SIMILAR_MS = 600 * 1000,
	EVENT_BURST = 25,
	EVENT_REFILL_MS = 300 * 1000,
	EVENT_REMEMBERED_MAX = 1024, /* of each kind; the oldest is forgotten */
};

/* What was used last is kept. */
struct event_cache {
	struct map map;
	struct list order; /* the oldest first */
};

struct event_rules {
	struct event_cache buckets; /* by object */
	struct event_cache similar; /* by object and reason */
	struct event_cache written; /* by object, reason and message: struct event_written */
};

/* An Event that stands in the API server, or is on its way there. */
struct event_written {
	char *name;
	int64_t count;
	int64_t first_ms, last_ms; /* wall clock */
	bool busy;                 /* a request is under way */
	bool dirty;                /* it was counted on since that request started */
};

enum event_verdict {
	EVENT_DROP,
	EVENT_CREATE, /* new */
	EVENT_COUNT,  /* one more of the same */
};

struct event_decision {
	enum event_verdict verdict;
	bool combined; /* the message stands for many similar ones */
	/* Both NULL where dropped, and valid until the next call of event_decide() or
	 * event_forget(). */
	struct event_written *written;
	const char *key; /* of `written` */
};

void event_rules_init(struct event_rules *rules);
void event_rules_clear(struct event_rules *rules);

/* One more Event: `object` names what it is about, `reason` stands for its type as well. It is
 * counted in `written`, whose name a caller who creates it fills in. */
struct event_decision event_decide(struct event_rules *rules, const char *object,
				   const char *reason, const char *message, int64_t now_ms);

/* By key; NULL where it was forgotten. */
struct event_written *event_find(struct event_rules *rules, const char *key);

/* It does not stand there (any more): the next is a new one. */
void event_forget(struct event_rules *rules, const char *key);
