#pragma once

/*
 * What http_client.c (connections, the loop) and http_request.c (one exchange) share.
 */

#include "base/list.h"
#include "net/http_client.h"

#include <curl/curl.h>

struct http_client {
	uv_loop_t *loop;
	CURLM *multi;
	CURLSH *share;       /* TLS sessions, which curl keeps per request otherwise */
	uv_timer_t timeout;  /* curl's own */
	uv_timer_t kick;     /* due at once: begins what was started */
	unsigned int n_open; /* handles of the loop whose close callback has not come */
	bool in_curl;        /* curl is on the stack: it forbids most calls then */
	bool closing;
	struct list waiting; /* requests that curl does not know yet */
	struct list running;
	struct list gone; /* cancelled while curl was on the stack */
	struct list sockets;
	char *ca_pem;
	char *cert_pem;
	char *key_pem;
	char *connect_to;
	bool loopback;    /* http:// is taken where it stays on this machine */
	unsigned int era; /* connections of one era are not used in the next */
	void (*closed)(void *data);
	void *closed_data;
};

enum http_request_state {
	HTTP_REQUEST_WAITING,  /* in client->waiting */
	HTTP_REQUEST_RUNNING,  /* in client->running, known to curl */
	HTTP_REQUEST_FINISHED, /* `done` is being told */
	HTTP_REQUEST_GONE,     /* cancelled; in client->gone until curl is off the stack */
};

struct http_request {
	struct list link;
	struct http_client *client;
	enum http_request_state state;
	CURL *easy;
	struct curl_slist *headers;
	struct curl_slist *connect_to;
	bool (*on_data)(struct http_request *req, const char *bytes, size_t n);
	http_done_fn done;
	void *data;
	struct http_response res;
	bool has_idle;
	uv_timer_t idle;
	uint64_t idle_ms;
	uint64_t last_ms;  /* of the loop: when the last byte came */
	curl_off_t n_sent; /* as of the last look of `idle` */
};

struct http_request *http_request_new(struct http_client *client,
				      const struct http_request_spec *spec, http_done_fn done,
				      void *data);

/* Give it to curl; on failure `done` is told. */
void http_request_begin(struct http_request *req);

/* Tell `done` what curl said, and free the request. */
void http_request_finish(struct http_request *req, CURLcode code);

/* Take it from curl and free it, without `done`. Not while curl is on the stack. */
void http_request_drop(struct http_request *req);

/* One handle of the loop is closed; the last one ends a client that is being closed. */
void http_client_one_closed(struct http_client *client);
