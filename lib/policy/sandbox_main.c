#include "policy/sandbox.h"

#include "base/err.h"
#include "policy/sandbox_parts.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The happy path:
 *
 *  - Inherited descriptors are closed and standard input is read into two files in memory.
 *  - No new privileges; user and capabilities are dropped; from then on the parent's death is ours.
 *  - Landlock, then seccomp, then limits.
 *  - The parser is executed.
 *
 * Whatever fails is one line on stderr and an exit code of sandbox.h. With --allow-partial, a
 * kernel without Landlock or seccomp is no failure.
 */

struct launch {
	const char *parser;
	const char *base_dir;
	size_t n_features;
	bool allow_partial;
	bool say;
	char **args; /* the parser's, without its name; NULL-terminated */
	int n_args;
	char features[32], text[32]; /* /proc/self/fd/N */
};

static int launch_fail(int code, const char *sentence)
{
	fprintf(stderr, SANDBOX_SAYS "%s\n", sentence);
	return code;
}

static bool launch_option(struct launch *l, const char *word, const char *value)
{
	char *end;

	if (!value)
		return false;
	if (strcmp(word, "--parser") == 0) {
		l->parser = value;
	} else if (strcmp(word, "--base") == 0) {
		l->base_dir = value;
	} else if (strcmp(word, "--features") == 0) {
		l->n_features = strtoul(value, &end, 10);
		return *value && !*end && l->n_features <= SANDBOX_INPUT_MAX;
	} else {
		return false;
	}
	return true;
}

static bool launch_parse(struct launch *l, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--allow-partial") == 0)
			l->allow_partial = true;
		else if (strcmp(argv[i], "--say") == 0)
			l->say = true;
		else if (launch_option(l, argv[i], argv[i + 1]))
			i++;
		else
			return false;
	}
	if (i >= argc || !l->parser || !l->base_dir)
		return false;
	l->args = argv + i + 1;
	l->n_args = argc - i - 1;
	return true;
}

static void launch_close_inherited(void)
{
	DIR *dir;
	struct dirent *entry;

	if (syscall(SYS_close_range, 3U, ~0U, 0U) == 0)
		return;
	/* Linux before 5.9. */
	dir = opendir("/proc/self/fd");
	while (dir && (entry = readdir(dir))) {
		int fd = (int)strtol(entry->d_name, NULL, 10);

		if (fd > 2 && fd != dirfd(dir))
			close(fd);
	}
	if (dir)
		closedir(dir);
}

/* A file in memory that nobody can change any more, which the parser will inherit. */
static int launch_make_file(const char *bytes, size_t n, char path[32])
{
	int fd = memfd_create("input", MFD_ALLOW_SEALING);
	size_t done = 0;

	if (fd < 0)
		return -1;
	while (done < n) {
		ssize_t w = write(fd, bytes + done, n - done);

		if (w < 0)
			return -1;
		done += (size_t)w;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		return -1;
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return access(path, R_OK);
}

static int launch_read_input(struct launch *l)
{
	static char input[SANDBOX_INPUT_MAX];
	size_t n = 0;
	ssize_t r;

	while (n < sizeof(input) && (r = read(STDIN_FILENO, input + n, sizeof(input) - n)) != 0) {
		if (r < 0 && errno != EINTR)
			return launch_fail(SANDBOX_EXIT_USAGE, "standard input cannot be read");
		n += r > 0 ? (size_t)r : 0;
	}
	if (n < l->n_features || n == sizeof(input))
		return launch_fail(SANDBOX_EXIT_USAGE, "standard input is too short or too long");
	if (launch_make_file(input, l->n_features, l->features) ||
	    launch_make_file(input + l->n_features, n - l->n_features, l->text))
		return launch_fail(
		    SANDBOX_EXIT_UNAVAILABLE,
		    "files in memory cannot be made or not be reached through /proc");
	return 0;
}

static int launch_drop_user(void)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) || setresgid(SANDBOX_UID, SANDBOX_UID, SANDBOX_UID) ||
	    setresuid(SANDBOX_UID, SANDBOX_UID, SANDBOX_UID))
		return launch_fail(SANDBOX_EXIT_UNAVAILABLE,
				   "the user cannot be changed to 65534 (does the container lack "
				   "SETUID and SETGID? run it as another user than root)");
	return 0;
}

/* Root inside a container without capabilities keeps none either way; another user may have been
 * given some. */
static int launch_drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none))
		return launch_fail(SANDBOX_EXIT_UNAVAILABLE, "capabilities cannot be dropped");
	return 0;
}

/* Set behind every change of user, which clears it. */
static int launch_die_with_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		return launch_fail(SANDBOX_EXIT_UNAVAILABLE, "the parent is gone");
	return 0;
}

static int launch_layer(const struct launch *l, int e, const char *name, const struct err *err)
{
	if (e == 0 || l->allow_partial)
		return 0;
	fprintf(stderr, SANDBOX_SAYS "%s: %s\n", name, err->msg);
	return SANDBOX_EXIT_UNAVAILABLE;
}

static int launch_confine(const struct launch *l)
{
	struct err err;
	int abi = 0;
	int code, landlock, seccomp;

	landlock = sandbox_landlock(l->parser, l->base_dir, &abi, &err);
	code = launch_layer(l, landlock, "no sandbox", &err);
	if (code)
		return code;
	seccomp = sandbox_seccomp(&err);
	code = launch_layer(l, seccomp, "no sandbox", &err);
	if (code == 0 && l->say)
		fprintf(stderr, SANDBOX_SAYS "%s %d, %s\n", landlock ? "no landlock" : "landlock",
			abi, seccomp ? "no seccomp" : "seccomp");
	return code;
}

static int launch_limit(void)
{
	static const struct {
		int what;
		rlim_t soft, hard;
	} limits[] = {
	    {RLIMIT_CORE, 0, 0},
	    {RLIMIT_FSIZE, 0, 0},
	    {RLIMIT_NPROC, 0, 0},
	    {RLIMIT_NOFILE, 64, 64},
	    {RLIMIT_CPU, SANDBOX_CPU_S, SANDBOX_CPU_S + 1}, /* SIGXCPU first, which tells why */
	    {RLIMIT_AS, SANDBOX_MEMORY_MAX, SANDBOX_MEMORY_MAX},
	};
	size_t i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit limit = {.rlim_cur = limits[i].soft, .rlim_max = limits[i].hard};

		if (setrlimit((__rlimit_resource_t)limits[i].what, &limit))
			return launch_fail(SANDBOX_EXIT_UNAVAILABLE, "the limits cannot be set");
	}
	return 0;
}

static int launch_exec(struct launch *l)
{
	char *env[] = {NULL};
	char *argv[64];
	int i;

	if (l->n_args > 62)
		return launch_fail(SANDBOX_EXIT_USAGE, "there are too many arguments");
	argv[0] = (char *)"apparmor_parser";
	for (i = 0; i < l->n_args; i++) {
		argv[i + 1] = l->args[i];
		if (strcmp(l->args[i], SANDBOX_FEATURES) == 0)
			argv[i + 1] = l->features;
		else if (strcmp(l->args[i], SANDBOX_TEXT) == 0)
			argv[i + 1] = l->text;
	}
	argv[i + 1] = NULL;
	execve(l->parser, argv, env);
	fprintf(stderr, SANDBOX_SAYS "cannot execute %s: %s\n", l->parser, strerror(errno));
	return SANDBOX_EXIT_NO_PARSER;
}

int main(int argc, char **argv)
{
	struct launch l = {0};
	pid_t parent = getppid();
	int code;

	if (!launch_parse(&l, argc, argv))
		return launch_fail(SANDBOX_EXIT_USAGE,
				   "usage: hauberk-sandbox [--allow-partial] [--say] --parser FILE "
				   "--base DIR --features N -- ARG...");
	launch_close_inherited();
	code = launch_read_input(&l);
	if (code == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		code = launch_fail(SANDBOX_EXIT_UNAVAILABLE, "no_new_privs cannot be set");
	if (code == 0)
		code = launch_drop_user();
	if (code == 0)
		code = launch_drop_capabilities();
	if (code == 0)
		code = launch_die_with_parent(parent);
	if (code == 0)
		code = launch_confine(&l);
	if (code == 0)
		code = launch_limit();
	if (code == 0)
		code = launch_exec(&l);
	fflush(stderr);
	_exit(code);
}
