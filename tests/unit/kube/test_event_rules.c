#include "kube/event_rules.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct event_decision decide(struct event_rules *rules, const char *reason, int message,
				    int64_t now_ms)
{
	char text[32];

	snprintf(text, sizeof(text), "message %d", message);
	return event_decide(rules, "Node/n1", reason, text, now_ms);
}

static void what_repeats_is_counted(void **state)
{
	struct event_rules rules;
	struct event_decision d;
	int i;

	(void)state;
	event_rules_init(&rules);
	d = decide(&rules, "R", 1, 1000);
	assert_int_equal(d.verdict, EVENT_CREATE);
	assert_int_equal(d.written->count, 1);
	d.written->name = mem_strdup("n1.abc");
	for (i = 2; i <= 20; i++) {
		d = decide(&rules, "R", 1, 1000 + i);
		assert_int_equal(d.verdict, EVENT_COUNT);
		assert_false(d.combined);
		assert_int_equal(d.written->count, i);
		assert_string_equal(d.written->name, "n1.abc");
		assert_int_equal(d.written->first_ms, 1000);
		assert_int_equal(d.written->last_ms, 1000 + i);
	}
	event_rules_clear(&rules);
}

static void more_than_ten_different_messages_become_one(void **state)
{
	struct event_rules rules;
	struct event_decision d;
	int i;

	(void)state;
	event_rules_init(&rules);
	for (i = 0; i < 10; i++)
		assert_int_equal(decide(&rules, "R", i, i).verdict, EVENT_CREATE);
	d = decide(&rules, "R", 10, 10);
	assert_true(d.combined);
	assert_int_equal(d.verdict, EVENT_CREATE);
	d = decide(&rules, "R", 11, 11);
	assert_true(d.combined);
	assert_int_equal(d.verdict, EVENT_COUNT);
	assert_int_equal(d.written->count, 2);
	/* One of the ten is still itself, and another reason has its own ten. */
	assert_false(decide(&rules, "R", 3, 12).combined);
	assert_false(decide(&rules, "S", 11, 12).combined);
	event_rules_clear(&rules);
}

static void after_ten_quiet_minutes_messages_stand_alone_again(void **state)
{
	struct event_rules rules;
	int i;

	(void)state;
	event_rules_init(&rules);
	for (i = 0; i < 11; i++)
		decide(&rules, "R", i, 0);
	assert_true(decide(&rules, "R", 50, EVENT_SIMILAR_MS).combined);
	assert_false(decide(&rules, "R", 51, 2 * EVENT_SIMILAR_MS + 1).combined);
	event_rules_clear(&rules);
}

static void an_object_has_a_burst_and_then_one_in_five_minutes(void **state)
{
	struct event_rules rules;
	int64_t now_ms = 0;
	int i;

	(void)state;
	event_rules_init(&rules);
	for (i = 0; i < EVENT_BURST; i++)
		assert_int_not_equal(decide(&rules, "R", 1, now_ms).verdict, EVENT_DROP);
	assert_int_equal(decide(&rules, "R", 1, now_ms).verdict, EVENT_DROP);
	assert_int_equal(decide(&rules, "S", 1, now_ms).verdict, EVENT_DROP);
	assert_int_equal(event_decide(&rules, "Node/n2", "R", "m", now_ms).verdict, EVENT_CREATE);
	for (i = 0; i < 3; i++) {
		now_ms += EVENT_REFILL_MS - 1;
		assert_int_equal(decide(&rules, "R", 1, now_ms).verdict, EVENT_DROP);
		now_ms += 1;
		assert_int_not_equal(decide(&rules, "R", 1, now_ms).verdict, EVENT_DROP);
		assert_int_equal(decide(&rules, "R", 1, now_ms).verdict, EVENT_DROP);
	}
	event_rules_clear(&rules);
}

static void a_clock_that_goes_back_gives_and_takes_nothing(void **state)
{
	struct event_rules rules;
	int i;

	(void)state;
	event_rules_init(&rules);
	for (i = 0; i < EVENT_BURST; i++)
		assert_int_not_equal(decide(&rules, "R", 1, 1000000 - i).verdict, EVENT_DROP);
	assert_int_equal(decide(&rules, "R", 1, 0).verdict, EVENT_DROP);
	event_rules_clear(&rules);
}

static void what_is_forgotten_is_created_anew(void **state)
{
	struct event_rules rules;
	struct event_decision d;
	char *key;

	(void)state;
	event_rules_init(&rules);
	d = decide(&rules, "R", 1, 0);
	key = mem_strdup(d.key);
	assert_ptr_equal(event_find(&rules, key), d.written);
	event_forget(&rules, key);
	event_forget(&rules, key);
	assert_null(event_find(&rules, key));
	assert_int_equal(decide(&rules, "R", 1, 0).verdict, EVENT_CREATE);
	free(key);
	event_rules_clear(&rules);
}

static void memory_is_bounded_and_what_is_used_stays(void **state)
{
	struct event_rules rules;
	char object[32];
	int i;

	(void)state;
	event_rules_init(&rules);
	event_decide(&rules, "kept", "R", "m", 0);
	for (i = 0; i < 3 * EVENT_REMEMBERED_MAX; i++) {
		snprintf(object, sizeof(object), "o%d", i);
		event_decide(&rules, object, "R", "m", 0);
		if (i % (EVENT_REMEMBERED_MAX / 6) == 0)
			assert_int_equal(event_decide(&rules, "kept", "R", "m", 0).verdict,
					 EVENT_COUNT);
	}
	assert_int_equal(rules.written.map.n, EVENT_REMEMBERED_MAX);
	assert_int_equal(rules.similar.map.n, EVENT_REMEMBERED_MAX);
	assert_int_equal(rules.buckets.map.n, EVENT_REMEMBERED_MAX);
	assert_int_equal(event_decide(&rules, "o0", "R", "m", 0).verdict, EVENT_CREATE);
	event_rules_clear(&rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_repeats_is_counted),
	    cmocka_unit_test(more_than_ten_different_messages_become_one),
	    cmocka_unit_test(after_ten_quiet_minutes_messages_stand_alone_again),
	    cmocka_unit_test(an_object_has_a_burst_and_then_one_in_five_minutes),
	    cmocka_unit_test(a_clock_that_goes_back_gives_and_takes_nothing),
	    cmocka_unit_test(what_is_forgotten_is_created_anew),
	    cmocka_unit_test(memory_is_bounded_and_what_is_used_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
