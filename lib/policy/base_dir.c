#include "policy/base_dir.h"

#include "base/file.h"
#include "base/mem.h"

#include <fts.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The digest is one of a list of lines "HASH NAME\n", so that no two trees give the same list. */
struct base_dir_walk {
	size_t n_prefix; /* of the path, in front of a name */
	struct buf list;
	size_t n_files, n_bytes;
};

static int base_dir_order(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int base_dir_read(const FTSENT *entry, struct buf *ret, struct err *err)
{
	char target[PATH_MAX];
	ssize_t n;

	if (entry->fts_info == FTS_F)
		return file_read(entry->fts_accpath, ret, err);
	n = readlink(entry->fts_accpath, target, sizeof(target));
	if (n < 0)
		return err_set(err, -errno, "cannot read the link %s: %s", entry->fts_path,
			       strerror(errno));
	buf_add_str(ret, "-> ");
	buf_add(ret, target, (size_t)n);
	return 0;
}

static int base_dir_add(struct base_dir_walk *w, const FTSENT *entry, struct err *err)
{
	struct buf bytes = BUF_INIT(BASE_DIR_BYTES_MAX - w->n_bytes);
	char hash[SHA256_HEX];
	int e = base_dir_read(entry, &bytes, err);

	if (e == 0) {
		sha256_hex(buf_text(&bytes), bytes.len, hash);
		w->n_bytes += bytes.len;
		if (++w->n_files > BASE_DIR_FILES_MAX ||
		    !buf_addf(&w->list, "%s %s\n", hash, entry->fts_path + w->n_prefix))
			e = err_set(err, -EFBIG, "it holds more than %d files", BASE_DIR_FILES_MAX);
	}
	buf_clear(&bytes);
	return e;
}

static int base_dir_walk(struct base_dir_walk *w, FTS *fts, struct err *err)
{
	FTSENT *entry;
	int e = 0;

	while (e == 0 && (entry = fts_read(fts))) {
		if (entry->fts_info == FTS_F || entry->fts_info == FTS_SL ||
		    entry->fts_info == FTS_SLNONE)
			e = base_dir_add(w, entry, err);
		else if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR ||
			 entry->fts_info == FTS_NS)
			e = err_set(err, -entry->fts_errno, "cannot read %s: %s", entry->fts_path,
				    strerror(entry->fts_errno));
	}
	return e;
}

int base_dir_digest(const char *path, char out[SHA256_HEX], struct err *err)
{
	struct base_dir_walk w = {.n_prefix = strlen(path), .list = BUF_INIT(16 << 20)};
	CLEANUP(mem_freep) char *root = mem_strdup(path);
	char *roots[] = {root, NULL};
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, base_dir_order);
	int e;

	if (!fts)
		return err_set(err, -errno, "cannot read the folder %s: %s", path, strerror(errno));
	e = base_dir_walk(&w, fts, err);
	fts_close(fts);
	if (e == 0)
		sha256_hex(buf_text(&w.list), w.list.len, out);
	else
		err_wrap(err, "base folder %s", path);
	buf_clear(&w.list);
	return e;
}
