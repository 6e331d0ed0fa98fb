#pragma once

/*
 * Policy into the kernel and out of it, through libapparmor.
 *
 * One write(2) a blob: the kernel takes it whole or not at all, and tasks go from the old profile
 * to the new one without a moment in between. The file written to is .replace, which also loads
 * what was not there; removing and loading again would leave running tasks unconfined for good.
 * Source: security/apparmor/apparmorfs.c and policy.c in the kernel, aa_kernel_interface(3).
 */

#include "aafs.h"
#include "base/err.h"

#include <stddef.h>

struct loader; /* keeps the interface open */

/* -errno with a sentence. */
int loader_new(const struct aafs *a, struct loader **ret, struct err *err);
void loader_free(struct loader *l);

/* Load or replace. -errno with a sentence that says what the kernel means by it. */
int loader_replace(struct loader *l, const void *bytes, size_t n, struct err *err);

/* Remove a profile and its children. Running tasks become unconfined: the caller has made sure that
 * there are none. -ENOENT where the kernel holds none. */
int loader_remove(struct loader *l, const char *name, struct err *err);

/* Pure: what the kernel means by an errno when it refuses to load policy. */
const char *loader_explain(int code);
