#include "controller/artefact.h"

#include "base/file.h"
#include "base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* The disk: where `disk_full` is set, a write fails as one on a full disk. */
static bool disk_full;

int __real_file_replace(const char *path, const void *bytes, size_t n, mode_t mode,
			struct err *err);
int __wrap_file_replace(const char *path, const void *bytes, size_t n, mode_t mode,
			struct err *err);

int __wrap_file_replace(const char *path, const void *bytes, size_t n, mode_t mode, struct err *err)
{
	if (disk_full)
		return err_set(err, -ENOSPC, "cannot write %s: %s", path, strerror(ENOSPC));
	return __real_file_replace(path, bytes, n, mode, err);
}

#define BLOCKS UINT64_C(8192) /* of an artefact of that size */

struct place {
	char dir[64];
	struct artefact_store *store;
};

static void place_open(struct place *p, uint64_t max_bytes)
{
	struct err err;

	artefact_store_close(p->store);
	p->store = NULL;
	assert_int_equal(artefact_store_open(p->dir, max_bytes, &p->store, &err), 0);
}

static int place_setup(void **state)
{
	struct place *p = MEM_NEW(struct place);

	strcpy(p->dir, "/tmp/test-artefact-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	place_open(p, 1 << 20);
	*state = p;
	return 0;
}

static int place_teardown(void **state)
{
	struct place *p = *state;
	CLEANUP(mem_freep) char *command = mem_printf("rm -rf %s", p->dir);

	disk_full = false;
	artefact_store_close(p->store);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a constant and our folder */
	free(p);
	return 0;
}

/* `n` bytes that are different for each `seed`. */
static char *make_bytes(char seed, size_t n)
{
	char *bytes = mem_alloc(n, 1);

	memset(bytes, seed, n);
	return bytes;
}

static int try_put(struct place *p, char seed, size_t n, char sha256[SHA256_HEX], struct err *err)
{
	CLEANUP(mem_freep) char *bytes = make_bytes(seed, n);

	return artefact_put(p->store, bytes, n, sha256, err);
}

static void put(struct place *p, char seed, size_t n, char sha256[SHA256_HEX])
{
	struct err err;

	assert_int_equal(try_put(p, seed, n, sha256, &err), 0);
}

static int get(struct place *p, const char *sha256, struct err *err)
{
	struct artefact_bytes *bytes = NULL;
	int r = artefact_share(p->store, sha256, &bytes, err);
	char actual[SHA256_HEX];

	if (r == 0) {
		sha256_hex(bytes->data, bytes->n, actual);
		assert_string_equal(actual, sha256);
	}
	artefact_bytes_unref(bytes);
	return r;
}

static bool has(struct place *p, const char *sha256)
{
	struct err err;

	return get(p, sha256, &err) == 0;
}

static char *path_of(const struct place *p, const char *folder, const char *name)
{
	return mem_printf("%s/%s/%.2s/%s", p->dir, folder, name, name);
}

static void flip_a_byte(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	char c;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 1;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void what_is_put_is_got_also_by_the_next_process(void **state)
{
	struct place *p = *state;
	char sha256[SHA256_HEX], again[SHA256_HEX];

	put(p, 'a', 5000, sha256);
	put(p, 'a', 5000, again);
	assert_string_equal(sha256, again);
	assert_int_equal(artefact_store_bytes(p->store), 8192);
	assert_true(has(p, sha256));
	place_open(p, 1 << 20);
	assert_int_equal(artefact_store_bytes(p->store), 8192);
	assert_true(has(p, sha256));
}

static void what_was_never_put_is_not_there(void **state)
{
	struct place *p = *state;
	char absent[SHA256_HEX];
	struct err err;

	sha256_hex("x", 1, absent);
	assert_int_equal(get(p, absent, &err), -ENOENT);
	assert_int_equal(get(p, "../../../etc/passwd", &err), -ENOENT);
	assert_int_equal(get(p, "", &err), -ENOENT);
	assert_false(artefact_is_whole(p->store, absent));
}

static void an_artefact_is_neither_empty_nor_larger_than_its_ceiling(void **state)
{
	struct place *p = *state;
	char sha256[SHA256_HEX];
	struct err err;

	assert_int_equal(try_put(p, 'a', 0, sha256, &err), -EINVAL);
	assert_int_equal(try_put(p, 'a', ARTEFACT_MAX + 1, sha256, &err), -EINVAL);
}

static void a_flipped_byte_is_never_served_and_the_artefact_can_be_made_again(void **state)
{
	struct place *p = *state;
	char sha256[SHA256_HEX];
	CLEANUP(mem_freep) char *path = NULL;
	struct err err;

	put(p, 'a', 5000, sha256);
	path = path_of(p, "artefacts", sha256);
	place_open(p, 1 << 20); /* nothing in memory */
	flip_a_byte(path, 4711);
	assert_int_equal(get(p, sha256, &err), -EILSEQ);
	assert_non_null(strstr(err.msg, "compiled again"));
	assert_false(exists(path));
	assert_int_equal(get(p, sha256, &err), -ENOENT);
	assert_int_equal(artefact_store_bytes(p->store), 0);
	put(p, 'a', 5000, sha256);
	assert_true(has(p, sha256));
}

static void a_file_that_has_grown_or_shrunk_is_damaged_too(void **state)
{
	struct place *p = *state;
	char sha256[SHA256_HEX];
	CLEANUP(mem_freep) char *path = NULL;
	struct err err;

	put(p, 'a', 5000, sha256);
	path = path_of(p, "artefacts", sha256);
	place_open(p, 1 << 20);
	assert_int_equal(truncate(path, ARTEFACT_MAX + 1L), 0);
	assert_int_equal(get(p, sha256, &err), -EILSEQ);
	put(p, 'a', 5000, sha256);
	place_open(p, 1 << 20);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(get(p, sha256, &err), -EILSEQ);
}

static void a_damaged_artefact_that_is_put_again_is_written_again(void **state)
{
	struct place *p = *state;
	char sha256[SHA256_HEX];
	CLEANUP(mem_freep) char *path = NULL;

	put(p, 'a', 5000, sha256);
	path = path_of(p, "artefacts", sha256);
	place_open(p, 1 << 20);
	flip_a_byte(path, 0);
	put(p, 'a', 5000, sha256);
	place_open(p, 1 << 20);
	assert_true(has(p, sha256));
}

static void a_file_that_somebody_removed_is_not_there(void **state)
{
	struct place *p = *state;
	char sha256[SHA256_HEX];
	CLEANUP(mem_freep) char *path = NULL;
	struct err err;

	put(p, 'a', 5000, sha256);
	path = path_of(p, "artefacts", sha256);
	place_open(p, 1 << 20);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(get(p, sha256, &err), -ENOENT);
	assert_int_equal(artefact_store_bytes(p->store), 0);
}

static void hot_artefacts_do_not_touch_the_disk(void **state)
{
	struct place *p = *state;
	char sha256[SHA256_HEX];
	CLEANUP(mem_freep) char *path = NULL;
	struct artefact_bytes *a, *b;
	struct err err;

	put(p, 'a', 5000, sha256);
	path = path_of(p, "artefacts", sha256);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(artefact_share(p->store, sha256, &a, &err), 0);
	assert_int_equal(artefact_share(p->store, sha256, &b, &err), 0);
	assert_ptr_equal(a, b);
	artefact_store_close(p->store); /* the bytes outlive it */
	p->store = NULL;
	assert_int_equal(a->data[4999], 'a');
	artefact_bytes_unref(a);
	artefact_bytes_unref(b);
}

static void memory_holds_no_more_than_its_ceiling(void **state)
{
	struct place *p = *state;
	char sha256[6][SHA256_HEX];
	CLEANUP(mem_freep) char *path = NULL;
	struct err err;
	int i;

	place_open(p, 32 << 20);
	for (i = 0; i < 6; i++)
		put(p, (char)('a' + i), 1 << 20, sha256[i]);
	path = path_of(p, "artefacts", sha256[0]);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(get(p, sha256[0], &err), -ENOENT); /* the first was not in memory */
	assert_true(has(p, sha256[5]));
}

static void what_was_not_used_for_longest_makes_room(void **state)
{
	struct place *p = *state;
	char sha256[4][SHA256_HEX];

	place_open(p, 3 * BLOCKS);
	put(p, 'a', 8192, sha256[0]);
	put(p, 'b', 8192, sha256[1]);
	put(p, 'c', 8192, sha256[2]);
	assert_true(has(p, sha256[0]));
	put(p, 'd', 8192, sha256[3]);
	assert_int_equal(artefact_store_bytes(p->store), 3 * 8192);
	assert_true(has(p, sha256[0]));
	assert_false(has(p, sha256[1]));
	assert_true(has(p, sha256[2]));
	assert_true(has(p, sha256[3]));
}

static void set_used(const struct place *p, const char *sha256, time_t when_s)
{
	CLEANUP(mem_freep) char *path = path_of(p, "artefacts", sha256);
	struct timespec times[2] = {{.tv_sec = when_s}, {.tv_sec = when_s}};

	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void the_order_of_use_outlives_the_process(void **state)
{
	struct place *p = *state;
	char sha256[3][SHA256_HEX];

	put(p, 'a', 8192, sha256[0]);
	put(p, 'b', 8192, sha256[1]);
	set_used(p, sha256[0], 1000);
	set_used(p, sha256[1], 2000);
	place_open(p, 1 << 20);
	assert_true(has(p, sha256[0])); /* used now */
	place_open(p, 2 * BLOCKS);
	put(p, 'c', 8192, sha256[2]);
	assert_true(has(p, sha256[0]));
	assert_false(has(p, sha256[1]));
}

static void a_lower_ceiling_takes_effect_at_the_start(void **state)
{
	struct place *p = *state;
	char sha256[2][SHA256_HEX];

	put(p, 'a', 8192, sha256[0]);
	put(p, 'b', 8192, sha256[1]);
	place_open(p, 8192);
	assert_int_equal(artefact_store_bytes(p->store), 8192);
}

static void what_is_larger_than_the_ceiling_costs_nothing_that_is_there(void **state)
{
	struct place *p = *state;
	char sha256[2][SHA256_HEX];
	struct err err;

	place_open(p, 8192);
	put(p, 'a', 8192, sha256[0]);
	assert_int_equal(try_put(p, 'b', 8193, sha256[1], &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "8193 bytes pass the ceiling of 8192 bytes"));
	assert_true(has(p, sha256[0]));
}

static void a_full_disk_is_an_error_and_loses_nothing(void **state)
{
	struct place *p = *state;
	char sha256[3][SHA256_HEX];
	struct err err;

	place_open(p, 2 * BLOCKS);
	put(p, 'a', 8192, sha256[0]);
	put(p, 'b', 8192, sha256[1]);
	disk_full = true;
	assert_int_equal(try_put(p, 'c', 8192, sha256[2], &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "No space left"));
	disk_full = false;
	assert_true(has(p, sha256[0]));
	assert_true(has(p, sha256[1]));
	assert_int_equal(artefact_store_bytes(p->store), 2 * 8192);
	put(p, 'c', 8192, sha256[2]);
	assert_true(has(p, sha256[2]));
}

static struct json_object *make_record(const char *artefact)
{
	struct json_object *record = js_new();

	js_put_str(record, "artefact", artefact);
	js_put_i64(record, "size", 5000);
	return record;
}

static void a_build_is_found_again_by_the_next_process(void **state)
{
	struct place *p = *state;
	CLEANUP(js_putp) struct json_object *record = make_record("1234");
	CLEANUP(js_putp) struct json_object *read = NULL;
	char key[SHA256_HEX], other[SHA256_HEX];
	struct err err;

	sha256_hex("key", 3, key);
	sha256_hex("other", 5, other);
	assert_int_equal(artefact_index_put(p->store, key, record, &err), 0);
	place_open(p, 1 << 20);
	read = artefact_index_get(p->store, key);
	assert_true(json_object_equal(read, record));
	assert_null(artefact_index_get(p->store, other));
	assert_null(artefact_index_get(p->store, "no key"));
	assert_int_equal(artefact_index_put(p->store, "no key", record, &err), -EINVAL);
}

static void a_damaged_record_counts_as_absent(void **state)
{
	struct place *p = *state;
	CLEANUP(js_putp) struct json_object *record = make_record("1234");
	CLEANUP(mem_freep) char *path = NULL;
	char key[SHA256_HEX];
	struct err err;
	off_t at[] = {0, 64, 70, 80};
	size_t i;

	sha256_hex("key", 3, key);
	path = path_of(p, "builds", key);
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		assert_int_equal(artefact_index_put(p->store, key, record, &err), 0);
		flip_a_byte(path, at[i]);
		if (at[i] == 64)
			continue; /* the line feed between the two carries nothing */
		assert_null(artefact_index_get(p->store, key));
		assert_false(exists(path));
	}
}

static void a_record_under_another_key_counts_as_absent(void **state)
{
	struct place *p = *state;
	CLEANUP(js_putp) struct json_object *record = make_record("1234");
	CLEANUP(mem_freep) char *path = NULL;
	CLEANUP(mem_freep) char *moved = NULL;
	char key[SHA256_HEX], other[SHA256_HEX];
	struct err err;

	sha256_hex("key", 3, key);
	sha256_hex("other", 5, other);
	path = path_of(p, "builds", key);
	moved = path_of(p, "builds", other);
	assert_int_equal(artefact_index_put(p->store, other, record, &err), 0);
	assert_int_equal(artefact_index_put(p->store, key, record, &err), 0);
	assert_int_equal(rename(path, moved), 0);
	assert_null(artefact_index_get(p->store, other));
	assert_null(artefact_index_get(p->store, key));
}

static void write_file(const char *path, const char *text)
{
	struct err err;

	assert_int_equal(file_replace(path, text, strlen(text), 0600, &err), 0);
}

static void files_that_are_not_ours_are_left_alone_and_left_overs_go(void **state)
{
	struct place *p = *state;
	char sha256[SHA256_HEX], link_name[SHA256_HEX], fifo_name[SHA256_HEX];
	CLEANUP(mem_freep) char *path = NULL;
	CLEANUP(mem_freep) char *left_over = NULL;
	CLEANUP(mem_freep) char *secret = mem_printf("%s/secret", p->dir);
	CLEANUP(mem_freep) char *stranger = mem_printf("%s/artefacts/stranger", p->dir);
	CLEANUP(mem_freep) char *link_path = NULL;
	CLEANUP(mem_freep) char *fifo_path = NULL;

	put(p, 'a', 5000, sha256);
	path = path_of(p, "artefacts", sha256);
	left_over = mem_printf("%s.new", path);
	memcpy(link_name, sha256, sizeof(link_name));
	link_name[63] = link_name[63] == '0' ? '1' : '0';
	link_path = path_of(p, "artefacts", link_name);
	memcpy(fifo_name, sha256, sizeof(fifo_name));
	fifo_name[62] = fifo_name[62] == '0' ? '1' : '0';
	fifo_path = path_of(p, "artefacts", fifo_name);
	write_file(secret, "secret");
	write_file(stranger, "who knows");
	write_file(left_over, "half of it");
	assert_int_equal(symlink(secret, link_path), 0);
	assert_int_equal(mkfifo(fifo_path, 0600), 0);

	place_open(p, 1 << 20);
	assert_int_equal(artefact_store_bytes(p->store), 8192);
	assert_true(has(p, sha256));
	assert_false(has(p, link_name));
	assert_false(has(p, fifo_name));
	assert_false(exists(left_over));
	assert_true(exists(stranger));
	assert_true(exists(secret));
}

static void a_file_replaced_by_a_link_or_a_fifo_is_not_followed(void **state)
{
	struct place *p = *state;
	char sha256[SHA256_HEX];
	CLEANUP(mem_freep) char *path = NULL;
	CLEANUP(mem_freep) char *same = mem_printf("%s/same", p->dir);
	struct err err;

	put(p, 'a', 5000, sha256);
	path = path_of(p, "artefacts", sha256);
	place_open(p, 1 << 20);
	assert_int_equal(rename(path, same), 0);
	assert_int_equal(symlink(same, path), 0);
	assert_int_equal(get(p, sha256, &err), -ENOENT);
	put(p, 'a', 5000, sha256); /* takes the link's place */
	place_open(p, 1 << 20);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(get(p, sha256, &err), -ENOENT);
	assert_true(exists(same));
}

static void a_folder_that_is_a_link_is_neither_read_nor_written_through(void **state)
{
	struct place *p = *state;
	char sha256[SHA256_HEX];
	CLEANUP(mem_freep) char *dir = NULL;
	CLEANUP(mem_freep) char *elsewhere = mem_printf("%s/elsewhere", p->dir);
	CLEANUP(mem_freep) char *bytes = make_bytes('a', 5000);
	struct err err;

	sha256_hex(bytes, 5000, sha256);
	dir = mem_printf("%s/artefacts/%.2s", p->dir, sha256);
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	assert_int_equal(symlink(elsewhere, dir), 0);
	assert_int_equal(try_put(p, 'a', 5000, sha256, &err), -ENOTDIR);
	assert_int_equal(rmdir(elsewhere), 0); /* it is empty */
}

int main(void)
{
#define TEST(fn_) cmocka_unit_test_setup_teardown(fn_, place_setup, place_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(what_is_put_is_got_also_by_the_next_process),
	    TEST(what_was_never_put_is_not_there),
	    TEST(an_artefact_is_neither_empty_nor_larger_than_its_ceiling),
	    TEST(a_flipped_byte_is_never_served_and_the_artefact_can_be_made_again),
	    TEST(a_file_that_has_grown_or_shrunk_is_damaged_too),
	    TEST(a_damaged_artefact_that_is_put_again_is_written_again),
	    TEST(a_file_that_somebody_removed_is_not_there),
	    TEST(hot_artefacts_do_not_touch_the_disk),
	    TEST(memory_holds_no_more_than_its_ceiling),
	    TEST(what_was_not_used_for_longest_makes_room),
	    TEST(the_order_of_use_outlives_the_process),
	    TEST(a_lower_ceiling_takes_effect_at_the_start),
	    TEST(what_is_larger_than_the_ceiling_costs_nothing_that_is_there),
	    TEST(a_full_disk_is_an_error_and_loses_nothing),
	    TEST(a_build_is_found_again_by_the_next_process),
	    TEST(a_damaged_record_counts_as_absent),
	    TEST(a_record_under_another_key_counts_as_absent),
	    TEST(files_that_are_not_ours_are_left_alone_and_left_overs_go),
	    TEST(a_file_replaced_by_a_link_or_a_fifo_is_not_followed),
	    TEST(a_folder_that_is_a_link_is_neither_read_nor_written_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
