#include "fake_fleet.h"

#include "base/mem.h"
#include "policy/features.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* When the AppArmorNode of a node is written. */

static void run(void)
{
	engine_run(fleet.engine, fleet.now_ms);
}

/* All that is being written is, and what became known meanwhile. */
static void written(const char *node)
{
	while (engine_node(fleet.engine, node)->facts_writing) {
		engine_node_written(fleet.engine, node, true, fleet.now_ms);
		run();
	}
	fleet.n_node_writes = 0;
}

static int setup(void **state)
{
	(void)state;
	fleet_up(1);
	fleet_apply("a", "x", "");
	fleet_wait(60);
	written("n0");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fleet_down();
	return 0;
}

static void an_object_that_somebody_deleted_is_written_again_once(void **state)
{
	(void)state;
	engine_node_object_gone(fleet.engine, "n0");
	run();
	assert_int_equal(fleet.n_node_writes, 1);
	written("n0");
	engine_node_object_seen(fleet.engine, "n0", NULL, 0, true);
	fleet_wait(31);
	assert_int_equal(fleet.n_node_writes, 0);
}

static void nothing_is_written_of_a_node_that_nothing_is_known_of(void **state)
{
	(void)state;
	fleet_agent("n0")->away = true;
	fleet_kill_controller();
	engine_node_object_seen(fleet.engine, "n0", NULL, 0, true);
	run();
	fleet.n_node_writes = 0;
	engine_node_object_gone(fleet.engine, "n0");
	run();
	assert_int_equal(fleet.n_node_writes, 0);
}

static void what_goes_while_all_is_uninstalled_is_not_made_again(void **state)
{
	(void)state;
	engine_uninstall(fleet.engine);
	engine_node_object_gone(fleet.engine, "n0");
	run();
	assert_int_equal(fleet.n_node_writes, 0);
}

/* It holds one profile that no object asks for. */
static void reports_orphan(const char *profile, const char *report_hash)
{
	struct node *n0 = engine_node(fleet.engine, "n0");
	struct sync_request req = {.protocol = SYNC_PROTOCOL, .has_report = true};
	struct sync_status *s = req.report.items = MEM_NEW(struct sync_status);

	req.agent_version = mem_strdup(n0->agent_version);
	req.kernel_release = mem_strdup(n0->kernel_release);
	req.boot_id = mem_strdup(n0->boot_id);
	memcpy(req.features, n0->features, sizeof(req.features));
	memset(req.report_hash, *report_hash, sizeof(req.report_hash) - 1);
	req.report.apparmor_enabled = true;
	req.report.apparmor_reason = mem_strdup("");
	req.report.n = 1;
	s->name = mem_strdup(profile);
	s->uid = mem_strdup("");
	s->message = mem_strdup("");
	s->kernel_mode = mem_strdup("enforce");
	s->state = SYNC_STATE_ORPHAN;
	engine_agent_heard(fleet.engine, "n0", "u-n0", &req, fleet.now_ms);
	sync_request_clear(&req);
	run();
}

static void that_another_one_is_orphaned_is_written(void **state)
{
	(void)state;
	reports_orphan("gone", "1");
	assert_int_equal(fleet.n_node_writes, 1);
	written("n0");
	reports_orphan("gone", "2");
	assert_int_equal(fleet.n_node_writes, 0);
	reports_orphan("lost", "3");
	assert_int_equal(fleet.n_node_writes, 1);
}

/* The report does not come again. As an agent does, it says only the hash where it was not asked
 * for the text. */
static void brings(const char *node, const char *text, bool asked)
{
	struct node *n = engine_node(fleet.engine, node);
	struct sync_request req = {.protocol = SYNC_PROTOCOL};
	CLEANUP(mem_freep) char *uid = mem_printf("u-%s", node);

	req.agent_version = mem_strdup(n->agent_version);
	req.kernel_release = mem_strdup(n->kernel_release);
	req.boot_id = mem_strdup(n->boot_id);
	req.features_text = asked ? mem_strdup(text) : NULL;
	memcpy(req.report_hash, n->report_hash, sizeof(req.report_hash));
	features_hash(text, strlen(text), req.features);
	engine_agent_heard(fleet.engine, node, uid, &req, fleet.now_ms);
	sync_request_clear(&req);
	run();
}

static void that_a_feature_set_is_refused_is_written_and_that_it_is_not_any_more(void **state)
{
	static const char first[] = "caps {x\n}\n", second[] = "caps {y\n}\n";

	(void)state;
	fleet_join("n1", "");
	fleet_wait(1);
	brings("n0", first, true);
	brings("n0", second, false);
	written("n0");
	brings("n0", second, true);
	assert_string_equal(engine_node(fleet.engine, "n0")->features_reason, "TooManyFeatureSets");
	assert_int_equal(fleet.n_node_writes, 1);
	assert_int_equal(engine_profile(fleet.engine, "a")->counts.failed, 1);
	written("n0");
	brings("n1", second, false);
	written("n1");
	brings("n1", second, true);
	assert_null(engine_node(fleet.engine, "n0")->features_reason);
	assert_int_equal(fleet.n_node_writes, 1);
	assert_int_equal(engine_profile(fleet.engine, "a")->counts.failed, 0);
}

int main(void)
{
#define T(f_) cmocka_unit_test_setup_teardown(f_, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(an_object_that_somebody_deleted_is_written_again_once),
	    T(nothing_is_written_of_a_node_that_nothing_is_known_of),
	    T(what_goes_while_all_is_uninstalled_is_not_made_again),
	    T(that_another_one_is_orphaned_is_written),
	    T(that_a_feature_set_is_refused_is_written_and_that_it_is_not_any_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
