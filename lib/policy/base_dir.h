#pragma once

/*
 * The folder with the abstractions that policy may include, /etc/apparmor.d or a copy of it.
 */

#include "base/err.h"
#include "base/sha.h"

enum {
	BASE_DIR_FILES_MAX = 10000,
	BASE_DIR_BYTES_MAX = 64 << 20,
};

/* SHA-256 over names and bytes of all files below `path`, in the order of their names. Links are
 * taken as what they say, not as what they lead to. Blocks for some milliseconds. */
int base_dir_digest(const char *path, char out[SHA256_HEX], struct err *err);
