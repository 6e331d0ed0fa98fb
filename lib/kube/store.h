#pragma once

/*
 * The objects of one collection, by key, and what a list or an event changes in them. Pure.
 *
 * A key is "name", or "namespace/name" for an object that has a namespace. The versions of one
 * object are compared as numbers, which Kubernetes allows for objects of one resource: an event
 * that is older than what is held changes nothing. A list is believed as it is, for it may come
 * from a restored backup.
 */

#include "base/js.h"
#include "base/map.h"

#include <stdbool.h>
#include <stdint.h>

struct store {
	struct map entries;
	uint64_t round; /* of lists */
};

enum store_change { STORE_SAME, STORE_ADDED, STORE_UPDATED, STORE_DELETED };

/* The key of an object; NULL where it has no name. The caller frees it. */
char *store_key(struct json_object *obj);

/* Borrowed; NULL where there is none. */
struct json_object *store_get(const struct store *s, const char *key);

size_t store_count(const struct store *s);

/* Walk: start with *it = 0; false at the end. Nothing may be put or deleted meanwhile. */
bool store_next(const struct store *s, size_t *it, const char **ret_key, struct json_object **ret);

/* An object that was added or modified; a reference is taken. Where it is STORE_UPDATED, the former
 * object is handed to the caller, who puts it. */
enum store_change store_put(struct store *s, struct json_object *obj, struct json_object **ret_old);

/* The same for an object that a write of ours brought back. It may be deleted by now, so one that
 * is not held is left to its event. */
enum store_change store_note(struct store *s, struct json_object *obj,
			     struct json_object **ret_old);

/* `obj` is the object's last state. STORE_DELETED: the object that was held is handed to the
 * caller. */
enum store_change store_delete(struct store *s, struct json_object *obj,
			       struct json_object **ret_old);

/* A list: begin, then each item, then store_list_end() until it returns false; each time it hands
 * over an object that the list did not have and that is no longer held. */
void store_list_begin(struct store *s);
enum store_change store_list_put(struct store *s, struct json_object *obj,
				 struct json_object **ret_old);
bool store_list_end(struct store *s, struct json_object **ret_old);

void store_clear(struct store *s);
