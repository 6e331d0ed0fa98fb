#include "api/rollout_spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int read_spec(const char *text, struct rollout_spec *ret, struct err *err)
{
	struct json_object *obj = NULL;
	int r;

	if (js_parse(text, strlen(text), &obj, err) < 0)
		fail_msg("%s", err->msg);
	r = rollout_spec_parse(obj, ret, err);
	json_object_put(obj);
	return r;
}

static void an_amount_is_a_number_or_a_share_rounded_up_and_never_nothing(void **state)
{
	static const struct {
		struct rollout_amount amount;
		int64_t n, is;
	} cases[] = {
	    {{1, false}, 10, 1},   {{7, false}, 3, 7},     {{0, false}, 3, 1},
	    {{1, true}, 1, 1},     {{25, true}, 4, 1},     {{25, true}, 5, 2},
	    {{50, true}, 3, 2},    {{100, true}, 10, 10},  {{1, true}, 100, 1},
	    {{1, true}, 101, 2},   {{33, true}, 3, 1},     {{34, true}, 3, 2},
	    {{25, true}, 0, 1},    {{100, true}, 0, 1},    {{10, true}, 5000, 500},
	    {{99, true}, 100, 99}, {{99, true}, 101, 100},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (rollout_amount_of(cases[i].amount, cases[i].n) != cases[i].is)
			fail_msg("case %zu", i);
}

static void assert_default(const struct rollout_spec *spec)
{
	assert_int_equal(spec->max_unavailable.value, 25);
	assert_true(spec->max_unavailable.is_percent);
	assert_int_equal(spec->max_failed.value, 1);
	assert_false(spec->max_failed.is_percent);
	assert_int_equal(spec->on_failure, ROLLOUT_ON_FAILURE_PAUSE);
	assert_false(spec->paused);
	assert_int_equal(spec->min_ready_s, 0);
	assert_int_equal(spec->progress_deadline_s, 600);
	assert_int_equal(spec->n_steps, 0);
}

static void what_is_not_said_has_its_default(void **state)
{
	static const char nulls[] =
	    "{\"maxUnavailable\":null,\"maxFailed\":null,\"onFailure\":null,\"paused\":null,"
	    "\"minReadySeconds\":null,\"progressDeadlineSeconds\":null,\"steps\":null}";
	static const char *const texts[] = {
	    "null", "{}", "{\"somethingNewer\":7}", "{\"steps\":[]}", nulls,
	};
	struct rollout_spec spec;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		memset(&spec, 0xff, sizeof(spec));
		assert_int_equal(read_spec(texts[i], &spec, &err), 0);
		assert_default(&spec);
	}
	assert_default(&rollout_spec_default);
}

static void everything_that_is_said_is_read(void **state)
{
	struct rollout_spec spec;
	struct err err;

	(void)state;
	assert_int_equal(
	    read_spec("{\"maxUnavailable\":3,\"maxFailed\":\"5%\",\"onFailure\":\"Rollback\","
		      "\"paused\":true,\"minReadySeconds\":3600,\"progressDeadlineSeconds\":1,"
		      "\"steps\":[{\"nodes\":1,\"soakSeconds\":600},"
		      "{\"nodes\":\"10%\",\"soakSeconds\":-1},{\"nodes\":\"100%\"}]}",
		      &spec, &err),
	    0);
	assert_int_equal(spec.max_unavailable.value, 3);
	assert_false(spec.max_unavailable.is_percent);
	assert_int_equal(spec.max_failed.value, 5);
	assert_true(spec.max_failed.is_percent);
	assert_int_equal(spec.on_failure, ROLLOUT_ON_FAILURE_ROLLBACK);
	assert_true(spec.paused);
	assert_int_equal(spec.min_ready_s, 3600);
	assert_int_equal(spec.progress_deadline_s, 1);
	assert_int_equal(spec.n_steps, 3);
	assert_int_equal(spec.steps[0].nodes.value, 1);
	assert_int_equal(spec.steps[0].soak_s, 600);
	assert_true(spec.steps[1].nodes.is_percent);
	assert_int_equal(spec.steps[1].soak_s, ROLLOUT_SOAK_UNTIL_PROMOTED);
	assert_int_equal(spec.steps[2].nodes.value, 100);
	assert_int_equal(spec.steps[2].soak_s, 0);
}

static void what_is_out_of_range_is_refused_by_the_name_of_its_field(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
	    {"[]", "rollout"},
	    {"\"25%\"", "rollout"},
	    {"{\"maxUnavailable\":0}", "maxUnavailable"},
	    {"{\"maxUnavailable\":-1}", "maxUnavailable"},
	    {"{\"maxUnavailable\":2147483648}", "maxUnavailable"},
	    {"{\"maxUnavailable\":1.5}", "maxUnavailable"},
	    {"{\"maxUnavailable\":true}", "maxUnavailable"},
	    {"{\"maxUnavailable\":\"0%\"}", "maxUnavailable"},
	    {"{\"maxUnavailable\":\"101%\"}", "maxUnavailable"},
	    {"{\"maxUnavailable\":\"1000%\"}", "maxUnavailable"},
	    {"{\"maxUnavailable\":\"-5%\"}", "maxUnavailable"},
	    {"{\"maxUnavailable\":\"+5%\"}", "maxUnavailable"},
	    {"{\"maxUnavailable\":\"05%\"}", "maxUnavailable"},
	    {"{\"maxUnavailable\":\"5\"}", "maxUnavailable"},
	    {"{\"maxUnavailable\":\"%\"}", "maxUnavailable"},
	    {"{\"maxUnavailable\":\"\"}", "maxUnavailable"},
	    {"{\"maxUnavailable\":\"5%\\u0000\"}", "maxUnavailable"},
	    {"{\"maxFailed\":0}", "maxFailed"},
	    {"{\"maxFailed\":\"0%\"}", "maxFailed"},
	    {"{\"onFailure\":\"Stop\"}", "onFailure \"Stop\""},
	    {"{\"onFailure\":1}", "onFailure"},
	    {"{\"paused\":\"true\"}", "paused"},
	    {"{\"minReadySeconds\":-1}", "minReadySeconds"},
	    {"{\"minReadySeconds\":3601}", "minReadySeconds"},
	    {"{\"minReadySeconds\":\"5\"}", "minReadySeconds"},
	    {"{\"progressDeadlineSeconds\":0}", "progressDeadlineSeconds"},
	    {"{\"progressDeadlineSeconds\":2147483648}", "progressDeadlineSeconds"},
	    {"{\"steps\":{}}", "steps"},
	    {"{\"steps\":[7]}", "steps[0]: nodes"},
	    {"{\"steps\":[null]}", "steps[0]: nodes"},
	    {"{\"steps\":[{\"soakSeconds\":5}]}", "steps[0]: nodes"},
	    {"{\"steps\":[{\"nodes\":1},{\"nodes\":0}]}", "steps[1]: nodes"},
	    {"{\"steps\":[{\"nodes\":1,\"soakSeconds\":-2}]}", "steps[0]: soakSeconds"},
	};
	struct rollout_spec spec;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (read_spec(cases[i].text, &spec, &err) != -EINVAL)
			fail_msg("%s passed", cases[i].text);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("%s: %s", cases[i].text, err.msg);
	}
}

static void steps_go_up_among_numbers_and_among_shares(void **state)
{
	static const struct {
		const char *steps;
		bool good;
	} cases[] = {
	    {"{\"nodes\":1},{\"nodes\":1},{\"nodes\":2}", true},
	    {"{\"nodes\":2},{\"nodes\":1}", false},
	    {"{\"nodes\":\"10%\"},{\"nodes\":\"9%\"}", false},
	    {"{\"nodes\":\"9%\"},{\"nodes\":\"10%\"}", true},
	    {"{\"nodes\":5},{\"nodes\":\"1%\"},{\"nodes\":6}", true},
	    {"{\"nodes\":5},{\"nodes\":\"1%\"},{\"nodes\":4}", false},
	};
	struct rollout_spec spec;
	struct err err;
	char text[200];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "{\"steps\":[%s]}", cases[i].steps);
		if ((read_spec(text, &spec, &err) == 0) != cases[i].good)
			fail_msg("%s", text);
	}
}

static void there_are_at_most_32_steps(void **state)
{
	struct json_object *obj = js_new(), *steps = js_new_array();
	struct rollout_spec spec;
	struct err err;
	int i;

	(void)state;
	js_put(obj, "steps", steps);
	for (i = 1; i <= ROLLOUT_STEPS_MAX; i++) {
		js_append(steps, js_new());
		js_put_i64(js_item(steps, (size_t)i - 1), "nodes", i);
	}
	assert_int_equal(rollout_spec_parse(obj, &spec, &err), 0);
	assert_int_equal(spec.n_steps, ROLLOUT_STEPS_MAX);
	assert_int_equal(spec.steps[31].nodes.value, 32);
	js_append(steps, js_new());
	assert_int_equal(rollout_spec_parse(obj, &spec, &err), -EINVAL);
	assert_string_equal(err.msg, "rollout: 33 steps are more than 32");
	json_object_put(obj);
}

static void what_is_refused_leaves_the_output_alone(void **state)
{
	struct rollout_spec spec = {.min_ready_s = 77};
	struct err err;

	(void)state;
	assert_int_equal(read_spec("{\"minReadySeconds\":5,\"paused\":1}", &spec, &err), -EINVAL);
	assert_int_equal(spec.min_ready_s, 77);
}

static void annotations_are_read_word_for_word(void **state)
{
	static const char text[] = "{\"hauberk.dev/rollout-pause\":\"a\","
				   "\"hauberk.dev/rollout-resume\":\"b\","
				   "\"hauberk.dev/rollout-promote\":\"c/2\","
				   "\"hauberk.dev/rollout-abort\":\"d\","
				   "\"hauberk.dev/rollout-restart\":\"e/f\"}";
	struct json_object *obj;
	struct rollout_wish wish;
	struct err err;

	(void)state;
	assert_int_equal(js_parse(text, strlen(text), &obj, &err), 0);
	rollout_wish_parse(obj, &wish);
	assert_string_equal(wish.pause, "a");
	assert_string_equal(wish.resume, "b");
	assert_string_equal(wish.promote, "c/2");
	assert_string_equal(wish.abort, "d");
	assert_string_equal(wish.restart, "e/f");
	rollout_wish_clear(&wish);
	assert_null(wish.pause);
	json_object_put(obj);
}

static void an_annotation_that_cannot_be_meant_counts_as_absent(void **state)
{
	struct json_object *obj = js_new();
	struct rollout_wish wish;
	char text[ROLLOUT_WISH_MAX + 2];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	js_put_str(obj, ROLLOUT_PAUSE_ANNOTATION, text);
	js_put_str(obj, ROLLOUT_RESUME_ANNOTATION, text + 1);
	js_put_i64(obj, ROLLOUT_ABORT_ANNOTATION, 7);
	rollout_wish_parse(obj, &wish);
	assert_string_equal(wish.pause, "");
	assert_string_equal(wish.resume, text + 1);
	assert_string_equal(wish.abort, "");
	assert_string_equal(wish.promote, "");
	rollout_wish_clear(&wish);
	json_object_put(obj);

	rollout_wish_parse(NULL, &wish);
	assert_string_equal(wish.restart, "");
	rollout_wish_clear(&wish);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_amount_is_a_number_or_a_share_rounded_up_and_never_nothing),
	    cmocka_unit_test(what_is_not_said_has_its_default),
	    cmocka_unit_test(everything_that_is_said_is_read),
	    cmocka_unit_test(what_is_out_of_range_is_refused_by_the_name_of_its_field),
	    cmocka_unit_test(steps_go_up_among_numbers_and_among_shares),
	    cmocka_unit_test(there_are_at_most_32_steps),
	    cmocka_unit_test(what_is_refused_leaves_the_output_alone),
	    cmocka_unit_test(annotations_are_read_word_for_word),
	    cmocka_unit_test(an_annotation_that_cannot_be_meant_counts_as_absent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
