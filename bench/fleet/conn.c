#include "conn.h"

#include "base/mem.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The happy path: conn_send() opens a socket; when it is writable the handshake begins; when that
 * is done the request is written and the response read, and the connection rests until the next
 * conn_send().
 *
 * What else can happen:
 *
 *  - The peer closes a connection that rests: the next request opens another.
 *  - It ends in the middle of anything else, or the certificate does not fit: `done` with status 0.
 */

enum { CONN_HEAD_MAX = 16 * 1024, CONN_BODY_MAX = 8 << 20, CONN_CHUNK = 16 * 1024 };

/* ---- what all share ---- */

static int conn_on_session(SSL *ssl, SSL_SESSION *session)
{
	struct conn *conn = SSL_get_app_data(ssl);

	SSL_SESSION_free(conn->session);
	conn->session = session;
	return 1; /* the reference is ours now */
}

static int conn_peer_address(struct conn_peer *peer, const char *address, struct err *err)
{
	const char *colon = strrchr(address, ':');
	CLEANUP(mem_freep) char *host = NULL;
	int64_t port;

	if (!colon || !str_to_i64(colon + 1, 1, 65535, &port))
		return err_set(err, -EINVAL, "%s is not of the form 127.0.0.1:PORT", address);
	host = mem_strndup(address, (size_t)(colon - address));
	peer->addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	if (inet_pton(AF_INET, host, &peer->addr.sin_addr) != 1 ||
	    (ntohl(peer->addr.sin_addr.s_addr) >> 24) != 127)
		return err_set(err, -EINVAL, "%s is not loopback: the fleet stays on this machine",
			       host);
	return 0;
}

int conn_peer_init(struct conn_peer *peer, const char *ca_file, const char *address,
		   const char *name, struct err *err)
{
	int r = conn_peer_address(peer, address, err);

	if (r < 0)
		return r;
	peer->name = name;
	peer->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(peer->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(peer->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(peer->ctx,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(peer->ctx, conn_on_session);
	if (SSL_CTX_load_verify_file(peer->ctx, ca_file) != 1)
		return err_set(err, -EINVAL, "%s holds no certificate", ca_file);
	return 0;
}

void conn_peer_deinit(struct conn_peer *peer)
{
	SSL_CTX_free(peer->ctx);
}

/* ---- one connection ---- */

static void conn_on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

void conn_close(struct conn *conn)
{
	if (conn->poll)
		uv_close((uv_handle_t *)STEAL(conn->poll), conn_on_poll_closed);
	if (conn->ssl) /* or OpenSSL takes the session for a broken one */
		SSL_set_shutdown(conn->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(STEAL(conn->ssl));
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
	conn->events = 0;
	buf_clear(&conn->out);
	buf_clear(&conn->in);
	conn->state = CONN_CLOSED;
}

static void conn_fail(struct conn *conn, const char *what)
{
	bool resting = conn->state == CONN_IDLE;
	unsigned long code = ERR_peek_error();
	int error = errno;

	snprintf(conn->why, sizeof(conn->why), "%s: %s", what,
		 code ? ERR_reason_error_string(code) : strerror(error));
	ERR_clear_error();
	conn_close(conn);
	if (!resting)
		conn->done(conn, 0, "", 0);
}

static void conn_on_event(uv_poll_t *poll, int status, int events);

static void conn_want(struct conn *conn, int events)
{
	if (conn->events == events)
		return;
	conn->events = events;
	uv_poll_start(conn->poll, events, conn_on_event);
}

/* True when the call that returned `r` goes on later. */
static bool conn_again(struct conn *conn, int r)
{
	switch (SSL_get_error(conn->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		conn_want(conn, UV_READABLE);
		return true;
	case SSL_ERROR_WANT_WRITE:
		conn_want(conn, UV_READABLE | UV_WRITABLE);
		return true;
	default:
		return false;
	}
}

static void conn_finish(struct conn *conn)
{
	struct buf in = conn->in;
	size_t n_head = conn->n_head, n_body = conn->n_body;

	conn->in = (struct buf)BUF_INIT(CONN_HEAD_MAX + CONN_BODY_MAX);
	conn->n_head = 0;
	conn->state = CONN_IDLE;
	buf_clear(&conn->out);
	if (conn->last)
		conn_close(conn);
	conn->done(conn, conn->status, in.data + n_head, n_body);
	buf_clear(&in);
}

static const char *conn_header(const char *head, const char *name)
{
	const char *line = strstr(head, "\r\n");
	size_t n = strlen(name);

	for (; line; line = strstr(line + 2, "\r\n"))
		if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':')
			return line + 3 + n + strspn(line + 3 + n, " ");
	return NULL;
}

/* The controller always says how long a body is. False: this is no response of its. */
static bool conn_read_head(struct conn *conn)
{
	char *end = strstr(conn->in.data, "\r\n\r\n");
	const char *length, *connection;

	if (!end)
		return conn->in.len < CONN_HEAD_MAX;
	end[2] = '\0';
	conn->n_head = (size_t)(end - conn->in.data) + 4;
	length = conn_header(conn->in.data, "Content-Length");
	connection = conn_header(conn->in.data, "Connection");
	conn->last = connection && strncasecmp(connection, "close", 5) == 0;
	conn->n_body = length ? strtoul(length, NULL, 10) : CONN_BODY_MAX + 1;
	conn->status = strncmp(conn->in.data, "HTTP/1.1 ", 9) == 0 ? atoi(conn->in.data + 9) : 0;
	return conn->status >= 200 && conn->n_body <= CONN_BODY_MAX;
}

static void conn_read(struct conn *conn)
{
	static char chunk[CONN_CHUNK];
	int n;

	while ((n = SSL_read(conn->ssl, chunk, sizeof(chunk))) > 0) {
		if (conn->state != CONN_EXCHANGE || !buf_add(&conn->in, chunk, (size_t)n) ||
		    (conn->n_head == 0 && !conn_read_head(conn))) {
			conn_fail(conn, "no response of the controller's");
			return;
		}
		if (conn->n_head > 0 && conn->in.len >= conn->n_head + conn->n_body) {
			conn_finish(conn);
			return;
		}
	}
	if (!conn_again(conn, n))
		conn_fail(conn, "while reading");
}

static void conn_write(struct conn *conn)
{
	while (conn->n_sent < conn->out.len) {
		int n = SSL_write(conn->ssl, conn->out.data + conn->n_sent,
				  (int)(conn->out.len - conn->n_sent));

		if (n <= 0) {
			if (!conn_again(conn, n))
				conn_fail(conn, "while writing");
			return;
		}
		conn->n_sent += (size_t)n;
	}
	conn_want(conn, UV_READABLE);
}

static void conn_shake(struct conn *conn)
{
	int r = SSL_connect(conn->ssl);

	if (r != 1) {
		if (!conn_again(conn, r))
			conn_fail(conn, "while connecting");
		return;
	}
	conn->state = CONN_EXCHANGE;
	conn_write(conn);
}

static int conn_error(const struct conn *conn)
{
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	return error;
}

static void conn_on_event(uv_poll_t *poll, int status, int events)
{
	struct conn *conn = poll->data;

	if (status < 0) { /* libuv says EBADF, whatever it is */
		errno = conn_error(conn);
		conn_fail(conn, "on the socket");
		return;
	}
	if (conn->state == CONN_CONNECTING)
		conn_shake(conn);
	else if (conn->state == CONN_EXCHANGE && conn->n_sent < conn->out.len)
		conn_write(conn);
	if (conn->ssl && conn->state != CONN_CONNECTING && (events & UV_READABLE))
		conn_read(conn);
}

static int conn_open(struct conn *conn)
{
	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		return -errno;
	if (connect(conn->fd, (const struct sockaddr *)&conn->peer->addr,
		    sizeof(conn->peer->addr)) < 0 &&
	    errno != EINPROGRESS)
		return -errno;
	conn->ssl = SSL_new(conn->peer->ctx);
	SSL_set_app_data(conn->ssl, conn);
	SSL_set_fd(conn->ssl, conn->fd);
	SSL_set1_host(conn->ssl, conn->peer->name);
	SSL_set_tlsext_host_name(conn->ssl, conn->peer->name);
	if (conn->session)
		SSL_set_session(conn->ssl, conn->session);
	return 0;
}

/* A refused connection is told by the loop, as any other failure: never from within conn_send(). */
static void conn_start(struct conn *conn)
{
	if (conn_open(conn) < 0) {
		fprintf(stderr, "fleet-agents: no socket: %s\n", strerror(errno));
		exit(1); /* our own limits are too low: there is nothing to measure */
	}
	conn->poll = MEM_NEW(uv_poll_t);
	conn->poll->data = conn;
	uv_poll_init(conn->loop, conn->poll, conn->fd);
	conn->state = CONN_CONNECTING;
	conn_want(conn, UV_WRITABLE);
}

void conn_init(struct conn *conn, uv_loop_t *loop, const struct conn_peer *peer,
	       void (*done)(struct conn *conn, int status, const char *body, size_t n))
{
	*conn = (struct conn){.loop = loop, .peer = peer, .fd = -1, .done = done};
	conn->out = (struct buf)BUF_INIT(CONN_HEAD_MAX + CONN_BODY_MAX);
	conn->in = (struct buf)BUF_INIT(CONN_HEAD_MAX + CONN_BODY_MAX);
}

void conn_deinit(struct conn *conn)
{
	conn_close(conn);
	SSL_SESSION_free(STEAL(conn->session));
}

void conn_send(struct conn *conn)
{
	conn->n_sent = 0;
	conn->n_head = 0;
	if (conn->state == CONN_CLOSED) {
		conn_start(conn);
		return;
	}
	conn->state = CONN_EXCHANGE;
	conn_want(conn, UV_READABLE | UV_WRITABLE);
}
