#pragma once

/*
 * Bytes as text, RFC 4648 section 4: the common alphabet, padded, no line breaks.
 */

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Append the text. False where it does not fit under the buffer's ceiling; nothing is added then.
 */
bool base64_encode(const void *bytes, size_t n, struct buf *ret);

/* Append the bytes of `n` characters, which a NUL follows. -EINVAL with a sentence for anything
 * that base64_encode() would not have written; -EFBIG for more than the buffer may hold. Nothing is
 * added then. */
int base64_decode(const char *text, size_t n, struct buf *ret, struct err *err);
