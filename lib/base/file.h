#pragma once

/*
 * Whole files, with ceilings, and writes that are never half done.
 */

#include "base/buf.h"
#include "base/err.h"

#include <sys/types.h>

/* Append all of a file to `ret`. Errors: -errno with a sentence that names the path; -EFBIG where
 * the buffer's ceiling is lower than the file is long. */
int file_read(const char *path, struct buf *ret, struct err *err);

/* Write a file under another name in the same folder, fsync it and rename it into place. */
int file_write_atomic(const char *path, const void *bytes, size_t n, mode_t mode, struct err *err);

/* The same without the fsync, for what may be lost with the power but not with the process: readers
 * and a process that comes later see the old file or the new one, whole. */
int file_replace(const char *path, const void *bytes, size_t n, mode_t mode, struct err *err);

/* Make a folder and those above it, with mode 0700 where they are new. */
int file_make_dirs(const char *path, struct err *err);
