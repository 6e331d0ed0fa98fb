#include "policy/parser_says.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define IN_TEXT "AppArmor parser error for /proc/self/fd/4 in profile /proc/self/fd/4 at line "
#define IN_FILE(file_) "AppArmor parser error for /proc/self/fd/4 in profile " file_ " at line "

static void read_says(const char *said, const char *text, struct parser_says *ret)
{
	const struct parser_says_input in = {
	    .said = said, .text = text, .base_dir = "/etc/apparmor.d"};

	parser_says_read(&in, ret);
}

static const struct {
	const char *said, *text, *message;
	size_t line, column;
} cases[] = {
    {IN_TEXT "2: Invalid capability foo.\n", "profile x {\n capability foo,\n}",
     "Invalid capability foo.", 2, 13},
    {IN_TEXT "3: syntax error, unexpected TOK_ID, expecting TOK_MODE\n", "a\nb\nc",
     "syntax error, unexpected a name or path, expecting permissions", 3, 0},
    {IN_TEXT "3: syntax error, unexpected end of file, expecting TOK_ID or TOK_NETWORK\n",
     "a\nb\nc",
     "syntax error, unexpected the end of the policy, expecting a name or path or network", 3, 0},
    {IN_TEXT "9: Could not open '/etc/shadow'\n", "include \"/etc/shadow\"",
     "\"/etc/shadow\" cannot be opened: an include reaches only what is shipped with the compiler "
     "(abstractions, tunables, abi)",
     1, 10},
    {IN_TEXT "1: Could not open 'abi/9': Permission denied\n", "abi <abi/9>,",
     "\"abi/9\" cannot be opened: an include reaches only what is shipped with the compiler "
     "(abstractions, tunables, abi)",
     1, 6},
    {"Found reference to variable FOO, but is never declared\n", "a\n @{FOO}/x r,",
     "the variable @{FOO} is never declared: write \"include <tunables/global>\" in front of the "
     "profile, or declare it there",
     2, 4},
    {"apparmor_parser: Regex grouping error: Invalid close }, no matching open { detected\n"
     "apparmor_parser: Unable to parse input line '/a}'\nERROR processing regexs for profile x\n",
     "profile x {\n\n /a} r,\n}", "a path holds a } with no { before it", 3, 2},
    {IN_FILE("/etc/apparmor.d/abstractions/base") "13: Invalid capability secret.\n",
     "profile x {\n include <abstractions/base>\n}",
     "in the included file abstractions/base, line 13: Invalid capability ….", 2, 11},

    /* What the text does not hold is not shown, nor words that are not known. */
    {IN_TEXT "1: Invalid capability SECRET.\n", "capability", "Invalid capability ….", 1, 0},
    {IN_TEXT "1: The SECRET is out\n", "capability",
     "the parser refuses this, and says why in words that are not known here", 1, 0},
    {IN_FILE("/etc/shadow") "1: Invalid capability root.\n", "include \"/etc/shadow\" # root",
     "a file that it includes is no AppArmor policy, or does not belong where it is included", 0,
     0},
    {IN_FILE("/etc/apparmor.d/../shadow") "1: Invalid capability root.\n", "root",
     "a file that it includes is no AppArmor policy, or does not belong where it is included", 0,
     0},
    {IN_TEXT "1: syntax error, unexpected SECRET, expecting TOK_MODE\n", "a",
     "syntax error, unexpected something else, expecting permissions", 1, 0},
    {"root:x:0:0:SECRET\n", "a",
     "the parser refuses the policy, and gives no reason that is known here", 0, 0},
    {"", "a", "the parser refuses the policy, and gives no reason that is known here", 0, 0},
    {IN_TEXT "99: Invalid capability foo.\n", "foo", "Invalid capability foo.", 1, 1},
    {IN_TEXT "99999999999999999999999: bad mount rule", "foo", "bad mount rule", 0, 0},
};

static void what_the_parser_says_is_put_into_known_words(void **state)
{
	struct parser_says says;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_says(cases[i].said, cases[i].text, &says);
		if (strcmp(says.message, cases[i].message) != 0 || says.line != cases[i].line ||
		    says.column != cases[i].column)
			fail_msg("%s\ngave line %zu, column %zu: %s", cases[i].said, says.line,
				 says.column, says.message);
		parser_says_clear(&says);
	}
}

static void warnings_are_told_once(void **state)
{
	struct parser_says says;

	(void)state;
	read_says(
	    "Warning from profile t (/proc/self/fd/4): userns rules not enforced\n"
	    "Warning from profile t (/proc/self/fd/4): userns rules not enforced\n\n"
	    "Warning from profile t (/proc/self/fd/4): SECRET\n"
	    "Warning from profile t (/proc/self/fd/4): downgrading extended network unix socket "
	    "rule to generic network rule\n",
	    "profile t { unix, }", &says);
	assert_int_equal(says.n_warnings, 2);
	assert_string_equal(says.warnings[0].message, "userns rules not enforced");
	parser_says_clear(&says);
}

static void what_only_an_abstraction_gives_rise_to_is_left_out(void **state)
{
	static const char said[] =
	    "Warning from profile t (/proc/self/fd/4): downgrading extended network "
	    "unix socket rule to generic network rule\n";
	struct parser_says says;

	(void)state;
	read_says(said, "include <tunables/global>\nprofile t { network unix stream, }", &says);
	assert_int_equal(says.n_warnings, 0);
	parser_says_clear(&says);
	read_says(said, "profile t { network unix stream,\nunix (send), }", &says);
	assert_int_equal(says.n_warnings, 1);
	parser_says_clear(&says);
}

static void the_first_error_counts(void **state)
{
	struct parser_says says;

	(void)state;
	read_says("noise\n" IN_TEXT "2: bad mount rule\n" IN_TEXT "3: Invalid network entry.\n",
		  "a\nb\nc", &says);
	assert_string_equal(says.message, "bad mount rule");
	assert_int_equal(says.line, 2);
	parser_says_clear(&says);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_the_parser_says_is_put_into_known_words),
	    cmocka_unit_test(warnings_are_told_once),
	    cmocka_unit_test(what_only_an_abstraction_gives_rise_to_is_left_out),
	    cmocka_unit_test(the_first_error_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
