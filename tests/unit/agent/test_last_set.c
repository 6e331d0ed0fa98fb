#include "agent_test.h"

#include "last_set.h"

static void run(uv_loop_t *loop, struct last_set_writer *w)
{
	last_set_flush(w);
	uv_run(loop, UV_RUN_DEFAULT);
}

static int load(const char *dir, struct last_set *set)
{
	struct err err;

	return last_set_load(dir, set, &err);
}

static void what_is_written_is_read_back(void **state)
{
	struct sync_item items[] = {make_item("api", 'a', NULL), make_absent("web")};
	struct last_set_writer w;
	struct last_set set;
	char hash[SHA256_HEX];
	uv_loop_t loop;

	uv_loop_init(&loop);
	fill_hash(hash, sizeof(hash), 'c');
	assert_int_equal(load(*state, &set), 0);
	assert_string_equal(set.hash, "");
	last_set_writer_init(&w, &loop, *state);
	last_set_note(&w, hash, items, 2);
	last_set_note_epoch(&w, 99);
	assert_int_equal(load(*state, &set), 0);
	assert_int_equal(set.epoch, 0);
	run(&loop, &w);
	assert_int_equal(load(*state, &set), 0);
	assert_int_equal(set.epoch, 99);
	assert_string_equal(set.hash, hash);
	assert_int_equal(set.n, 2);
	assert_string_equal(set.items[0].artefact, items[0].artefact);
	assert_int_equal(set.items[1].want, SYNC_ABSENT);
	last_set_clear(&set);
	/* The epoch alone leaves the set as it is. */
	last_set_note_epoch(&w, 100);
	run(&loop, &w);
	assert_int_equal(load(*state, &set), 0);
	assert_int_equal(set.epoch, 100);
	assert_int_equal(set.n, 2);
	last_set_clear(&set);
	last_set_writer_close(&w);
	uv_loop_close(&loop);
	sync_item_clear(&items[0]);
	sync_item_clear(&items[1]);
}

static void a_newer_one_replaces_what_is_not_written_yet(void **state)
{
	struct sync_item item = make_item("api", 'a', NULL);
	struct last_set_writer w;
	struct last_set set;
	char hash[SHA256_HEX];
	uv_loop_t loop;

	uv_loop_init(&loop);
	last_set_writer_init(&w, &loop, *state);
	fill_hash(hash, sizeof(hash), 'c');
	last_set_note_epoch(&w, 5);
	last_set_note(&w, hash, &item, 1);
	last_set_flush(&w);
	fill_hash(hash, sizeof(hash), 'd');
	last_set_note(&w, hash, &item, 0);
	run(&loop, &w);
	assert_int_equal(load(*state, &set), 0);
	assert_int_equal(set.epoch, 5);
	assert_int_equal(set.hash[0], 'd');
	assert_int_equal(set.n, 0);
	last_set_clear(&set);
	/* Closed with one in the thread and one not begun. */
	last_set_note_epoch(&w, 6);
	last_set_flush(&w);
	last_set_note_epoch(&w, 7);
	last_set_writer_close(&w);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(load(*state, &set), 0);
	assert_int_equal(set.epoch, 6);
	last_set_clear(&set);
	uv_loop_close(&loop);
	sync_item_clear(&item);
}

static void damaged_files_are_told(void **state)
{
	struct last_set set;

	put_file(*state, "set.json", "{\"setHash\":\"x\",\"set\":[]}");
	assert_int_equal(load(*state, &set), -EINVAL);
	put_file(*state, "set.json", "");
	assert_int_equal(load(*state, &set), -EINVAL);
	assert_int_equal(set.n, 0);
	put_file(*state, "epoch", "soon");
	assert_int_equal(load(*state, &set), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_is_written_is_read_back, dir_setup, dir_teardown),
	    cmocka_unit_test_setup_teardown(a_newer_one_replaces_what_is_not_written_yet, dir_setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(damaged_files_are_told, dir_setup, dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
