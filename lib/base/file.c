#include "base/file.h"

#include "base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int file_fail(struct err *err, const char *verb, const char *path)
{
	int code = -errno;

	return err_set(err, code, "cannot %s %s: %s", verb, path, strerror(-code));
}

static void file_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int file_read(const char *path, struct buf *ret, struct err *err)
{
	CLEANUP(file_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char chunk[16384];
	ssize_t n;

	if (fd < 0)
		return file_fail(err, "open", path);
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_fail(err, "read", path);
		if (!buf_add(ret, chunk, (size_t)n))
			return err_set(err, -EFBIG, "%s is longer than %zu bytes", path, ret->max);
	}
	return 0;
}

static int file_write_all(int fd, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, bytes, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -1;
		bytes += w;
		n -= (size_t)w;
	}
	return 0;
}

/* Make a rename in the folder of `path` last through a power loss. */
static int file_sync_dir(const char *path)
{
	CLEANUP(mem_freep) char *dir = mem_strdup(path);
	char *slash = strrchr(dir, '/');
	CLEANUP(file_close) int fd = -1;

	if (slash)
		slash[slash == dir] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -1 : fsync(fd);
}

static int file_exchange(const char *path, const void *bytes, size_t n, mode_t mode, bool flush,
			 struct err *err)
{
	CLEANUP(mem_freep) char *temp = mem_printf("%s.new", path);
	CLEANUP(file_close) int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	if (fd < 0)
		return file_fail(err, "create", temp);
	if (file_write_all(fd, bytes, n) || (flush && fsync(fd)) || rename(temp, path) ||
	    (flush && file_sync_dir(path))) {
		file_fail(err, "write", path);
		unlink(temp);
		return err->code;
	}
	return 0;
}

int file_write_atomic(const char *path, const void *bytes, size_t n, mode_t mode, struct err *err)
{
	return file_exchange(path, bytes, n, mode, true, err);
}

int file_replace(const char *path, const void *bytes, size_t n, mode_t mode, struct err *err)
{
	return file_exchange(path, bytes, n, mode, false, err);
}

int file_make_dirs(const char *path, struct err *err)
{
	CLEANUP(mem_freep) char *copy = mem_strdup(path);
	char *s;

	for (s = copy + 1;; s++) {
		char c = *s;

		if (c != '/' && c != '\0')
			continue;
		*s = '\0';
		if (mkdir(copy, 0700) && errno != EEXIST)
			return file_fail(err, "make the folder", copy);
		*s = c;
		if (c == '\0')
			return 0;
	}
}
