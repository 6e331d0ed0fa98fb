#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void null_equals_null_alone(void **state)
{
	(void)state;
	assert_true(str_equal(NULL, NULL));
	assert_false(str_equal(NULL, ""));
	assert_false(str_equal("", NULL));
	assert_true(str_equal("a", "a"));
	assert_false(str_equal("a", "b"));
	assert_true(str_has_prefix("abc", "ab"));
	assert_true(str_has_prefix("abc", ""));
	assert_false(str_has_prefix("ab", "abc"));
}

static void utf8_is_well_formed_or_not(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		bool ok;
	} cases[] = {
	    {"", 0, true},
	    {"a\0b", 3, true},
	    {"\xc3\xa4", 2, true},
	    {"\xe2\x82\xac", 3, true},
	    {"\xf0\x9f\x98\x80", 4, true},
	    {"\xf4\x8f\xbf\xbf", 4, true},
	    {"\xef\xbf\xbd", 3, true},      /* U+FFFD */
	    {"\x80", 1, false},             /* a second byte alone */
	    {"\xc3", 1, false},             /* cut */
	    {"\xe2\x82", 2, false},         /* cut */
	    {"\xc3(", 2, false},            /* no second byte */
	    {"\xc0\x80", 2, false},         /* overlong */
	    {"\xc1\xbf", 2, false},         /* overlong */
	    {"\xe0\x80\x80", 3, false},     /* overlong */
	    {"\xe0\x9f\xbf", 3, false},     /* overlong */
	    {"\xf0\x8f\xbf\xbf", 4, false}, /* overlong */
	    {"\xed\xa0\x80", 3, false},     /* a surrogate */
	    {"\xf4\x90\x80\x80", 4, false}, /* past U+10FFFF */
	    {"\xf5\x80\x80\x80", 4, false},
	    {"\xff", 1, false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (str_is_utf8(cases[i].bytes, cases[i].n) != cases[i].ok)
			fail_msg("case %zu", i);
}

static void utf8_is_looked_at_to_its_last_byte(void **state)
{
	char text[40];
	size_t n, at;

	(void)state;
	for (n = 1; n <= sizeof(text); n++) {
		memset(text, 'a', sizeof(text));
		assert_true(str_is_utf8(text, n));
		for (at = 0; at < n; at++) {
			memset(text, 'a', sizeof(text));
			text[at] = '\xc3';
			assert_false(str_is_utf8(text, n));
			if (at + 1 == n)
				continue;
			text[at + 1] = '\xa4';
			assert_true(str_is_utf8(text, n));
		}
	}
}

static void a_text_is_made_fit_for_one_line(void **state)
{
	static const struct {
		const char *text;
		size_t max;
		const char *result;
	} cases[] = {
	    {"plain", 20, "plain"},
	    {"two\nlines\ttab\x7f", 20, "two?lines?tab?"},
	    {"\x1b[31mred", 20, "?[31mred"},
	    {"a\xffz", 20, "a?z"},
	    {"a\xc2\x9bz", 20, "a??z"}, /* a C1 control: terminals obey it */
	    {"\xc3\xa4\xe2\x82\xac", 20, "\xc3\xa4\xe2\x82\xac"},
	    {"1234567890", 10, "1234567890"},
	    {"12345678901", 10, "1234567..."},
	    {"12345678901", 4, "1..."},
	    {"123456\xe2\x82\xac"
	     "0000",
	     10, "123456..."},
	    {"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 8, "\xe2\x82\xac..."},
	    {"\xe2\x82\xac\xe2\x82\xac", 4, "..."},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[64];

		snprintf(text, sizeof(text), "%s", cases[i].text);
		str_make_printable(text, cases[i].max);
		assert_string_equal(text, cases[i].result);
	}
}

static void hexadecimal_is_lower_case_and_of_one_length(void **state)
{
	char out[9];

	(void)state;
	str_hex("\x00\xff\x1a\xb0", 4, out);
	assert_string_equal(out, "00ff1ab0");
	assert_true(str_is_hex("00ff", 4));
	assert_false(str_is_hex("00fF", 4));
	assert_false(str_is_hex("00ff", 3));
	assert_false(str_is_hex("00f", 4));
	assert_false(str_is_hex(NULL, 0));
}

static void numbers_are_whole_and_within_bounds(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t value;
	} cases[] = {
	    {"0", true, 0},    {"-5", true, -5},
	    {"10", true, 10},  {"11", false, 0},
	    {"-6", false, 0},  {"", false, 0},
	    {" 1", false, 0},  {"1 ", false, 0},
	    {"+1", false, 0},  {"1.0", false, 0},
	    {"0x1", false, 0}, {"-", false, 0},
	    {"1-1", false, 0}, {"007", true, 7},
	    {NULL, false, 0},  {"99999999999999999999", false, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t value = 77;

		assert_int_equal(str_to_i64(cases[i].text, -5, 10, &value), cases[i].ok);
		assert_int_equal(value, cases[i].ok ? cases[i].value : 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(null_equals_null_alone),
	    cmocka_unit_test(utf8_is_well_formed_or_not),
	    cmocka_unit_test(utf8_is_looked_at_to_its_last_byte),
	    cmocka_unit_test(a_text_is_made_fit_for_one_line),
	    cmocka_unit_test(hexadecimal_is_lower_case_and_of_one_length),
	    cmocka_unit_test(numbers_are_whole_and_within_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
