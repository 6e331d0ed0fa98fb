#include "controller/sync_server.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "fake_kube.h"
#include "policy/features.h"
#include "unit/net/net_test.h"

#include <unistd.h>

/* {"aud":"hauberk-controller"}, as one of the agents' would say; the last part names the node. */
#define GOOD "eyJhbGciOiJub25lIn0.eyJhdWQiOiJoYXViZXJrLWNvbnRyb2xsZXIifQ."
#define OTHER "eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiJoYXViZXJrLWNvbnRyb2xsZXIifQ."
#define REPORT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum { DOOR_HOLD_MS = 300 };

struct door {
	uv_loop_t loop;
	struct fake_kube *kube;
	struct identity *identity;
	struct engine *engine;
	struct sync_server *server;
	struct artefact_store *artefacts;
	char dir[32];
	int n_lost;
	struct net_raw raw;
	bool closed;
};

static struct json_object *door_review(void *data, const char *token)
{
	const char *name = strrchr(token, '.') + 1;
	struct json_object *status;
	CLEANUP(mem_freep) char *text = NULL;
	struct err err;

	(void)data;
	if (strcmp(name, "n1") != 0)
		return js_new();
	text =
	    mem_printf("{\"authenticated\":true,\"audiences\":[\"hauberk-controller\"],\"user\":{"
		       "\"username\":\"system:serviceaccount:hauberk-system:hauberk-agent\","
		       "\"extra\":{\"authentication.kubernetes.io/node-name\":[\"%s\"],"
		       "\"authentication.kubernetes.io/node-uid\":[\"u-%s\"],"
		       "\"authentication.kubernetes.io/pod-name\":[\"p\"],"
		       "\"authentication.kubernetes.io/pod-uid\":[\"v\"]}}}",
		       name, name);
	assert_int_equal(js_parse(text, strlen(text), &status, &err), 0);
	return status;
}

static void door_set_changed(void *data, struct node *node)
{
	sync_server_set_changed(((struct door *)data)->server, node);
}

static void door_write_node(void *data, const struct node *node)
{
	(void)data;
	(void)node;
}

static const struct engine_ops door_ops = {.set_changed = door_set_changed,
					   .write_node = door_write_node};

static void door_on_facts(void *data)
{
	struct door *d = data;

	engine_run(d->engine, clock_steady_ms());
	sync_server_release(d->server);
}

static void door_on_lost(void *data, const char *sha256)
{
	(void)sha256;
	((struct door *)data)->n_lost++;
}

static void door_open_store(struct door *d)
{
	struct err err;

	snprintf(d->dir, sizeof(d->dir), "/tmp/hauberk-test-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	if (artefact_store_open(d->dir, 1 << 20, &d->artefacts, &err) < 0)
		fail_msg("%s", err.msg);
}

static void door_close_store(struct door *d)
{
	CLEANUP(mem_freep) char *artefacts = mem_printf("%s/artefacts", d->dir);
	CLEANUP(mem_freep) char *builds = mem_printf("%s/builds", d->dir);

	artefact_store_close(d->artefacts);
	rmdir(artefacts);
	rmdir(builds);
	assert_int_equal(rmdir(d->dir), 0);
}

static void door_add_node(struct door *d)
{
	static const char text[] = "{\"metadata\":{\"name\":\"n1\",\"uid\":\"u-n1\"}}";
	CLEANUP(js_putp) struct json_object *node = NULL;
	struct err err;

	assert_int_equal(js_parse(text, strlen(text), &node, &err), 0);
	engine_node_seen(d->engine, node, clock_steady_ms());
}

static int door_open(void **state)
{
	static const char *const builtin[] = {NULL};
	struct door *d = MEM_NEW(struct door);
	struct engine_options options = {
	    .ops = &door_ops, .data = d, .compiler_id = "c", .builtin_features = builtin};
	struct sync_server_spec spec = {.listen = "127.0.0.1:0",
					.max_connections = 1000,
					.hold_ms = DOOR_HOLD_MS,
					.on_facts = door_on_facts,
					.on_lost = door_on_lost,
					.data = d};
	struct err err;

	uv_loop_init(&d->loop);
	d->kube = fake_kube_new(&d->loop);
	fake_kube_on_review(d->kube, door_review, d);
	d->identity = identity_new(fake_kube_client(d->kube), "hauberk-system");
	d->engine = engine_new(&options, clock_steady_ms());
	spec.identity = d->identity;
	spec.engine = d->engine;
	door_open_store(d);
	spec.artefacts = d->artefacts;
	if (sync_server_new(&d->loop, &spec, &d->server, &err) < 0)
		fail_msg("%s", err.msg);
	engine_start(d->engine, clock_steady_ms());
	door_add_node(d);
	*state = d;
	return 0;
}

static int door_close(void **state)
{
	struct door *d = *state;

	sync_server_close(d->server, net_set_true, &d->closed);
	net_run_until(&d->loop, &d->closed);
	engine_free(d->engine);
	door_close_store(d);
	identity_close(d->identity);
	fake_kube_close(d->kube);
	uv_run(&d->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&d->loop), 0);
	free(d);
	return 0;
}

/* A sync with this token, NULL for none. */
static void door_send(struct door *d, const char *token, const char *body)
{
	CLEANUP(mem_freep)
	char *text = mem_printf("POST /v1/sync HTTP/1.1\r\nHost: a\r\n%s%s%sContent-Length: "
				"%zu\r\nConnection: close\r\n\r\n%s",
				token ? "Authorization: Bearer " : "", token ? token : "",
				token ? "\r\n" : "", strlen(body), body);

	net_raw_connect(&d->loop, &d->raw, sync_server_port(d->server));
	net_raw_read(&d->raw);
	net_raw_send(&d->raw, text);
	net_run_for(&d->loop, 1);
}

static void door_await(struct door *d, const char *status, const char *word)
{
	net_run_until(&d->loop, &d->raw.ended);
	if (!strstr(d->raw.text, status) || !strstr(d->raw.text, word))
		fail_msg("expected %s and \"%s\", not %s", status, word, d->raw.text);
	net_raw_close(&d->raw);
}

static void door_expect(struct door *d, const char *token, const char *body, const char *status,
			const char *word)
{
	door_send(d, token, body);
	door_await(d, status, word);
}

static void an_agent_is_asked_for_its_report(void **state)
{
	struct door *d = *state;

	sync_server_lead(d->server, 1);
	door_expect(d, GOOD "n1", "{\"protocol\":1}", " 200 ", "\"wantReport\":true");
}

static void who_is_not_ours_is_told_so(void **state)
{
	struct door *d = *state;

	sync_server_lead(d->server, 1);
	door_expect(d, NULL, "{\"protocol\":1}", " 401 ", "no token");
	door_expect(d, "hello", "{\"protocol\":1}", " 401 ", "message");
	door_expect(d, GOOD "bad", "{\"protocol\":1}", " 401 ", "message");
	door_expect(d, GOOD "bad", "{\"protocol\":1}", " 401 ", "message"); /* it is known by now */
}

static void who_does_not_lead_says_who_does(void **state)
{
	struct door *d = *state;

	sync_server_follow(d->server, "10.0.0.7:8443");
	door_expect(d, GOOD "n1", "{\"protocol\":1}", " 503 ", "10.0.0.7:8443");
}

static void a_body_that_is_no_sync_is_malformed(void **state)
{
	struct door *d = *state;

	sync_server_lead(d->server, 1);
	door_expect(d, GOOD "n1", "{\"protocol\":", " 400 ", "message");
	door_expect(d, GOOD "n1", "{\"protocol\":7}", " 426 ", "version 1");
}

/* 2 MiB of it would take 550. */
static void a_body_that_would_take_all_memory_is_refused(void **state)
{
	struct door *d = *state;
	CLEANUP(buf_clear) struct buf body = BUF_INIT(SYNC_REQUEST_MAX);

	sync_server_lead(d->server, 1);
	buf_add_str(&body, "{\"protocol\":1,\"report\":[{}");
	while (
	    buf_add_str(&body, ",{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}"))
		;
	door_expect(d, GOOD "n1", buf_text(&body), " 400 ", "KiB of memory");
}

/* What the controller says of a node whose agent has reported, and has nothing to be told. */
static void door_settle(struct door *d, char set_hash[SHA256_HEX])
{
	static const char body[] = "{\"protocol\":1,\"reportHash\":\"" REPORT "\",\"report\":{"
				   "\"appArmor\":true,\"profiles\":[]}}";
	const char *hash;

	door_expect(d, GOOD "n1", body, " 200 ", "\"setHash\":\"");
	hash = strstr(d->raw.text, "\"setHash\":\"") + strlen("\"setHash\":\"");
	snprintf(set_hash, SHA256_HEX, "%s", hash);
}

static void a_poll_is_held_from_when_it_came_however_long_its_token_is_checked(void **state)
{
	struct door *d = *state;
	char set_hash[SHA256_HEX];
	CLEANUP(mem_freep) char *text = NULL;
	int64_t began;

	sync_server_lead(d->server, 1);
	door_settle(d, set_hash);
	text = mem_printf("{\"protocol\":1,\"reportHash\":\"" REPORT "\",\"setHash\":\"%s\"}",
			  set_hash);
	began = clock_mono_ms();
	door_expect(d, GOOD "n1", text, " 200 ", set_hash);
	assert_in_range(clock_mono_ms() - began, DOOR_HOLD_MS - 1, 10 * DOOR_HOLD_MS);

	fake_kube_hold(d->kube, true);
	door_send(d, OTHER "n1", text);
	net_run_for(&d->loop, DOOR_HOLD_MS + DOOR_HOLD_MS);
	fake_kube_hold(d->kube, false);
	began = clock_mono_ms();
	door_await(d, " 200 ", set_hash);
	assert_in_range(clock_mono_ms() - began, 0, DOOR_HOLD_MS - 1);
}

static void door_fetch(struct door *d, const char *sha256, const char *status, const char *word)
{
	CLEANUP(mem_freep)
	char *text = mem_printf("GET /v1/policies/%s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "
				"%s\r\nConnection: close\r\n\r\n",
				sha256, GOOD "n1");

	net_raw_connect(&d->loop, &d->raw, sync_server_port(d->server));
	net_raw_read(&d->raw);
	net_raw_send(&d->raw, text);
	door_await(d, status, word);
}

static void an_artefact_that_nobody_was_told_of_is_not_looked_for(void **state)
{
	struct door *d = *state;
	char set_hash[SHA256_HEX];
	struct node *node;

	sync_server_lead(d->server, 1);
	door_settle(d, set_hash);
	door_fetch(d, REPORT, " 404 ", "the node's set names none");
	assert_int_equal(d->n_lost, 0);
	/* One that the set names has to be made again. */
	node = engine_node(d->engine, "n1");
	mem_replace(&node->set->text, mem_strdup("[{\"artefact\":\"" REPORT "\"}]"));
	door_fetch(d, REPORT, " 503 ", "there is no artefact");
	assert_int_equal(d->n_lost, 1);
}

static long memory_kib(void)
{
	CLEANUP(buf_clear) struct buf text = BUF_INIT(4096);
	struct err err;

	assert_int_equal(file_read("/proc/self/statm", &text, &err), 0);
	return strtol(strchr(buf_text(&text), ' '), NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
}

/* All of a body but its last byte, as fast as the server takes it. */
static void door_push(struct door *d, struct net_raw *raw, const char *header)
{
	static char bytes[64 * 1024];
	size_t left = SYNC_REQUEST_MAX - 1;
	CLEANUP(mem_freep)
	char *head = mem_printf("POST /v1/sync HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n",
				header, SYNC_REQUEST_MAX);

	memset(bytes, ' ', sizeof(bytes));
	net_raw_connect(&d->loop, raw, sync_server_port(d->server));
	net_raw_send(raw, head);
	while (left > 0) {
		uv_buf_t part =
		    uv_buf_init(bytes, (unsigned int)(left < sizeof(bytes) ? left : sizeof(bytes)));
		int n = uv_try_write((uv_stream_t *)&raw->tcp, &part, 1);

		assert_true(n > 0 || n == UV_EAGAIN);
		left -= n > 0 ? (size_t)n : 0;
		uv_run(&d->loop, UV_RUN_NOWAIT);
	}
}

static void bodies_without_a_token_take_no_memory(struct door *d, const char *header)
{
	enum { N = 60 };
	struct net_raw *raws = mem_alloc(N, sizeof(*raws));
	long before = memory_kib();
	size_t i;

	for (i = 0; i < N; i++)
		door_push(d, &raws[i], header);
	net_run_for(&d->loop, 50);
	/* Less than the ceiling of what is kept would be, too. */
	assert_true(memory_kib() - before < 12 * 1024);
	for (i = 0; i < N; i++)
		net_raw_close(&raws[i]);
	free(raws);
}

static void a_crowd_without_a_token_takes_no_memory(void **state)
{
	struct door *d = *state;

	sync_server_lead(d->server, 1);
	bodies_without_a_token_take_no_memory(d, "");
	bodies_without_a_token_take_no_memory(d, "Authorization: Bearer hello\r\n");
	door_expect(d, GOOD "n1", "{\"protocol\":1}", " 200 ", "\"wantReport\":true");
}

static void a_replica_that_does_not_lead_keeps_no_body(void **state)
{
	bodies_without_a_token_take_no_memory(*state, "Authorization: Bearer " GOOD "n1\r\n");
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, door_open, door_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_agent_is_asked_for_its_report),
	    TEST(who_is_not_ours_is_told_so),
	    TEST(who_does_not_lead_says_who_does),
	    TEST(a_body_that_is_no_sync_is_malformed),
	    TEST(a_body_that_would_take_all_memory_is_refused),
	    TEST(an_artefact_that_nobody_was_told_of_is_not_looked_for),
	    TEST(a_poll_is_held_from_when_it_came_however_long_its_token_is_checked),
	    TEST(a_crowd_without_a_token_takes_no_memory),
	    TEST(a_replica_that_does_not_lead_keeps_no_body),
	};

	return cmocka_run_group_tests_name("sync_server", tests, NULL, NULL);
}
