#include "controller/engine_preview.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "fake_fleet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STEPS                                                                             \
	",\"rollout\":{\"maxUnavailable\":2,\"steps\":[{\"nodes\":1,\"soakSeconds\":60}," \
	"{\"nodes\":\"50%\",\"soakSeconds\":0}]}"

#define ZONES ",\"rollout\":{\"maxUnavailable\":1}"
#define ONE_BY_ONE                                                                        \
	",\"rollout\":{\"maxUnavailable\":1,\"steps\":[{\"nodes\":1,\"soakSeconds\":60}," \
	"{\"nodes\":\"50%\",\"soakSeconds\":0}]}"

static int teardown(void **state)
{
	(void)state;
	fleet_down();
	return 0;
}

static struct json_object *manifest(const char *name, const char *policy, const char *more)
{
	CLEANUP(mem_freep)
	char *text = mem_printf("{\"apiVersion\":\"hauberk.dev/v1alpha1\",\"kind\":"
				"\"AppArmorProfile\",\"metadata\":{\"name\":\"%s\"},\"spec\":{"
				"\"policy\":\"%s\"%s}}",
				name, policy, more);
	struct json_object *obj;
	struct err err;

	if (js_parse(text, strlen(text), &obj, &err))
		fail_msg("%s", err.msg);
	return obj;
}

static struct json_object *plan(const char *name, const char *policy, const char *more)
{
	CLEANUP(js_putp) struct json_object *obj = manifest(name, policy, more);
	struct json_object *ret;
	struct profile p;
	struct err err;

	if (engine_preview_parse(fleet.engine, obj, &p, &err))
		fail_msg("%s", err.msg);
	ret = engine_plan_preview(fleet.engine, &p, fleet.now_ms);
	profile_clear(&p);
	return ret;
}

static void installed(size_t n)
{
	fleet_up(n);
	fleet_apply("a", "x", "");
	fleet_wait(2);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
	buf_clear(&fleet.told);
}

static struct json_object *row(struct json_object *p, size_t i)
{
	return js_item(js_array(p, "nodes"), i);
}

static size_t count(struct json_object *p, const char *key, const char *value)
{
	struct json_object *nodes = js_array(p, "nodes");
	size_t n = 0, i;

	for (i = 0; i < js_len(nodes); i++) {
		struct json_object *field = js_get(js_item(nodes, i), key);

		n += field && str_equal(json_object_get_string(field), value);
	}
	return n;
}

/* "y" is applied with the rollout that the preview was given. */
static void assert_told_as_foreseen(struct json_object *p, const char *rollout)
{
	struct json_object *nodes = js_array(p, "nodes");
	struct buf expected = BUF_INIT(4096);
	size_t i;

	fleet_apply("a", "y", rollout);
	fleet_wait(120);
	assert_string_equal(js_str(p, "revision.then"), fleet_revision("a"));
	for (i = 0; i < js_len(nodes); i++)
		buf_addf(&expected, "%s=%s ", js_str(row(p, i), "name"), fleet_revision("a"));
	assert_string_equal(buf_text(&fleet.told), buf_text(&expected));
	buf_clear(&expected);
}

static void the_preview_names_the_very_nodes_that_are_told_and_when(void **state)
{
	CLEANUP(js_putp) struct json_object *p = NULL;

	(void)state;
	installed(8);
	p = plan("a", "y", ONE_BY_ONE);
	assert_int_equal(js_i64(p, "desired", 0), 8);
	assert_int_equal(js_i64(p, "atOnce", 0), 1);
	assert_int_equal(count(p, "step", "1"), 1);
	assert_int_equal(count(p, "step", "2"), 3);
	assert_int_equal(count(p, "step", "3"), 4);
	assert_int_equal(count(p, "action", "update"), 8);
	assert_told_as_foreseen(p, ONE_BY_ONE);
}

static void after_the_steps_it_goes_zone_by_zone(void **state)
{
	CLEANUP(js_putp) struct json_object *p = NULL;
	static const char *const zones[] = {"b", "a", "b", "a"};
	char name[8], label[64];
	size_t i;

	(void)state;
	fleet_up(2);
	for (i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "z%zu", i);
		snprintf(label, sizeof(label), "\"topology.kubernetes.io/zone\":\"%s\"", zones[i]);
		fleet_join(name, label);
	}
	fleet_apply("a", "x", "");
	fleet_wait(2);
	buf_clear(&fleet.told);
	p = plan("a", "y", ZONES);
	assert_string_equal(js_str(row(p, 0), "zone"), "a");
	assert_string_equal(js_str(row(p, 1), "zone"), "a");
	assert_string_equal(js_str(row(p, 3), "zone"), "b");
	assert_null(js_str(row(p, 4), "zone"));
	assert_told_as_foreseen(p, ZONES);
}

static void it_changes_nothing(void **state)
{
	(void)state;
	installed(3);
	json_object_put(plan("a", "y", STEPS));
	json_object_put(plan("b", "y", ""));
	assert_false(engine_has_work(fleet.engine));
	fleet_wait(700);
	assert_string_equal(buf_text(&fleet.told), "");
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
	assert_null(engine_profile(fleet.engine, "b"));
}

static void the_change_is_told_with_both_texts(void **state)
{
	CLEANUP(js_putp) struct json_object *p = NULL;

	(void)state;
	installed(1);
	p = plan("a", "y", ",\"mode\":\"Complain\"");
	assert_true(js_bool(p, "exists", false));
	assert_string_equal(js_str(p, "revision.now"), fleet_revision("a"));
	assert_string_not_equal(js_str(p, "revision.then"), fleet_revision("a"));
	assert_string_equal(js_str(p, "text.now"), "x");
	assert_string_equal(js_str(p, "text.then"), "y");
	assert_string_equal(js_str(p, "mode.now"), "Enforce");
	assert_string_equal(js_str(p, "mode.then"), "Complain");
	assert_null(js_str(p, "problem"));
	assert_null(js_str(p, "underWay"));
}

static void what_a_node_holds_already_is_left_alone(void **state)
{
	CLEANUP(js_putp) struct json_object *p = NULL;

	(void)state;
	installed(3);
	p = plan("a", "x", STEPS);
	assert_string_equal(js_str(p, "revision.then"), fleet_revision("a"));
	assert_int_equal(count(p, "action", "none"), 3);
}

static void a_first_install_goes_to_all_at_once_and_one_with_steps_has_no_order_yet(void **state)
{
	CLEANUP(js_putp) struct json_object *all = NULL, *steps = NULL, *slow = NULL;

	(void)state;
	fleet_up(4);
	/* A budget is for nodes that have something to lose. */
	slow = plan("a", "x", ",\"rollout\":{\"maxUnavailable\":1}");
	assert_int_equal(js_i64(slow, "atOnce", 0), 4);
	all = plan("a", "x", "");
	assert_false(js_bool(all, "exists", true));
	assert_null(js_str(all, "text.now"));
	assert_int_equal(js_i64(all, "atOnce", 0), 4);
	assert_int_equal(count(all, "action", "install"), 4);
	assert_int_equal(count(all, "step", "1"), 4);
	steps = plan("a", "x", STEPS);
	assert_false(js_bool(steps, "orderKnown", true));
	assert_int_equal(count(steps, "action", "install"), 4);
	assert_null(js_get(row(steps, 0), "step"));
}

static void nodes_that_cannot_be_told_and_those_left_out_are_named(void **state)
{
	CLEANUP(js_putp) struct json_object *p = NULL, *off = NULL;

	(void)state;
	installed(4);
	fleet_agent("n0")->no_apparmor = true;
	fleet_report(fleet_agent("n0"));
	fleet_agent("n1")->away = true;
	fleet_wait(200);
	fleet_join("n9", "\"zone\":\"here\"");
	fleet_wait(2);
	p = plan("a", "y", "");
	assert_int_equal(count(p, "reason", "AppArmorOff"), 1);
	assert_int_equal(count(p, "reason", "AgentAway"), 1);
	assert_int_equal(count(p, "action", "wait"), 2);
	assert_int_equal(count(p, "action", "update"), 3);
	off = plan("a", "y", ",\"state\":\"Disabled\"");
	assert_int_equal(js_i64(off, "desired", -1), 0);
	assert_int_equal(count(off, "action", "remove"), js_len(js_array(off, "nodes")));
	assert_true(count(off, "action", "remove") >= 3);
}

static void a_rollout_that_would_end_half_done_is_named(void **state)
{
	CLEANUP(js_putp) struct json_object *p = NULL;

	(void)state;
	installed(4);
	fleet_apply("a", "y", STEPS);
	fleet_wait(2);
	p = plan("a", "z", STEPS);
	assert_string_equal(js_str(p, "underWay"), fleet_revision("a"));
}

static void a_name_that_somebody_holds_is_a_problem(void **state)
{
	CLEANUP(js_putp) struct json_object *taken = NULL, *other = NULL;

	(void)state;
	installed(1);
	taken = plan("b", "x", ",\"profileName\":\"a\"");
	assert_non_null(strstr(js_str(taken, "problem"), "AppArmorProfile a is older"));
	other = plan("a", "x", ",\"profileName\":\"c\"");
	assert_non_null(strstr(js_str(other, "problem"), "the API server will refuse it"));
}

static void what_could_never_be_applied_is_refused_with_a_sentence(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {"{}", "this is no AppArmorProfile"},
	    {"[1]", "this is no AppArmorProfile"},
	    {"{\"apiVersion\":\"hauberk.dev/v1alpha1\",\"kind\":\"AppArmorProfile\",\"metadata\":"
	     "{\"name\":\"a\"}}",
	     "spec.policy is missing"},
	    {"{\"apiVersion\":\"hauberk.dev/v1alpha1\",\"kind\":\"AppArmorProfile\",\"metadata\":"
	     "{\"name\":\"unconfined\"},\"spec\":{\"policy\":\"x\"}}",
	     "unconfined"},
	    {"{\"apiVersion\":\"hauberk.dev/v1alpha1\",\"kind\":\"AppArmorProfile\",\"metadata\":"
	     "{\"name\":\"a\"},\"spec\":{\"policy\":\"\"}}",
	     "the policy is empty"},
	    {"{\"apiVersion\":\"hauberk.dev/v1alpha1\",\"kind\":\"AppArmorProfile\",\"metadata\":"
	     "{\"name\":\"a\"},\"spec\":{\"policy\":\"x\",\"rollout\":{\"maxUnavailable\":0}}}",
	     "maxUnavailable"},
	};
	size_t i;

	(void)state;
	fleet_up(1);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(js_putp) struct json_object *obj = NULL;
		struct profile p;
		struct err err;

		assert_int_equal(js_parse(cases[i].text, strlen(cases[i].text), &obj, &err), 0);
		assert_int_equal(engine_preview_parse(fleet.engine, obj, &p, &err), -EINVAL);
		if (!strstr(err.msg, cases[i].why))
			assert_string_equal(err.msg, cases[i].why);
	}
}

#define FLEET_TEST(name_) cmocka_unit_test_teardown(name_, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    FLEET_TEST(the_preview_names_the_very_nodes_that_are_told_and_when),
	    FLEET_TEST(after_the_steps_it_goes_zone_by_zone),
	    FLEET_TEST(it_changes_nothing),
	    FLEET_TEST(the_change_is_told_with_both_texts),
	    FLEET_TEST(what_a_node_holds_already_is_left_alone),
	    FLEET_TEST(a_first_install_goes_to_all_at_once_and_one_with_steps_has_no_order_yet),
	    FLEET_TEST(nodes_that_cannot_be_told_and_those_left_out_are_named),
	    FLEET_TEST(a_rollout_that_would_end_half_done_is_named),
	    FLEET_TEST(a_name_that_somebody_holds_is_a_problem),
	    FLEET_TEST(what_could_never_be_applied_is_refused_with_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
