#include "net/http_server_priv.h"

#include "base/container_of.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The happy path of a connection:
 *
 *  - It is accepted and watched. It costs a descriptor and this struct while its peer says nothing.
 *  - Its first byte comes: libmicrohttpd takes it over and makes a TLS session. Where that needs
 *    more from the peer, the connection is suspended and watched by us until there is something.
 *  - The handshake is over; libmicrohttpd reads a request. It is handled and answered, or held:
 *    suspended, and watched by us for a peer that goes away. Answered, it waits for the next one.
 *  - The peer closes it; libmicrohttpd closes the descriptor and says so.
 *
 * What else can happen:
 *
 *  - The first byte is not one of TLS, or there is none: we close it.
 *  - A deadline passes, or its place is needed for another: we shut it down. libmicrohttpd sees the
 *    end of it and lets go. (It has no call for that.)
 *  - The peer of a held one goes away: its request is lost, which the handler is told.
 *
 * Why the suspension during the handshake: libmicrohttpd 0.9.75 does not note that GnuTLS has read
 * all there is, and tries again and again until the peer answers. One peer that stops halfway would
 * take a whole processor.
 */

enum { TLS_RECORD_HANDSHAKE = 22 }; /* RFC 8446, 5.1 */

/* Which phases may follow each; DYING may follow every one. */
#define AFTER(phase_) (1u << HTTP_PHASE_##phase_)
static const unsigned int http_phase_next[N_HTTP_PHASES] = {
    [HTTP_PHASE_HEADERS] = AFTER(BODY) | AFTER(IDLE), /* refused by libmicrohttpd: 400, 431 */
    [HTTP_PHASE_BODY] = AFTER(HANDLING) | AFTER(ANSWERING) | AFTER(IDLE),
    [HTTP_PHASE_HANDLING] = AFTER(HELD) | AFTER(ANSWERING),
    [HTTP_PHASE_HELD] = AFTER(ANSWERING),
    [HTTP_PHASE_ANSWERING] = AFTER(IDLE),
    [HTTP_PHASE_IDLE] = AFTER(HEADERS),
};

void http_addr_text(const struct sockaddr *addr, char out[INET6_ADDRSTRLEN])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)addr;

	if (addr->sa_family == AF_INET)
		inet_ntop(AF_INET, &v4->sin_addr, out, INET6_ADDRSTRLEN);
	else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, &v6->sin6_addr, out, INET6_ADDRSTRLEN);
}

bool http_conn_ip_is_full(const struct http_server *server, const struct sockaddr *addr)
{
	const struct http_ip *ip;
	char text[INET6_ADDRSTRLEN];

	http_addr_text(addr, text);
	ip = map_get(&server->per_ip, text);
	return ip && server->spec.max_connections_per_ip > 0 &&
	       ip->n_conns >= server->spec.max_connections_per_ip;
}

static void http_conn_count_ip(struct http_conn *conn)
{
	char text[INET6_ADDRSTRLEN];
	struct http_ip *ip;

	http_addr_text((const struct sockaddr *)&conn->addr, text);
	ip = map_get(&conn->server->per_ip, text);
	if (!ip) {
		ip = MEM_NEW(struct http_ip);
		map_put(&conn->server->per_ip, text, ip);
	}
	ip->n_conns++;
	conn->ip = ip;
}

static void http_conn_discount_ip(struct http_conn *conn)
{
	char text[INET6_ADDRSTRLEN];

	if (--conn->ip->n_conns > 0)
		return;
	http_addr_text((const struct sockaddr *)&conn->addr, text);
	free(map_del(&conn->server->per_ip, text));
}

void http_conn_enter(struct http_conn *conn, enum http_phase phase)
{
	struct http_server *server = conn->server;
	uint64_t deadline_ms = http_server_deadline_ms(server, phase);

	assert(phase == HTTP_PHASE_DYING || http_phase_next[conn->phase] & (1u << phase));
	if (phase == HTTP_PHASE_DYING && conn->phase != phase)
		server->n_conns--;
	list_remove(&conn->link);
	list_append(&server->phases[phase], &conn->link);
	conn->phase = phase;
	conn->since_ms = uv_now(server->loop);
	conn->n_grace = 0;
	if (deadline_ms > 0)
		http_server_wake_in(server, deadline_ms);
}

static void http_conn_on_closed(uv_handle_t *handle)
{
	struct http_conn *conn = container_of(handle, struct http_conn, poll);
	struct http_server *server = conn->server;

	free(conn);
	http_server_conn_gone(server);
}

/* The watch goes first: a descriptor must not be closed, and perhaps used again, while it is
 * watched. */
static void http_conn_free(struct http_conn *conn)
{
	struct http_server *server = conn->server;

	if (conn->phase != HTTP_PHASE_DYING)
		server->n_conns--;
	list_remove(&conn->link);
	list_remove(&conn->shake);
	http_exchange_drop_body(conn);
	http_conn_discount_ip(conn);
	http_cert_unref(conn->cert);
	uv_close((uv_handle_t *)&conn->poll, http_conn_on_closed);
	if (!conn->mhd && conn->fd >= 0)
		close(conn->fd);
}

void http_conn_drop(struct http_conn *conn)
{
	if (!conn->mhd) {
		http_conn_free(conn);
		return;
	}
	http_conn_enter(conn, HTTP_PHASE_DYING);
	shutdown(conn->fd, SHUT_RDWR);
	if (conn->suspended)
		http_conn_resume(conn);
}

struct http_conn *http_conn_of(struct MHD_Connection *mhd)
{
	return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static gnutls_session_t http_conn_tls(const struct http_conn *conn)
{
	return MHD_get_connection_info(conn->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;
}

/* Until the event comes or http_conn_resume() is called. */
static void http_conn_on_poll(uv_poll_t *poll, int status, int events);

void http_conn_suspend(struct http_conn *conn, int events)
{
	MHD_suspend_connection(conn->mhd);
	conn->suspended = true;
	uv_poll_start(&conn->poll, events, http_conn_on_poll);
}

void http_conn_resume(struct http_conn *conn)
{
	uv_poll_stop(&conn->poll);
	conn->suspended = false;
	MHD_resume_connection(conn->mhd);
	http_daemon_run_soon(conn->daemon); /* its epoll descriptor does not tell */
}

void http_conn_settle_handshake(struct http_conn *conn)
{
	gnutls_session_t tls = http_conn_tls(conn);

	list_remove(&conn->shake);
	if (conn->phase == HTTP_PHASE_DYING || conn->shaken)
		return;
	http_conn_suspend(conn, gnutls_record_get_direction(tls) ? UV_WRITABLE : UV_READABLE);
}

static void http_conn_hand_over(struct http_conn *conn)
{
	struct http_server *server = conn->server;
	const struct sockaddr *addr = (const struct sockaddr *)&conn->addr;
	socklen_t n = addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(conn->addr);
	enum MHD_Result taken;

	uv_poll_stop(&conn->poll);
	conn->daemon = http_daemons_next(server);
	server->adopting = conn;
	taken = MHD_add_connection(conn->daemon->mhd, conn->fd, addr, n);
	server->adopting = NULL;
	if (taken == MHD_YES) {
		if (server->has_tls)
			list_append(&conn->daemon->shaking, &conn->shake);
	} else if (!uv_is_closing((uv_handle_t *)&conn->poll)) {
		conn->fd = -1; /* closed, as every descriptor that libmicrohttpd does not take */
		http_conn_free(conn);
	}
}

static void http_conn_on_first_byte(struct http_conn *conn)
{
	unsigned char byte = 0;
	ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || (conn->server->has_tls && byte != TLS_RECORD_HANDSHAKE))
		http_conn_free(conn);
	else
		http_conn_hand_over(conn);
}

static void http_conn_on_poll(uv_poll_t *poll, int status, int events)
{
	struct http_conn *conn = container_of(poll, struct http_conn, poll);

	(void)status;
	(void)events;
	if (!conn->mhd) {
		http_conn_on_first_byte(conn);
	} else if (conn->phase == HTTP_PHASE_HELD) {
		http_conn_drop(conn);
		http_exchange_lost(&conn->ex);
	} else {
		list_append(&conn->daemon->shaking, &conn->shake);
		http_conn_resume(conn);
	}
}

/* The peer's Finished is the last message that a handshake waits for. */
static int http_conn_on_finished(gnutls_session_t tls, unsigned int type, unsigned int when,
				 unsigned int incoming, const gnutls_datum_t *msg)
{
	(void)type;
	(void)when;
	(void)msg;
	if (incoming)
		http_conn_of(gnutls_session_get_ptr(tls))->shaken = true;
	return 0;
}

static void http_conn_on_started(struct http_conn *conn, struct MHD_Connection *mhd)
{
	gnutls_datum_t key = {conn->server->ticket_key, sizeof(conn->server->ticket_key)};
	gnutls_session_t tls;

	conn->mhd = mhd;
	if (!conn->server->has_tls)
		return;
	tls = http_conn_tls(conn);
	gnutls_session_ticket_enable_server(tls, &key);
	gnutls_handshake_set_hook_function(tls, GNUTLS_HANDSHAKE_FINISHED, GNUTLS_HOOK_POST,
					   http_conn_on_finished);
}

void http_conn_on_notify(void *data, struct MHD_Connection *mhd, void **context,
			 enum MHD_ConnectionNotificationCode code)
{
	struct http_server *server = data;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*context = server->adopting;
		http_conn_on_started(server->adopting, mhd);
	} else {
		http_conn_free(*context);
	}
}

void http_conn_new(struct http_server *server, int fd, const struct sockaddr *addr, socklen_t n)
{
	struct http_conn *conn = MEM_NEW(struct http_conn);

	if (uv_poll_init(server->loop, &conn->poll, fd) < 0) {
		close(fd);
		free(conn);
		return;
	}
	conn->server = server;
	conn->fd = fd;
	memcpy(&conn->addr, addr, n < sizeof(conn->addr) ? n : sizeof(conn->addr));
	list_init(&conn->link);
	list_init(&conn->shake);
	http_conn_count_ip(conn);
	server->n_conns++;
	server->n_all++;
	conn->phase = HTTP_PHASE_IDLE;
	http_conn_enter(conn, HTTP_PHASE_HEADERS);
	uv_poll_start(&conn->poll, UV_READABLE, http_conn_on_poll);
}
