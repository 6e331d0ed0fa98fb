#include "kube/patch.h"

#include "kube/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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

static void a_patch_is_applied_as_the_rfc_says(void **state)
{
	/* RFC 7386, appendix A, in its order. */
	static const struct {
		const char *target, *patch, *result;
	} cases[] = {
	    {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
	    {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
	    {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
	    {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
	    {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
	    {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
	    {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
	    {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
	    {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
	    {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
	    {"{\"a\":\"foo\"}", "null", "null"},
	    {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
	    {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
	    {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
	    {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *target = json(cases[i].target);
		struct json_object *patch = json(cases[i].patch);
		struct json_object *result = merge_patch_apply(target, patch);

		assert_string_equal(js_print(result, NULL), cases[i].result);
		assert_string_equal(js_print(patch, NULL), cases[i].patch);
		json_object_put(result);
		json_object_put(patch);
		json_object_put(target);
	}
}

static void the_difference_holds_what_changed_and_no_more(void **state)
{
	static const struct {
		const char *from, *to, *patch; /* NULL: nothing to do */
	} cases[] = {
	    {"{}", "{}", NULL},
	    {"{\"a\":1,\"b\":{\"c\":[1]}}", "{\"b\":{\"c\":[1]},\"a\":1}", NULL},
	    {"{\"a\":1}", "{\"a\":2}", "{\"a\":2}"},
	    {"{\"a\":1,\"b\":2}", "{\"a\":1}", "{\"b\":null}"},
	    {"{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1,\"c\":3}}", "{\"a\":{\"c\":3}}"},
	    {"{\"a\":[1,2]}", "{\"a\":[1]}", "{\"a\":[1]}"},
	    {"{\"a\":{\"b\":1}}", "{\"a\":{}}", "{\"a\":{\"b\":null}}"},
	    {"{\"a\":{\"b\":1}}", "{\"a\":5}", "{\"a\":5}"},
	    {"{\"a\":5}", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}"},
	    {"{}", "{\"a\":{}}", "{\"a\":{}}"},
	    {"{\"a\":1}", "{\"a\":null}", "{\"a\":null}"},
	    {"{}", "{\"a\":null}", NULL},
	    {"{}", "{\"a\":{\"b\":null}}", "{\"a\":{}}"},
	    {"{\"a\":null}", "{}", NULL},
	    {"{\"a\":1}", "{\"a\":1.5}", "{\"a\":1.5}"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *from = json(cases[i].from);
		struct json_object *to = json(cases[i].to);
		struct json_object *patch = merge_patch_diff(from, to);

		if (cases[i].patch)
			assert_string_equal(js_print(patch, NULL), cases[i].patch);
		else
			assert_null(patch);
		json_object_put(patch);
		json_object_put(to);
		json_object_put(from);
	}
}

static void from_nothing_everything_is_new(void **state)
{
	struct json_object *to = json("{\"a\":{\"b\":1}}");
	struct json_object *patch = merge_patch_diff(NULL, to);

	(void)state;
	assert_string_equal(js_print(patch, NULL), "{\"a\":{\"b\":1}}");
	json_object_put(patch);
	json_object_put(to);
}

static void a_query_escapes_what_has_a_meaning_in_it(void **state)
{
	struct buf query = BUF_INIT(1000);

	(void)state;
	kube_query_add(&query, "a", NULL);
	kube_query_add(&query, "b", "");
	kube_query_add(&query, "labelSelector", "app in (x,y),!z=\xc3\xa4&%");
	kube_query_add(&query, "limit", "500");
	assert_string_equal(buf_text(&query),
			    "labelSelector=app%20in%20%28x%2Cy%29%2C%21z%3D%C3%A4%26%25&limit=500");
	buf_clear(&query);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_patch_is_applied_as_the_rfc_says),
	    cmocka_unit_test(the_difference_holds_what_changed_and_no_more),
	    cmocka_unit_test(from_nothing_everything_is_new),
	    cmocka_unit_test(a_query_escapes_what_has_a_meaning_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
