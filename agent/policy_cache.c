#include "policy_cache.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct policy_cache_file {
	int64_t n;
	uint64_t used; /* when it was used last, in the order of uses */
};

static char *policy_cache_path(const struct policy_cache *c, const char *hash)
{
	return mem_printf("%s/%s", c->dir, hash);
}

static void policy_cache_note(struct policy_cache *c, const char *hash, int64_t n)
{
	struct policy_cache_file *f = map_get(&c->files, hash);

	if (!f) {
		f = MEM_NEW(struct policy_cache_file);
		map_put(&c->files, hash, f);
	}
	c->n_bytes += n - f->n;
	f->n = n;
	f->used = ++c->use;
}

static void policy_cache_drop(struct policy_cache *c, const char *hash)
{
	CLEANUP(mem_freep) char *path = policy_cache_path(c, hash);
	CLEANUP(mem_freep) struct policy_cache_file *f = map_del(&c->files, hash);

	unlink(path);
	if (f)
		c->n_bytes -= f->n;
}

static void policy_cache_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* What is no hash is what a write that did not end left behind. */
static int policy_cache_look(struct policy_cache *c, struct err *err)
{
	CLEANUP(policy_cache_closedir) DIR *dir = opendir(c->dir);
	struct dirent *entry;
	struct stat st;

	if (!dir)
		return err_set(err, -errno, "cannot open %s: %s", c->dir, strerror(errno));
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (!str_is_hex(entry->d_name, SHA256_HEX - 1))
			unlinkat(dirfd(dir), entry->d_name, 0);
		else if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			policy_cache_note(c, entry->d_name, st.st_size);
	}
	return 0;
}

int policy_cache_init(struct policy_cache *c, const char *dir, int64_t max_bytes, struct err *err)
{
	int r;

	*c = (struct policy_cache){.dir = mem_strdup(dir), .max_bytes = max_bytes};
	r = file_make_dirs(dir, err);
	if (r == 0)
		r = policy_cache_look(c, err);
	return r;
}

void policy_cache_deinit(struct policy_cache *c)
{
	map_clear(&c->files, free);
	free(c->dir);
	*c = (struct policy_cache){0};
}

bool policy_cache_has(const struct policy_cache *c, const char *hash)
{
	return map_get(&c->files, hash) != NULL;
}

int policy_cache_get(struct policy_cache *c, const char *hash, struct buf *ret, struct err *err)
{
	CLEANUP(mem_freep) char *path = policy_cache_path(c, hash);
	struct policy_cache_file *f = map_get(&c->files, hash);
	char found[SHA256_HEX];
	int r;

	if (!f)
		return err_set(err, -ENOENT, "artefact %s is not on disk", hash);
	r = file_read(path, ret, err);
	if (r == 0) {
		sha256_hex(buf_text(ret), ret->len, found);
		if (strcmp(found, hash) != 0)
			r = err_set(err, -EBADMSG, "%s has changed on disk: its bytes hash to %s",
				    path, found);
	}
	if (r < 0) {
		buf_clear(ret);
		policy_cache_drop(c, hash);
		return r;
	}
	f->used = ++c->use;
	return 0;
}

/* The file longest unused that is not needed; NULL where all are. */
static const char *policy_cache_oldest(const struct policy_cache *c, policy_cache_needed_fn needed,
				       void *data)
{
	const char *oldest = NULL;
	const char *hash;
	uint64_t used = UINT64_MAX;
	size_t it = 0;
	void *value;

	while (map_next(&c->files, &it, &hash, &value)) {
		struct policy_cache_file *f = value;

		if (f->used < used && !needed(data, hash)) {
			oldest = hash;
			used = f->used;
		}
	}
	return oldest;
}

static bool policy_cache_make_room(struct policy_cache *c, int64_t n, policy_cache_needed_fn needed,
				   void *data)
{
	while (c->n_bytes + n > c->max_bytes) {
		CLEANUP(mem_freep) char *oldest = mem_strdup(policy_cache_oldest(c, needed, data));

		if (!oldest)
			return false;
		policy_cache_drop(c, oldest);
	}
	return true;
}

int policy_cache_put(struct policy_cache *c, const char *hash, const void *bytes, size_t n,
		     policy_cache_needed_fn needed, void *data, struct err *err)
{
	CLEANUP(mem_freep) char *path = policy_cache_path(c, hash);
	int r;

	if (!policy_cache_make_room(c, (int64_t)n, needed, data))
		return err_set(err, -ENOSPC, "all %lld bytes that artefacts may take are needed",
			       (long long)c->max_bytes);
	r = file_replace(path, bytes, n, 0600, err);
	if (r == 0)
		policy_cache_note(c, hash, (int64_t)n);
	return r;
}
