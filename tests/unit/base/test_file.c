#include "base/file.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/hauberk-file-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	CLEANUP(mem_freep) char *command = mem_printf("rm -r %s", dir);

	(void)state;
	return system(command); /* NOLINT(cert-env33-c,bugprone-command-processor) */
}

static void what_is_written_is_read_back(void **state)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/a", dir);
	struct buf text = BUF_INIT(100000);
	struct stat st;
	struct err err;

	(void)state;
	assert_int_equal(file_write_atomic(path, "old", 3, 0600, &err), 0);
	assert_int_equal(file_write_atomic(path, "a\0b", 3, 0600, &err), 0);
	assert_int_equal(file_read(path, &text, &err), 0);
	assert_int_equal(text.len, 3);
	assert_memory_equal(text.data, "a\0b", 3);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(file_replace(path, "", 0, 0600, &err), 0);
	buf_clear(&text);
	assert_int_equal(file_read(path, &text, &err), 0);
	assert_int_equal(text.len, 0);
	buf_clear(&text);
}

static void a_file_longer_than_the_ceiling_is_an_error(void **state)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/long", dir);
	CLEANUP(mem_freep) char *bytes = mem_alloc(100000, 1);
	struct buf text = BUF_INIT(99999);
	struct err err;

	(void)state;
	assert_int_equal(file_write_atomic(path, bytes, 100000, 0600, &err), 0);
	assert_int_equal(file_read(path, &text, &err), -EFBIG);
	assert_non_null(strstr(err.msg, path));
	buf_clear(&text);
	text.max = 100000;
	assert_int_equal(file_read(path, &text, &err), 0);
	assert_int_equal(text.len, 100000);
	buf_clear(&text);
}

static void what_cannot_be_read_is_named(void **state)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/none", dir);
	struct buf text = BUF_INIT(10);
	struct err err;

	(void)state;
	assert_int_equal(file_read(path, &text, &err), -ENOENT);
	assert_non_null(strstr(err.msg, path));
	assert_int_equal(file_read(dir, &text, &err), -EISDIR);
}

static void a_write_that_fails_leaves_nothing_behind(void **state)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/no-such-dir/a", dir);
	CLEANUP(mem_freep) char *busy = mem_printf("%s/busy", dir);
	CLEANUP(mem_freep) char *temp = mem_printf("%s/busy.new", dir);
	struct err err;

	(void)state;
	assert_int_equal(file_write_atomic(path, "x", 1, 0600, &err), -ENOENT);
	/* A folder cannot be replaced by a file. */
	assert_int_equal(mkdir(busy, 0700), 0);
	assert_int_equal(file_write_atomic(busy, "x", 1, 0600, &err), -EISDIR);
	assert_int_not_equal(access(temp, F_OK), 0);
}

static void folders_are_made_with_those_above_them(void **state)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/x/y//z", dir);
	CLEANUP(mem_freep) char *through_file = mem_printf("%s/f/y", dir);
	CLEANUP(mem_freep) char *file = mem_printf("%s/f", dir);
	struct stat st;
	struct err err;

	(void)state;
	assert_int_equal(file_make_dirs(path, &err), 0);
	assert_int_equal(file_make_dirs(path, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(file_write_atomic(file, "x", 1, 0600, &err), 0);
	assert_int_equal(file_make_dirs(through_file, &err), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_written_is_read_back),
	    cmocka_unit_test(a_file_longer_than_the_ceiling_is_an_error),
	    cmocka_unit_test(what_cannot_be_read_is_named),
	    cmocka_unit_test(a_write_that_fails_leaves_nothing_behind),
	    cmocka_unit_test(folders_are_made_with_those_above_them),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
