#include "fake_fleet.h"

#include "base/mem.h"
#include "base/str.h"
#include "kube/patch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Removals that a deletion did not wait for: they stand in the node's AppArmorNode, where another
 * leader finds them, and where a person may take one back. */

static int setup(void **state)
{
	(void)state;
	fleet_up(2);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fleet_down();
	return 0;
}

/* The list in the AppArmorNode of n0 is this: "x,y". */
static void noted(struct engine *engine, const char *names, bool is_new)
{
	struct pending_removal *list = mem_alloc(8, sizeof(*list));
	CLEANUP(mem_freep) char *copy = mem_strdup(names);
	char *save = NULL, *name;
	size_t n = 0;

	for (name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save))
		list[n++] =
		    (struct pending_removal){.profile = mem_strdup(name), .uid = mem_strdup(name)};
	engine_node_object_seen(engine, "n0", list, n, is_new);
}

/* The agent of n0 holds these, and was told of none: "x,y". */
static void orphans_reported(const char *names)
{
	struct sync_request req = {.protocol = SYNC_PROTOCOL, .has_report = true};
	CLEANUP(mem_freep) char *copy = mem_strdup(names);
	char *save = NULL, *name;

	req.agent_version = mem_strdup("test");
	req.kernel_release = mem_strdup("6.1");
	req.boot_id = mem_strdup("b");
	req.report.apparmor_enabled = true;
	req.report.apparmor_reason = mem_strdup("");
	req.report.items = mem_alloc(8, sizeof(struct sync_status));
	for (name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save))
		req.report.items[req.report.n++] = (struct sync_status){
		    .name = mem_strdup(name),
		    .uid = mem_strdup(""),
		    .message = mem_strdup(""),
		    .kernel_mode = mem_strdup("enforce"),
		    .state = SYNC_STATE_ORPHAN,
		};
	snprintf(req.report_hash, sizeof(req.report_hash), "%064lld", (long long)++fleet.version);
	engine_agent_heard(fleet.engine, "n0", "u-n0", &req, fleet.now_ms);
	sync_request_clear(&req);
	engine_run(fleet.engine, fleet.now_ms);
}

static bool is_told_absent(const char *name)
{
	CLEANUP(mem_freep) char *item = mem_printf("{\"name\":\"%s\"", name);
	const char *text = engine_node(fleet.engine, "n0")->set->text;
	const char *at = strstr(text, item);

	return at && strstr(at, "absent");
}

static void a_removal_that_a_person_takes_back_is_not_told(void **state)
{
	(void)state;
	orphans_reported("x,y");
	noted(fleet.engine, "x,y", true);
	engine_run(fleet.engine, fleet.now_ms);
	assert_true(is_told_absent("x"));
	assert_true(is_told_absent("y"));
	noted(fleet.engine, "y", false);
	engine_run(fleet.engine, fleet.now_ms);
	assert_false(is_told_absent("x"));
	assert_true(is_told_absent("y"));
	noted(fleet.engine, "", false);
	engine_run(fleet.engine, fleet.now_ms);
	assert_false(is_told_absent("y"));
}

static void whoever_stood_by_knows_the_list_as_it_is_now(void **state)
{
	(void)state;
	fleet_stand_by();
	noted(fleet.standby, "w,x", true);
	noted(fleet.standby, "x,y", false);
	fleet_agent("n0")->away = true; /* until it says what it holds */
	fleet_take_over();
	orphans_reported("w,x,y");
	assert_false(is_told_absent("w"));
	assert_true(is_told_absent("x"));
	assert_true(is_told_absent("y"));
	assert_int_equal(engine_node(fleet.engine, "n0")->n_removals, 2);
}

static void an_object_that_appears_late_takes_nothing_away(void **state)
{
	(void)state;
	orphans_reported("x,y");
	noted(fleet.engine, "x", true);
	noted(fleet.engine, "", true);
	noted(fleet.engine, "x,y", true);
	assert_int_equal(engine_node(fleet.engine, "n0")->n_removals, 2);
}

/* What is written at that moment has the former list in it. */
static void a_change_under_a_write_is_written_after_it(void **state)
{
	struct node *node = engine_node(fleet.engine, "n0");

	(void)state;
	assert_true(node->facts_writing);
	noted(fleet.engine, "x", false);
	assert_true(node->facts_dirty);
	engine_node_written(fleet.engine, "n0", true, fleet.now_ms);
	engine_run(fleet.engine, fleet.now_ms);
	assert_true(node->facts_writing);
	assert_false(node->facts_dirty);
}

static void fill_the_list(struct engine *engine, const char *node)
{
	struct pending_removal *list = mem_alloc(SYNC_ITEMS_MAX, sizeof(*list));
	int i;

	for (i = 0; i < SYNC_ITEMS_MAX; i++)
		list[i] = (struct pending_removal){.profile = mem_printf("p%d", i),
						   .uid = mem_printf("u%d", i)};
	engine_node_object_seen(engine, node, list, SYNC_ITEMS_MAX, true);
}

static void delete_profile(const char *name)
{
	struct json_object *patch, *obj;
	const char *text = "{\"metadata\":{\"deletionTimestamp\":\"2000-01-01T00:00:09Z\"}}";
	struct err err;

	assert_int_equal(js_parse(text, strlen(text), &patch, &err), 0);
	obj = merge_patch_apply(map_get(&fleet.objects, name), patch);
	engine_profile_seen(fleet.engine, obj, fleet.now_ms);
	json_object_put(map_put(&fleet.objects, name, obj));
	json_object_put(patch);
	engine_run(fleet.engine, fleet.now_ms);
	engine_terminating(fleet.engine, name, false);
	fleet_settle();
}

static bool is_let_go(const char *name)
{
	return js_len(js_array(map_get(&fleet.objects, name), "metadata.finalizers")) == 0;
}

/* To forget the oldest would leave its profile on that node for ever. */
static void where_a_list_is_full_a_deletion_waits_and_says_so(void **state)
{
	struct node *node = engine_node(fleet.engine, "n1");
	struct json_object *status;

	(void)state;
	fleet_apply("a", "x", "");
	fleet_wait(5);
	fleet_agent("n1")->away = true;
	fleet_wait(200);
	engine_node_ready(fleet.engine, "n1", false);
	fill_the_list(fleet.engine, "n1");
	delete_profile("a");
	assert_int_equal(node->n_removals, SYNC_ITEMS_MAX);
	assert_string_equal(node->removals[0].profile, "p0");
	assert_false(is_let_go("a"));
	status = engine_status(fleet.engine, engine_profile(fleet.engine, "a"), 10, fleet.now_ms);
	assert_non_null(strstr(js_str(js_item(js_array(status, "conditions"), 0), "message"),
			       "n1 (1024 removals are pending there already)"));
	json_object_put(status);
}

/* A former leader told its agent and died before there was an AppArmorNode. */
static void a_deletion_waits_for_nodes_that_a_new_leader_has_not_heard(void **state)
{
	(void)state;
	fleet_apply("a", "x", "");
	fleet_wait(5);
	fleet_agent("n1")->away = true;
	fleet_kill_controller();
	delete_profile("a");
	fleet_wait(100);
	assert_false(is_let_go("a"));
	fleet_agent("n1")->away = false;
	fleet_report(fleet_agent("n1"));
	fleet_settle();
	assert_true(is_let_go("a"));
	assert_int_equal(fleet_agent("n1")->holds.n, 0);
}

static void a_deletion_does_not_wait_for_agents_that_never_were(void **state)
{
	(void)state;
	fleet_join("bare", "");
	fleet_agent("bare")->away = true;
	fleet_apply("a", "x", "");
	fleet_apply("b", "x", "");
	fleet_wait(5);
	delete_profile("a");
	fleet_settle();
	assert_true(is_let_go("a"));
	fleet_kill_controller();
	delete_profile("b");
	fleet_wait(140);
	assert_false(is_let_go("b"));
	fleet_wait(20);
	assert_true(is_let_go("b"));
}

int main(void)
{
#define T(f_) cmocka_unit_test_setup_teardown(f_, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_removal_that_a_person_takes_back_is_not_told),
	    T(whoever_stood_by_knows_the_list_as_it_is_now),
	    T(an_object_that_appears_late_takes_nothing_away),
	    T(a_change_under_a_write_is_written_after_it),
	    T(where_a_list_is_full_a_deletion_waits_and_says_so),
	    T(a_deletion_waits_for_nodes_that_a_new_leader_has_not_heard),
	    T(a_deletion_does_not_wait_for_agents_that_never_were),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
