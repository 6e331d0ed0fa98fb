#include "record.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_FORMAT = 1, RECORD_CHILDREN_MAX = 4096 };

static void record_version_clear(struct record_version *v)
{
	size_t i;

	for (i = 0; i < v->n_hashes; i++)
		free(v->hashes[i].name);
	free(v->hashes);
	*v = (struct record_version){0};
}

static void record_entry_free(void *value)
{
	struct record_entry *e = value;
	size_t i;

	for (i = 0; i < e->n_children; i++)
		free(e->children[i]);
	free(e->children);
	free(e->text);
	record_version_clear(&e->held);
	record_version_clear(&e->next);
	free(e->name);
	free(e->uid);
	free(e);
}

void record_init(struct record *r, const char *path)
{
	*r = (struct record){.path = mem_strdup(path)};
}

void record_deinit(struct record *r)
{
	map_clear(&r->entries, record_entry_free);
	free(r->path);
	*r = (struct record){0};
}

struct record_entry *record_get(const struct record *r, const char *name)
{
	return map_get(&r->entries, name);
}

static void record_touch(struct record *r, struct record_entry *e)
{
	mem_replace(&e->text, NULL);
	r->is_dirty = true;
}

static struct record_entry *record_make(struct record *r, const char *name)
{
	struct record_entry *e = record_get(r, name);

	if (e)
		return e;
	e = MEM_NEW(struct record_entry);
	e->name = mem_strdup(name);
	e->uid = mem_strdup("");
	map_put(&r->entries, name, e);
	return e;
}

static void record_add_child(struct record_entry *e, const char *name)
{
	size_t i;

	for (i = 0; i < e->n_children; i++)
		if (strcmp(e->children[i], name) == 0)
			return;
	if (e->n_children == RECORD_CHILDREN_MAX)
		return;
	e->children = mem_resize(e->children, e->n_children + 1, sizeof(*e->children));
	e->children[e->n_children++] = mem_strdup(name);
}

static void record_version_set(struct record_version *v, const struct sync_item *item)
{
	struct sync_hash *hashes;

	sync_hashes_copy(item->hashes, item->n_hashes, &hashes);
	record_version_clear(v);
	memcpy(v->revision, item->revision, sizeof(v->revision));
	v->mode = item->mode;
	v->hashes = hashes;
	v->n_hashes = item->n_hashes;
}

static bool record_version_is(const struct record_version *v, const struct sync_item *item)
{
	return strcmp(v->revision, item->revision) == 0 && v->mode == item->mode &&
	       v->n_hashes == item->n_hashes && v->n_hashes > 0 &&
	       strcmp(v->hashes[0].sha256, item->hashes[0].sha256) == 0;
}

bool record_intend(struct record *r, const struct sync_item *item)
{
	struct record_entry *e = record_make(r, item->name);
	size_t i;

	if (record_version_is(&e->next, item) && strcmp(e->uid, item->uid) == 0)
		return false;
	mem_replace(&e->uid, mem_strdup(item->uid));
	record_version_set(&e->next, item);
	for (i = 1; i < item->n_hashes; i++)
		record_add_child(e, item->hashes[i].name);
	record_touch(r, e);
	return true;
}

void record_settle(struct record *r, const char *name, const char *boot_id)
{
	struct record_entry *e = record_get(r, name);

	if (!e || e->next.n_hashes == 0)
		return;
	record_version_clear(&e->held);
	e->held = e->next;
	e->next = (struct record_version){0};
	snprintf(e->boot_id, sizeof(e->boot_id), "%s", boot_id);
	record_touch(r, e);
}

void record_confirm(struct record *r, const struct sync_item *item, const char *boot_id)
{
	struct record_entry *e = record_make(r, item->name);
	size_t i;

	if (record_version_is(&e->held, item) && strcmp(e->boot_id, boot_id) == 0 &&
	    strcmp(e->uid, item->uid) == 0 && e->next.n_hashes == 0)
		return;
	mem_replace(&e->uid, mem_strdup(item->uid));
	record_version_set(&e->held, item);
	record_version_clear(&e->next);
	for (i = 1; i < item->n_hashes; i++)
		record_add_child(e, item->hashes[i].name);
	snprintf(e->boot_id, sizeof(e->boot_id), "%s", boot_id);
	record_touch(r, e);
}

void record_forget(struct record *r, const char *name)
{
	struct record_entry *e = map_del(&r->entries, name);

	if (!e)
		return;
	record_entry_free(e);
	r->is_dirty = true;
}

void record_drop_leftovers(struct record *r, const struct sync_item *item)
{
	struct record_entry *e = record_get(r, item->name);
	size_t i;

	if (!e || e->n_children + 1 == item->n_hashes)
		return;
	for (i = 0; i < e->n_children; i++)
		free(e->children[i]);
	e->n_children = 0;
	for (i = 1; i < item->n_hashes; i++)
		record_add_child(e, item->hashes[i].name);
	record_touch(r, e);
}

/* A version is written as the item it came from, so that the protocol's own code reads it. */
static struct json_object *record_encode_version(const struct record_entry *e,
						 const struct record_version *v)
{
	struct sync_item item = {.name = e->name,
				 .uid = e->uid,
				 .want = SYNC_LOADED,
				 .mode = v->mode,
				 .artefact_size = 1,
				 .hashes = v->hashes,
				 .n_hashes = v->n_hashes};
	struct json_object *set;

	memcpy(item.revision, v->revision, sizeof(item.revision));
	memset(item.artefact, '0', sizeof(item.artefact) - 1);
	set = sync_set_encode(&item, 1);
	return set;
}

static char *record_encode_entry(const struct record_entry *e)
{
	CLEANUP(js_putp) struct json_object *obj = js_new();
	struct json_object *children = js_new_array();
	size_t i;

	js_put_str(obj, "name", e->name);
	js_put_str(obj, "uid", e->uid);
	js_put_str(obj, "bootID", e->boot_id);
	if (e->held.n_hashes > 0)
		js_put(obj, "held", record_encode_version(e, &e->held));
	if (e->next.n_hashes > 0)
		js_put(obj, "next", record_encode_version(e, &e->next));
	for (i = 0; i < e->n_children; i++)
		js_append(children, js_text(e->children[i]));
	js_put(obj, "children", children);
	return mem_strdup(js_print(obj, NULL));
}

/* Among many entries few change at a time, and only they are encoded. */
static bool record_encode(struct record *r, struct buf *text)
{
	bool fits = buf_addf(text, "{\"format\":%d,\"profiles\":[", RECORD_FORMAT);
	const char *comma = "";
	size_t it = 0;
	void *value;

	while (fits && map_next(&r->entries, &it, NULL, &value)) {
		struct record_entry *e = value;

		if (!e->text)
			e->text = record_encode_entry(e);
		fits = buf_addf(text, "%s%s", comma, e->text);
		comma = ",\n";
	}
	return fits && buf_add_str(text, "]}\n");
}

int record_save(struct record *r, struct err *err)
{
	CLEANUP(buf_clear) struct buf text = BUF_INIT(RECORD_MAX_BYTES);
	int ret;

	if (!r->is_dirty)
		return 0;
	if (!record_encode(r, &text))
		return err_set(err, -EFBIG, "record %s would be longer than %d bytes", r->path,
			       RECORD_MAX_BYTES);
	ret = file_replace(r->path, text.data, text.len, 0600, err);
	if (ret == 0)
		r->is_dirty = false;
	return ret;
}

static int record_decode_version(struct json_object *obj, const char *key, struct record_version *v,
				 struct err *err)
{
	struct sync_item *items = NULL;
	size_t n = 0;
	bool is_one;
	int r;

	if (!js_get(obj, key))
		return 0;
	r = sync_set_decode(js_array(obj, key), &items, &n, err);
	if (r < 0)
		return err_wrap(err, "%s", key);
	is_one = n == 1 && items[0].want == SYNC_LOADED;
	if (is_one)
		record_version_set(v, &items[0]);
	sync_items_free(items, n);
	return is_one ? 0 : err_set(err, -EINVAL, "%s is not one version", key);
}

static int record_decode_entry(struct record *r, struct json_object *obj, struct err *err)
{
	const char *name = js_str(obj, "name");
	const char *boot_id = js_str_or_empty(obj, "bootID");
	struct json_object *children = js_array(obj, "children");
	struct record_entry *e;
	size_t i;
	int ret;

	if (!name || !*name || strlen(name) > SYNC_NAME_MAX)
		return err_set(err, -EINVAL, "a name is missing or too long");
	if (strlen(boot_id) >= RECORD_BOOT_ID_SIZE)
		return err_set(err, -EINVAL, "bootID is too long");
	if (record_get(r, name))
		return err_set(err, -EINVAL, "a name stands twice");
	e = record_make(r, name);
	mem_replace(&e->uid, mem_strdup(js_str_or_empty(obj, "uid")));
	memcpy(e->boot_id, boot_id, strlen(boot_id) + 1);
	ret = record_decode_version(obj, "held", &e->held, err);
	if (ret == 0)
		ret = record_decode_version(obj, "next", &e->next, err);
	for (i = 0; ret == 0 && i < js_len(children); i++) {
		const char *child = json_object_get_string(js_item(children, i));

		if (child && str_has_prefix(child, name))
			record_add_child(e, child);
	}
	return ret;
}

int record_decode(struct record *r, const char *text, size_t n, struct err *err)
{
	CLEANUP(js_putp) struct json_object *obj = NULL;
	struct json_object *profiles;
	size_t i;
	int ret = js_parse(text, n, &obj, err);

	if (ret < 0)
		return ret;
	profiles = js_array(obj, "profiles");
	if (js_i64(obj, "format", 0) != RECORD_FORMAT || !profiles)
		return err_set(err, -EINVAL, "it is not of a format known here");
	if (js_len(profiles) > RECORD_ENTRIES_MAX)
		return err_set(err, -EINVAL, "it has more than %d entries", RECORD_ENTRIES_MAX);
	for (i = 0; ret == 0 && i < js_len(profiles); i++)
		ret = record_decode_entry(r, js_item(profiles, i), err);
	if (ret < 0)
		map_clear(&r->entries, record_entry_free);
	return ret;
}

int record_load(struct record *r, struct err *err)
{
	CLEANUP(buf_clear) struct buf text = BUF_INIT(RECORD_MAX_BYTES);
	int ret = file_read(r->path, &text, err);

	if (ret == -ENOENT)
		return 0;
	if (ret == 0)
		ret = record_decode(r, buf_text(&text), text.len, err);
	return ret < 0 ? err_wrap(err, "record %s", r->path) : 0;
}
