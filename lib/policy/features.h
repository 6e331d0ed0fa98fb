#pragma once

/*
 * Kernel feature sets: what a node's kernel can mediate, as text. Pure.
 *
 * The text is what libapparmor's aa_features_new_from_kernel() and aa_features_write_to_file() make
 * of /sys/kernel/security/apparmor/features: a folder is `name {...}`, a file is `name {content}`.
 * It comes from agents and is handed to a compiler that trusts it, hence the strict grammar:
 *
 *     set     = entry { entry }                      at most 8 KiB in all, nested at most 8 deep
 *     entry   = name " {" ( content | set ) "}\n"
 *     name    = 1 to 64 of A-Z a-z 0-9 _ - . +
 *     content = printable ASCII but { and }, and at most one line feed, at its end
 *
 * A name twice in one folder is refused; order is not asked for.
 */

#include "base/err.h"
#include "base/sha.h"

#include <stdbool.h>
#include <stddef.h>

enum { FEATURES_MAX = 8192 };

struct features {
	const char *release; /* "6.1" */
	const char *text;
	size_t n;
	char hash[SHA256_HEX];
};

/* -EINVAL with a sentence that names the line for anything that is not such a text. The sentence
 * holds nothing of the text. */
int features_check(const char *text, size_t n, struct err *err);

/* By which agents and the controller name a set: SHA-256 of the text. */
void features_hash(const char *text, size_t n, char out[SHA256_HEX]);

/* The sets that are compiled in: what kernels 6.1 and 6.12 (Debian's) say of themselves. NULL for
 * another release. What it returns lives as long as the process. */
const struct features *features_builtin(const char *release);

/* All of them, oldest first; NULL past the end. */
const struct features *features_builtin_at(size_t i);
