#include "net_test.h"

#include "net/http_client.h"
#include "net/http_server_priv.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BIG_BYTES = 1024 * 1024, MAX_BODY = 2 * BIG_BYTES };

struct fixture {
	uv_loop_t loop;
	struct tls_pair ca, leaf, other_ca, other_leaf;
	struct http_server *server;
	struct http_client *client;
	char url[64]; /* of the server, without a path */
	char big[BIG_BYTES];
	/* What the server saw. */
	bool is_held, is_gone;
	/* For the callbacks of a test. */
	struct http_request *victim;
	struct net_answer a, b;
	size_t n_streamed;
	int n_pieces;
	bool closed;
};

static struct fixture *the_fixture; /* for on_data, which has the request's data alone */

static void echo(struct http_exchange *ex)
{
	struct http_reply reply = {.status = 200};
	const char *type = http_exchange_header(ex, "Content-Type");
	char line[64];
	const char *headers[] = {line, NULL};

	snprintf(line, sizeof(line), "X-Method: %s", http_exchange_method(ex));
	reply.headers = headers;
	reply.content_type = type;
	reply.body = http_exchange_body(ex, &reply.n_body);
	http_reply(ex, &reply);
}

static void see(struct http_exchange *ex)
{
	const char *type = http_exchange_header(ex, "Content-Type");
	const char *extra = http_exchange_header(ex, "X-Extra");
	size_t n;

	http_exchange_body(ex, &n);
	http_reply_message(ex, 200, "%s type=%s extra=%s n=%zu", http_exchange_method(ex),
			   type ? type : "-", extra ? extra : "-", n);
}

static void on_request(struct http_exchange *ex, void *data)
{
	static const char *const busy[] = {"Retry-After: 7", NULL};
	static const char *const away[] = {"Location: /hello", NULL};
	const char *path = http_exchange_path(ex);
	struct fixture *f = data;

	if (strcmp(path, "/hello") == 0)
		http_reply(ex, &(struct http_reply){.status = 200, .body = "hello", .n_body = 5});
	else if (strcmp(path, "/echo") == 0)
		echo(ex);
	else if (strcmp(path, "/see") == 0)
		see(ex);
	else if (strcmp(path, "/big") == 0)
		http_reply(ex, &(struct http_reply){
				   .status = 200, .body = f->big, .n_body = sizeof(f->big)});
	else if (strcmp(path, "/busy") == 0)
		http_reply(ex, &(struct http_reply){
				   .status = 503, .body = "busy", .n_body = 4, .headers = busy});
	else if (strcmp(path, "/away") == 0)
		http_reply(ex, &(struct http_reply){.status = 302, .headers = away});
	else if (strcmp(path, "/hold") == 0)
		f->is_held = true;
	else
		http_reply_message(ex, 404, "no such path");
}

static void on_gone(struct http_exchange *ex, void *data)
{
	struct fixture *f = data;

	(void)ex;
	f->is_gone = true;
}

static void start_server(struct fixture *f, const char *cert_pem, const char *key_pem)
{
	const struct http_server_spec spec = {
	    .listen = "127.0.0.1:0",
	    .cert_pem = cert_pem,
	    .key_pem = key_pem,
	    .max_body = MAX_BODY,
	    .max_connections = 500,
	    .header_timeout_ms = 10000,
	    .body_timeout_ms = 10000,
	    .idle_timeout_ms = 60000,
	    .on_request = on_request,
	    .on_gone = on_gone,
	    .data = f,
	};
	struct err err;

	if (http_server_new(&f->loop, &spec, &f->server, &err) < 0)
		fail_msg("%s", err.msg);
	snprintf(f->url, sizeof(f->url), "https://localhost:%u", http_server_port(f->server));
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
	net_make_pair(&f->other_ca, &f->other_leaf, net_names);
	*state = the_fixture = f;
	return 0;
}

static int free_certificates(void **state)
{
	struct fixture *f = *state;

	tls_pair_clear(&f->ca);
	tls_pair_clear(&f->leaf);
	tls_pair_clear(&f->other_ca);
	tls_pair_clear(&f->other_leaf);
	free(f);
	return 0;
}

static int set_up(void **state)
{
	struct fixture *f = *state;

	uv_loop_init(&f->loop);
	start_server(f, f->leaf.cert_pem, f->leaf.key_pem);
	f->client = http_client_new(&f->loop);
	trust(f, f->ca.cert_pem);
	http_client_set_connect_to(f->client, NULL);
	f->is_held = f->is_gone = f->closed = false;
	f->n_streamed = 0;
	f->n_pieces = 0;
	return 0;
}

static void stop_server(struct fixture *f)
{
	bool closed = false;

	http_server_close(f->server, 0, net_set_true, &closed);
	net_run_until(&f->loop, &closed);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (!f->closed)
		http_client_close(f->client, net_set_true, &f->closed);
	net_run_until(&f->loop, &f->closed);
	stop_server(f);
	net_answer_clear(&f->a);
	net_answer_clear(&f->b);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	return 0;
}

static struct http_request *start_spec(struct fixture *f, struct net_answer *a, const char *path,
				       struct http_request_spec spec)
{
	char url[256];

	snprintf(url, sizeof(url), "%s%s", path[0] == '/' ? f->url : "", path);
	spec.url = url;
	if (!spec.method)
		spec.method = "GET";
	if (!spec.max_body)
		spec.max_body = MAX_BODY;
	return http_request_start(f->client, &spec, net_on_answer, a);
}

static struct http_request *start(struct fixture *f, struct net_answer *a, const char *path)
{
	return start_spec(f, a, path, (struct http_request_spec){0});
}

static void expect_status(struct fixture *f, struct net_answer *a, int status)
{
	net_run_until(&f->loop, &a->came);
	if (a->error)
		fail_msg("%s", a->why);
	assert_int_equal(a->status, status);
}

static void expect_error(struct fixture *f, struct net_answer *a, int error)
{
	net_run_until(&f->loop, &a->came);
	if (a->error != error)
		fail_msg("%d is not %d: %s", a->error, error, a->why);
	assert_int_not_equal(strlen(a->why), 0);
}

static void an_answer_comes_with_its_status_and_body(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/hello");
	start(f, &f->b, "/none");
	expect_status(f, &f->a, 200);
	assert_string_equal(f->a.body, "hello");
	assert_int_equal(f->a.retry_after_ms, -1);
	expect_status(f, &f->b, 404);
	assert_string_equal(f->b.body, "{\"message\":\"no such path\"}");
}

static void done_never_comes_from_inside_start(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/hello");
	start(f, &f->b, "https://localhost:port/");
	assert_false(f->a.came);
	assert_false(f->b.came);
	expect_status(f, &f->a, 200);
	expect_error(f, &f->b, -EPROTO);
}

static void a_body_goes_with_its_method_and_headers(void **state)
{
	static const char *const headers[] = {"Content-Type: application/merge-patch+json",
					      "X-Extra: yes", NULL};
	const struct http_request_spec spec = {
	    .method = "PATCH", .headers = headers, .body = "{}", .n_body = 2};
	struct fixture *f = *state;

	start_spec(f, &f->a, "/see", spec);
	expect_status(f, &f->a, 200);
	assert_string_equal(
	    f->a.body, "{\"message\":\"PATCH type=application/merge-patch+json extra=yes n=2\"}");
}

static void nothing_is_sent_that_was_not_given(void **state)
{
	struct fixture *f = *state;

	start_spec(f, &f->a, "/see", (struct http_request_spec){.method = "POST"});
	start_spec(f, &f->b, "/see", (struct http_request_spec){.method = "DELETE"});
	expect_status(f, &f->a, 200);
	assert_string_equal(f->a.body, "{\"message\":\"POST type=- extra=- n=0\"}");
	expect_status(f, &f->b, 200);
	assert_string_equal(f->b.body, "{\"message\":\"DELETE type=- extra=- n=0\"}");
}

static void a_large_body_goes_both_ways(void **state)
{
	struct fixture *f = *state;

	memset(f->big, 'x', sizeof(f->big));
	start_spec(
	    f, &f->a, "/echo",
	    (struct http_request_spec){.method = "POST", .body = f->big, .n_body = sizeof(f->big)});
	expect_status(f, &f->a, 200);
	assert_int_equal(f->a.n_body, sizeof(f->big));
	assert_memory_equal(f->a.body, f->big, sizeof(f->big));
}

static void a_spec_that_makes_no_sense_is_told_to_done(void **state)
{
	static const char *const split[] = {"X-Extra: a\r\nX-More: b", NULL};
	struct fixture *f = *state;

	start_spec(f, &f->a, "/hello", (struct http_request_spec){.headers = split});
	start_spec(f, &f->b, "/hello", (struct http_request_spec){.method = "GET /x"});
	expect_error(f, &f->a, -EINVAL);
	expect_error(f, &f->b, -EINVAL);
}

static void a_client_without_a_ca_trusts_nobody(void **state)
{
	struct fixture *f = *state;
	struct http_client *trusting = f->client;

	f->client = http_client_new(&f->loop);
	start(f, &f->a, "/hello");
	expect_error(f, &f->a, -EINVAL);
	http_client_close(f->client, net_set_true, &f->closed);
	net_run_until(&f->loop, &f->closed);
	f->closed = false;
	f->client = trusting;
}

static void text_that_is_no_ca_is_refused_when_it_is_set(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_int_equal(
	    http_client_set_tls(f->client, &(struct http_tls){.ca_pem = "nonsense"}, &err),
	    -EINVAL);
	assert_int_equal(http_client_set_tls(f->client, &(struct http_tls){0}, &err), -EINVAL);
	assert_int_equal(http_client_set_tls(f->client,
					     &(struct http_tls){.ca_pem = f->ca.cert_pem,
								.cert_pem = f->leaf.cert_pem,
								.key_pem = f->ca.key_pem},
					     &err),
			 -EINVAL);
	start(f, &f->a, "/hello");
	expect_status(f, &f->a, 200);
}

static void plain_http_is_refused(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "http://localhost:1/");
	expect_error(f, &f->a, -EPROTO);
}

static void plain_http_goes_to_this_machine_alone_where_it_is_allowed(void **state)
{
	static const char *const elsewhere[] = {
	    "http://hauberk.test:1/",
	    "http://127.0.0.1.hauberk.test:1/",
	    "http://127.0.0.1@10.0.0.1:1/",
	    "http://10.0.0.1:1/",
	    "http://[::2]:1/",
	    "http://127.hauberk.test/",
	    "ftp://127.0.0.1:1/",
	};
	struct fixture *f = *state;
	char url[64];
	size_t i;

	stop_server(f);
	start_server(f, NULL, NULL);
	http_client_allow_loopback(f->client);
	for (i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		start(f, &f->a, elsewhere[i]);
		expect_error(f, &f->a, -EPROTO);
		net_answer_clear(&f->a);
	}
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/hello", http_server_port(f->server));
	start(f, &f->a, url);
	expect_status(f, &f->a, 200);
	snprintf(url, sizeof(url), "http://localhost:%u/hello", http_server_port(f->server));
	start(f, &f->b, url);
	expect_status(f, &f->b, 200);
}

static void a_server_of_another_ca_is_refused(void **state)
{
	struct fixture *f = *state;

	trust(f, f->other_ca.cert_pem);
	start(f, &f->a, "/hello");
	expect_error(f, &f->a, -EPROTO);
}

static void a_server_of_another_name_is_refused(void **state)
{
	struct fixture *f = *state;
	char url[64];

	snprintf(url, sizeof(url), "https://127.0.0.1:%u/hello", http_server_port(f->server));
	start(f, &f->a, url);
	expect_error(f, &f->a, -EPROTO);
}

static void connect_to_changes_the_address_and_not_the_name(void **state)
{
	struct fixture *f = *state;
	char address[64];

	snprintf(address, sizeof(address), "127.0.0.1:%u", http_server_port(f->server));
	http_client_set_connect_to(f->client, address);
	start(f, &f->a, "https://hauberk.test/hello");
	start(f, &f->b, "https://elsewhere.test/hello");
	expect_status(f, &f->a, 200);
	expect_error(f, &f->b, -EPROTO);
}

static void several_cas_may_be_trusted_at_once(void **state)
{
	struct fixture *f = *state;
	CLEANUP(mem_freep) char *both = mem_printf("%s%s", f->other_ca.cert_pem, f->ca.cert_pem);

	trust(f, both);
	start(f, &f->a, "/hello");
	expect_status(f, &f->a, 200);
}

static void a_standing_connection_is_used_again(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/hello");
	expect_status(f, &f->a, 200);
	start(f, &f->b, "/hello");
	expect_status(f, &f->b, 200);
	assert_int_equal(f->server->n_all, 1);
}

static void it_is_used_again_beside_many_that_are_busy(void **state)
{
	enum { N = 20 };
	struct fixture *f = *state;
	struct net_answer held[N] = {0};

	for (int i = 0; i < N; i++)
		start(f, &held[i], "/hold");
	for (int i = 0; i < 10; i++) {
		start(f, &f->a, "/hello");
		expect_status(f, &f->a, 200);
		net_answer_clear(&f->a);
	}
	assert_int_equal(f->server->n_all, N + 1);
	http_client_close(f->client, net_set_true, &f->closed);
	net_run_until(&f->loop, &f->closed);
}

/* The connection that stands was verified against the former CA. */
static void a_new_ca_holds_for_standing_connections_too(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/hello");
	expect_status(f, &f->a, 200);
	trust(f, f->other_ca.cert_pem);
	start(f, &f->b, "/hello");
	expect_error(f, &f->b, -EPROTO);
}

static void a_new_ca_leaves_requests_under_way_alone(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/hold");
	net_run_until(&f->loop, &f->is_held);
	trust(f, f->other_ca.cert_pem);
	start(f, &f->b, "/hello");
	expect_error(f, &f->b, -EPROTO);
	assert_false(f->a.came);
	assert_false(f->is_gone);
}

static void the_environment_names_no_proxy(void **state)
{
	struct fixture *f = *state;

	setenv("https_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	start(f, &f->a, "/hello");
	expect_status(f, &f->a, 200);
	unsetenv("https_proxy");
	unsetenv("ALL_PROXY");
}

static void an_answer_that_is_too_long_is_an_error(void **state)
{
	struct fixture *f = *state;

	start_spec(f, &f->a, "/hello", (struct http_request_spec){.max_body = 4});
	start_spec(f, &f->b, "/hello", (struct http_request_spec){.max_body = 5});
	expect_error(f, &f->a, -EFBIG);
	expect_status(f, &f->b, 200);
}

static bool count(struct http_request *req, const char *bytes, size_t n)
{
	struct fixture *f = the_fixture;

	(void)req;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(bytes[i], 'x');
	f->n_streamed += n;
	f->n_pieces++;
	return true;
}

static void a_stream_is_given_piece_by_piece(void **state)
{
	struct fixture *f = *state;

	memset(f->big, 'x', sizeof(f->big));
	start_spec(f, &f->a, "/big",
		   (struct http_request_spec){.on_data = count, .max_body = 65536});
	expect_status(f, &f->a, 200);
	assert_int_equal(f->n_streamed, sizeof(f->big));
	assert_in_range(f->n_pieces, 2, BIG_BYTES);
	assert_int_equal(f->a.n_body, 0);
}

static void an_error_instead_of_a_stream_is_collected(void **state)
{
	struct fixture *f = *state;

	start_spec(f, &f->a, "/busy", (struct http_request_spec){.on_data = count});
	expect_status(f, &f->a, 503);
	assert_string_equal(f->a.body, "busy");
	assert_int_equal(f->n_pieces, 0);
}

static bool had_enough(struct http_request *req, const char *bytes, size_t n)
{
	(void)req;
	(void)bytes;
	(void)n;
	return false;
}

static void a_reader_that_has_enough_ends_the_request(void **state)
{
	struct fixture *f = *state;

	start_spec(f, &f->a, "/big", (struct http_request_spec){.on_data = had_enough});
	expect_error(f, &f->a, -ECANCELED);
}

static void retry_after_is_read(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/busy");
	expect_status(f, &f->a, 503);
	assert_int_equal(f->a.retry_after_ms, 7000);
}

static void a_redirect_is_not_followed(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/away");
	expect_status(f, &f->a, 302);
}

static void an_exchange_may_take_so_long(void **state)
{
	struct fixture *f = *state;

	start_spec(f, &f->a, "/hold", (struct http_request_spec){.timeout_ms = 2000});
	expect_error(f, &f->a, -ETIMEDOUT);
	net_run_until(&f->loop, &f->is_gone);
}

static void a_silent_peer_is_given_up(void **state)
{
	struct fixture *f = *state;

	start_spec(f, &f->a, "/hold", (struct http_request_spec){.idle_timeout_ms = 2000});
	expect_error(f, &f->a, -ETIMEDOUT);
	assert_string_equal(f->a.why, "no byte came for 2000 ms");
	net_run_until(&f->loop, &f->is_gone);
}

static void nobody_at_the_address_is_said(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "https://localhost:1/");
	start(f, &f->b, "https://no-such-host.invalid/");
	expect_error(f, &f->a, -ECONNREFUSED);
	expect_error(f, &f->b, -ECONNREFUSED);
}

static void a_server_without_tls_is_refused(void **state)
{
	struct fixture *f = *state;

	stop_server(f);
	start_server(f, NULL, NULL);
	start(f, &f->a, "/hello");
	expect_error(f, &f->a, -EPROTO);
}

static void a_server_that_hangs_up_is_an_error(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, "/hold");
	net_run_until(&f->loop, &f->is_held);
	http_conn_drop(
	    container_of(f->server->phases[HTTP_PHASE_HELD].next, struct http_conn, link));
	expect_error(f, &f->a, -EIO);
}

static void many_requests_run_side_by_side(void **state)
{
	enum { N = 100 };
	struct fixture *f = *state;
	struct net_answer *all = mem_alloc(N, sizeof(*all));

	for (int i = 0; i < N; i++)
		start(f, &all[i], "/hello");
	for (int i = 0; i < N; i++) {
		expect_status(f, &all[i], 200);
		net_answer_clear(&all[i]);
	}
	free(all);
}

static void a_cancelled_request_is_never_heard_of(void **state)
{
	struct fixture *f = *state;

	http_request_cancel(start(f, &f->a, "/hello"));
	f->victim = start(f, &f->a, "/hold");
	net_run_until(&f->loop, &f->is_held);
	http_request_cancel(f->victim);
	net_run_until(&f->loop, &f->is_gone);
	assert_false(f->a.came);
}

static bool cancel_victim(struct http_request *req, const char *bytes, size_t n)
{
	(void)req;
	(void)bytes;
	(void)n;
	http_request_cancel(the_fixture->victim);
	the_fixture->n_pieces++;
	return true;
}

static void a_request_may_be_cancelled_inside_its_own_on_data(void **state)
{
	struct fixture *f = *state;

	f->victim = start_spec(
	    f, &f->a, "/big",
	    (struct http_request_spec){.on_data = cancel_victim, .idle_timeout_ms = 9000});
	start(f, &f->b, "/hello");
	expect_status(f, &f->b, 200);
	while (f->n_pieces == 0)
		uv_run(&f->loop, UV_RUN_ONCE);
	net_run_for(&f->loop, 50);
	assert_int_equal(f->n_pieces, 1);
	assert_false(f->a.came);
}

static bool cancel_victim_once(struct http_request *req, const char *bytes, size_t n)
{
	(void)req;
	(void)bytes;
	(void)n;
	if (the_fixture->victim)
		http_request_cancel(STEAL(the_fixture->victim));
	return true;
}

static void another_may_be_cancelled_inside_on_data(void **state)
{
	struct fixture *f = *state;

	f->victim =
	    start_spec(f, &f->a, "/hold", (struct http_request_spec){.idle_timeout_ms = 9000});
	net_run_until(&f->loop, &f->is_held);
	start_spec(f, &f->b, "/big", (struct http_request_spec){.on_data = cancel_victim_once});
	expect_status(f, &f->b, 200);
	net_run_until(&f->loop, &f->is_gone);
	assert_false(f->a.came);
}

static bool start_another(struct http_request *req, const char *bytes, size_t n)
{
	(void)req;
	(void)bytes;
	(void)n;
	if (the_fixture->n_pieces++ == 0)
		start(the_fixture, &the_fixture->b, "/hello");
	return true;
}

static void another_may_be_started_inside_on_data(void **state)
{
	struct fixture *f = *state;

	start_spec(f, &f->a, "/big", (struct http_request_spec){.on_data = start_another});
	expect_status(f, &f->a, 200);
	expect_status(f, &f->b, 200);
}

static void cancel_both(struct http_request *req, struct http_response *res)
{
	net_on_answer(req, res);
	http_request_cancel(req);
	if (the_fixture->victim)
		http_request_cancel(STEAL(the_fixture->victim));
}

static void requests_may_be_cancelled_inside_done(void **state)
{
	struct fixture *f = *state;
	struct http_request_spec spec = {.method = "GET", .url = "nonsense", .max_body = 9};

	http_request_start(f->client, &spec, cancel_both, &f->b);
	f->victim = start(f, &f->a, "/hello");
	net_run_until(&f->loop, &f->b.came);
	net_run_for(&f->loop, 20);
	assert_false(f->a.came);
}

static void close_client(struct http_request *req, struct http_response *res)
{
	net_on_answer(req, res);
	http_client_close(the_fixture->client, net_set_true, &the_fixture->closed);
}

static void a_client_may_be_closed_inside_done(void **state)
{
	struct fixture *f = *state;
	char url[128];
	struct http_request_spec spec = {
	    .method = "GET", .url = url, .max_body = 9, .idle_timeout_ms = 9000};

	start(f, &f->a, "/hold");
	net_run_until(&f->loop, &f->is_held);
	snprintf(url, sizeof(url), "%s/hello", f->url);
	http_request_start(f->client, &spec, close_client, &f->b);
	net_run_until(&f->loop, &f->closed);
	net_run_until(&f->loop, &f->is_gone);
	assert_true(f->b.came);
	assert_false(f->a.came);
}

static bool close_client_here(struct http_request *req, const char *bytes, size_t n)
{
	(void)req;
	(void)bytes;
	(void)n;
	http_client_close(the_fixture->client, net_set_true, &the_fixture->closed);
	return true;
}

static void a_client_may_be_closed_inside_on_data(void **state)
{
	struct fixture *f = *state;

	start_spec(
	    f, &f->a, "/big",
	    (struct http_request_spec){.on_data = close_client_here, .idle_timeout_ms = 9000});
	start(f, &f->b, "/hold");
	net_run_until(&f->loop, &f->closed);
	assert_false(f->a.came);
	assert_false(f->b.came);
}

static void a_client_may_be_closed_with_requests_under_way(void **state)
{
	struct fixture *f = *state;

	start_spec(f, &f->a, "/hold", (struct http_request_spec){.idle_timeout_ms = 9000});
	net_run_until(&f->loop, &f->is_held);
	start(f, &f->b, "/hello");
	http_client_close(f->client, net_set_true, &f->closed);
	net_run_until(&f->loop, &f->closed);
	assert_false(f->a.came);
	assert_false(f->b.came);
}

#define CLIENT_TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CLIENT_TEST(an_answer_comes_with_its_status_and_body),
	    CLIENT_TEST(done_never_comes_from_inside_start),
	    CLIENT_TEST(a_body_goes_with_its_method_and_headers),
	    CLIENT_TEST(nothing_is_sent_that_was_not_given),
	    CLIENT_TEST(a_large_body_goes_both_ways),
	    CLIENT_TEST(a_spec_that_makes_no_sense_is_told_to_done),
	    CLIENT_TEST(a_client_without_a_ca_trusts_nobody),
	    CLIENT_TEST(text_that_is_no_ca_is_refused_when_it_is_set),
	    CLIENT_TEST(plain_http_is_refused),
	    CLIENT_TEST(plain_http_goes_to_this_machine_alone_where_it_is_allowed),
	    CLIENT_TEST(a_server_of_another_ca_is_refused),
	    CLIENT_TEST(a_server_of_another_name_is_refused),
	    CLIENT_TEST(connect_to_changes_the_address_and_not_the_name),
	    CLIENT_TEST(several_cas_may_be_trusted_at_once),
	    CLIENT_TEST(a_standing_connection_is_used_again),
	    CLIENT_TEST(it_is_used_again_beside_many_that_are_busy),
	    CLIENT_TEST(a_new_ca_holds_for_standing_connections_too),
	    CLIENT_TEST(a_new_ca_leaves_requests_under_way_alone),
	    CLIENT_TEST(the_environment_names_no_proxy),
	    CLIENT_TEST(an_answer_that_is_too_long_is_an_error),
	    CLIENT_TEST(a_stream_is_given_piece_by_piece),
	    CLIENT_TEST(an_error_instead_of_a_stream_is_collected),
	    CLIENT_TEST(a_reader_that_has_enough_ends_the_request),
	    CLIENT_TEST(retry_after_is_read),
	    CLIENT_TEST(a_redirect_is_not_followed),
	    CLIENT_TEST(an_exchange_may_take_so_long),
	    CLIENT_TEST(a_silent_peer_is_given_up),
	    CLIENT_TEST(nobody_at_the_address_is_said),
	    CLIENT_TEST(a_server_without_tls_is_refused),
	    CLIENT_TEST(a_server_that_hangs_up_is_an_error),
	    CLIENT_TEST(many_requests_run_side_by_side),
	    CLIENT_TEST(a_cancelled_request_is_never_heard_of),
	    CLIENT_TEST(a_request_may_be_cancelled_inside_its_own_on_data),
	    CLIENT_TEST(another_may_be_cancelled_inside_on_data),
	    CLIENT_TEST(another_may_be_started_inside_on_data),
	    CLIENT_TEST(requests_may_be_cancelled_inside_done),
	    CLIENT_TEST(a_client_may_be_closed_inside_done),
	    CLIENT_TEST(a_client_may_be_closed_inside_on_data),
	    CLIENT_TEST(a_client_may_be_closed_with_requests_under_way),
	};

	return cmocka_run_group_tests_name("http_client", tests, make_certificates,
					   free_certificates);
}
