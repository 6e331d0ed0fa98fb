#include "base/js.h"

#include "base/buf.h"
#include "base/mem.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct json_object **ret, struct err *err)
{
	return js_parse(text, strlen(text), ret, err);
}

static void a_value_is_the_whole_text(void **state)
{
	static const struct {
		const char *text, *words; /* NULL: taken */
	} cases[] = {
	    {"{}", NULL},           {" [1, 2] \r\n\t", NULL},
	    {"12", NULL},           {"\"x\"", NULL},
	    {"true", NULL},         {"null", NULL},
	    {"", "too early"},      {"   ", "too early"},
	    {"{", "too early"},     {"\"x", "too early"},
	    {"{} {}", "at byte 3"}, {"{}x", "at byte 2"},
	    {"12 13", "at byte 3"}, {"{\"a\": 1,}", "malformed"},
	    {"[1,]", "malformed"},  {"{a: 1}", "malformed"},
	    {"[01]", "malformed"},  {"// c\n{}", "malformed"},
	    {"\"\xff\"", "UTF-8"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *obj = NULL;
		struct err err;
		int r = parse(cases[i].text, &obj, &err);

		if (!cases[i].words && r)
			fail_msg("%s: %s", cases[i].text, err.msg);
		if (cases[i].words && !r)
			fail_msg("%s is taken", cases[i].text);
		if (cases[i].words && !strstr(err.msg, cases[i].words))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, err.msg,
				 cases[i].words);
		json_object_put(obj);
	}
}

static void a_nul_byte_in_the_text_is_no_end(void **state)
{
	struct json_object *obj;
	struct err err;

	(void)state;
	assert_int_equal(js_parse("{}\0", 3, &obj, &err), -EINVAL);
	assert_int_equal(js_parse("{\0}", 3, &obj, &err), -EINVAL);
	assert_int_equal(js_parse("12\0", 3, &obj, &err), -EINVAL);
}

static void depth_has_a_limit(void **state)
{
	struct json_object *obj;
	char text[400];
	struct err err;

	(void)state;
	memset(text, '[', 60);
	memset(text + 60, ']', 60);
	assert_int_equal(js_parse(text, 120, &obj, &err), 0);
	json_object_put(obj);
	memset(text, '[', 200);
	memset(text + 200, ']', 200);
	assert_int_equal(js_parse(text, 400, &obj, &err), -EINVAL);
}

static int parse_bounded(const char *text, size_t max_heap)
{
	struct json_object *obj = NULL;
	struct err err;
	int r = js_parse_bounded(text, strlen(text), max_heap, &obj, &err);

	json_object_put(obj);
	return r;
}

static void a_value_is_bounded_by_what_it_would_take(void **state)
{
	(void)state;
	assert_int_equal(parse_bounded("{}", 1000), 0);
	assert_int_equal(parse_bounded("{}", 900), -EFBIG);
	assert_int_equal(parse_bounded("[1,2]", 600), 0);
	assert_int_equal(parse_bounded("[1,2,3]", 600), -EFBIG);
	assert_int_equal(parse_bounded("[[], []]", 600), -EFBIG);
	assert_int_equal(parse_bounded("[1,", 600), -EINVAL);
	/* What stands in a string is text, however it is written. */
	assert_int_equal(parse_bounded("[\"{[,{[,\"]", 600), 0);
	assert_int_equal(parse_bounded("[\"\\\"{[,{[,\"]", 600), 0);
	assert_int_equal(parse_bounded("[\"\\\\\",{},{},{}]", 600), -EFBIG);
	assert_int_equal(parse_bounded("[\"\\\\\\\"{[,{[,\"]", 600), 0);
	assert_int_equal(parse_bounded("[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]", 290),
			 -EFBIG);
	/* It may end anywhere. */
	assert_int_equal(parse_bounded("\"\\", 600), -EINVAL);
	assert_int_equal(parse_bounded("", 0), -EINVAL);
}

/* '#' is a number that differs from row to row. */
static char *rows(const char *open, const char *row, const char *close)
{
	struct buf text = BUF_INIT(1 << 22);
	int i;

	buf_add_str(&text, open);
	for (i = 0; i < 10000; i++) {
		size_t n = strcspn(row, "#");

		buf_addf(&text, "%s%.*s", i > 0 ? "," : "", (int)n, row);
		if (row[n])
			buf_addf(&text, "%d%s", i, row + n + 1);
	}
	buf_add_str(&text, close);
	return buf_steal(&text);
}

static size_t heap_used(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* The sanitizers have a heap of their own, which this does not see. */
static void nothing_takes_more_than_it_counts_for(void **state)
{
	static const char *const shapes[][3] = {
	    {"[", "{}", "]"},
	    {"[", "[]", "]"},
	    {"[", "0", "]"},
	    {"[", "null", "]"},
	    {"[", "true", "]"},
	    {"[", "1.5", "]"},
	    {"[", "\"\"", "]"},
	    {"[", "\"a string that is longer than any field of it, and so has its own place\"",
	     "]"},
	    {"[", "[0]", "]"},
	    {"[", "[[\"\"]]", "]"},
	    {"[", "{\"\":1.5}", "]"},
	    {"[", "{\"\":{}}", "]"},
	    {"[", "{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":0}}}}}}}}", "]"},
	    {"[", "{\"k\":[{\"k\":[]}]}", "]"},
	    {"[",
	     "{\"a\":1.5,\"b\":1.5,\"c\":1.5,\"d\":1.5,\"e\":1.5,\"f\":1.5,\"g\":1.5,\"h\":1.5,"
	     "\"i\":1.5,"
	     "\"j\":1.5,\"k\":1.5,\"l\":1.5}",
	     "]"},
	    {"{", "\"#\":0", "}"},
	    {"{", "\"#\":1.5", "}"},
	    {"{", "\"#\":{}", "}"},
	    {"{", "\"a key that is longer than most others are #\":\"\"", "}"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		CLEANUP(mem_freep) char *text = rows(shapes[i][0], shapes[i][1], shapes[i][2]);
		struct json_object *obj = NULL;
		size_t used = heap_used();
		struct err err;

		assert_int_equal(parse(text, &obj, &err), 0);
		used = heap_used() - used;
		json_object_put(obj);
		if (used > 0 && parse_bounded(text, used - 1) != -EFBIG)
			fail_msg("%s takes %zu bytes and counts for less", shapes[i][1], used);
	}
}

static void fields_are_of_the_type_asked_for_or_not_there(void **state)
{
	struct json_object *obj;
	struct err err;

	(void)state;
	assert_int_equal(parse("{\"s\": \"x\", \"n\": 5, \"f\": 1.5, \"b\": true, \"z\": null, "
			       "\"o\": {\"p\": {\"q\": \"deep\"}}, \"a\": [1, null], "
			       "\"nul\": \"a\\u0000b\", \"a.b\": \"dotted\"}",
			       &obj, &err),
			 0);
	assert_string_equal(js_str(obj, "s"), "x");
	assert_null(js_str(obj, "n"));
	assert_null(js_str(obj, "nul"));
	assert_string_equal(js_str_or_empty(obj, "nul"), "");
	assert_string_equal(js_str(obj, "o.p.q"), "deep");
	assert_null(js_str(obj, "o.p.q.r"));
	assert_null(js_str(obj, "s.p"));
	assert_int_equal(js_i64(obj, "n", 7), 5);
	assert_int_equal(js_i64(obj, "s", 7), 7);
	assert_int_equal(js_i64(obj, "f", 7), 7);
	assert_int_equal(js_i64(obj, "none", 7), 7);
	assert_true(js_bool(obj, "b", false));
	assert_true(js_bool(obj, "n", true));
	assert_non_null(js_object(obj, "o.p"));
	assert_null(js_object(obj, "a"));
	assert_int_equal(js_len(js_array(obj, "a")), 2);
	assert_null(js_item(js_array(obj, "a"), 1));
	assert_null(js_item(js_array(obj, "a"), 2));
	assert_int_equal(js_len(js_array(obj, "o")), 0);
	assert_string_equal(json_object_get_string(js_get(obj, "a.b")), "dotted");
	assert_null(js_at(obj, "a.b"));
	assert_null(js_str(NULL, "s"));
	assert_null(
	    js_str(obj, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	json_object_put(obj);
}

static void what_is_built_is_printed(void **state)
{
	struct json_object *obj = js_new();
	struct json_object *array = js_new_array();
	size_t n;

	(void)state;
	js_append(array, js_text("a/b"));
	js_append(array, NULL);
	js_put_str(obj, "s", "x\n");
	js_put_str(obj, "left_out", NULL);
	js_put_i64(obj, "n", INT64_MIN);
	js_put_bool(obj, "b", false);
	js_put(obj, "a", array);
	assert_string_equal(
	    js_print(obj, &n),
	    "{\"s\":\"x\\n\",\"n\":-9223372036854775808,\"b\":false,\"a\":[\"a/b\",null]}");
	assert_int_equal(n, strlen(js_print(obj, NULL)));
	json_object_put(obj);
}

static struct json_object *many_keys(int n)
{
	struct json_object *obj = js_new();
	char key[16];
	int i;

	for (i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		js_put_i64(obj, key, i);
	}
	return obj;
}

static void what_is_shrunk_takes_less_reads_the_same_and_grows_again(void **state)
{
	int n, i;

	(void)state;
	for (n = 0; n <= 100; n++) {
		struct json_object *obj = js_new(), *inner = many_keys(n), *array = js_new_array();
		CLEANUP(mem_freep) char *before = NULL;

		js_append(array, inner);
		js_put(obj, "a", array);
		before = mem_strdup(js_print(obj, NULL));
		js_shrink(obj);
		assert_string_equal(js_print(obj, NULL), before);
		assert_in_range(json_object_get_object(obj)->size, 1, 3);
		assert_true(json_object_get_object(inner)->size > n);
		if (n <= 64) /* what is larger is reasonably full */
			assert_in_range(json_object_get_object(inner)->size, n, 2 * n + 1);
		for (i = 0; i < 100; i++) {
			js_append(array, NULL);
			js_put_i64(inner, i % 2 ? "odd" : "even", i);
		}
		for (i = 0; i < n; i++) {
			char key[16];

			snprintf(key, sizeof(key), "k%d", i);
			assert_int_equal(js_i64(inner, key, -1), i);
		}
		assert_int_equal(js_i64(inner, "odd", -1), 99);
		assert_int_equal(js_len(array), 101);
		json_object_put(obj);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_value_is_the_whole_text),
	    cmocka_unit_test(a_nul_byte_in_the_text_is_no_end),
	    cmocka_unit_test(depth_has_a_limit),
	    cmocka_unit_test(a_value_is_bounded_by_what_it_would_take),
	    cmocka_unit_test(nothing_takes_more_than_it_counts_for),
	    cmocka_unit_test(fields_are_of_the_type_asked_for_or_not_there),
	    cmocka_unit_test(what_is_built_is_printed),
	    cmocka_unit_test(what_is_shrunk_takes_less_reads_the_same_and_grows_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
