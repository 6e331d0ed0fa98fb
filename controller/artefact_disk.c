#include "controller/artefact_disk.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/sha.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARTEFACT_DISK_NEW ".new" /* what file_replace() adds while it writes */

char *artefact_disk_place(const char *folder, const char *name)
{
	return mem_printf("%s/%.2s/%s", folder, name, name);
}

static void artefact_disk_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void artefact_disk_close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* A folder that is no link; NULL where there is none. */
static DIR *artefact_disk_open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !dir)
		close(fd);
	return dir;
}

/* A name of ours with the suffix of a write that was interrupted. */
static bool artefact_disk_is_left_over(const char *name)
{
	char digits[SHA256_HEX];

	if (strlen(name) != SHA256_HEX - 1 + strlen(ARTEFACT_DISK_NEW) ||
	    strcmp(name + SHA256_HEX - 1, ARTEFACT_DISK_NEW) != 0)
		return false;
	memcpy(digits, name, SHA256_HEX - 1);
	digits[SHA256_HEX - 1] = '\0';
	return str_is_hex(digits, SHA256_HEX - 1);
}

struct artefact_scan {
	const char *dir;
	const char *folder;
	void (*found)(void *data, struct artefact_disk_file *file);
	void *data;
};

static void artefact_disk_scan_name(const struct artefact_scan *scan, int fd, const char *digits,
				    const char *name)
{
	struct artefact_disk_file file;
	struct stat st;

	if (strncmp(name, digits, 2) != 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISREG(st.st_mode))
		return;
	if (artefact_disk_is_left_over(name))
		unlinkat(fd, name, 0);
	if (!str_is_hex(name, SHA256_HEX - 1))
		return;
	file.place = artefact_disk_place(scan->folder, name);
	file.size = (uint64_t)st.st_size;
	file.used_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	scan->found(scan->data, &file);
}

static void artefact_disk_scan_digits(const struct artefact_scan *scan, const char *digits)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s/%s", scan->dir, scan->folder, digits);
	CLEANUP(artefact_disk_close_dir) DIR *dir = artefact_disk_open_dir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		artefact_disk_scan_name(scan, dirfd(dir), digits, entry->d_name);
}

static int artefact_disk_scan_folder(const struct artefact_scan *scan, struct err *err)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", scan->dir, scan->folder);
	CLEANUP(artefact_disk_close_dir) DIR *dir = NULL;
	const struct dirent *entry;
	int r = file_make_dirs(path, err);

	if (r < 0)
		return r;
	dir = artefact_disk_open_dir(path);
	if (!dir)
		return err_set(err, -errno, "cannot open the folder %s: %s", path, strerror(errno));
	while ((entry = readdir(dir)))
		if (str_is_hex(entry->d_name, 2))
			artefact_disk_scan_digits(scan, entry->d_name);
	return 0;
}

int artefact_disk_scan(const char *dir, void (*found)(void *data, struct artefact_disk_file *file),
		       void *data, struct err *err)
{
	struct artefact_scan scan = {dir, ARTEFACT_DISK_ARTEFACTS, found, data};
	int r = artefact_disk_scan_folder(&scan, err);

	if (r < 0)
		return r;
	scan.folder = ARTEFACT_DISK_BUILDS;
	return artefact_disk_scan_folder(&scan, err);
}

static int artefact_disk_read_all(int fd, struct buf *ret)
{
	char chunk[16384];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!buf_add(ret, chunk, (size_t)n))
			return -EFBIG;
	}
	return 0;
}

int artefact_disk_read(const char *dir, const char *place, struct buf *ret, struct err *err)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", dir, place);
	/* O_NONBLOCK: a FIFO must not hold us up. */
	CLEANUP(artefact_disk_close)
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 && errno != ENOENT && errno != ELOOP && errno != ENXIO && errno != ENOTDIR)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return err_set(err, -ENOENT, "%s is not there", path);
	r = artefact_disk_read_all(fd, ret);
	if (r < 0)
		return err_set(err, r, "cannot read %s: %s", path, strerror(-r));
	/* The order of use outlives the process in the files' times; that it may fail is no matter.
	 */
	(void)!futimens(fd, NULL);
	return 0;
}

/* The folder of a file, made where it is not there. A link in its place leads elsewhere. */
static int artefact_disk_make_dir(const char *path, struct err *err)
{
	CLEANUP(mem_freep) char *dir = mem_strdup(path);
	struct stat st;
	int r;

	*strrchr(dir, '/') = '\0';
	if (lstat(dir, &st) == 0)
		return S_ISDIR(st.st_mode)
			   ? 0
			   : err_set(err, -ENOTDIR, "%s is not a folder: remove it", dir);
	r = file_make_dirs(dir, err);
	return r;
}

int artefact_disk_write(const char *dir, const char *place, const void *bytes, size_t n,
			struct err *err)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", dir, place);
	int r = artefact_disk_make_dir(path, err);

	return r < 0 ? r : file_replace(path, bytes, n, 0600, err);
}

bool artefact_disk_remove(const char *dir, const char *place)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", dir, place);

	return unlink(path) == 0 || errno == ENOENT;
}
