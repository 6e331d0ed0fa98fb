#pragma once

/*
 * Which names a profile may have. Pure.
 *
 * The effective name becomes a key in every node's kernel, a folder in apparmorfs (name.N, at most
 * 255 bytes: a longer one leaves the whole namespace unable to load anything) and a word in the
 * pod's localhostProfile. The schema in crds/ says the same; it is checked again here because lint
 * has no API server, and because an object can be older than its schema.
 */

#include "base/err.h"

#include <stdbool.h>

enum { POLICY_NAME_MAX = 200 };

/* ^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$ */
bool policy_name_is_valid(const char *name);

/* True for a name that the kernel, a container runtime or the operating system loads itself. */
bool policy_name_is_reserved(const char *name);

/* 0, or -EINVAL with a sentence that says what is wrong with the name and what to do. */
int policy_name_check(const char *name, struct err *err);
