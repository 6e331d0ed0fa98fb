#include "cli/status.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct json_object *json(const char *text)
{
	struct json_object *obj;
	struct err err;

	if (js_parse(text, strlen(text), &obj, &err))
		fail_msg("%s: %s", text, err.msg);
	return obj;
}

#define READY(status_, reason_, message_)                                                  \
	"\"conditions\":[{\"type\":\"Accepted\",\"status\":\"True\"},{\"type\":\"Ready\"," \
	"\"status\":\"" status_ "\",\"reason\":\"" reason_ "\",\"message\":\"" message_ "\"}]"

static void a_profile_is_ready_only_where_the_newest_change_was_seen(void **state)
{
	static const struct {
		const char *aap;
		bool ready;
		const char *word, *message;
	} cases[] = {
	    {"{\"metadata\":{\"generation\":2},\"status\":{\"observedGeneration\":2," READY(
		 "True", "RolloutComplete", "2 of 2 nodes hold revision 0123456789ab") "}}",
	     true, "Ready", ""},
	    {"{\"metadata\":{\"generation\":2},\"status\":{\"observedGeneration\":2," READY(
		 "True", "NoMatchingNodes", "no node matches") "}}",
	     true, "Ready", "no node matches"},
	    {"{\"metadata\":{\"generation\":2},\"status\":{\"observedGeneration\":2," READY(
		 "False", "InvalidPolicy", "line 3: syntax error") "}}",
	     false, "NotReady", "line 3: syntax error"},
	    {"{\"metadata\":{\"generation\":3},\"status\":{\"observedGeneration\":2," READY(
		 "True", "RolloutComplete", "") "}}",
	     false, "Unknown",
	     "the controller has not come to the newest change yet (generation 3, seen 2)"},
	    {"{\"metadata\":{\"generation\":1},\"status\":{\"observedGeneration\":-1}}", false,
	     "Unknown",
	     "the controller has not seen it yet; if that lasts, the controller is not running"},
	    {"{\"metadata\":{\"generation\":1}}", false, "Unknown",
	     "the controller has not seen it yet; if that lasts, the controller is not running"},
	    {"{\"metadata\":{\"generation\":2,\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"},"
	     "\"status\":{\"observedGeneration\":2," READY("True", "RolloutComplete", "") "}}",
	     false, "Deleting", ""},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *aap = json(cases[i].aap);
		struct status_view view;

		status_view(aap, &view);
		assert_int_equal(view.ready, cases[i].ready);
		assert_string_equal(view.state, cases[i].word);
		assert_string_equal(view.message, cases[i].message);
		free(view.message);
		json_object_put(aap);
	}
}

static const char two_nodes[] =
    "{\"metadata\":{\"name\":\"web\",\"generation\":1},\"spec\":{\"mode\":\"Enforce\"},"
    "\"status\":{\"observedGeneration\":1,\"nodesReady\":\"1/2\",\"readyNodes\":1,"
    "\"desiredNodes\":2,\"updateRevision\":\"0123456789ab\",\"nodesOmitted\":7," READY(
	"False", "NodesFailed", "n1: NameConflict") ",\"nodes\":["
						    "{\"name\":\"n1\",\"state\":\"Failed\","
						    "\"reason\":\"NameConflict\",\"message\":"
						    "\"loaded by somebody else\"},"
						    "{\"name\":\"n2\",\"state\":\"Loaded\","
						    "\"revision\":\"0123456789ab\"}]}}";

static void each_node_has_a_row_below_its_profile(void **state)
{
	struct json_object *aap = json(two_nodes);
	struct table t;
	char *text;

	(void)state;
	status_table_init(&t);
	status_table_add(&t, aap);
	text = table_text(&t);
	assert_string_equal(
	    text, "NAME         STATE      NODES   REVISION       REASON         MESSAGE\n"
		  "web          NotReady   1/2     0123456789ab   NodesFailed    n1: NameConflict\n"
		  "  n1         Failed     -       -              NameConflict   loaded by "
		  "somebody else\n"
		  "  n2         Loaded     -       0123456789ab   -\n"
		  "  (7 more)   -          -       -              -              kubectl hauberk "
		  "nodes --profile web lists all\n");
	free(text);
	table_deinit(&t);
	json_object_put(aap);
}

static void programs_get_the_same_and_the_nodes_as_they_are(void **state)
{
	struct json_object *aap = json(two_nodes);
	struct json_object *obj = status_json(aap);

	(void)state;
	assert_string_equal(js_str(obj, "name"), "web");
	assert_string_equal(js_str(obj, "profileName"), "web");
	assert_false(js_bool(obj, "ready", true));
	assert_string_equal(js_str(obj, "reason"), "NodesFailed");
	assert_int_equal(js_i64(obj, "readyNodes", -1), 1);
	assert_int_equal(js_len(js_array(obj, "nodes")), 2);
	assert_int_equal(js_i64(obj, "nodesOmitted", -1), 7);
	json_object_put(obj);
	json_object_put(aap);
}

static void an_object_of_another_shape_is_no_danger(void **state)
{
	static const char *const cases[] = {
	    "{}",
	    "{\"metadata\":3,\"status\":[],\"spec\":\"x\"}",
	    ("{\"status\":{\"conditions\":[null,1,{\"type\":\"Ready\"}],\"nodes\":[null,2,{}],"
	     "\"observedGeneration\":1}}"),
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *aap = json(cases[i]);
		struct json_object *obj = status_json(aap);
		struct table t;
		char *text;

		status_table_init(&t);
		status_table_add(&t, aap);
		text = table_text(&t);
		assert_non_null(text);
		free(text);
		table_deinit(&t);
		json_object_put(obj);
		json_object_put(aap);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_profile_is_ready_only_where_the_newest_change_was_seen),
	    cmocka_unit_test(each_node_has_a_row_below_its_profile),
	    cmocka_unit_test(programs_get_the_same_and_the_nodes_as_they_are),
	    cmocka_unit_test(an_object_of_another_shape_is_no_danger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
