#include "base/map.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void it_holds_what_was_put(void **state)
{
	struct map m = {0};
	int one, two;

	(void)state;
	assert_null(map_get(&m, "a"));
	assert_null(map_del(&m, "a"));
	assert_null(map_put(&m, "a", &one));
	assert_null(map_put(&m, "", &two));
	assert_ptr_equal(map_get(&m, "a"), &one);
	assert_ptr_equal(map_get(&m, ""), &two);
	assert_ptr_equal(map_put(&m, "a", &two), &one);
	assert_int_equal(m.n, 2);
	assert_ptr_equal(map_del(&m, "a"), &two);
	assert_null(map_get(&m, "a"));
	assert_int_equal(m.n, 1);
	map_clear(&m, NULL);
	assert_null(map_get(&m, ""));
}

/* Against an array that is looked through. */
static void it_agrees_with_a_simpler_map(void **state)
{
	enum { N = 200 };
	static int here[N];
	struct map m = {0};
	uint32_t random = 1;
	size_t n = 0;
	char key[16];
	int i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		uint32_t at;
		void *old;

		random = random * 1103515245U + 12345U;
		at = (random >> 8) % N;
		snprintf(key, sizeof(key), "key-%u", at);
		if ((random >> 4 & 3) == 0) {
			old = map_del(&m, key);
			assert_ptr_equal(old, here[at] ? &here[at] : NULL);
			n -= (size_t)here[at];
			here[at] = 0;
		} else {
			old = map_put(&m, key, &here[at]);
			assert_ptr_equal(old, here[at] ? &here[at] : NULL);
			n += (size_t)!here[at];
			here[at] = 1;
		}
		assert_int_equal(m.n, n);
		assert_ptr_equal(map_get(&m, key), here[at] ? &here[at] : NULL);
	}
	map_clear(&m, NULL);
}

static void a_walk_sees_each_entry_once_also_while_it_deletes(void **state)
{
	struct map m = {0};
	static int seen[100];
	const char *name;
	void *value;
	char key[16];
	size_t it = 0;
	int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "%d", i);
		map_put(&m, key, &seen[i]);
	}
	while (map_next(&m, &it, &name, &value)) {
		++*(int *)value;
		if (*(int *)value % 2 && atoi(name) % 2) /* NOLINT(cert-err34-c) */
			map_del(&m, name);
	}
	for (i = 0; i < 100; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(m.n, 50);
	map_clear(&m, NULL);
}

static void clearing_frees_the_values_and_keeps_the_map_usable(void **state)
{
	struct map m = {0};

	(void)state;
	map_put(&m, "a", mem_strdup("x"));
	map_put(&m, "b", mem_strdup("y"));
	map_clear(&m, free);
	assert_int_equal(m.n, 0);
	map_put(&m, "a", mem_strdup("z"));
	assert_string_equal(map_get(&m, "a"), "z");
	map_clear(&m, free);
}

static void entries_that_come_and_go_take_no_room(void **state)
{
	struct map m = {0};
	char key[16];
	int i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		snprintf(key, sizeof(key), "%d", i);
		map_put(&m, key, &m);
		assert_ptr_equal(map_del(&m, key), &m);
	}
	assert_true(m.cap <= 64);
	map_clear(&m, NULL);
}

static void lasting_keys_are_not_copied(void **state)
{
	struct map m = MAP_OF_LASTING_KEYS;
	char keys[100][16];
	const char *key;
	size_t it = 0;
	void *value;
	int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%d", i);
		map_put(&m, keys[i], keys[i]);
	}
	assert_ptr_equal(map_del(&m, "7"), keys[7]);
	while (map_next(&m, &it, &key, &value))
		assert_ptr_equal(key, value);
	map_clear(&m, NULL);
	map_put(&m, keys[7], keys[7]);
	assert_true(map_next(&m, &(size_t){0}, &key, &value) && key == keys[7]);
	map_clear(&m, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_holds_what_was_put),
	    cmocka_unit_test(it_agrees_with_a_simpler_map),
	    cmocka_unit_test(a_walk_sees_each_entry_once_also_while_it_deletes),
	    cmocka_unit_test(clearing_frees_the_values_and_keeps_the_map_usable),
	    cmocka_unit_test(entries_that_come_and_go_take_no_room),
	    cmocka_unit_test(lasting_keys_are_not_copied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
