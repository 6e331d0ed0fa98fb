#include "base/log.h"

#include "base/js.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int saved_stderr, pipe_end;
static char line[16384];

static int catch_stderr(void **state)
{
	int fds[2];

	(void)state;
	log_set_level(LOG_LEVEL_INFO);
	saved_stderr = dup(STDERR_FILENO);
	if (pipe(fds) || dup2(fds[1], STDERR_FILENO) < 0)
		return -1;
	pipe_end = fds[0];
	return close(fds[1]);
}

static int restore_stderr(void **state)
{
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	return close(pipe_end);
}

static struct json_object *read_line(void)
{
	struct json_object *obj = NULL;
	struct err err;
	ssize_t n = read(pipe_end, line, sizeof(line) - 1);

	assert_true(n > 0);
	assert_int_equal(line[n - 1], '\n');
	assert_ptr_equal(memchr(line, '\n', (size_t)n), line + n - 1);
	assert_int_equal(js_parse(line, (size_t)n, &obj, &err), 0);
	return obj;
}

static void a_line_is_one_json_object(void **state)
{
	struct json_object *obj;

	(void)state;
	log_info("profile compiled", log_s("profile", "web"), log_i("ms", -12));
	obj = read_line();
	assert_string_equal(js_str(obj, "level"), "info");
	assert_string_equal(js_str(obj, "msg"), "profile compiled");
	assert_string_equal(js_str(obj, "profile"), "web");
	assert_int_equal(js_i64(obj, "ms", 0), -12);
	assert_int_equal(strlen(js_str(obj, "time")), strlen("2026-01-01T00:00:00.000000Z"));
	json_object_put(obj);
	log_error("no fields");
	json_object_put(read_line());
}

static void text_from_outside_cannot_leave_its_field(void **state)
{
	struct json_object *obj;

	(void)state;
	log_warn("x", log_s("why", "a\"b\\c\nd\x1b[0m\xff\"}"), log_s("none", NULL));
	obj = read_line();
	assert_string_equal(js_str(obj, "why"), "a\"b\\c?d?[0m?\"}");
	assert_string_equal(js_str(obj, "none"), "");
	json_object_put(obj);
}

static void a_long_text_is_cut(void **state)
{
	static char text[100000];
	struct json_object *obj;

	(void)state;
	memset(text, '"', sizeof(text) - 1);
	log_info("x", log_s("why", text));
	obj = read_line();
	assert_int_equal(strlen(js_str(obj, "why")), 2048);
	json_object_put(obj);
}

static void lines_below_the_level_are_left_out(void **state)
{
	enum log_level level;
	struct json_object *obj;

	(void)state;
	log_debug("unseen");
	assert_true(log_level_parse("error", &level));
	log_set_level(level);
	log_warn("unseen");
	log_error("seen");
	obj = read_line();
	assert_string_equal(js_str(obj, "msg"), "seen");
	json_object_put(obj);
	assert_false(log_level_parse("loud", &level));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_line_is_one_json_object, catch_stderr,
					    restore_stderr),
	    cmocka_unit_test_setup_teardown(text_from_outside_cannot_leave_its_field, catch_stderr,
					    restore_stderr),
	    cmocka_unit_test_setup_teardown(a_long_text_is_cut, catch_stderr, restore_stderr),
	    cmocka_unit_test_setup_teardown(lines_below_the_level_are_left_out, catch_stderr,
					    restore_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
