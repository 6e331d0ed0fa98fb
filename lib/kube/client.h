#pragma once

/*
 * Requests to the Kubernetes API server, on the loop.
 *
 * A client keeps its connections, proves who we are with each request, and reads the token file
 * again once a minute at most, and at once after a 401. Callbacks come from the loop, never from
 * inside the call that starts something.
 */

#include "base/err.h"
#include "base/js.h"
#include "kube/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct kube_client;
struct kube_request;

/* What became of a request, as far as a caller may want to branch on it. */
enum kube_outcome {
	KUBE_OK,
	KUBE_NOT_FOUND,
	KUBE_CONFLICT, /* the object changed meanwhile, or a precondition does not hold */
	KUBE_ALREADY_EXISTS,
	KUBE_GONE,    /* that version is no longer kept: list again */
	KUBE_FUTURE,  /* "too large resource version": the server is behind what we saw */
	KUBE_INVALID, /* 400, 413, 415, 422: it would be refused again */
	KUBE_FORBIDDEN,
	KUBE_UNAUTHORIZED,
	KUBE_TOO_MANY,    /* 429 */
	KUBE_UNAVAILABLE, /* 5xx */
	KUBE_UNREACHABLE, /* no answer; it may have been carried out all the same */
	KUBE_TOO_LONG,    /* the answer is longer than max_body */
	KUBE_BAD_ANSWER,  /* not JSON, or of no known status */
};

/* The value's name in lower case words ("not found"). */
const char *kube_outcome_word(enum kube_outcome outcome);

struct kube_result {
	enum kube_outcome outcome;
	int http_status;         /* 0: no answer */
	struct json_object *obj; /* the body, also of a refusal (a Status); NULL: none. Gone after
				  * `done`: json_object_get() to keep it. */
	int64_t retry_after_ms;  /* -1: the server did not say */
	const char *why;         /* a sentence; "" for KUBE_OK */
};

typedef void (*kube_done_fn)(void *data, const struct kube_result *res);

struct kube_request_spec {
	const char *method;
	const char *path;  /* "/api/v1/nodes/n1", names already fit for a URL */
	const char *query; /* encoded, without the "?" (query.h); NULL: none */
	struct json_object
	    *body; /* printed before the call returns, stays the caller's; NULL: none */
	const char *content_type; /* of the body; NULL: application/json */
	const char *accept;       /* NULL: application/json */
	uint64_t timeout_ms;      /* of one try; 0: 30 s */
	size_t max_body;          /* of the answer; 0: 16 MiB */
	unsigned int tries; /* 0 and 1: once. More: after 429, 5xx and, where a repetition does no
			     * harm (no POST), no answer, it is tried again as kube_retry_ms()
			     * says; `done` gets the last result. */
};

/* Copies what it needs of `config`. */
int kube_client_new(uv_loop_t *loop, const struct kube_config *config, const char *user_agent,
		    struct kube_client **ret, struct err *err);

/* Cancels all requests, without their `done`; watches, informers, leases, queues and recorders are
 * closed before. `closed` comes once, from the loop. */
void kube_client_close(struct kube_client *client, void (*closed)(void *data), void *data);

uv_loop_t *kube_client_loop(const struct kube_client *client);

/* The namespace of the pod or of the context, "default" where there is none. */
const char *kube_client_namespace(const struct kube_client *client);

/* `done` comes exactly once, as the last thing; the request is gone after it. */
struct kube_request *kube_request_start(struct kube_client *client,
					const struct kube_request_spec *spec, kube_done_fn done,
					void *data);

/* End it now. `done` is not called, and `req` is gone. What it asked for may have been done. */
void kube_request_cancel(struct kube_request *req);

/* A 2xx answer's body piece by piece as it comes, for watches. `on_data` returns false to end the
 * stream, which `done` sees as KUBE_UNREACHABLE; it may also cancel it. `timeout_ms` and
 * `idle_timeout_ms` 0: none. */
struct kube_stream_spec {
	const char *path, *query, *accept;
	uint64_t timeout_ms, idle_timeout_ms;
	bool (*on_data)(void *data, const char *bytes, size_t n);
};

struct kube_request *kube_stream_start(struct kube_client *client,
				       const struct kube_stream_spec *spec, kube_done_fn done,
				       void *data);
