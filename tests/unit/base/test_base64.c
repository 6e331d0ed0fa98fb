#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* RFC 4648, section 10. */
static const struct {
	const char *bytes, *text;
} pairs[] = {{"", ""},
	     {"f", "Zg=="},
	     {"fo", "Zm8="},
	     {"foo", "Zm9v"},
	     {"foob", "Zm9vYg=="},
	     {"fooba", "Zm9vYmE="},
	     {"foobar", "Zm9vYmFy"}};

static void the_examples_of_the_standard_go_both_ways(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct buf text = BUF_INIT(64), bytes = BUF_INIT(64);
		struct err err;

		assert_true(base64_encode(pairs[i].bytes, strlen(pairs[i].bytes), &text));
		assert_string_equal(buf_text(&text), pairs[i].text);
		assert_int_equal(base64_decode(buf_text(&text), text.len, &bytes, &err), 0);
		assert_int_equal(bytes.len, strlen(pairs[i].bytes));
		assert_string_equal(buf_text(&bytes), pairs[i].bytes);
		buf_clear(&text);
		buf_clear(&bytes);
	}
}

static void every_byte_comes_back(void **state)
{
	struct buf text = BUF_INIT(1024), bytes = BUF_INIT(256);
	unsigned char all[256];
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)i;
	assert_true(base64_encode(all, sizeof(all), &text));
	assert_int_equal(base64_decode(buf_text(&text), text.len, &bytes, &err), 0);
	assert_int_equal(bytes.len, sizeof(all));
	assert_memory_equal(bytes.data, all, sizeof(all));
	buf_clear(&text);
	buf_clear(&bytes);
}

static void what_nobody_would_have_written_is_refused(void **state)
{
	static const char *const bad[] = {"Zg=",  "Z",    "Zg===", " Zg==",    "Zg==\n",   "Zg= ",
					  "=Zg=", "Z=g=", "====",  "Zg==Zg==", "Zm9v!===", "Zm-_"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf bytes = BUF_INIT(64);
		struct err err;

		if (base64_decode(bad[i], strlen(bad[i]), &bytes, &err) != -EINVAL)
			fail_msg("%s was read", bad[i]);
		assert_int_equal(bytes.len, 0);
	}
}

static void neither_way_passes_the_ceiling(void **state)
{
	struct buf text = BUF_INIT(7), bytes = BUF_INIT(5);
	struct err err;

	(void)state;
	assert_false(base64_encode("foobar", 6, &text));
	assert_int_equal(text.len, 0);
	assert_int_equal(base64_decode("Zm9vYmFy", 8, &bytes, &err), -EFBIG);
	assert_int_equal(bytes.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_examples_of_the_standard_go_both_ways),
	    cmocka_unit_test(every_byte_comes_back),
	    cmocka_unit_test(what_nobody_would_have_written_is_refused),
	    cmocka_unit_test(neither_way_passes_the_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
