#include "policy/sandbox.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Other programs stand in for the parser: what they cannot do it cannot do either. */

/* Run `program` with `args` in the sandbox, `input` ahead; returns the exit code, 128 + N for
 * signal N. */
static int confine(const char *before, const char *options, const char *program, const char *args,
		   struct buf *ret)
{
	CLEANUP(mem_freep)
	char *command = mem_printf("%s { printf 'FEATtext' | '%s' %s --parser %s --base "
				   "/etc/apparmor.d --features 4 -- %s; } 2>&1",
				   before, TEST_SANDBOX, options, program, args);
	FILE *out =
	    popen(command, "r"); // NOLINT(cert-env33-c): it is given descriptors and a shell
	char chunk[4096];
	size_t n;
	int status;

	assert_non_null(out);
	*ret = (struct buf)BUF_INIT(1 << 20);
	while ((n = fread(chunk, 1, sizeof(chunk), out)) > 0)
		buf_add(ret, chunk, n);
	status = pclose(out);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void the_input_is_two_files(void **state)
{
	struct buf out;

	(void)state;
	assert_int_equal(confine("", "", "/bin/cat", "@text@ @features@ @text@", &out), 0);
	assert_string_equal(buf_text(&out), "textFEATtext");
	buf_clear(&out);
}

static void nothing_but_the_base_folder_can_be_opened(void **state)
{
	static const char *const closed[] = {"/etc/passwd",        "/etc/hostname",
					     "/proc/self/environ", "/proc/self/status",
					     "/proc/1/environ",    "/etc/apparmor.d/../passwd",
					     "/dev/zero",          "/sys/kernel/uevent_seqnum"};
	struct buf out;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
		int code = confine("", "", "/bin/cat", closed[i], &out);

		if (code != 1)
			fail_msg("%s: %d: %s", closed[i], code, buf_text(&out));
		buf_clear(&out);
	}
	assert_int_equal(confine("", "", "/bin/cat", "/etc/apparmor.d/abi/3.0", &out), 0);
	assert_true(out.len > 100);
	buf_clear(&out);
}

static void what_a_shell_would_do_fails(void **state)
{
	static const char *const scripts[] = {
	    "echo x > /tmp/hauberk-sandbox-test", /* writes */
	    "exec /bin/cat /dev/null",            /* executes something else */
	    "echo x > /dev/tcp/127.0.0.1/1",      /* connects */
	    "echo *; [ \"$(echo sub)\" = sub ]",  /* makes a process */
	    "ulimit -v unlimited",                /* takes a limit off */
	    "ulimit -t unlimited",
	    "[ $(ulimit -n) -gt 64 ]",
	    "[ -n \"$HOME$HAUBERK_SECRET\" ]", /* has an environment */
	    "[ $EUID = 0 ]",                   /* is root */
	    "echo <&9",                        /* has an inherited descriptor */
	};
	struct buf out;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		CLEANUP(mem_freep) char *args = mem_printf("-c '%s'", scripts[i]);
		int code = confine("exec 9</etc/hostname; export HAUBERK_SECRET=1;", "",
				   "/bin/bash", args, &out);

		if (code == 0)
			fail_msg("%s succeeds: %s", scripts[i], buf_text(&out));
		buf_clear(&out);
	}
	assert_int_equal(access("/tmp/hauberk-sandbox-test", F_OK), -1);
	assert_int_equal(confine("", "", "/bin/bash", "-c 'exit 42'", &out), 42);
	buf_clear(&out);
}

static void its_failures_have_exit_codes_and_one_line_of_their_own(void **state)
{
	struct buf out;

	(void)state;
	assert_int_equal(confine("", "", "/etc/hostname", "x", &out), SANDBOX_EXIT_NO_PARSER);
	assert_int_equal(strncmp(buf_text(&out), SANDBOX_SAYS, strlen(SANDBOX_SAYS)), 0);
	assert_ptr_equal(strchr(out.data, '\n'), out.data + out.len - 1);
	buf_clear(&out);
	assert_int_equal(confine("", "--bogus", "/bin/cat", "x", &out), SANDBOX_EXIT_USAGE);
	buf_clear(&out);
}

/* As on a kernel that lacks it, or in a container that forbids it. */
static void forbid_landlock(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	if (!ctx || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(landlock_create_ruleset), 0) ||
	    seccomp_load(ctx))
		_exit(99);
	seccomp_release(ctx);
}

static int confine_without_landlock(const char *options, const char *word)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct buf out;
		int code;

		forbid_landlock();
		code = confine("", options, "/bin/cat", "@text@", &out);
		_exit(strstr(buf_text(&out), word) ? code : 98);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void without_landlock_it_refuses_unless_told_otherwise(void **state)
{
	(void)state;
	assert_int_equal(confine_without_landlock("", "no Landlock"), SANDBOX_EXIT_UNAVAILABLE);
	assert_int_equal(
	    confine_without_landlock("--allow-partial --say", "no landlock 0, seccomp"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_input_is_two_files),
	    cmocka_unit_test(nothing_but_the_base_folder_can_be_opened),
	    cmocka_unit_test(what_a_shell_would_do_fails),
	    cmocka_unit_test(its_failures_have_exit_codes_and_one_line_of_their_own),
	    cmocka_unit_test(without_landlock_it_refuses_unless_told_otherwise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
