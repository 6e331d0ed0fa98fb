#include "policy/compiler_judge.h"

#include "base/mem.h"
#include "policy/sandbox.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define AT "AppArmor parser error for /proc/self/fd/4 in profile /proc/self/fd/4 at line "
#define BAD_ALLOC                                                           \
	"terminate called after throwing an instance of 'std::bad_alloc'\n" \
	"  what():  std::bad_alloc\n"

static const char text[] = "profile web {\n capability Out of memory,\n}\n";

struct run {
	int64_t exit_code;
	int signal;
	bool timed_out, truncated;
	const char *said;
	enum compiler_verdict verdict;
	const char *word; /* in the message */
};

static void judge(const struct run *run, struct compiler_result *ret)
{
	struct buf out = BUF_INIT(1024);
	struct buf err = BUF_INIT(1024);
	const struct proc_result proc = {
	    .exit_code = run->exit_code,
	    .signal = run->signal,
	    .timed_out = run->timed_out,
	    .truncated = run->truncated,
	    .out = &out,
	    .err = &err,
	};
	const struct compiler_judge_input in = {
	    .proc = &proc,
	    .name = "web",
	    .text = text,
	    .mode = PROFILE_ENFORCE,
	    .base_dir = "/etc/apparmor.d",
	    .sandbox = "hauberk-sandbox",
	};

	buf_add_str(&err, run->said);
	*ret = (struct compiler_result){0};
	compiler_judge(&in, ret);
	buf_clear(&out);
	buf_clear(&err);
}

static void expect(const struct run *runs, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct compiler_result res;

		judge(&runs[i], &res);
		if (res.verdict != runs[i].verdict || !strstr(res.message, runs[i].word))
			fail_msg("run %zu gave %s, not \"%s\": %s", i,
				 compiler_verdict_name(res.verdict), runs[i].word, res.message);
		compiler_result_clear(&res);
	}
}

#define EXPECT(runs_) expect(runs_, sizeof(runs_) / sizeof((runs_)[0]))

static void each_limit_is_told_by_its_name(void **state)
{
	static const struct run runs[] = {
	    {0, SIGKILL, true, false, "", COMPILER_LIMIT, "10 seconds"},
	    {0, SIGKILL, false, true, "", COMPILER_LIMIT, "too much to say"},
	    {0, SIGXCPU, false, false, "", COMPILER_LIMIT, "5 seconds of CPU"},
	    {0, SIGABRT, false, false, BAD_ALLOC, COMPILER_LIMIT, "more than 256 MiB"},
	    {1, 0, false, false, "Out of memory\n", COMPILER_LIMIT, "more than 256 MiB"},
	    {1, 0, false, false, "Warning: x\nError: Out of memory.\n", COMPILER_LIMIT,
	     "more than 256 MiB"},
	    {1, 0, false, false, AT "3: Memory allocation error.\n", COMPILER_LIMIT,
	     "more than 256 MiB"},
	    {0, SIGSEGV, false, false, "Warning: x\n" AT "3: Memory allocation error.\n",
	     COMPILER_LIMIT, "more than 256 MiB"},
	};

	(void)state;
	EXPECT(runs);
}

static void a_crash_is_told_as_one(void **state)
{
	static const struct run runs[] = {
	    {0, SIGSEGV, false, false, "", COMPILER_LIMIT, "crashed on this policy (signal 11)"},
	    {0, SIGABRT, false, false, "free(): double free detected in tcache 2\n", COMPILER_LIMIT,
	     "crashed on this policy (signal 6)"},
	    {0, SIGBUS, false, false, "", COMPILER_LIMIT, "crashed"},
	    {0, SIGILL, false, false, "", COMPILER_LIMIT, "crashed"},
	    {0, SIGFPE, false, false, "", COMPILER_LIMIT, "crashed"},
	    {0, SIGSEGV, false, false, AT "2: Invalid capability Out of memory.\n", COMPILER_LIMIT,
	     "crashed"},
	};

	(void)state;
	EXPECT(runs);
}

static void whom_the_system_ends_has_met_no_limit_of_ours(void **state)
{
	static const struct run runs[] = {
	    {0, SIGKILL, false, false, "", COMPILER_LIMIT, "the system ended the compiler"},
	    {0, SIGTERM, false, false, "", COMPILER_LIMIT, "ended by signal 15"},
	};

	(void)state;
	EXPECT(runs);
}

static void what_the_parser_quotes_is_no_limit(void **state)
{
	static const struct run runs[] = {
	    {1, 0, false, false, AT "2: Invalid capability Out of memory.\n", COMPILER_PARSE_ERROR,
	     "line 2"},
	    {1, 0, false, false, "variable std::bad_alloc is not declared\n", COMPILER_PARSE_ERROR,
	     ""},
	    {1, 0, false, false, "AppArmor parser error\nmore at line 2: Out of memory\n",
	     COMPILER_PARSE_ERROR, ""},
	};

	(void)state;
	EXPECT(runs);
}

static void a_launcher_that_fails_is_not_the_text_s_fault(void **state)
{
	static const struct run runs[] = {
	    {SANDBOX_EXIT_UNAVAILABLE, 0, false, false, SANDBOX_SAYS "Out of memory\n",
	     COMPILER_INTERNAL, "cannot be run"},
	};

	(void)state;
	EXPECT(runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_limit_is_told_by_its_name),
	    cmocka_unit_test(a_crash_is_told_as_one),
	    cmocka_unit_test(whom_the_system_ends_has_met_no_limit_of_ours),
	    cmocka_unit_test(what_the_parser_quotes_is_no_limit),
	    cmocka_unit_test(a_launcher_that_fails_is_not_the_text_s_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
