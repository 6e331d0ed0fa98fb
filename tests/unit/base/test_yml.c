#include "base/yml.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void scalars_become_what_the_core_schema_says(void **state)
{
	static const struct {
		const char *yaml, *json;
	} cases[] = {
	    {"a: ", "{\"a\":null}"},
	    {"a: ~", "{\"a\":null}"},
	    {"a: null", "{\"a\":null}"},
	    {"a: ''", "{\"a\":\"\"}"},
	    {"a: true", "{\"a\":true}"},
	    {"a: False", "{\"a\":false}"},
	    {"a: tRUE", "{\"a\":\"tRUE\"}"},
	    {"a: yes", "{\"a\":\"yes\"}"},
	    {"a: off", "{\"a\":\"off\"}"},
	    {"a: 12", "{\"a\":12}"},
	    {"a: -12", "{\"a\":-12}"},
	    {"a: +12", "{\"a\":12}"},
	    {"a: 0o17", "{\"a\":15}"},
	    {"a: 0x1F", "{\"a\":31}"},
	    {"a: 0o18", "{\"a\":\"0o18\"}"},
	    {"a: 0x", "{\"a\":\"0x\"}"},
	    {"a: 017", "{\"a\":17}"},
	    {"a: 1_000", "{\"a\":\"1_000\"}"},
	    {"a: -0x1F", "{\"a\":\"-0x1F\"}"},
	    {"a: 9223372036854775807", "{\"a\":9223372036854775807}"},
	    {"a: 1.5", "{\"a\":1.5}"},
	    {"a: -.5e1", "{\"a\":-5.0}"},
	    {"a: 1.", "{\"a\":1.0}"},
	    {"a: .", "{\"a\":\".\"}"},
	    {"a: 1e", "{\"a\":\"1e\"}"},
	    {"a: -", NULL}, /* a sequence in the place of a value */
	    {"a: '-'", "{\"a\":\"-\"}"},
	    {"a: 1.2.3", "{\"a\":\"1.2.3\"}"},
	    {"a: 25%", "{\"a\":\"25%\"}"},
	    {"a: 2026-01-01", "{\"a\":\"2026-01-01\"}"},
	    {"a: '12'", "{\"a\":\"12\"}"},
	    {"a: \"true\"", "{\"a\":\"true\"}"},
	    {"a: !!str 12", "{\"a\":\"12\"}"},
	    {"a: ! '12'", "{\"a\":\"12\"}"},
	    {"12: x", "{\"12\":\"x\"}"},
	    {"true: x", "{\"true\":\"x\"}"},
	    {"a: |\n  x\n   y\n", "{\"a\":\"x\\n y\\n\"}"},
	    {"a: >-\n  x\n  y\n", "{\"a\":\"x y\"}"},
	    {"a: [1, {b: c}]", "{\"a\":[1,{\"b\":\"c\"}]}"},
	    {"- a\n- - b\n  - c\n", "[\"a\",[\"b\",\"c\"]]"},
	    {"{\"a\": [true, null]}", "{\"a\":[true,null]}"},
	    {"# comment\n---\na: 1 # more\n...\n", "{\"a\":1}"},
	    {"\"a\\u00e4\": x", "{\"a\xc3\xa4\":\"x\"}"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *doc;
		struct err err;
		int r = yml_parse_one(cases[i].yaml, strlen(cases[i].yaml), &doc, &err);

		if (!cases[i].json) {
			assert_int_equal(r, -EINVAL);
			continue;
		}
		if (r)
			fail_msg("%s: %s", cases[i].yaml, err.msg);
		assert_string_equal(js_print(doc, NULL), cases[i].json);
		json_object_put(doc);
	}
}

static void what_is_refused_is_named_with_its_place(void **state)
{
	static const struct {
		const char *yaml, *words;
	} cases[] = {
	    {"a: &x 1\nb: *x\n", "line 1, column 4: anchors"},
	    {"a: *x\n", "line 1, column 4: anchors"},
	    {"a: &x {b: 1}\n", "anchors"},
	    {"a: &x [1]\n", "anchors"},
	    {"&x a: 1\n", "anchors"},
	    {"<<: {a: 1}\n", "merge keys"},
	    {"a: !!binary aGk=\n", "tags"},
	    {"a: !custom x\n", "tags"},
	    {"a: !!int '5'\n", "tags"},
	    {"a: 1\nb: 2\na: 3\n", "line 3, column 1: this key is there already"},
	    {"{a: 1, a: 2}", "already"},
	    {"? [a]\n: b\n", "a key has to be"},
	    {"\"a\\0b\": 1\n", "NUL"},
	    {"a: .inf\n", "infinity"},
	    {"a: -.INF\n", "infinity"},
	    {"a: .NaN\n", "infinity"},
	    {"a: [1\n", "line 2"},
	    {"\ta: 1\n", "line 1"},
	    {"a: 1\n b: 2\n", "line 2"},
	    {"a: 1\n---\nb: 2\n", "line 3: there should be one document"},
	    {"", "no document"},
	    {"---\n...\n", "no document"},
	    {"# nothing\n", "no document"},
	    {"%YAML 3.0\n---\na: 1\n", "line 1"},
	};
	struct json_object *doc;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!yml_parse_one(cases[i].yaml, strlen(cases[i].yaml), &doc, &err))
			fail_msg("%s is taken", cases[i].yaml);
		assert_int_equal(err.code, -EINVAL);
		if (!strstr(err.msg, cases[i].words))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].yaml, err.msg,
				 cases[i].words);
	}
}

static void depth_has_a_limit(void **state)
{
	char text[500];
	struct json_object *doc;
	struct err err;

	(void)state;
	memset(text, '[', 63);
	memset(text + 63, ']', 63);
	assert_int_equal(yml_parse_one(text, 126, &doc, &err), 0);
	json_object_put(doc);
	memset(text, '[', 200);
	memset(text + 200, ']', 200);
	assert_int_equal(yml_parse_one(text, 400, &doc, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "too deeply"));
}

static void a_text_may_hold_a_nul_when_it_is_written_so(void **state)
{
	static const char text[] = "a: \"x\\0y\"";
	struct json_object *doc;
	struct err err;

	(void)state;
	assert_int_equal(yml_parse_one(text, sizeof(text) - 1, &doc, &err), 0);
	assert_int_equal(json_object_get_string_len(js_get(doc, "a")), 3);
	assert_null(js_str(doc, "a"));
	json_object_put(doc);
}

struct seen {
	struct buf text;
	int stop_after;
};

static int note(void *data, struct json_object *doc, size_t line, struct err *err)
{
	struct seen *seen = data;

	buf_addf(&seen->text, "%zu%s ", line, js_print(doc, NULL));
	if (--seen->stop_after == 0)
		return err_set(err, -ECANCELED, "enough");
	return 0;
}

static void documents_come_in_order_with_their_lines(void **state)
{
	static const char text[] =
	    "# first\na: 1\n---\n---\n# second\n\nb: 2\n--- \n...\n---\n[3]\n";
	struct seen seen = {.text = BUF_INIT(1000)};
	struct err err;

	(void)state;
	assert_int_equal(yml_parse(text, sizeof(text) - 1, note, &seen, &err), 0);
	assert_string_equal(buf_text(&seen.text), "2{\"a\":1} 7{\"b\":2} 11[3] ");
	buf_clear(&seen.text);
}

static void the_reader_may_stop(void **state)
{
	struct seen seen = {.text = BUF_INIT(1000), .stop_after = 1};
	struct err err;

	(void)state;
	assert_int_equal(yml_parse("a: 1\n---\nb: [", 13, note, &seen, &err), -ECANCELED);
	assert_string_equal(err.msg, "enough");
	buf_clear(&seen.text);
}

static void documents_before_the_mistake_were_told(void **state)
{
	struct seen seen = {.text = BUF_INIT(1000)};
	struct err err;

	(void)state;
	assert_int_equal(yml_parse("a: 1\n---\nb: [", 13, note, &seen, &err), -EINVAL);
	assert_string_equal(buf_text(&seen.text), "1{\"a\":1} ");
	buf_clear(&seen.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(scalars_become_what_the_core_schema_says),
	    cmocka_unit_test(what_is_refused_is_named_with_its_place),
	    cmocka_unit_test(depth_has_a_limit),
	    cmocka_unit_test(a_text_may_hold_a_nul_when_it_is_written_so),
	    cmocka_unit_test(documents_come_in_order_with_their_lines),
	    cmocka_unit_test(the_reader_may_stop),
	    cmocka_unit_test(documents_before_the_mistake_were_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
