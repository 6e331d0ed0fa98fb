#include "policy/compiler.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "policy/features.h"
#include "policy/text.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Against the real parser, in the real sandbox. */

static uv_loop_t loop;
static struct compiler *compiler;

struct run {
	struct compiler_result res;
	int n_done;
	int order; /* the how-manieth of the runs to end */
};
static int n_ended;

static void on_done(void *data, struct compiler_result *res)
{
	struct run *run = data;

	run->res = *res;
	*res = (struct compiler_result){0};
	run->n_done++;
	run->order = ++n_ended;
}

static struct compiler_job *start(struct run *run, const char *name, const char *text, size_t n,
				  enum profile_mode mode, const char *release)
{
	const struct features *f = features_builtin(release);
	struct compiler_spec spec = {
	    .name = name,
	    .text = text,
	    .n_text = n,
	    .mode = mode,
	    .features = f->text,
	    .n_features = f->n,
	};

	*run = (struct run){0};
	return compiler_start(compiler, &spec, on_done, run);
}

static void compile(struct run *run, const char *text, enum profile_mode mode)
{
	start(run, "web", text, strlen(text), mode, "6.1");
	assert_int_equal(run->n_done, 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(run->n_done, 1);
}

static void finish(struct run *run)
{
	compiler_result_clear(&run->res);
}

#define assert_holds(text_, word_)                                             \
	do {                                                                   \
		if (!strstr(text_, word_))                                     \
			fail_msg("\"%s\" does not hold \"%s\"", text_, word_); \
	} while (0)

static int setup(void **state)
{
	struct compiler_options options = {.sandbox = TEST_SANDBOX};
	struct err err;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&loop);
	if (compiler_new(&loop, &options, &compiler, &err) == 0)
		return 0;
	fprintf(stderr, "%s\n", err.msg);
	return -1;
}

static int teardown(void **state)
{
	(void)state;
	compiler_free(compiler);
	return uv_loop_close(&loop);
}

static void a_profile_compiles(void **state)
{
	struct run run;

	(void)state;
	compile(&run, "profile web { /srv/** r, }\n", PROFILE_ENFORCE);
	assert_string_equal(run.res.message, "");
	assert_int_equal(run.res.verdict, COMPILER_OK);
	assert_int_equal(run.res.blob.n, 1);
	assert_string_equal(run.res.blob.profiles[0].name, "web");
	assert_int_equal(strlen(run.res.hash), 64);
	assert_true(run.res.n_bytes > 0);
	finish(&run);
}

static void a_profile_with_abstractions_hats_and_children_compiles(void **state)
{
	struct run run;

	(void)state;
	compile(&run,
		"abi <abi/3.0>,\ninclude <tunables/global>\nprofile web {\n"
		" include <abstractions/base>\n include <abstractions/nameservice>\n"
		" @{HOME}/x r,\n ^hat { /a r, }\n"
		" /usr/bin/id cx -> kid,\n profile kid { /usr/bin/id mr, }\n"
		" profile byname /usr/bin/env { /usr/bin/env mr, }\n}\n",
		PROFILE_ENFORCE);
	assert_string_equal(run.res.message, "");
	assert_int_equal(run.res.verdict, COMPILER_OK);
	assert_int_equal(run.res.blob.n, 4);
	finish(&run);
}

static void complain_is_what_the_spec_says_it_is(void **state)
{
	struct run run;

	(void)state;
	compile(&run, "profile web { /srv/** r, profile kid { /a r, } }\n", PROFILE_COMPLAIN);
	assert_int_equal(run.res.verdict, COMPILER_OK);
	assert_true(run.res.blob.profiles[0].version & POLICY_BLOB_FORCE_COMPLAIN);
	assert_true(run.res.blob.profiles[1].version & POLICY_BLOB_FORCE_COMPLAIN);
	finish(&run);
}

static void the_same_text_gives_the_same_bytes(void **state)
{
	const char *text =
	    "include <tunables/global>\nprofile web { include <abstractions/base>\n}\n";
	struct run a, b;

	(void)state;
	compile(&a, text, PROFILE_ENFORCE);
	compile(&b, text, PROFILE_ENFORCE);
	assert_string_equal(a.res.hash, b.res.hash);
	finish(&b);
	compile(&b, text, PROFILE_COMPLAIN);
	assert_string_not_equal(a.res.hash, b.res.hash);
	finish(&a);
	finish(&b);
}

struct refusal {
	const char *text;
	enum profile_mode mode;
	enum compiler_verdict verdict;
	size_t line, column;
	const char *word; /* in the message */
};

static const struct refusal refusals[] = {
    {"profile web {\n  /a r\n}\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 3, 0,
     "line 3: syntax error, unexpected }, expecting a comma"},
    {"profile web {\n  capability foo,\n}\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 2, 14,
     "line 2, column 14: Invalid capability foo."},
    {"profile web flags=(bogus) {\n}\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 1, 20, "bogus"},
    {"profile web {\n\n  /x r,\n  @{FOO}/a r,\n}\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 4, 5,
     "never declared"},
    {"profile web {\n  include <abstractions/base>\n}\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 0,
     0, "include <tunables/global>"},
    {"profile web {\n  /{,a r,\n}\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 2, 3, "not closed"},
    {"profile web {\n  /a px -> ::x,\n  /a ix,\n}\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 2, 3,
     "conflicting"},
    {"profile web { \x01 }\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 1, 0, "unexpected"},
    {"profile web {", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 1, 0, "the end of the policy"},
    {"abi <abi/9.9>,\nprofile web { }\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 1, 6,
     "cannot be opened"},
    {"profile web {\n  include <tunables>\n}\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 2, 12,
     "in the included file tunables/"},

    {"", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 0, 0, "empty"},
    {"\n\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0, "defines no profile"},
    {"# profile web { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0, "only comments"},
    {"profile web { }\nprofile db { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0,
     "more than one profile"},
    {"profile web { }\nprofile web { }\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 1, 9,
     "defined more than once"},
    {"profile db { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0, "\"db\""},
    {"profile web /usr/bin/web { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0, "attachment"},
    {"profile web /{,**} { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0, "attachment"},
    {"profile web @{exec_path} { }\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 1, 15, "exec_path"},
    {"@{X}=/{,**}\nprofile web @{X} { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0,
     "attachment"},
    {"/usr/bin/web { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0, "is a path"},
    {"profile /usr/bin/web { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0, "is a path"},
    {"profile :other:web { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0, "namespace \"other\""},
    {"profile web { }\nprofile :other:db { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0, ""},
    {"profile \"web\nroot\" { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0, "\"web?root\""},
    {"profile web { profile \"a\nb\" { } }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0,
     "control character"},
    {"profile web { profile \"x \" { } }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0,
     "\"web//x \" ends in a space"},
    {"profile web { profile \"voil\xc3\xa0\" { } }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0,
     "let it end in another character"},
    {"profile web { profile \"&x\" { } }\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 1, 0,
     "must begin with a letter"},

    {"profile web flags=(complain) { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0, "spec.mode"},
    {"profile web { profile kid flags=(complain) { } }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0,
     0, "web//kid"},
    {"profile web flags=(unconfined) { }\n", PROFILE_ENFORCE, COMPILER_FORBIDDEN, 0, 0,
     "unconfined"},
    {"profile web flags=(unconfined) { }\n", PROFILE_COMPLAIN, COMPILER_FORBIDDEN, 0, 0,
     "unconfined"},

    {"profile web {\n#include \"/etc/shadow\"\n}\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 2, 11,
     "/etc/shadow"},
    {"profile web {\n include \"/var/run/secrets/kubernetes.io/serviceaccount/token\"\n}\n",
     PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 2, 11, "serviceaccount/token"},
    {"profile web {\n include <../../etc/passwd>\n}\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 2,
     11, "cannot be opened"},
    {"profile web {\n include \"..\"\n}\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR, 2, 11,
     "cannot be opened"},
    {"profile web {\n include \"/proc/self/environ\"\n}\n", PROFILE_ENFORCE, COMPILER_PARSE_ERROR,
     2, 11, "cannot be opened"},
};

static void what_may_not_be_loaded_is_refused_with_a_sentence(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *r = &refusals[i];
		struct run run;

		compile(&run, r->text, r->mode);
		if (run.res.verdict != r->verdict || run.res.line != r->line ||
		    run.res.column != r->column || !strstr(run.res.message, r->word))
			fail_msg("%s\ngave %s, line %zu, column %zu: %s", r->text,
				 compiler_verdict_name(run.res.verdict), run.res.line,
				 run.res.column, run.res.message);
		assert_true(strlen(run.res.message) > 20);
		assert_null(strstr(run.res.message, "No such file"));
		assert_null(strstr(run.res.message, "/proc/self/fd"));
		assert_null(run.res.bytes);
		finish(&run);
	}
}

static void a_reserved_name_and_a_long_one_are_refused(void **state)
{
	static const char *const names[] = {
	    "unconfined", "docker-default", "cri-containerd.apparmor.d", "snap.x.y", "a b", "../x"};
	char text[1024], name[301];
	struct run run;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(text, sizeof(text), "profile \"%s\" { }\n", names[i]);
		start(&run, names[i], text, strlen(text), PROFILE_ENFORCE, "6.1");
		uv_run(&loop, UV_RUN_DEFAULT);
		assert_int_equal(run.res.verdict, COMPILER_FORBIDDEN);
		/* With no name wanted it is the compiled policy that tells. */
		start(&run, NULL, text, strlen(text), PROFILE_ENFORCE, "6.1");
		uv_run(&loop, UV_RUN_DEFAULT);
		assert_int_equal(run.res.verdict, COMPILER_FORBIDDEN);
	}
	memset(name, 'n', 300);
	name[300] = '\0';
	snprintf(text, sizeof(text), "profile %s { }\n", name);
	start(&run, NULL, text, strlen(text), PROFILE_ENFORCE, "6.1");
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(run.res.verdict, COMPILER_FORBIDDEN);
	snprintf(text, sizeof(text), "profile web { profile %s { } }\n", name);
	compile(&run, text, PROFILE_ENFORCE);
	assert_int_equal(run.res.verdict, COMPILER_FORBIDDEN);
	assert_holds(run.res.message, "too long");
}

static char *many(const char *head, const char *row, int n, const char *tail)
{
	struct buf b = BUF_INIT(1 << 20);
	int i;

	buf_add_str(&b, head);
	for (i = 0; i < n; i++) {
		const char *s;

		for (s = row; *s; s++) {
			if (*s == '#')
				buf_addf(&b, "%d", i);
			else if (*s == '%')
				buf_addf(&b, "%d", i + 1);
			else
				buf_add(&b, s, 1);
		}
	}
	buf_add_str(&b, tail);
	return buf_steal(&b);
}

static void a_bomb_ends_and_says_what_it_took(void **state)
{
	CLEANUP(mem_freep)
	char *memory = many("@{V0}=aaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbb\n", "@{V%}=@{V#}x@{V#}\n", 30,
			    "profile web { @{V30} r, }\n");
	CLEANUP(mem_freep) char *output = many("profile web {\n", "^h# { /a# r, }\n", 1200, "}\n");
	CLEANUP(mem_freep) char *hats = many("profile web {\n", "^h# { }\n", 600, "}\n");
	struct run run;

	(void)state;
	compile(&run, "profile web {\n  /**a?????????????????? r,\n}\n", PROFILE_ENFORCE);
	assert_int_equal(run.res.verdict, COMPILER_LIMIT);
	compile(&run, memory, PROFILE_ENFORCE);
	assert_int_equal(run.res.verdict, COMPILER_LIMIT);
	assert_holds(run.res.message, "memory");
	compile(&run, output, PROFILE_ENFORCE);
	assert_int_equal(run.res.verdict, COMPILER_LIMIT);
	assert_holds(run.res.message, "4 MiB");
	compile(&run, hats, PROFILE_ENFORCE);
	assert_int_equal(run.res.verdict, COMPILER_FORBIDDEN);
	assert_holds(run.res.message, "more than 512");
}

/* A folder that the sandbox lets nobody see, with a canary in it. */
static void no_byte_of_another_file_comes_out(void **state)
{
	static const char *const uses[][2] = {
	    {"profile web {\n capability\n#include \"", "\"\n}\n"},
	    {"profile web {\n set rlimit\n#include \"", "\"\n <= 1,\n}\n"},
	    {"#include \"", "\"\nprofile web { }\n"},
	    {"profile web { #include\"", "\"\n}\n"},
	    {"abi \"", "\",\nprofile web { }\n"},
	};
	char dir[] = "/tmp/hauberk-canary-XXXXXX";
	char file[64], text[256];
	struct err err;
	size_t i;

	(void)state;
	assert_non_null(mkdtemp(dir));
	chmod(dir, 0755);
	snprintf(file, sizeof(file), "%s/file", dir);
	assert_int_equal(file_write_atomic(file, "SECRETCANARY x y z\n", 19, 0644, &err), 0);
	for (i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
		struct run run;

		snprintf(text, sizeof(text), "%s%s%s", uses[i][0], file, uses[i][1]);
		compile(&run, text, PROFILE_ENFORCE);
		if (run.res.verdict != COMPILER_PARSE_ERROR)
			fail_msg("%s\ngave %s", text, compiler_verdict_name(run.res.verdict));
		assert_null(strstr(run.res.message, "CANARY"));
		finish(&run);
	}
	unlink(file);
	assert_int_equal(mkfifo(file, 0666), 0);
	snprintf(text, sizeof(text), "profile web { include \"%s\"\n}\n", file);
	{
		struct run run;

		compile(&run, text, PROFILE_ENFORCE);
		assert_int_equal(run.res.verdict, COMPILER_PARSE_ERROR);
		assert_true(run.res.ms < 5000);
	}
	unlink(file);
	rmdir(dir);
}

/* A file that may not be opened is one that does not exist, so nothing tells the two apart. */
static void an_include_if_exists_says_nothing_of_what_exists(void **state)
{
	struct run there, gone;

	(void)state;
	compile(&there, "profile web {\n include if exists \"/etc/passwd\"\n}\n", PROFILE_ENFORCE);
	compile(&gone, "profile web {\n include if exists \"/etc/nothing\"\n}\n", PROFILE_ENFORCE);
	assert_int_equal(there.res.verdict, COMPILER_OK);
	assert_string_equal(there.res.hash, gone.res.hash);
	finish(&there);
	finish(&gone);
}

static void rules_that_the_kernel_lacks_are_told(void **state)
{
	struct run run;

	(void)state;
	compile(&run, "abi <abi/3.0>,\nprofile web { dbus send, }\n", PROFILE_ENFORCE);
	assert_int_equal(run.res.verdict, COMPILER_OK);
	assert_int_equal(run.res.n_warnings, 1);
	assert_string_equal(run.res.warnings[0].message, "dbus rules not enforced");
	finish(&run);
}

static void a_bomb_does_not_hold_up_the_next_profile(void **state)
{
	static const char bomb[] = "profile web {\n  /**a?????????????????? r,\n}\n";
	static const char good[] = "profile db { /a r, }\n";
	struct run bombs[2], next;

	(void)state;
	n_ended = 0;
	start(&bombs[0], "web", bomb, strlen(bomb), PROFILE_ENFORCE, "6.1");
	start(&bombs[1], "web", bomb, strlen(bomb), PROFILE_ENFORCE, "6.12");
	start(&next, "db", good, strlen(good), PROFILE_ENFORCE, "6.12");
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(bombs[0].res.verdict, COMPILER_LIMIT);
	assert_int_equal(bombs[1].res.verdict, COMPILER_LIMIT);
	assert_int_equal(next.res.verdict, COMPILER_OK);
	assert_int_equal(next.order, 1);
	finish(&next);
}

static void a_cancelled_job_says_so_in_every_state(void **state)
{
	static const char bomb[] = "profile web {\n  /**a?????????????????? r,\n}\n";
	struct compiler_job *jobs[6];
	struct run runs[6];
	int64_t before = clock_mono_ms();
	int i;

	(void)state;
	for (i = 0; i < 6; i++)
		jobs[i] = start(&runs[i], "web", bomb, strlen(bomb), PROFILE_ENFORCE, "6.1");
	compiler_cancel(jobs[0]); /* deferred */
	uv_run(&loop, UV_RUN_ONCE);
	uv_run(&loop, UV_RUN_NOWAIT);
	for (i = 1; i < 6; i++) /* running, and waiting */
		compiler_cancel(jobs[i]);
	uv_run(&loop, UV_RUN_DEFAULT);
	for (i = 0; i < 6; i++) {
		assert_int_equal(runs[i].n_done, 1);
		assert_int_equal(runs[i].res.verdict, COMPILER_CANCELLED);
	}
	assert_true(clock_mono_ms() - before < 4000);
}

static void a_feature_set_that_is_none_is_not_the_text_s_fault(void **state)
{
	struct compiler_spec spec = {
	    .name = "web",
	    .text = "profile web { }\n",
	    .n_text = 16,
	    .features = "file {",
	    .n_features = 6,
	};
	struct run run = {0};

	(void)state;
	compiler_start(compiler, &spec, on_done, &run);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(run.res.verdict, COMPILER_INTERNAL);
}

static void what_is_missing_is_named(void **state)
{
	struct compiler_options options[] = {
	    {.sandbox = TEST_SANDBOX, .parser = "/nonexistent/parser"},
	    {.sandbox = "/nonexistent/sandbox"},
	    {.sandbox = TEST_SANDBOX, .base_dir = "/nonexistent/base"},
	    {.sandbox = TEST_SANDBOX, .default_abi = "abi/nonexistent"},
	};
	struct compiler *c;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		assert_true(compiler_new(&loop, &options[i], &c, &err) < 0);
		assert_holds(err.msg, "nonexistent");
	}
	/* Something that is there and is no parser. */
	options[0].parser = "/bin/true";
	assert_true(compiler_new(&loop, &options[0], &c, &err) < 0);
}

static void the_id_names_version_abi_and_abstractions(void **state)
{
	char *rest;

	(void)state;
	assert_true(strtol(compiler_id(compiler), &rest, 10) >= 3);
	assert_holds(compiler_id(compiler), " abi/3.0 ");
	assert_holds(compiler_sandbox(compiler), "seccomp");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_profile_compiles),
	    cmocka_unit_test(a_profile_with_abstractions_hats_and_children_compiles),
	    cmocka_unit_test(complain_is_what_the_spec_says_it_is),
	    cmocka_unit_test(the_same_text_gives_the_same_bytes),
	    cmocka_unit_test(what_may_not_be_loaded_is_refused_with_a_sentence),
	    cmocka_unit_test(a_reserved_name_and_a_long_one_are_refused),
	    cmocka_unit_test(a_bomb_ends_and_says_what_it_took),
	    cmocka_unit_test(no_byte_of_another_file_comes_out),
	    cmocka_unit_test(an_include_if_exists_says_nothing_of_what_exists),
	    cmocka_unit_test(rules_that_the_kernel_lacks_are_told),
	    cmocka_unit_test(a_bomb_does_not_hold_up_the_next_profile),
	    cmocka_unit_test(a_cancelled_job_says_so_in_every_state),
	    cmocka_unit_test(a_feature_set_that_is_none_is_not_the_text_s_fault),
	    cmocka_unit_test(what_is_missing_is_named),
	    cmocka_unit_test(the_id_names_version_abi_and_abstractions),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
