#include "kube/lease_rules.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct lease_view view(const char *identity, int version, int64_t acquired_ms)
{
	struct lease_view v = {.exists = true, .acquired_ms = acquired_ms, .transitions = 3};

	snprintf(v.identity, sizeof(v.identity), "%s", identity);
	snprintf(v.version, sizeof(v.version), "%d", version);
	return v;
}

static void see(struct lease_state *state, const char *identity, int version, int64_t now_ms)
{
	struct lease_view v = view(identity, version, 1000);

	lease_see(state, &v, now_ms);
}

static void a_missing_lease_is_created(void **unused)
{
	struct lease_state state = {.identity = "me"};
	struct lease_view none = {0};

	(void)unused;
	lease_see(&state, &none, 0);
	assert_int_equal(lease_decide(&state, 0), LEASE_CREATE);
}

static void a_released_lease_is_taken_at_once(void **unused)
{
	struct lease_state state = {.identity = "me"};

	(void)unused;
	see(&state, "", 1, 0);
	assert_int_equal(lease_decide(&state, 0), LEASE_TAKE);
}

static void our_own_name_from_a_former_life_is_taken_at_once(void **unused)
{
	struct lease_state state = {.identity = "me"};

	(void)unused;
	see(&state, "me", 1, 0);
	assert_int_equal(lease_decide(&state, 0), LEASE_TAKE);
}

static void anothers_lease_runs_out_by_our_own_clock(void **unused)
{
	struct lease_state state = {.identity = "me"};

	(void)unused;
	see(&state, "you", 1, 5000);
	assert_int_equal(lease_decide(&state, 5000), LEASE_WAIT);
	see(&state, "you", 1, 19999);
	assert_int_equal(lease_decide(&state, 19999), LEASE_WAIT);
	see(&state, "you", 1, 20000);
	assert_int_equal(lease_decide(&state, 20000), LEASE_TAKE);
	/* A renewal seen in the last moment. */
	see(&state, "you", 2, 20000);
	assert_int_equal(lease_decide(&state, 20000), LEASE_WAIT);
	assert_int_equal(lease_decide(&state, 35000), LEASE_TAKE);
}

static void a_write_of_ours_elects_once_and_then_renews(void **unused)
{
	struct lease_state state = {.identity = "me"};

	(void)unused;
	see(&state, "me", 2, 100);
	assert_true(lease_confirm(&state, 90));
	assert_int_equal(lease_deadline_ms(&state), 10090);
	assert_int_equal(lease_decide(&state, 2000), LEASE_RENEW);
	see(&state, "me", 3, 2100);
	assert_false(lease_confirm(&state, 2090));
	assert_int_equal(lease_deadline_ms(&state), 12090);
}

static void a_write_that_brought_back_another_elects_nobody(void **unused)
{
	struct lease_state state = {.identity = "me"};

	(void)unused;
	see(&state, "you", 2, 100);
	assert_false(lease_confirm(&state, 90));
	assert_false(state.held);
}

static void a_holder_loses_by_time_by_another_and_by_deletion(void **unused)
{
	struct lease_state held = {.identity = "me"};
	struct lease_view none = {0};
	struct lease_state state;

	(void)unused;
	see(&held, "me", 2, 100);
	lease_confirm(&held, 90);
	assert_int_equal(lease_decide(&held, 10089), LEASE_RENEW);
	assert_int_equal(lease_decide(&held, 10090), LEASE_LOST);
	state = held;
	see(&state, "you", 3, 200);
	assert_int_equal(lease_decide(&state, 200), LEASE_LOST);
	state = held;
	see(&state, "", 3, 200);
	assert_int_equal(lease_decide(&state, 200), LEASE_LOST);
	state = held;
	lease_see(&state, &none, 200);
	assert_int_equal(lease_decide(&state, 200), LEASE_LOST);
}

static void news_is_a_first_sight_or_another_holder(void **unused)
{
	struct lease_state state = {.identity = "me"};
	struct lease_view none = {0};
	struct lease_view you = view("you", 1, 0), you2 = view("you", 2, 0), me = view("me", 3, 0);

	(void)unused;
	assert_true(lease_see(&state, &none, 0));
	assert_false(lease_see(&state, &none, 1));
	assert_true(lease_see(&state, &you, 2));
	assert_false(lease_see(&state, &you2, 3));
	assert_true(lease_see(&state, &me, 4));
	assert_true(lease_see(&state, &none, 5));
}

static void an_epoch_is_always_above_the_former_one(void **unused)
{
	static const struct {
		int64_t former_ms, wall_ms, epoch;
	} cases[] = {
	    {0, 5000, 5000},    {4000, 5000, 5000}, {4999, 5000, 5000},
	    {5000, 5000, 5001}, {9000, 5000, 9001}, /* our clock is behind */
	};
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lease_view former = view("you", 1, cases[i].former_ms);

		assert_int_equal(lease_next_epoch(&former, cases[i].wall_ms), cases[i].epoch);
	}
}

static void the_epoch_survives_the_way_through_the_object(void **unused)
{
	struct lease_state state = {.identity = "me"};
	struct json_object *obj = js_new();
	struct json_object *metadata = js_new();
	struct lease_view back;
	struct err err;

	(void)unused;
	state.seen = view("you", 7, 1795271858494);
	js_put_str(metadata, "resourceVersion", "8");
	js_put(obj, "metadata", metadata);
	js_put(obj, "spec", lease_spec_take(&state, 1795271858494));
	assert_int_equal(lease_view_parse(obj, &back, &err), 0);
	assert_int_equal(back.acquired_ms, 1795271858495);
	assert_string_equal(back.identity, "me");
	assert_int_equal(back.transitions, 4);
	json_object_put(obj);
}

static void a_release_leaves_the_epoch_in_place(void **unused)
{
	struct json_object *spec = lease_spec_release(5000);

	(void)unused;
	assert_null(js_get(spec, "acquireTime"));
	assert_string_equal(js_str(spec, "holderIdentity"), "");
	json_object_put(spec);
	spec = lease_spec_renew(5000);
	assert_int_equal(json_object_object_length(spec), 1);
	assert_string_equal(js_str(spec, "renewTime"), "1970-01-01T00:00:05.000000Z");
	json_object_put(spec);
}

static void what_is_no_lease_is_an_error(void **unused)
{
	char text[700] =
	    "{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":{\"holderIdentity\":\"";
	struct json_object *obj = js_new();
	struct lease_view v;
	struct err err;

	(void)unused;
	assert_int_equal(lease_view_parse(obj, &v, &err), -EINVAL);
	json_object_put(obj);
	memset(text + strlen(text), 'x', 520);
	strncat(text, "\"}}", sizeof(text) - strlen(text) - 1);
	assert_int_equal(js_parse(text, strlen(text), &obj, &err), 0);
	assert_int_equal(lease_view_parse(obj, &v, &err), -EINVAL);
	json_object_put(obj);
	assert_int_equal(lease_view_parse(NULL, &v, &err), 0);
	assert_false(v.exists);
}

static void those_who_wait_do_not_come_all_at_once(void **unused)
{
	struct lease_state state = {.identity = "me"};

	(void)unused;
	assert_int_equal(lease_wait_ms(&state, 0), 2000);
	assert_in_range(lease_wait_ms(&state, UINT64_MAX), 4390, 4400);
	state.held = true;
	assert_int_equal(lease_wait_ms(&state, UINT64_MAX), 2000);
}

/* Two replicas and one Lease on virtual time: whatever happens to the leader's renewals, there are
 * never two who may act, and epochs only grow. */
static void there_is_never_more_than_one_leader(void **unused)
{
	struct lease_state r[2] = {{.identity = "a"}, {.identity = "b"}};
	bool cut[2] = {false, false};
	struct lease_view lease = {0};
	int64_t now_ms, last_epoch = 0;
	int version = 1, n_elected = 0;
	unsigned int random = 1;
	int i;

	(void)unused;
	for (now_ms = 0; now_ms < 3600000; now_ms += 500) {
		for (i = 0; i < 2; i++) {
			random = random * 1103515245 + 12345;
			if ((random >> 16) % 40 == 0)
				cut[i] = !cut[i];
			if (r[i].held && now_ms >= lease_deadline_ms(&r[i]))
				r[i].held = false; /* its deadline timer: the process ends, and
						      starts anew */
			if (cut[i])
				continue;
			lease_see(&r[i], &lease, now_ms);
			switch (lease_decide(&r[i], now_ms)) {
			case LEASE_CREATE:
			case LEASE_TAKE:
				lease = view(r[i].identity, ++version,
					     lease_next_epoch(&lease, 1000000 - now_ms));
				lease_see(&r[i], &lease, now_ms);
				assert_true(lease_confirm(&r[i], now_ms));
				assert_true(lease.acquired_ms > last_epoch);
				last_epoch = lease.acquired_ms;
				n_elected++;
				break;
			case LEASE_RENEW:
				snprintf(lease.version, sizeof(lease.version), "%d", ++version);
				lease_see(&r[i], &lease, now_ms);
				assert_false(lease_confirm(&r[i], now_ms));
				break;
			case LEASE_LOST:
				r[i].held = false;
				break;
			case LEASE_WAIT:
				break;
			}
		}
		assert_false(r[0].held && r[1].held);
	}
	assert_true(n_elected > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_missing_lease_is_created),
	    cmocka_unit_test(a_released_lease_is_taken_at_once),
	    cmocka_unit_test(our_own_name_from_a_former_life_is_taken_at_once),
	    cmocka_unit_test(anothers_lease_runs_out_by_our_own_clock),
	    cmocka_unit_test(a_write_of_ours_elects_once_and_then_renews),
	    cmocka_unit_test(a_write_that_brought_back_another_elects_nobody),
	    cmocka_unit_test(a_holder_loses_by_time_by_another_and_by_deletion),
	    cmocka_unit_test(news_is_a_first_sight_or_another_holder),
	    cmocka_unit_test(an_epoch_is_always_above_the_former_one),
	    cmocka_unit_test(the_epoch_survives_the_way_through_the_object),
	    cmocka_unit_test(a_release_leaves_the_epoch_in_place),
	    cmocka_unit_test(what_is_no_lease_is_an_error),
	    cmocka_unit_test(those_who_wait_do_not_come_all_at_once),
	    cmocka_unit_test(there_is_never_more_than_one_leader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
