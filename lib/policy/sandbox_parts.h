#pragma once

/*
 * The layers that hauberk-sandbox puts around itself, one a function. Each fails with a sentence.
 */

#include "base/err.h"

/* Landlock: nothing on any file system but `parser`, its loader with the loader's folder, and
 * `base_dir` can be opened from now on, and only the first two executed. *ret_abi is the kernel's
 * Landlock version. -ENOSYS where the kernel has none or it is off. Needs no_new_privs. */
int sandbox_landlock(const char *parser, const char *base_dir, int *ret_abi, struct err *err);

/* The highest Landlock version of this kernel, 0 for none. */
int sandbox_landlock_abi(void);

/* seccomp: system calls that a compiler does not need fail with ENOSYS from now on. */
int sandbox_seccomp(struct err *err);
