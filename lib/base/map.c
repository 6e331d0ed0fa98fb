#include "base/map.h"

#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static char map_deleted[1];
#define MAP_DELETED map_deleted

static uint64_t map_seed(void)
{
	static uint64_t seed;

	if (seed == 0 && getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		abort();
	seed |= 1;
	return seed;
}

static uint64_t map_hash(const char *key)
{
	uint64_t h = map_seed();

	for (; *key; key++) {
		h ^= (unsigned char)*key;
		h *= 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return h;
}

/* The slot of `key`, or the one where it would go. The map is never full. */
static struct map_slot *map_find(const struct map *m, const char *key)
{
	struct map_slot *free_slot = NULL;
	size_t i;

	for (i = map_hash(key) & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *s = &m->slots[i];

		if (!s->key)
			return free_slot ? free_slot : s;
		if (s->key == MAP_DELETED) {
			if (!free_slot)
				free_slot = s;
		} else if (strcmp(s->key, key) == 0) {
			return s;
		}
	}
}

static bool map_is_live(const struct map_slot *s)
{
	return s->key && s->key != MAP_DELETED;
}

static void map_free_key(const struct map *m, struct map_slot *s)
{
	if (!m->borrows)
		free((void *)s->key);
}

static void map_resize(struct map *m)
{
	struct map old = *m;
	size_t cap = 16;
	size_t i;

	while (cap < old.n * 4)
		cap *= 2;
	*m = (struct map){
	    .slots = mem_alloc(cap, sizeof(*m->slots)), .cap = cap, .borrows = old.borrows};
	for (i = 0; i < old.cap; i++) {
		if (!map_is_live(&old.slots[i]))
			continue;
		*map_find(m, old.slots[i].key) = old.slots[i];
		m->n++;
		m->n_used++;
	}
	free(old.slots);
}

void *map_get(const struct map *m, const char *key)
{
	const struct map_slot *s;

	if (m->n == 0)
		return NULL;
	s = map_find(m, key);
	return map_is_live(s) ? s->value : NULL;
}

void *map_put(struct map *m, const char *key, void *value)
{
	struct map_slot *s;
	void *old;

	if ((m->n_used + 1) * 4 > m->cap * 3)
		map_resize(m);
	s = map_find(m, key);
	if (map_is_live(s)) {
		old = s->value;
		s->value = value;
		return old;
	}
	if (!s->key)
		m->n_used++;
	s->key = m->borrows ? key : mem_strdup(key);
	s->value = value;
	m->n++;
	return NULL;
}

void *map_del(struct map *m, const char *key)
{
	struct map_slot *s;

	if (m->n == 0)
		return NULL;
	s = map_find(m, key);
	if (!map_is_live(s))
		return NULL;
	map_free_key(m, s);
	s->key = MAP_DELETED;
	m->n--;
	return s->value;
}

bool map_next(const struct map *m, size_t *it, const char **ret_key, void **ret_value)
{
	for (; *it < m->cap; (*it)++) {
		const struct map_slot *s = &m->slots[*it];

		if (!map_is_live(s))
			continue;
		if (ret_key)
			*ret_key = s->key;
		*ret_value = s->value;
		(*it)++;
		return true;
	}
	return false;
}

void map_clear(struct map *m, void (*free_value)(void *value))
{
	size_t i;

	for (i = 0; i < m->cap; i++) {
		if (!map_is_live(&m->slots[i]))
			continue;
		map_free_key(m, &m->slots[i]);
		if (free_value)
			free_value(m->slots[i].value);
	}
	free(m->slots);
	*m = (struct map){.borrows = m->borrows};
}
