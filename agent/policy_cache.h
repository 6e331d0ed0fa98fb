#pragma once

/*
 * Compiled policies on disk, each under the SHA-256 of its bytes.
 *
 * What is read is checked against its name first, so a damaged file is as good as none and bytes
 * that nobody promised never come out. Writing does not wait for the disk; last_set.h flushes
 * what the next boot will want.
 */

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/sha.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy_cache {
	char *dir;
	int64_t max_bytes;
	int64_t n_bytes;  /* in all files */
	struct map files; /* hash -> struct policy_cache_file */
	uint64_t use;     /* counts up with each use, for the order of eviction */
};

/* True for a file that has to stay. */
typedef bool (*policy_cache_needed_fn)(void *data, const char *hash);

/* Look through the folder, which is made where it is missing. -errno with a sentence. */
int policy_cache_init(struct policy_cache *c, const char *dir, int64_t max_bytes, struct err *err);
void policy_cache_deinit(struct policy_cache *c);

bool policy_cache_has(const struct policy_cache *c, const char *hash);

/* Append the bytes to `ret`, which is empty. -ENOENT for none; -EBADMSG for a file whose bytes have
 * changed, which is deleted; -errno. Each with a sentence. */
int policy_cache_get(struct policy_cache *c, const char *hash, struct buf *ret, struct err *err);

/* Keep bytes whose hash the caller has checked. The files longest unused and not needed make room;
 * -ENOSPC where there is none under the ceiling. */
int policy_cache_put(struct policy_cache *c, const char *hash, const void *bytes, size_t n,
		     policy_cache_needed_fn needed, void *data, struct err *err);
