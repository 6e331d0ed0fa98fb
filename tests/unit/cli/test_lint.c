#include "base/buf.h"
#include "base/js.h"
#include "base/mem.h"
#include "cli/lint_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define HEAD "apiVersion: hauberk.dev/v1alpha1\\nkind: AppArmorProfile\\nmetadata: {name: web}\\n"

/* Give the program `input` (with \n for line feeds) and collect what it prints on stdout. */
static int lint(const char *input, const char *options, struct buf *ret)
{
	CLEANUP(mem_freep)
	char *command =
	    mem_printf("printf '%s' | '%s' lint - %s 2>&1", input, TEST_PLUGIN, options);
	FILE *out = popen(command, "r"); // NOLINT(cert-env33-c): a shell is what it is run from
	char chunk[4096];
	size_t n;

	assert_non_null(out);
	*ret = (struct buf)BUF_INIT(1 << 20);
	while ((n = fread(chunk, 1, sizeof(chunk), out)) > 0)
		buf_add(ret, chunk, n);
	return WEXITSTATUS(pclose(out));
}

static void exit_code_and_words_say_whether_it_may_be_applied(void **state)
{
	static const struct {
		const char *input, *options, *word;
		int code;
	} cases[] = {
	    {HEAD "spec:\\n  policy: |\\n    profile web { /a r, }\\n", "", "1 profile checked", 0},
	    {"profile web { /a r, }\\n", "", "0 errors", 0},
	    {"profile web { /a r, }\\n", "--mode Complain --features 6.12", "for 6.12:", 0},
	    {"profile web { dbus, }\\n", "",
	     "(standard input):1:1: warning: dbus rules not enforced", 0},
	    {HEAD "spec:\\n  policy: |\\n    profile web {\\n      capability foo,\\n    }\\n", "",
	     "(standard input):7:18: error: Invalid capability foo.\n1 profile", 1},
	    {HEAD "spec:\\n  policy: \"profile web {\\\\n capability foo,\\\\n}\"\\n", "",
	     "(standard input):5:11: error: policy line 2, column 13: Invalid capability foo.", 1},
	    {HEAD "spec:\\n  mode: Off\\n  policy: |\\n    profile web { /a }\\n", "",
	     ":5:9: error: ", 1},
	    {"profile web /bin/x { }\\n", "", "attachment", 1},
	    {"profile web flags=(complain) { }\\n", "", "spec.mode", 1},
	    {"profile docker-default { }\\n", "", "reserved", 1},
	    {"kind: ConfigMap\\n", "", "no AppArmorProfile", 1},
	    {"profile web { \\377 }\\n", "", "UTF-8", 1},
	    {"x", "--features /dev/null", "feature set is malformed", 2},
	    {"x", "--output yaml", "takes json", 2},
	    {"x", "--bogus", "no option", 2},
	    {"x", "--parser /nonexistent", "install the package apparmor", 1},
	    {"x", "--help", "usage: kubectl hauberk lint", 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out;
		int code = lint(cases[i].input, cases[i].options, &out);

		if (code != cases[i].code || !strstr(buf_text(&out), cases[i].word))
			fail_msg("%s\ngave %d: %s", cases[i].input, code, buf_text(&out));
		buf_clear(&out);
	}
}

static void json_holds_what_a_program_wants_to_know(void **state)
{
	CLEANUP(js_putp) struct json_object *obj = NULL;
	struct json_object *finding;
	struct buf out;
	struct err err;

	(void)state;
	assert_int_equal(lint("profile web {\\n  capability foo,\\n}\\n", "-o json", &out), 1);
	assert_int_equal(js_parse(buf_text(&out), out.len, &obj, &err), 0);
	assert_false(js_bool(obj, "ok", true));
	assert_int_equal(js_len(js_array(obj, "findings")), 1);
	finding = js_item(js_array(obj, "findings"), 0);
	assert_int_equal(js_i64(finding, "line", 0), 2);
	assert_int_equal(js_i64(finding, "column", 0), 14);
	assert_string_equal(js_str(finding, "severity"), "error");
	assert_int_equal(js_len(js_array(finding, "features")), 2);
	assert_int_equal(js_len(js_array(obj, "profiles")), 1);
	buf_clear(&out);
}

static void json_says_ok_where_the_exit_code_does(void **state)
{
	static const struct {
		const char *input;
		int code;
	} cases[] = {
	    {"profile web { /a r, }\n", 0},
	    {"profile web { dbus, }\n", 0}, /* a warning */
	    {"profile web { capability foo, }\n", 1},
	    {"kind: ConfigMap\n", 1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(js_putp) struct json_object *obj = NULL;
		struct buf out;
		struct err err;

		assert_int_equal(lint(cases[i].input, "-o json", &out), cases[i].code);
		assert_int_equal(js_parse(buf_text(&out), out.len, &obj, &err), 0);
		assert_int_equal(js_bool(obj, "ok", cases[i].code != 0), cases[i].code == 0);
		buf_clear(&out);
	}
}

static void what_two_kernels_have_in_common_is_told_once(void **state)
{
	CLEANUP(js_putp) struct json_object *obj = NULL;
	struct lint_report report;
	static const char file[] = "x.yaml";

	(void)state;
	lint_report_init(&report);
	report.sets[0] = "6.1";
	report.sets[1] = "6.12";
	report.n_sets = 2;
	lint_report_add(&report, file, 3, 1, LINT_WARNING, "same", 0);
	lint_report_add(&report, file, 3, 1, LINT_WARNING, "same", 1);
	lint_report_add(&report, file, 3, 1, LINT_WARNING, "only here", 1);
	lint_report_add(&report, file, 3, 1, LINT_ERROR, "anywhere", -1);
	assert_int_equal(report.n, 3);
	assert_int_equal(lint_report_count(&report, LINT_WARNING), 2);
	obj = lint_report_json(&report);
	assert_false(js_bool(obj, "ok", true));
	lint_report_deinit(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exit_code_and_words_say_whether_it_may_be_applied),
	    cmocka_unit_test(json_holds_what_a_program_wants_to_know),
	    cmocka_unit_test(json_says_ok_where_the_exit_code_does),
	    cmocka_unit_test(what_two_kernels_have_in_common_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
