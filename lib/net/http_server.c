#include "net/http_server_priv.h"

#include "base/container_of.h"
#include "base/mem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * The happy path:
 *
 *  - http_server_new() listens and starts libmicrohttpd without a thread, and without the listening
 *    socket, which is ours.
 *  - A peer connects: http_conn.c takes it from there.
 *  - libmicrohttpd's epoll descriptor says that there is something to do: one turn.
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
 *  - Descriptors run out: one connection gives way, and accepting rests for a moment.
 */

enum {
	HTTP_MAX_ACCEPTS =
	    16, /* a turn: a storm of new peers must not hold up those that are here */
	HTTP_POOL_BYTES =
	    16384, /* of a connection: request line, headers, and a piece of the body */
	HTTP_REST_MS = 100,
	HTTP_TRIM_AFTER = 1000, /* closed connections */
	HTTP_TRIM_MS = 1000,
	HTTP_SPARE_FDS = 256,
};

/* TLS 1.3 and 1.2 with forward secrecy and authenticated encryption, nothing else. */
static const char http_tls_priorities[] =
    "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+ECDHE-ECDSA:+ECDHE-RSA:+AES-128-GCM:+AES-256-GCM:"
    "+CHACHA20-POLY1305:+AEAD:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:"
    "+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SHA256:+SIGN-ECDSA-SECP384R1-SHA384:"
    "+SIGN-ECDSA-SHA384:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-RSA-SHA256:+SIGN-EDDSA-ED25519:"
    "+CTYPE-X509:+COMP-NULL:%SERVER_PRECEDENCE";

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

/* --- turns of libmicrohttpd --- */

static void http_server_on_again(uv_timer_t *timer);

static void http_server_run(struct http_server *server)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(server->daemon);
	LIST_FOREACH(it, &server->shaking)
		http_conn_settle_handshake(container_of(it, struct http_conn, shake));
	if (MHD_get_timeout(server->daemon, &ms) == MHD_YES)
		uv_timer_start(&server->again, http_server_on_again, ms, 0);
}

static void http_server_on_again(uv_timer_t *timer)
{
	http_server_run(container_of(timer, struct http_server, again));
}

void http_server_run_soon(struct http_server *server)
{
	uv_timer_start(&server->again, http_server_on_again, 0, 0);
}

static void http_server_on_turn(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	http_server_run(container_of(poll, struct http_server, turn));
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

static int http_server_start_daemon(struct http_server *server, struct err *err)
{
	unsigned int flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME;
	struct MHD_OptionItem tls[] = {
	    {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)http_tls_priorities},
	    {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)http_cert_on_handshake},
	    {MHD_OPTION_END, 0, NULL},
	};

	server->daemon = MHD_start_daemon(
	    server->has_tls ? flags | MHD_USE_TLS : flags, 0, NULL, NULL, http_exchange_on_request,
	    server, MHD_OPTION_CONNECTION_LIMIT, server->spec.max_connections * 2 + HTTP_SPARE_FDS,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_POOL_BYTES,
	    MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_CONNECTION, http_conn_on_notify,
	    server, MHD_OPTION_NOTIFY_COMPLETED, http_exchange_on_completed, server,
	    MHD_OPTION_URI_LOG_CALLBACK, http_exchange_on_line, server,
	    server->has_tls ? MHD_OPTION_ARRAY : MHD_OPTION_END, tls, MHD_OPTION_END);
	if (!server->daemon)
		return err_set(err, -EIO, "libmicrohttpd does not start");
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
	if (server->daemon)
		MHD_stop_daemon(server->daemon);
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
	int epoll_fd = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;

	uv_poll_init(server->loop, &server->listener, server->listen_fd);
	uv_poll_init(server->loop, &server->turn, epoll_fd);
	uv_timer_init(server->loop, &server->again);
	uv_timer_init(server->loop, &server->sweep);
	server->n_handles = 4;
	uv_poll_start(&server->listener, UV_READABLE, http_server_on_connection);
	uv_poll_start(&server->turn, UV_READABLE, http_server_on_turn);
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
	list_init(&server->shaking);
	rc = http_server_listen(server, err);
	if (rc == 0 && server->has_tls)
		rc = http_server_set_certificate(server, spec->cert_pem, spec->key_pem, err);
	if (rc == 0)
		rc = http_server_start_daemon(server, err);
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
	http_server_close_handle(server, (uv_handle_t *)&server->turn);
	http_server_close_handle(server, (uv_handle_t *)&server->again);
	http_server_close_handle(server, (uv_handle_t *)&server->sweep);
	MHD_stop_daemon(STEAL(server->daemon));
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
