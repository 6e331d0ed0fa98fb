#include "fetch.h"

#include "base/js.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "reply.h"
#include "token.h"

#include <stdlib.h>

enum { FETCH_TIMEOUT_MS = 60 * 1000, FETCH_IDLE_MS = 10 * 1000, FETCH_MIN_BODY = 4096 };

struct fetch {
	struct fetch_http *owner;
	struct http_request *request;
	fetch_done_fn done;
	void *ctx;
	int64_t size;
};

static void fetch_on_done(struct http_request *req, struct http_response *res)
{
	CLEANUP(mem_freep) struct fetch *f = http_request_data(req);
	struct err err;
	int code = 0;

	if (res->error == -EFBIG)
		code = err_set(&err, -EFBIG, "the artefact is longer than the %lld bytes promised",
			       (long long)f->size);
	else if (res->error || res->status != 200)
		code = reply_explain(res, &err);
	f->done(f->ctx, code, &res->body, &err);
}

/* A token that cannot be read leaves the header out, and the controller's 401 says the rest. */
static struct fetch *fetch_start(void *data, const char *hash, int64_t size, fetch_done_fn done,
				 void *ctx)
{
	struct fetch_http *owner = data;
	CLEANUP(mem_freep) char *url = mem_printf("%s/v1/policies/%s", owner->url, hash);
	CLEANUP(mem_freep) char *token = NULL;
	struct err ignored;
	struct fetch *f = MEM_NEW(struct fetch);
	const char *headers[2] = {NULL, NULL};

	token_header(owner->token_file, &token, &ignored);
	headers[0] = token;
	*f = (struct fetch){.owner = owner, .done = done, .ctx = ctx, .size = size};
	f->request = http_request_start(
	    owner->http,
	    &(struct http_request_spec){
		.method = "GET",
		.url = url,
		.headers = headers,
		.max_body = size > FETCH_MIN_BODY ? (size_t)size : FETCH_MIN_BODY,
		.timeout_ms = FETCH_TIMEOUT_MS,
		.idle_timeout_ms = FETCH_IDLE_MS,
	    },
	    fetch_on_done, f);
	return f;
}

static void fetch_cancel(void *data, struct fetch *f)
{
	(void)data;
	http_request_cancel(f->request);
	free(f);
}

void fetch_http_init(struct fetch_http *f, struct http_client *http, const char *url,
		     const char *token_file)
{
	*f = (struct fetch_http){.ops = {.data = f, .start = fetch_start, .cancel = fetch_cancel},
				 .http = http,
				 .url = url,
				 .token_file = token_file};
}
