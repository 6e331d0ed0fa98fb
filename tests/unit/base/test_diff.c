#include "base/diff.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *diff_of(const char *from, const char *to)
{
	struct buf out = BUF_INIT(1 << 20);
	struct diff_text a = {"now", from, strlen(from)}, b = {"then", to, strlen(to)};

	assert_true(diff_unified(&a, &b, &out));
	return buf_steal(&out);
}

#define HEAD "--- now\n+++ then\n"

static void a_change_is_shown_with_three_lines_around_it(void **state)
{
	static const struct {
		const char *from, *to, *diff;
	} cases[] = {
	    {"", "", ""},
	    {"a\n", "a\n", ""},
	    {"a\n", "b\n", HEAD "@@ -1 +1 @@\n-a\n+b\n"},
	    {"", "a\nb\n", HEAD "@@ -0,0 +1,2 @@\n+a\n+b\n"},
	    {"a\nb\n", "", HEAD "@@ -1,2 +0,0 @@\n-a\n-b\n"},
	    {"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nx\n6\n7\n8\n9\n",
	     HEAD "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n"},
	    {"1\n2\n3\n", "1\n2\nx\n3\n", HEAD "@@ -1,3 +1,4 @@\n 1\n 2\n+x\n 3\n"},
	    {"1\n2\n3\n", "1\n3\n", HEAD "@@ -1,3 +1,2 @@\n 1\n-2\n 3\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *diff = diff_of(cases[i].from, cases[i].to);

		assert_string_equal(diff, cases[i].diff);
		free(diff);
	}
}

static void changes_far_from_each_other_are_hunks_of_their_own(void **state)
{
	/* Six lines between two changes are the context of both, seven are not. */
	char *one = diff_of("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n");
	char *two = diff_of("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n");

	(void)state;
	assert_string_equal(one, HEAD "@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
	assert_string_equal(two, HEAD "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n"
				      "@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
	free(one);
	free(two);
}

static void a_missing_line_feed_at_the_end_is_a_change(void **state)
{
	char *diff = diff_of("a\nb\n", "a\nb");

	(void)state;
	assert_string_equal(diff,
			    HEAD "@@ -1,2 +1,2 @@\n a\n-b\n+b\n\\ No newline at end of file\n");
	free(diff);
}

static char *numbered(const char *word, size_t n)
{
	struct buf text = BUF_INIT(1 << 20);
	size_t i;

	for (i = 0; i < n; i++)
		buf_addf(&text, "%s %zu\n", word, i);
	return buf_steal(&text);
}

static void what_has_nothing_in_common_is_one_block_out_and_one_in(void **state)
{
	char *from = numbered("old", 2 * (size_t)DIFF_EDITS_MAX), *to = numbered("new", 3);
	char *diff = diff_of(from, to);

	(void)state;
	assert_non_null(strstr(diff, "@@ -1,2000 +1,3 @@\n-old 0\n"));
	assert_non_null(strstr(diff, "-old 1999\n+new 0\n+new 1\n+new 2\n"));
	free(diff);
	free(from);
	free(to);
}

static void the_ceiling_holds(void **state)
{
	struct buf out = BUF_INIT(20);
	struct diff_text a = {"now", "a\n", 2}, b = {"then", "b\n", 2};

	(void)state;
	assert_false(diff_unified(&a, &b, &out));
	assert_in_range(out.len, 0, 20);
	buf_clear(&out);
}

/* patch(1) is not everywhere; what it would do is done here by hand. */
static char *patched(const char *from, const char *diff)
{
	struct buf out = BUF_INIT(1 << 20);
	const char *at = from, *line = *diff ? diff + strlen(HEAD) : diff;
	size_t passed = 0;

	while (*line) {
		const char *next = strchr(line, '\n') + 1;
		size_t start = line[0] == '@' ? strtoul(line + 4, NULL, 10) : 0;

		if (strncmp(line, "@@ -", 4) == 0) {
			bool none = strstr(line, ",0 +") && strstr(line, ",0 +") < next;

			for (start = none ? start : start - 1; passed < start; passed++) {
				const char *end = strchr(at, '\n') + 1;

				buf_add(&out, at, (size_t)(end - at));
				at = end;
			}
		} else if (*line == ' ' || *line == '-') {
			size_t n = (size_t)(next - line) - 1;

			assert_memory_equal(at, line + 1, n);
			if (*line == ' ')
				buf_add(&out, at, n);
			at += n;
			passed++;
		} else if (*line == '+') {
			buf_add(&out, line + 1, (size_t)(next - line) - 1);
		}
		line = next;
	}
	buf_add_str(&out, at);
	return buf_steal(&out);
}

static char *random_text(unsigned int *seed)
{
	struct buf text = BUF_INIT(4096);
	int n = rand_r(seed) % 30, i;

	for (i = 0; i < n; i++)
		buf_addf(&text, "%c\n", 'a' + rand_r(seed) % 5);
	return buf_steal(&text);
}

static void applied_to_the_one_text_it_gives_the_other(void **state)
{
	unsigned int seed = 1;
	int i;

	(void)state;
	for (i = 0; i < 2000; i++) {
		char *from = random_text(&seed), *to = random_text(&seed);
		char *diff = diff_of(from, to), *got = patched(from, diff);

		assert_string_equal(got, to);
		free(got);
		free(diff);
		free(to);
		free(from);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_change_is_shown_with_three_lines_around_it),
	    cmocka_unit_test(changes_far_from_each_other_are_hunks_of_their_own),
	    cmocka_unit_test(a_missing_line_feed_at_the_end_is_a_change),
	    cmocka_unit_test(what_has_nothing_in_common_is_one_block_out_and_one_in),
	    cmocka_unit_test(the_ceiling_holds),
	    cmocka_unit_test(applied_to_the_one_text_it_gives_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
