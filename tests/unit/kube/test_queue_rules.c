#include "kube/queue_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The keys that can be taken at `now_ms`, one after the other, each done well at once. */
static void assert_takes(struct queue_rules *q, int64_t now_ms, const char *expected)
{
	char out[256] = "";
	const char *key;

	while ((key = queue_rules_take(q, now_ms))) {
		strncat(out, key, sizeof(out) - strlen(out) - 1);
		queue_rules_done(q, key, true, now_ms);
	}
	assert_string_equal(out, expected);
}

static void keys_come_in_the_order_in_which_they_were_added(void **state)
{
	struct queue_rules q;

	(void)state;
	queue_rules_init(&q);
	queue_rules_add(&q, "b");
	queue_rules_add(&q, "a");
	queue_rules_add(&q, "b");
	assert_int_equal(queue_rules_len(&q), 2);
	assert_int_equal(queue_rules_next_ms(&q), 0);
	assert_takes(&q, 0, "ba");
	assert_int_equal(queue_rules_len(&q), 0);
	assert_int_equal(queue_rules_next_ms(&q), -1);
	queue_rules_clear(&q);
}

static void a_key_is_never_worked_on_twice_at_once(void **state)
{
	struct queue_rules q;

	(void)state;
	queue_rules_init(&q);
	queue_rules_add(&q, "a");
	assert_string_equal(queue_rules_take(&q, 0), "a");
	queue_rules_add(&q, "a");
	queue_rules_add(&q, "a");
	assert_null(queue_rules_take(&q, 0));
	assert_int_equal(queue_rules_next_ms(&q), -1);
	queue_rules_done(&q, "a", true, 0);
	assert_takes(&q, 0, "a");
	assert_takes(&q, 0, "");
	queue_rules_clear(&q);
}

static void failures_wait_twice_as_long_each_time(void **state)
{
	int64_t now_ms = 1000, wait_ms = 5;
	struct queue_rules q;
	int i;

	(void)state;
	queue_rules_init(&q);
	queue_rules_add(&q, "a");
	for (i = 0; i < 25; i++) {
		assert_string_equal(queue_rules_take(&q, now_ms), "a");
		queue_rules_done(&q, "a", false, now_ms);
		assert_null(queue_rules_take(&q, now_ms + wait_ms - 1));
		assert_int_equal(queue_rules_next_ms(&q), now_ms + wait_ms);
		now_ms += wait_ms;
		wait_ms = wait_ms * 2 > 1000000 ? 1000000 : wait_ms * 2;
	}
	/* Once well, the wait starts over. */
	assert_takes(&q, now_ms, "a");
	queue_rules_add(&q, "a");
	assert_string_equal(queue_rules_take(&q, now_ms), "a");
	queue_rules_done(&q, "a", false, now_ms);
	assert_int_equal(queue_rules_next_ms(&q), now_ms + 5);
	queue_rules_clear(&q);
}

static void an_added_key_does_not_wait_out_its_failure(void **state)
{
	struct queue_rules q;

	(void)state;
	queue_rules_init(&q);
	queue_rules_add(&q, "a");
	queue_rules_take(&q, 0);
	queue_rules_done(&q, "a", false, 0);
	queue_rules_add(&q, "a");
	assert_takes(&q, 0, "a");
	assert_int_equal(queue_rules_next_ms(&q), -1);
	queue_rules_clear(&q);
}

static void a_key_added_during_a_failure_is_worked_on_at_once_and_only_once(void **state)
{
	struct queue_rules q;

	(void)state;
	queue_rules_init(&q);
	queue_rules_add(&q, "a");
	queue_rules_take(&q, 0);
	queue_rules_add(&q, "a");
	queue_rules_done(&q, "a", false, 0);
	assert_takes(&q, 0, "a");
	assert_takes(&q, 100000, "");
	queue_rules_clear(&q);
}

static void those_that_wait_come_by_time(void **state)
{
	static const struct {
		const char *key;
		int64_t at_ms;
	} cases[] = {{"e", 50}, {"b", 20}, {"g", 70}, {"a", 10}, {"d", 40}, {"c", 30}, {"f", 60}};
	struct queue_rules q;
	size_t i;

	(void)state;
	queue_rules_init(&q);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		queue_rules_add_after(&q, cases[i].key, cases[i].at_ms);
	assert_int_equal(queue_rules_next_ms(&q), 10);
	assert_takes(&q, 9, "");
	assert_takes(&q, 30, "abc");
	assert_takes(&q, 1000, "defg");
	queue_rules_clear(&q);
}

static void the_earlier_of_two_times_counts(void **state)
{
	struct queue_rules q;

	(void)state;
	queue_rules_init(&q);
	queue_rules_add_after(&q, "a", 100);
	queue_rules_add_after(&q, "a", 50);
	queue_rules_add_after(&q, "a", 200);
	assert_int_equal(queue_rules_next_ms(&q), 50);
	assert_takes(&q, 50, "a");
	assert_takes(&q, 500, "");
	queue_rules_add_after(&q, "a", 600);
	queue_rules_add(&q, "a");
	queue_rules_add_after(&q, "a", 700);
	assert_takes(&q, 500, "a");
	assert_takes(&q, 5000, "");
	queue_rules_clear(&q);
}

static void work_may_ask_to_be_done_again_later(void **state)
{
	struct queue_rules q;

	(void)state;
	queue_rules_init(&q);
	queue_rules_add(&q, "a");
	queue_rules_take(&q, 0);
	queue_rules_add_after(&q, "a", 10);
	/* Its time comes while it is still active. */
	assert_null(queue_rules_take(&q, 20));
	assert_int_equal(queue_rules_next_ms(&q), -1);
	queue_rules_done(&q, "a", true, 30);
	assert_takes(&q, 30, "a");
	queue_rules_clear(&q);
}

static void a_thousand_keys_in_disorder_come_in_order(void **state)
{
	struct queue_rules q;
	int64_t last_ms = 0;
	char key[16];
	int i;

	(void)state;
	queue_rules_init(&q);
	for (i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		queue_rules_add_after(&q, key, 1 + (i * 7919) % 1000);
	}
	/* Every third leaves the heap from wherever it stands. */
	for (i = 0; i < 1000; i += 3) {
		snprintf(key, sizeof(key), "k%d", i);
		queue_rules_add(&q, key);
	}
	for (i = 0; i < 334; i++)
		queue_rules_done(&q, queue_rules_take(&q, 0), true, 0);
	while (queue_rules_len(&q) > 0) {
		int64_t at_ms = queue_rules_next_ms(&q);

		assert_true(at_ms >= last_ms);
		queue_rules_done(&q, queue_rules_take(&q, at_ms), true, at_ms);
		last_ms = at_ms;
	}
	queue_rules_clear(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys_come_in_the_order_in_which_they_were_added),
	    cmocka_unit_test(a_key_is_never_worked_on_twice_at_once),
	    cmocka_unit_test(failures_wait_twice_as_long_each_time),
	    cmocka_unit_test(an_added_key_does_not_wait_out_its_failure),
	    cmocka_unit_test(a_key_added_during_a_failure_is_worked_on_at_once_and_only_once),
	    cmocka_unit_test(those_that_wait_come_by_time),
	    cmocka_unit_test(the_earlier_of_two_times_counts),
	    cmocka_unit_test(work_may_ask_to_be_done_again_later),
	    cmocka_unit_test(a_thousand_keys_in_disorder_come_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
