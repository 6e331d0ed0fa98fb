#include "agent_test.h"

#include "../net/net_test.h"
#include "base/buf.h"
#include "reply.h"
#include "sync_client.h"
#include "token.h"

#define NAME "hauberk.test"

/* A replica of the controller: what it answers, and what it was asked. */
struct replica {
	struct http_server *server;
	char address[32];
	struct http_exchange *held;
	struct sync_request seen;
	char token[64];
	int n_asked;
	int status;         /* of its answers; 0: it holds them */
	const char *leader; /* in a 503 */
	int64_t epoch;
	bool want_report, want_features, has_set;
	const char *garbage; /* its body, where it answers with none of ours */
};

struct fixture {
	uv_loop_t loop;
	struct tls_pair ca, leaf;
	struct replica a, b;
	struct http_client *http;
	struct sync_client *client;
	char *dir;
	char *token_file;
	char report; /* the digit of which the report's hash consists */
	int n_responses;
	bool again; /* each response is followed by the next sync */
	struct sync_response last;
};

static void answer(struct replica *r, struct http_exchange *ex)
{
	struct sync_response res = {.protocol = SYNC_PROTOCOL,
				    .epoch = r->epoch,
				    .want_report = r->want_report,
				    .want_features = r->want_features,
				    .has_set = r->has_set};
	CLEANUP(js_putp) struct json_object *obj = NULL;
	struct http_reply reply = {.status = r->status};

	fill_hash(res.set_hash, sizeof(res.set_hash), 'e');
	obj = sync_response_encode(&res);
	if (r->status != 200) {
		json_object_put(STEAL(obj));
		obj = js_new();
		js_put_str(obj, "message", "a sentence");
		if (r->leader)
			js_put_str(obj, "leader", r->leader);
	}
	reply.body = r->garbage ? r->garbage : js_print(obj, &reply.n_body);
	if (r->garbage)
		reply.n_body = strlen(r->garbage);
	http_reply(ex, &reply);
}

static void on_request(struct http_exchange *ex, void *data)
{
	CLEANUP(js_putp) struct json_object *obj = NULL;
	struct replica *r = data;
	struct err err;
	const char *body;
	size_t n;

	assert_string_equal(http_exchange_path(ex), "/v1/sync");
	body = http_exchange_body(ex, &n);
	assert_int_equal(js_parse(body, n, &obj, &err), 0);
	sync_request_clear(&r->seen);
	if (sync_request_decode(obj, &r->seen, &err) < 0)
		fail_msg("%s", err.msg);
	snprintf(r->token, sizeof(r->token), "%s", http_exchange_header(ex, "Authorization"));
	r->n_asked++;
	if (r->status)
		answer(r, ex);
	else
		r->held = ex;
}

static void on_gone(struct http_exchange *ex, void *data)
{
	struct replica *r = data;

	if (r->held == ex)
		r->held = NULL;
}

static void start_replica(struct fixture *f, struct replica *r)
{
	struct err err;

	if (http_server_new(&f->loop,
			    &(struct http_server_spec){
				.listen = "127.0.0.1:0",
				.cert_pem = f->leaf.cert_pem,
				.key_pem = f->leaf.key_pem,
				.max_body = SYNC_REQUEST_MAX,
				.max_connections = 16,
				.header_timeout_ms = 10000,
				.body_timeout_ms = 10000,
				.idle_timeout_ms = 60000,
				.on_request = on_request,
				.on_gone = on_gone,
				.data = r,
			    },
			    &r->server, &err) < 0)
		fail_msg("%s", err.msg);
	snprintf(r->address, sizeof(r->address), "127.0.0.1:%u", http_server_port(r->server));
	r->epoch = 10;
	r->status = 200;
}

static void fill(void *data, struct sync_request *req)
{
	struct fixture *f = data;

	req->agent_version = mem_strdup("1");
	req->kernel_release = mem_strdup("6.1");
	req->boot_id = mem_strdup("boot");
	req->features_text = mem_strdup("features");
	sha256_hex("features", 8, req->features);
	req->report.apparmor_enabled = true;
	fill_hash(req->report_hash, sizeof(req->report_hash), f->report);
}

static void on_response(void *data, struct sync_response *res)
{
	struct fixture *f = data;

	f->n_responses++;
	f->last = *res;
	if (f->again)
		sync_client_go(f->client);
}

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	struct err err;

	uv_loop_init(&f->loop);
	net_make_pair(&f->ca, &f->leaf, net_names);
	start_replica(f, &f->a);
	start_replica(f, &f->b);
	dir_setup((void **)&f->dir);
	f->token_file = mem_printf("%s/token", f->dir);
	put_file(f->dir, "token", "secret\n");
	f->http = http_client_new(&f->loop);
	assert_int_equal(
	    http_client_set_tls(f->http, &(struct http_tls){.ca_pem = f->ca.cert_pem}, &err), 0);
	f->report = 'a';
	f->client = sync_client_new(&(struct sync_client_spec){
	    .loop = &f->loop,
	    .http = f->http,
	    .url = "https://" NAME,
	    .address = f->a.address,
	    .token_file = f->token_file,
	    .epoch = 7,
	    .fill = fill,
	    .on_response = on_response,
	    .data = f,
	});
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sync_client_close(STEAL(f->client));
	http_client_close(f->http, NULL, NULL);
	http_server_close(f->a.server, 100, NULL, NULL);
	http_server_close(f->b.server, 100, NULL, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	sync_request_clear(&f->a.seen);
	sync_request_clear(&f->b.seen);
	tls_pair_clear(&f->ca);
	tls_pair_clear(&f->leaf);
	free(f->token_file);
	dir_teardown((void **)&f->dir);
	free(f);
	return 0;
}

static void on_alarm(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("nothing happened for %d ms", NET_PATIENCE_MS);
}

/* Run the loop while `*counter` is less than `n`. */
static void run_to(struct fixture *f, const int *counter, int n)
{
	uv_timer_t alarm;

	uv_timer_init(&f->loop, &alarm);
	uv_timer_start(&alarm, on_alarm, NET_PATIENCE_MS, 0);
	while (*counter < n)
		uv_run(&f->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&alarm, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void what_the_controller_has_is_not_said_twice(void **state)
{
	struct fixture *f = *state;

	sync_client_go(f->client);
	run_to(f, &f->n_responses, 1);
	assert_string_equal(f->a.token, "Bearer secret");
	assert_int_equal(f->a.seen.protocol, SYNC_PROTOCOL);
	assert_int_equal(f->a.seen.epoch, 7);
	assert_true(f->a.seen.has_report);
	assert_null(f->a.seen.features_text);
	put_file(f->dir, "token", "renewed");
	sync_client_go(f->client);
	run_to(f, &f->n_responses, 2);
	assert_string_equal(f->a.token, "Bearer renewed");
	assert_int_equal(f->a.seen.epoch, 10);
	assert_false(f->a.seen.has_report);
	f->report = 'b';
	f->a.want_features = true;
	sync_client_go(f->client);
	run_to(f, &f->n_responses, 3);
	assert_true(f->a.seen.has_report);
	f->a.want_features = false;
	f->a.want_report = true;
	sync_client_go(f->client);
	run_to(f, &f->n_responses, 4);
	assert_string_equal(f->a.seen.features_text, "features");
	assert_false(f->a.seen.has_report);
	sync_client_go(f->client);
	run_to(f, &f->n_responses, 5);
	assert_true(f->a.seen.has_report);
}

static void a_held_poll_is_given_up_for_news(void **state)
{
	struct fixture *f = *state;

	f->a.status = 0;
	sync_client_go(f->client);
	run_to(f, &f->a.n_asked, 1);
	assert_true(sync_client_is_polling(f->client));
	assert_int_equal(sync_client_told_report(f->client)[0], 'a');
	f->report = 'b';
	sync_client_go(f->client);
	run_to(f, &f->a.n_asked, 2);
	assert_int_equal(f->a.seen.report_hash[0], 'b');
	assert_true(f->a.seen.has_report);
	f->a.status = 200;
	answer(&f->a, f->a.held);
	run_to(f, &f->n_responses, 1);
	assert_false(sync_client_is_polling(f->client));
}

static void a_replica_that_does_not_lead_is_left_for_the_leader(void **state)
{
	struct fixture *f = *state;

	f->a.status = 503;
	f->a.leader = f->b.address;
	sync_client_go(f->client);
	run_to(f, &f->n_responses, 1);
	assert_int_equal(f->a.n_asked, 1);
	assert_int_equal(f->b.n_asked, 1);
	/* And it is remembered. */
	sync_client_go(f->client);
	run_to(f, &f->n_responses, 2);
	assert_int_equal(f->a.n_asked, 1);
	/* Until it fails. */
	f->b.status = 500;
	f->a.status = 200;
	sync_client_go(f->client);
	run_to(f, &f->n_responses, 3);
	assert_int_equal(f->a.n_asked, 2);
}

static void two_that_send_on_to_each_other_are_not_followed_for_ever(void **state)
{
	struct fixture *f = *state;

	f->a.status = f->b.status = 503;
	f->a.leader = f->b.address;
	f->b.leader = f->a.address;
	sync_client_go(f->client);
	run_to(f, &f->b.n_asked, 2);
	while (sync_client_is_polling(f->client))
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(f->a.n_asked, 2);
	f->a.status = 200;
	run_to(f, &f->n_responses, 1);
}

static void a_lower_epoch_is_refused(void **state)
{
	struct fixture *f = *state;

	f->a.has_set = true;
	f->a.epoch = 6;
	sync_client_go(f->client);
	run_to(f, &f->a.n_asked, 2);
	assert_int_equal(f->n_responses, 0);
	f->a.epoch = 7;
	run_to(f, &f->n_responses, 1);
	f->a.epoch = 8;
	sync_client_go(f->client);
	run_to(f, &f->n_responses, 2);
	f->a.epoch = 7;
	sync_client_go(f->client);
	run_to(f, &f->a.n_asked, 6);
	assert_int_equal(f->n_responses, 2);
}

static void failures_are_tried_again(void **state)
{
	struct fixture *f = *state;

	f->a.status = 401;
	sync_client_go(f->client);
	run_to(f, &f->a.n_asked, 2);
	f->a.status = 200;
	f->a.garbage = "{";
	run_to(f, &f->a.n_asked, 3);
	assert_int_equal(f->n_responses, 0);
	f->a.garbage = NULL;
	run_to(f, &f->n_responses, 1);
}

static void an_answer_that_would_take_all_memory_is_none(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_clear) struct buf text = BUF_INIT(1 << 20);
	int i;

	buf_add_str(&text, "{\"protocol\":1,\"epoch\":10,\"more\":[{}");
	for (i = 0; i < SYNC_RESPONSE_HEAP_MAX / 928; i++)
		buf_add_str(&text, ",{}");
	buf_add_str(&text, "]}");
	f->a.garbage = buf_text(&text);
	sync_client_go(f->client);
	run_to(f, &f->a.n_asked, 2);
	assert_int_equal(f->n_responses, 0);
	f->a.garbage = NULL;
	run_to(f, &f->n_responses, 1);
}

static void a_version_that_is_not_spoken_there_can_wait(void **state)
{
	struct fixture *f = *state;

	f->a.status = 426;
	sync_client_go(f->client);
	run_to(f, &f->a.n_asked, 1);
	while (sync_client_is_polling(f->client))
		uv_run(&f->loop, UV_RUN_ONCE);
	/* Going does not shorten the wait; something that changed does. */
	sync_client_go(f->client);
	assert_false(sync_client_is_polling(f->client));
	f->a.status = 200;
	sync_client_retry(f->client);
	run_to(f, &f->n_responses, 1);
}

static void a_missing_token_is_waited_for(void **state)
{
	struct fixture *f = *state;

	unlink(f->token_file);
	sync_client_go(f->client);
	assert_false(sync_client_is_polling(f->client));
	put_file(f->dir, "token", "late");
	run_to(f, &f->n_responses, 1);
	assert_string_equal(f->a.token, "Bearer late");
}

static void answers_without_news_that_come_at_once_are_slowed_down(void **state)
{
	struct fixture *f = *state;

	f->again = true;
	sync_client_go(f->client);
	run_to(f, &f->n_responses, 6);
	assert_false(sync_client_is_polling(f->client));
	run_to(f, &f->n_responses, 7);
}

static void an_address_is_a_host_and_a_port(void **state)
{
	(void)state;
	assert_true(reply_is_address("10.0.0.7:8443"));
	assert_true(reply_is_address("[fd00::7]:8443"));
	assert_true(reply_is_address("controller-0.pods.svc:1"));
	assert_false(reply_is_address(""));
	assert_false(reply_is_address(":1"));
	assert_false(reply_is_address("host"));
	assert_false(reply_is_address("host:0"));
	assert_false(reply_is_address("host:65536"));
	assert_false(reply_is_address("host: 1"));
	assert_false(reply_is_address("ho\nst:1"));
	assert_false(reply_is_address("user@host:1"));
	assert_false(reply_is_address("host/x:1"));
}

static void expect_token(const char *dir, const char *text, const char *expected)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/t", dir);
	CLEANUP(mem_freep) char *header = NULL;
	struct err err;
	int r;

	put_file(dir, "t", text);
	r = token_header(path, &header, &err);
	assert_int_equal(r, expected ? 0 : -EINVAL);
	if (expected)
		assert_string_equal(header, expected);
}

static void a_token_file_holds_one_word(void **state)
{
	expect_token(*state, "abc.def-_", "Authorization: Bearer abc.def-_");
	expect_token(*state, "abc\r\n\n", "Authorization: Bearer abc");
	expect_token(*state, "", NULL);
	expect_token(*state, "\nabc", NULL);
	expect_token(*state, "abc\r\nX-Evil: 1\r\n", NULL);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

/* 15 s are what a fleet has for coming back. */
static void the_longest_wait_between_tries_is_half_of_what_a_fleet_has_for_coming_back(void **state)
{
	struct backoff b = sync_client_backoff;
	uint64_t longest = 0;
	int i;

	(void)state;
	for (i = 0; i < 64; i++) {
		uint64_t ms = backoff_next(&b, UINT64_MAX);

		longest = ms > longest ? ms : longest;
	}
	assert_in_range(longest, 5000, 7500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_the_controller_has_is_not_said_twice),
	    TEST(a_held_poll_is_given_up_for_news),
	    TEST(a_replica_that_does_not_lead_is_left_for_the_leader),
	    TEST(two_that_send_on_to_each_other_are_not_followed_for_ever),
	    TEST(a_lower_epoch_is_refused),
	    TEST(failures_are_tried_again),
	    TEST(an_answer_that_would_take_all_memory_is_none),
	    TEST(a_version_that_is_not_spoken_there_can_wait),
	    TEST(a_missing_token_is_waited_for),
	    TEST(answers_without_news_that_come_at_once_are_slowed_down),
	    cmocka_unit_test(
		the_longest_wait_between_tries_is_half_of_what_a_fleet_has_for_coming_back),
	    cmocka_unit_test(an_address_is_a_host_and_a_port),
	    cmocka_unit_test_setup_teardown(a_token_file_holds_one_word, dir_setup, dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
