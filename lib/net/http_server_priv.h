#pragma once

/*
 * What the files of the server share. They alone know libmicrohttpd and GnuTLS.
 *
 *   http_server.c    listening, ceilings, deadlines, closing
 *   http_daemon.c    the turns of libmicrohttpd
 *   http_conn.c      one connection, from its first byte to its end
 *   http_exchange.c  one request and its answer
 *   http_cert.c      the certificate that new connections are given
 */

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "net/http_server.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <netinet/in.h>

enum http_phase {
	HTTP_PHASE_HEADERS,  /* from the connection, or a request line, to the end of the headers */
	HTTP_PHASE_BODY,     /* to the end of the request */
	HTTP_PHASE_HANDLING, /* on_request is on the stack */
	HTTP_PHASE_HELD,     /* to the reply */
	HTTP_PHASE_ANSWERING, /* until the peer has taken the answer */
	HTTP_PHASE_IDLE,      /* to the next request line */
	HTTP_PHASE_DYING,     /* shut down; libmicrohttpd is yet to let go of it */
	N_HTTP_PHASES,
};

struct http_cert;

enum {
	HTTP_TICKET_KEY_BYTES = 64, /* as gnutls_session_ticket_key_generate() makes it */
	/* Of a connection: request line, headers, and a piece of the body. An agent's headers are
	 * its token and little more: 1 to 2 KiB. What does not fit is answered with 431. */
	HTTP_POOL_BYTES = 8192,
	HTTP_SPARE_FDS = 256,
	HTTP_DAEMONS_MAX = 16,
};

struct http_exchange {
	const char *method; /* libmicrohttpd's, as long as the request is under way */
	const char *path;
	struct buf body;
	bool is_bare;  /* the body is not wanted */
	int refused;   /* the status to answer once the body has been read past, or 0 */
	size_t n_past; /* bytes read past */
	void *data;
};

/* What the peers of one address take up. */
struct http_ip {
	unsigned int n_conns;
	size_t n_bytes; /* of bodies */
};

struct http_conn {
	struct list link;  /* in server->phases[phase], the oldest first */
	struct list shake; /* in daemon->shaking while it may go on with the TLS handshake */
	struct http_server *server;
	struct http_daemon *daemon; /* NULL until the first byte */
	struct http_ip *ip;
	struct http_cert *cert;     /* of its handshake */
	struct MHD_Connection *mhd; /* NULL until the first byte */
	struct http_exchange ex;
	enum http_phase phase;
	bool shaken; /* the TLS handshake needs nothing more from the peer */
	bool suspended;
	unsigned int n_grace; /* how often its deadline was put off since the phase began */
	uint64_t since_ms;    /* of the loop: when the phase began, or the deadline was put off */
	int fd;               /* our own while mhd is NULL, then libmicrohttpd's */
	uv_poll_t poll;
	struct sockaddr_in6 addr; /* large enough for both families */
};

struct http_daemon {
	struct MHD_Daemon *mhd;
	uv_poll_t turn;   /* its epoll descriptor */
	uv_timer_t again; /* it has more to do */
	struct list shaking;
};

struct http_server {
	uv_loop_t *loop;
	struct http_server_spec spec;
	bool has_tls;
	struct http_daemon daemons[HTTP_DAEMONS_MAX];
	size_t n_daemons, at_daemon;
	int listen_fd;
	uint16_t port;
	uv_poll_t listener;
	uv_timer_t sweep; /* the next deadline, ours or a connection's */
	struct list phases[N_HTTP_PHASES];
	struct http_conn *adopting; /* for the callback within MHD_add_connection() */
	unsigned int n_conns;       /* not counting those that are dying */
	unsigned int n_all;
	unsigned int n_closed; /* since the heap was last trimmed */
	unsigned int n_handles;
	size_t n_bytes;    /* of bodies that are kept */
	struct map per_ip; /* address -> struct http_ip */
	struct http_cert *cert;
	unsigned char ticket_key[HTTP_TICKET_KEY_BYTES];
	bool closing;
	uint64_t close_at_ms;
	void (*closed)(void *data);
	void *closed_data;
};

/* http_server.c */
void http_server_wake_in(struct http_server *server, uint64_t ms);
uint64_t http_server_deadline_ms(const struct http_server *server, enum http_phase phase);
void http_server_conn_gone(
    struct http_server *server); /* one connection and its handle are freed */

/* http_daemon.c. http_daemons_watch() says how many handles are to be closed. */
int http_daemons_start(struct http_server *server, struct err *err);
size_t http_daemons_watch(struct http_server *server);
struct http_daemon *http_daemons_next(struct http_server *server); /* for a new connection */
void http_daemon_run_soon(struct http_daemon *daemon); /* a turn in the loop's next round */
void http_daemons_stop(struct http_server *server);

/* http_conn.c. http_conn_new() takes over the descriptor. */
void http_conn_new(struct http_server *server, int fd, const struct sockaddr *addr, socklen_t n);
void http_conn_enter(struct http_conn *conn, enum http_phase phase);
void http_conn_drop(struct http_conn *conn);
void http_conn_suspend(struct http_conn *conn, int events);
void http_conn_resume(struct http_conn *conn);
void http_conn_settle_handshake(struct http_conn *conn);
struct http_conn *http_conn_of(struct MHD_Connection *mhd);
void http_conn_on_notify(void *data, struct MHD_Connection *mhd, void **context,
			 enum MHD_ConnectionNotificationCode code);

/* True where max_connections_per_ip does not allow one more from this address. */
bool http_conn_ip_is_full(const struct http_server *server, const struct sockaddr *addr);
void http_addr_text(const struct sockaddr *addr, char out[INET6_ADDRSTRLEN]);

/* http_exchange.c: libmicrohttpd's callbacks, and what becomes of a request whose peer has gone. */
void *http_exchange_on_line(void *data, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result http_exchange_on_request(void *data, struct MHD_Connection *mhd, const char *url,
					 const char *method, const char *version, const char *bytes,
					 size_t *n_bytes, void **request);
void http_exchange_on_completed(void *data, struct MHD_Connection *mhd, void **request,
				enum MHD_RequestTerminationCode code);
void http_exchange_lost(struct http_exchange *ex);
void http_exchange_drop_body(struct http_conn *conn);

/* http_cert.c */
int http_cert_new(const char *cert_pem, const char *key_pem, struct http_cert **ret,
		  struct err *err);

/* The key that session tickets are sealed with. It follows from certificate and key, so that a
 * ticket is good at every replica that serves the same pair, and after a restart: a fleet that
 * comes back all at once costs half. A new certificate ends all tickets. */
int http_cert_ticket_key(const char *cert_pem, const char *key_pem,
			 unsigned char ret[HTTP_TICKET_KEY_BYTES], struct err *err);
struct http_cert *http_cert_ref(struct http_cert *cert);
void http_cert_unref(struct http_cert *cert);
int http_cert_on_handshake(gnutls_session_t session, const gnutls_datum_t *ca_names, int n_ca_names,
			   const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
			   gnutls_pcert_st **ret_chain, unsigned int *ret_n_chain,
			   gnutls_privkey_t *ret_key);
