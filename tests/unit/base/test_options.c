#include "base/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct values {
	const char *name;
	int64_t count;
	bool loud;
};

static int parse(struct values *v, const char *line, char **argv, int *n_args, struct err *err)
{
	static char copy[200];
	const struct option_def defs[] = {
	    {.name = "name", .letter = 'n', .kind = OPTION_TEXT, .target = &v->name, .arg = "NAME"},
	    {.name = "count",
	     .letter = 'c',
	     .kind = OPTION_I64,
	     .target = &v->count,
	     .min = 1,
	     .max = 10,
	     .arg = "N"},
	    {.name = "loud", .kind = OPTION_FLAG, .target = &v->loud},
	    {0},
	};
	const struct options_spec spec = {.usage = "x", .about = "y", .defs = defs};
	int argc = 0;
	char *rest;
	char *word;

	*v = (struct values){0};
	snprintf(copy, sizeof(copy), "%s", line);
	argv[argc++] = (char *)"program";
	for (word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	argv[argc] = NULL;
	return options_parse(&spec, argc, argv, n_args, err);
}

static void options_and_arguments_may_be_mixed(void **state)
{
	char *argv[20];
	struct values v;
	struct err err;
	int n;

	(void)state;
	assert_int_equal(parse(&v, "a --name=x b --count 7 - --loud c", argv, &n, &err), 0);
	assert_string_equal(v.name, "x");
	assert_int_equal(v.count, 7);
	assert_true(v.loud);
	assert_int_equal(n, 4);
	assert_string_equal(argv[1], "a");
	assert_string_equal(argv[2], "b");
	assert_string_equal(argv[3], "-");
	assert_string_equal(argv[4], "c");
}

static void letters_work_with_and_without_a_space(void **state)
{
	char *argv[20];
	struct values v;
	struct err err;
	int n;

	(void)state;
	assert_int_equal(parse(&v, "-n x -c7", argv, &n, &err), 0);
	assert_string_equal(v.name, "x");
	assert_int_equal(v.count, 7);
	assert_int_equal(n, 0);
}

static void two_dashes_end_the_options(void **state)
{
	char *argv[20];
	struct values v;
	struct err err;
	int n;

	(void)state;
	assert_int_equal(parse(&v, "-- --loud -n", argv, &n, &err), 0);
	assert_false(v.loud);
	assert_int_equal(n, 2);
	assert_string_equal(argv[1], "--loud");
}

static void a_value_may_be_empty_or_look_like_an_option(void **state)
{
	char *argv[20];
	struct values v;
	struct err err;
	int n;

	(void)state;
	assert_int_equal(parse(&v, "--name= --count=1", argv, &n, &err), 0);
	assert_string_equal(v.name, "");
	assert_int_equal(parse(&v, "--name --loud", argv, &n, &err), 0);
	assert_string_equal(v.name, "--loud");
	assert_false(v.loud);
}

static void what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *line, *words;
	} cases[] = {
	    {"--nam x", "no option --nam"},
	    {"--names=x", "no option --names"},
	    {"-x", "no option -x"},
	    {"--name", "--name needs a value (NAME)"},
	    {"-c", "--count needs a value"},
	    {"--count 0", "--count takes a whole number from 1 to 10, not \"0\""},
	    {"--count 11", "from 1 to 10"},
	    {"--count x", "from 1 to 10"},
	    {"--count=", "from 1 to 10"},
	    {"--loud=yes", "--loud takes no value"},
	};
	char *argv[20];
	struct values v;
	struct err err;
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(&v, cases[i].line, argv, &n, &err), -EINVAL);
		if (!strstr(err.msg, cases[i].words))
			fail_msg("%s: %s", cases[i].line, err.msg);
	}
}

static void help_is_asked_for(void **state)
{
	char *argv[20];
	struct values v;
	struct err err;
	int n;

	(void)state;
	assert_int_equal(parse(&v, "a --help", argv, &n, &err), 1);
	assert_int_equal(parse(&v, "-h", argv, &n, &err), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(options_and_arguments_may_be_mixed),
	    cmocka_unit_test(letters_work_with_and_without_a_space),
	    cmocka_unit_test(two_dashes_end_the_options),
	    cmocka_unit_test(a_value_may_be_empty_or_look_like_an_option),
	    cmocka_unit_test(what_is_wrong_is_named),
	    cmocka_unit_test(help_is_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
