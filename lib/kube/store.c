#include "kube/store.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>

struct store_entry {
	struct json_object *obj;
	uint64_t round; /* of the last list, or of the event or write that came during one */
	bool noted; /* what is held came by an event or a write in that round, not by its list */
};

char *store_key(struct json_object *obj)
{
	const char *name = js_str(obj, "metadata.name");
	const char *namespace_ = js_str(obj, "metadata.namespace");

	if (!name || !*name)
		return NULL;
	return namespace_ && *namespace_ ? mem_printf("%s/%s", namespace_, name) : mem_strdup(name);
}

/* A resourceVersion as a number; 0 where it is none. Source:
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions */
static int64_t store_version(struct json_object *obj)
{
	int64_t version = 0;

	str_to_i64(js_str(obj, "metadata.resourceVersion"), 1, INT64_MAX, &version);
	return version;
}

static bool store_is_older(struct json_object *obj, struct json_object *than)
{
	int64_t a = store_version(obj), b = store_version(than);

	return a > 0 && b > 0 && a < b;
}

static bool store_is_same(struct json_object *a, struct json_object *b)
{
	return str_equal(js_str(a, "metadata.resourceVersion"),
			 js_str(b, "metadata.resourceVersion")) &&
	       str_equal(js_str(a, "metadata.uid"), js_str(b, "metadata.uid"));
}

struct json_object *store_get(const struct store *s, const char *key)
{
	const struct store_entry *entry = map_get(&s->entries, key);

	return entry ? entry->obj : NULL;
}

size_t store_count(const struct store *s)
{
	return s->entries.n;
}

bool store_next(const struct store *s, size_t *it, const char **ret_key, struct json_object **ret)
{
	void *entry;

	if (!map_next(&s->entries, it, ret_key, &entry))
		return false;
	*ret = ((const struct store_entry *)entry)->obj;
	return true;
}

static enum store_change store_set(struct store *s, const char *key, struct store_entry *entry,
				   struct json_object *obj, struct json_object **ret_old)
{
	if (!entry) {
		entry = MEM_NEW(struct store_entry);
		*entry = (struct store_entry){.obj = json_object_get(obj), .round = s->round};
		map_put(&s->entries, key, entry);
		return STORE_ADDED;
	}
	entry->round = s->round;
	if (store_is_same(obj, entry->obj))
		return STORE_SAME;
	*ret_old = entry->obj;
	entry->obj = json_object_get(obj);
	return STORE_UPDATED;
}

enum store_change store_put(struct store *s, struct json_object *obj, struct json_object **ret_old)
{
	CLEANUP(mem_freep) char *key = store_key(obj);
	struct store_entry *entry = key ? map_get(&s->entries, key) : NULL;
	enum store_change change;

	if (!key || (entry && store_is_older(obj, entry->obj)))
		return STORE_SAME;
	change = store_set(s, key, entry, obj, ret_old);
	entry = map_get(&s->entries, key);
	entry->noted = true;
	return change;
}

enum store_change store_note(struct store *s, struct json_object *obj, struct json_object **ret_old)
{
	CLEANUP(mem_freep) char *key = store_key(obj);
	const struct store_entry *entry = key ? map_get(&s->entries, key) : NULL;

	if (!entry || !str_equal(js_str(obj, "metadata.uid"), js_str(entry->obj, "metadata.uid")))
		return STORE_SAME;
	return store_put(s, obj, ret_old);
}

static struct json_object *store_take(struct store *s, const char *key)
{
	struct store_entry *entry = map_del(&s->entries, key);
	struct json_object *obj = entry->obj;

	free(entry);
	return obj;
}

enum store_change store_delete(struct store *s, struct json_object *obj,
			       struct json_object **ret_old)
{
	CLEANUP(mem_freep) char *key = store_key(obj);
	const struct store_entry *entry = key ? map_get(&s->entries, key) : NULL;

	/* Older: it was deleted and made again, and the new one is known already. */
	if (!entry || store_is_older(obj, entry->obj))
		return STORE_SAME;
	*ret_old = store_take(s, key);
	return STORE_DELETED;
}

void store_list_begin(struct store *s)
{
	s->round++;
}

enum store_change store_list_put(struct store *s, struct json_object *obj,
				 struct json_object **ret_old)
{
	CLEANUP(mem_freep) char *key = store_key(obj);
	struct store_entry *entry = key ? map_get(&s->entries, key) : NULL;
	enum store_change change;

	if (!key)
		return STORE_SAME;
	if (entry && entry->noted && entry->round == s->round && store_is_older(obj, entry->obj))
		return STORE_SAME;
	change = store_set(s, key, entry, obj, ret_old);
	entry = map_get(&s->entries, key);
	entry->noted = false;
	return change;
}

bool store_list_end(struct store *s, struct json_object **ret_old)
{
	const char *key;
	void *value;
	size_t it = 0;

	while (map_next(&s->entries, &it, &key, &value)) {
		const struct store_entry *entry = value;

		if (entry->round == s->round)
			continue;
		*ret_old = store_take(s, key);
		return true;
	}
	return false;
}

static void store_entry_free(void *value)
{
	struct store_entry *entry = value;

	json_object_put(entry->obj);
	free(entry);
}

void store_clear(struct store *s)
{
	map_clear(&s->entries, store_entry_free);
}
