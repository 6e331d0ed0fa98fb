#include "controller/node_status.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/patch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FEATURES "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define T0 INT64_C(1700000000000) /* 2023-11-14T22:13:20Z */

static const struct node_facts full = {
    .kernel_release = "6.1.0-1-amd64",
    .agent_version = "0.1.0",
    .boot_id = "b1",
    .features = FEATURES,
    .apparmor = {.truth = NODE_TRUE},
    .agent = {.truth = NODE_TRUE},
    .drift = {.truth = NODE_TRUE, .message = "web: changed"},
    .has_exceptions = true,
};

static struct json_object *parse(const char *text)
{
	struct json_object *obj;
	struct err err;

	assert_int_equal(js_parse(text, strlen(text), &obj, &err), 0);
	return obj;
}

/* The object as it is once that status was written. */
static struct json_object *object_with(struct json_object *status)
{
	struct json_object *obj = parse("{\"metadata\":{\"name\":\"n1\",\"generation\":1}}");

	js_put(obj, "status", status);
	return obj;
}

static struct json_object *condition_of(struct json_object *object, const char *type)
{
	struct json_object *conditions = js_array(object, "status.conditions");
	size_t i;

	for (i = 0; i < js_len(conditions); i++)
		if (str_equal(js_str(js_item(conditions, i), "type"), type))
			return js_item(conditions, i);
	return NULL;
}

static void a_first_report_says_everything(void **state)
{
	CLEANUP(js_putp) struct json_object *status = node_status_make(NULL, &full, T0);
	CLEANUP(js_putp)
	struct json_object *expected = parse(
	    "{\"kernelRelease\":\"6.1.0-1-amd64\",\"agentVersion\":\"0.1.0\",\"bootID\":\"b1\","
	    "\"featureSet\":{\"id\":\"0123456789ab\",\"sha256\":\"" FEATURES "\"},"
	    "\"conditions\":[{\"type\":\"AppArmorEnabled\",\"status\":\"True\","
	    "\"observedGeneration\":1,\"lastTransitionTime\":\"2023-11-14T22:13:20Z\","
	    "\"reason\":\"Enabled\",\"message\":\"profiles can be loaded\"},"
	    "{\"type\":\"AgentConnected\",\"status\":\"True\",\"observedGeneration\":1,"
	    "\"lastTransitionTime\":\"2023-11-14T22:13:20Z\",\"reason\":\"Reporting\","
	    "\"message\":\"the agent is in touch with the controller\"},"
	    "{\"type\":\"Drifted\",\"status\":\"True\",\"observedGeneration\":1,"
	    "\"lastTransitionTime\":\"2023-11-14T22:13:20Z\",\"reason\":\"Changed\","
	    "\"message\":\"web: changed\"}]}");

	(void)state;
	if (!json_object_equal(status, expected))
		fail_msg("%s", js_print(status, NULL));
}

static void the_same_facts_later_differ_in_nothing(void **state)
{
	CLEANUP(js_putp)
	struct json_object *object = object_with(node_status_make(NULL, &full, T0));
	CLEANUP(js_putp)
	struct json_object *again = node_status_make(object, &full, T0 + 3600000);

	(void)state;
	assert_null(merge_patch_diff(js_object(object, "status"), again));
}

static void a_transition_has_a_time_and_a_new_reason_alone_has_none(void **state)
{
	CLEANUP(js_putp)
	struct json_object *object = object_with(node_status_make(NULL, &full, T0));
	struct node_facts facts = full;

	(void)state;
	facts.agent = (struct node_aspect){.truth = NODE_FALSE, .since_ms = T0 + 60000};
	js_put(object, "status", node_status_make(object, &facts, T0 + 360000));
	assert_string_equal(js_str(condition_of(object, "AgentConnected"), "status"), "False");
	assert_string_equal(js_str(condition_of(object, "AgentConnected"), "reason"), "Silent");
	assert_string_equal(js_str(condition_of(object, "AgentConnected"), "lastTransitionTime"),
			    "2023-11-14T22:14:20Z");
	assert_string_equal(js_str(condition_of(object, "AppArmorEnabled"), "lastTransitionTime"),
			    "2023-11-14T22:13:20Z");

	facts.apparmor.reason = "Usable";
	js_put(object, "status", node_status_make(object, &facts, T0 + 400000));
	assert_string_equal(js_str(condition_of(object, "AppArmorEnabled"), "reason"), "Usable");
	assert_string_equal(js_str(condition_of(object, "AppArmorEnabled"), "lastTransitionTime"),
			    "2023-11-14T22:13:20Z");
}

static void what_is_not_known_is_left_as_it_is(void **state)
{
	static const struct node_facts nothing = {0};
	CLEANUP(js_putp)
	struct json_object *object = object_with(node_status_make(NULL, &full, T0));
	CLEANUP(js_putp) struct json_object *same = node_status_make(object, &nothing, T0 + 1000);
	CLEANUP(js_putp)
	struct json_object *first = object_with(node_status_make(NULL, &nothing, T0));

	(void)state;
	assert_null(merge_patch_diff(js_object(object, "status"), same));
	assert_string_equal(js_str(condition_of(first, "AgentConnected"), "status"), "Unknown");
	assert_string_equal(js_str(condition_of(first, "AppArmorEnabled"), "status"), "Unknown");
	assert_null(js_at(first, "status.featureSet"));
}

static void what_others_wrote_is_kept(void **state)
{
	CLEANUP(js_putp)
	struct json_object *object =
	    parse("{\"metadata\":{\"generation\":3},\"status\":{\"later\":1,\"conditions\":["
		  "{\"type\":\"Later\",\"status\":\"True\",\"extra\":1}]}}");

	(void)state;
	js_put(object, "status", node_status_make(object, &full, T0));
	assert_int_equal(js_i64(object, "status.later", 0), 1);
	assert_int_equal(js_i64(condition_of(object, "Later"), "extra", 0), 1);
	assert_int_equal(js_i64(condition_of(object, "AgentConnected"), "observedGeneration", 0),
			 3);
	assert_int_equal(js_len(js_array(object, "status.conditions")), 4);
}

static void an_empty_text_takes_a_field_away(void **state)
{
	CLEANUP(js_putp)
	struct json_object *object = object_with(node_status_make(NULL, &full, T0));
	struct node_facts facts = full;

	(void)state;
	facts.features = "";
	facts.boot_id = "";
	js_put(object, "status", node_status_make(object, &facts, T0));
	assert_null(js_at(object, "status.featureSet"));
	assert_null(js_at(object, "status.bootID"));
	assert_string_equal(js_str(object, "status.agentVersion"), "0.1.0");
}

static void what_comes_from_outside_is_printable_and_bounded(void **state)
{
	char text[4097];
	struct node_exception exceptions[100];
	struct node_facts facts = full;
	CLEANUP(js_putp) struct json_object *status = NULL;
	struct json_object *first;
	size_t i;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	text[0] = '\n';
	for (i = 0; i < 100; i++)
		exceptions[i] = (struct node_exception){"Orphan", text, text};
	facts.kernel_release = facts.agent_version = facts.boot_id = text;
	facts.apparmor = (struct node_aspect){NODE_FALSE, "not a reason", text, 0};
	facts.exceptions = exceptions;
	facts.n_exceptions = 100;
	status = node_status_make(NULL, &facts, T0);
	assert_int_equal(strlen(js_str(status, "kernelRelease")), 128);
	assert_int_equal(js_str(status, "kernelRelease")[0], '?');
	assert_int_equal(strlen(js_str(status, "agentVersion")), 64);
	assert_int_equal(strlen(js_str(status, "bootID")), 64);
	first = js_item(js_array(status, "conditions"), 0);
	assert_string_equal(js_str(first, "reason"), "Disabled");
	assert_int_equal(strlen(js_str(first, "message")), 1024);
	assert_int_equal(js_len(js_array(status, "exceptions")), NODE_EXCEPTIONS_MAX);
	assert_int_equal(js_i64(status, "exceptionsOmitted", 0), 68);
	assert_int_equal(strlen(js_str(js_item(js_array(status, "exceptions"), 0), "profile")),
			 253);
}

static void exceptions_that_are_over_go(void **state)
{
	struct node_exception one = {"Orphan", "web", "kept"};
	struct node_facts facts = full;
	CLEANUP(js_putp) struct json_object *object = NULL;

	(void)state;
	facts.exceptions = &one;
	facts.n_exceptions = 1;
	object = object_with(node_status_make(NULL, &facts, T0));
	assert_int_equal(js_len(js_array(object, "status.exceptions")), 1);
	js_put(object, "status", node_status_make(object, &full, T0));
	assert_null(js_at(object, "status.exceptions"));
}

static void removals_are_written_once_a_uid_and_read_again(void **state)
{
	char *revisions[] = {(char *)"aaaaaaaaaaaa", (char *)"bbbbbbbbbbbb"};
	struct node_removal removals[] = {
	    {(char *)"web", (char *)"u1", revisions, 2},
	    {(char *)"web", (char *)"u1", revisions, 1}, /* the same object again */
	    {(char *)"db", (char *)"u2", NULL, 0},
	    {(char *)"", (char *)"u3", NULL, 0}, /* would be refused */
	};
	struct node_facts facts = full;
	CLEANUP(js_putp) struct json_object *object = NULL;
	struct node_removal *read;
	size_t n;

	(void)state;
	facts.removals = removals;
	facts.n_removals = 4;
	object = object_with(node_status_make(NULL, &facts, T0));
	n = node_removals_read(object, &read);
	assert_int_equal(n, 2);
	assert_string_equal(read[0].profile, "web");
	assert_string_equal(read[0].uid, "u1");
	assert_int_equal(read[0].n_revisions, 2);
	assert_string_equal(read[0].revisions[1], "bbbbbbbbbbbb");
	assert_string_equal(read[1].profile, "db");
	assert_int_equal(read[1].n_revisions, 0);
	node_removals_free(read, n);

	js_put(object, "status", node_status_make(object, &full, T0));
	assert_null(js_at(object, "status.pendingRemovals"));
}

static void removals_that_make_no_sense_are_not_read(void **state)
{
	static const char *const objects[] = {
	    "{}",
	    "{\"status\":{\"pendingRemovals\":{}}}",
	    "{\"status\":{\"pendingRemovals\":[1,null,{}]}}",
	    "{\"status\":{\"pendingRemovals\":[{\"profile\":\"a\"},{\"uid\":\"u\"}]}}",
	    "{\"status\":{\"pendingRemovals\":[{\"profile\":\"\",\"uid\":\"u\"}]}}",
	    "{\"status\":{\"pendingRemovals\":[{\"profile\":1,\"uid\":\"u\"}]}}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		CLEANUP(js_putp) struct json_object *object = parse(objects[i]);
		struct node_removal *read;
		size_t n = node_removals_read(object, &read);

		assert_int_equal(n, 0);
		node_removals_free(read, n);
	}
}

static void a_copy_of_facts_makes_the_same_status(void **state)
{
	char *revisions[] = {(char *)"aaaaaaaaaaaa"};
	struct node_removal removal = {(char *)"web", (char *)"u1", revisions, 1};
	struct node_exception one = {"Orphan", NULL, "kept"};
	struct node_facts facts = full;
	struct node_facts *copy;
	CLEANUP(js_putp) struct json_object *a = NULL;
	CLEANUP(js_putp) struct json_object *b = NULL;

	(void)state;
	facts.removals = &removal;
	facts.n_removals = 1;
	facts.exceptions = &one;
	facts.n_exceptions = 1;
	facts.agent.message = "so";
	copy = node_facts_copy(&facts);
	a = node_status_make(NULL, &facts, T0);
	b = node_status_make(NULL, copy, T0);
	assert_true(json_object_equal(a, b));
	node_facts_free(copy);
	node_facts_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_first_report_says_everything),
	    cmocka_unit_test(the_same_facts_later_differ_in_nothing),
	    cmocka_unit_test(a_transition_has_a_time_and_a_new_reason_alone_has_none),
	    cmocka_unit_test(what_is_not_known_is_left_as_it_is),
	    cmocka_unit_test(what_others_wrote_is_kept),
	    cmocka_unit_test(an_empty_text_takes_a_field_away),
	    cmocka_unit_test(what_comes_from_outside_is_printable_and_bounded),
	    cmocka_unit_test(exceptions_that_are_over_go),
	    cmocka_unit_test(removals_are_written_once_a_uid_and_read_again),
	    cmocka_unit_test(removals_that_make_no_sense_are_not_read),
	    cmocka_unit_test(a_copy_of_facts_makes_the_same_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
