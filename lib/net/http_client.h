#pragma once

/*
 * HTTPS requests on a libuv loop: one libcurl multi handle, connections kept and shared.
 *
 * The certificate of the peer is always verified, against the CA given and no other, under the name
 * in the URL. HTTP alone is refused, but for a client that was told that it may speak it to this
 * very machine.
 */

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct http_client;
struct http_request;

/* PEM text, copied where it is set. A change takes effect with the next request; requests under way
 * are left alone. */
struct http_tls {
	const char *ca_pem;   /* required */
	const char *cert_pem; /* client certificate and key, or both NULL */
	const char *key_pem;
};

struct http_client *http_client_new(uv_loop_t *loop);

/* Cancels all requests, without their `done`. `closed` comes once, when the loop holds nothing of
 * the client's any more. */
void http_client_close(struct http_client *client, void (*closed)(void *data), void *data);

int http_client_set_tls(struct http_client *client, const struct http_tls *tls, struct err *err);

/* Verify as always, yet connect to `address` ("host:port") whatever the URL says; NULL: as the URL
 * says. Copied; for the requests that start after it. */
void http_client_set_connect_to(struct http_client *client, const char *address);

/* Take URLs of plain HTTP as well where the host is a loopback address or "localhost". They need no
 * CA. */
void http_client_allow_loopback(struct http_client *client);

/* Is it such a URL? "http://127.0.0.1:8082/v1", with no user in it; not NULL. */
bool http_url_is_loopback(const char *url);

struct http_request_spec {
	const char *method; /* GET, POST, ... */
	const char *url;
	const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
	const char *body;           /* copied; NULL: none */
	size_t n_body;
	size_t max_body;     /* ceiling of the response, or of one chunk's backlog when streaming */
	uint64_t timeout_ms; /* of the whole exchange; 0: none (streams) */
	uint64_t idle_timeout_ms; /* no byte for so long: -ETIMEDOUT; 0: none */
	/* Where set, a 2xx body is given piece by piece as it comes and not collected. Returns
	 * false to end the request, whose `done` then says -ECANCELED. */
	bool (*on_data)(struct http_request *req, const char *bytes, size_t n);
};

struct http_response {
	/* 0 when the peer answered; else -ECONNREFUSED (no connection, or no such name),
	 * -ETIMEDOUT, -EPROTO (TLS, HTTP), -EFBIG (longer than max_body), -ECANCELED (on_data
	 * returned false), -EIO (the connection broke), -EINVAL (the spec). */
	int error;
	char why[256];          /* a sentence for error != 0 */
	int status;             /* meaningful when error is 0 */
	struct buf body;        /* emptied after `done`; buf_steal() to keep it */
	int64_t retry_after_ms; /* from Retry-After in seconds; -1: none */
};

typedef void (*http_done_fn)(struct http_request *req, struct http_response *res);

/* Start a request. `done` comes exactly once, from the loop, never from inside this call; the
 * request is gone after it. `data` is for the caller: http_request_data(). Never NULL: what is
 * wrong with the spec is told to `done`. */
struct http_request *http_request_start(struct http_client *client,
					const struct http_request_spec *spec, http_done_fn done,
					void *data);

void *http_request_data(const struct http_request *req);

/* End it now; `done` is not called, and the request is gone when this returns. */
void http_request_cancel(struct http_request *req);
