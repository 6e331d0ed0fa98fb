#include "controller/effects.h"

#include "base/clock.h"
#include "base/js.h"
#include "base/mem.h"
#include "fake_kube.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

/* An engine, what carries out its decisions, and an API server in memory. Time goes on when the
 * test says so. */
struct place {
	uv_loop_t loop;
	struct fake_kube *kube;
	struct effects *effects;
	struct engine *engine;
	struct kube_informer *profiles;
	struct node_objects *node_objects; /* where the test needs them */
	int64_t ahead_ms;
	bool closed;
};

static void no_facts(void *data)
{
	(void)data;
}

static void no_set(void *data, struct node *node)
{
	(void)data;
	(void)node;
}

static void on_profile(void *data, struct json_object *obj)
{
	engine_profile_seen(((struct place *)data)->engine, obj, clock_steady_ms());
}

static void on_profile_update(void *data, struct json_object *old, struct json_object *obj)
{
	(void)old;
	on_profile(data, obj);
}

static void put(struct place *p, const char *collection, const char *text)
{
	struct json_object *obj;
	struct err err;

	assert_int_equal(js_parse(text, strlen(text), &obj, &err), 0);
	fake_kube_put(p->kube, collection, obj);
	fake_kube_settle(p->kube);
}

static int set_up(void **state)
{
	static const char *const builtin[] = {NULL};
	struct place *p = MEM_NEW(struct place);
	struct kube_informer_spec profiles = {
	    .path = PROFILE_PATH, .on_add = on_profile, .on_update = on_profile_update, .data = p};
	struct effects_spec effects = {
	    .namespace_ = "hauberk-system", .on_facts = no_facts, .set_changed = no_set, .data = p};
	struct engine_options engine = {
	    .ops = &effects_ops, .compiler_id = "c", .builtin_features = builtin};

	uv_loop_init(&p->loop);
	p->kube = fake_kube_new(&p->loop);
	effects.client = fake_kube_client(p->kube);
	p->effects = effects_new(&effects);
	engine.data = p->effects;
	p->engine = engine_new(&engine, clock_steady_ms());
	p->profiles = kube_informer_start(effects.client, &profiles);
	effects_bind(p->effects, p->engine, NULL, NULL, p->profiles);
	put(p, CRDS, "{\"metadata\":{\"name\":\"apparmorprofiles.hauberk.dev\"}}");
	put(p, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"hauberk-system\"}}");
	engine_start(p->engine, clock_steady_ms());
	*state = p;
	return 0;
}

static void on_closed(void *data)
{
	((struct place *)data)->closed = true;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	effects_close(p->effects, on_closed, p);
	kube_informer_close(p->profiles);
	if (p->node_objects)
		node_objects_close(p->node_objects);
	fake_kube_close(p->kube);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_true(p->closed);
	engine_free(p->engine);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	free(p);
	return 0;
}

static int64_t run(struct place *p)
{
	return engine_run(p->engine, clock_steady_ms() + p->ahead_ms);
}

static void put_deleted(struct place *p)
{
	put(p, PROFILE_PATH,
	    "{\"apiVersion\":\"hauberk.dev/v1alpha1\",\"kind\":\"AppArmorProfile\","
	    "\"metadata\":{\"name\":\"web\",\"uid\":\"u-web\",\"generation\":2,"
	    "\"creationTimestamp\":\"2026-01-01T00:00:00Z\","
	    "\"deletionTimestamp\":\"2026-01-01T00:01:00Z\","
	    "\"finalizers\":[\"" PROFILE_FINALIZER "\"]},"
	    "\"spec\":{\"policy\":\"profile web {}\"}}");
}

/* More turns than one answer takes. */
static void turn(struct place *p)
{
	int i;

	for (i = 0; i < 20; i++)
		uv_run(&p->loop, UV_RUN_NOWAIT);
}

static bool has_finalizer(struct place *p)
{
	struct json_object *obj = fake_kube_get(p->kube, PROFILE_PATH "/web");

	return obj && js_len(js_array(obj, "metadata.finalizers")) > 0;
}

static void a_deletion_that_nobody_may_ask_about_is_not_asked_about_all_the_time(void **state)
{
	static const enum kube_outcome outcomes[] = {KUBE_FORBIDDEN, KUBE_UNAUTHORIZED,
						     KUBE_INVALID, KUBE_BAD_ANSWER};
	struct place *p = *state;
	size_t i;

	put_deleted(p);
	for (i = 0; i < sizeof(outcomes) / sizeof(*outcomes); i++) {
		int64_t next;

		fake_kube_fail(p->kube, CRDS, outcomes[i]);
		run(p);
		turn(p);
		assert_int_equal(fake_kube_n_waiting(p->kube), 0);
		next = run(p);
		assert_in_range(next - clock_steady_ms(), 500 << i, 1000 << i);
		assert_true(has_finalizer(p));
		p->ahead_ms = 1000 << i;
	}
	fake_kube_fail(p->kube, NULL, KUBE_OK);
	run(p);
	fake_kube_settle(p->kube);
	run(p);
	fake_kube_settle(p->kube);
	assert_false(has_finalizer(p));
}

static void half_an_answer_is_none(void **state)
{
	struct place *p = *state;

	put_deleted(p);
	fake_kube_fail(p->kube, "/api/v1/namespaces/", KUBE_FORBIDDEN);
	run(p);
	turn(p);
	run(p);
	assert_int_equal(fake_kube_n_waiting(p->kube), 0);
	assert_true(has_finalizer(p));
}

static void a_node_that_could_not_be_read_is_asked_for_again(void **state)
{
	static const char text[] = "{\"metadata\":{\"name\":\"n1\",\"uid\":\"u-n1\"}}";
	struct place *p = *state;
	CLEANUP(js_putp) struct json_object *node = NULL;
	struct err err;
	int64_t next;

	put(p, "/api/v1/nodes",
	    "{\"metadata\":{\"name\":\"n1\"},\"status\":{\"conditions\":[{\"type\":\"Ready\","
	    "\"status\":\"True\"}]}}");
	assert_int_equal(js_parse(text, strlen(text), &node, &err), 0);
	engine_node_seen(p->engine, node, clock_steady_ms());
	fake_kube_fail(p->kube, "/api/v1/nodes/", KUBE_FORBIDDEN);
	p->ahead_ms = ENGINE_AGENT_AWAY_MS + 1000;
	run(p);
	turn(p);
	p->ahead_ms = 0; /* answers come by the real clock */
	next = run(p);
	assert_false(engine_node(p->engine, "n1")->away_known);
	assert_in_range(next - clock_steady_ms(), 0, ENGINE_ASK_RETRY_MS);
	p->ahead_ms = ENGINE_AGENT_AWAY_MS + 1000;
	fake_kube_fail(p->kube, NULL, KUBE_OK);
	run(p);
	fake_kube_settle(p->kube);
	assert_true(engine_node(p->engine, "n1")->away_known);
	assert_true(engine_node(p->engine, "n1")->away_ready);
}

static void put_orphans(struct place *p, size_t n)
{
	struct sync_request req = {.protocol = SYNC_PROTOCOL, .has_report = true};
	size_t i;

	req.agent_version = mem_strdup("test");
	req.kernel_release = mem_strdup("6.1");
	req.boot_id = mem_strdup("b");
	req.report.apparmor_enabled = true;
	req.report.apparmor_reason = mem_strdup("");
	req.report.items = mem_alloc(n, sizeof(struct sync_status));
	req.report.n = n;
	for (i = 0; i < n; i++)
		req.report.items[i] = (struct sync_status){.name = mem_printf("p%03zu", i),
							   .uid = mem_strdup(""),
							   .state = SYNC_STATE_ORPHAN,
							   .message = mem_strdup(""),
							   .kernel_mode = mem_strdup("enforce")};
	memset(req.report_hash, '0', sizeof(req.report_hash) - 1);
	assert_int_equal(engine_agent_heard(p->engine, "n1", "u-n1", &req, clock_steady_ms()),
			 REPORT_TAKEN);
	sync_request_clear(&req);
}

static void exceptions_that_find_no_place_are_counted(void **state)
{
	static const char text[] = "{\"metadata\":{\"name\":\"n1\",\"uid\":\"u-n1\"}}";
	struct node_objects_spec spec = {0};
	struct place *p = *state;
	CLEANUP(js_putp) struct json_object *node = NULL;
	struct json_object *status;
	struct err err;

	p->node_objects = node_objects_start(fake_kube_client(p->kube), &spec);
	effects_bind(p->effects, p->engine, NULL, p->node_objects, p->profiles);
	fake_kube_settle(p->kube);
	assert_int_equal(js_parse(text, strlen(text), &node, &err), 0);
	engine_node_seen(p->engine, node, clock_steady_ms());
	put_orphans(p, NODE_EXCEPTIONS_MAX + 7);
	run(p);
	fake_kube_settle(p->kube);
	status = js_object(fake_kube_get(p->kube, NODE_OBJECTS_PATH "/n1"), "status");
	assert_int_equal(js_len(js_array(status, "exceptions")), NODE_EXCEPTIONS_MAX);
	assert_int_equal(js_i64(status, "exceptionsOmitted", 0), 7);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_deletion_that_nobody_may_ask_about_is_not_asked_about_all_the_time),
	    TEST(half_an_answer_is_none),
	    TEST(a_node_that_could_not_be_read_is_asked_for_again),
	    TEST(exceptions_that_find_no_place_are_counted),
	};

	return cmocka_run_group_tests_name("effects", tests, NULL, NULL);
}
