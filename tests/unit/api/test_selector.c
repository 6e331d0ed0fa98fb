#include "api/selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct json_object *parse(const char *text)
{
	struct json_object *obj = NULL;
	struct err err;

	if (*text && js_parse(text, strlen(text), &obj, &err) < 0)
		fail_msg("%s", err.msg);
	return obj;
}

static void selects_as_kubernetes_does(void **state)
{
	static const struct {
		const char *selector;
		const char *labels;
		bool matches;
	} cases[] = {
	    {"", "", true},
	    {"", "{\"a\":\"1\"}", true},
	    {"{}", "{\"a\":\"1\"}", true},
	    {"{\"matchLabels\":{\"a\":\"1\"}}", "{\"a\":\"1\"}", true},
	    {"{\"matchLabels\":{\"a\":\"1\"}}", "{\"a\":\"2\"}", false},
	    {"{\"matchLabels\":{\"a\":\"1\"}}", "", false},
	    {"{\"matchLabels\":{\"a\":\"1\",\"b\":\"2\"}}", "{\"a\":\"1\"}", false},
	    {"{\"matchLabels\":{\"k8s.io/a.b\":\"\"}}", "{\"k8s.io/a.b\":\"\"}", true},
	    {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"1\",\"2\"]}]"
	     "}",
	     "{\"a\":\"2\"}", true},
	    {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"1\"]}]}",
	     "{\"b\":\"1\"}", false},
	    {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"NotIn\",\"values\":[\"1\"]}]}",
	     "{\"a\":\"1\"}", false},
	    {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"NotIn\",\"values\":[\"1\"]}]}",
	     "", true},
	    {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\"}]}", "{\"a\":\"\"}",
	     true},
	    {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\"}]}", "{}", false},
	    {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"DoesNotExist\"}]}", "{}", true},
	    {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"DoesNotExist\"}]}",
	     "{\"a\":\"1\"}", false},
	    {"{\"matchLabels\":{\"a\":\"1\"},\"matchExpressions\":[{\"key\":\"b\",\"operator\":"
	     "\"Exists\"}]}",
	     "{\"a\":\"1\"}", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *obj = parse(cases[i].selector);
		struct json_object *labels = parse(cases[i].labels);
		struct selector s;
		struct err err;

		assert_int_equal(selector_parse(obj, &s, &err), 0);
		if (selector_matches(&s, labels) != cases[i].matches)
			fail_msg("case %zu: %s on %s", i, cases[i].selector, cases[i].labels);
		selector_clear(&s);
		json_object_put(obj);
		json_object_put(labels);
	}
}

static void an_operator_that_is_not_known_is_refused_by_name(void **state)
{
	struct json_object *obj = parse(
	    "{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Gt\",\"values\":[\"1\"]}]}");
	struct selector s;
	struct err err;

	(void)state;
	assert_int_equal(selector_parse(obj, &s, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "Gt"));
	json_object_put(obj);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(selects_as_kubernetes_does),
	    cmocka_unit_test(an_operator_that_is_not_known_is_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
