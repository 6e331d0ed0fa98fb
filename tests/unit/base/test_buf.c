#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void it_grows_and_stays_a_string(void **state)
{
	struct buf b = BUF_INIT(100000);
	int i;

	(void)state;
	assert_string_equal(buf_text(&b), "");
	for (i = 0; i < 10000; i++)
		assert_true(buf_addf(&b, "%d", i % 10));
	assert_int_equal(b.len, 10000);
	assert_int_equal(strlen(b.data), 10000);
	assert_int_equal(b.data[9999], '9');
	buf_clear(&b);
}

static void at_the_ceiling_nothing_is_added(void **state)
{
	struct buf b = BUF_INIT(5);

	(void)state;
	assert_true(buf_add_str(&b, "abc"));
	assert_false(buf_add_str(&b, "def"));
	assert_false(buf_addf(&b, "%s", "def"));
	assert_string_equal(buf_text(&b), "abc");
	assert_true(buf_add(&b, "\0e", 2));
	assert_int_equal(b.len, 5);
	assert_false(buf_add(&b, "x", 1));
	assert_true(buf_add(&b, NULL, 0));
	assert_false(buf_add(&b, "x", SIZE_MAX));
	buf_clear(&b);
}

static void what_is_stolen_is_the_callers(void **state)
{
	struct buf b = BUF_INIT(5);
	char *text;

	(void)state;
	text = buf_steal(&b);
	assert_string_equal(text, "");
	free(text);
	buf_add_str(&b, "abc");
	text = buf_steal(&b);
	assert_string_equal(text, "abc");
	free(text);
	assert_int_equal(b.len, 0);
	assert_true(buf_add_str(&b, "abcde"));
	assert_false(buf_add_str(&b, "f"));
	buf_clear(&b);
	buf_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_grows_and_stays_a_string),
	    cmocka_unit_test(at_the_ceiling_nothing_is_added),
	    cmocka_unit_test(what_is_stolen_is_the_callers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
