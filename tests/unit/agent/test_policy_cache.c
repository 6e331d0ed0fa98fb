#include "agent_test.h"

#include "policy_cache.h"

enum { SIZE = 100, ROOM = 3 * SIZE };

static void open_cache(struct policy_cache *c, const char *dir)
{
	struct err err;

	if (policy_cache_init(c, dir, ROOM, &err) < 0)
		fail_msg("%s", err.msg);
}

/* An artefact of SIZE bytes made of one digit, and its hash. */
static void make(char digit, char bytes[SIZE], char hash[SHA256_HEX])
{
	memset(bytes, digit, SIZE);
	sha256_hex(bytes, SIZE, hash);
}

/* What stays, by the digits of which the artefacts are made. */
static bool is_needed(void *data, const char *hash)
{
	const char *digits = data;

	for (; *digits; digits++) {
		char bytes[SIZE];
		char needed[SHA256_HEX];

		make(*digits, bytes, needed);
		if (strcmp(needed, hash) == 0)
			return true;
	}
	return false;
}

static int put(struct policy_cache *c, char digit, const char *needed)
{
	char bytes[SIZE];
	char digits[8];
	char hash[SHA256_HEX];
	struct err err;

	make(digit, bytes, hash);
	snprintf(digits, sizeof(digits), "%s", needed);
	return policy_cache_put(c, hash, bytes, SIZE, is_needed, digits, &err);
}

static int get(struct policy_cache *c, char digit)
{
	CLEANUP(buf_clear) struct buf got = BUF_INIT(SIZE + 1);
	char bytes[SIZE];
	char hash[SHA256_HEX];
	struct err err;
	int r;

	make(digit, bytes, hash);
	r = policy_cache_get(c, hash, &got, &err);
	if (r == 0) {
		assert_int_equal(got.len, SIZE);
		assert_memory_equal(got.data, bytes, SIZE);
	} else {
		assert_int_equal(got.len, 0);
	}
	return r;
}

static void what_is_put_is_there_after_a_restart(void **state)
{
	struct policy_cache c;

	open_cache(&c, *state);
	assert_int_equal(get(&c, 'a'), -ENOENT);
	assert_int_equal(put(&c, 'a', ""), 0);
	assert_int_equal(get(&c, 'a'), 0);
	policy_cache_deinit(&c);
	open_cache(&c, *state);
	assert_int_equal(get(&c, 'a'), 0);
	assert_int_equal(c.n_bytes, SIZE);
	policy_cache_deinit(&c);
}

static void changed_bytes_never_come_out(void **state)
{
	CLEANUP(mem_freep) char *path = NULL;
	struct policy_cache c;
	char bytes[SIZE];
	char hash[SHA256_HEX];
	struct err err;

	open_cache(&c, *state);
	put(&c, 'a', "");
	make('a', bytes, hash);
	path = mem_printf("%s/%s", (char *)*state, hash);
	bytes[50] ^= 1;
	assert_int_equal(file_replace(path, bytes, SIZE, 0600, &err), 0);
	assert_int_equal(get(&c, 'a'), -EBADMSG);
	assert_int_equal(access(path, F_OK), -1);
	assert_false(policy_cache_has(&c, hash));
	assert_int_equal(c.n_bytes, 0);
	assert_int_equal(put(&c, 'a', ""), 0);
	assert_int_equal(get(&c, 'a'), 0);
	policy_cache_deinit(&c);
}

static void the_longest_unused_makes_room(void **state)
{
	struct policy_cache c;

	open_cache(&c, *state);
	put(&c, 'a', "");
	put(&c, 'b', "");
	put(&c, 'c', "");
	assert_int_equal(get(&c, 'a'), 0);
	assert_int_equal(put(&c, 'd', ""), 0);
	assert_int_equal(get(&c, 'b'), -ENOENT);
	assert_int_equal(get(&c, 'a'), 0);
	assert_int_equal(c.n_bytes, ROOM);
	policy_cache_deinit(&c);
}

static void what_is_needed_stays(void **state)
{
	struct policy_cache c;

	open_cache(&c, *state);
	put(&c, 'a', "");
	put(&c, 'b', "");
	put(&c, 'c', "");
	assert_int_equal(put(&c, 'd', "ab"), 0);
	assert_int_equal(get(&c, 'c'), -ENOENT);
	assert_int_equal(put(&c, 'e', "abd"), -ENOSPC);
	assert_int_equal(get(&c, 'e'), -ENOENT);
	assert_int_equal(get(&c, 'a'), 0);
	policy_cache_deinit(&c);
}

static void putting_again_takes_no_more_room(void **state)
{
	struct policy_cache c;

	open_cache(&c, *state);
	put(&c, 'a', "");
	put(&c, 'a', "");
	assert_int_equal(c.n_bytes, SIZE);
	policy_cache_deinit(&c);
}

static void leftovers_of_a_crash_go_away(void **state)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/abc.new", (char *)*state);
	struct policy_cache c;

	put_file(*state, "abc.new", "half");
	open_cache(&c, *state);
	assert_int_equal(access(path, F_OK), -1);
	policy_cache_deinit(&c);
}

static void a_folder_that_cannot_be_made_is_told(void **state)
{
	struct policy_cache c;
	struct err err;

	(void)state;
	assert_true(policy_cache_init(&c, "/proc/nowhere", ROOM, &err) < 0);
	policy_cache_deinit(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_is_put_is_there_after_a_restart, dir_setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(changed_bytes_never_come_out, dir_setup, dir_teardown),
	    cmocka_unit_test_setup_teardown(the_longest_unused_makes_room, dir_setup, dir_teardown),
	    cmocka_unit_test_setup_teardown(what_is_needed_stays, dir_setup, dir_teardown),
	    cmocka_unit_test_setup_teardown(putting_again_takes_no_more_room, dir_setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(leftovers_of_a_crash_go_away, dir_setup, dir_teardown),
	    cmocka_unit_test(a_folder_that_cannot_be_made_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
