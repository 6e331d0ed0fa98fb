#pragma once

/*
 * One agent's HTTPS connection, on a libuv loop: one request at a time, over a connection that is
 * kept. As small as it can be, since one process holds thousands of them.
 *
 * The peer's certificate is verified under the server's name against the CA given, as an agent
 * does, and a TLS session is offered again on the next connection.
 */

#include "base/buf.h"
#include "base/err.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <uv.h>

/* What all connections share. */
struct conn_peer {
	SSL_CTX *ctx;
	struct sockaddr_in addr;
	const char *name; /* which the certificate must bear; borrowed */
};

/* `address` is "127.0.0.1:PORT": nothing but loopback is taken. */
int conn_peer_init(struct conn_peer *peer, const char *ca_file, const char *address,
		   const char *name, struct err *err);
void conn_peer_deinit(struct conn_peer *peer);

enum conn_state {
	CONN_CLOSED,
	CONN_CONNECTING, /* until TCP and TLS stand */
	CONN_IDLE,
	CONN_EXCHANGE, /* a request goes out, or its response is awaited */
};

struct conn {
	uv_loop_t *loop;
	const struct conn_peer *peer;
	enum conn_state state;
	uv_poll_t *poll; /* freed by its close callback */
	int events;      /* which it waits for */
	int fd;
	SSL *ssl;
	SSL_SESSION *session; /* of the connection before */
	struct buf out;
	size_t n_sent;
	struct buf in;
	size_t n_head; /* of the response; 0: not whole yet */
	size_t n_body; /* as Content-Length says */
	int status;
	bool last;     /* the peer closes after this response */
	char why[128]; /* the last one broke */
	/* The response is whole: `body` is valid during the call. Or it will not come: status 0. */
	void (*done)(struct conn *conn, int status, const char *body, size_t n);
};

void conn_init(struct conn *conn, uv_loop_t *loop, const struct conn_peer *peer,
	       void (*done)(struct conn *conn, int status, const char *body, size_t n));

/* Send what `out` holds, a whole request; connects first where that is needed. `done` comes once,
 * from the loop. */
void conn_send(struct conn *conn);

/* Close it, without `done`. A request that is there is dropped. */
void conn_close(struct conn *conn);

/* For good, with the session. */
void conn_deinit(struct conn *conn);
