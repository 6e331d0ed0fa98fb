#include "cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const headings[] = {"NAME", "STATE", "MESSAGE", NULL};

static void assert_text(struct table *t, const char *expected)
{
	char *text = table_text(t);

	assert_string_equal(text, expected);
	free(text);
	table_deinit(t);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
	struct table t;

	(void)state;
	table_init(&t, headings);
	table_add(&t, (const char *const[]){"web", "Ready", "a"});
	table_add(&t, (const char *const[]){"database", "NotReady", "b"});
	assert_text(&t, "NAME       STATE      MESSAGE\n"
			"web        Ready      a\n"
			"database   NotReady   b\n");
}

static void an_empty_cell_is_a_dash_so_that_columns_can_be_cut(void **state)
{
	struct table t;

	(void)state;
	table_init(&t, headings);
	table_add(&t, (const char *const[]){"web", NULL, "a"});
	table_add(&t, (const char *const[]){"", "Ready", "b"});
	assert_text(&t, "NAME   STATE   MESSAGE\n"
			"web    -       a\n"
			"-      Ready   b\n");
}

static void no_line_ends_in_blanks(void **state)
{
	struct table t;

	(void)state;
	table_init(&t, headings);
	table_add(&t, (const char *const[]){"web", "Ready", NULL});
	table_add(&t, (const char *const[]){"w", "Ready", ""});
	assert_text(&t, "NAME   STATE   MESSAGE\n"
			"web    Ready\n"
			"w      Ready\n");
}

static void headings_alone_are_a_table(void **state)
{
	struct table t;

	(void)state;
	table_init(&t, headings);
	assert_text(&t, "NAME   STATE   MESSAGE\n");
}

static void a_character_of_several_bytes_counts_once(void **state)
{
	struct table t;

	(void)state;
	table_init(&t, headings);
	table_add(&t, (const char *const[]){"d\xc3\xa9j\xc3\xa0", "Ready", "x"});
	table_add(&t, (const char *const[]){"late", "Ready", "y"});
	assert_text(&t, "NAME   STATE   MESSAGE\n"
			"d\xc3\xa9j\xc3\xa0   Ready   x\n"
			"late   Ready   y\n");
}

static void text_from_outside_cannot_start_a_line_or_steer_a_terminal(void **state)
{
	struct table t;

	(void)state;
	table_init(&t, headings);
	table_add(&t, (const char *const[]){"web", "Ready", "one\ntwo\x1b[2J"});
	assert_text(&t, "NAME   STATE   MESSAGE\n"
			"web    Ready   one?two?[2J\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
	    cmocka_unit_test(an_empty_cell_is_a_dash_so_that_columns_can_be_cut),
	    cmocka_unit_test(no_line_ends_in_blanks),
	    cmocka_unit_test(headings_alone_are_a_table),
	    cmocka_unit_test(a_character_of_several_bytes_counts_once),
	    cmocka_unit_test(text_from_outside_cannot_start_a_line_or_steer_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
