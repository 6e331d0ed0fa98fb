#include "agent_test.h"

#include "tasks.h"

#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>

#define POD "0c2f8a3e-1b2c-4d5e-8f90-a1b2c3d4e5f6"

/* Collects components, joined by '|'. */
static void collect(void *data, char *name)
{
	struct buf *got = data;

	buf_addf(got, "%s|", name);
}

static void expect_components(const char *label, const char *expected)
{
	CLEANUP(mem_freep) char *copy = mem_strdup(label);
	CLEANUP(buf_clear) struct buf got = BUF_INIT(256);

	tasks_split_label(copy, collect, &got);
	assert_string_equal(buf_text(&got), expected);
}

static void a_label_is_a_stack_of_components(void **state)
{
	(void)state;
	expect_components("web (enforce)\n", "web|");
	expect_components("web", "web|");
	expect_components("unconfined\n", "unconfined|");
	expect_components("a//&b//kid (mixed)\n", "a|b//kid|");
	expect_components("a b (x) (complain)\n", "a b (x)|");
	expect_components("odd(enforce)\n", "odd(enforce)|");
	expect_components("", "|");
	expect_components("//&", "||");
}

static void expect_uid(const char *cgroup, const char *expected)
{
	char uid[TASKS_POD_UID_SIZE] = "";
	bool found = tasks_pod_uid(cgroup, uid);

	assert_int_equal(found, expected != NULL);
	if (expected)
		assert_string_equal(uid, expected);
}

static void a_cgroup_names_the_pod(void **state)
{
	(void)state;
	expect_uid(
	    "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0c2f8a3e_1b2c_"
	    "4d5e_8f90_a1b2c3d4e5f6.slice/cri-containerd-77.scope\n",
	    POD);
	expect_uid("0::/../../kubepods/besteffort/pod" POD "/77\n", POD);
	expect_uid("12:pids:/x\n0::/kubepods/pod" POD, POD);
	expect_uid("0::/kubepods/pod00112233445566778899aabbccddeeff/1\n",
		   "00112233445566778899aabbccddeeff");
	expect_uid("0::/system.slice/podman.service\n", NULL);
	expect_uid("0::/kubepods/pod../../etc\n", NULL);
	expect_uid("0::/xpod" POD "\n", NULL);
	expect_uid("pod", NULL);
	expect_uid("", NULL);
}

/* ---- a /proc of our own ---- */

static int readdirs_left; /* how many succeed before one fails; -1: all do */

struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir);

struct dirent *__wrap_readdir(DIR *dir)
{
	if (readdirs_left < 0 || readdirs_left-- > 0)
		return __real_readdir(dir);
	errno = EIO;
	return NULL;
}

static void put_files(const char *proc, const char *task, int tid, char run_state,
		      const char *label)
{
	CLEANUP(mem_freep) char *file = mem_printf("%s/stat", task);
	CLEANUP(mem_freep) char *stat = mem_printf("%d (a) b) %c 1 1 1\n", tid, run_state);

	put_file(proc, file, stat);
	if (!label)
		return;
	mem_replace(&file, mem_printf("%s/attr/apparmor/current", task));
	put_file(proc, file, label);
}

/* The first thread's files are those of the process as well. */
static void put_thread(const char *proc, int pid, int tid, char run_state, const char *label)
{
	CLEANUP(mem_freep) char *task = mem_printf("%d", pid);

	if (pid == tid)
		put_files(proc, task, tid, run_state, label);
	mem_replace(&task, mem_printf("%d/task/%d", pid, tid));
	put_files(proc, task, tid, run_state, label);
}

static void put_process(const char *proc, int pid, const char *comm, const char *label)
{
	CLEANUP(mem_freep) char *file = mem_printf("%d/comm", pid);

	put_file(proc, file, comm);
	mem_replace(&file, mem_printf("%d/cgroup", pid));
	put_file(proc, file, "0::/kubepods/pod" POD "/c\n");
	put_thread(proc, pid, pid, 'S', label);
}

static int setup(void **state)
{
	dir_setup(state);
	readdirs_left = -1;
	put_process(*state, 1, "init\n", "unconfined\n");
	put_process(*state, 2, "kthreadd\n", "unconfined\n");
	put_file(*state, "self", "no process");
	return 0;
}

static size_t count(const char *proc, const char *name, struct tasks_use *use)
{
	struct map uses = {0};
	struct err err;

	*use = (struct tasks_use){0};
	map_put(&uses, name, use);
	if (tasks_scan(proc, &uses, &err) < 0)
		fail_msg("%s", err.msg);
	map_clear(&uses, NULL);
	return use->n;
}

static void expect_count(const char *proc, const char *name, size_t n)
{
	struct tasks_use use;

	assert_int_equal(count(proc, name, &use), n);
	tasks_use_clear(&use);
}

static void a_profile_is_in_use_by_itself_and_by_what_is_below_it(void **state)
{
	expect_count(*state, "web", 0);
	put_process(*state, 10, "sleep\n", "web (enforce)\n");
	put_process(*state, 11, "sleep\n", "web//kid (enforce)\n");
	put_process(*state, 12, "sleep\n", "other//&web//null-/bin/x (complain)\n");
	put_process(*state, 13, "sleep\n", "webber (enforce)\n");
	put_process(*state, 14, "sleep\n", "my//web (enforce)\n");
	put_process(*state, 15, "sleep\n", ":ns:web (enforce)\n");
	expect_count(*state, "web", 3);
	expect_count(*state, "web//kid", 1);
	expect_count(*state, "other", 1);
	expect_count(*state, "we", 0);
}

static void a_holder_is_told_with_its_pod(void **state)
{
	struct tasks_use use;

	put_process(*state, 10, "a\tb\n", "web (enforce)\n");
	assert_int_equal(count(*state, "web", &use), 1);
	assert_int_equal(use.holders[0].pid, 10);
	assert_string_equal(use.holders[0].command, "a?b");
	assert_string_equal(use.holders[0].pod_uid, POD);
	tasks_use_clear(&use);
}

static void one_thread_is_enough_and_a_process_counts_once(void **state)
{
	put_process(*state, 10, "many\n", "unconfined\n");
	put_thread(*state, 10, 20, 'S', "web (enforce)\n");
	put_thread(*state, 10, 21, 'R', "web (enforce)\n");
	expect_count(*state, "web", 1);
}

static void a_zombie_holds_nothing(void **state)
{
	put_thread(*state, 10, 10, 'Z', "web (enforce)\n");
	put_thread(*state, 11, 11, 'X', "web (enforce)\n");
	expect_count(*state, "web", 0);
}

static void holders_beyond_a_few_are_only_counted(void **state)
{
	struct tasks_use use;
	int i;

	for (i = 0; i < 3 * SYNC_HOLDERS_MAX; i++)
		put_process(*state, 100 + i, "x\n", "web (enforce)\n");
	assert_int_equal(count(*state, "web", &use), 3 * SYNC_HOLDERS_MAX);
	assert_int_equal(use.n_holders, SYNC_HOLDERS_MAX);
	tasks_use_clear(&use);
}

static void an_old_kernel_has_the_label_elsewhere(void **state)
{
	put_thread(*state, 10, 10, 'S', NULL);
	put_file(*state, "10/attr/current", "web (enforce)\n");
	expect_count(*state, "web", 1);
}

static void a_label_that_cannot_be_read_is_an_error(void **state)
{
	CLEANUP(mem_freep)
	char *dir = mem_printf("%s/10/attr/apparmor/current", (char *)*state);
	struct map uses = {0};
	struct tasks_use use = {0};
	struct err err;

	put_thread(*state, 10, 10, 'S', NULL);
	assert_int_equal(file_make_dirs(dir, &err), 0);
	map_put(&uses, "web", &use);
	assert_true(tasks_scan(*state, &uses, &err) < 0);
	assert_non_null(strstr(err.msg, "process 10"));
	map_clear(&uses, NULL);
}

/* One process with a single thread, one with more. */
static void put_two_holders(const char *proc)
{
	put_process(proc, 9, "one\n", "web (enforce)\n");
	put_process(proc, 10, "two\n", "unconfined\n");
	put_thread(proc, 10, 11, 'Z', NULL);
	put_thread(proc, 10, 12, 'S', "web (enforce)\n");
}

/* What a scan with few descriptors says: an error, or all that is there. */
static bool scan_fails(const char *proc, rlim_t n_descriptors)
{
	struct rlimit before, lowered;
	struct map uses = {0};
	struct tasks_use use = {0};
	struct err err = {0};
	int r;

	map_put(&uses, "web", &use);
	getrlimit(RLIMIT_NOFILE, &before);
	lowered = before;
	if (n_descriptors < before.rlim_cur)
		lowered.rlim_cur = n_descriptors;
	setrlimit(RLIMIT_NOFILE, &lowered);
	r = tasks_scan(proc, &uses, &err);
	setrlimit(RLIMIT_NOFILE, &before);
	map_clear(&uses, NULL);
	if (r == 0)
		assert_int_equal(use.n, 2);
	else
		assert_true(strlen(err.msg) > 10);
	tasks_use_clear(&use);
	return r < 0;
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

	put_two_holders(*state);
	for (n = next_descriptor(); scan_fails(*state, n); n++)
		;
	/* /proc, the process, its threads, the thread, its label. */
	assert_true(n >= next_descriptor() + 5);
}

static void a_folder_that_cannot_be_read_to_its_end_is_an_error(void **state)
{
	int n;

	put_two_holders(*state);
	for (n = 0; readdirs_left = n, scan_fails(*state, RLIM_INFINITY); n++)
		;
	assert_true(n > 8);
}

static void a_thread_whose_state_cannot_be_read_lives(void **state)
{
	CLEANUP(mem_freep) char *stat = mem_printf("%s/10/stat", (char *)*state);
	struct err err;

	put_process(*state, 10, "sleep\n", "web (enforce)\n");
	unlink(stat);
	assert_int_equal(file_make_dirs(stat, &err), 0);
	expect_count(*state, "web", 1);
	put_file(*state, "11/stat", "no line of the kernel's");
	put_file(*state, "11/task/11/stat", "no line of the kernel's");
	put_file(*state, "11/attr/apparmor/current", "web (enforce)\n");
	expect_count(*state, "web", 2);
}

static void a_live_thread_without_any_label_is_an_error(void **state)
{
	struct map uses = {0};
	struct err err;

	put_thread(*state, 10, 10, 'S', NULL);
	assert_int_equal(tasks_scan(*state, &uses, &err), -ENOENT);
}

static void a_process_that_ends_meanwhile_is_passed_over(void **state)
{
	CLEANUP(mem_freep) char *empty = mem_printf("%s/12", (char *)*state);
	struct err err;

	put_process(*state, 10, "sleep\n", "web (enforce)\n");
	put_file(*state, "11/comm", "gone\n");
	assert_int_equal(file_make_dirs(empty, &err), 0);
	expect_count(*state, "web", 1);
}

static void a_proc_that_is_not_the_hosts_is_refused(void **state)
{
	struct map uses = {0};
	struct err err;

	put_file(*state, "2/comm", "pause\n");
	assert_int_equal(tasks_scan(*state, &uses, &err), -EPERM);
	assert_non_null(strstr(err.msg, "hostPID"));
	assert_true(tasks_scan("/nowhere", &uses, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_label_is_a_stack_of_components),
	    cmocka_unit_test(a_cgroup_names_the_pod),
	    cmocka_unit_test_setup_teardown(a_profile_is_in_use_by_itself_and_by_what_is_below_it,
					    setup, dir_teardown),
	    cmocka_unit_test_setup_teardown(a_holder_is_told_with_its_pod, setup, dir_teardown),
	    cmocka_unit_test_setup_teardown(one_thread_is_enough_and_a_process_counts_once, setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(a_zombie_holds_nothing, setup, dir_teardown),
	    cmocka_unit_test_setup_teardown(holders_beyond_a_few_are_only_counted, setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(an_old_kernel_has_the_label_elsewhere, setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(a_label_that_cannot_be_read_is_an_error, setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(
		a_scan_without_descriptors_is_an_error_and_finds_no_less, setup, dir_teardown),
	    cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_read_to_its_end_is_an_error,
					    setup, dir_teardown),
	    cmocka_unit_test_setup_teardown(a_thread_whose_state_cannot_be_read_lives, setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(a_live_thread_without_any_label_is_an_error, setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(a_process_that_ends_meanwhile_is_passed_over, setup,
					    dir_teardown),
	    cmocka_unit_test_setup_teardown(a_proc_that_is_not_the_hosts_is_refused, setup,
					    dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
