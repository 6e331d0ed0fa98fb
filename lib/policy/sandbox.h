#pragma once

/*
 * What hauberk-sandbox and whoever starts it agree on.
 *
 *     hauberk-sandbox [OPTIONS] --parser FILE --base DIR --features N -- ARG...
 *
 * The launcher confines itself and executes the parser with ARG.... It reads all of standard input
 * first: the first N bytes become a file that the word SANDBOX_FEATURES stands for among ARG...,
 * the rest one for SANDBOX_TEXT. Both live in memory and are reached through /proc/self/fd, so
 * nothing is written anywhere.
 *
 * The text is a file, not the parser's standard input, because the parser names the file that an
 * error is in only when it was given one; else a line of an included file looks like a line of the
 * text.
 *
 * The confinement: no new privileges, no capabilities, user 65534 where it was root, Landlock
 * (parser, loader, the loader's folder and the base folder: read; parser and loader: execute;
 * nothing else), seccomp (an allow-list without sockets, processes, mounts, keys, bpf, ptrace),
 * limits on memory, CPU time, files and processes, no inherited descriptor, an empty environment,
 * and the parent's death is its own.
 *
 * Landlock needs Linux 5.13. What later versions added to it (truncation, TCP, ioctls on devices,
 * signals) is used where it is there and is not needed, for seccomp forbids the same.
 */

#define SANDBOX_FEATURES "@features@"
#define SANDBOX_TEXT "@text@"
#define SANDBOX_SAYS "hauberk-sandbox: " /* before its one line on stderr */

enum {
	/* Exit codes that apparmor_parser, which exits with small numbers or with -errno, never
	   has. */
	SANDBOX_EXIT_USAGE = 116,
	SANDBOX_EXIT_UNAVAILABLE = 119, /* the kernel cannot give the sandbox */
	SANDBOX_EXIT_NO_PARSER = 121,   /* the parser cannot be executed */

	SANDBOX_UID = 65534,
	SANDBOX_INPUT_MAX = 1 << 20,
	SANDBOX_MEMORY_MAX = 256 << 20,
	SANDBOX_CPU_S = 5,
};
