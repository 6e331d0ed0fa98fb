#include "controller/identity.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "fake_kube.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Each token of the tests is for our audience: {"aud":"hauberk-controller"}; its last part tells
 * them apart. */
#define GOOD "eyJhbGciOiJub25lIn0.eyJhdWQiOiJoYXViZXJrLWNvbnRyb2xsZXIifQ."

#define HERE "10.0.0.1"

struct place {
	uv_loop_t loop;
	struct fake_kube *kube;
	struct identity *id;
	size_t n_reviews;
};

/* A token whose last part begins with "bad" is not known; another belongs to the node that its last
 * part names. */
static struct json_object *place_review(void *data, const char *token)
{
	struct place *p = data;
	const char *name = strrchr(token, '.') + 1;
	struct json_object *status = js_new();
	CLEANUP(mem_freep) char *text = NULL;
	struct err err;

	p->n_reviews++;
	if (str_has_prefix(name, "bad"))
		return status;
	json_object_put(status);
	text =
	    mem_printf("{\"authenticated\":true,\"audiences\":[\"hauberk-controller\"],\"user\":{"
		       "\"username\":\"system:serviceaccount:hauberk-system:hauberk-agent\","
		       "\"extra\":{\"authentication.kubernetes.io/node-name\":[\"%s\"],"
		       "\"authentication.kubernetes.io/node-uid\":[\"u-%s\"],"
		       "\"authentication.kubernetes.io/pod-name\":[\"p-%s\"],"
		       "\"authentication.kubernetes.io/pod-uid\":[\"v-%s\"]}}}",
		       name, name, name, name);
	assert_int_equal(js_parse(text, strlen(text), &status, &err), 0);
	return status;
}

static int place_setup(void **state)
{
	struct place *p = MEM_NEW(struct place);

	uv_loop_init(&p->loop);
	p->kube = fake_kube_new(&p->loop);
	fake_kube_on_review(p->kube, place_review, p);
	p->id = identity_new(fake_kube_client(p->kube), "hauberk-system");
	*state = p;
	return 0;
}

static int place_teardown(void **state)
{
	struct place *p = *state;

	if (p->id)
		identity_close(p->id);
	assert_int_equal(fake_kube_n_waiting(p->kube), 0);
	fake_kube_close(p->kube);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	free(p);
	return 0;
}

struct asked {
	int n;
	enum identity_verdict verdict;
	char node[64];
	char why[256];
	struct identity_check *to_cancel; /* by the callback */
	const struct asked *other;        /* whose turns are counted … */
	int before;                       /* … until this one's comes */
};

static void on_done(void *data, const struct identity_result *res)
{
	struct asked *asked = data;

	asked->n++;
	asked->verdict = res->verdict;
	asked->before = asked->other ? asked->other->n : 0;
	snprintf(asked->node, sizeof(asked->node), "%s", res->node_name);
	snprintf(asked->why, sizeof(asked->why), "%s", res->why);
	if (asked->to_cancel)
		identity_cancel(asked->to_cancel);
}

static void an_agent_is_known_by_its_node_and_remembered(void **state)
{
	struct place *p = *state;
	struct asked asked = {0};
	struct identity_result res;

	assert_false(identity_lookup(p->id, GOOD "n1", clock_wall_ms(), &res));
	identity_check(p->id, GOOD "n1", HERE, on_done, &asked);
	assert_int_equal(asked.n, 0);
	fake_kube_settle(p->kube);
	assert_int_equal(asked.n, 1);
	assert_int_equal(asked.verdict, IDENTITY_OK);
	assert_string_equal(asked.node, "n1");

	assert_true(identity_lookup(p->id, GOOD "n1", clock_wall_ms(), &res));
	assert_int_equal(res.verdict, IDENTITY_OK);
	assert_string_equal(res.node_uid, "u-n1");
	assert_string_equal(res.pod_name, "p-n1");
	assert_string_equal(res.pod_uid, "v-n1");
	assert_int_equal(p->n_reviews, 1);
}

static void a_verdict_is_forgotten_after_two_minutes_and_where_the_clock_was_set_back(void **state)
{
	struct place *p = *state;
	struct asked asked = {0};
	struct identity_result res;
	int64_t now = clock_wall_ms();

	identity_check(p->id, GOOD "n1", HERE, on_done, &asked);
	fake_kube_settle(p->kube);
	assert_true(identity_lookup(p->id, GOOD "n1", now + 119000, &res));
	assert_false(identity_lookup(p->id, GOOD "n1", now + 121000, &res));
	identity_check(p->id, GOOD "n1", HERE, on_done, &asked);
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_reviews, 2);
	assert_false(identity_lookup(p->id, GOOD "n1", now - 60000, &res));
}

static void a_refusal_is_kept_for_ten_seconds(void **state)
{
	struct place *p = *state;
	struct asked asked = {0};
	struct identity_result res;
	int64_t now = clock_wall_ms();

	identity_check(p->id, GOOD "bad", HERE, on_done, &asked);
	fake_kube_settle(p->kube);
	assert_int_equal(asked.verdict, IDENTITY_INVALID);
	assert_string_equal(asked.node, "");
	assert_true(identity_lookup(p->id, GOOD "bad", now + 9000, &res));
	assert_int_equal(res.verdict, IDENTITY_INVALID);
	assert_false(identity_lookup(p->id, GOOD "bad", now + 11000, &res));
}

static void a_token_that_cannot_be_one_is_refused_without_asking(void **state)
{
	struct place *p = *state;
	struct asked asked = {0};
	struct identity_result res;

	assert_true(identity_lookup(p->id, "hello", clock_wall_ms(), &res));
	assert_int_equal(res.verdict, IDENTITY_INVALID);
	assert_true(identity_lookup(p->id, "e30.e30.e30", clock_wall_ms(), &res));
	assert_int_equal(res.verdict, IDENTITY_FORBIDDEN);
	identity_check(p->id, "hello", HERE, on_done, &asked);
	assert_int_equal(asked.n, 0);
	fake_kube_settle(p->kube);
	assert_int_equal(asked.n, 1);
	assert_int_equal(asked.verdict, IDENTITY_INVALID);
	assert_int_equal(p->n_reviews, 0);
}

static void equal_tokens_share_one_review(void **state)
{
	struct place *p = *state;
	struct asked asked[100] = {0};
	int i;

	for (i = 0; i < 100; i++)
		identity_check(p->id, GOOD "n1", HERE, on_done, &asked[i]);
	fake_kube_settle(p->kube);
	for (i = 0; i < 100; i++)
		assert_int_equal(asked[i].n, 1);
	assert_int_equal(p->n_reviews, 1);
}

static void five_thousand_agents_are_asked_for_thirty_two_at_a_time(void **state)
{
	struct place *p = *state;
	struct asked *asked = mem_alloc(5000, sizeof(*asked));
	int i;

	for (i = 0; i < 5000; i++) {
		CLEANUP(mem_freep) char *token = mem_printf(GOOD "n%d", i);

		identity_check(p->id, token, HERE, on_done, &asked[i]);
	}
	fake_kube_settle(p->kube);
	for (i = 0; i < 5000; i++) {
		assert_int_equal(asked[i].n, 1);
		assert_int_equal(asked[i].verdict, IDENTITY_OK);
	}
	assert_int_equal(p->n_reviews, 5000);
	assert_int_equal(fake_kube_n_most(p->kube), IDENTITY_REVIEWS_MAX);
	free(asked);
}

static void a_full_queue_asks_to_come_back(void **state)
{
	struct place *p = *state;
	int n = IDENTITY_REVIEWS_MAX + IDENTITY_QUEUE_MAX, i;
	struct asked all = {0}, late = {0}, same = {0};

	fake_kube_hold(p->kube, true);
	for (i = 0; i < n; i++) {
		CLEANUP(mem_freep) char *token = mem_printf(GOOD "n%d", i);
		CLEANUP(mem_freep) char *from = mem_printf("10.0.%d.%d", i / 250, i % 250);

		identity_check(p->id, token, from, on_done, &all);
	}
	identity_check(p->id, GOOD "late", "10.9.9.9", on_done, &late);
	identity_check(p->id, GOOD "n77", "10.9.9.9", on_done, &same); /* joins one that waits */
	uv_run(&p->loop, UV_RUN_NOWAIT);
	uv_run(&p->loop, UV_RUN_NOWAIT);
	assert_int_equal(late.n, 1);
	assert_int_equal(late.verdict, IDENTITY_UNAVAILABLE);
	assert_int_equal(all.n, 0);
	fake_kube_hold(p->kube, false);
	fake_kube_settle(p->kube);
	assert_int_equal(all.n, n);
	assert_int_equal(same.verdict, IDENTITY_OK);
}

static void crowd_of_one_address(struct place *p, int n, struct asked *asked)
{
	int i;

	for (i = 0; i < n; i++) {
		CLEANUP(mem_freep) char *token = mem_printf(GOOD "bad%d", i);

		identity_check(p->id, token, "10.6.6.6", on_done, asked);
	}
}

static void one_address_cannot_fill_the_queue(void **state)
{
	struct place *p = *state;
	struct asked crowd = {0}, honest = {0};

	fake_kube_hold(p->kube, true);
	crowd_of_one_address(p, 2 * IDENTITY_QUEUE_MAX, &crowd);
	identity_check(p->id, GOOD "n1", HERE, on_done, &honest);
	uv_run(&p->loop, UV_RUN_NOWAIT);
	uv_run(&p->loop, UV_RUN_NOWAIT);
	assert_int_equal(crowd.n, 2 * IDENTITY_QUEUE_MAX - IDENTITY_REVIEWS_MAX -
				      IDENTITY_QUEUE_MAX / 2); /* turned away */
	assert_int_equal(honest.n, 0);
	fake_kube_hold(p->kube, false);
	fake_kube_settle(p->kube);
	assert_int_equal(honest.verdict, IDENTITY_OK);
}

static void addresses_take_turns(void **state)
{
	struct place *p = *state;
	struct asked crowd = {0},
		     honest[3] = {{.other = &crowd}, {.other = &crowd}, {.other = &crowd}};
	int i;

	crowd_of_one_address(p, 1000, &crowd);
	identity_check(p->id, GOOD "n1", "10.0.0.1", on_done, &honest[0]);
	identity_check(p->id, GOOD "n2", "10.0.0.2", on_done, &honest[1]);
	identity_check(p->id, GOOD "n3", "10.0.0.3", on_done, &honest[2]);
	fake_kube_settle(p->kube);
	for (i = 0; i < 3; i++) {
		assert_int_equal(honest[i].verdict, IDENTITY_OK);
		assert_in_range(honest[i].before, 0, IDENTITY_REVIEWS_MAX + 3);
	}
	assert_int_equal(crowd.n, 1000);
}

static void an_api_server_out_of_reach_is_unavailable_for_all_and_not_remembered(void **state)
{
	struct place *p = *state;
	struct asked asked[100] = {0}, again = {0};
	struct identity_result res;
	int i;

	fake_kube_fail(p->kube, "/apis/authentication", KUBE_UNREACHABLE);
	for (i = 0; i < 100; i++) {
		CLEANUP(mem_freep) char *token = mem_printf(GOOD "n%d", i);

		identity_check(p->id, token, HERE, on_done, &asked[i]);
	}
	fake_kube_settle(p->kube);
	for (i = 0; i < 100; i++) {
		assert_int_equal(asked[i].n, 1);
		assert_int_equal(asked[i].verdict, IDENTITY_UNAVAILABLE);
	}
	assert_false(identity_lookup(p->id, GOOD "n1", clock_wall_ms(), &res));
	fake_kube_fail(p->kube, NULL, KUBE_OK);
	identity_check(p->id, GOOD "n1", HERE, on_done, &again);
	fake_kube_settle(p->kube);
	assert_int_equal(again.verdict, IDENTITY_OK);
}

static void an_api_server_that_refuses_to_review_is_unavailable(void **state)
{
	static const enum kube_outcome outcomes[] = {
	    KUBE_FORBIDDEN, KUBE_UNAUTHORIZED, KUBE_TOO_MANY,   KUBE_UNAVAILABLE,
	    KUBE_NOT_FOUND, KUBE_INVALID,      KUBE_BAD_ANSWER, KUBE_TOO_LONG,
	};
	struct place *p = *state;
	size_t i;

	for (i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
		struct asked asked = {0};

		fake_kube_fail(p->kube, "/apis/authentication", outcomes[i]);
		identity_check(p->id, GOOD "n1", HERE, on_done, &asked);
		fake_kube_settle(p->kube);
		assert_int_equal(asked.verdict, IDENTITY_UNAVAILABLE);
		assert_null(strstr(asked.why, "e30"));
	}
}

static void a_cancelled_check_is_not_called_and_the_others_are(void **state)
{
	struct place *p = *state;
	struct asked a = {0}, b = {0}, c = {0};
	struct identity_check *first = identity_check(p->id, GOOD "n1", HERE, on_done, &a);
	struct identity_check *ready;

	identity_check(p->id, GOOD "n1", HERE, on_done, &b);
	identity_cancel(first);
	fake_kube_settle(p->kube);
	assert_int_equal(a.n, 0);
	assert_int_equal(b.n, 1);
	ready = identity_check(p->id, GOOD "n1", HERE, on_done, &c);
	identity_cancel(ready);
	fake_kube_settle(p->kube);
	assert_int_equal(c.n, 0);
}

static void a_review_that_nobody_waits_for_any_more_is_not_sent(void **state)
{
	struct place *p = *state;
	struct identity_check *checks[40];
	struct asked asked = {0};
	int i;

	for (i = 0; i < 40; i++) {
		CLEANUP(mem_freep) char *token = mem_printf(GOOD "n%d", i);

		checks[i] = identity_check(p->id, token, HERE, on_done, &asked);
	}
	for (i = 0; i < 40; i++)
		identity_cancel(checks[i]);
	fake_kube_settle(p->kube);
	assert_int_equal(asked.n, 0);
	assert_int_equal(p->n_reviews, IDENTITY_REVIEWS_MAX); /* those that were sent */
}

static void a_callback_may_cancel_another_check_of_the_same_review(void **state)
{
	struct place *p = *state;
	struct asked a = {0}, b = {0};

	identity_check(p->id, GOOD "n1", HERE, on_done, &a);
	a.to_cancel = identity_check(p->id, GOOD "n1", HERE, on_done, &b);
	fake_kube_settle(p->kube);
	assert_int_equal(a.n, 1);
	assert_int_equal(b.n, 0);
}

static void closing_in_the_middle_calls_nobody(void **state)
{
	struct place *p = *state;
	struct asked asked = {0};
	int i;

	for (i = 0; i < 100; i++) {
		CLEANUP(mem_freep) char *token = mem_printf(GOOD "n%d", i);

		identity_check(p->id, token, HERE, on_done, &asked);
	}
	identity_check(p->id, "hello", HERE, on_done, &asked);
	identity_close(p->id);
	p->id = NULL;
	fake_kube_settle(p->kube);
	assert_int_equal(asked.n, 0);
}

static void a_flood_of_bad_tokens_does_not_crowd_out_the_good_ones(void **state)
{
	struct place *p = *state;
	struct asked asked = {0};
	struct identity_result res;
	int i;

	identity_check(p->id, GOOD "n1", HERE, on_done, &asked);
	fake_kube_settle(p->kube);
	for (i = 0; i < IDENTITY_REFUSED_MAX + 1000; i++) {
		CLEANUP(mem_freep) char *token = mem_printf(GOOD "bad%d", i);

		identity_check(p->id, token, HERE, on_done, &asked);
		if (i % 1000 == 0)
			fake_kube_settle(p->kube);
	}
	fake_kube_settle(p->kube);
	assert_true(identity_lookup(p->id, GOOD "n1", clock_wall_ms(), &res));
}

int main(void)
{
#define TEST(fn_) cmocka_unit_test_setup_teardown(fn_, place_setup, place_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(an_agent_is_known_by_its_node_and_remembered),
	    TEST(a_verdict_is_forgotten_after_two_minutes_and_where_the_clock_was_set_back),
	    TEST(a_refusal_is_kept_for_ten_seconds),
	    TEST(a_token_that_cannot_be_one_is_refused_without_asking),
	    TEST(equal_tokens_share_one_review),
	    TEST(five_thousand_agents_are_asked_for_thirty_two_at_a_time),
	    TEST(a_full_queue_asks_to_come_back),
	    TEST(one_address_cannot_fill_the_queue),
	    TEST(addresses_take_turns),
	    TEST(an_api_server_out_of_reach_is_unavailable_for_all_and_not_remembered),
	    TEST(an_api_server_that_refuses_to_review_is_unavailable),
	    TEST(a_cancelled_check_is_not_called_and_the_others_are),
	    TEST(a_review_that_nobody_waits_for_any_more_is_not_sent),
	    TEST(a_callback_may_cancel_another_check_of_the_same_review),
	    TEST(closing_in_the_middle_calls_nobody),
	    TEST(a_flood_of_bad_tokens_does_not_crowd_out_the_good_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
