#pragma once

/*
 * The agent's token, which the kubelet renews in place: read again for each request.
 */

#include "base/err.h"

/* "Authorization: Bearer ...", which the caller frees. -errno with a sentence; -EINVAL for a file
 * that holds no token. */
int token_header(const char *path, char **ret, struct err *err);
