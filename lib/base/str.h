#pragma once

/*
 * Small questions about text, all pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool str_equal(const char *a, const char *b); /* NULL equals NULL alone */
bool str_has_prefix(const char *text, const char *prefix);

/* True for well-formed UTF-8 (RFC 3629): no surrogate, no overlong form, nothing past U+10FFFF. NUL
 * bytes are well-formed. */
bool str_is_utf8(const char *bytes, size_t n);

/* Make `text` fit for one line of a message or a log: control characters and bytes that are not
 * UTF-8 become '?', and what is longer than `max` bytes ends in "...". In place; `max` is at least
 * 4. */
void str_make_printable(char *text, size_t max);

/* Lower-case hexadecimal; `out` has 2n + 1 bytes. */
void str_hex(const void *bytes, size_t n, char *out);

/* True when `text` consists of exactly `n` lower-case hexadecimal digits. */
bool str_is_hex(const char *text, size_t n);

/* A decimal number within bounds; false, leaving *ret alone, for anything else. */
bool str_to_i64(const char *text, int64_t min, int64_t max, int64_t *ret);
