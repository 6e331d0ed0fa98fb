#pragma once

/*
 * An HTTP/1.1 server on a libuv loop, with TLS or, for the pod's own loopback, without.
 *
 * Only the files that include http_server_priv.h know the HTTP library. What the server brings:
 * ceilings on connections, headers and bodies (431, 413, 503), deadlines for a peer that is slow to
 * send or to take its answer, answers that may come later (long-polls) with notice when the peer
 * has gone, certificates exchanged while it runs, and a drain on shutdown.
 *
 * When all places are taken, a new peer takes that of the connection which has been longest without
 * a whole request, else of the one that has been idle longest, else of the one that has been
 * longest in sending its body. A request that is held or answered never gives way.
 *
 * No proxy may stand in front that forwards for others: a request whose length can be read in two
 * ways is refused, but the parser is lenient in other respects.
 */

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct http_server;
struct http_exchange;

struct http_server_spec {
	const char *listen; /* "127.0.0.1:8443", "[::]:8443"; port 0: any free one */
	/* Both NULL: plain HTTP, which is meant for loopback alone. */
	const char *cert_pem, *key_pem;
	/* Longer: 413, once the rest of the body has been read past, if that is no more than 1 MiB.
	 */
	size_t max_body;
	unsigned int max_connections;
	/* 0: no such limit. One more is closed at once. */
	unsigned int max_connections_per_ip;
	/* Bytes of all bodies that are kept at one time. One address may have half of what is left,
	 * so that there is always room for another's; beyond it: 503. 0: no such limit. */
	size_t max_bodies;
	/* From the connection, or the request line of a later request, to the end of the headers.
	 */
	uint64_t header_timeout_ms;
	/* For the whole body to come, and for the peer to take the whole answer. */
	uint64_t body_timeout_ms;
	/* Between two requests. Go's clients keep idle connections for 90 s. */
	uint64_t idle_timeout_ms;
	/* The headers have come: is a body worth keeping? Where it is not, it is read past, and
	 * on_request() judges the request without it (http_exchange_is_bare()). May be NULL: every
	 * one is kept. */
	bool (*wants_body)(struct http_exchange *ex, void *data);
	/* A whole request has come. The handler answers at once or later with http_reply(); until
	 * then the exchange is held. */
	void (*on_request)(struct http_exchange *ex, void *data);
	/* The peer of an exchange that was not answered has gone: the exchange is gone after this.
	 * May be NULL where every request is answered at once. */
	void (*on_gone)(struct http_exchange *ex, void *data);
	void *data;
};

/* -EADDRINUSE and the like with a sentence. */
int http_server_new(uv_loop_t *loop, const struct http_server_spec *spec,
		    struct http_server **ret_server, struct err *err);

/* The port that it listens on. */
uint16_t http_server_port(const struct http_server *server);

/* New connections get this certificate; those that stand are left alone. */
int http_server_set_certificate(struct http_server *server, const char *cert_pem,
				const char *key_pem, struct err *err);

/* Take no new connection, answer what is held with 503 and "Connection: close" (on_gone is not
 * called for these), wait until all is written, at most `timeout_ms`, and free the server. `closed`
 * comes once, from the loop. */
void http_server_close(struct http_server *server, uint64_t timeout_ms, void (*closed)(void *data),
		       void *data);

/* Of the request; valid until it is answered. */
const char *http_exchange_method(const struct http_exchange *ex);
const char *http_exchange_path(const struct http_exchange *ex); /* without the query */
const char *http_exchange_header(struct http_exchange *ex, const char *name); /* or NULL */
const char *http_exchange_body(const struct http_exchange *ex, size_t *ret_n);
bool http_exchange_is_bare(const struct http_exchange *ex); /* wants_body() did not want it */
void http_exchange_peer(const struct http_exchange *ex, char *out, size_t n); /* "10.0.0.7" */

/* The body has been read and is not needed while the exchange is held. */
void http_exchange_forget_body(struct http_exchange *ex);

/* The caller's own pointer; NULL at first. */
void http_exchange_set_data(struct http_exchange *ex, void *data);
void *http_exchange_get_data(const struct http_exchange *ex);

struct http_reply {
	int status;
	const char *content_type; /* NULL: none */
	const char *body;         /* copied, unless `free_body` is set */
	size_t n_body;
	void (*free_body)(void *owner); /* the body is borrowed until this is called with `owner` */
	void *owner;
	const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
	bool close;
};

/* Answer, from inside the handler or later, exactly once; the exchange is gone after it. */
void http_reply(struct http_exchange *ex, const struct http_reply *reply);

/* The same with a body of {"message": "..."} made from a sentence. */
void http_reply_message(struct http_exchange *ex, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
