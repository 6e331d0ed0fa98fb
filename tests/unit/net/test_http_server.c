#include "net_test.h"

#include "net/http_server_priv.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_BODY = 10000, MAX_HELD = 256, BIG_BYTES = 8 * 1024 * 1024 };

struct fixture {
	uv_loop_t loop;
	struct tls_pair ca, leaf, new_ca, new_leaf;
	struct http_server_spec spec;
	struct http_server *server;
	struct http_client *client;
	char url[64];
	struct http_exchange *held[MAX_HELD];
	size_t n_held;
	bool is_held, is_gone, is_given_back, closed, client_closed, closes_itself;
	bool was_resumed; /* the TLS session of the last request */
	struct net_answer a, b;
	struct net_raw raw;
};

static char big[BIG_BYTES];

static void set_given_back(void *owner)
{
	((struct fixture *)owner)->is_given_back = true;
}

static void reply_text(struct http_exchange *ex, const char *text)
{
	http_reply(ex, &(struct http_reply){.status = 200, .body = text, .n_body = strlen(text)});
}

static void describe(struct http_exchange *ex)
{
	const char *host = http_exchange_header(ex, "host");
	const char *absent = http_exchange_header(ex, "X-Absent");
	char peer[64];
	size_t n;

	http_exchange_peer(ex, peer, sizeof(peer));
	http_exchange_body(ex, &n);
	http_reply_message(ex, 200, "%s %s host=%d absent=%s peer=%s n=%zu",
			   http_exchange_method(ex), http_exchange_path(ex), host ? 1 : 0,
			   absent ? absent : "-", peer, n);
}

static void hold(struct fixture *f, struct http_exchange *ex)
{
	assert_in_range(f->n_held, 0, MAX_HELD - 1);
	assert_null(http_exchange_get_data(ex));
	http_exchange_set_data(ex, &f->held[f->n_held]);
	f->held[f->n_held++] = ex;
	f->is_held = true;
}

static void lend(struct fixture *f, struct http_exchange *ex)
{
	http_reply(ex, &(struct http_reply){.status = 200,
					    .body = big,
					    .n_body = sizeof(big),
					    .free_body = set_given_back,
					    .owner = f});
}

static void note_tls(struct fixture *f, struct http_exchange *ex)
{
	struct http_conn *conn = container_of(ex, struct http_conn, ex);
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(conn->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);

	if (f->spec.cert_pem)
		f->was_resumed = gnutls_session_is_resumed(info->tls_session) != 0;
}

static void on_request(struct http_exchange *ex, void *data)
{
	const char *path = http_exchange_path(ex);
	struct fixture *f = data;

	note_tls(f, ex);
	if (strcmp(path, "/hold") == 0)
		hold(f, ex);
	else if (strcmp(path, "/big") == 0)
		lend(f, ex);
	else if (strcmp(path, "/close") == 0)
		http_reply(ex, &(struct http_reply){.status = 200, .close = true});
	else if (strcmp(path, "/end") == 0)
		http_server_close(f->server, 5000, net_set_true, &f->closed);
	else if (strcmp(path, "/hello") == 0)
		reply_text(ex, "hello");
	else
		describe(ex);
}

static void on_gone(struct http_exchange *ex, void *data)
{
	struct http_exchange **slot = http_exchange_get_data(ex);
	struct fixture *f = data;

	assert_ptr_equal(*slot, ex);
	*slot = NULL;
	f->is_gone = true;
}

static void start_server(struct fixture *f)
{
	struct err err;

	if (http_server_new(&f->loop, &f->spec, &f->server, &err) < 0)
		fail_msg("%s", err.msg);
	snprintf(f->url, sizeof(f->url), "https://localhost:%u", http_server_port(f->server));
}

static void stop_server(struct fixture *f, uint64_t timeout_ms)
{
	if (!f->closed)
		http_server_close(f->server, timeout_ms, net_set_true, &f->closed);
	net_run_until(&f->loop, &f->closed);
}

static void restart(struct fixture *f)
{
	stop_server(f, 0);
	f->closed = false;
	start_server(f);
}

static void go_plain(struct fixture *f)
{
	f->spec.cert_pem = f->spec.key_pem = NULL;
	restart(f);
}

static void trust(struct fixture *f, const char *ca_pem)
{
	struct err err;

	assert_int_equal(http_client_set_tls(f->client, &(struct http_tls){.ca_pem = ca_pem}, &err),
			 0);
}

static int make_certificates(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	net_make_pair(&f->ca, &f->leaf, net_names);
	net_make_pair(&f->new_ca, &f->new_leaf, net_names);
	*state = f;
	return 0;
}

static int free_certificates(void **state)
{
	struct fixture *f = *state;

	tls_pair_clear(&f->ca);
	tls_pair_clear(&f->leaf);
	tls_pair_clear(&f->new_ca);
	tls_pair_clear(&f->new_leaf);
	free(f);
	return 0;
}

static int set_up(void **state)
{
	struct fixture *f = *state;

	uv_loop_init(&f->loop);
	f->spec = (struct http_server_spec){
	    .listen = "127.0.0.1:0",
	    .cert_pem = f->leaf.cert_pem,
	    .key_pem = f->leaf.key_pem,
	    .max_body = MAX_BODY,
	    .max_connections = 500,
	    .header_timeout_ms = 10000,
	    .body_timeout_ms = 10000,
	    .idle_timeout_ms = 60000,
	    .on_request = on_request,
	    .on_gone = on_gone,
	    .data = f,
	};
	f->n_held = 0;
	f->is_held = f->is_gone = f->is_given_back = f->closed = f->client_closed = false;
	start_server(f);
	f->client = http_client_new(&f->loop);
	trust(f, f->ca.cert_pem);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	http_client_close(f->client, net_set_true, &f->client_closed);
	net_run_until(&f->loop, &f->client_closed);
	stop_server(f, 0);
	net_answer_clear(&f->a);
	net_answer_clear(&f->b);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	return 0;
}

static struct http_request *start_spec(struct fixture *f, struct net_answer *a, const char *path,
				       struct http_request_spec spec)
{
	char url[256];

	snprintf(url, sizeof(url), "%s%s", f->url, path);
	spec.url = url;
	if (!spec.method)
		spec.method = "GET";
	spec.max_body = BIG_BYTES;
	return http_request_start(f->client, &spec, net_on_answer, a);
}

static struct http_request *start(struct fixture *f, struct net_answer *a, const char *path)
{
	return start_spec(f, a, path, (struct http_request_spec){0});
}

static void expect(struct fixture *f, struct net_answer *a, int status)
{
	net_run_until(&f->loop, &a->came);
	if (a->error)
		fail_msg("%s", a->why);
	assert_int_equal(a->status, status);
}

static void expect_hello(struct fixture *f)
{
	struct net_answer a = {0};

	start(f, &a, "/hello");
	expect(f, &a, 200);
	assert_string_equal(a.body, "hello");
	net_answer_clear(&a);
}

static void wait_for_held(struct fixture *f, size_t n)
{
	while (f->n_held < n) {
		f->is_held = false;
		net_run_until(&f->loop, &f->is_held);
	}
}

static void raw_open(struct fixture *f, const char *text)
{
	net_raw_connect(&f->loop, &f->raw, http_server_port(f->server));
	net_raw_read(&f->raw);
	if (text)
		net_raw_send(&f->raw, text);
}

static void raw_expect_end(struct fixture *f)
{
	net_run_until(&f->loop, &f->raw.ended);
	net_raw_close(&f->raw);
}

struct crowd {
	int *fds;
	size_t n;
};

/* Without waiting for anything: the kernel takes the connections before the server does. */
static void crowd_come(struct crowd *c, uint16_t port, size_t n, const char *text)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fds = mem_resize(c->fds, c->n + n, sizeof(*c->fds));
	for (size_t i = 0; i < n; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_in_range(fd, 0, 1000000);
		assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
		assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
		c->fds[c->n++] = fd;
	}
}

static void crowd_leave(struct crowd *c)
{
	for (size_t i = 0; i < c->n; i++)
		close(c->fds[i]);
	free(c->fds);
}

/* --- requests and answers --- */

static void a_request_is_described_to_the_handler(void **state)
{
	struct fixture *f = *state;

	start_spec(f, &f->a, "/some/path?timeout=10s",
		   (struct http_request_spec){.method = "PUT", .body = "12345", .n_body = 5});
	expect(f, &f->a, 200);
	assert_string_equal(f->a.body, "{\"message\":\"PUT /some/path host=1 "
				       "absent=- peer=127.0.0.1 n=5\"}");
}

static void an_ipv6_server_names_ipv4_peers_as_such(void **state)
{
	struct fixture *f = *state;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		skip();
	close(fd);
	f->spec.listen = "[::]:0";
	restart(f);
	http_client_set_connect_to(f->client, NULL);
	snprintf(f->url, sizeof(f->url), "https://localhost:%u", http_server_port(f->server));
	start(f, &f->a, "/where");
	expect(f, &f->a, 200);
	assert_true(strstr(f->a.body, "peer=127.0.0.1 ") || strstr(f->a.body, "peer=::1 "));
}

static void several_requests_use_one_connection(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 20; i++)
		expect_hello(f);
	assert_int_equal(f->server->n_all, 1);
}

static void requests_sent_ahead_are_answered_in_order(void **state)
{
	static const char text[] = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
				   "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
				   "GET /close HTTP/1.1\r\nHost: a\r\n\r\n";
	struct fixture *f = *state;

	go_plain(f);
	raw_open(f, text);
	net_run_until(&f->loop, &f->is_held);
	reply_text(f->held[0], "released");
	net_run_until(&f->loop, &f->raw.ended);
	assert_true(strstr(f->raw.text, "hello") < strstr(f->raw.text, "released"));
	assert_non_null(strstr(f->raw.text, "Connection: close"));
	net_raw_close(&f->raw);
}

static void a_held_exchange_is_answered_later(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/hold");
	net_run_until(&f->loop, &f->is_held);
	expect_hello(f);
	assert_false(f->a.came);
	http_reply_message(f->held[0], 200, "at last");
	expect(f, &f->a, 200);
	assert_string_equal(f->a.body, "{\"message\":\"at last\"}");
	assert_false(f->is_gone);
}

static void many_held_exchanges_are_answered_at_once(void **state)
{
	enum { N = 100 };
	struct fixture *f = *state;
	struct net_answer *all = mem_alloc(N, sizeof(*all));

	for (int i = 0; i < N; i++)
		start(f, &all[i], "/hold");
	wait_for_held(f, N);
	for (int i = 0; i < N; i++)
		reply_text(f->held[i], "now");
	for (int i = 0; i < N; i++) {
		expect(f, &all[i], 200);
		net_answer_clear(&all[i]);
	}
	free(all);
}

static void a_peer_that_goes_away_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct http_request *req = start(f, &f->a, "/hold");

	net_run_until(&f->loop, &f->is_held);
	http_request_cancel(req);
	net_run_until(&f->loop, &f->is_gone);
	assert_null(f->held[0]);
	expect_hello(f);
}

static void a_peer_that_resets_is_noticed(void **state)
{
	const struct linger at_once = {.l_onoff = 1};
	struct fixture *f = *state;
	int fd;

	go_plain(f);
	raw_open(f, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	net_run_until(&f->loop, &f->is_held);
	uv_fileno((uv_handle_t *)&f->raw.tcp, &fd);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	net_raw_close(&f->raw);
	net_run_until(&f->loop, &f->is_gone);
}

static void a_borrowed_body_is_given_back(void **state)
{
	struct fixture *f = *state;

	memset(big, 'b', sizeof(big));
	start(f, &f->a, "/big");
	expect(f, &f->a, 200);
	assert_int_equal(f->a.n_body, sizeof(big));
	assert_memory_equal(f->a.body, big, sizeof(big));
	net_run_until(&f->loop, &f->is_given_back);
}

static void a_borrowed_body_is_given_back_when_the_peer_goes(void **state)
{
	struct fixture *f = *state;

	go_plain(f);
	net_raw_connect(&f->loop, &f->raw, http_server_port(f->server));
	net_raw_send(&f->raw, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
	net_run_for(&f->loop, 20);
	assert_false(f->is_given_back);
	net_raw_close(&f->raw);
	net_run_until(&f->loop, &f->is_given_back);
}

/* --- ceilings --- */

static void post(struct fixture *f, struct net_answer *a, size_t n)
{
	start_spec(f, a, "/x",
		   (struct http_request_spec){.method = "POST", .body = big, .n_body = n});
}

static void a_body_over_the_limit_is_answered_413(void **state)
{
	struct fixture *f = *state;

	post(f, &f->a, MAX_BODY);
	expect(f, &f->a, 200);
	post(f, &f->b, MAX_BODY + 1);
	expect(f, &f->b, 413);
	assert_string_equal(f->b.body, "{\"message\":\"the body is longer than 10000 bytes\"}");
}

static void a_body_far_over_the_limit_is_answered_413_though_it_comes(void **state)
{
	struct fixture *f = *state;

	post(f, &f->a, (size_t)1024 * 1024);
	expect(f, &f->a, 413);
	expect_hello(f);
}

static void a_body_announced_as_huge_is_refused_at_once(void **state)
{
	struct fixture *f = *state;

	go_plain(f);
	raw_open(f, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n");
	net_run_until(&f->loop, &f->raw.ended);
	assert_non_null(strstr(f->raw.text, "HTTP/1.1 413 "));
	net_raw_close(&f->raw);
}

static void a_body_in_chunks_has_the_same_limit(void **state)
{
	struct fixture *f = *state;
	CLEANUP(mem_freep) char *text = NULL;

	memset(big, 'b', MAX_BODY + 1);
	big[MAX_BODY + 1] = '\0';
	text = mem_printf("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
			  "Connection: close\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
			  MAX_BODY + 1, big);
	go_plain(f);
	raw_open(f, text);
	net_run_until(&f->loop, &f->raw.ended);
	assert_non_null(strstr(f->raw.text, "HTTP/1.1 413 "));
	net_raw_close(&f->raw);
}

static char *header_of(const char *start, int n)
{
	memset(big, 'b', (size_t)n);
	return mem_printf("%s%.*s", start, n, big);
}

/* Of a header that the peer sends as it likes. */
static bool wants_body(struct http_exchange *ex, void *data)
{
	(void)data;
	return http_exchange_header(ex, "X-Known") != NULL;
}

static void a_body_that_nobody_wants_is_not_kept(void **state)
{
	CLEANUP(mem_freep) char *text = NULL;
	struct fixture *f = *state;

	f->spec.wants_body = wants_body;
	go_plain(f);
	memset(big, 'b', MAX_BODY - 1);
	big[MAX_BODY - 1] = '\0';
	text = mem_printf("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", MAX_BODY,
			  big);
	raw_open(f, text);
	net_run_for(&f->loop, 50);
	assert_int_equal(f->server->n_bytes, 0);
	net_raw_send(&f->raw, "b");
	net_run_until(&f->loop, &f->raw.came);
	assert_non_null(strstr(f->raw.text, " n=0\"}"));
	net_raw_close(&f->raw);
}

static void a_body_that_is_wanted_is_kept_until_it_is_forgotten(void **state)
{
	struct fixture *f = *state;

	f->spec.wants_body = wants_body;
	go_plain(f);
	raw_open(f,
		 "POST /hold HTTP/1.1\r\nHost: a\r\nX-Known: 1\r\nContent-Length: 5\r\n\r\n12345");
	net_run_until(&f->loop, &f->is_held);
	assert_false(http_exchange_is_bare(f->held[0]));
	assert_in_range(f->server->n_bytes, 5, 1000);
	http_exchange_forget_body(f->held[0]);
	assert_int_equal(f->server->n_bytes, 0);
	reply_text(f->held[0], "now");
	net_run_until(&f->loop, &f->raw.came);
	net_raw_close(&f->raw);
}

static void bodies_have_a_ceiling_together(void **state)
{
	struct fixture *f = *state;
	struct crowd crowd = {0};
	static char text[MAX_BODY + 200];
	int n;

	f->spec.max_bodies = 40000;
	go_plain(f);
	n = snprintf(text, sizeof(text),
		     "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", MAX_BODY);
	memset(text + n, 'b', MAX_BODY - 1);
	crowd_come(&crowd, http_server_port(f->server), 20, text);
	net_run_for(&f->loop, 50);
	assert_in_range(f->server->n_bytes, 10000, 30000); /* half, for they all come from one */
	raw_open(f, text);
	net_run_for(&f->loop, 50);
	net_raw_send(&f->raw, "b");
	net_run_until(&f->loop, &f->raw.came);
	assert_non_null(strstr(f->raw.text, "HTTP/1.1 503 "));
	net_raw_close(&f->raw);
	crowd_leave(&crowd);
	while (f->server->n_all > 0)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(f->server->n_bytes, 0);
	raw_open(
	    f,
	    "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\n12345");
	raw_expect_end(f);
	assert_non_null(strstr(f->raw.text, " n=5\"}"));
}

static void headers_over_the_limit_are_answered_431(void **state)
{
	struct fixture *f = *state;
	CLEANUP(mem_freep) char *line = header_of("X-Long: ", 20000);
	const char *headers[] = {line, NULL};

	start_spec(f, &f->a, "/x", (struct http_request_spec){.headers = headers});
	expect(f, &f->a, 431);
	expect_hello(f);
}

static void a_token_of_a_service_account_fits(void **state)
{
	struct fixture *f = *state;
	CLEANUP(mem_freep) char *line = header_of("Authorization: Bearer ", 4000);
	const char *headers[] = {line, NULL};

	start_spec(f, &f->a, "/hello", (struct http_request_spec){.headers = headers});
	expect(f, &f->a, 200);
}

static void a_body_whose_length_is_not_clear_is_refused(void **state)
{
	static const char *const lengths[] = {
	    "Content-Length: 3\r\nContent-Length: 4",
	    "Content-Length: 3\r\nTransfer-Encoding: chunked",
	    "Content-Length: +3",
	    "Content-Length: -3",
	    "Content-Length: 99999999999999999999",
	};
	struct fixture *f = *state;

	go_plain(f);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		CLEANUP(mem_freep)
		char *text =
		    mem_printf("POST /x HTTP/1.1\r\nHost: a\r\n%s\r\nConnection: close\r\n\r\nabc",
			       lengths[i]);

		raw_open(f, text);
		net_run_until(&f->loop, &f->raw.ended);
		if (!strstr(f->raw.text, "HTTP/1.1 4") && f->raw.n_text > 0)
			fail_msg("%s: %s", lengths[i], f->raw.text);
		net_raw_close(&f->raw);
	}
}

/* --- deadlines --- */

static void a_peer_that_says_nothing_is_closed(void **state)
{
	struct fixture *f = *state;

	f->spec.header_timeout_ms = 500;
	restart(f);
	raw_open(f, NULL);
	raw_expect_end(f);
	expect_hello(f);
}

static void a_handshake_that_stops_halfway_is_closed(void **state)
{
	struct fixture *f = *state;

	f->spec.header_timeout_ms = 50;
	restart(f);
	raw_open(f, "\x16\x03\x01");
	raw_expect_end(f);
	assert_int_equal(f->raw.n_text, 0);
}

static void slow_headers_are_closed(void **state)
{
	struct fixture *f = *state;

	f->spec.header_timeout_ms = 50;
	go_plain(f);
	raw_open(f, "GET /hello HTTP/1.1\r\nHost: a\r\nX-Slow: ");
	raw_expect_end(f);
}

static void headers_that_lie_there_unread_are_not_late(void **state)
{
	struct fixture *f = *state;
	static char text[] = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	uv_buf_t bytes = uv_buf_init(text, sizeof(text) - 1);

	f->spec.header_timeout_ms = 50;
	go_plain(f);
	raw_open(f, NULL);
	net_run_for(&f->loop, 20);
	assert_int_equal(uv_try_write((uv_stream_t *)&f->raw.tcp, &bytes, 1), bytes.len);
	usleep(100 * 1000); /* our loop is busy with something else */
	net_run_until(&f->loop, &f->raw.ended);
	assert_non_null(strstr(f->raw.text, "200 OK"));
	net_raw_close(&f->raw);
}

/* Bytes that dribble in do not extend it. */
static void slow_headers_of_a_later_request_are_closed(void **state)
{
	struct fixture *f = *state;

	f->spec.header_timeout_ms = 200;
	go_plain(f);
	raw_open(f, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\n");
	raw_expect_end(f);
	assert_non_null(strstr(f->raw.text, "hello"));
}

static void a_slow_body_is_closed(void **state)
{
	struct fixture *f = *state;

	f->spec.body_timeout_ms = 50;
	go_plain(f);
	raw_open(f, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
	raw_expect_end(f);
}

static void a_peer_that_does_not_take_its_answer_is_closed(void **state)
{
	struct fixture *f = *state;

	f->spec.body_timeout_ms = 50;
	go_plain(f);
	net_raw_connect(&f->loop, &f->raw, http_server_port(f->server));
	net_raw_send(&f->raw, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
	net_run_until(&f->loop, &f->is_given_back);
	net_raw_close(&f->raw);
}

static void an_idle_connection_is_closed(void **state)
{
	struct fixture *f = *state;

	f->spec.idle_timeout_ms = 50;
	go_plain(f);
	raw_open(f, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	raw_expect_end(f);
	assert_non_null(strstr(f->raw.text, "hello"));
}

static void a_held_exchange_has_no_deadline(void **state)
{
	struct fixture *f = *state;

	f->spec.header_timeout_ms = f->spec.body_timeout_ms = f->spec.idle_timeout_ms = 500;
	restart(f);
	start(f, &f->a, "/hold");
	net_run_until(&f->loop, &f->is_held);
	net_run_for(&f->loop, 700);
	assert_false(f->is_gone);
	reply_text(f->held[0], "now");
	expect(f, &f->a, 200);
}

/* --- crowds --- */

static void a_crowd_keeps_nobody_out(struct fixture *f, const char *text)
{
	enum { WAVES = 20, WAVE = 100 };
	struct crowd crowd = {0};

	start(f, &f->a, "/hold");
	net_run_until(&f->loop, &f->is_held);
	for (int i = 0; i < WAVES; i++) {
		crowd_come(&crowd, http_server_port(f->server), WAVE, text);
		expect_hello(f);
	}
	assert_in_range(f->server->n_conns, 1, f->spec.max_connections);
	assert_false(f->is_gone);
	reply_text(f->held[0], "still here");
	expect(f, &f->a, 200);
	crowd_leave(&crowd);
}

static void two_thousand_silent_connections_keep_nobody_out(void **state)
{
	a_crowd_keeps_nobody_out(*state, "");
}

static void two_thousand_halfway_handshakes_keep_nobody_out(void **state)
{
	a_crowd_keeps_nobody_out(*state, "\x16\x03\x01\x02");
}

static void requests_that_are_held_do_not_give_way(void **state)
{
	struct fixture *f = *state;
	struct crowd two = {0};

	f->spec.max_connections = 2;
	go_plain(f);
	crowd_come(&two, http_server_port(f->server), 2, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_for_held(f, 2);
	raw_open(f, NULL);
	raw_expect_end(f);
	assert_false(f->is_gone);
	crowd_leave(&two);
}

static void the_longest_idle_connection_gives_way(void **state)
{
	struct fixture *f = *state;
	struct crowd one = {0};
	struct net_raw later;

	f->spec.max_connections = 2;
	go_plain(f);
	raw_open(f, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	net_run_until(&f->loop, &f->raw.came);
	net_raw_connect(&f->loop, &later, http_server_port(f->server));
	net_raw_read(&later);
	net_raw_send(&later, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	net_run_until(&f->loop, &later.came);
	crowd_come(&one, http_server_port(f->server), 1, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_for_held(f, 1);
	raw_expect_end(f);
	assert_false(later.ended);
	crowd_leave(&one);
	net_raw_close(&later);
}

static void an_address_has_a_ceiling(void **state)
{
	struct fixture *f = *state;
	struct crowd two = {0};

	f->spec.max_connections_per_ip = 2;
	go_plain(f);
	crowd_come(&two, http_server_port(f->server), 2, "");
	raw_open(f, NULL);
	raw_expect_end(f);
	assert_int_equal(f->server->n_all, 2);
	crowd_leave(&two);
	while (f->server->n_all > 0)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(f->server->per_ip.n, 0);
	raw_open(f, "GET /close HTTP/1.1\r\nHost: a\r\n\r\n");
	raw_expect_end(f);
	assert_non_null(strstr(f->raw.text, "200 OK"));
}

static void count_round(uv_prepare_t *prepare)
{
	++*(int *)prepare->data;
}

/* What libmicrohttpd would do without our help. */
static void a_handshake_that_stops_halfway_takes_no_turns(void **state)
{
	struct fixture *f = *state;
	uv_prepare_t rounds;
	int n = 0;

	raw_open(f, "\x16\x03\x01");
	net_run_for(&f->loop, 20);
	uv_prepare_init(&f->loop, &rounds);
	rounds.data = &n;
	uv_prepare_start(&rounds, count_round);
	net_run_for(&f->loop, 100);
	uv_close((uv_handle_t *)&rounds, NULL);
	assert_in_range(n, 0, 20);
	net_raw_close(&f->raw);
}

/* --- TLS --- */

static void plain_http_to_the_tls_port_is_closed_and_others_are_served(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/hold");
	net_run_until(&f->loop, &f->is_held);
	raw_open(f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	raw_expect_end(f);
	assert_int_equal(f->raw.n_text, 0);
	expect_hello(f);
	reply_text(f->held[0], "now");
	expect(f, &f->a, 200);
}

static void nonsense_after_the_first_byte_is_closed(void **state)
{
	struct fixture *f = *state;

	raw_open(f, "\x16 this is no record of TLS, though it begins like one");
	raw_expect_end(f);
	expect_hello(f);
}

static void a_session_is_resumed(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/close");
	expect(f, &f->a, 200);
	assert_false(f->was_resumed);
	start(f, &f->b, "/close");
	expect(f, &f->b, 200);
	assert_true(f->was_resumed);
}

/* The same port, since a client keeps a session by address. */
static void restart_at_the_same_port(struct fixture *f)
{
	char listen_on[32];

	snprintf(listen_on, sizeof(listen_on), "127.0.0.1:%u", http_server_port(f->server));
	f->spec.listen = listen_on;
	restart(f);
	f->spec.listen = "127.0.0.1:0";
}

static void a_session_is_resumed_after_a_restart(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/close");
	expect(f, &f->a, 200);
	restart_at_the_same_port(f);
	start(f, &f->b, "/close");
	expect(f, &f->b, 200);
	assert_true(f->was_resumed);
}

static void a_session_of_another_certificate_of_the_same_key_is_not_resumed(void **state)
{
	struct fixture *f = *state;
	CLEANUP(mem_freep) char *other = mem_printf("%s\n", f->leaf.cert_pem);
	struct err err;

	start(f, &f->a, "/close");
	expect(f, &f->a, 200);
	assert_int_equal(http_server_set_certificate(f->server, other, f->leaf.key_pem, &err), 0);
	start(f, &f->b, "/close");
	expect(f, &f->b, 200);
	assert_false(f->was_resumed);
}

static void a_new_certificate_is_served_to_new_connections(void **state)
{
	struct fixture *f = *state;
	struct err err;

	start(f, &f->a, "/hold");
	net_run_until(&f->loop, &f->is_held);
	start(f, &f->b, "/close");
	expect(f, &f->b, 200);
	net_answer_clear(&f->b);
	assert_int_equal(
	    http_server_set_certificate(f->server, f->new_leaf.cert_pem, f->new_leaf.key_pem, &err),
	    0);

	start(f, &f->b, "/hello"); /* a ticket of the former certificate does not help */
	net_run_until(&f->loop, &f->b.came);
	assert_int_equal(f->b.error, -EPROTO);
	trust(f, f->new_ca.cert_pem);
	expect_hello(f);
	reply_text(f->held[0], "on the former one");
	expect(f, &f->a, 200);
}

static void a_certificate_that_does_not_fit_its_key_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_int_equal(
	    http_server_set_certificate(f->server, f->new_leaf.cert_pem, f->leaf.key_pem, &err),
	    -EINVAL);
	assert_int_equal(http_server_set_certificate(f->server, "nonsense", f->leaf.key_pem, &err),
			 -EINVAL);
	assert_int_equal(http_server_set_certificate(f->server, f->leaf.cert_pem, "nonsense", &err),
			 -EINVAL);
	expect_hello(f);
}

/* --- starting and closing --- */

static void a_port_in_use_is_said(void **state)
{
	struct fixture *f = *state;
	struct http_server *second = NULL;
	char listen_on[64];
	struct err err;

	snprintf(listen_on, sizeof(listen_on), "127.0.0.1:%u", http_server_port(f->server));
	f->spec.listen = listen_on;
	assert_int_equal(http_server_new(&f->loop, &f->spec, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, listen_on));
	assert_null(second);
}

static void an_address_that_is_none_is_said(void **state)
{
	static const char *const bad[] = {
	    "",           "8443",        ":8443",           "localhost:8443", "127.0.0.1",
	    "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "[::1:8443",      "[::g]:8443"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct http_server *second = NULL;
		struct err err;

		f->spec.listen = bad[i];
		if (http_server_new(&f->loop, &f->spec, &second, &err) != -EINVAL)
			fail_msg("\"%s\" is taken", bad[i]);
	}
}

static void closing_answers_what_is_held_with_503(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/hello"); /* leaves an idle connection */
	expect(f, &f->a, 200);
	net_answer_clear(&f->a);
	start(f, &f->a, "/hold");
	start(f, &f->b, "/hold");
	wait_for_held(f, 2);
	http_server_close(f->server, 10000, net_set_true, &f->closed);
	expect(f, &f->a, 503);
	expect(f, &f->b, 503);
	net_run_until(&f->loop, &f->closed);
	assert_false(f->is_gone);
}

static void a_closing_server_takes_nobody_new(void **state)
{
	struct fixture *f = *state;

	stop_server(f, 10000);
	start(f, &f->a, "/hello");
	net_run_until(&f->loop, &f->a.came);
	assert_int_equal(f->a.error, -ECONNREFUSED);
}

static void closing_waits_for_an_answer_to_be_taken(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/big");
	while (list_is_empty(&f->server->phases[HTTP_PHASE_ANSWERING]))
		uv_run(&f->loop, UV_RUN_ONCE);
	http_server_close(f->server, 10000, net_set_true, &f->closed);
	expect(f, &f->a, 200);
	assert_int_equal(f->a.n_body, sizeof(big));
	net_run_until(&f->loop, &f->closed);
}

static void closing_answers_a_request_that_is_on_its_way_with_503(void **state)
{
	struct fixture *f = *state;

	go_plain(f);
	raw_open(f, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
	while (list_is_empty(&f->server->phases[HTTP_PHASE_BODY]))
		uv_run(&f->loop, UV_RUN_ONCE);
	http_server_close(f->server, 10000, net_set_true, &f->closed);
	net_run_for(&f->loop, 20);
	assert_false(f->closed);
	net_raw_send(&f->raw, "def");
	net_run_until(&f->loop, &f->closed);
	net_run_until(&f->loop, &f->raw.ended);
	assert_non_null(strstr(f->raw.text, "HTTP/1.1 503 "));
	net_raw_close(&f->raw);
}

static void closing_does_not_wait_for_ever(void **state)
{
	struct fixture *f = *state;

	go_plain(f);
	net_raw_connect(&f->loop, &f->raw, http_server_port(f->server));
	net_raw_send(&f->raw, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
	while (list_is_empty(&f->server->phases[HTTP_PHASE_ANSWERING]))
		uv_run(&f->loop, UV_RUN_ONCE);
	http_server_close(f->server, 50, net_set_true, &f->closed);
	net_run_until(&f->loop, &f->closed);
	assert_true(f->is_given_back);
	net_raw_close(&f->raw);
}

static void closing_in_every_phase_leaves_nothing_behind(void **state)
{
	static const char *const texts[] = {"", "\x16\x03", "GET / HTTP/1.1\r\n"};
	struct fixture *f = *state;
	struct crowd crowd = {0};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		crowd_come(&crowd, http_server_port(f->server), 5, texts[i]);
	start(f, &f->a, "/hold");
	start(f, &f->b, "/big");
	net_run_until(&f->loop, &f->is_held);
	stop_server(f, 0);
	crowd_leave(&crowd);
}

static void a_server_may_be_closed_inside_its_handler(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/hold");
	net_run_until(&f->loop, &f->is_held);
	start(f, &f->b, "/end");
	expect(f, &f->a, 503);
	expect(f, &f->b, 503);
	net_run_until(&f->loop, &f->closed);
}

#define SERVER_TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    SERVER_TEST(a_request_is_described_to_the_handler),
	    SERVER_TEST(an_ipv6_server_names_ipv4_peers_as_such),
	    SERVER_TEST(several_requests_use_one_connection),
	    SERVER_TEST(requests_sent_ahead_are_answered_in_order),
	    SERVER_TEST(a_held_exchange_is_answered_later),
	    SERVER_TEST(many_held_exchanges_are_answered_at_once),
	    SERVER_TEST(a_peer_that_goes_away_is_noticed),
	    SERVER_TEST(a_peer_that_resets_is_noticed),
	    SERVER_TEST(a_borrowed_body_is_given_back),
	    SERVER_TEST(a_borrowed_body_is_given_back_when_the_peer_goes),
	    SERVER_TEST(a_body_over_the_limit_is_answered_413),
	    SERVER_TEST(a_body_far_over_the_limit_is_answered_413_though_it_comes),
	    SERVER_TEST(a_body_announced_as_huge_is_refused_at_once),
	    SERVER_TEST(a_body_in_chunks_has_the_same_limit),
	    SERVER_TEST(a_body_that_nobody_wants_is_not_kept),
	    SERVER_TEST(a_body_that_is_wanted_is_kept_until_it_is_forgotten),
	    SERVER_TEST(bodies_have_a_ceiling_together),
	    SERVER_TEST(headers_over_the_limit_are_answered_431),
	    SERVER_TEST(a_token_of_a_service_account_fits),
	    SERVER_TEST(a_body_whose_length_is_not_clear_is_refused),
	    SERVER_TEST(a_peer_that_says_nothing_is_closed),
	    SERVER_TEST(a_handshake_that_stops_halfway_is_closed),
	    SERVER_TEST(slow_headers_are_closed),
	    SERVER_TEST(headers_that_lie_there_unread_are_not_late),
	    SERVER_TEST(slow_headers_of_a_later_request_are_closed),
	    SERVER_TEST(a_slow_body_is_closed),
	    SERVER_TEST(a_peer_that_does_not_take_its_answer_is_closed),
	    SERVER_TEST(an_idle_connection_is_closed),
	    SERVER_TEST(a_held_exchange_has_no_deadline),
	    SERVER_TEST(two_thousand_silent_connections_keep_nobody_out),
	    SERVER_TEST(two_thousand_halfway_handshakes_keep_nobody_out),
	    SERVER_TEST(requests_that_are_held_do_not_give_way),
	    SERVER_TEST(the_longest_idle_connection_gives_way),
	    SERVER_TEST(an_address_has_a_ceiling),
	    SERVER_TEST(a_handshake_that_stops_halfway_takes_no_turns),
	    SERVER_TEST(plain_http_to_the_tls_port_is_closed_and_others_are_served),
	    SERVER_TEST(nonsense_after_the_first_byte_is_closed),
	    SERVER_TEST(a_session_is_resumed),
	    SERVER_TEST(a_session_is_resumed_after_a_restart),
	    SERVER_TEST(a_session_of_another_certificate_of_the_same_key_is_not_resumed),
	    SERVER_TEST(a_new_certificate_is_served_to_new_connections),
	    SERVER_TEST(a_certificate_that_does_not_fit_its_key_changes_nothing),
	    SERVER_TEST(a_port_in_use_is_said),
	    SERVER_TEST(an_address_that_is_none_is_said),
	    SERVER_TEST(closing_answers_what_is_held_with_503),
	    SERVER_TEST(a_closing_server_takes_nobody_new),
	    SERVER_TEST(closing_waits_for_an_answer_to_be_taken),
	    SERVER_TEST(closing_answers_a_request_that_is_on_its_way_with_503),
	    SERVER_TEST(closing_does_not_wait_for_ever),
	    SERVER_TEST(closing_in_every_phase_leaves_nothing_behind),
	    SERVER_TEST(a_server_may_be_closed_inside_its_handler),
	};

	return cmocka_run_group_tests_name("http_server", tests, make_certificates,
					   free_certificates);
}
