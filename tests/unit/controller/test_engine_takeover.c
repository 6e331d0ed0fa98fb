#include "fake_fleet.h"

#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A replica that stood by takes over: it has seen every object come and change, and acted on none.
 */

static int teardown(void **state)
{
	(void)state;
	fleet_down();
	return 0;
}

static int64_t generation_of(const char *profile)
{
	return js_i64(fleet_status(profile), "observedGeneration", -1);
}

/* All that can happen to a profile before the other replica leads, and nothing is written about it
 * then: its status says all there is to say. */
static void whoever_stood_by_leaves_a_status_that_is_up_to_date(void **state)
{
	static const struct {
		const char *name, *second_text, *second_spec;
	} cases[] = {
	    {"made meanwhile", NULL, NULL},
	    {"changed meanwhile", "y", ""},
	    {"with another selector", "x",
	     ",\"nodeSelector\":{\"matchLabels\":{\"disk\":\"none\"}}"},
	    {"refused meanwhile", "broken", ""},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		fleet_up(2);
		fleet_stand_by();
		fleet_apply("a", "x", "");
		fleet_wait(5);
		if (cases[i].second_text)
			fleet_apply("a", cases[i].second_text, cases[i].second_spec);
		fleet_wait(3600);
		fleet.n_status = 0;
		fleet_take_over();
		fleet_wait(200);
		if (fleet.n_status != 0)
			fail_msg("%s: %d writes", cases[i].name, fleet.n_status);
		fleet_down();
	}
	fleet_up(1);
}

static void a_change_that_no_leader_saw_is_told(void **state)
{
	(void)state;
	fleet_up(2);
	fleet_stand_by();
	fleet_apply("a", "x", "");
	fleet_wait(5);
	/* The leader is dead already when this comes. */
	engine_free(fleet.engine);
	fleet.engine = STEAL(fleet.standby);
	fleet_apply("a", "y", "");
	fleet.standby = STEAL(fleet.engine);
	fleet_take_over();
	fleet_wait(5);
	assert_int_equal(generation_of("a"), 2);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

/* What a rollout has come to is in the object as it is now, not as it was when it was first seen.
 */
static void whoever_stood_by_knows_how_far_a_rollout_is(void **state)
{
	char first[PROFILE_REVISION_SIZE];

	(void)state;
	fleet_up(4);
	fleet_stand_by();
	fleet_apply("a", "x", ",\"rollout\":{\"maxUnavailable\":1}");
	fleet_wait(20);
	memcpy(first, fleet_revision("a"), sizeof(first));
	fleet_apply(
	    "a", "y",
	    ",\"rollout\":{\"maxUnavailable\":1,\"steps\":[{\"nodes\":1,\"soakSeconds\":600}]}");
	fleet_wait(20);
	assert_string_equal(fleet_phase("a"), "Soaking");
	fleet_take_over();
	assert_string_equal(engine_profile(fleet.engine, "a")->current_id, first);
	fleet_wait(500);
	assert_string_equal(fleet_phase("a"), "Soaking");
	assert_int_equal(fleet_holding("a", first), 3);
	fleet_wait(100);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

/* An API server that does not answer says nothing about what it holds. */
static void the_last_good_revision_is_asked_for_until_it_can_be_read(void **state)
{
	char good[PROFILE_REVISION_SIZE];

	(void)state;
	fleet_up(2);
	fleet_apply("a", "x", "");
	fleet_wait(5);
	memcpy(good, fleet_revision("a"), sizeof(good));
	fleet_apply("a", "broken", "");
	fleet_wait(5);
	fleet.unreadable = true;
	fleet_kill_controller();
	fleet_wait(600);
	assert_null(engine_profile(fleet.engine, "a")->served);
	fleet.unreadable = false;
	fleet_wait(60);
	assert_string_equal(engine_profile(fleet.engine, "a")->served->id, good);
	assert_string_equal(fleet_ready("a"), "InvalidPolicy");
}

static void a_status_that_is_refused_for_good_holds_nothing_else_up(void **state)
{
	(void)state;
	fleet_up(2);
	fleet_apply("a", "x", "");
	fleet_wait(5);
	fleet.status_refused = true;
	fleet_apply("a", "y", "");
	fleet_wait(600);
	fleet_apply("a", "z", "");
	fleet_wait(3);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 2);
	fleet.status_refused = false;
	fleet_wait(61);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
	assert_int_equal(generation_of("a"), 3);
}

int main(void)
{
#define T(f_) cmocka_unit_test_teardown(f_, teardown)
	const struct CMUnitTest tests[] = {
	    T(whoever_stood_by_leaves_a_status_that_is_up_to_date),
	    T(a_change_that_no_leader_saw_is_told),
	    T(whoever_stood_by_knows_how_far_a_rollout_is),
	    T(the_last_good_revision_is_asked_for_until_it_can_be_read),
	    T(a_status_that_is_refused_for_good_holds_nothing_else_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
