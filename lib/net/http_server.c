#include "net/http_server_priv.h"

#include "base/container_of.h"
#include "base/mem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * The happy path:
 *
 *  - http_server_new() listens and starts libmicrohttpd without a thread, and without the listening
 *    socket, which is ours.
 *  - A peer connects: http_conn.c takes it from there.
 *  - There is something to do for it: one turn (http_daemon.c).
 *  - http_server_close() refuses what is held and waits until all is written; the last closed
 * handle frees the server.
 *
 * What else can happen:
 *
 *  - All places are taken: the connection that has been longest without a whole request gives way,
 * or the one that has been idle longest. So a crowd that says nothing cannot keep others out. Only
 *    where every place is taken by a request that is held or handled is a new peer turned away.
 *  - Connections are in phases, each with one deadline, so each phase's list is in the order of its
 *    deadlines, and one timer sweeps the heads.
 *  - A deadline for headers passes while they lie there and we have not got to them: it starts
 * over, a few times.
 *  - Descriptors run out: one connection gives way, and accepting rests for a moment.
 */

enum {
	HTTP_MAX_ACCEPTS =
	    16, /* a turn: a storm of new peers must not hold up those that are here */
	HTTP_REST_MS = 100,
	HTTP_TRIM_AFTER = 1000, /* closed connections */
	HTTP_TRIM_MS = 1000,
	HTTP_GRACE_MAX = 3, /* more times the deadline for headers */
};

uint64_t http_server_deadline_ms(const struct http_server *server, enum http_phase phase)
{
	switch (phase) {
	case HTTP_PHASE_HEADERS:
		return server->spec.header_timeout_ms;
	case HTTP_PHASE_BODY:
	case HTTP_PHASE_ANSWERING:
		return server->spec.body_timeout_ms;
	case HTTP_PHASE_IDLE:
		return server->spec.idle_timeout_ms;
	default:
		return 0;
	}
}

static struct http_conn *http_server_oldest(struct http_server *server, enum http_phase phase)
{
	struct list *l = &server->phases[phase];

	return list_is_empty(l) ? NULL : container_of(l->next, struct http_conn, link);
}

/* --- accepting --- */

/* Which phases give way to a new peer, and in which order. */
static bool http_server_make_room(struct http_server *server)
{
	static const enum http_phase phases[] = {HTTP_PHASE_HEADERS, HTTP_PHASE_IDLE,
						 HTTP_PHASE_BODY};

	for (size_t i = 0; i < sizeof(phases) / sizeof(*phases); i++) {
		struct http_conn *conn = http_server_oldest(server, phases[i]);

		if (conn) {
			http_conn_drop(conn);
			return true;
		}
	}
	return false;
}

static void http_server_admit(struct http_server *server, int fd, const struct sockaddr *addr,
			      socklen_t n)
{
	if (http_conn_ip_is_full(server, addr) ||
	    (server->n_conns >= server->spec.max_connections && !http_server_make_room(server)))
		close(fd);
	else
		http_conn_new(server, fd, addr, n);
}

static void http_server_on_connection(uv_poll_t *poll, int status, int events)
{
	struct http_server *server = container_of(poll, struct http_server, listener);

	(void)status;
	(void)events;
	for (int i = 0; i < HTTP_MAX_ACCEPTS; i++) {
		struct sockaddr_in6 addr;
		socklen_t n = sizeof(addr);
		int fd = accept4(server->listen_fd, (struct sockaddr *)&addr, &n,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			http_server_admit(server, fd, (struct sockaddr *)&addr, n);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			   errno == ENOBUFS) {
			http_server_make_room(server);
			uv_poll_stop(poll);
			http_server_wake_in(server, HTTP_REST_MS);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

/* --- deadlines --- */

static void http_server_sweep_closing(struct http_server *server);
static void http_server_on_sweep(uv_timer_t *timer);

void http_server_wake_in(struct http_server *server, uint64_t ms)
{
	if (!uv_is_active((uv_handle_t *)&server->sweep) ||
	    uv_timer_get_due_in(&server->sweep) > ms)
		uv_timer_start(&server->sweep, http_server_on_sweep, ms, 0);
}

/* What its peer sent lies there unread: that nothing happened is our own delay. To drop it would
 * have it come again with another handshake, just when there is too much to do. Not for ever: bytes
 * that dribble in are no excuse. */
static bool http_server_owes(const struct http_conn *conn)
{
	int n = 0;

	return conn->phase == HTTP_PHASE_HEADERS && conn->n_grace < HTTP_GRACE_MAX &&
	       ioctl(conn->fd, FIONREAD, &n) == 0 && n > 0;
}

static void http_server_give_grace(struct http_conn *conn)
{
	conn->n_grace++;
	conn->since_ms = uv_now(conn->server->loop);
	list_remove(&conn->link);
	list_append(&conn->server->phases[conn->phase], &conn->link);
}

static void http_server_sweep_phase(struct http_server *server, enum http_phase phase)
{
	uint64_t limit_ms = http_server_deadline_ms(server, phase);
	uint64_t now_ms = uv_now(server->loop);
	struct http_conn *conn;

	while (limit_ms > 0 && (conn = http_server_oldest(server, phase))) {
		if (conn->since_ms + limit_ms > now_ms) {
			http_server_wake_in(server, conn->since_ms + limit_ms - now_ms);
			return;
		}
		if (http_server_owes(conn))
			http_server_give_grace(conn);
		else
			http_conn_drop(conn);
	}
}

static void http_server_trim(struct http_server *server)
{
	if (server->n_closed < HTTP_TRIM_AFTER)
		return;
	server->n_closed = 0;
	malloc_trim(0);
}

static void http_server_on_sweep(uv_timer_t *timer)
{
	struct http_server *server = container_of(timer, struct http_server, sweep);

	if (server->closing) {
		http_server_sweep_closing(server);
		return;
	}
	for (int phase = 0; phase < N_HTTP_PHASES; phase++)
		http_server_sweep_phase(server, (enum http_phase)phase);
	http_server_trim(server);
	/* It may rest because descriptors ran out. */
	uv_poll_start(&server->listener, UV_READABLE, http_server_on_connection);
}

/* --- start --- */

static int http_server_parse(const char *listen_on, struct sockaddr_in6 *ret, struct err *err)
{
	const char *colon = strrchr(listen_on, ':');
	CLEANUP(mem_freep) char *host = NULL;
	char *end = NULL;
	long port;
	int rc;

	if (!colon || colon == listen_on)
		return err_set(err, -EINVAL, "\"%s\" is not an address and a port", listen_on);
	port = strtol(colon + 1, &end, 10);
	if (end == colon + 1 || *end || port < 0 || port > UINT16_MAX)
		return err_set(err, -EINVAL, "\"%s\" does not end in a port", listen_on);
	host = mem_strndup(listen_on, (size_t)(colon - listen_on));
	rc = uv_ip4_addr(host, (int)port, (struct sockaddr_in *)(void *)ret);
	if (host[0] == '[' && colon[-1] == ']') {
		host[strlen(host) - 1] = '\0';
		rc = uv_ip6_addr(host + 1, (int)port, ret);
	}
	if (rc < 0)
		return err_set(err, -EINVAL, "\"%s\" does not begin with an IP address", listen_on);
	return 0;
}

static int http_server_listen(struct http_server *server, struct err *err)
{
	struct sockaddr_in6 addr = {0};
	struct sockaddr *any = (struct sockaddr *)&addr;
	socklen_t n = sizeof(addr);
	int rc = http_server_parse(server->spec.listen, &addr, err);
	int on = 1, off = 0;

	if (rc < 0)
		return rc;
	server->listen_fd = socket(any->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->listen_fd < 0)
		return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	setsockopt(server->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (any->sa_family == AF_INET6)
		setsockopt(server->listen_fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(server->listen_fd, any, n) < 0 || listen(server->listen_fd, SOMAXCONN) < 0 ||
	    getsockname(server->listen_fd, any, &n) < 0)
		return err_set(err, -errno, "cannot listen on %s: %s", server->spec.listen,
			       strerror(errno));
	server->port = ntohs(addr.sin6_port); /* at the same place for both families */
	return 0;
}

/* A session of the former certificate is not resumed: a new connection shall see the new one. */
int http_server_set_certificate(struct http_server *server, const char *cert_pem,
				const char *key_pem, struct err *err)
{
	struct http_cert *cert = NULL;
	int rc = http_cert_new(cert_pem, key_pem, &cert, err);

	if (rc == 0)
		rc = http_cert_ticket_key(cert_pem, key_pem, server->ticket_key, err);
	if (rc < 0) {
		http_cert_unref(cert);
		return rc;
	}
	http_cert_unref(server->cert);
	server->cert = cert;
	return 0;
}

static void http_server_raise_fd_limit(const struct http_server *server)
{
	rlim_t wanted = (rlim_t)server->spec.max_connections * 2 + HTTP_SPARE_FDS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	http_daemons_stop(server);
	if (server->listen_fd >= 0)
		close(server->listen_fd);
	map_clear(&server->per_ip, free);
	http_cert_unref(server->cert);
	gnutls_memset(server->ticket_key, 0, sizeof(server->ticket_key));
	free(server);
}

static void http_server_freep(struct http_server **server)
{
	http_server_free(*server);
}

static void http_server_watch(struct http_server *server)
{
	uv_poll_init(server->loop, &server->listener, server->listen_fd);
	uv_timer_init(server->loop, &server->sweep);
	server->n_handles = 2 + (unsigned int)http_daemons_watch(server);
	uv_poll_start(&server->listener, UV_READABLE, http_server_on_connection);
}

int http_server_new(uv_loop_t *loop, const struct http_server_spec *spec,
		    struct http_server **ret_server, struct err *err)
{
	CLEANUP(http_server_freep) struct http_server *server = MEM_NEW(struct http_server);
	int rc;

	server->loop = loop;
	server->spec = *spec;
	server->has_tls = spec->cert_pem;
	server->listen_fd = -1;
	for (int i = 0; i < N_HTTP_PHASES; i++)
		list_init(&server->phases[i]);
	rc = http_server_listen(server, err);
	if (rc == 0 && server->has_tls)
		rc = http_server_set_certificate(server, spec->cert_pem, spec->key_pem, err);
	if (rc == 0)
		rc = http_daemons_start(server, err);
	if (rc < 0)
		return rc;
	server->spec.listen = server->spec.cert_pem = server->spec.key_pem =
	    NULL; /* the caller's */
	http_server_raise_fd_limit(server);
	http_server_watch(server);
	*ret_server = STEAL(server);
	return 0;
}

uint16_t http_server_port(const struct http_server *server)
{
	return server->port;
}

/* --- end --- */

static void http_server_one_closed(struct http_server *server)
{
	void (*closed)(void *data) = server->closed;
	void *data = server->closed_data;

	if (server->n_handles > 0 || server->n_all > 0)
		return;
	http_server_free(server);
	if (closed)
		closed(data);
}

static void http_server_on_handle_closed(uv_handle_t *handle)
{
	struct http_server *server = handle->data;

	server->n_handles--;
	http_server_one_closed(server);
}

static void http_server_close_handle(struct http_server *server, uv_handle_t *handle)
{
	handle->data = server;
	uv_close(handle, http_server_on_handle_closed);
}

void http_server_conn_gone(struct http_server *server)
{
	server->n_all--;
	if (++server->n_closed >= HTTP_TRIM_AFTER)
		http_server_wake_in(server, HTTP_TRIM_MS);
	if (server->closing && server->n_all == 0)
		http_server_wake_in(server, 0);
	http_server_one_closed(server);
}

static void http_server_drop_phase(struct http_server *server, enum http_phase phase)
{
	LIST_FOREACH(it, &server->phases[phase])
		http_conn_drop(container_of(it, struct http_conn, link));
}

/* Nothing may be suspended when libmicrohttpd stops, and its descriptors must not be watched. What
 * it still has it closes, which http_conn.c is told. */
static void http_server_finish(struct http_server *server)
{
	for (int phase = 0; phase < HTTP_PHASE_DYING; phase++)
		http_server_drop_phase(server, (enum http_phase)phase);
	for (size_t i = 0; i < server->n_daemons; i++) {
		http_server_close_handle(server, (uv_handle_t *)&server->daemons[i].turn);
		http_server_close_handle(server, (uv_handle_t *)&server->daemons[i].again);
	}
	http_server_close_handle(server, (uv_handle_t *)&server->sweep);
	http_daemons_stop(server);
}

static void http_server_sweep_closing(struct http_server *server)
{
	uint64_t now_ms = uv_now(server->loop);

	http_server_drop_phase(server, HTTP_PHASE_HEADERS);
	http_server_drop_phase(server, HTTP_PHASE_IDLE);
	if (server->n_all == 0 || now_ms >= server->close_at_ms)
		http_server_finish(server);
	else
		http_server_wake_in(server, server->close_at_ms - now_ms);
}

void http_server_close(struct http_server *server, uint64_t timeout_ms, void (*closed)(void *data),
		       void *data)
{
	server->closing = true;
	server->close_at_ms = uv_now(server->loop) + timeout_ms;
	server->closed = closed;
	server->closed_data = data;
	http_server_close_handle(server, (uv_handle_t *)&server->listener);
	close(server->listen_fd);
	server->listen_fd = -1;
	LIST_FOREACH(it, &server->phases[HTTP_PHASE_HELD])
		http_reply_message(&container_of(it, struct http_conn, link)->ex, 503,
				   "the server is shutting down");
	http_server_wake_in(server, 0);
}
