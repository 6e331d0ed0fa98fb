#include "controller/artefact.h"

#include "base/container_of.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/artefact_disk.h"

#include <stdlib.h>
#include <string.h>

struct artefact_store {
	char *dir;
	uint64_t max_bytes;
	uint64_t bytes;
	struct map files; /* place -> struct artefact_file */
	struct list used; /* those on disk, the one that was not used for longest first */
	struct list hot;  /* those in memory, in the same order */
	size_t hot_bytes;
};

/* A file that is on disk, or about to be. */
struct artefact_file {
	char *place;
	bool on_disk;
	uint64_t size; /* in whole blocks */
	int64_t used_ns;
	struct list used_link;
	struct artefact_bytes *bytes; /* NULL: not in memory */
	struct list hot_link;
};

static uint64_t artefact_blocks(uint64_t size)
{
	return (size + ARTEFACT_BLOCK - 1) / ARTEFACT_BLOCK * ARTEFACT_BLOCK;
}

/* Bytes in memory. */

static struct artefact_bytes *artefact_bytes_new(const void *data, size_t n)
{
	struct artefact_bytes *b = MEM_NEW(struct artefact_bytes);

	b->data = mem_strndup(data, n);
	b->n = n;
	b->refs = 1;
	return b;
}

void artefact_bytes_unref(void *bytes)
{
	struct artefact_bytes *b = bytes;

	if (!b || --b->refs > 0)
		return;
	free(b->data);
	free(b);
}

static void artefact_cool(struct artefact_store *store, struct artefact_file *file)
{
	if (!file->bytes)
		return;
	store->hot_bytes -= file->bytes->n;
	artefact_bytes_unref(STEAL(file->bytes));
	list_remove(&file->hot_link);
}

/* Keep it in memory, which takes over the reference. */
static void artefact_heat(struct artefact_store *store, struct artefact_file *file,
			  struct artefact_bytes *bytes)
{
	artefact_cool(store, file);
	file->bytes = bytes;
	list_append(&store->hot, &file->hot_link);
	store->hot_bytes += bytes->n;
	while (store->hot_bytes > ARTEFACT_MEMORY_MAX)
		artefact_cool(store, container_of(store->hot.next, struct artefact_file, hot_link));
}

/* Files. */

static void artefact_file_free(void *value)
{
	struct artefact_file *file = value;

	artefact_bytes_unref(file->bytes);
	free(file->place);
	free(file);
}

static struct artefact_file *artefact_need(struct artefact_store *store, const char *place)
{
	struct artefact_file *file = map_get(&store->files, place);

	if (file)
		return file;
	file = MEM_NEW(struct artefact_file);
	file->place = mem_strdup(place);
	list_init(&file->used_link);
	list_init(&file->hot_link);
	map_put(&store->files, place, file);
	return file;
}

static void artefact_drop_unless_there(struct artefact_store *store, struct artefact_file *file)
{
	if (file->on_disk)
		return;
	map_del(&store->files, file->place);
	artefact_file_free(file);
}

/* It is not on disk any more. `file` may be gone after this. */
static void artefact_forget(struct artefact_store *store, struct artefact_file *file)
{
	artefact_cool(store, file);
	list_remove(&file->used_link);
	store->bytes -= file->size;
	file->size = 0;
	file->on_disk = false;
	artefact_drop_unless_there(store, file);
}

static void artefact_touch(struct artefact_store *store, struct artefact_file *file)
{
	list_remove(&file->used_link);
	list_append(&store->used, &file->used_link);
	if (file->bytes) {
		list_remove(&file->hot_link);
		list_append(&store->hot, &file->hot_link);
	}
}

static void artefact_note(struct artefact_store *store, struct artefact_file *file, uint64_t size)
{
	store->bytes += artefact_blocks(size) - file->size;
	file->size = artefact_blocks(size);
	file->on_disk = true;
	artefact_touch(store, file);
}

/* Room. */

static void artefact_make_room(struct artefact_store *store, const struct artefact_file *keep)
{
	LIST_FOREACH(item, &store->used) {
		struct artefact_file *f = container_of(item, struct artefact_file, used_link);

		if (store->bytes <= store->max_bytes)
			break;
		if (f != keep && artefact_disk_remove(store->dir, f->place))
			artefact_forget(store, f);
	}
}

/* Opening. */

struct artefact_found {
	struct artefact_file **files;
	size_t n;
	struct artefact_store *store;
};

static void artefact_on_found(void *data, struct artefact_disk_file *found)
{
	struct artefact_found *all = data;
	struct artefact_file *file = artefact_need(all->store, found->place);

	file->size = found->size;
	file->used_ns = found->used_ns;
	if ((all->n & (all->n + 1)) == 0)
		all->files = mem_resize(all->files, 2 * all->n + 2, sizeof(struct artefact_file *));
	all->files[all->n++] = file;
	free(found->place);
}

static int artefact_compare_used(const void *a, const void *b)
{
	const struct artefact_file *x = *(struct artefact_file *const *)a;
	const struct artefact_file *y = *(struct artefact_file *const *)b;

	return (x->used_ns > y->used_ns) - (x->used_ns < y->used_ns);
}

static int artefact_scan(struct artefact_store *store, struct err *err)
{
	struct artefact_found all = {.store = store};
	int r = artefact_disk_scan(store->dir, artefact_on_found, &all, err);
	size_t i;

	if (all.n > 1)
		qsort(all.files, all.n, sizeof(struct artefact_file *), artefact_compare_used);
	for (i = 0; i < all.n; i++) {
		uint64_t size = all.files[i]->size;

		all.files[i]->size = 0;
		artefact_note(store, all.files[i], size);
	}
	free(all.files);
	return r;
}

int artefact_store_open(const char *dir, uint64_t max_bytes, struct artefact_store **ret,
			struct err *err)
{
	struct artefact_store *store = MEM_NEW(struct artefact_store);
	int r;

	store->dir = mem_strdup(dir);
	store->max_bytes = max_bytes;
	list_init(&store->used);
	list_init(&store->hot);
	r = artefact_scan(store, err);
	if (r < 0) {
		artefact_store_close(store);
		return r;
	}
	artefact_make_room(store, NULL);
	*ret = store;
	return 0;
}

void artefact_store_close(struct artefact_store *store)
{
	if (!store)
		return;
	map_clear(&store->files, artefact_file_free);
	free(store->dir);
	free(store);
}

/* Reading and writing. */

static int artefact_write(struct artefact_store *store, struct artefact_file *file,
			  const void *bytes, size_t n, struct err *err)
{
	int r;

	if (artefact_blocks(n) > store->max_bytes)
		return err_set(err, -ENOSPC,
			       "%zu bytes pass the ceiling of %llu bytes for all: raise it", n,
			       (unsigned long long)store->max_bytes);
	r = artefact_disk_write(store->dir, file->place, bytes, n, err);
	if (r < 0)
		return r;
	artefact_note(store, file, n);
	artefact_make_room(store, file);
	return 0;
}

/* Read a file that should be there; where it is not, that is forgotten. */
static int artefact_read(struct artefact_store *store, struct artefact_file *file, struct buf *ret,
			 struct err *err)
{
	int r = artefact_disk_read(store->dir, file->place, ret, err);

	if (r == -ENOENT)
		artefact_forget(store, file);
	return r;
}

/* Its bytes are wrong. */
static void artefact_discard(struct artefact_store *store, struct artefact_file *file)
{
	artefact_disk_remove(store->dir, file->place);
	artefact_forget(store, file);
}

static struct artefact_file *artefact_find(const struct artefact_store *store, const char *folder,
					   const char *name)
{
	CLEANUP(mem_freep) char *place = NULL;
	struct artefact_file *file;

	if (!str_is_hex(name, SHA256_HEX - 1))
		return NULL;
	place = artefact_disk_place(folder, name);
	file = map_get(&store->files, place);
	return file && file->on_disk ? file : NULL;
}

/* Artefacts. */

static struct artefact_bytes *artefact_bytes_ref(struct artefact_bytes *bytes)
{
	bytes->refs++;
	return bytes;
}

/* From disk into memory. */
static int artefact_load(struct artefact_store *store, struct artefact_file *file,
			 const char *sha256, struct artefact_bytes **ret, struct err *err)
{
	struct buf bytes = BUF_INIT(ARTEFACT_MAX);
	char actual[SHA256_HEX] = "";
	int r = artefact_read(store, file, &bytes, err);

	if (r == 0)
		sha256_hex(buf_text(&bytes), bytes.len, actual);
	if (r == 0 && strcmp(actual, sha256) == 0) {
		*ret = artefact_bytes_new(buf_text(&bytes), bytes.len);
		artefact_heat(store, file, artefact_bytes_ref(*ret));
		artefact_touch(store, file);
	} else if (r == 0 || r == -EFBIG) {
		artefact_discard(store, file);
		err_set(err, -EILSEQ,
			"artefact %s was damaged on disk: it was removed and has to be compiled "
			"again",
			sha256);
		r = -EILSEQ;
	}
	buf_clear(&bytes);
	return r;
}

int artefact_share(struct artefact_store *store, const char *sha256, struct artefact_bytes **ret,
		   struct err *err)
{
	struct artefact_file *file = artefact_find(store, ARTEFACT_DISK_ARTEFACTS, sha256);

	if (!file) {
		err_set(err, -ENOENT, "there is no artefact %.64s", sha256);
		return -ENOENT;
	}
	if (!file->bytes)
		return artefact_load(store, file, sha256, ret, err);
	artefact_touch(store, file);
	*ret = artefact_bytes_ref(file->bytes);
	return 0;
}

bool artefact_is_whole(struct artefact_store *store, const char *sha256)
{
	struct artefact_bytes *bytes;
	struct err err;

	if (artefact_share(store, sha256, &bytes, &err) != 0)
		return false;
	artefact_bytes_unref(bytes);
	return true;
}

int artefact_put(struct artefact_store *store, const void *bytes, size_t n,
		 char ret_sha256[SHA256_HEX], struct err *err)
{
	CLEANUP(mem_freep) char *place = NULL;
	struct artefact_file *file;
	char sha256[SHA256_HEX];
	int r;

	if (n == 0 || n > ARTEFACT_MAX)
		return err_set(err, -EINVAL, "an artefact has 1 to %d bytes, not %zu", ARTEFACT_MAX,
			       n);
	sha256_hex(bytes, n, sha256);
	if (!artefact_is_whole(store, sha256)) {
		place = artefact_disk_place(ARTEFACT_DISK_ARTEFACTS, sha256);
		file = artefact_need(store, place);
		r = artefact_write(store, file, bytes, n, err);
		if (r < 0) {
			artefact_drop_unless_there(store, file);
			return r;
		}
		artefact_heat(store, file, artefact_bytes_new(bytes, n));
	}
	memcpy(ret_sha256, sha256, SHA256_HEX);
	return 0;
}

uint64_t artefact_store_bytes(const struct artefact_store *store)
{
	return store->bytes;
}

/* The index. A record is SHA-256 of key and text, a line feed, and the text. */

static void artefact_record_hash(const char *key, const char *text, size_t n, char out[SHA256_HEX])
{
	struct sha_part parts[] = {{key, SHA256_HEX - 1}, {text, n}};

	sha_hex(SHA_256, parts, 2, out);
}

int artefact_index_put(struct artefact_store *store, const char *key, struct json_object *record,
		       struct err *err)
{
	struct buf text = BUF_INIT(ARTEFACT_RECORD_MAX);
	CLEANUP(mem_freep) char *place = NULL;
	struct artefact_file *file;
	char hash[SHA256_HEX];
	const char *json;
	size_t n;
	int r;

	if (!str_is_hex(key, SHA256_HEX - 1))
		return err_set(err, -EINVAL, "a key of the index is 64 hexadecimal digits");
	json = js_print(record, &n);
	artefact_record_hash(key, json, n, hash);
	if (!buf_addf(&text, "%s\n", hash) || !buf_add(&text, json, n)) {
		buf_clear(&text);
		return err_set(err, -EFBIG, "a record of %zu bytes is longer than %d", n,
			       ARTEFACT_RECORD_MAX);
	}
	place = artefact_disk_place(ARTEFACT_DISK_BUILDS, key);
	file = artefact_need(store, place);
	r = artefact_write(store, file, text.data, text.len, err);
	artefact_drop_unless_there(store, file);
	buf_clear(&text);
	return r;
}

static struct json_object *artefact_record_parse(const char *key, const struct buf *text)
{
	struct json_object *record = NULL;
	char hash[SHA256_HEX];
	const char *json = buf_text(text) + SHA256_HEX;
	struct err err;

	if (text->len <= SHA256_HEX)
		return NULL;
	artefact_record_hash(key, json, text->len - SHA256_HEX, hash);
	if (memcmp(hash, text->data, SHA256_HEX - 1) != 0 ||
	    js_parse(json, text->len - SHA256_HEX, &record, &err) < 0)
		return NULL;
	return record;
}

struct json_object *artefact_index_get(struct artefact_store *store, const char *key)
{
	struct artefact_file *file = artefact_find(store, ARTEFACT_DISK_BUILDS, key);
	struct buf text = BUF_INIT(ARTEFACT_RECORD_MAX);
	struct json_object *record = NULL;
	struct err err;
	int r;

	if (!file)
		return NULL;
	r = artefact_read(store, file, &text, &err);
	if (r == 0)
		record = artefact_record_parse(key, &text);
	if (record)
		artefact_touch(store, file);
	else if (r == 0 || r == -EFBIG)
		artefact_discard(store, file);
	buf_clear(&text);
	return record;
}
