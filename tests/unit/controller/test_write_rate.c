#include "controller/write_rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* Three at once, and one each 10 s. */
static bool write_at(struct write_rate *rate, int64_t now_ms)
{
	if (write_rate_due(rate, 3, 10000) > now_ms)
		return false;
	write_rate_take(rate, 10000, now_ms);
	return true;
}

static void a_few_come_at_once_and_then_one_an_interval(void **state)
{
	struct write_rate rate = {0};

	(void)state;
	assert_true(write_at(&rate, 1000000));
	assert_true(write_at(&rate, 1000000));
	assert_true(write_at(&rate, 1000001));
	assert_false(write_at(&rate, 1000002));
	assert_int_equal(write_rate_due(&rate, 3, 10000), 1010000);
	assert_false(write_at(&rate, 1009999));
	assert_true(write_at(&rate, 1010000));
	assert_false(write_at(&rate, 1010001));
	assert_true(write_at(&rate, 1020000));
}

static void in_any_time_there_are_no_more_than_burst_and_its_intervals(void **state)
{
	struct write_rate rate = {0};
	int64_t now;
	int n = 0;

	(void)state;
	for (now = 5; now < 600000; now += 7)
		n += write_at(&rate, now);
	assert_in_range(n, 60, 63);
}

static void a_rest_fills_it_again_and_no_more(void **state)
{
	struct write_rate rate = {0};
	int i, n = 0;

	(void)state;
	for (i = 0; i < 10; i++)
		n += write_at(&rate, 1000000);
	assert_int_equal(n, 3);
	for (i = 0; i < 10; i++)
		n += write_at(&rate, 9000000);
	assert_int_equal(n, 6);
	write_rate_reset(&rate);
	assert_true(write_at(&rate, 9000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_few_come_at_once_and_then_one_an_interval),
	    cmocka_unit_test(in_any_time_there_are_no_more_than_burst_and_its_intervals),
	    cmocka_unit_test(a_rest_fills_it_again_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
