#include "net/http_client_priv.h"

#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/tls.h"

#include <stdlib.h>

/*
 * The happy path:
 *
 *  - http_request_start() puts the request into `waiting` and arms the kick timer.
 *  - The kick timer gives what waits to curl, which asks for a timeout; when it fires, curl begins.
 *  - curl says which sockets it wants watched. What happens there is told to it, one turn each.
 *  - After every turn the messages are drained, and `done` is told for each request that is over.
 *
 * What else can happen:
 *
 *  - A spec that makes no sense: the request waits like any other, and the kick timer tells `done`.
 *  - A request is started, cancelled or the client closed inside `on_data`, where curl is on the
 * stack: it refuses most calls there, so a cancelled request goes to `gone`, and the turn ends it.
 *  - A request times out: its connection may lead nowhere, and curl keeps an HTTP/2 one. A new era
 *    begins, whose requests use none of the older connections.
 */

struct http_socket {
	struct list link;
	struct http_client *client;
	curl_socket_t fd;
	int events; /* that curl waits for */
	uv_poll_t poll;
};

static void http_client_dispose(struct http_client *client);

static void http_client_drain(struct http_client *client)
{
	struct http_request *req;
	CURLMsg *msg;
	int n_left;

	while (!client->closing && (msg = curl_multi_info_read(client->multi, &n_left))) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &req);
		http_request_finish(req, msg->data.result);
	}
}

static void http_client_reap(struct http_client *client)
{
	LIST_FOREACH(it, &client->gone)
		http_request_drop(container_of(it, struct http_request, link));
}

/* The only place where curl works: its callbacks come from here, with in_curl set. */
static void http_client_turn(struct http_client *client, curl_socket_t fd, int events)
{
	int n_running;

	client->in_curl = true;
	curl_multi_socket_action(client->multi, fd, events, &n_running);
	client->in_curl = false;
	http_client_reap(client);
	if (client->closing)
		http_client_dispose(client);
	else
		http_client_drain(client);
}

static void http_client_on_timeout(uv_timer_t *timer)
{
	http_client_turn(container_of(timer, struct http_client, timeout), CURL_SOCKET_TIMEOUT, 0);
}

/* libuv stops watching a socket that has an error. A peer that refuses a request and resets the
 * connection may have sent its answer before: curl shall read on until it meets the error itself.
 */
static void http_client_on_socket(uv_poll_t *poll, int status, int events)
{
	struct http_socket *s = container_of(poll, struct http_socket, poll);
	int flags = 0;

	if (status < 0) {
		uv_poll_start(poll, s->events, http_client_on_socket);
		events = UV_READABLE | UV_WRITABLE;
	}
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	http_client_turn(s->client, s->fd, flags);
}

static int http_client_want_timeout(CURLM *multi, long timeout_ms, void *data)
{
	struct http_client *client = data;

	(void)multi;
	if (timeout_ms < 0)
		uv_timer_stop(&client->timeout);
	else
		uv_timer_start(&client->timeout, http_client_on_timeout, (uint64_t)timeout_ms, 0);
	return 0;
}

static void http_socket_on_closed(uv_handle_t *handle)
{
	struct http_socket *s = container_of(handle, struct http_socket, poll);
	struct http_client *client = s->client;

	free(s);
	http_client_one_closed(client);
}

static struct http_socket *http_socket_new(struct http_client *client, curl_socket_t fd)
{
	struct http_socket *s = MEM_NEW(struct http_socket);

	s->client = client;
	s->fd = fd;
	if (uv_poll_init_socket(client->loop, &s->poll, fd) < 0) {
		free(s);
		return NULL;
	}
	client->n_open++;
	list_append(&client->sockets, &s->link);
	curl_multi_assign(client->multi, fd, s);
	return s;
}

static void http_socket_close(struct http_socket *s)
{
	list_remove(&s->link);
	uv_close((uv_handle_t *)&s->poll, http_socket_on_closed);
}

static int http_client_want_socket(CURL *easy, curl_socket_t fd, int what, void *data,
				   void *socket_data)
{
	struct http_client *client = data;
	struct http_socket *s = socket_data;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		curl_multi_assign(client->multi, fd, NULL);
		if (s)
			http_socket_close(s);
		return 0;
	}
	if (!s)
		s = http_socket_new(client, fd);
	if (!s)
		return -1;
	s->events = 0;
	if (what & CURL_POLL_IN)
		s->events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		s->events |= UV_WRITABLE;
	return uv_poll_start(&s->poll, s->events, http_client_on_socket) < 0 ? -1 : 0;
}

/* A `done` may start a request that fails at once, so what comes meanwhile is left for the next
 * time. It may also cancel any other, or close the client, which empties the batch. */
static void http_client_on_kick(uv_timer_t *timer)
{
	struct http_client *client = container_of(timer, struct http_client, kick);
	size_t n = 0;

	LIST_FOREACH(it, &client->waiting)
		n++;
	for (; n > 0 && !list_is_empty(&client->waiting); n--)
		http_request_begin(container_of(client->waiting.next, struct http_request, link));
}

static void http_client_init_curl(struct http_client *client)
{
	enum { MAX_STREAMS = 1000 };

	client->multi = curl_multi_init();
	client->share = curl_share_init();
	if (!client->multi || !client->share)
		abort();
	curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, http_client_want_socket);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, http_client_want_timeout);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	/* 100 by default, beyond which each watch would open another connection. The peer's own
	 * limit holds all the same. */
	curl_multi_setopt(client->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)MAX_STREAMS);
	/* CURLMOPT_MAXCONNECTS is left alone: it counts connections in use as well, so with as many
	 * streams each further request would close its connection. By default it grows with them.
	 */
}

struct http_client *http_client_new(uv_loop_t *loop)
{
	struct http_client *client = MEM_NEW(struct http_client);

	curl_global_init(CURL_GLOBAL_DEFAULT);
	client->loop = loop;
	list_init(&client->waiting);
	list_init(&client->running);
	list_init(&client->gone);
	list_init(&client->sockets);
	uv_timer_init(loop, &client->timeout);
	uv_timer_init(loop, &client->kick);
	client->n_open = 2;
	http_client_init_curl(client);
	return client;
}

int http_client_set_tls(struct http_client *client, const struct http_tls *tls, struct err *err)
{
	if (!tls->ca_pem)
		return err_set(err, -EINVAL, "no CA certificate is given");
	if (!tls->cert_pem != !tls->key_pem)
		return err_set(err, -EINVAL, "a client certificate and its key go together");
	if (tls_check(tls->ca_pem, NULL, err) < 0)
		return err_wrap(err, "CA");
	if (tls->cert_pem && tls_check(tls->cert_pem, tls->key_pem, err) < 0)
		return err_wrap(err, "client certificate");
	if (str_equal(client->ca_pem, tls->ca_pem) && str_equal(client->cert_pem, tls->cert_pem) &&
	    str_equal(client->key_pem, tls->key_pem))
		return 0;
	mem_replace(&client->ca_pem, mem_strdup(tls->ca_pem));
	mem_replace(&client->cert_pem, mem_strdup(tls->cert_pem));
	mem_replace(&client->key_pem, mem_strdup(tls->key_pem));
	client->era++;
	return 0;
}

void http_client_set_connect_to(struct http_client *client, const char *address)
{
	mem_replace(&client->connect_to, mem_strdup(address));
}

void http_client_allow_loopback(struct http_client *client)
{
	client->loopback = true;
}

struct http_request *http_request_start(struct http_client *client,
					const struct http_request_spec *spec, http_done_fn done,
					void *data)
{
	struct http_request *req = http_request_new(client, spec, done, data);

	list_append(&client->waiting, &req->link);
	uv_timer_start(&client->kick, http_client_on_kick, 0, 0);
	return req;
}

void http_request_cancel(struct http_request *req)
{
	struct http_client *client = req->client;

	if (req->state == HTTP_REQUEST_FINISHED || req->state == HTTP_REQUEST_GONE)
		return;
	if (!client->in_curl || req->state == HTTP_REQUEST_WAITING) {
		http_request_drop(req);
		return;
	}
	list_remove(&req->link);
	list_append(&client->gone, &req->link);
	req->state = HTTP_REQUEST_GONE;
}

static void http_client_free(struct http_client *client)
{
	void (*closed)(void *data) = client->closed;
	void *data = client->closed_data;

	free(client->ca_pem);
	free(client->cert_pem);
	free(client->key_pem);
	free(client->connect_to);
	free(client);
	curl_global_cleanup();
	if (closed)
		closed(data);
}

void http_client_one_closed(struct http_client *client)
{
	if (--client->n_open == 0)
		http_client_free(client);
}

static void http_client_on_timer_closed(uv_handle_t *handle)
{
	http_client_one_closed(handle->data);
}

static void http_client_close_timer(struct http_client *client, uv_timer_t *timer)
{
	timer->data = client;
	uv_close((uv_handle_t *)timer, http_client_on_timer_closed);
}

/* The timers stay until curl is gone, which may arm or stop them to the last. */
static void http_client_dispose(struct http_client *client)
{
	curl_multi_cleanup(client->multi);
	curl_share_cleanup(client->share);
	LIST_FOREACH(it, &client->sockets)
		http_socket_close(container_of(it, struct http_socket, link));
	http_client_close_timer(client, &client->timeout);
	http_client_close_timer(client, &client->kick);
}

void http_client_close(struct http_client *client, void (*closed)(void *data), void *data)
{
	client->closing = true;
	client->closed = closed;
	client->closed_data = data;
	LIST_FOREACH(it, &client->waiting)
		http_request_cancel(container_of(it, struct http_request, link));
	LIST_FOREACH(it, &client->running)
		http_request_cancel(container_of(it, struct http_request, link));
	if (!client->in_curl)
		http_client_dispose(client);
}
