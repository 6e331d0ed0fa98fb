#include "fake_fleet.h"

#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Agents that say one thing, and then another, as fast as they are heard. */

static int setup(void **state)
{
	(void)state;
	fleet_up(2);
	fleet_apply("a", "x", "");
	fleet_wait(60);
	fleet.n_status = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fleet_down();
	return 0;
}

/* n0 fails and holds in turn, for 300 s. */
static void flap(void)
{
	struct fleet_agent *n0 = fleet_agent("n0");
	int i;

	for (i = 0; i < 3000; i++) {
		n0->trouble = i % 2 ? SYNC_REASON_NONE : SYNC_REASON_NAME_CONFLICT;
		fleet_report(n0);
		fleet_settle();
		fleet.now_ms += 100;
	}
	n0->trouble = SYNC_REASON_NONE;
	fleet_report(n0);
	fleet_settle();
}

static void one_node_does_not_make_us_write_status_without_end(void **state)
{
	(void)state;
	flap();
	assert_in_range(fleet.n_status, 20, 50);
	/* What is true in the end is told all the same. */
	fleet_wait(11);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

static void what_a_user_does_is_told_at_once_even_then(void **state)
{
	(void)state;
	flap();
	fleet_apply("a", "broken", "");
	assert_string_equal(fleet_ready("a"), "InvalidPolicy");
	fleet_apply("a", "y", "");
	fleet_wait(1);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

/* It reports again, after a boot, 100 ms later. */
static void boot(int i)
{
	struct sync_request req = {.protocol = SYNC_PROTOCOL};
	struct node *n0 = engine_node(fleet.engine, "n0");

	req.agent_version = mem_strdup("test");
	req.kernel_release = mem_strdup("6.1");
	req.boot_id = mem_printf("b%d", i);
	memcpy(req.features, n0->features, sizeof(req.features));
	memcpy(req.report_hash, n0->report_hash, sizeof(req.report_hash));
	engine_agent_heard(fleet.engine, "n0", "u-n0", &req, fleet.now_ms);
	sync_request_clear(&req);
	engine_run(fleet.engine, fleet.now_ms);
	engine_node_written(fleet.engine, "n0", true, fleet.now_ms);
	engine_run(fleet.engine, fleet.now_ms);
	fleet.now_ms += 100;
}

static void one_node_does_not_make_us_write_its_object_without_end(void **state)
{
	int i;

	(void)state;
	engine_node_written(fleet.engine, "n0", true, fleet.now_ms);
	fleet.n_node_writes = 0;
	for (i = 0; i < 3000; i++)
		boot(i);
	assert_in_range(fleet.n_node_writes, 15, 21);
	/* What it says last is written in the end. */
	assert_true(engine_node(fleet.engine, "n0")->facts_dirty);
	fleet.n_node_writes = 0;
	fleet_wait(31);
	assert_int_equal(fleet.n_node_writes, 1);
}

int main(void)
{
#define T(f_) cmocka_unit_test_setup_teardown(f_, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(one_node_does_not_make_us_write_status_without_end),
	    T(what_a_user_does_is_told_at_once_even_then),
	    T(one_node_does_not_make_us_write_its_object_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
