#pragma once

/*
 * What the tests of client and server share: a loop that is run until something has happened, a CA
 * with a leaf for "hauberk.test" and "localhost", a client that remembers its answers, and a raw
 * TCP peer.
 */

#include "base/container_of.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { NET_PATIENCE_MS = 20000 };

static const char *const net_names[] = {"hauberk.test", "localhost", NULL};

static inline void net_on_alarm(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("nothing happened for %d ms", NET_PATIENCE_MS);
}

static inline void net_on_round(uv_prepare_t *round)
{
	if (*(const bool *)round->data)
		uv_stop(round->loop);
}

/* UV_RUN_ONCE would not do: it may wait for more after a timer has brought what is awaited. */
static inline void net_run_until(uv_loop_t *loop, const bool *happened)
{
	uv_prepare_t round;
	uv_timer_t alarm;

	uv_timer_init(loop, &alarm);
	uv_timer_start(&alarm, net_on_alarm, NET_PATIENCE_MS, 0);
	uv_prepare_init(loop, &round);
	round.data = (void *)happened;
	uv_prepare_start(&round, net_on_round);
	while (!*happened)
		uv_run(loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&alarm, NULL);
	uv_close((uv_handle_t *)&round, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
}

static inline void net_on_pause_over(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

/* Where nothing must happen, there is no event to wait for. */
static inline void net_run_for(uv_loop_t *loop, uint64_t ms)
{
	bool over = false;
	uv_timer_t timer;

	uv_timer_init(loop, &timer);
	timer.data = &over;
	uv_timer_start(&timer, net_on_pause_over, ms, 0);
	net_run_until(loop, &over);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
}

static inline void net_set_true(void *flag)
{
	*(bool *)flag = true;
}

static inline void net_make_pair(struct tls_pair *ca, struct tls_pair *leaf,
				 const char *const *names)
{
	int64_t now_ms = (int64_t)time(NULL) * 1000;
	struct err err;

	assert_int_equal(tls_make_ca("hauberk test", now_ms, 30, ca, &err), 0);
	assert_int_equal(tls_make_leaf(ca, names, now_ms, 30, leaf, &err), 0);
}

/* An answer as it came. */
struct net_answer {
	bool came;
	int error, status;
	int64_t retry_after_ms;
	char why[256];
	char *body;
	size_t n_body;
};

static inline void net_on_answer(struct http_request *req, struct http_response *res)
{
	struct net_answer *a = http_request_data(req);

	assert_false(a->came);
	a->came = true;
	a->error = res->error;
	a->status = res->status;
	a->retry_after_ms = res->retry_after_ms;
	memcpy(a->why, res->why, sizeof(a->why));
	a->n_body = res->body.len;
	a->body = buf_steal(&res->body);
}

static inline void net_answer_clear(struct net_answer *a)
{
	free(a->body);
	*a = (struct net_answer){0};
}

/* A peer that speaks no HTTP of its own accord. */
struct net_raw {
	uv_tcp_t tcp;
	uv_connect_t connect;
	uv_write_t write;
	bool connected, came, ended, closed;
	char text[4096]; /* the first of what came */
	size_t n_text;
};

static inline void net_raw_on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
	static char chunk[65536];

	(void)handle;
	(void)hint;
	*out = uv_buf_init(chunk, sizeof(chunk));
}

static inline void net_raw_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *chunk)
{
	struct net_raw *raw = container_of(stream, struct net_raw, tcp);
	size_t room = sizeof(raw->text) - 1 - raw->n_text;

	if (n < 0) {
		raw->ended = true;
		uv_read_stop(stream);
		return;
	}
	if ((size_t)n < room)
		room = (size_t)n;
	raw->came = true;
	memcpy(raw->text + raw->n_text, chunk->base, room);
	raw->n_text += room;
}

static inline void net_raw_on_connected(uv_connect_t *connect, int status)
{
	struct net_raw *raw = container_of(connect, struct net_raw, connect);

	assert_int_equal(status, 0);
	raw->connected = true;
}

static inline void net_raw_connect(uv_loop_t *loop, struct net_raw *raw, uint16_t port)
{
	struct sockaddr_in addr;

	*raw = (struct net_raw){0};
	uv_ip4_addr("127.0.0.1", port, &addr);
	uv_tcp_init(loop, &raw->tcp);
	assert_int_equal(uv_tcp_connect(&raw->connect, &raw->tcp, (struct sockaddr *)&addr,
					net_raw_on_connected),
			 0);
	net_run_until(loop, &raw->connected);
}

static inline void net_raw_read(struct net_raw *raw)
{
	uv_read_start((uv_stream_t *)&raw->tcp, net_raw_on_alloc, net_raw_on_read);
}

static inline void net_raw_send(struct net_raw *raw, const char *text)
{
	uv_buf_t bytes = uv_buf_init((char *)text, (unsigned int)strlen(text));

	assert_int_equal(uv_try_write((uv_stream_t *)&raw->tcp, &bytes, 1), (int)bytes.len);
}

static inline void net_raw_on_closed(uv_handle_t *handle)
{
	container_of(handle, struct net_raw, tcp)->closed = true;
}

static inline void net_raw_close(struct net_raw *raw)
{
	uv_close((uv_handle_t *)&raw->tcp, net_raw_on_closed);
	net_run_until(raw->tcp.loop, &raw->closed);
}
