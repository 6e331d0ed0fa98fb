#include "controller/node_objects.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "fake_kube.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct place {
	uv_loop_t loop;
	struct fake_kube *kube;
	struct node_objects *no;
	int n_synced, n_seen, n_changed, n_written, n_failed, n_gone;
	bool yields;
};

static void on_synced(void *data)
{
	((struct place *)data)->n_synced++;
}

static void on_seen(void *data, const char *node_name, bool is_new)
{
	struct place *p = data;

	assert_true(*node_name);
	p->n_seen++;
	p->n_changed += !is_new;
}

static void on_written(void *data, const char *node_name, bool ok)
{
	struct place *p = data;

	assert_true(*node_name);
	p->n_written += ok;
	p->n_failed += !ok;
}

static void on_gone(void *data, const char *node_name)
{
	assert_string_equal(node_name, "n1");
	((struct place *)data)->n_gone++;
}

static bool yields(void *data)
{
	return ((struct place *)data)->yields;
}

static void place_start(struct place *p)
{
	struct node_objects_spec spec = {.synced = on_synced,
					 .seen = on_seen,
					 .gone = on_gone,
					 .written = on_written,
					 .yields = yields,
					 .data = p};

	p->no = node_objects_start(fake_kube_client(p->kube), &spec);
}

static int place_setup(void **state)
{
	struct place *p = MEM_NEW(struct place);

	uv_loop_init(&p->loop);
	p->kube = fake_kube_new(&p->loop);
	place_start(p);
	*state = p;
	return 0;
}

static int place_teardown(void **state)
{
	struct place *p = *state;

	if (p->no)
		node_objects_close(p->no);
	fake_kube_close(p->kube);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	free(p);
	return 0;
}

static void expect_writes(struct place *p, const char *expected)
{
	CLEANUP(mem_freep) char *writes = fake_kube_writes(p->kube);

	assert_string_equal(writes, expected);
}

static void set(struct place *p, const char *boot_id, const char *removal_uid)
{
	struct node_removal removal = {(char *)"web", (char *)removal_uid, NULL, 0};
	struct node_facts facts = {
	    .kernel_release = "6.1",
	    .boot_id = boot_id,
	    .apparmor = {.truth = NODE_TRUE},
	    .agent = {.truth = NODE_TRUE},
	    .removals = &removal,
	    .n_removals = removal_uid != NULL,
	};

	node_objects_set(p->no, "n1", "node-uid", &facts);
}

static struct json_object *object_of(struct place *p)
{
	return fake_kube_get(p->kube, NODE_OBJECTS_PATH "/n1");
}

static struct json_object *copy_of(struct place *p)
{
	struct json_object *copy = NULL;

	assert_int_equal(json_object_deep_copy(object_of(p), &copy, NULL), 0);
	return copy;
}

#define CREATED "POST " NODE_OBJECTS_PATH "\n"
#define PATCHED "PATCH " NODE_OBJECTS_PATH "/n1/status\n"

static void a_node_gets_an_object_that_its_node_owns(void **state)
{
	struct place *p = *state;
	struct json_object *owner;

	set(p, "b1", NULL);
	assert_int_equal(p->n_written, 0);
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_written, 1);
	assert_int_equal(p->n_synced, 1);
	expect_writes(p, CREATED PATCHED);
	owner = js_item(js_array(object_of(p), "metadata.ownerReferences"), 0);
	assert_string_equal(js_str(owner, "kind"), "Node");
	assert_string_equal(js_str(owner, "uid"), "node-uid");
	assert_string_equal(js_str(object_of(p), "status.bootID"), "b1");
}

static void what_the_api_server_holds_already_is_not_written(void **state)
{
	struct place *p = *state;

	set(p, "b1", NULL);
	fake_kube_settle(p->kube);
	expect_writes(p, CREATED PATCHED);
	set(p, "b1", NULL);
	assert_int_equal(p->n_written, 1);
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_written, 2);
	expect_writes(p, "");
}

static void facts_that_come_during_a_write_cost_one_more(void **state)
{
	struct place *p = *state;
	CLEANUP(mem_freep) char *boot_id = NULL;
	int i;

	set(p, "b1", NULL);
	fake_kube_settle(p->kube);
	expect_writes(p, CREATED PATCHED);
	set(p, "b2", NULL);
	fake_kube_hold(p->kube, true);
	uv_run(&p->loop, UV_RUN_NOWAIT);
	assert_int_equal(fake_kube_n_waiting(p->kube), 1);
	for (i = 0; i < 100; i++) {
		mem_replace(&boot_id, mem_printf("c%d", i));
		set(p, boot_id, NULL);
	}
	fake_kube_hold(p->kube, false);
	fake_kube_settle(p->kube);
	expect_writes(p, PATCHED PATCHED);
	assert_string_equal(js_str(object_of(p), "status.bootID"), "c99");
	assert_int_equal(p->n_written, 2);
}

static void a_stale_write_is_made_again_on_the_newest(void **state)
{
	struct place *p = *state;
	struct json_object *other;

	set(p, "b1", NULL);
	fake_kube_settle(p->kube);
	expect_writes(p, CREATED PATCHED);
	fake_kube_hold(p->kube, true);
	set(p, "b2", NULL);
	uv_run(&p->loop, UV_RUN_NOWAIT);
	other = copy_of(p);
	js_put_str(js_get(other, "status"), "later", "kept");
	fake_kube_put(p->kube, NODE_OBJECTS_PATH, other);
	fake_kube_hold(p->kube, false);
	fake_kube_settle(p->kube);
	expect_writes(p, PATCHED PATCHED);
	assert_string_equal(js_str(object_of(p), "status.bootID"), "b2");
	assert_string_equal(js_str(object_of(p), "status.later"), "kept");
	assert_int_equal(p->n_written, 1 + 1);
}

static void an_object_that_exists_already_is_read(void **state)
{
	struct place *p = *state;
	struct json_object *there = NULL;
	CLEANUP(js_putp) struct json_object *made = node_status_new_object("n1", "node-uid");

	fake_kube_settle(p->kube);
	set(p, "b1", NULL);
	fake_kube_hold(p->kube, true);
	uv_run(&p->loop, UV_RUN_NOWAIT); /* the create is on its way */
	assert_int_equal(json_object_deep_copy(made, &there, NULL), 0);
	fake_kube_put(p->kube, NODE_OBJECTS_PATH, there);
	fake_kube_hold(p->kube, false);
	fake_kube_settle(p->kube);
	expect_writes(p, CREATED PATCHED);
	assert_string_equal(js_str(object_of(p), "status.bootID"), "b1");
}

static void an_object_that_goes_in_the_middle_is_made_again(void **state)
{
	struct place *p = *state;

	set(p, "b1", NULL);
	fake_kube_settle(p->kube);
	expect_writes(p, CREATED PATCHED);
	fake_kube_hold(p->kube, true);
	set(p, "b2", NULL);
	uv_run(&p->loop, UV_RUN_NOWAIT);
	fake_kube_remove(p->kube, NODE_OBJECTS_PATH "/n1");
	fake_kube_hold(p->kube, false);
	fake_kube_settle(p->kube);
	expect_writes(p, PATCHED CREATED PATCHED);
	assert_string_equal(js_str(object_of(p), "status.bootID"), "b2");
	assert_int_equal(p->n_gone, 0);
}

static void an_object_that_somebody_deletes_is_told_and_made_again_when_it_is_set(void **state)
{
	struct place *p = *state;

	set(p, "b1", NULL);
	fake_kube_settle(p->kube);
	expect_writes(p, CREATED PATCHED);
	fake_kube_remove(p->kube, NODE_OBJECTS_PATH "/n1");
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_gone, 1);
	expect_writes(p, "");
	set(p, "b1", NULL);
	fake_kube_settle(p->kube);
	expect_writes(p, CREATED PATCHED);
	assert_int_equal(p->n_gone, 1);
}

static void a_node_that_was_registered_anew_takes_its_object_over(void **state)
{
	struct place *p = *state;
	struct node_facts facts = {.boot_id = "b1", .agent = {.truth = NODE_TRUE}};
	struct json_object *owners;
	struct node_removal *removals;

	set(p, "b1", "u1");
	fake_kube_settle(p->kube);
	expect_writes(p, CREATED PATCHED);
	assert_int_equal(node_objects_pending(p->no, "n1", &removals), 1);
	facts.removals = removals;
	facts.n_removals = 1;
	node_objects_set(p->no, "n1", "another-uid", &facts);
	fake_kube_settle(p->kube);
	node_removals_free(removals, 1);
	expect_writes(p, "PATCH " NODE_OBJECTS_PATH "/n1\n");
	owners = js_array(object_of(p), "metadata.ownerReferences");
	assert_int_equal(js_len(owners), 1);
	assert_string_equal(js_str(js_item(owners, 0), "uid"), "another-uid");
	assert_int_equal(node_objects_pending(p->no, "n1", NULL), 1);
}

static void a_new_leader_knows_what_is_pending(void **state)
{
	struct place *p = *state;
	struct node_removal *removals;

	set(p, "b1", "u1");
	fake_kube_settle(p->kube);
	node_objects_close(p->no);
	p->n_synced = p->n_seen = 0;
	place_start(p);
	assert_false(node_objects_has_synced(p->no));
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_synced, 1);
	assert_int_equal(p->n_seen, 1);
	assert_int_equal(node_objects_pending(p->no, "n1", &removals), 1);
	assert_string_equal(removals[0].profile, "web");
	assert_string_equal(removals[0].uid, "u1");
	node_removals_free(removals, 1);
	assert_int_equal(node_objects_pending(p->no, "n2", &removals), 0);
	node_removals_free(removals, 0);
}

static void removals_changed_by_another_hand_are_seen_and_ours_are_not(void **state)
{
	struct place *p = *state;
	struct json_object *edited;
	int n_seen;

	set(p, "b1", NULL);
	fake_kube_settle(p->kube);
	n_seen = p->n_seen;
	set(p, "b1", "u1");
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_seen, n_seen);
	edited = copy_of(p);
	json_object_object_del(js_get(edited, "status"), "pendingRemovals");
	fake_kube_put(p->kube, NODE_OBJECTS_PATH, edited);
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_seen, n_seen + 1);
	edited = copy_of(p);
	js_put_str(js_get(edited, "status"), "bootID", "b9");
	fake_kube_put(p->kube, NODE_OBJECTS_PATH, edited);
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_seen, n_seen + 1);
}

static void set_many(struct place *p, int n)
{
	struct node_facts facts = {.boot_id = "b1"};
	int i;

	for (i = 0; i < n; i++) {
		CLEANUP(mem_freep) char *name = mem_printf("n%d", i);

		node_objects_set(p->no, name, "u", &facts);
	}
}

static void while_something_else_is_more_urgent_one_node_is_written_at_a_time(void **state)
{
	struct place *p = *state;

	fake_kube_settle(p->kube);
	p->yields = true;
	set_many(p, 100);
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_written, 100);
	assert_int_equal(fake_kube_n_most(p->kube), 1);
}

/* A person takes a removal back while a write of ours is under way. */
static void removals_that_are_edited_under_a_write_stand(void **state)
{
	struct place *p = *state;
	struct json_object *edited;

	set(p, "b1", "u1");
	fake_kube_settle(p->kube);
	fake_kube_hold(p->kube, true);
	set(p, "b2", "u1");
	uv_run(&p->loop, UV_RUN_NOWAIT);
	edited = copy_of(p);
	json_object_object_del(js_get(edited, "status"), "pendingRemovals");
	fake_kube_put(p->kube, NODE_OBJECTS_PATH, edited);
	fake_kube_hold(p->kube, false);
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_changed, 1);
	assert_int_equal(p->n_failed, 1);
	assert_int_equal(node_objects_pending(p->no, "n1", NULL), 0);
	assert_string_equal(js_str(object_of(p), "status.bootID"), "b1");
	/* Whoever has the facts knows of it now. */
	set(p, "b2", NULL);
	fake_kube_settle(p->kube);
	assert_string_equal(js_str(object_of(p), "status.bootID"), "b2");
	assert_int_equal(p->n_changed, 1);
}

static void many_nodes_are_written_a_few_at_a_time(void **state)
{
	struct place *p = *state;

	set_many(p, 1000);
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_written, 1000);
	assert_true(fake_kube_n_most(p->kube) <= NODE_OBJECTS_WRITES_MAX);
}

static void a_write_that_fails_is_tried_again(void **state)
{
	struct place *p = *state;

	fake_kube_settle(p->kube);
	fake_kube_fail(p->kube, NODE_OBJECTS_PATH, KUBE_UNAVAILABLE);
	set(p, "b1", NULL);
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_written + p->n_failed, 0);
	fake_kube_fail(p->kube, NULL, KUBE_OK);
	while (p->n_written == 0)
		uv_run(&p->loop, UV_RUN_ONCE); /* the wait of half a second */
	assert_string_equal(js_str(object_of(p), "status.bootID"), "b1");
}

static void a_node_that_is_gone_is_forgotten(void **state)
{
	struct place *p = *state;

	fake_kube_settle(p->kube);
	set(p, "b1", NULL);
	fake_kube_hold(p->kube, true);
	uv_run(&p->loop, UV_RUN_NOWAIT);
	assert_int_equal(fake_kube_n_waiting(p->kube), 1);
	node_objects_forget(p->no, "n1");
	node_objects_forget(p->no, "n2");
	assert_int_equal(fake_kube_n_waiting(p->kube), 0);
	fake_kube_hold(p->kube, false);
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_written + p->n_failed, 0);
}

static void closing_in_the_middle_calls_nobody(void **state)
{
	struct place *p = *state;
	struct node_facts facts = {.boot_id = "b1"};
	int i;

	fake_kube_settle(p->kube);
	fake_kube_hold(p->kube, true);
	for (i = 0; i < 20; i++) {
		CLEANUP(mem_freep) char *name = mem_printf("n%d", i);

		node_objects_set(p->no, name, "u", &facts);
	}
	uv_run(&p->loop, UV_RUN_NOWAIT);
	node_objects_close(p->no);
	p->no = NULL;
	assert_int_equal(fake_kube_n_waiting(p->kube), 0);
	fake_kube_hold(p->kube, false);
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_written + p->n_failed, 0);
}

int main(void)
{
#define TEST(fn_) cmocka_unit_test_setup_teardown(fn_, place_setup, place_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_node_gets_an_object_that_its_node_owns),
	    TEST(what_the_api_server_holds_already_is_not_written),
	    TEST(facts_that_come_during_a_write_cost_one_more),
	    TEST(a_stale_write_is_made_again_on_the_newest),
	    TEST(an_object_that_exists_already_is_read),
	    TEST(an_object_that_goes_in_the_middle_is_made_again),
	    TEST(an_object_that_somebody_deletes_is_told_and_made_again_when_it_is_set),
	    TEST(a_node_that_was_registered_anew_takes_its_object_over),
	    TEST(a_new_leader_knows_what_is_pending),
	    TEST(removals_changed_by_another_hand_are_seen_and_ours_are_not),
	    TEST(removals_that_are_edited_under_a_write_stand),
	    TEST(many_nodes_are_written_a_few_at_a_time),
	    TEST(while_something_else_is_more_urgent_one_node_is_written_at_a_time),
	    TEST(a_write_that_fails_is_tried_again),
	    TEST(a_node_that_is_gone_is_forgotten),
	    TEST(closing_in_the_middle_calls_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
