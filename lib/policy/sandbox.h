#pragma once

/*
 * What hauberk-sandbox and whoever starts it agree on.
 *
 *     hauberk-sandbox [--allow-partial] --parser FILE --base DIR --features N -- ARG...
 *     hauberk-sandbox [--allow-partial] --parser FILE --base DIR --probe
 *
 * The launcher confines itself and executes the parser with ARG..., where the word
 * SANDBOX_FEATURES_ARG stands for the path of a file that holds the first N bytes of standard
 * input; the rest of standard input is the parser's. --probe does all but the execution, and prints
 * what holds.
 *
 * The confinement: no new privileges, no capabilities, user 65534 where it was root, Landlock
 * (parser, loader and its folder, base folder: read; parser and loader: execute; nothing else at
 * all), seccomp (an allow-list without sockets, processes, mounts, keys, bpf, ptrace), limits on
 * memory, CPU time, processes and files, no inherited descriptor, an empty environment, and the
 * parent's death is its own.
 *
 * Landlock needs Linux 5.13. The parts that later versions added (truncation, TCP, ioctls on
 * devices, signals) are used where the kernel has them and are not needed, for seccomp forbids the
 * same.
 */

#define SANDBOX_FEATURES_ARG "@features@"
#define SANDBOX_SAYS "hauberk-sandbox: " /* before its one line on stderr */

enum {
	/* Exit codes, chosen among those that apparmor_parser, which exits with small numbers or
	 * with -errno, does not use. */
	SANDBOX_EXIT_USAGE = 116,
	SANDBOX_EXIT_UNAVAILABLE = 119, /* the kernel cannot give the sandbox */
	SANDBOX_EXIT_NO_PARSER = 121,   /* the parser cannot be executed */

	SANDBOX_UID = 65534,
	SANDBOX_MEMORY_MAX = 256 << 20,
	SANDBOX_CPU_S = 5,
};
