#include "agent_test.h"

#include "aafs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>

#define AB "abababababababababababababababababababab"

/* A folder in the place of securityfs. */
struct place {
	char *dir;
	struct aafs aafs;
	struct aafs_tree found; /* the last one */
	size_t n_found;
};

static int setup(void **state)
{
	struct place *p = MEM_NEW(struct place);

	dir_setup((void **)&p->dir);
	aafs_init(&p->aafs, p->dir);
	put_file(p->dir, "apparmor/policy/profiles/web.1/name", "web\n");
	put_file(p->dir, "apparmor/policy/profiles/web.1/mode", "enforce\n");
	put_file(p->dir, "apparmor/policy/profiles/web.1/sha1", AB "\n");
	put_file(p->dir, "apparmor/policy/profiles/web.1/profiles/kid.2/name", "kid\n");
	put_file(p->dir, "apparmor/policy/profiles/web.1/profiles/kid.2/mode", "kill\n");
	put_file(p->dir, "apparmor/policy/profiles/web.1/profiles/kid.2/profiles/in.7/name",
		 "in\n");
	put_file(p->dir, "apparmor/policy/profiles/web.1/profiles/kid.2/profiles/in.7/mode",
		 "enforce\n");
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	aafs_tree_clear(&p->found);
	aafs_deinit(&p->aafs);
	dir_teardown((void **)&p->dir);
	free(p);
	return 0;
}

static bool wants_web(void *data, const char *name)
{
	(void)data;
	return strcmp(name, "web") == 0;
}

static void found(void *data, struct aafs_tree *tree)
{
	struct place *p = data;

	aafs_tree_clear(&p->found);
	p->found = *tree;
	*tree = (struct aafs_tree){0};
	p->n_found++;
}

static void scan(struct place *p)
{
	struct err err;

	assert_int_equal(aafs_scan(&p->aafs, wants_web, found, p, &err), 0);
}

static void a_profile_is_read_with_its_children(void **state)
{
	struct place *p = *state;

	scan(p);
	assert_int_equal(p->n_found, 1);
	assert_int_equal(p->found.n, 3);
	assert_string_equal(p->found.items[0].name, "web");
	assert_string_equal(p->found.items[0].mode, "enforce");
	assert_string_equal(p->found.items[0].sha1, AB);
	assert_string_equal(p->found.items[0].sha256, "");
	assert_string_equal(p->found.items[1].name, "web//kid");
	assert_string_equal(p->found.items[1].mode, "kill");
	assert_string_equal(p->found.items[2].name, "web//kid//in");
}

static void the_file_name_decides_and_not_the_folder(void **state)
{
	struct place *p = *state;

	/* Such as the kernel makes of "/web" and of "web:". */
	put_file(p->dir, "apparmor/policy/profiles/web.9/name", "/web\n");
	put_file(p->dir, "apparmor/policy/profiles/web.9/mode", "enforce\n");
	scan(p);
	assert_int_equal(p->n_found, 1);
	assert_string_equal(p->found.items[0].name, "web");
}

static void what_nobody_wants_is_not_read(void **state)
{
	struct place *p = *state;

	put_file(p->dir, "apparmor/policy/profiles/other.3/name", "web\n");
	put_file(p->dir, "apparmor/policy/profiles/other.3/mode", "enforce\n");
	scan(p);
	assert_int_equal(p->n_found, 1);
}

static void a_name_may_hold_anything(void **state)
{
	struct place *p = *state;
	CLEANUP(mem_freep) char *longer = mem_alloc(8192, 1);

	memset(longer, 'x', 8191);
	put_file(p->dir, "apparmor/policy/profiles/web.1/profiles/kid.2/name", "a\nb (enforce)\n");
	put_file(p->dir, "apparmor/policy/profiles/web.1/profiles/kid.2/profiles/in.7/name",
		 longer);
	put_file(p->dir, "apparmor/policy/profiles/web.1/sha1", "not hexadecimal\n");
	scan(p);
	assert_int_equal(p->found.n, 2);
	assert_string_equal(p->found.items[1].name, "web//a\nb (enforce)");
	assert_string_equal(p->found.items[0].sha1, "");
}

static void a_profile_that_vanishes_meanwhile_is_passed_over(void **state)
{
	struct place *p = *state;
	CLEANUP(mem_freep)
	char *path = mem_printf("%s/apparmor/policy/profiles/web.1/mode", p->dir);

	unlink(path);
	scan(p);
	assert_int_equal(p->n_found, 0);
}

static int readdirs_left = -1; /* how many succeed before one fails; -1: all do */

struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir);

struct dirent *__wrap_readdir(DIR *dir)
{
	if (readdirs_left < 0 || readdirs_left-- > 0)
		return __real_readdir(dir);
	errno = EIO;
	return NULL;
}

/* What a scan with few descriptors says: an error and nothing else, or all that is there. */
static bool scan_fails(struct place *p, rlim_t n_descriptors)
{
	struct rlimit before, lowered;
	struct err err = {0};
	int r;

	p->n_found = 0;
	getrlimit(RLIMIT_NOFILE, &before);
	lowered = before;
	if (n_descriptors < before.rlim_cur)
		lowered.rlim_cur = n_descriptors;
	setrlimit(RLIMIT_NOFILE, &lowered);
	r = aafs_scan(&p->aafs, wants_web, found, p, &err);
	setrlimit(RLIMIT_NOFILE, &before);
	if (r < 0) {
		assert_non_null(strstr(err.msg, "cannot"));
		return true;
	}
	assert_int_equal(p->n_found, 1);
	assert_int_equal(p->found.n, 3);
	assert_string_equal(p->found.items[0].sha1, AB);
	return false;
}

/* The lowest descriptor that is free: a limit of as many leaves none. */
static rlim_t next_descriptor(void)
{
	int fd = dup(0);

	assert_true(fd >= 0);
	close(fd);
	return (rlim_t)fd;
}

static void a_scan_without_descriptors_is_an_error_and_finds_no_less(void **state)
{
	rlim_t n;

	for (n = next_descriptor(); scan_fails(*state, n); n++)
		;
	/* The folder of all, three levels of two folders each, the last of which has a file in
	 * place of the second. */
	assert_true(n >= next_descriptor() + 7);
}

static void a_folder_that_cannot_be_read_to_its_end_is_an_error(void **state)
{
	int n;

	for (n = 0; readdirs_left = n, scan_fails(*state, RLIM_INFINITY); n++)
		;
	readdirs_left = -1;
	assert_true(n > 8);
}

static void a_profile_that_cannot_be_read_is_an_error(void **state)
{
	static const char *const files[] = {"name", "mode", "sha256"};
	struct place *p = *state;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		CLEANUP(mem_freep)
		char *path = mem_printf("%s/apparmor/policy/profiles/web.1/%s", p->dir, files[i]);

		unlink(path);
		assert_int_equal(file_make_dirs(path, &err), 0);
		assert_int_equal(aafs_scan(&p->aafs, wants_web, found, p, &err), -EISDIR);
		assert_non_null(strstr(err.msg, "web.1"));
		rmdir(path);
		put_file(p->dir, path + strlen(p->dir) + 1, "web\n");
	}
	assert_int_equal(p->n_found, 0);
}

static void a_mode_that_is_none_does_not_hide_the_profile(void **state)
{
	struct place *p = *state;

	put_file(p->dir, "apparmor/policy/profiles/web.1/mode",
		 "a mode that is longer than any that there is\n");
	scan(p);
	assert_int_equal(p->n_found, 1);
	assert_string_equal(p->found.items[0].mode, "");
}

static void depth_and_number_are_bounded(void **state)
{
	struct place *p = *state;
	CLEANUP(mem_freep) char *deep = mem_strdup("apparmor/policy/profiles/web.1");
	char name[128];
	int i;

	for (i = 0; i < 12; i++) {
		CLEANUP(mem_freep) char *file = NULL;

		mem_replace(&deep, mem_printf("%s/profiles/d.1", deep));
		file = mem_printf("%s/name", deep);
		put_file(p->dir, file, "d\n");
		mem_replace(&file, mem_printf("%s/mode", deep));
		put_file(p->dir, file, "enforce\n");
	}
	scan(p);
	assert_int_equal(p->found.n, 3 + 8);
	for (i = 0; i < AAFS_PROFILES_MAX + 10; i++) {
		snprintf(name, sizeof(name), "apparmor/policy/profiles/web.1/profiles/c.%d/name",
			 i);
		put_file(p->dir, name, "c\n");
		snprintf(name, sizeof(name), "apparmor/policy/profiles/web.1/profiles/c.%d/mode",
			 i);
		put_file(p->dir, name, "enforce\n");
	}
	scan(p);
	assert_int_equal(p->found.n, AAFS_PROFILES_MAX);
}

static void a_folder_stands_for_a_name(void **state)
{
	char name[16];

	(void)state;
	assert_true(aafs_folder_name("web.1", name, sizeof(name)));
	assert_string_equal(name, "web");
	assert_true(aafs_folder_name("a.b.c.120", name, sizeof(name)));
	assert_string_equal(name, "a.b.c");
	assert_false(aafs_folder_name("web", name, sizeof(name)));
	assert_false(aafs_folder_name("web.", name, sizeof(name)));
	assert_false(aafs_folder_name("web.1x", name, sizeof(name)));
	assert_false(aafs_folder_name(".1", name, sizeof(name)));
	assert_false(aafs_folder_name("0123456789012345.1", name, sizeof(name)));
}

static void a_kernel_without_apparmor_is_told_with_the_reason(void **state)
{
	struct place *p = *state;
	struct aafs elsewhere;
	struct err err;

	aafs_init(&elsewhere, "/nowhere");
	assert_int_equal(aafs_check(&elsewhere, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "AppArmor is off"));
	aafs_deinit(&elsewhere);
	assert_int_equal(aafs_check(&p->aafs, &err), -ENOTSUP);
	put_file(p->dir, "apparmor/revision", "7\n");
	assert_int_equal(aafs_check(&p->aafs, &err), 0);
}

static void a_kernel_without_hashes_is_told_with_the_reason(void **state)
{
	struct place *p = *state;
	struct err err;

	/* Not to be told here: there is no such folder. */
	assert_int_equal(aafs_check_hashes(p->dir, &err), 0);
	put_file(p->dir, "module/apparmor/parameters/enabled", "Y\n");
	assert_int_equal(aafs_check_hashes(p->dir, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "CONFIG_SECURITY_APPARMOR_HASH"));
	put_file(p->dir, "module/apparmor/parameters/hash_policy", "N\n");
	assert_int_equal(aafs_check_hashes(p->dir, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "hash_policy=0"));
	put_file(p->dir, "module/apparmor/parameters/hash_policy", "Y\n");
	assert_int_equal(aafs_check_hashes(p->dir, &err), 0);
}

static void features_become_text(void **state)
{
	struct place *p = *state;
	CLEANUP(mem_freep) char *text = NULL;
	struct err err;

	assert_true(aafs_features(&p->aafs, &text, &err) < 0);
	put_file(p->dir, "apparmor/features/file/mask", "create read\n");
	put_file(p->dir, "apparmor/features/caps/mask", "chown\n");
	assert_int_equal(aafs_features(&p->aafs, &text, &err), 0);
	assert_string_equal(text, "caps {mask {chown\n}\n}\nfile {mask {create read\n}\n}\n");
}

static void the_revision_is_a_number(void **state)
{
	struct place *p = *state;
	int64_t revision = -1;
	struct err err;
	int fd = -1;

	assert_int_equal(aafs_revision_open(&p->aafs, &fd, &err), -ENOENT);
	put_file(p->dir, "apparmor/revision", "42\n");
	assert_int_equal(aafs_revision_open(&p->aafs, &fd, &err), 0);
	assert_int_equal(aafs_revision_read(fd, &revision, &err), 0);
	assert_int_equal(revision, 42);
	close(fd);
	assert_true(aafs_revision_read(fd, &revision, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_profile_is_read_with_its_children, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_file_name_decides_and_not_the_folder, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(what_nobody_wants_is_not_read, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_name_may_hold_anything, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_profile_that_vanishes_meanwhile_is_passed_over, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(
		a_scan_without_descriptors_is_an_error_and_finds_no_less, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_read_to_its_end_is_an_error,
					    setup, teardown),
	    cmocka_unit_test_setup_teardown(a_profile_that_cannot_be_read_is_an_error, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(a_mode_that_is_none_does_not_hide_the_profile, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(depth_and_number_are_bounded, setup, teardown),
	    cmocka_unit_test(a_folder_stands_for_a_name),
	    cmocka_unit_test_setup_teardown(a_kernel_without_apparmor_is_told_with_the_reason,
					    setup, teardown),
	    cmocka_unit_test_setup_teardown(a_kernel_without_hashes_is_told_with_the_reason, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(features_become_text, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_revision_is_a_number, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
