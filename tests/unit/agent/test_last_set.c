#include "agent_test.h"

#include "base/buf.h"
#include "last_set.h"

#include <sys/stat.h>

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void run(uv_loop_t *loop, struct last_set_writer *w)
{
	last_set_flush(w);
	uv_run(loop, UV_RUN_DEFAULT);
}

static void end(uv_loop_t *loop, struct last_set_writer *w)
{
	last_set_writer_close(w);
	uv_close((uv_handle_t *)&w->retry, NULL);
	uv_run(loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(loop), 0);
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
	end(&loop, &w);
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
	end(&loop, &w);
	assert_int_equal(load(*state, &set), 0);
	assert_int_equal(set.epoch, 7);
	last_set_clear(&set);
	sync_item_clear(&item);
}

/* The set cannot be renamed over a folder, and the epoch could not either. */
static void what_cannot_be_written_is_tried_again_with_what_came_meanwhile(void **state)
{
	struct sync_item item = make_item("api", 'a', NULL);
	CLEANUP(mem_freep) char *path = mem_printf("%s/set.json", (const char *)*state);
	struct last_set_writer w;
	struct last_set set;
	char hash[SHA256_HEX];
	uv_loop_t loop;

	uv_loop_init(&loop);
	last_set_writer_init(&w, &loop, *state);
	fill_hash(hash, sizeof(hash), 'c');
	last_set_note(&w, hash, &item, 1);
	assert_int_equal(mkdir(path, 0700), 0);
	last_set_flush(&w);
	while (w.running)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(w.in_trouble);
	assert_true(uv_is_active((uv_handle_t *)&w.retry));
	assert_in_range(uv_timer_get_due_in(&w.retry), 1, LAST_SET_RETRY_MS);
	last_set_note_epoch(&w, 8);
	assert_int_equal(rmdir(path), 0);
	run(&loop, &w);
	assert_false(w.in_trouble);
	assert_int_equal(load(*state, &set), 0);
	assert_int_equal(set.epoch, 8);
	assert_int_equal(set.n, 1);
	last_set_clear(&set);
	end(&loop, &w);
	sync_item_clear(&item);
}

static void what_is_noted_at_the_end_is_written(void **state)
{
	struct last_set_writer w;
	struct last_set set;
	uv_loop_t loop;

	uv_loop_init(&loop);
	last_set_writer_init(&w, &loop, *state);
	last_set_note_epoch(&w, 9);
	end(&loop, &w);
	assert_int_equal(load(*state, &set), 0);
	assert_int_equal(set.epoch, 9);
	last_set_clear(&set);
}

static void damaged_files_are_told(void **state)
{
	struct last_set set;

	put_file(*state, "set.json", "{\"setHash\":\"x\",\"set\":[]}");
	assert_int_equal(load(*state, &set), -EINVAL);
	put_file(*state, "set.json", "");
	assert_int_equal(load(*state, &set), -EINVAL);
	assert_int_equal(set.n, 0);
	put_file(*state, "epoch", "12");
	assert_int_equal(load(*state, &set), -EINVAL);
	assert_int_equal(set.epoch, 12);
	put_file(*state, "epoch", "soon");
	put_file(*state, "set.json", "{\"setHash\":\"" HASH "\",\"set\":[]}");
	assert_int_equal(load(*state, &set), -EINVAL);
	assert_string_equal(set.hash, HASH);
	last_set_clear(&set);
}

static void a_set_that_would_take_all_memory_is_not_read(void **state)
{
	CLEANUP(buf_clear) struct buf text = BUF_INIT(1 << 20);
	struct last_set set;
	int i;

	buf_add_str(&text, "{\"setHash\":\"" HASH "\",\"set\":[],\"more\":[{}");
	for (i = 0; i < SYNC_RESPONSE_HEAP_MAX / 928; i++)
		buf_add_str(&text, ",{}");
	buf_add_str(&text, "]}");
	put_file(*state, "set.json", buf_text(&text));
	assert_int_equal(load(*state, &set), -EFBIG);
	assert_string_equal(set.hash, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_is_written_is_read_back, dir_setup, dir_teardown),
	    cmocka_unit_test_setup_teardown(a_newer_one_replaces_what_is_not_written_yet, dir_setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(
		what_cannot_be_written_is_tried_again_with_what_came_meanwhile, dir_setup,
		dir_teardown),
	    cmocka_unit_test_setup_teardown(what_is_noted_at_the_end_is_written, dir_setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(damaged_files_are_told, dir_setup, dir_teardown),
	    cmocka_unit_test_setup_teardown(a_set_that_would_take_all_memory_is_not_read, dir_setup,
					    dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
