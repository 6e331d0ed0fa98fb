#include "kube/watch_lines.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char stream[] =
    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}\n"
    "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"b\\n\"}}}\r\n"
    "\n"
    "{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"c\"}}}\n"
    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"name\":\"d\"}}}\n"
    "{\"type\":\"ERROR\",\"object\":{\"metadata\":{\"name\":\"e\"}}}\n";

static int note(void *data, enum watch_event_kind kind, struct json_object *obj, struct err *err)
{
	struct buf *out = data;

	(void)err;
	buf_addf(out, "%d%.1s ", (int)kind, js_str_or_empty(obj, "metadata.name"));
	return 0;
}

static void events_are_the_same_however_they_are_cut(void **state)
{
	size_t step;

	(void)state;
	for (step = 1; step <= sizeof(stream); step++) {
		struct watch_lines lines = WATCH_LINES_INIT;
		struct buf out = BUF_INIT(1000);
		struct err err;
		size_t at;

		for (at = 0; at < sizeof(stream) - 1; at += step) {
			size_t n = sizeof(stream) - 1 - at;

			assert_int_equal(watch_lines_feed(&lines, stream + at, n < step ? n : step,
							  note, &out, &err),
					 0);
		}
		assert_string_equal(buf_text(&out), "0a 1b 2c 3d 4e ");
		buf_clear(&out);
		watch_lines_clear(&lines);
	}
}

static void a_line_without_its_end_is_no_event_yet(void **state)
{
	struct watch_lines lines = WATCH_LINES_INIT;
	struct buf out = BUF_INIT(1000);
	struct err err;

	(void)state;
	assert_int_equal(watch_lines_feed(&lines, stream, strcspn(stream, "\n"), note, &out, &err),
			 0);
	assert_int_equal(out.len, 0);
	assert_int_equal(watch_lines_feed(&lines, "\n", 1, note, &out, &err), 0);
	assert_string_equal(buf_text(&out), "0a ");
	buf_clear(&out);
	watch_lines_clear(&lines);
}

static void what_is_no_event_is_an_error(void **state)
{
	static const char *const cases[] = {
	    "x\n",
	    "{}\n",
	    "null\n",
	    "[]\n",
	    "{\"type\":\"ADDED\"}\n",
	    "{\"type\":\"ADDED\",\"object\":null}\n",
	    "{\"type\":\"ADDED\",\"object\":\"x\"}\n",
	    "{\"type\":\"WEIRD\",\"object\":{}}\n",
	    "{\"type\":\"ADDED\",\"object\":{}} {}\n",
	    "{\"type\":\"ADDED\",\"object\":{\"a\":\"\xff\"}}\n",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct watch_lines lines = WATCH_LINES_INIT;
		struct buf out = BUF_INIT(1000);
		struct err err;

		assert_int_equal(
		    watch_lines_feed(&lines, cases[i], strlen(cases[i]), note, &out, &err),
		    -EINVAL);
		assert_int_equal(out.len, 0);
		watch_lines_clear(&lines);
	}
}

static void a_line_has_a_ceiling(void **state)
{
	const size_t n = 1 << 20;
	CLEANUP(mem_freep) char *much = mem_alloc(WATCH_LINE_MAX + 2, 1);
	struct watch_lines lines = WATCH_LINES_INIT;
	struct buf out = BUF_INIT(1000);
	struct err err;
	size_t total;

	(void)state;
	memset(much, ' ', WATCH_LINE_MAX + 1);
	for (total = 0; total < WATCH_LINE_MAX; total += n)
		assert_int_equal(watch_lines_feed(&lines, much, n, note, &out, &err), 0);
	assert_int_equal(watch_lines_feed(&lines, much, 1, note, &out, &err), -EFBIG);
	assert_int_equal(watch_lines_feed(&lines, " \n", 2, note, &out, &err), -EFBIG);
	watch_lines_clear(&lines);
	much[WATCH_LINE_MAX + 1] = '\n';
	assert_int_equal(watch_lines_feed(&lines, much, WATCH_LINE_MAX + 2, note, &out, &err),
			 -EFBIG);
	watch_lines_clear(&lines);
}

static int stop(void *data, enum watch_event_kind kind, struct json_object *obj, struct err *err)
{
	(void)kind;
	(void)obj;
	++*(int *)data;
	return err_set(err, -ECANCELED, "enough");
}

static void the_reader_may_stop_in_the_middle(void **state)
{
	struct watch_lines lines = WATCH_LINES_INIT;
	struct err err;
	int n = 0;

	(void)state;
	assert_int_equal(watch_lines_feed(&lines, stream, sizeof(stream) - 1, stop, &n, &err),
			 -ECANCELED);
	assert_int_equal(n, 1);
	watch_lines_clear(&lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(events_are_the_same_however_they_are_cut),
	    cmocka_unit_test(a_line_without_its_end_is_no_event_yet),
	    cmocka_unit_test(what_is_no_event_is_an_error),
	    cmocka_unit_test(a_line_has_a_ceiling),
	    cmocka_unit_test(the_reader_may_stop_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
