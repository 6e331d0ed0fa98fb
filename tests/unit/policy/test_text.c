#include "policy/text.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(text_) (text_), sizeof(text_) - 1

static void a_text_that_may_be_compiled_passes(void **state)
{
	struct err err;
	CLEANUP(mem_freep) char *longest = mem_alloc(POLICY_TEXT_MAX, 1);

	(void)state;
	assert_int_equal(policy_text_check(TEXT("profile web { /srv/wëb r, }"), NULL, &err), 0);
	memset(longest, 'a', POLICY_TEXT_MAX);
	assert_int_equal(policy_text_check(longest, POLICY_TEXT_MAX, NULL, &err), 0);
}

static void a_text_that_may_not_is_told_why_and_where(void **state)
{
	static const struct {
		const char *text;
		size_t n, line;
		const char *word;
	} cases[] = {
	    {TEXT(""), 0, "empty"},
	    {TEXT("a\nb\0c"), 2, "NUL"},
	    {TEXT("\0"), 1, "NUL"},
	    {TEXT("a\n\n\xff\n"), 3, "UTF-8"},
	    {TEXT("a\n\xc3"), 2, "UTF-8"},
	    {TEXT("\xed\xa0\x80"), 1, "UTF-8"},
	    {TEXT("a\n# \xef\xbf\xbd\n"), 2, "U+FFFD"},
	};
	size_t i, line;
	struct err err;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(policy_text_check(cases[i].text, cases[i].n, &line, &err),
				 -EINVAL);
		assert_int_equal(line, cases[i].line);
		assert_non_null(strstr(err.msg, cases[i].word));
	}
}

static void bytes_are_counted_not_characters(void **state)
{
	CLEANUP(mem_freep) char *text = mem_alloc(POLICY_TEXT_MAX + 2, 1);
	size_t i;
	struct err err;

	(void)state;
	for (i = 0; i < POLICY_TEXT_MAX + 2; i += 2)
		text[i] = '\xc3', text[i + 1] = '\xa9';
	assert_int_equal(policy_text_check(text, POLICY_TEXT_MAX, NULL, &err), 0);
	assert_int_equal(policy_text_check(text, POLICY_TEXT_MAX + 2, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "262146 bytes"));
}

static void each_part_of_a_revision_counts(void **state)
{
	char a[PROFILE_REVISION_SIZE], b[PROFILE_REVISION_SIZE];

	(void)state;
	policy_revision("web", TEXT("text"), PROFILE_ENFORCE, "id", a);
	assert_int_equal(strlen(a), 12);
	policy_revision("web", TEXT("text"), PROFILE_ENFORCE, "id", b);
	assert_string_equal(a, b);
	policy_revision("wem", TEXT("text"), PROFILE_ENFORCE, "id", b);
	assert_string_not_equal(a, b);
	policy_revision("web", TEXT("texu"), PROFILE_ENFORCE, "id", b);
	assert_string_not_equal(a, b);
	policy_revision("web", TEXT("text"), PROFILE_COMPLAIN, "id", b);
	assert_string_not_equal(a, b);
	policy_revision("web", TEXT("text"), PROFILE_ENFORCE, "ie", b);
	assert_string_not_equal(a, b);
	/* A byte that moves from one part to the next makes another revision. */
	policy_revision("webt", TEXT("ext"), PROFILE_ENFORCE, "id", b);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_text_that_may_be_compiled_passes),
	    cmocka_unit_test(a_text_that_may_not_is_told_why_and_where),
	    cmocka_unit_test(bytes_are_counted_not_characters),
	    cmocka_unit_test(each_part_of_a_revision_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
