#pragma once

/*
 * Compiled policy on disk, named by its SHA-256, and an index of what was compiled to what, so that
 * a controller that starts again compiles nothing twice.
 *
 *     <dir>/artefacts/ab/ab12…    the bytes
 *     <dir>/builds/cd/cd34…       one record of the index
 *
 * All of it is a cache and nobody's only copy: each file is checked against its hash whenever it is
 * read, what does not fit is removed and reported, and no write is flushed to the disk. Everything
 * together stays under a ceiling: what has not been used for longest goes first. Files that are not
 * ours are left alone and not followed, links among them.
 *
 * The calls block for the time that the disk takes: one file of at most 4 MiB that was mostly
 * written just before, below a millisecond for policies of common size and some milliseconds for
 * the largest. The hot ones are kept in memory, so that thousands of agents that fetch one at once
 * cause one read.
 *
 * The ceiling may be passed for a moment, by the file that is written before others make room for
 * it: a disk that turns out to be full has cost nothing then.
 */

#include "base/buf.h"
#include "base/err.h"
#include "base/js.h"
#include "base/sha.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ARTEFACT_MAX = 4 << 20,        /* bytes of one artefact */
	ARTEFACT_RECORD_MAX = 1 << 20, /* bytes of one record of the index */
	ARTEFACT_MEMORY_MAX = 4 << 20, /* bytes of the artefacts that are kept in memory */
	ARTEFACT_BLOCK = 4096,
};

struct artefact_store;

/* Read what is there: names and sizes, not contents. Left-overs of interrupted writes go. `dir` is
 * made where it is not there; `max_bytes` is for all files together, each counted in whole blocks
 * of 4 KiB. Errors: the folder cannot be made or read. */
int artefact_store_open(const char *dir, uint64_t max_bytes, struct artefact_store **ret,
			struct err *err);

void artefact_store_close(struct artefact_store *store);

/* Keep bytes, whole or not at all; *ret_sha256 is their name from now on. -ENOSPC where the disk is
 * full, or the ceiling is lower than that; nothing that was there is lost then. -EINVAL for none or
 * more than ARTEFACT_MAX bytes; -EIO and the like. */
int artefact_put(struct artefact_store *store, const void *bytes, size_t n,
		 char ret_sha256[SHA256_HEX], struct err *err);

/* The bytes of an artefact, shared and never changed. */
struct artefact_bytes {
	char *data;
	size_t n;
	unsigned int refs;
};

/* A reference to the bytes, which artefact_bytes_unref() gives back, after artefact_store_close()
 * too. -ENOENT where there is no such artefact. -EILSEQ where the file's bytes are not those it is
 * named for: it is removed, and the caller compiles again. */
int artefact_share(struct artefact_store *store, const char *sha256, struct artefact_bytes **ret,
		   struct err *err);

/* Takes a struct artefact_bytes *, or NULL; fit for http_reply.free_body. */
void artefact_bytes_unref(void *bytes);

/* True where it is there and its bytes are right; they were read then, and are likely in memory. */
bool artefact_is_whole(struct artefact_store *store, const char *sha256);

/* The index: a JSON object under a key of 64 hexadecimal digits that stands for all that a
 * compilation depends on. A record that is damaged counts as absent and is removed. The result is
 * the caller's; NULL: none. Whether an artefact that it names is still there is for the caller to
 * see. */
int artefact_index_put(struct artefact_store *store, const char *key, struct json_object *record,
		       struct err *err);
struct json_object *artefact_index_get(struct artefact_store *store, const char *key);

/* Bytes of all files, counted in blocks. */
uint64_t artefact_store_bytes(const struct artefact_store *store);
