#include "agent_test.h"

#include "record.h"

#define BOOT "11111111-2222-3333-4444-555555555555"

/* The disk: where `disk_full` is set, a write fails as on a full one. */
static bool disk_full;
static int n_writes;

int __real_file_replace(const char *path, const void *bytes, size_t n, mode_t mode,
			struct err *err);
int __wrap_file_replace(const char *path, const void *bytes, size_t n, mode_t mode,
			struct err *err);

int __wrap_file_replace(const char *path, const void *bytes, size_t n, mode_t mode, struct err *err)
{
	n_writes++;
	if (disk_full)
		return err_set(err, -ENOSPC, "cannot write %s: %s", path, strerror(ENOSPC));
	return __real_file_replace(path, bytes, n, mode, err);
}

static int setup(void **state)
{
	disk_full = false;
	n_writes = 0;
	return dir_setup(state);
}

static void open_record(struct record *r, const char *dir)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/record.json", dir);
	struct err err;

	record_init(r, path);
	if (record_load(r, &err) < 0)
		fail_msg("%s", err.msg);
}

static void save(struct record *r)
{
	struct err err;

	assert_int_equal(record_save(r, &err), 0);
}

static void no_file_is_an_empty_record(void **state)
{
	struct record r;

	open_record(&r, *state);
	assert_null(record_get(&r, "web"));
	record_deinit(&r);
}

static void an_intention_and_what_is_held_survive(void **state)
{
	struct sync_item a = make_item("web", 'a', "web//old");
	struct sync_item b = make_item("web", 'b', "web//new");
	const struct record_entry *e;
	struct record r;

	open_record(&r, *state);
	assert_true(record_intend(&r, &a));
	assert_false(record_intend(&r, &a));
	record_confirm(&r, &a, BOOT);
	b.mode = PROFILE_COMPLAIN;
	assert_true(record_intend(&r, &b));
	save(&r);
	record_deinit(&r);

	open_record(&r, *state);
	e = record_get(&r, "web");
	assert_string_equal(e->boot_id, BOOT);
	assert_string_equal(e->uid, "uid-1");
	assert_string_equal(e->held.revision, a.revision);
	assert_int_equal(e->held.mode, PROFILE_ENFORCE);
	assert_string_equal(e->held.hashes[1].sha1, a.hashes[1].sha1);
	assert_string_equal(e->next.revision, b.revision);
	assert_int_equal(e->next.mode, PROFILE_COMPLAIN);
	assert_int_equal(e->n_children, 2);
	record_confirm(&r, &b, BOOT);
	assert_string_equal(e->held.revision, b.revision);
	assert_int_equal(e->next.n_hashes, 0);
	record_drop_leftovers(&r, &b);
	assert_int_equal(e->n_children, 1);
	assert_string_equal(e->children[0], "web//new");
	record_forget(&r, "web");
	save(&r);
	record_deinit(&r);

	open_record(&r, *state);
	assert_null(record_get(&r, "web"));
	record_deinit(&r);
	sync_item_clear(&a);
	sync_item_clear(&b);
}

static void what_did_not_change_is_not_written(void **state)
{
	struct sync_item a = make_item("web", 'a', NULL);
	struct record r;

	open_record(&r, *state);
	save(&r);
	assert_int_equal(n_writes, 0);
	record_confirm(&r, &a, BOOT);
	save(&r);
	record_confirm(&r, &a, BOOT);
	record_forget(&r, "other");
	save(&r);
	assert_int_equal(n_writes, 1);
	record_deinit(&r);
	sync_item_clear(&a);
}

static void a_full_disk_is_told_and_tried_again(void **state)
{
	struct sync_item a = make_item("web", 'a', NULL);
	struct record r;
	struct err err;

	open_record(&r, *state);
	record_intend(&r, &a);
	disk_full = true;
	assert_int_equal(record_save(&r, &err), -ENOSPC);
	disk_full = false;
	save(&r);
	record_deinit(&r);
	open_record(&r, *state);
	assert_non_null(record_get(&r, "web"));
	record_deinit(&r);
	sync_item_clear(&a);
}

static void expect_damaged(const char *text)
{
	struct record r;
	struct err err;

	record_init(&r, "/nowhere");
	if (record_decode(&r, text, strlen(text), &err) != -EINVAL)
		fail_msg("%s", text);
	assert_int_equal(r.entries.n, 0);
	record_deinit(&r);
}

static void a_damaged_record_is_refused_as_a_whole(void **state)
{
	(void)state;
	expect_damaged("");
	expect_damaged("{");
	expect_damaged("[]");
	expect_damaged("{\"format\":2,\"profiles\":[]}");
	expect_damaged("{\"format\":1,\"profiles\":{}}");
	expect_damaged("{\"format\":1,\"profiles\":[{\"uid\":\"x\"}]}");
	expect_damaged("{\"format\":1,\"profiles\":[{\"name\":\"a\"},{\"name\":\"a\"}]}");
	expect_damaged(
	    "{\"format\":1,\"profiles\":[{\"name\":\"a\"},{\"name\":\"b\",\"held\":[]}]}");
	expect_damaged(
	    "{\"format\":1,\"profiles\":[{\"name\":\"a\",\"held\":[{\"name\":\"a\",\"want\":"
	    "\"absent\"}]}]}");
	expect_damaged("{\"format\":1,\"profiles\":[{\"name\":\"a\",\"bootID\":"
		       "\"1111111111111111111111111111111111111111111\"}]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(no_file_is_an_empty_record, setup, dir_teardown),
	    cmocka_unit_test_setup_teardown(an_intention_and_what_is_held_survive, setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(what_did_not_change_is_not_written, setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(a_full_disk_is_told_and_tried_again, setup,
					    dir_teardown),
	    cmocka_unit_test(a_damaged_record_is_refused_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
