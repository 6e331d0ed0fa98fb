#include "base/file.h"
#include "kube/patch.h"
#include "script_server.h"

struct answer {
	int n_done;
	enum kube_outcome outcome;
	int http_status;
	char why[512];
	struct json_object *obj;
	char data[256];
	bool stop; /* end the stream at the first bytes */
	struct kube_request *cancel;
};

static void on_done(void *data, const struct kube_result *res)
{
	struct answer *a = data;

	a->n_done++;
	a->outcome = res->outcome;
	a->http_status = res->http_status;
	snprintf(a->why, sizeof(a->why), "%s", res->why);
	a->obj = json_object_get(res->obj);
}

static bool on_data(void *data, const char *bytes, size_t n)
{
	struct answer *a = data;

	strncat(a->data, bytes,
		n < sizeof(a->data) - strlen(a->data) - 1 ? n
							  : sizeof(a->data) - strlen(a->data) - 1);
	if (a->cancel)
		kube_request_cancel(STEAL(a->cancel));
	return !a->stop;
}

/* One request against a script, from its start to the end of the loop. */
static void ask(const struct script_step *steps, const struct kube_request_spec *spec,
		struct answer *a)
{
	struct script_server server;
	struct kube_client *client;
	uv_loop_t loop;

	*a = (struct answer){0};
	uv_loop_init(&loop);
	script_start(&server, steps);
	client = script_client(&server, &loop, NULL);
	kube_request_start(client, spec, on_done, a);
	assert_int_equal(a->n_done, 0);
	while (a->n_done == 0)
		uv_run(&loop, UV_RUN_ONCE);
	script_close(client, &loop);
	script_stop(&server);
	assert_int_equal(a->n_done, 1);
}

static const struct kube_request_spec get = {.method = "GET", .path = "/api/v1/nodes"};

static void an_object_is_asked_for_and_parsed(void **state)
{
	static const struct script_step steps[] = {
	    {.expect = "GET /api/v1/nodes?limit=1 HTTP/1.1\r\n",
	     .reply = REPLY("200 OK", "{\"kind\":\"NodeList\"}")},
	    {0},
	};
	const struct kube_request_spec spec = {
	    .method = "GET", .path = "/api/v1/nodes", .query = "limit=1"};
	struct answer a;

	(void)state;
	ask(steps, &spec, &a);
	assert_int_equal(a.outcome, KUBE_OK);
	assert_int_equal(a.http_status, 200);
	assert_string_equal(a.why, "");
	assert_string_equal(js_str(a.obj, "kind"), "NodeList");
	json_object_put(a.obj);
}

static void who_we_are_goes_with_each_request(void **state)
{
	static const struct script_step bearer[] = {
	    {.expect = "Authorization: Bearer the-token\r\n", .reply = REPLY("200 OK", "{}")}, {0}};
	static const struct script_step agent[] = {
	    {.expect = "User-Agent: test/1\r\n", .reply = REPLY("200 OK", "")}, {0}};
	struct answer a;

	(void)state;
	ask(bearer, &get, &a);
	json_object_put(a.obj);
	ask(agent, &get, &a);
	assert_int_equal(a.outcome, KUBE_OK);
	assert_null(a.obj);
}

static void a_body_goes_out_with_its_type(void **state)
{
	static const struct script_step type[] = {
	    {.expect = "Content-Type: application/merge-patch+json\r\n",
	     .reply = REPLY("200 OK", "{}")},
	    {0}};
	static const struct script_step body[] = {
	    {.expect = "\r\n\r\n{\"a\":\"b/c\"}", .reply = REPLY("200 OK", "{}")}, {0}};
	CLEANUP(js_putp) struct json_object *obj = js_new();
	const struct kube_request_spec spec = {.method = "PATCH",
					       .path = "/x",
					       .body = obj,
					       .content_type = "application/merge-patch+json"};
	struct answer a;

	(void)state;
	js_put_str(obj, "a", "b/c");
	ask(type, &spec, &a);
	json_object_put(a.obj);
	ask(body, &spec, &a);
	json_object_put(a.obj);
}

static void a_refusal_is_told_in_the_servers_words(void **state)
{
	static const struct script_step steps[] = {
	    {.reply = REPLY("404 Not Found",
			    "{\"kind\":\"Status\",\"reason\":\"NotFound\",\"message\":\"nodes "
			    "\\\"n1\\\" not found\\n\"}")},
	    {0}};
	static const struct script_step plain[] = {{.reply = REPLY("403 Forbidden", "go\naway")},
						   {0}};
	struct answer a;

	(void)state;
	ask(steps, &get, &a);
	assert_int_equal(a.outcome, KUBE_NOT_FOUND);
	assert_string_equal(a.why, "nodes \"n1\" not found?");
	json_object_put(a.obj);
	ask(plain, &get, &a);
	assert_int_equal(a.outcome, KUBE_FORBIDDEN);
	assert_non_null(strstr(a.why, "answered 403 to GET https://kubernetes"));
	assert_non_null(strstr(a.why, "go?away"));
	assert_null(a.obj);
}

static void an_answer_that_is_no_json_is_a_bad_one(void **state)
{
	static const struct script_step steps[] = {{.reply = REPLY("200 OK", "<html>")}, {0}};
	struct answer a;

	(void)state;
	ask(steps, &get, &a);
	assert_int_equal(a.outcome, KUBE_BAD_ANSWER);
	assert_non_null(strstr(a.why, "is not JSON"));
}

static void an_answer_has_a_ceiling(void **state)
{
	static const struct script_step steps[] = {
	    {.reply = REPLY("200 OK", "{}"), .n_padding = 5000}, {0}};
	struct kube_request_spec spec = get;
	struct answer a;

	(void)state;
	spec.max_body = 5001;
	ask(steps, &spec, &a);
	assert_int_equal(a.outcome, KUBE_TOO_LONG);
	spec.max_body = 5002;
	ask(steps, &spec, &a);
	assert_int_equal(a.outcome, KUBE_OK);
	json_object_put(a.obj);
}

static void what_may_better_is_tried_again(void **state)
{
	static const struct script_step steps[] = {
	    {.reply = REPLY_WITH("429 Too Many Requests", "Retry-After: 0", "{}")},
	    {.reply = REPLY("503 Service Unavailable", "{}")},
	    {.reply = REPLY("200 OK", "{\"a\":1}")},
	    {0}};
	struct kube_request_spec spec = get;
	struct answer a;

	(void)state;
	spec.tries = 3;
	ask(steps, &spec, &a);
	assert_int_equal(a.outcome, KUBE_OK);
	assert_int_equal(js_i64(a.obj, "a", 0), 1);
	json_object_put(a.obj);
}

static void after_the_last_try_the_failure_is_told(void **state)
{
	static const struct script_step steps[] = {
	    {.reply = REPLY("500 Oops", "{\"message\":\"first\"}")},
	    {.reply = REPLY("500 Oops", "{\"message\":\"second\"}")},
	    {0}};
	struct kube_request_spec spec = get;
	struct answer a;

	(void)state;
	spec.tries = 2;
	ask(steps, &spec, &a);
	assert_int_equal(a.outcome, KUBE_UNAVAILABLE);
	assert_string_equal(a.why, "second");
	json_object_put(a.obj);
}

static void a_creation_whose_answer_got_lost_is_not_repeated(void **state)
{
	static const struct script_step steps[] = {{.reply = ""}, {0}};
	struct kube_request_spec spec = get;
	struct answer a;

	(void)state;
	spec.method = "POST";
	spec.tries = 5;
	ask(steps, &spec, &a);
	assert_int_equal(a.outcome, KUBE_UNREACHABLE);
	assert_int_equal(a.http_status, 0);
	assert_true(a.why[0]);
}

static void a_renewed_token_is_tried_at_once(void **state)
{
	static const struct script_step steps[] = {
	    {.expect = "Bearer old\r\n", .reply = REPLY("401 Unauthorized", "{}")},
	    {.expect = "Bearer new\r\n", .reply = REPLY("401 Unauthorized", "{}")},
	    {0}};
	char path[] = "/tmp/hauberk-token-XXXXXX";
	struct answer a = {0};
	struct script_server server;
	struct kube_client *client;
	struct err err;
	uv_loop_t loop;

	(void)state;
	close(mkstemp(path));
	assert_int_equal(file_write_atomic(path, "old", 3, 0600, &err), 0);
	uv_loop_init(&loop);
	script_start(&server, steps);
	client = script_client(&server, &loop, path);
	assert_int_equal(file_write_atomic(path, "new", 3, 0600, &err), 0);
	kube_request_start(client, &get, on_done, &a);
	while (a.n_done == 0)
		uv_run(&loop, UV_RUN_ONCE);
	/* Refused again: the token is the same now, so that is the answer. */
	assert_int_equal(a.outcome, KUBE_UNAUTHORIZED);
	json_object_put(a.obj);
	script_close(client, &loop);
	script_stop(&server);
	unlink(path);
}

static void a_server_that_is_away_is_unreachable(void **state)
{
	static const struct script_step none[] = {{0}};
	struct answer a = {0};
	struct script_server server;
	struct kube_client *client;
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	script_start(&server, none);
	client = script_client(&server, &loop, NULL);
	script_stop(&server);
	kube_request_start(client, &get, on_done, &a);
	while (a.n_done == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(a.outcome, KUBE_UNREACHABLE);
	assert_true(a.why[0]);
	script_close(client, &loop);
}

static void what_is_cancelled_tells_nobody(void **state)
{
	static const struct script_step steps[] = {{.reply = REPLY("503 Away", "{}")}, {0}};
	struct kube_request_spec spec = get;
	struct answer a = {0};
	struct script_server server;
	struct kube_client *client;
	struct kube_request *req;
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	script_start(&server, steps);
	client = script_client(&server, &loop, NULL);
	kube_request_cancel(kube_request_start(client, &spec, on_done, &a));
	/* This one waits for its second try when it is cancelled. */
	spec.tries = 9;
	req = kube_request_start(client, &spec, on_done, &a);
	while (server.n_requests == 0)
		uv_run(&loop, UV_RUN_NOWAIT);
	for (int64_t began_ms = clock_mono_ms(); clock_mono_ms() - began_ms < 100;)
		uv_run(&loop, UV_RUN_NOWAIT);
	kube_request_cancel(req);
	script_close(client, &loop);
	script_stop(&server);
	assert_int_equal(a.n_done, 0);
}

static void closing_the_client_ends_what_is_under_way(void **state)
{
	static const struct script_step steps[] = {{.reply = REPLY("200 OK", "{"), .hold = true},
						   {0}};
	struct answer a = {0};
	struct script_server server;
	struct kube_client *client;
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	script_start(&server, steps);
	client = script_client(&server, &loop, NULL);
	kube_request_start(client, &get, on_done, &a);
	while (server.n_requests == 0)
		uv_run(&loop, UV_RUN_NOWAIT);
	kube_request_start(client, &get, on_done, &a);
	script_close(client, &loop);
	script_stop(&server);
	assert_int_equal(a.n_done, 0);
}

static void stream(const struct script_step *steps, struct answer *a, bool cancel)
{
	const struct kube_stream_spec spec = {.path = "/w", .on_data = on_data};
	struct script_server server;
	struct kube_client *client;
	struct kube_request *req;
	uv_loop_t loop;

	uv_loop_init(&loop);
	script_start(&server, steps);
	client = script_client(&server, &loop, NULL);
	req = kube_stream_start(client, &spec, on_done, a);
	a->cancel = cancel ? req : NULL;
	while (a->n_done == 0 && !(cancel && a->data[0]))
		uv_run(&loop, UV_RUN_ONCE);
	script_close(client, &loop);
	script_stop(&server);
}

static void a_stream_gives_its_bytes_as_they_come(void **state)
{
	static const struct script_step steps[] = {{.reply = REPLY("200 OK", "not json")}, {0}};
	struct answer a = {0};

	(void)state;
	stream(steps, &a, false);
	assert_int_equal(a.outcome, KUBE_OK);
	assert_string_equal(a.data, "not json");
}

static void a_refused_stream_gives_no_bytes(void **state)
{
	static const struct script_step steps[] = {
	    {.reply = REPLY("410 Gone", "{\"reason\":\"Expired\",\"message\":\"too old\"}")}, {0}};
	struct answer a = {0};

	(void)state;
	stream(steps, &a, false);
	assert_int_equal(a.outcome, KUBE_GONE);
	assert_string_equal(a.why, "too old");
	assert_string_equal(a.data, "");
	json_object_put(a.obj);
}

static void the_reader_may_end_or_cancel_a_stream(void **state)
{
	static const struct script_step steps[] = {{.reply = REPLY("200 OK", "x"), .hold = true},
						   {0}};
	struct answer a = {.stop = true};

	(void)state;
	stream(steps, &a, false);
	assert_int_equal(a.outcome, KUBE_UNREACHABLE);
	a = (struct answer){.stop = true};
	stream(steps, &a, true);
	assert_int_equal(a.n_done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_object_is_asked_for_and_parsed),
	    cmocka_unit_test(who_we_are_goes_with_each_request),
	    cmocka_unit_test(a_body_goes_out_with_its_type),
	    cmocka_unit_test(a_refusal_is_told_in_the_servers_words),
	    cmocka_unit_test(an_answer_that_is_no_json_is_a_bad_one),
	    cmocka_unit_test(an_answer_has_a_ceiling),
	    cmocka_unit_test(what_may_better_is_tried_again),
	    cmocka_unit_test(after_the_last_try_the_failure_is_told),
	    cmocka_unit_test(a_creation_whose_answer_got_lost_is_not_repeated),
	    cmocka_unit_test(a_renewed_token_is_tried_at_once),
	    cmocka_unit_test(a_server_that_is_away_is_unreachable),
	    cmocka_unit_test(what_is_cancelled_tells_nobody),
	    cmocka_unit_test(closing_the_client_ends_what_is_under_way),
	    cmocka_unit_test(a_stream_gives_its_bytes_as_they_come),
	    cmocka_unit_test(a_refused_stream_gives_no_bytes),
	    cmocka_unit_test(the_reader_may_end_or_cancel_a_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
