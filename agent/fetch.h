#pragma once

/*
 * One artefact from the controller: GET /v1/policies/{sha256}. The bytes are checked by whoever
 * asked for them.
 */

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct fetch;

/* `code` is 0 and the bytes are the callee's to take with buf_steal(), or -errno with a sentence:
 * -EFBIG for more bytes than promised, -EIO for all else. */
struct buf;
typedef void (*fetch_done_fn)(void *ctx, int code, struct buf *bytes, const struct err *err);

/* From where artefacts come: a table, so that tests need no network. */
struct fetcher {
	void *data;
	/* `done` comes once, from the loop, never from inside this call, unless it is cancelled. */
	struct fetch *(*start)(void *data, const char *hash, int64_t size, fetch_done_fn done,
			       void *ctx);
	void (*cancel)(void *data, struct fetch *fetch);
};

/* The real one. */
struct http_client;
struct fetch_http {
	struct fetcher ops;
	struct http_client *http;
	const char *url; /* of the controller, without a slash at its end */
	const char *token_file;
};

void fetch_http_init(struct fetch_http *f, struct http_client *http, const char *url,
		     const char *token_file);
