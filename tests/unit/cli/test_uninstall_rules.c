#include "cli/uninstall.h"

#include "base/err.h"

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

static void only_our_finalizer_comes_off_and_only_from_what_was_read(void **state)
{
	static const struct {
		const char *obj, *patch; /* NULL: there is nothing to take off */
	} cases[] = {
	    {"{\"metadata\":{\"resourceVersion\":\"7\",\"finalizers\":[\"hauberk.dev/profile\"]}}",
	     "{\"metadata\":{\"finalizers\":[],\"resourceVersion\":\"7\"}}"},
	    {"{\"metadata\":{\"resourceVersion\":\"7\",\"finalizers\":[\"a.example/x\","
	     "\"hauberk.dev/profile\",\"b.example/y\"]}}",
	     "{\"metadata\":{\"finalizers\":[\"a.example/x\",\"b.example/y\"],\"resourceVersion\":"
	     "\"7\"}}"},
	    {"{\"metadata\":{\"resourceVersion\":\"7\",\"finalizers\":[\"a.example/x\"]}}", NULL},
	    {"{\"metadata\":{\"resourceVersion\":\"7\"}}", NULL},
	    {"{}", NULL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *obj = json(cases[i].obj);
		struct json_object *patch = uninstall_patch(obj);

		assert_int_equal(patch != NULL, cases[i].patch != NULL);
		if (patch)
			assert_string_equal(
			    json_object_to_json_string_ext(
				patch, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			    cases[i].patch);
		json_object_put(patch);
		json_object_put(obj);
	}
}

static void what_others_hold_is_named(void **state)
{
	struct json_object *obj =
	    json("{\"metadata\":{\"finalizers\":[\"a.example/x\",\"hauberk.dev/profile\","
		 "\"b.example/y\"]}}");
	char *held = uninstall_holders(obj);

	(void)state;
	assert_string_equal(held, "a.example/x, b.example/y");
	free(held);
	json_object_put(obj);
}

static void only_what_bears_our_label_is_ours(void **state)
{
	static const struct {
		const char *obj;
		bool ours;
	} cases[] = {
	    {"{\"metadata\":{\"labels\":{\"app.kubernetes.io/name\":\"hauberk\"}}}", true},
	    {"{\"metadata\":{\"labels\":{\"app.kubernetes.io/name\":\"hauberk2\"}}}", false},
	    {"{\"metadata\":{\"labels\":{\"app.kubernetes.io/part-of\":\"hauberk\"}}}", false},
	    {"{\"metadata\":{\"name\":\"hauberk-system\"}}", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *obj = json(cases[i].obj);

		assert_int_equal(uninstall_is_ours(obj), cases[i].ours);
		json_object_put(obj);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_our_finalizer_comes_off_and_only_from_what_was_read),
	    cmocka_unit_test(what_others_hold_is_named),
	    cmocka_unit_test(only_what_bears_our_label_is_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
