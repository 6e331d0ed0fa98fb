#include "kube/event.h"

#include "script_server.h"

#define MADE REPLY("201 Created", "{}")

struct bench {
	uv_loop_t loop;
	struct script_server server;
	struct kube_client *client;
	struct kube_recorder *rec;
	bool closed;
};

static const struct kube_object_ref profile = {
    .api_version = "hauberk.dev/v1alpha1", .kind = "AppArmorProfile", .name = "web", .uid = "u1"};

static void set_up(struct bench *b, const struct script_step *steps)
{
	*b = (struct bench){0};
	uv_loop_init(&b->loop);
	script_start(&b->server, steps);
	b->client = script_client(&b->server, &b->loop, NULL);
	b->rec = kube_recorder_new(b->client, "hauberk-controller", "pod-1");
}

/* Closing waits for what is under way, so the whole script has been played then. */
static void tear_down(struct bench *b, uint64_t timeout_ms)
{
	kube_recorder_close(b->rec, timeout_ms, script_note_closed, &b->closed);
	while (!b->closed)
		uv_run(&b->loop, UV_RUN_ONCE);
	script_close(b->client, &b->loop);
	script_stop(&b->server);
}

static void an_event_of_a_cluster_scoped_object_lives_in_default(void **state)
{
	static const struct script_step steps[] = {
	    {"POST /api/v1/namespaces/default/events ", MADE, false, 0}, {0}};
	struct json_object *event;
	struct bench b;
	struct err err;
	const char *body;

	(void)state;
	set_up(&b, steps);
	kube_recorder_event(b.rec, &profile, KUBE_EVENT_WARNING, "RolledBack", "to %s\n", "abc");
	tear_down(&b, 5000);
	body = strstr(b.server.requests[0], "\r\n\r\n") + 4;
	assert_int_equal(js_parse(body, strlen(body), &event, &err), 0);
	assert_memory_equal(js_str(event, "metadata.name"), "web.", 4);
	assert_string_equal(js_str(event, "metadata.namespace"), "default");
	assert_string_equal(js_str(event, "involvedObject.kind"), "AppArmorProfile");
	assert_string_equal(js_str(event, "involvedObject.uid"), "u1");
	assert_null(js_at(event, "involvedObject.namespace"));
	assert_null(js_at(event, "involvedObject.resourceVersion"));
	assert_string_equal(js_str(event, "type"), "Warning");
	assert_string_equal(js_str(event, "reason"), "RolledBack");
	assert_string_equal(js_str(event, "message"), "to abc?");
	assert_string_equal(js_str(event, "source.component"), "hauberk-controller");
	assert_string_equal(js_str(event, "reportingInstance"), "pod-1");
	assert_int_equal(js_i64(event, "count", 0), 1);
	json_object_put(event);
}

static void the_same_events_meanwhile_are_told_by_one_patch(void **state)
{
	static const struct script_step steps[] = {
	    {"POST", MADE, false, 0}, {"\"count\":4,", REPLY("200 OK", "{}"), false, 0}, {0}};
	struct bench b;
	int i;

	(void)state;
	set_up(&b, steps);
	for (i = 0; i < 4; i++)
		kube_recorder_event(b.rec, &profile, KUBE_EVENT_NORMAL, "R", "same");
	tear_down(&b, 5000);
	assert_memory_equal(b.server.requests[1], "PATCH /api/v1/namespaces/default/events/web.",
			    44);
}

static void an_event_that_expired_is_created_again_with_its_count(void **state)
{
	static const struct script_step steps[] = {
	    {"POST", MADE, false, 0},
	    {"PATCH", REPLY("404 Not Found", "{}"), false, 0},
	    {"\"count\":2,", MADE, false, 0},
	    {0}};
	struct bench b;

	(void)state;
	set_up(&b, steps);
	kube_recorder_event(b.rec, &profile, KUBE_EVENT_NORMAL, "R", "same");
	kube_recorder_event(b.rec, &profile, KUBE_EVENT_NORMAL, "R", "same");
	tear_down(&b, 5000);
	assert_memory_equal(b.server.requests[2], "POST ", 5);
}

static void what_is_refused_is_dropped(void **state)
{
	static const struct script_step steps[] = {{"POST", REPLY("403 Forbidden", "{}"), false, 0},
						   {0}};
	struct bench b;

	(void)state;
	set_up(&b, steps);
	kube_recorder_event(b.rec, &profile, KUBE_EVENT_NORMAL, "R", "m");
	kube_recorder_event(b.rec, &profile, KUBE_EVENT_NORMAL, "R", "m");
	tear_down(&b, 5000);
}

static void closing_does_not_wait_for_ever(void **state)
{
	static const struct script_step steps[] = {{"POST", "HTTP/1.1 2", true, 0}, {0}};
	struct bench b;
	int64_t began_ms;

	(void)state;
	set_up(&b, steps);
	kube_recorder_event(b.rec, &profile, KUBE_EVENT_NORMAL, "R", "m");
	while (b.server.n_requests == 0)
		uv_run(&b.loop, UV_RUN_NOWAIT);
	began_ms = clock_mono_ms();
	tear_down(&b, 100);
	assert_true(clock_mono_ms() - began_ms < 5000);
}

static void closing_with_nothing_to_do_takes_no_time(void **state)
{
	static const struct script_step steps[] = {{0}};
	struct bench b;

	(void)state;
	set_up(&b, steps);
	tear_down(&b, 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_event_of_a_cluster_scoped_object_lives_in_default),
	    cmocka_unit_test(the_same_events_meanwhile_are_told_by_one_patch),
	    cmocka_unit_test(an_event_that_expired_is_created_again_with_its_count),
	    cmocka_unit_test(what_is_refused_is_dropped),
	    cmocka_unit_test(closing_does_not_wait_for_ever),
	    cmocka_unit_test(closing_with_nothing_to_do_takes_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
