#pragma once

/*
 * A growing byte string with a ceiling.
 *
 * `data` is always NUL-terminated and never NULL after the first append. The ceiling is given at
 * the start because every buffer here holds bytes somebody else sent. Running out of memory ends
 * the process; reaching the ceiling is an ordinary error the caller handles.
 */

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data;
	size_t len;
	size_t cap;
	size_t max;
};

#define BUF_INIT(max_)        \
	{                     \
		.max = (max_) \
	}

/* Append `n` bytes. Returns false, leaving the buffer unchanged, when that would take it past its
 * ceiling. */
bool buf_add(struct buf *b, const void *bytes, size_t n);
bool buf_add_str(struct buf *b, const char *text);
bool buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The bytes as a NUL-terminated string, "" while there are none. Owned by the buffer. */
const char *buf_text(const struct buf *b);

/* Hand the memory to the caller, who frees it with free(); the buffer is empty afterwards. Never
 * NULL. */
char *buf_steal(struct buf *b) __attribute__((returns_nonnull));

/* Release the memory; the buffer is empty and usable again afterwards. */
void buf_clear(struct buf *b);
