#include "kube/event_rules.h"

#include "base/container_of.h"
#include "base/mem.h"

#include <stdlib.h>

/*
 * Three caches, asked in turn: has this object any events left (a token bucket), are there too many
 * different messages under one reason, and does this very Event stand there already. Each is
 * bounded; a forgotten entry means an Event too many, no more.
 */

struct event_entry {
	struct list link;
	char *key;
};

struct event_bucket {
	struct event_entry entry;
	int64_t tokens_ms; /* each token is worth EVENT_REFILL_MS */
	int64_t filled_ms; /* when */
};

struct event_similar {
	struct event_entry entry;
	int64_t last_ms;
	uint64_t messages[EVENT_SIMILAR_MAX]; /* their hashes */
	size_t n;
};

struct event_record {
	struct event_entry entry;
	struct event_written written;
};

static void event_cache_init(struct event_cache *cache)
{
	*cache = (struct event_cache){0};
	list_init(&cache->order);
}

static void event_entry_free(struct event_entry *entry)
{
	list_remove(&entry->link);
	free(entry->key);
	free(entry);
}

/* Where an entry is the first member of what it is part of, the oldest makes room for the new. */
static void event_cache_put(struct event_cache *cache, const char *key, struct event_entry *entry,
			    void (*free_entry)(struct event_entry *entry))
{
	if (cache->map.n >= EVENT_REMEMBERED_MAX) {
		struct event_entry *oldest =
		    container_of(cache->order.next, struct event_entry, link);

		map_del(&cache->map, oldest->key);
		free_entry(oldest);
	}
	entry->key = mem_strdup(key);
	map_put(&cache->map, key, entry);
	list_append(&cache->order, &entry->link);
}

/* The entry, which is now the one used last. */
static void *event_cache_get(struct event_cache *cache, const char *key)
{
	struct event_entry *entry = map_get(&cache->map, key);

	if (entry) {
		list_remove(&entry->link);
		list_append(&cache->order, &entry->link);
	}
	return entry;
}

static void event_cache_clear(struct event_cache *cache,
			      void (*free_entry)(struct event_entry *entry))
{
	LIST_FOREACH(it, &cache->order)
		free_entry(container_of(it, struct event_entry, link));
	map_clear(&cache->map, NULL);
}

static void event_record_free(struct event_entry *entry)
{
	struct event_record *record = container_of(entry, struct event_record, entry);

	free(record->written.name);
	event_entry_free(entry);
}

/* True where the object may have one more Event. */
static bool event_spend(struct event_rules *rules, const char *object, int64_t now_ms)
{
	const int64_t full_ms = (int64_t)EVENT_BURST * EVENT_REFILL_MS;
	struct event_bucket *bucket = event_cache_get(&rules->buckets, object);

	if (!bucket) {
		bucket = MEM_NEW(struct event_bucket);
		bucket->tokens_ms = full_ms;
		bucket->filled_ms = now_ms;
		event_cache_put(&rules->buckets, object, &bucket->entry, event_entry_free);
	}
	if (now_ms > bucket->filled_ms)
		bucket->tokens_ms += now_ms - bucket->filled_ms;
	if (bucket->tokens_ms > full_ms)
		bucket->tokens_ms = full_ms;
	bucket->filled_ms = now_ms;
	if (bucket->tokens_ms < EVENT_REFILL_MS)
		return false;
	bucket->tokens_ms -= EVENT_REFILL_MS;
	return true;
}

/* FNV-1a, 64 bits. A collision makes two messages count as one. */
static uint64_t event_hash(const char *text)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ULL;
	return h;
}

/* True where more than EVENT_SIMILAR_MAX different messages came, none more than EVENT_SIMILAR_MS
 * after the one before. */
static bool event_is_one_of_many(struct event_rules *rules, const char *key, const char *message,
				 int64_t now_ms)
{
	const uint64_t hash = event_hash(message);
	struct event_similar *similar = event_cache_get(&rules->similar, key);
	size_t i;

	if (!similar) {
		similar = MEM_NEW(struct event_similar);
		event_cache_put(&rules->similar, key, &similar->entry, event_entry_free);
	} else if (now_ms - similar->last_ms > EVENT_SIMILAR_MS) {
		similar->n = 0;
	}
	similar->last_ms = now_ms;
	for (i = 0; i < similar->n; i++)
		if (similar->messages[i] == hash)
			return false;
	if (similar->n == EVENT_SIMILAR_MAX)
		return true;
	similar->messages[similar->n++] = hash;
	return false;
}

static struct event_decision event_count(struct event_rules *rules, const char *key, int64_t now_ms)
{
	struct event_record *record = event_cache_get(&rules->written, key);
	struct event_decision decision = {.verdict = EVENT_COUNT};

	if (!record) {
		record = MEM_NEW(struct event_record);
		record->written.first_ms = now_ms;
		event_cache_put(&rules->written, key, &record->entry, event_record_free);
		decision.verdict = EVENT_CREATE;
	}
	record->written.count++;
	record->written.last_ms = now_ms;
	decision.written = &record->written;
	decision.key = record->entry.key;
	return decision;
}

struct event_decision event_decide(struct event_rules *rules, const char *object,
				   const char *reason, const char *message, int64_t now_ms)
{
	CLEANUP(mem_freep) char *group = mem_printf("%s\n%s", object, reason);
	bool combined = event_is_one_of_many(rules, group, message, now_ms);
	CLEANUP(mem_freep)
	char *key = combined ? mem_strdup(group) : mem_printf("%s\n%s", group, message);
	struct event_decision decision;

	if (!event_spend(rules, object, now_ms))
		return (struct event_decision){.verdict = EVENT_DROP};
	decision = event_count(rules, key, now_ms);
	decision.combined = combined;
	return decision;
}

struct event_written *event_find(struct event_rules *rules, const char *key)
{
	struct event_record *record = map_get(&rules->written.map, key);

	return record ? &record->written : NULL;
}

void event_forget(struct event_rules *rules, const char *key)
{
	struct event_record *record = map_del(&rules->written.map, key);

	if (record)
		event_record_free(&record->entry);
}

void event_rules_init(struct event_rules *rules)
{
	event_cache_init(&rules->buckets);
	event_cache_init(&rules->similar);
	event_cache_init(&rules->written);
}

void event_rules_clear(struct event_rules *rules)
{
	event_cache_clear(&rules->buckets, event_entry_free);
	event_cache_clear(&rules->similar, event_entry_free);
	event_cache_clear(&rules->written, event_record_free);
}
