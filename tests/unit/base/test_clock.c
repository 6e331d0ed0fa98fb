#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void times_are_read_as_kubernetes_writes_them(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t ms;
	} cases[] = {
	    {"1970-01-01T00:00:00Z", true, 0},
	    {"2026-11-21T14:37:38Z", true, 1795271858000},
	    {"2026-11-21T14:37:38.494000Z", true, 1795271858494},
	    {"2026-11-21T14:37:38.4Z", true, 1795271858400},
	    {"2026-11-21T14:37:38.494999999Z", true, 1795271858494},
	    {"2026-11-21T16:37:38+02:00", true, 1795271858000},
	    {"2026-11-21T09:07:38.5-05:30", true, 1795271858500},
	    {"2024-02-29T00:00:00Z", true, 1709164800000},
	    {"2026-11-21T14:37:38", false, 0},
	    {"2026-11-21 14:37:38Z", false, 0},
	    {"2026-13-21T14:37:38Z", false, 0},
	    {"2026-11-21T25:37:38Z", false, 0},
	    {"2026-11-21T14:37:38Zulu", false, 0},
	    {"2026-11-21T14:37:38+0200", false, 0},
	    {"2026-11-21T14:37:38+99:00", false, 0},
	    {"2026-11-21T14:37:38+02:00x", false, 0},
	    {"", false, 0},
	    {NULL, false, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t ms = -77;

		if (clock_parse(cases[i].text, &ms) != cases[i].ok)
			fail_msg("%s", cases[i].text);
		assert_int_equal(ms, cases[i].ok ? cases[i].ms : -77);
	}
}

static void what_is_written_is_read_back(void **state)
{
	static const int64_t times_ms[] = {0, 999, 1000, 1795271858494, 4102444799999};
	char text[CLOCK_TEXT_MAX];
	int64_t ms;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(times_ms) / sizeof(times_ms[0]); i++) {
		clock_format_micro(times_ms[i], text);
		assert_true(clock_parse(text, &ms));
		assert_int_equal(ms, times_ms[i]);
		clock_format(times_ms[i], text);
		assert_true(clock_parse(text, &ms));
		assert_int_equal(ms, times_ms[i] / 1000 * 1000);
	}
	clock_format_micro(1795271858004, text);
	assert_string_equal(text, "2026-11-21T14:37:38.004000Z");
	clock_format_us(1795271858004321, text);
	assert_string_equal(text, "2026-11-21T14:37:38.004321Z");
	clock_format(1795271858004, text);
	assert_string_equal(text, "2026-11-21T14:37:38Z");
}

static void the_clocks_run(void **state)
{
	int64_t a = clock_mono_us(), b = clock_mono_us();

	(void)state;
	assert_true(a > 0 && b >= a);
	assert_true(clock_mono_ms() >= a / 1000);
	assert_true(clock_wall_ms() > 1700000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(times_are_read_as_kubernetes_writes_them),
	    cmocka_unit_test(what_is_written_is_read_back),
	    cmocka_unit_test(the_clocks_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
