#include "net/http_server_priv.h"

#include "base/container_of.h"
#include "base/mem.h"

/*
 * The turns of libmicrohttpd. Its epoll descriptor says that there is something to do, or it says
 * itself that it wants another turn, or we have resumed a connection, which nothing tells it.
 *
 * Several daemons share the connections: in each turn in which one is resumed, a daemon walks over
 * all that it has suspended, and nearly all connections of a server of long-polls are. With one
 * daemon a fleet that comes back costs its number squared.
 */

enum { HTTP_CONNECTIONS_A_DAEMON = 128 };

/* TLS 1.3 and 1.2 with forward secrecy and authenticated encryption, nothing else. */
static const char http_tls_priorities[] =
    "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+ECDHE-ECDSA:+ECDHE-RSA:+AES-128-GCM:+AES-256-GCM:"
    "+CHACHA20-POLY1305:+AEAD:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:"
    "+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SHA256:+SIGN-ECDSA-SECP384R1-SHA384:"
    "+SIGN-ECDSA-SHA384:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-RSA-SHA256:+SIGN-EDDSA-ED25519:"
    "+CTYPE-X509:+COMP-NULL:%SERVER_PRECEDENCE";

static void http_daemon_on_again(uv_timer_t *timer);

static void http_daemon_run(struct http_daemon *d)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(d->mhd);
	LIST_FOREACH(it, &d->shaking)
		http_conn_settle_handshake(container_of(it, struct http_conn, shake));
	if (MHD_get_timeout(d->mhd, &ms) == MHD_YES)
		uv_timer_start(&d->again, http_daemon_on_again, ms, 0);
}

static void http_daemon_on_again(uv_timer_t *timer)
{
	http_daemon_run(container_of(timer, struct http_daemon, again));
}

void http_daemon_run_soon(struct http_daemon *d)
{
	uv_timer_start(&d->again, http_daemon_on_again, 0, 0);
}

static void http_daemon_on_turn(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	http_daemon_run(container_of(poll, struct http_daemon, turn));
}

static int http_daemon_start(struct http_server *server, struct http_daemon *d, struct err *err)
{
	unsigned int flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME;
	struct MHD_OptionItem tls[] = {
	    {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)http_tls_priorities},
	    {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)http_cert_on_handshake},
	    {MHD_OPTION_END, 0, NULL},
	};

	list_init(&d->shaking);
	d->mhd = MHD_start_daemon(
	    server->has_tls ? flags | MHD_USE_TLS : flags, 0, NULL, NULL, http_exchange_on_request,
	    server, MHD_OPTION_CONNECTION_LIMIT, server->spec.max_connections * 2 + HTTP_SPARE_FDS,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_POOL_BYTES,
	    MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_CONNECTION, http_conn_on_notify,
	    server, MHD_OPTION_NOTIFY_COMPLETED, http_exchange_on_completed, server,
	    MHD_OPTION_URI_LOG_CALLBACK, http_exchange_on_line, server,
	    server->has_tls ? MHD_OPTION_ARRAY : MHD_OPTION_END, tls, MHD_OPTION_END);
	if (!d->mhd)
		return err_set(err, -EIO, "libmicrohttpd does not start");
	return 0;
}

int http_daemons_start(struct http_server *server, struct err *err)
{
	size_t n = server->spec.max_connections / HTTP_CONNECTIONS_A_DAEMON + 1;
	int r = 0;

	server->n_daemons = n < HTTP_DAEMONS_MAX ? n : HTTP_DAEMONS_MAX;
	for (size_t i = 0; r == 0 && i < server->n_daemons; i++)
		r = http_daemon_start(server, &server->daemons[i], err);
	return r;
}

size_t http_daemons_watch(struct http_server *server)
{
	for (size_t i = 0; i < server->n_daemons; i++) {
		struct http_daemon *d = &server->daemons[i];
		int fd = MHD_get_daemon_info(d->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;

		uv_poll_init(server->loop, &d->turn, fd);
		uv_timer_init(server->loop, &d->again);
		uv_poll_start(&d->turn, UV_READABLE, http_daemon_on_turn);
	}
	return 2 * server->n_daemons;
}

struct http_daemon *http_daemons_next(struct http_server *server)
{
	server->at_daemon = (server->at_daemon + 1) % server->n_daemons;
	return &server->daemons[server->at_daemon];
}

void http_daemons_stop(struct http_server *server)
{
	for (size_t i = 0; i < server->n_daemons; i++)
		if (server->daemons[i].mhd)
			MHD_stop_daemon(STEAL(server->daemons[i].mhd));
}
