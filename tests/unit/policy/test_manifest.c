#include "policy/manifest.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "policy/manifest_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "apiVersion: hauberk.dev/v1alpha1\nkind: AppArmorProfile\n"
#define META HEAD "metadata:\n  name: web\n"
#define ROLLOUT META "spec:\n  policy: x\n  rollout: "

static void parse(const char *text, struct manifest *ret)
{
	manifest_parse(text, strlen(text), ret);
}

static void a_manifest_gives_its_profile(void **state)
{
	struct manifest m;

	(void)state;
	parse(META "spec:\n  profileName: web2\n  mode: Complain\n  policy: |\n    profile web2 {\n"
		   "      /a r,\n    }\n",
	      &m);
	assert_int_equal(m.n_problems, 0);
	assert_int_equal(m.n_profiles, 1);
	assert_string_equal(m.profiles[0].object, "web");
	assert_string_equal(m.profiles[0].name, "web2");
	assert_string_equal(m.profiles[0].policy, "profile web2 {\n  /a r,\n}\n");
	assert_int_equal(m.profiles[0].mode, PROFILE_COMPLAIN);
	manifest_clear(&m);
}

static void a_line_of_the_policy_is_a_line_of_the_file(void **state)
{
	static const struct {
		const char *text;
		size_t line, column, want_line, want_column;
	} cases[] = {
	    {META "spec:\n  policy: |\n    profile web {\n      /a r,\n    }\n", 2, 3, 8, 7},
	    {META "spec:\n  policy: | # rules\n    profile web {\n", 1, 1, 7, 5},
	    {META "spec:\n  policy: |\n\n\n    profile web {\n", 3, 1, 9, 5},
	    {META "spec:\n  policy: |2\n      profile web {\n", 1, 3, 7, 7},
	    {META "spec: {policy: \"profile web {\\n/a r,\\n}\"}\n", 2, 3, 5, 16},
	    {META "spec:\n  policy: >\n    profile web {\n\n    /a r, }\n", 2, 3, 6, 11},
	    {META "spec:\n  policy: profile web { }\n", 1, 3, 6, 11},
	    {"profile web {\n  /a r,\n}\n", 2, 3, 2, 3},
	    {META "spec:\n  policy: |\n    profile web { }\n", 0, 0, 6, 11},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t line = cases[i].line, column = cases[i].column;
		struct manifest m;

		parse(cases[i].text, &m);
		assert_int_equal(m.n_profiles, 1);
		manifest_locate(&m.profiles[0], &line, &column);
		if (line != cases[i].want_line || column != cases[i].want_column)
			fail_msg("%s\ngave %zu:%zu", cases[i].text, line, column);
		manifest_clear(&m);
	}
}

static void a_rollout_as_the_schema_takes_it_is_fine(void **state)
{
	struct manifest m;

	(void)state;
	parse(ROLLOUT "{maxUnavailable: 10%, maxFailed: 2, onFailure: Rollback, paused: true, "
		      "minReadySeconds: 600, progressDeadlineSeconds: 601, steps: [{nodes: 1, "
		      "soakSeconds: -1}, {nodes: 10%}, {nodes: 100%, soakSeconds: 60}]}\n",
	      &m);
	if (m.n_problems > 0)
		fail_msg("%s", m.problems[0].message);
	assert_int_equal(m.n_profiles, 1);
	manifest_clear(&m);
}

static void what_the_api_server_would_refuse_is_a_problem_with_its_place(void **state)
{
	static const struct {
		const char *text, *word;
		size_t line, column;
	} cases[] = {
	    {HEAD "spec:\n  policy: x\n", "metadata is missing", 1, 1},
	    {HEAD "metadata: {}\nspec:\n  policy: x\n", "metadata.name", 3, 11},
	    {HEAD "metadata:\n  name: Web\nspec:\n  policy: x\n", "\"Web\"", 4, 9},
	    {META, "spec is missing", 1, 1},
	    {META "spec: {}\n", "spec.policy is missing", 5, 7},
	    {META "spec: 5\n", "a whole number and must be an object", 5, 7},
	    {META "spec:\n  policy: 5\n", "must be a text", 6, 11},
	    {META "spec:\n  policy: \"\"\n", "empty", 6, 11},
	    {META "spec:\n  policy: \"a\\0b\"\n", "NUL", 6, 11},
	    {META "spec:\n  policy: |\n    a\n    b \xef\xbf\xbd\n", "U+FFFD", 8, 0},
	    {META "spec:\n  policy: x\n  profileName: /bin/x\n", "not a profile name", 7, 16},
	    {META "spec:\n  policy: x\n  profileName: unconfined\n", "reserved", 7, 16},
	    {META "spec:\n  policy: x\n  mode: enforce\n", "no mode", 7, 9},
	    {META "spec:\n  policy: x\n  mode: [Enforce]\n", "is a list and must be a text", 7, 9},
	    {META "spec:\n  policy: x\n  state: Off\n", "no state", 7, 10},
	    {META "spec:\n  policy: x\n  revisionHistoryLimit: 101\n", "0 to 100", 7, 25},
	    {META "spec:\n  policy: x\n  rollouts: {}\n", "there is no field spec.rollouts", 7, 13},
	    {META "spec:\n  policy: x\nstats: {}\n", "there is no field stats", 7, 8},
	    {META "spec:\n  policy: x\n  nodeSelector: {matchLabels: {\"a b\": c}}\n",
	     "not a label key", 7, 31},
	    {META "spec:\n  policy: x\n  nodeSelector: {matchLabels: {a: \"-\"}}\n",
	     "not a value that a label can have", 7, 31},
	    {META "spec:\n  policy: x\n  nodeSelector:\n    matchExpressions:\n    - key: a\n"
		  "      operator: Is\n",
	     "no operator", 10, 17},
	    {META "spec:\n  policy: x\n  nodeSelector:\n    matchExpressions:\n    - key: a\n"
		  "      operator: Exists\n      values: [b]\n",
	     "must be absent", 9, 7},
	    {ROLLOUT "{maxUnavailable: 0}\n", "a number of nodes, 1 or more", 7, 29},
	    {ROLLOUT "{maxUnavailable: 101%}\n", "'1%' to '100%'", 7, 29},
	    {ROLLOUT "{maxFailed: [1]}\n", "'1%' to '100%'", 7, 24},
	    {ROLLOUT "{onFailure: Stop}\n", "use Pause or Rollback", 7, 24},
	    {ROLLOUT "{paused: 1}\n", "must be a boolean", 7, 21},
	    {ROLLOUT "{minReadySeconds: 3601, progressDeadlineSeconds: 9999}\n", "0 to 3600", 7,
	     30},
	    {ROLLOUT "{progressDeadlineSeconds: 0}\n", "must be from 1", 7, 38},
	    {ROLLOUT "{minReadySeconds: 700}\n", "more than minReadySeconds", 7, 12},
	    {ROLLOUT "{steps: [{nodes: 1, soakSeconds: -2}]}\n", "-2 and must be from -1", 7, 45},
	    {ROLLOUT "{steps: [{nodes: 0%}]}\n", "spec.rollout.steps.0.nodes", 7, 29},
	    {ROLLOUT "{steps: [{soakSeconds: 1}]}\n", "steps.0.nodes is missing", 7, 21},
	    {ROLLOUT "{steps: [{nodes: 1, maxDenials: 0}]}\n", "there is no field", 7, 44},
	    {ROLLOUT "{steps: [{nodes: 5}, {nodes: 10%}, {nodes: 2}]}\n", "out of order", 7, 20},
	    {"apiVersion: hauberk.dev/v2\nkind: AppArmorProfile\nmetadata: {name: a}\n"
	     "spec: {policy: x}\n",
	     "apiVersion", 1, 13},
	    {"---\na: [\n", "", 3, 1},
	    {"---\na: \xff\n", "UTF-8", 2, 0},
	    {"profile a {\n\xff}", "UTF-8", 2, 0},
	    {"", "empty", 0, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct manifest m;

		parse(cases[i].text, &m);
		if (m.n_problems != 1)
			fail_msg("%s\ngave %zu problems", cases[i].text, m.n_problems);
		if (!strstr(m.problems[0].message, cases[i].word) ||
		    (cases[i].line && m.problems[0].line != cases[i].line) ||
		    (cases[i].line && m.problems[0].column != cases[i].column))
			fail_msg("%s\ngave %zu:%zu: %s", cases[i].text, m.problems[0].line,
				 m.problems[0].column, m.problems[0].message);
		manifest_clear(&m);
	}
}

static void other_objects_are_passed_over_and_lists_opened(void **state)
{
	struct manifest m;

	(void)state;
	parse("---\n---\napiVersion: v1\nkind: ConfigMap\n---\n# nothing\n---\n"
	      "apiVersion: security-profiles-operator.x-k8s.io/v1alpha1\nkind: "
	      "AppArmorProfile\n---\n" META
	      "spec:\n  policy: |\n    profile web { }\n---\napiVersion: v1\nkind: List\nitems:\n"
	      "- apiVersion: hauberk.dev/v1alpha1\n  kind: AppArmorProfile\n  metadata:\n    name: "
	      "db\n"
	      "  spec:\n    policy: |\n      profile db { }\n    mode: Off\n",
	      &m);
	assert_int_equal(m.n_other, 2);
	assert_int_equal(m.n_found, 2);
	assert_int_equal(m.n_profiles, 2);
	assert_int_equal(m.profiles[0].policy_line, 17);
	assert_int_equal(m.profiles[1].policy_line, 28);
	assert_int_equal(m.profiles[1].policy_indent, 6);
	assert_int_equal(m.n_problems, 1);
	assert_int_equal(m.problems[0].line, 29);
	manifest_clear(&m);
}

static void two_objects_of_one_profile_name_are_a_problem(void **state)
{
	struct manifest m;

	(void)state;
	parse(META "spec:\n  policy: profile web { }\n---\n" HEAD "metadata:\n  name: web2\n"
		   "spec:\n  profileName: web\n  policy: profile web { }\n",
	      &m);
	assert_int_equal(m.n_problems, 1);
	assert_non_null(strstr(m.problems[0].message, "NameConflict"));
	assert_int_equal(m.problems[0].line, 11);
	manifest_clear(&m);
}

static void text_without_a_manifest_s_words_is_a_policy(void **state)
{
	static const char *const texts[] = {"profile web { }", "# a\n\nprofile web { }",
					    "#include <tunables/global>\nprofile web { }",
					    "include <tunables/global>\n", "@{X}=1\n"};
	static const char *const manifests[] = {"---\n", "{}", "# a\n  \nkind: x\n",
						"apiVersion: v1"};
	struct manifest m;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		parse(texts[i], &m);
		assert_int_equal(m.n_profiles, 1);
		assert_null(m.profiles[0].name);
		manifest_clear(&m);
	}
	for (i = 0; i < sizeof(manifests) / sizeof(manifests[0]); i++) {
		parse(manifests[i], &m);
		assert_int_equal(m.n_profiles, 0);
		assert_int_equal(m.n_found, 0);
		manifest_clear(&m);
	}
}

static void a_policy_of_257_kibibytes_is_a_problem(void **state)
{
	struct buf b = BUF_INIT(1 << 20);
	struct manifest m;
	int i;

	(void)state;
	buf_add_str(&b, META "spec:\n  policy: |\n");
	for (i = 0; i < 257 * 16; i++)
		buf_add_str(
		    &b, "    # 3456789012345678901234567890123456789012345678901234567890123\n");
	parse(buf_text(&b), &m);
	assert_int_equal(m.n_profiles, 0);
	assert_int_equal(m.n_problems, 1);
	assert_non_null(strstr(m.problems[0].message, "263168 bytes"));
	manifest_clear(&m);
	buf_clear(&b);
}

static void a_message_s_own_place_can_be_taken_off(void **state)
{
	(void)state;
	assert_string_equal(manifest_without_place("line 3: x"), "x");
	assert_string_equal(manifest_without_place("line 3, column 14: x"), "x");
	assert_string_equal(manifest_without_place("x: line 3"), "x: line 3");
	assert_string_equal(manifest_without_place("line x: y"), "line x: y");
	assert_string_equal(manifest_without_place("line 3, column : y"), "line 3, column : y");
}

static void a_value_that_is_not_there_is_its_parent_s_place(void **state)
{
	static const char text[] = "a:\n  b: 1\n  c:\n  - x\n  - y: z\n";
	static const struct {
		const char *path;
		size_t line, column;
		bool found;
	} cases[] = {
	    {"", 1, 1, true},        {"a", 2, 3, true},     {"a.b", 2, 6, true},
	    {"a.c.1.y", 5, 8, true}, {"a.c.0", 4, 5, true}, {"a.x", 2, 3, false},
	    {"a.c.7", 4, 3, false},  {"x.y", 1, 1, false},  {"a.b.c", 2, 6, false},
	};
	struct manifest_place place;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		manifest_place_find(text, sizeof(text) - 1, 0, cases[i].path, &place);
		if (place.line != cases[i].line || place.column != cases[i].column ||
		    place.found != cases[i].found)
			fail_msg("%s: %zu:%zu", cases[i].path, place.line, place.column);
	}
	manifest_place_find(text, sizeof(text) - 1, 1, "a", &place);
	assert_int_equal(place.line, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_manifest_gives_its_profile),
	    cmocka_unit_test(a_line_of_the_policy_is_a_line_of_the_file),
	    cmocka_unit_test(a_rollout_as_the_schema_takes_it_is_fine),
	    cmocka_unit_test(what_the_api_server_would_refuse_is_a_problem_with_its_place),
	    cmocka_unit_test(other_objects_are_passed_over_and_lists_opened),
	    cmocka_unit_test(two_objects_of_one_profile_name_are_a_problem),
	    cmocka_unit_test(text_without_a_manifest_s_words_is_a_policy),
	    cmocka_unit_test(a_policy_of_257_kibibytes_is_a_problem),
	    cmocka_unit_test(a_message_s_own_place_can_be_taken_off),
	    cmocka_unit_test(a_value_that_is_not_there_is_its_parent_s_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
