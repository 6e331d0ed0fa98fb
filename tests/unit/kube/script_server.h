#pragma once

/*
 * An HTTPS server that plays a script, for what a real API server does not do on demand: each
 * connection carries one request, is given the next step's bytes, and is then closed, or held until
 * the client leaves. It runs in a thread of its own.
 */

#include "base/clock.h"
#include "base/mem.h"
#include "kube/client.h"
#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { SCRIPT_REQUEST_MAX = 8192, SCRIPT_STEPS_MAX = 12 };

struct script_step {
	const char *expect; /* has to occur in the request */
	const char *reply;
	bool hold;        /* leave the connection open after the reply */
	size_t n_padding; /* so many spaces follow the reply */
};

struct script_server {
	pthread_t thread;
	int fd;
	uint16_t port;
	SSL_CTX *ctx;
	struct tls_pair ca, leaf;
	const struct script_step *steps;
	char requests[SCRIPT_STEPS_MAX][SCRIPT_REQUEST_MAX];
	int64_t came_ms[SCRIPT_STEPS_MAX];
	_Atomic int n_requests; /* that were read */
};

#define REPLY(status_, body_)                                                    \
	"HTTP/1.1 " status_ "\r\nContent-Type: application/json\r\nConnection: " \
	"close\r\n\r\n" body_
#define REPLY_WITH(status_, headers_, body_) \
	"HTTP/1.1 " status_ "\r\n" headers_ "\r\nConnection: close\r\n\r\n" body_

/* The headers and what Content-Length says. */
static inline void script_read(SSL *ssl, char *out)
{
	size_t n = 0, want = SIZE_MAX;

	while (n < want && n < SCRIPT_REQUEST_MAX - 1) {
		int r = SSL_read(ssl, out + n, (int)(SCRIPT_REQUEST_MAX - 1 - n));
		const char *end, *length;

		if (r <= 0)
			return;
		n += (size_t)r;
		out[n] = '\0';
		end = strstr(out, "\r\n\r\n");
		length = strstr(out, "Content-Length: ");
		if (end)
			want =
			    (size_t)(end + 4 - out) + (length ? strtoul(length + 16, NULL, 10) : 0);
	}
}

static inline void script_pad(SSL *ssl, size_t n)
{
	static char spaces[65536];

	memset(spaces, ' ', sizeof(spaces));
	for (; n > 0; n -= n < sizeof(spaces) ? n : sizeof(spaces))
		if (SSL_write(ssl, spaces, (int)(n < sizeof(spaces) ? n : sizeof(spaces))) <= 0)
			return;
}

static inline void script_play(struct script_server *s, int i, int fd)
{
	const struct script_step *step = &s->steps[i];
	SSL *ssl = SSL_new(s->ctx);
	char byte;

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1) {
		script_read(ssl, s->requests[i]);
		s->came_ms[i] = clock_mono_ms();
		s->n_requests = i + 1;
		SSL_write(ssl, step->reply, (int)strlen(step->reply));
		script_pad(ssl, step->n_padding);
		if (step->hold)
			SSL_read(ssl, &byte, 1);
		SSL_shutdown(ssl);
	}
	SSL_free(ssl);
	close(fd);
}

static inline void *script_run(void *data)
{
	struct script_server *s = data;
	int i, fd;

	for (i = 0; s->steps[i].reply && (fd = accept(s->fd, NULL, NULL)) >= 0; i++)
		script_play(s, i, fd);
	return NULL;
}

static inline void script_listen(struct script_server *s)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(address);

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&address, n), 0);
	assert_int_equal(listen(s->fd, 16), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&address, &n), 0);
	s->port = ntohs(address.sin_port);
}

static inline void script_make_tls(struct script_server *s)
{
	static const char *const names[] = {"kubernetes", NULL};
	BIO *cert, *key;
	X509 *x509;
	EVP_PKEY *pkey;
	struct err err;

	assert_int_equal(tls_make_ca("test", clock_wall_ms(), 1, &s->ca, &err), 0);
	assert_int_equal(tls_make_leaf(&s->ca, names, clock_wall_ms(), 1, &s->leaf, &err), 0);
	cert = BIO_new_mem_buf(s->leaf.cert_pem, -1);
	key = BIO_new_mem_buf(s->leaf.key_pem, -1);
	x509 = PEM_read_bio_X509(cert, NULL, NULL, NULL);
	pkey = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
	s->ctx = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(s->ctx, x509), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(s->ctx, pkey), 1);
	X509_free(x509);
	EVP_PKEY_free(pkey);
	BIO_free(cert);
	BIO_free(key);
}

/* `steps` ends with one whose reply is NULL. */
static inline void script_start(struct script_server *s, const struct script_step *steps)
{
	*s = (struct script_server){.steps = steps};
	signal(SIGPIPE, SIG_IGN);
	script_make_tls(s);
	script_listen(s);
	assert_int_equal(pthread_create(&s->thread, NULL, script_run, s), 0);
}

static inline struct kube_client *script_client(struct script_server *s, uv_loop_t *loop,
						char *token_file)
{
	CLEANUP(mem_freep) char *server = mem_printf("https://kubernetes:%u", s->port);
	CLEANUP(mem_freep) char *connect_to = mem_printf("127.0.0.1:%u", s->port);
	char token[] = "the-token";
	const struct kube_config config = {.server = server,
					   .connect_to = connect_to,
					   .ca_pem = s->ca.cert_pem,
					   .token = token,
					   .token_file = token_file};
	struct kube_client *client;
	struct err err;

	if (kube_client_new(loop, &config, "test/1", &client, &err))
		fail_msg("%s", err.msg);
	return client;
}

/* All clients are closed. Each request has to have held what its step expects. */
static inline void script_stop(struct script_server *s)
{
	int i;

	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	SSL_CTX_free(s->ctx);
	for (i = 0; i < s->n_requests; i++)
		if (s->steps[i].expect && !strstr(s->requests[i], s->steps[i].expect))
			fail_msg("request %d has no \"%s\": %s", i, s->steps[i].expect,
				 s->requests[i]);
	assert_null(s->steps[s->n_requests].reply);
	tls_pair_clear(&s->ca);
	tls_pair_clear(&s->leaf);
}

static inline void script_note_closed(void *data)
{
	*(bool *)data = true;
}

/* Close the client and run the loop dry. */
static inline void script_close(struct kube_client *client, uv_loop_t *loop)
{
	bool closed = false;

	kube_client_close(client, script_note_closed, &closed);
	uv_run(loop, UV_RUN_DEFAULT);
	assert_true(closed);
	assert_int_equal(uv_loop_close(loop), 0);
}
