#include "controller/view_server.h"

#include "base/mem.h"
#include "base/str.h"
#include "fake_fleet.h"
#include "net/http_client.h"
#include "unit/net/net_test.h"

#include <signal.h>

/* The leader's listener, over a fleet that is made of values. */

enum { ANSWER_MAX = 1 << 20 };

struct world {
	uv_loop_t loop;
	struct view_server *server;
	struct http_client *client;
	bool leads;
	struct net_answer answer;
	bool server_closed, client_closed;
};

static bool leads(void *data)
{
	return ((struct world *)data)->leads;
}

static const char *leader(void *data)
{
	(void)data;
	return "pod-b@10.0.0.2:8443";
}

static int set_up(void **state)
{
	struct world *w = MEM_NEW(struct world);
	struct view_server_spec spec = {
	    .listen = "127.0.0.1:0", .leads = leads, .leader = leader, .data = w};
	struct err err;

	fleet_up(3);
	fleet_apply("a", "x", "");
	fleet_wait(2);
	uv_loop_init(&w->loop);
	w->leads = true;
	spec.engine = fleet.engine;
	assert_int_equal(view_server_new(&w->loop, &spec, &w->server, &err), 0);
	w->client = http_client_new(&w->loop);
	http_client_allow_loopback(w->client);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	http_client_close(w->client, net_set_true, &w->client_closed);
	net_run_until(&w->loop, &w->client_closed);
	view_server_close(w->server, net_set_true, &w->server_closed);
	net_run_until(&w->loop, &w->server_closed);
	net_answer_clear(&w->answer);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
	fleet_down();
	return 0;
}

static struct json_object *ask(struct world *w, const char *method, const char *path,
			       const char *body, int status)
{
	CLEANUP(mem_freep)
	char *url = mem_printf("http://127.0.0.1:%u%s", view_server_port(w->server), path);
	struct http_request_spec spec = {.method = method,
					 .url = url,
					 .body = body,
					 .n_body = body ? strlen(body) : 0,
					 .max_body = ANSWER_MAX,
					 .timeout_ms = 20000};
	struct json_object *obj;
	struct err err;

	net_answer_clear(&w->answer);
	http_request_start(w->client, &spec, net_on_answer, &w->answer);
	net_run_until(&w->loop, &w->answer.came);
	assert_int_equal(w->answer.error, 0);
	assert_int_equal(w->answer.status, status);
	if (js_parse(w->answer.body, w->answer.n_body, &obj, &err))
		fail_msg("%s", err.msg);
	return obj;
}

static void all_nodes_of_a_profile_are_shown_by_name(void **state)
{
	CLEANUP(js_putp)
	struct json_object *view = ask(*state, "GET", "/v1/profiles/a", NULL, 200);
	struct json_object *nodes = js_array(view, "nodes"), *first = js_item(nodes, 0);

	assert_int_equal(js_len(nodes), 3);
	assert_string_equal(js_str(first, "name"), "n0");
	assert_string_equal(js_str(first, "state"), "Loaded");
	assert_string_equal(js_str(first, "holds"), fleet_revision("a"));
	assert_string_equal(js_str(first, "told"), fleet_revision("a"));
	assert_true(js_bool(first, "selected", false));
	assert_string_equal(js_str(js_item(nodes, 2), "name"), "n2");
	assert_string_equal(js_str(view, "status.nodesReady"), "3/3");
	assert_null(js_array(view, "status.nodes"));
	assert_int_equal(js_i64(view, "status.nodesOmitted", -1), -1);
}

static void a_failure_is_shown_from_each_side(void **state)
{
	CLEANUP(js_putp) struct json_object *profile = NULL, *node = NULL, *nodes = NULL;
	struct json_object *p;

	fleet_agent("n1")->trouble = SYNC_REASON_DISK_FULL;
	fleet_apply("a", "y", "");
	fleet_wait(2);
	profile = ask(*state, "GET", "/v1/profiles/a", NULL, 200);
	p = js_item(js_array(profile, "nodes"), 1);
	assert_string_equal(js_str(p, "state"), "Failed");
	assert_string_equal(js_str(p, "reason"), "DiskFull");
	node = ask(*state, "GET", "/v1/nodes/n1", NULL, 200);
	assert_string_equal(js_str(node, "agent"), "Connected");
	p = js_item(js_array(node, "profiles"), 0);
	assert_string_equal(js_str(p, "name"), "a");
	assert_string_equal(js_str(p, "profileName"), "a");
	assert_string_equal(js_str(p, "reason"), "DiskFull");
	nodes = ask(*state, "GET", "/v1/nodes", NULL, 200);
	assert_int_equal(js_len(js_array(nodes, "nodes")), 3);
	p = js_item(js_array(nodes, "nodes"), 1);
	assert_int_equal(js_i64(p, "profiles.failed", -1), 1);
	assert_int_equal(js_i64(p, "profiles.desired", -1), 1);
	assert_int_equal(js_i64(js_item(js_array(nodes, "nodes"), 0), "profiles.loaded", -1), 1);
}

/* An agent knows of no object; what one asks for there is no orphan, even where it cannot be told.
 */
static void what_an_object_asks_for_is_no_orphan(void **state)
{
	const char *names[] = {"a", "z"};
	struct sync_request req = {.protocol = SYNC_PROTOCOL, .has_report = true};
	CLEANUP(js_putp) struct json_object *obj = NULL;
	size_t i;

	req.agent_version = mem_strdup("test");
	req.kernel_release = mem_strdup("6.1");
	req.boot_id = mem_strdup("b");
	memset(req.report_hash, '7', SHA256_HEX - 1);
	req.report.apparmor_enabled = true;
	req.report.apparmor_reason = mem_strdup("");
	req.report.items = mem_alloc(2, sizeof(*req.report.items));
	for (i = req.report.n = 0; i < 2; i++) {
		struct sync_status *s = &req.report.items[req.report.n++];

		s->name = mem_strdup(names[i]);
		s->uid = mem_strdup("");
		s->message = mem_strdup("");
		s->kernel_mode = mem_strdup("enforce");
		s->state = SYNC_STATE_ORPHAN;
	}
	assert_int_equal(engine_agent_heard(fleet.engine, "n0",
					    engine_node(fleet.engine, "n0")->uid, &req,
					    fleet.now_ms),
			 REPORT_TAKEN);
	sync_request_clear(&req);
	obj = ask(*state, "GET", "/v1/nodes/n0", NULL, 200);
	assert_string_equal(js_print(js_array(obj, "orphans"), NULL), "[\"z\"]");
}

static void an_agent_that_is_away_and_a_node_without_one_are_told_apart(void **state)
{
	CLEANUP(js_putp) struct json_object *view = NULL;
	struct json_object *nodes;

	fleet_agent("n0")->away = true;
	fleet_agent("n1")->no_apparmor = true;
	fleet_report(fleet_agent("n1"));
	fleet_wait(200);
	fleet_join("n5", "\"hauberk.dev/exclude\":\"\"");
	fleet_wait(1);
	view = ask(*state, "GET", "/v1/nodes", NULL, 200);
	nodes = js_array(view, "nodes");
	assert_string_equal(js_str(js_item(nodes, 0), "agent"), "Away");
	assert_string_equal(js_str(js_item(nodes, 1), "reason"), "AppArmorOff");
	assert_string_equal(js_str(js_item(nodes, 2), "agent"), "Connected");
	assert_string_equal(js_str(js_item(nodes, 3), "agent"), "None");
}

static void a_plan_is_made_of_what_is_posted_and_changes_nothing(void **state)
{
	CLEANUP(js_putp)
	struct json_object *plan =
	    ask(*state, "POST", "/v1/plan",
		"{\"apiVersion\":\"hauberk.dev/v1alpha1\",\"kind\":\"AppArmorProfile\","
		"\"metadata\":{\"name\":\"a\"},\"spec\":{\"policy\":\"y\"}}",
		200);
	CLEANUP(js_putp) struct json_object *bad = NULL, *worse = NULL;

	assert_string_equal(js_str(plan, "text.then"), "y");
	assert_int_equal(js_len(js_array(plan, "nodes")), 3);
	bad = ask(*state, "POST", "/v1/plan", "{\"kind\":", 400);
	worse = ask(*state, "POST", "/v1/plan", "{\"kind\":\"Pod\"}", 400);
	assert_non_null(js_str(bad, "message"));
	assert_non_null(strstr(js_str(worse, "message"), "no AppArmorProfile"));
	fleet_wait(2);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

static void what_is_not_there_is_404_with_a_sentence(void **state)
{
	static const struct {
		const char *method, *path;
		int status;
		const char *why;
	} cases[] = {
	    {"GET", "/v1/profiles/b", 404, "there is no AppArmorProfile b"},
	    {"GET", "/v1/nodes/n9", 404, "there is no node n9"},
	    {"GET", "/v1/nodes/", 404, "there is /v1/profiles/NAME"},
	    {"GET", "/v1/profiles/a/b", 404, "there is /v1/profiles/NAME"},
	    {"GET", "/v1/profiles", 404, "there is /v1/profiles/NAME"},
	    {"GET", "/", 404, "there is /v1/profiles/NAME"},
	    {"DELETE", "/v1/profiles/a", 405, "nothing can be changed here"},
	    {"GET", "/v1/plan", 405, "nothing can be changed here"},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(js_putp)
		struct json_object *obj =
		    ask(*state, cases[i].method, cases[i].path, NULL, cases[i].status);

		if (!strstr(js_str_or_empty(obj, "message"), cases[i].why))
			assert_string_equal(js_str(obj, "message"), cases[i].why);
	}
}

static void a_replica_that_does_not_lead_names_the_one_that_does(void **state)
{
	struct world *w = *state;
	CLEANUP(js_putp) struct json_object *obj = NULL;

	w->leads = false;
	obj = ask(w, "GET", "/v1/nodes", NULL, 503);
	assert_string_equal(js_str(obj, "leader"), "pod-b@10.0.0.2:8443");
	assert_string_equal(js_str(obj, "message"), "this replica of the controller does not lead");
}

static void only_loopback_is_listened_on(void **state)
{
	static const char *const others[] = {"0.0.0.0:8082", "10.0.0.1:8082", "[::]:8082"};
	struct world *w = *state;
	struct view_server_spec spec = {
	    .engine = fleet.engine, .leads = leads, .leader = leader, .data = w};
	struct view_server *server;
	struct err err;
	size_t i;

	for (i = 0; i < 3; i++) {
		spec.listen = others[i];
		assert_int_equal(view_server_new(&w->loop, &spec, &server, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "is not a loopback address"));
	}
}

#define WORLD_TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(all_nodes_of_a_profile_are_shown_by_name),
	    WORLD_TEST(what_an_object_asks_for_is_no_orphan),
	    WORLD_TEST(a_failure_is_shown_from_each_side),
	    WORLD_TEST(an_agent_that_is_away_and_a_node_without_one_are_told_apart),
	    WORLD_TEST(a_plan_is_made_of_what_is_posted_and_changes_nothing),
	    WORLD_TEST(what_is_not_there_is_404_with_a_sentence),
	    WORLD_TEST(a_replica_that_does_not_lead_names_the_one_that_does),
	    WORLD_TEST(only_loopback_is_listened_on),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
