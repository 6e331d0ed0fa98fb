/*
 * strike PID SUFFIX...: kills a process at the very moment when it is about to open a file.
 *
 * Waits until PID is about to open a path that ends with the first SUFFIX, then one that ends with
 * the next, and so on; at the last one PID gets SIGKILL before the call has done anything. Says
 * "watching" when it is attached, and each path as it comes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <linux/ptrace.h>

/* The path that the process is about to open, or "". */
static void path_of(pid_t pid, char *path, size_t n)
{
	struct ptrace_syscall_info info;
	struct iovec here = {path, n - 1}, there;
	ssize_t got;

	*path = '\0';
	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0)
		return;
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr != SYS_openat)
		return;
	there = (struct iovec){(void *)(size_t)info.entry.args[1], n - 1};
	got = process_vm_readv(pid, &here, 1, &there, 1, 0);
	/* A path near the end of a mapping: what cannot be read whole is read up to the page's end.
	 */
	if (got < 0) {
		there.iov_len = 4096 - (info.entry.args[1] & 4095);
		got = process_vm_readv(pid, &here, 1, &there, 1, 0);
	}
	path[got > 0 ? got : 0] = '\0';
}

static int ends_with(const char *text, const char *suffix)
{
	size_t n = strlen(text), m = strlen(suffix);

	return n >= m && strcmp(text + n - m, suffix) == 0;
}

int main(int argc, char **argv)
{
	pid_t pid = argc > 2 ? atoi(argv[1]) : 0;
	char path[256];
	int at = 2, status;

	if (pid <= 0 || ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) < 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0) {
		fprintf(stderr, "strike: %s\n", strerror(errno));
		return 2;
	}
	for (int said = 0;; said = 1) {
		int forward = 0;

		if (waitpid(pid, &status, __WALL) < 0 || !WIFSTOPPED(status)) {
			fprintf(stderr, "strike: the process ended by itself\n");
			return 1;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			path_of(pid, path, sizeof(path));
			if (*path && ends_with(path, argv[at])) {
				printf("%s\n", path);
				if (++at == argc)
					return kill(pid, SIGKILL) < 0;
				fflush(stdout);
			}
		} else if (status >> 16 == 0) {
			forward = WSTOPSIG(status);
		}
		ptrace(PTRACE_SYSCALL, pid, 0, forward);
		if (!said) {
			puts("watching");
			fflush(stdout);
		}
	}
}
