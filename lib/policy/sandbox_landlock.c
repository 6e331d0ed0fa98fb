#include "policy/sandbox_parts.h"

#include "base/mem.h"

#include <elf.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Landlock (Documentation/userspace-api/landlock.rst in the kernel), by raw system calls, for glibc
 * has no functions for them. Names that the header of Linux 6.1 does not have yet are spelled out,
 * each with the version of Landlock that brought it.
 */

enum {
	LANDLOCK_READ = LANDLOCK_ACCESS_FS_READ_FILE,
	LANDLOCK_READ_TREE = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
	LANDLOCK_RUN = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE,
};

struct landlock_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* 4 */
	uint64_t scoped;             /* 6 */
};

struct landlock_step {
	int abi;
	uint64_t fs, net, scoped;
	size_t size; /* of the attributes that this version knows */
};

static const struct landlock_step landlock_steps[] = {
    {.abi = 1, .fs = (1U << 13) - 1, .size = 8},
    {.abi = 2, .fs = 1U << 13, .size = 8},  /* refer: link and rename between folders */
    {.abi = 3, .fs = 1U << 14, .size = 8},  /* truncate */
    {.abi = 4, .net = 3, .size = 16},       /* bind and connect TCP */
    {.abi = 5, .fs = 1U << 15, .size = 16}, /* ioctl on devices */
    {.abi = 6, .scoped = 3, .size = 24},    /* abstract unix sockets, signals */
};

int sandbox_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

static void landlock_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static int landlock_create(int abi, struct err *err)
{
	struct landlock_attr attr = {0};
	size_t size = 0;
	size_t i;
	long fd;

	for (i = 0; i < sizeof(landlock_steps) / sizeof(landlock_steps[0]); i++) {
		const struct landlock_step *s = &landlock_steps[i];

		if (s->abi > abi)
			break;
		attr.handled_access_fs |= s->fs;
		attr.handled_access_net |= s->net;
		attr.scoped |= s->scoped;
		size = s->size;
	}
	fd = syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (fd < 0)
		return err_set(err, -errno, "Landlock refuses its rules: %s", strerror(errno));
	return (int)fd;
}

static int landlock_allow(int ruleset, const char *path, uint64_t access, struct err *err)
{
	CLEANUP(landlock_close) int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};

	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		return err_set(err, -errno, "Landlock refuses a rule for %s: %s", path,
			       strerror(errno));
	return 0;
}

/* The program that the kernel starts to load `file`'s libraries (PT_INTERP); "" for a static one.
 */
static void landlock_find_loader(const char *file, char out[PATH_MAX])
{
	CLEANUP(landlock_close) int fd = open(file, O_RDONLY | O_CLOEXEC);
	ElfW(Ehdr) head;
	ElfW(Phdr) part;
	int i;

	out[0] = '\0';
	if (fd < 0 || pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		return;
	for (i = 0; i < head.e_phnum; i++) {
		off_t at = (off_t)(head.e_phoff + (unsigned int)i * sizeof(part));

		if (pread(fd, &part, sizeof(part), at) != (ssize_t)sizeof(part))
			return;
		if (part.p_type != PT_INTERP || part.p_filesz == 0 || part.p_filesz >= PATH_MAX)
			continue;
		if (pread(fd, out, part.p_filesz, (off_t)part.p_offset) != (ssize_t)part.p_filesz)
			out[0] = '\0';
		out[PATH_MAX - 1] = '\0';
		return;
	}
}

/* The loader, and the folder that it is in once links are resolved: the C library and those that
 * came with it lie beside it, in /usr/lib/x86_64-linux-gnu or /usr/lib64. */
static int landlock_allow_libraries(int ruleset, const char *parser, struct err *err)
{
	char loader[PATH_MAX], real[PATH_MAX];
	int e;

	landlock_find_loader(parser, loader);
	if (!loader[0])
		return 0;
	if (!realpath(loader, real))
		return err_set(err, -errno, "cannot find the loader %s: %s", loader,
			       strerror(errno));
	e = landlock_allow(ruleset, real, LANDLOCK_RUN, err);
	if (e == 0)
		e = landlock_allow(ruleset, dirname(real), LANDLOCK_READ_TREE, err);
	/* Only saves the loader a search. */
	if (e == 0 && access("/etc/ld.so.cache", F_OK) == 0)
		e = landlock_allow(ruleset, "/etc/ld.so.cache", LANDLOCK_READ, err);
	return e;
}

int sandbox_landlock(const char *parser, const char *base_dir, int *ret_abi, struct err *err)
{
	CLEANUP(landlock_close) int ruleset = -1;
	int abi = sandbox_landlock_abi();
	int e;

	if (abi == 0)
		return err_set(
		    err, -ENOSYS,
		    "this kernel has no Landlock, or it is off (Linux 5.13 with landlock "
		    "among its lsm= modules has it), or the container's seccomp profile "
		    "forbids it");
	ruleset = landlock_create(abi, err);
	if (ruleset < 0)
		return ruleset;
	e = landlock_allow(ruleset, parser, LANDLOCK_RUN, err);
	if (e == 0)
		e = landlock_allow_libraries(ruleset, parser, err);
	if (e == 0)
		e = landlock_allow(ruleset, base_dir, LANDLOCK_READ_TREE, err);
	/* The parser wants a configuration file, and takes this one for an empty one. */
	if (e == 0)
		e = landlock_allow(ruleset, "/dev/null", LANDLOCK_READ, err);
	if (e < 0)
		return e;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0))
		return err_set(err, -errno, "Landlock refuses to start: %s", strerror(errno));
	*ret_abi = abi;
	return 0;
}
