#include "controller/rollout_queue.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 500 };

static const char *zone_of(const struct rollout_entry *nodes, const struct rollout_entry *entry)
{
	static const char *const zones[] = {"", "a", "b", "a", ""};

	return zones[(entry - nodes) % 5];
}

static void push(struct rollout_queue *q, struct rollout_entry *nodes, struct rollout_entry *entry)
{
	rollout_queue_push(q, entry, zone_of(nodes, entry));
}

static struct rollout_entry *nodes_new(void)
{
	struct rollout_entry *nodes = mem_alloc(NODES, sizeof(*nodes));
	char uid[24];
	int i;

	for (i = 0; i < NODES; i++) {
		snprintf(uid, sizeof(uid), "node-%d", i);
		rollout_entry_key(&nodes[i], uid, "profile", "0123456789ab");
	}
	return nodes;
}

/* Zone "a" before "b" before none; then by digest. */
static bool in_order(const struct rollout_entry *nodes, const struct rollout_entry *a,
		     const struct rollout_entry *b, bool by_zone)
{
	const char *za = zone_of(nodes, a), *zb = zone_of(nodes, b);
	int zone = by_zone ? strcmp(*za ? za : "~", *zb ? zb : "~") : 0;

	return zone < 0 || (zone == 0 && memcmp(a->digest, b->digest, sizeof(a->digest)) < 0);
}

static void assert_pops_in_order(struct rollout_queue *q, const struct rollout_entry *nodes,
				 bool by_zone, size_t n)
{
	struct rollout_entry *before = NULL, *entry;
	size_t popped = 0;

	while ((entry = rollout_queue_pop(q))) {
		assert_int_equal(entry->at, 0);
		if (before)
			assert_true(in_order(nodes, before, entry, by_zone));
		before = entry;
		popped++;
	}
	assert_int_equal(popped, n);
}

static void a_key_is_the_digest_of_node_profile_and_revision(void **state)
{
	struct rollout_entry a = {0};
	char hex[SHA256_HEX];
	size_t i;

	(void)state;
	rollout_entry_key(&a, "n", "p", "r");
	sha256_hex("n\0p\0r", sizeof("n\0p\0r"), hex);
	for (i = 0; i < sizeof(a.digest); i++) {
		char two[3];

		snprintf(two, sizeof(two), "%02x", a.digest[i]);
		assert_memory_equal(two, hex + 2 * i, 2);
	}
}

static void each_rollout_has_canaries_of_its_own(void **state)
{
	static const char *const others[][3] = {
	    {"n", "p", "s"}, {"n", "q", "r"}, {"m", "p", "r"}, {"np", "", "r"}, {"n", "pr", ""}};
	struct rollout_entry a = {0}, b = {0};
	size_t i;

	(void)state;
	rollout_entry_key(&a, "n", "p", "r");
	rollout_entry_key(&b, "n", "p", "r");
	assert_memory_equal(a.digest, b.digest, sizeof(a.digest));
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		rollout_entry_key(&b, others[i][0], others[i][1], others[i][2]);
		assert_memory_not_equal(a.digest, b.digest, sizeof(a.digest));
	}
}

static void canaries_come_by_digest_whatever_their_zone(void **state)
{
	CLEANUP(mem_freep) struct rollout_entry *nodes = nodes_new();
	struct rollout_queue q = {0};
	int i;

	(void)state;
	for (i = 0; i < NODES; i++)
		push(&q, nodes, &nodes[i]);
	assert_pops_in_order(&q, nodes, false, NODES);
	rollout_queue_deinit(&q);
}

static void the_rest_comes_zone_by_zone_those_without_last(void **state)
{
	CLEANUP(mem_freep) struct rollout_entry *nodes = nodes_new();
	struct rollout_queue q = {0};
	int i;

	(void)state;
	rollout_queue_set_order(&q, true);
	for (i = 0; i < NODES; i++)
		push(&q, nodes, &nodes[i]);
	assert_pops_in_order(&q, nodes, true, NODES);
	rollout_queue_deinit(&q);
}

static void what_is_queued_is_ordered_anew_after_the_steps(void **state)
{
	CLEANUP(mem_freep) struct rollout_entry *nodes = nodes_new();
	struct rollout_queue q = {0};
	int i;

	(void)state;
	for (i = 0; i < NODES; i++)
		push(&q, nodes, &nodes[i]);
	for (i = 0; i < 10; i++)
		rollout_queue_pop(&q);
	rollout_queue_set_order(&q, true);
	assert_pops_in_order(&q, nodes, true, NODES - 10);
	rollout_queue_deinit(&q);
}

static void the_order_does_not_depend_on_who_came_first(void **state)
{
	CLEANUP(mem_freep) struct rollout_entry *nodes = nodes_new();
	CLEANUP(mem_freep) struct rollout_entry *same = nodes_new();
	struct rollout_queue q = {0}, p = {0};
	int i;

	(void)state;
	for (i = 0; i < NODES; i++) {
		push(&q, nodes, &nodes[i]);
		push(&p, same, &same[NODES - 1 - i]);
	}
	for (i = 0; i < NODES; i++)
		assert_int_equal(rollout_queue_pop(&q) - nodes, rollout_queue_pop(&p) - same);
	rollout_queue_deinit(&q);
	rollout_queue_deinit(&p);
}

static void entries_come_and_go_in_any_order(void **state)
{
	CLEANUP(mem_freep) struct rollout_entry *nodes = nodes_new();
	struct rollout_queue q = {.by_zone = true};
	unsigned int seed = 7;
	size_t queued = 0;
	int i;

	(void)state;
	for (i = 0; i < 20 * NODES; i++) {
		struct rollout_entry *entry;

		seed = seed * 1103515245u + 12345u;
		entry = &nodes[(seed >> 8) % NODES];
		if (entry->at)
			rollout_queue_remove(&q, entry);
		else
			push(&q, nodes, entry);
		queued = entry->at ? queued + 1 : queued - 1;
		assert_int_equal(q.n, queued);
	}
	for (i = 0; i < NODES; i++)
		assert_true(!nodes[i].at || q.heap[nodes[i].at - 1].entry == &nodes[i]);
	assert_pops_in_order(&q, nodes, true, queued);
	rollout_queue_deinit(&q);
}

static void pushing_twice_and_removing_twice_is_once(void **state)
{
	struct rollout_entry a = {0}, b = {.digest = {1}};
	struct rollout_queue q = {0};

	(void)state;
	rollout_queue_push(&q, &b, "");
	rollout_queue_push(&q, &a, "");
	rollout_queue_push(&q, &a, "");
	assert_int_equal(q.n, 2);
	rollout_queue_remove(&q, &a);
	rollout_queue_remove(&q, &a);
	assert_int_equal(q.n, 1);
	assert_ptr_equal(rollout_queue_pop(&q), &b);
	assert_null(rollout_queue_pop(&q));
	rollout_queue_deinit(&q);
}

static void an_entry_is_removed_from_its_own_queue_only(void **state)
{
	struct rollout_entry a = {0}, b = {0};
	struct rollout_queue q = {0}, p = {0};

	(void)state;
	rollout_queue_push(&q, &a, "");
	rollout_queue_remove(&p, &a);
	rollout_queue_push(&p, &b, "");
	rollout_queue_remove(&p, &a);
	assert_int_equal(p.n, 1);
	assert_ptr_equal(rollout_queue_pop(&q), &a);
	assert_ptr_equal(rollout_queue_pop(&p), &b);
	rollout_queue_deinit(&q);
	rollout_queue_deinit(&p);
}

static void keys_that_begin_alike_are_compared_to_their_end(void **state)
{
	struct rollout_entry a = {.digest = {[ROLLOUT_DIGEST_SIZE - 1] = 1}}, b = {0};
	struct rollout_queue q = {0};

	(void)state;
	rollout_queue_push(&q, &a, "");
	rollout_queue_push(&q, &b, "");
	assert_ptr_equal(rollout_queue_pop(&q), &b);
	assert_ptr_equal(rollout_queue_pop(&q), &a);
	rollout_queue_deinit(&q);
}

static void a_cleared_queue_lets_its_entries_be_queued_again(void **state)
{
	struct rollout_entry a = {0}, b = {.digest = {1}};
	struct rollout_queue q = {0};

	(void)state;
	rollout_queue_push(&q, &a, "");
	rollout_queue_push(&q, &b, "");
	rollout_queue_clear(&q);
	assert_null(rollout_queue_pop(&q));
	rollout_queue_push(&q, &b, "");
	assert_ptr_equal(rollout_queue_pop(&q), &b);
	rollout_queue_push(&q, &a, "");
	rollout_queue_deinit(&q);
	assert_int_equal(a.at, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_key_is_the_digest_of_node_profile_and_revision),
	    cmocka_unit_test(each_rollout_has_canaries_of_its_own),
	    cmocka_unit_test(canaries_come_by_digest_whatever_their_zone),
	    cmocka_unit_test(the_rest_comes_zone_by_zone_those_without_last),
	    cmocka_unit_test(what_is_queued_is_ordered_anew_after_the_steps),
	    cmocka_unit_test(the_order_does_not_depend_on_who_came_first),
	    cmocka_unit_test(entries_come_and_go_in_any_order),
	    cmocka_unit_test(pushing_twice_and_removing_twice_is_once),
	    cmocka_unit_test(an_entry_is_removed_from_its_own_queue_only),
	    cmocka_unit_test(keys_that_begin_alike_are_compared_to_their_end),
	    cmocka_unit_test(a_cleared_queue_lets_its_entries_be_queued_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
