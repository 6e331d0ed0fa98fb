#include "fake_fleet.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What Ready says where no node is desired, though nodes match. */

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

static void assert_ready(const char *status, const char *reason, const char *message)
{
	assert_string_equal(fleet_condition("a", "Ready", "status"), status);
	assert_string_equal(fleet_ready("a"), reason);
	assert_string_equal(fleet_condition("a", "Ready", "message"), message);
	assert_string_equal(fleet_condition("a", "Stalled", "status"), "False");
}

/* Its agent is silent and Kubernetes does not call it Ready. */
static void lose(const char *node)
{
	fleet_agent(node)->away = true;
	fleet_wait(200);
	engine_node_ready(fleet.engine, node, false);
	fleet_wait(5);
}

static void nodes_out_of_reach_are_not_called_no_match(void **state)
{
	(void)state;
	fleet_apply("a", "x", "");
	fleet_wait(5);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
	lose("n0");
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
	lose("n1");
	assert_ready("False", "RolloutInProgress",
		     "2 nodes match, and none can hold it now: 2 Unreachable, 0 Unsupported");
	assert_null(strstr(buf_text(&fleet.events), "NoMatchingNodes"));
	fleet_agent("n1")->away = false;
	fleet_report(fleet_agent("n1"));
	fleet_wait(5);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

static void nodes_without_apparmor_are_counted(void **state)
{
	(void)state;
	fleet_agent("n0")->no_apparmor = true;
	fleet_agent("n1")->no_apparmor = true;
	fleet_report(fleet_agent("n0"));
	fleet_report(fleet_agent("n1"));
	fleet_apply("a", "x", "");
	fleet_wait(5);
	assert_ready("True", "NoMatchingNodes",
		     "2 nodes match, and none can hold it now: 0 Unreachable, 2 Unsupported");
	lose("n1");
	assert_ready("False", "RolloutInProgress",
		     "2 nodes match, and none can hold it now: 1 Unreachable, 1 Unsupported");
}

static void a_selector_that_matches_nothing_says_so(void **state)
{
	(void)state;
	fleet_apply("a", "x", ",\"nodeSelector\":{\"matchLabels\":{\"disk\":\"none\"}}");
	fleet_wait(5);
	assert_ready("True", "NoMatchingNodes",
		     "no node matches spec.nodeSelector, so no kernel holds the profile");
}

static void what_somebody_else_changed_is_called_drifted(void **state)
{
	struct json_object *node;

	(void)state;
	fleet_apply("a", "x", "");
	fleet_wait(60);
	engine_node_written(fleet.engine, "n1", true, fleet.now_ms);
	fleet.n_node_writes = 0;
	fleet_agent("n1")->drifted = true;
	fleet_report(fleet_agent("n1"));
	fleet_settle();
	node = js_item(js_array(fleet_status("a"), "nodes"), 0);
	assert_string_equal(js_str(node, "name"), "n1");
	assert_string_equal(js_str(node, "state"), "Drifted");
	assert_string_equal(js_str(node, "reason"), "Changed");
	assert_string_equal(fleet_condition("a", "Ready", "status"), "False");
	assert_non_null(strstr(fleet_condition("a", "Ready", "message"),
			       "; somebody else changed or removed it on n1"));
	/* Its AppArmorNode says so, too, and once. */
	fleet_report(fleet_agent("n1"));
	fleet_settle();
	assert_int_equal(fleet.n_node_writes, 1);
	engine_node_written(fleet.engine, "n1", true, fleet.now_ms);
	fleet_agent("n1")->drifted = false;
	fleet_report(fleet_agent("n1"));
	fleet_wait(2);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
	assert_int_equal(fleet.n_node_writes, 2);
}

/* Whoever takes over in that moment does not take it for a node that was told nothing. */
static void a_drifted_node_is_known_to_a_new_leader(void **state)
{
	(void)state;
	fleet_apply("a", "x", ",\"rollout\":{\"maxUnavailable\":1}");
	fleet_wait(60);
	fleet_agent("n1")->drifted = true;
	fleet_report(fleet_agent("n1"));
	fleet_settle();
	fleet_kill_controller();
	fleet_wait(5);
	assert_string_equal(fleet_phase("a"), "Complete");
	assert_int_equal(engine_profile(fleet.engine, "a")->counts.by_state[NODE_DRIFTED], 1);
}

/* One judge, so that `kubectl hauberk lint` says of each text what status says. */
static void a_text_with_a_damaged_character_is_for_the_compiler_to_refuse(void **state)
{
	(void)state;
	fleet_apply("a", "broken \xef\xbf\xbd", "");
	fleet_wait(5);
	assert_true(fleet.n_compiled > 0);
	assert_string_equal(fleet_condition("a", "Accepted", "reason"), "ParseError");
}

int main(void)
{
#define T(f_) cmocka_unit_test_setup_teardown(f_, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(nodes_out_of_reach_are_not_called_no_match),
	    T(nodes_without_apparmor_are_counted),
	    T(a_selector_that_matches_nothing_says_so),
	    T(what_somebody_else_changed_is_called_drifted),
	    T(a_drifted_node_is_known_to_a_new_leader),
	    T(a_text_with_a_damaged_character_is_for_the_compiler_to_refuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
