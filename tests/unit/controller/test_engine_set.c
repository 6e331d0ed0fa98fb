#include "fake_fleet.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What one node can be told at once has ceilings. */

static int setup(void **state)
{
	(void)state;
	fleet_up(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fleet_down();
	return 0;
}

static char *name_of(size_t i)
{
	return mem_printf("p%04zu", i);
}

static void apply(size_t from, size_t to)
{
	size_t i;

	for (i = from; i < to; i++) {
		CLEANUP(mem_freep) char *name = name_of(i);

		fleet_apply(name, "one", "");
	}
	fleet_settle();
}

/* An agent, once there is something to tell it. */
static void join(void)
{
	fleet_join("n0", "");
	fleet_report(fleet_agent("n0"));
	fleet_settle();
}

/* "Loaded", or the reason of its only node. */
static const char *state_of(size_t i)
{
	CLEANUP(mem_freep) char *name = name_of(i);
	const struct placement *p = map_get(&engine_profile(fleet.engine, name)->placements, "n0");

	return p->state.state == NODE_LOADED ? "Loaded" : p->state.reason;
}

static bool holds(size_t i)
{
	CLEANUP(mem_freep) char *name = name_of(i);

	return map_get(&fleet_agent("n0")->holds, name) != NULL;
}

static void one_profile_more_than_a_set_may_name_is_said_to_be(void **state)
{
	(void)state;
	apply(1, SYNC_ITEMS_MAX + 2);
	join();
	assert_string_equal(state_of(SYNC_ITEMS_MAX), "Loaded");
	assert_string_equal(state_of(SYNC_ITEMS_MAX + 1), "SetTooLarge");
	assert_false(holds(SYNC_ITEMS_MAX + 1));
	assert_string_equal(fleet_ready("p1025"), "NodesFailed");
	/* One that comes before them by name takes the place of the last. */
	apply(0, 1);
	assert_string_equal(state_of(0), "Loaded");
	assert_string_equal(state_of(SYNC_ITEMS_MAX), "SetTooLarge");
}

static void families_that_are_too_large_together_are_told_as_far_as_there_is_room(void **state)
{
	size_t n = 0, i;

	(void)state;
	fleet.n_hats = 500;
	apply(0, 45);
	join();
	assert_in_range(strlen(engine_node(fleet.engine, "n0")->set->text), SYNC_SET_MAX / 2,
			SYNC_SET_MAX);
	for (i = 0; i < 45; i++)
		n += strcmp(state_of(i), "Loaded") == 0;
	assert_int_equal(n, SYNC_SET_HASHES_MAX / 501);
	assert_string_equal(state_of(n - 1), "Loaded");
	assert_string_equal(state_of(n), "SetTooLarge");
	/* A small one takes none of their places. */
	fleet.n_hats = 0;
	apply(60, 61);
	assert_string_equal(state_of(60), "Loaded");
	assert_string_equal(state_of(n - 1), "Loaded");
}

static void what_there_is_no_room_for_any_more_is_kept(void **state)
{
	(void)state;
	fleet.n_hats = 500;
	apply(5, 37);
	join();
	assert_string_equal(state_of(36), "Loaded");
	apply(0, 5);
	assert_string_equal(state_of(0), "Loaded");
	assert_string_equal(state_of(36), "SetTooLarge");
	assert_true(holds(36));
	assert_non_null(strstr(engine_node(fleet.engine, "n0")->set->keep, "p0036"));
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(one_profile_more_than_a_set_may_name_is_said_to_be),
	    TEST(families_that_are_too_large_together_are_told_as_far_as_there_is_room),
	    TEST(what_there_is_no_room_for_any_more_is_kept),
	};

	return cmocka_run_group_tests_name("engine_set", tests, NULL, NULL);
}
