#include "aafs.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/apparmor.h>
#include <sys/mman.h>
#include <unistd.h>

enum { AAFS_DEPTH_MAX = 8 };

void aafs_init(struct aafs *a, const char *securityfs)
{
	a->dir = mem_printf("%s/apparmor", securityfs);
}

void aafs_deinit(struct aafs *a)
{
	free(a->dir);
	a->dir = NULL;
}

static void aafs_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void aafs_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static void aafs_unref_features(aa_features **features)
{
	if (*features)
		aa_features_unref(*features);
}

static bool aafs_has(const struct aafs *a, const char *name)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", a->dir, name);

	return access(path, F_OK) == 0;
}

int aafs_check(const struct aafs *a, struct err *err)
{
	if (access(a->dir, F_OK))
		return err_set(err, -ENOENT, "AppArmor is off in this kernel: there is no %s",
			       a->dir);
	if (!aafs_has(a, "policy/profiles") || !aafs_has(a, "revision"))
		return err_set(err, -ENOTSUP,
			       "this kernel's AppArmor cannot be read back: %s has no "
			       "policy/profiles and revision (they came with Linux 4.13)",
			       a->dir);
	return 0;
}

static int aafs_features_text(aa_features *features, struct buf *ret, struct err *err)
{
	CLEANUP(aafs_close) int fd = memfd_create("features", MFD_CLOEXEC);
	char chunk[1024];
	off_t at = 0;
	ssize_t n;

	if (fd < 0 || aa_features_write_to_fd(features, fd) < 0)
		return err_set(err, -errno, "cannot write the kernel's feature set as text: %s",
			       strerror(errno));
	while ((n = pread(fd, chunk, sizeof(chunk), at)) > 0) {
		if (!buf_add(ret, chunk, (size_t)n))
			return err_set(err, -EFBIG, "the kernel's feature set is too long");
		at += n;
	}
	return 0;
}

/* The parameter is there only where the kernel was built with hashes; it is off where somebody
 * started it with apparmor.hash_policy=0. */
int aafs_check_hashes(const char *sysfs, struct err *err)
{
	CLEANUP(mem_freep) char *dir = mem_printf("%s/module/apparmor/parameters", sysfs);
	CLEANUP(mem_freep) char *path = mem_printf("%s/hash_policy", dir);
	CLEANUP(buf_clear) struct buf text = BUF_INIT(16);
	struct err ignored;
	int r;

	if (access(dir, F_OK))
		return 0;
	r = file_read(path, &text, &ignored);
	if (r == -ENOENT)
		return err_set(err, -ENOTSUP,
			       "this kernel was built without hashes of its policy "
			       "(CONFIG_SECURITY_APPARMOR_HASH), so what it holds cannot be "
			       "read back");
	if (r == 0 && *buf_text(&text) == 'N')
		return err_set(err, -ENOTSUP,
			       "this kernel keeps no hashes of its policy "
			       "(apparmor.hash_policy=0), so what it holds cannot be read back");
	return 0;
}

int aafs_features(const struct aafs *a, char **ret, struct err *err)
{
	CLEANUP(aafs_unref_features) aa_features *features = NULL;
	CLEANUP(mem_freep) char *path = mem_printf("%s/features", a->dir);
	CLEANUP(buf_clear) struct buf text = BUF_INIT(AAFS_FEATURES_MAX);
	int r;

	if (aa_features_new(&features, AT_FDCWD, path) < 0)
		return err_set(err, -errno, "cannot read the kernel's feature set from %s: %s",
			       path, strerror(errno));
	r = aafs_features_text(features, &text, err);
	if (r == 0)
		*ret = buf_steal(&text);
	return r;
}

bool aafs_folder_name(const char *folder, char *ret, size_t n)
{
	const char *dot = strrchr(folder, '.');
	size_t len;

	if (!dot || dot == folder || !dot[1] || dot[1 + strspn(dot + 1, "0123456789")])
		return false;
	len = (size_t)(dot - folder);
	if (len >= n)
		return false;
	memcpy(ret, folder, len);
	ret[len] = '\0';
	return true;
}

/* A small file, without the line feed at its end; a name may hold others. One read is enough: the
 * kernel makes the whole text at once (seq_read() of a single record). "" for one that is too long
 * or holds a NUL. -ENOENT: it has vanished, or this kernel has none. */
static int aafs_read_file(int dir, const char *name, char *ret, size_t n)
{
	CLEANUP(aafs_close) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t len = fd < 0 ? -1 : read(fd, ret, n);

	if (len < 0)
		return -errno;
	if ((size_t)len == n || memchr(ret, '\0', (size_t)len))
		len = 0;
	if (len > 0 && ret[len - 1] == '\n')
		len--;
	ret[len] = '\0';
	return 0;
}

/* A hash, or "" for a file that is not there or holds something else. */
static int aafs_read_hash(int dir, const char *name, size_t n_hex, char *ret)
{
	char text[SHA256_HEX + 1];
	int r = aafs_read_file(dir, name, text, sizeof(text));

	if (r == 0 && str_is_hex(text, n_hex))
		memcpy(ret, text, n_hex + 1);
	return r == -ENOENT ? 0 : r;
}

/* A child's file `name` holds the last part of its name alone (seq_profile_name_show()). */
static int aafs_read_profile(int dir, const char *parent, struct aafs_profile *ret)
{
	char name[AAFS_NAME_MAX] = "";
	int r = aafs_read_file(dir, "name", name, sizeof(name));

	if (r == 0 && !*name)
		r = -ENOENT; /* the kernel gives no such name */
	if (r == 0)
		r = aafs_read_file(dir, "mode", ret->mode, sizeof(ret->mode));
	if (r == 0)
		r = aafs_read_hash(dir, "sha1", SHA1_HEX - 1, ret->sha1);
	if (r == 0)
		r = aafs_read_hash(dir, "sha256", SHA256_HEX - 1, ret->sha256);
	if (r == 0)
		ret->name = parent ? mem_printf("%s//%s", parent, name) : mem_strdup(name);
	return r;
}

static int aafs_open(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

/* NULL where errno says why not. */
static DIR *aafs_opendir(int parent, const char *name)
{
	int fd = aafs_open(parent, name);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

/* NULL at the end, and where it cannot be read on: then errno is not 0. */
static struct dirent *aafs_next(DIR *dir)
{
	errno = 0;
	return readdir(dir);
}

static int aafs_read_children(int dir, const char *parent, int depth, struct aafs_tree *tree);

/* Add the profile in `dir`, and those below it, to the tree. A tree with more of them than it may
 * have is cut short, and so never equal to what anybody expects. -ENOENT: it has vanished. After
 * any other error the tree says nothing: one that lacks a profile only because there was no
 * descriptor would be taken for what the kernel holds. */
// NOLINTNEXTLINE(misc-no-recursion): the depth is bounded
static int aafs_read_tree(int dir, const char *parent, int depth, struct aafs_tree *tree)
{
	struct aafs_profile p = {0};
	int r;

	if (tree->n >= AAFS_PROFILES_MAX)
		return 0;
	r = aafs_read_profile(dir, parent, &p);
	if (r < 0)
		return r;
	tree->items = mem_resize(tree->items, tree->n + 1, sizeof(*tree->items));
	tree->items[tree->n++] = p;
	return depth < AAFS_DEPTH_MAX ? aafs_read_children(dir, p.name, depth + 1, tree) : 0;
}

// NOLINTNEXTLINE(misc-no-recursion): the depth is bounded
static int aafs_read_folder(int parent_dir, const char *folder, const char *parent, int depth,
			    struct aafs_tree *tree)
{
	CLEANUP(aafs_close) int dir = aafs_open(parent_dir, folder);
	int r = dir < 0 ? dir : aafs_read_tree(dir, parent, depth, tree);

	return r == -ENOENT ? 0 : r;
}

// NOLINTNEXTLINE(misc-no-recursion): the depth is bounded
static int aafs_read_children(int dir, const char *parent, int depth, struct aafs_tree *tree)
{
	CLEANUP(aafs_closedir) DIR *children = aafs_opendir(dir, "profiles");
	struct dirent *entry;
	int r = 0;

	if (!children)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (entry = aafs_next(children)))
		if (entry->d_name[0] != '.')
			r = aafs_read_folder(dirfd(children), entry->d_name, parent, depth, tree);
	return r < 0 ? r : -errno;
}

struct aafs_search {
	aafs_wanted_fn wanted;
	aafs_found_fn found;
	void *data;
};

static int aafs_look_into(const struct aafs_search *search, int dir, const char *folder,
			  struct err *err)
{
	struct aafs_tree tree = {0};
	char name[NAME_MAX + 1];
	int r;

	if (!aafs_folder_name(folder, name, sizeof(name)) || !search->wanted(search->data, name))
		return 0;
	r = aafs_read_folder(dir, folder, NULL, 0, &tree);
	if (r < 0)
		err_set(err, r, "cannot read the kernel's profile %s: %s", folder, strerror(-r));
	else if (tree.n > 0 && search->wanted(search->data, tree.items[0].name))
		search->found(search->data, &tree);
	aafs_tree_clear(&tree);
	return r;
}

int aafs_scan(const struct aafs *a, aafs_wanted_fn wanted, aafs_found_fn found, void *data,
	      struct err *err)
{
	const struct aafs_search search = {.wanted = wanted, .found = found, .data = data};
	CLEANUP(mem_freep) char *path = mem_printf("%s/policy/profiles", a->dir);
	CLEANUP(aafs_closedir) DIR *dir = aafs_opendir(AT_FDCWD, path);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	while (r == 0 && (entry = aafs_next(dir)))
		r = aafs_look_into(&search, dirfd(dir), entry->d_name, err);
	if (r == 0 && errno)
		return err_set(err, -errno, "cannot list %s: %s", path, strerror(errno));
	return r;
}

void aafs_tree_clear(struct aafs_tree *tree)
{
	size_t i;

	for (i = 0; i < tree->n; i++)
		free(tree->items[i].name);
	free(tree->items);
	*tree = (struct aafs_tree){0};
}

int aafs_revision_open(const struct aafs *a, int *ret_fd, struct err *err)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/revision", a->dir);
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

int aafs_revision_read(int fd, int64_t *value, struct err *err)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		return err_set(err, -errno, "cannot read the kernel's policy revision: %s",
			       strerror(errno));
	text[n] = '\0';
	*value = strtoll(text, NULL, 10);
	return 0;
}
