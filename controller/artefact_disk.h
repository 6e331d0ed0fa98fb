#pragma once

/*
 * The files of the artefact store, without any knowledge of what is in them.
 *
 * Two folders, each with 256 folders for the first two digits of the names, which are 64
 * hexadecimal digits. Anything else in there is not ours and is neither opened, followed nor
 * removed.
 */

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARTEFACT_DISK_ARTEFACTS "artefacts"
#define ARTEFACT_DISK_BUILDS "builds"

/* Where a file is, below the store's folder: "artefacts/ab/ab12…". The caller frees it. */
char *artefact_disk_place(const char *folder, const char *name);

struct artefact_disk_file {
	char *place; /* handed over */
	uint64_t size;
	int64_t used_ns; /* when it was last read or written */
};

/* Tell of each file that is ours, in no particular order; temporary files are removed. Makes the
 * folders. */
int artefact_disk_scan(const char *dir, void (*found)(void *data, struct artefact_disk_file *file),
		       void *data, struct err *err);

/* Append all of a file, and note that it was used. -ENOENT where there is none, or something that
 * is no regular file; -EFBIG beyond the buffer's ceiling. */
int artefact_disk_read(const char *dir, const char *place, struct buf *ret, struct err *err);

/* Write a file, whole or not at all. */
int artefact_disk_write(const char *dir, const char *place, const void *bytes, size_t n,
			struct err *err);

/* True when it is gone, or was never there. */
bool artefact_disk_remove(const char *dir, const char *place);
