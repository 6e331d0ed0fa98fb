#include "kube/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void an_answer_is_judged_by_its_code_and_reason(void **state)
{
	static const struct {
		int http_status;
		const char *body;
		enum kube_outcome outcome;
	} cases[] = {
	    {200, "{}", KUBE_OK},
	    {201, "{}", KUBE_OK},
	    {400, "{\"reason\": \"BadRequest\"}", KUBE_INVALID},
	    {401, "{\"reason\": \"Unauthorized\"}", KUBE_UNAUTHORIZED},
	    {403, "{\"reason\": \"Forbidden\"}", KUBE_FORBIDDEN},
	    {404, "{\"reason\": \"NotFound\"}", KUBE_NOT_FOUND},
	    {404, "\"404 page not found\"", KUBE_NOT_FOUND},
	    {409, "{\"reason\": \"Conflict\"}", KUBE_CONFLICT},
	    {409, "{\"reason\": \"AlreadyExists\"}", KUBE_ALREADY_EXISTS},
	    {410, "{\"reason\": \"Expired\"}", KUBE_GONE},
	    {410, "{\"reason\": \"Gone\"}", KUBE_GONE},
	    {413, "{\"reason\": \"RequestEntityTooLarge\"}", KUBE_INVALID},
	    {415, "{\"reason\": \"UnsupportedMediaType\"}", KUBE_INVALID},
	    {422, "{\"reason\": \"Invalid\"}", KUBE_INVALID},
	    {429, "{\"reason\": \"TooManyRequests\"}", KUBE_TOO_MANY},
	    {500, "{\"reason\": \"InternalError\"}", KUBE_UNAVAILABLE},
	    {503, "{}", KUBE_UNAVAILABLE},
	    {504, "{\"reason\": \"Timeout\"}", KUBE_UNAVAILABLE},
	    {504,
	     "{\"reason\": \"Timeout\", \"details\": {\"causes\": [{\"reason\": \"Other\"}, "
	     "{\"reason\": "
	     "\"ResourceVersionTooLarge\"}]}}",
	     KUBE_FUTURE},
	    {500, "{\"message\": \"Too large resource version: 9, current: 5\"}", KUBE_FUTURE},
	    {302, "{}", KUBE_BAD_ANSWER},
	    {418, "{}", KUBE_BAD_ANSWER},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *body;
		enum kube_outcome outcome;
		struct err err;

		assert_int_equal(js_parse(cases[i].body, strlen(cases[i].body), &body, &err), 0);
		outcome = kube_outcome_of(cases[i].http_status, body);
		if (outcome != cases[i].outcome)
			fail_msg("%d %s: %s", cases[i].http_status, cases[i].body,
				 kube_outcome_word(outcome));
		json_object_put(body);
	}
	assert_int_equal(kube_outcome_of(503, NULL), KUBE_UNAVAILABLE);
}

static void only_what_a_repetition_may_better_is_tried_again(void **state)
{
	enum kube_outcome outcome;

	(void)state;
	for (outcome = KUBE_OK; outcome <= KUBE_BAD_ANSWER; outcome++) {
		bool again = kube_retry_ms(outcome, "PATCH", 1, 3, -1, 0) >= 0;

		assert_int_equal(again, outcome == KUBE_TOO_MANY || outcome == KUBE_UNAVAILABLE ||
					    outcome == KUBE_UNREACHABLE);
	}
}

static void a_creation_without_an_answer_is_not_repeated(void **state)
{
	(void)state;
	assert_int_equal(kube_retry_ms(KUBE_UNREACHABLE, "POST", 1, 3, -1, 0), -1);
	assert_true(kube_retry_ms(KUBE_TOO_MANY, "POST", 1, 3, -1, 0) >= 0);
}

static void the_tries_have_an_end(void **state)
{
	(void)state;
	assert_true(kube_retry_ms(KUBE_UNAVAILABLE, "GET", 2, 3, -1, 0) >= 0);
	assert_int_equal(kube_retry_ms(KUBE_UNAVAILABLE, "GET", 3, 3, -1, 0), -1);
	assert_int_equal(kube_retry_ms(KUBE_UNAVAILABLE, "GET", 1, 1, -1, 0), -1);
}

static void the_wait_doubles_and_has_a_ceiling(void **state)
{
	static const int64_t waits[] = {200, 400, 800, 1600, 3200, 6400, 10000, 10000};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		assert_int_equal(kube_retry_ms(KUBE_UNAVAILABLE, "GET", i + 1, 99, -1, 0),
				 waits[i]);
		assert_in_range(kube_retry_ms(KUBE_UNAVAILABLE, "GET", i + 1, 99, -1, UINT64_MAX),
				(uint64_t)waits[i] * 2 - 1, (uint64_t)waits[i] * 2);
	}
}

static void the_server_may_name_the_wait_but_not_beyond_a_minute(void **state)
{
	(void)state;
	assert_int_equal(kube_retry_ms(KUBE_TOO_MANY, "GET", 1, 3, 1000, 0), 1000);
	assert_int_equal(kube_retry_ms(KUBE_TOO_MANY, "GET", 1, 3, 0, 0), 0);
	assert_int_equal(kube_retry_ms(KUBE_TOO_MANY, "GET", 1, 3, 86400000, 0), 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_answer_is_judged_by_its_code_and_reason),
	    cmocka_unit_test(only_what_a_repetition_may_better_is_tried_again),
	    cmocka_unit_test(a_creation_without_an_answer_is_not_repeated),
	    cmocka_unit_test(the_tries_have_an_end),
	    cmocka_unit_test(the_wait_doubles_and_has_a_ceiling),
	    cmocka_unit_test(the_server_may_name_the_wait_but_not_beyond_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
