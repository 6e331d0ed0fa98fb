#include "kube/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void an_answer_is_judged_by_its_code_and_reason(void **state)
{
	static const struct {
		const char *body;
		int http_status;
		enum kube_outcome outcome;
	} cases[] = {
	    {"{}", 200, KUBE_OK},
	    {"{}", 201, KUBE_OK},
	    {"{\"reason\": \"BadRequest\"}", 400, KUBE_INVALID},
	    {"{\"reason\": \"Unauthorized\"}", 401, KUBE_UNAUTHORIZED},
	    {"{\"reason\": \"Forbidden\"}", 403, KUBE_FORBIDDEN},
	    {"{\"reason\": \"NotFound\"}", 404, KUBE_NOT_FOUND},
	    {"\"404 page not found\"", 404, KUBE_NOT_FOUND},
	    {"{\"reason\": \"Conflict\"}", 409, KUBE_CONFLICT},
	    {"{\"reason\": \"AlreadyExists\"}", 409, KUBE_ALREADY_EXISTS},
	    {"{\"reason\": \"Expired\"}", 410, KUBE_GONE},
	    {"{\"reason\": \"Gone\"}", 410, KUBE_GONE},
	    {"{\"reason\": \"RequestEntityTooLarge\"}", 413, KUBE_INVALID},
	    {"{\"reason\": \"UnsupportedMediaType\"}", 415, KUBE_INVALID},
	    {"{\"reason\": \"Invalid\"}", 422, KUBE_INVALID},
	    {"{\"reason\": \"TooManyRequests\"}", 429, KUBE_TOO_MANY},
	    {"{\"reason\": \"InternalError\"}", 500, KUBE_UNAVAILABLE},
	    {"{}", 503, KUBE_UNAVAILABLE},
	    {"{\"reason\": \"Timeout\"}", 504, KUBE_UNAVAILABLE},
	    {"{\"reason\": \"Timeout\", \"details\": {\"causes\": [{\"reason\": \"Other\"}, "
	     "{\"reason\": "
	     "\"ResourceVersionTooLarge\"}]}}",
	     504, KUBE_FUTURE},
	    {"{\"message\": \"Too large resource version: 9, current: 5\"}", 500, KUBE_FUTURE},
	    {"{}", 302, KUBE_BAD_ANSWER},
	    {"{}", 418, KUBE_BAD_ANSWER},
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
