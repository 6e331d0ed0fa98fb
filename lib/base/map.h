#pragma once

/*
 * A hash map from strings to pointers.
 *
 * Keys are copied, unless the map is made with MAP_OF_LASTING_KEYS; values belong to the caller.
 * The hash is seeded at random once a process, since keys come from outside. The order of a walk is
 * arbitrary.
 */

#include <stdbool.h>
#include <stddef.h>

struct map_slot {
	const char *key; /* NULL: never used; MAP_DELETED: was used */
	void *value;
};

struct map {
	struct map_slot *slots;
	size_t n;      /* entries */
	size_t n_used; /* entries and deleted ones */
	size_t cap;    /* a power of two, or 0 */
	bool borrows;  /* keys are the caller's */
};

/* Its keys are not copied: each has to stay where it is for as long as its entry is there. */
#define MAP_OF_LASTING_KEYS     \
	{                       \
		.borrows = true \
	}

/* The value, or NULL where there is none. */
void *map_get(const struct map *m, const char *key);

/* Store `value`, which is not NULL. Returns the value that it replaces, or NULL. */
void *map_put(struct map *m, const char *key, void *value);

/* Take an entry out. Returns its value, or NULL where there was none. */
void *map_del(struct map *m, const char *key);

/* Walk: start with *it = 0; false at the end. The current entry may be deleted meanwhile; nothing
 * may be put. `ret_key` may be NULL. */
bool map_next(const struct map *m, size_t *it, const char **ret_key, void **ret_value);

/* Release the memory of the map and its keys, after calling `free_value`, where given, on each
 * value. The map is empty and usable afterwards. */
void map_clear(struct map *m, void (*free_value)(void *value));
