#include "base/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void waits_grow_up_to_the_ceiling_and_start_over(void **state)
{
	struct backoff b = {.first_ms = 800, .max_ms = 30000, .factor = 2.0};
	static const uint64_t waits_ms[] = {800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++)
		assert_int_equal(backoff_next(&b, 0), waits_ms[i]);
	backoff_reset(&b);
	assert_int_equal(backoff_next(&b, 0), 800);
}

static void jitter_lies_between_one_and_two_times_the_wait(void **state)
{
	struct backoff b = {.first_ms = 1000, .max_ms = 30000, .factor = 1.0, .jitter = 1.0};

	(void)state;
	assert_int_equal(backoff_next(&b, 0), 1000);
	assert_int_equal(backoff_next(&b, UINT64_C(1) << 63), 1500);
	assert_in_range(backoff_next(&b, UINT64_MAX), 1999, 2000);
}

static void a_million_failures_do_not_overflow(void **state)
{
	struct backoff b = {.first_ms = 5, .max_ms = 1000000, .factor = 2.0, .tries = 4294967295U};

	(void)state;
	assert_int_equal(backoff_next(&b, 0), 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(waits_grow_up_to_the_ceiling_and_start_over),
	    cmocka_unit_test(jitter_lies_between_one_and_two_times_the_wait),
	    cmocka_unit_test(a_million_failures_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
