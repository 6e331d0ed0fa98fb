#include "api/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define META \
	"\"metadata\":{\"name\":\"web\",\"uid\":\"u1\",\"resourceVersion\":\"7\",\"generation\":3"

static int read_profile(const char *text, struct profile *ret, struct err *err)
{
	struct json_object *obj;
	int r;

	if (js_parse(text, strlen(text), &obj, err) < 0)
		fail_msg("%s", err->msg);
	r = profile_parse(obj, ret, err);
	json_object_put(obj);
	return r;
}

static void what_is_not_said_has_its_default(void **state)
{
	struct profile p;
	struct err err;

	(void)state;
	assert_int_equal(read_profile("{" META "},\"spec\":{\"policy\":\"x\"}}", &p, &err), 0);
	assert_string_equal(p.name, "web");
	assert_int_equal(p.mode, PROFILE_ENFORCE);
	assert_true(p.enabled);
	assert_int_equal(p.history_limit, 10);
	assert_int_equal(p.generation, 3);
	assert_false(p.deleting || p.has_finalizer || p.adopt);
	assert_false(p.has_rollout);
	assert_int_equal(p.rollout.progress_deadline_s, rollout_spec_default.progress_deadline_s);
	assert_string_equal(p.wish.pause, "");
	profile_clear(&p);
}

static void everything_that_is_said_is_read(void **state)
{
	struct profile p;
	struct err err;

	(void)state;
	assert_int_equal(
	    read_profile(
		"{" META ",\"deletionTimestamp\":\"2000-01-01T00:00:00Z\",\"creationTimestamp\":"
		"\"1970-01-01T00:00:02Z\",\"finalizers\":[\"x\",\"hauberk.dev/profile\"],"
		"\"annotations\":{\"hauberk.dev/adopt\":\"true\"}},\"spec\":{\"policy\":\"x\","
		"\"profileName\":\"nginx\",\"mode\":\"Complain\",\"state\":\"Disabled\","
		"\"revisionHistoryLimit\":2}}",
		&p, &err),
	    0);
	assert_string_equal(p.name, "nginx");
	assert_string_equal(p.object, "web");
	assert_int_equal(p.mode, PROFILE_COMPLAIN);
	assert_false(p.enabled);
	assert_int_equal(p.history_limit, 2);
	assert_int_equal(p.created_ms, 2000);
	assert_true(p.deleting && p.has_finalizer && p.adopt);
	profile_clear(&p);
}

static void a_rollout_that_is_given_counts_even_when_it_is_empty(void **state)
{
	static const struct {
		const char *spec;
		bool has;
		int64_t min_ready_s;
	} cases[] = {
	    {"\"rollout\":null", false, 0},
	    {"\"rollout\":{}", true, 0},
	    {"\"rollout\":{\"minReadySeconds\":5}", true, 5},
	};
	struct profile p;
	struct err err;
	char text[300];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "{%s},\"spec\":{\"policy\":\"x\",%s}}", META,
			 cases[i].spec);
		assert_int_equal(read_profile(text, &p, &err), 0);
		assert_int_equal(p.has_rollout, cases[i].has);
		assert_int_equal(p.rollout.min_ready_s, cases[i].min_ready_s);
		assert_int_equal(p.rollout.max_unavailable.value, 25);
		profile_clear(&p);
	}
}

static void what_annotations_ask_of_the_rollout_is_kept(void **state)
{
	struct profile p;
	struct err err;

	(void)state;
	assert_int_equal(read_profile("{" META
				      ",\"annotations\":{\"hauberk.dev/rollout-pause\":\"abc\"}},"
				      "\"spec\":{\"policy\":\"x\"}}",
				      &p, &err),
			 0);
	assert_string_equal(p.wish.pause, "abc");
	profile_clear(&p);
	assert_null(p.wish.pause);
}

static void a_nul_in_the_text_is_kept_for_the_check_that_names_it(void **state)
{
	struct profile p;
	struct err err;

	(void)state;
	assert_int_equal(read_profile("{" META "},\"spec\":{\"policy\":\"a\\u0000b\"}}", &p, &err),
			 0);
	assert_int_equal(p.n_policy, 3);
	profile_clear(&p);
}

static void what_the_schema_would_have_refused_is_refused_here_too(void **state)
{
	static const char *const bad[] = {
	    "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"policy\":\"x\"}}",
	    "{" META "},\"spec\":{}}",
	    "{" META "},\"spec\":{\"policy\":7}}",
	    "{" META "},\"spec\":{\"policy\":\"x\",\"mode\":\"Kill\"}}",
	    "{" META "},\"spec\":{\"policy\":\"x\",\"state\":\"Off\"}}",
	    "{" META "},\"spec\":{\"policy\":\"x\",\"rollout\":{\"maxFailed\":0}}}",
	    "[]",
	};
	struct profile p;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(read_profile(bad[i], &p, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_not_said_has_its_default),
	    cmocka_unit_test(everything_that_is_said_is_read),
	    cmocka_unit_test(a_rollout_that_is_given_counts_even_when_it_is_empty),
	    cmocka_unit_test(what_annotations_ask_of_the_rollout_is_kept),
	    cmocka_unit_test(a_nul_in_the_text_is_kept_for_the_check_that_names_it),
	    cmocka_unit_test(what_the_schema_would_have_refused_is_refused_here_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
