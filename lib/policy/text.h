#pragma once

/*
 * What can be said of a policy text without compiling it, and the revision that stands for it.
 * Pure.
 */

#include "api/profile.h"
#include "base/err.h"

#include <stddef.h>

enum { POLICY_TEXT_MAX = 262144 };

/* 0 for a text that may go to the compiler: not empty, at most POLICY_TEXT_MAX bytes, valid UTF-8
 * without NUL and without U+FFFD, which JSON encoders put where a byte was no UTF-8. Else -EINVAL
 * with a sentence, and *ret_line, where not NULL, holds the line (from 1) it speaks of, or 0. */
int policy_text_check(const char *text, size_t n, size_t *ret_line, struct err *err);

/* The revision: the first 12 hexadecimal digits of SHA-256 over name, rendered text, mode and
 * compiler id, each preceded by its length, so that no two different inputs give the same bytes. */
void policy_revision(const char *name, const char *text, size_t n_text, enum profile_mode mode,
		     const char *compiler_id, char out[PROFILE_REVISION_SIZE]);
