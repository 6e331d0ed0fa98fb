#include "controller/certs_rules.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/patch.h"
#include "net/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DNS "hauberk-controller.hauberk-system.svc"
#define DAY_MS ((int64_t)86400 * 1000)
#define MINUTE_MS ((int64_t)60 * 1000)

/* Secret and ConfigMap as an API server would hold them, on a clock of our own. */
struct world {
	struct json_object *secret, *config_map;
	int64_t start_ms, now_ms;
	bool leader;
	struct buf trace; /* "day N: action" line by line */
};

static int world_setup(void **state)
{
	struct world *w = MEM_NEW(struct world);

	assert_true(clock_parse("2026-01-01T00:00:00Z", &w->start_ms));
	w->now_ms = w->start_ms;
	w->leader = true;
	w->trace.max = 1 << 20;
	*state = w;
	return 0;
}

static int world_teardown(void **state)
{
	struct world *w = *state;

	json_object_put(w->secret);
	json_object_put(w->config_map);
	buf_clear(&w->trace);
	free(w);
	return 0;
}

static struct certs_view world_view(const struct world *w)
{
	return (struct certs_view){
	    .secret = w->secret,
	    .config_map = w->config_map,
	    .dns_name = DNS,
	    .leader = w->leader,
	    .now_ms = w->now_ms,
	};
}

static enum certs_action world_ask(const struct world *w)
{
	struct certs_view view = world_view(w);
	struct certs_decision d;

	certs_decide(&view, &d);
	certs_decision_clear(&d);
	return d.action;
}

static void world_write_secret(struct world *w, const struct certs_view *view,
			       enum certs_action action)
{
	struct json_object *data, *secret = js_new();
	struct err err;

	assert_int_equal(certs_make_secret_data(view, action, &data, &err), 0);
	js_put(secret, "data", data);
	json_object_put(w->secret);
	w->secret = secret;
}

static void world_write_config_map(struct world *w, const struct certs_view *view,
				   const char *bundle)
{
	CLEANUP(js_putp) struct json_object *patch = certs_make_config_map(view, bundle);
	struct json_object *old = w->config_map;

	w->config_map = merge_patch_apply(old, patch);
	json_object_put(old);
}

/* What must hold whenever there is nothing to do: the leaf that is served is one that agents trust,
 * also those who read the ConfigMap five minutes ago. */
static void world_check(struct world *w, const struct certs_decision *d, const char *older_bundle)
{
	CLEANUP(mem_freep) char *leaf = certs_secret_text(w->secret, "tls.crt");
	CLEANUP(mem_freep) char *key = certs_secret_text(w->secret, "tls.key");
	int64_t end;
	struct err err;

	assert_true(d->has_leaf);
	assert_true(tls_leaf_fits(d->bundle, leaf, key, DNS));
	if (older_bundle)
		assert_true(tls_leaf_fits(older_bundle, leaf, key, DNS));
	assert_int_equal(tls_not_after(leaf, &end, &err), 0);
	assert_true(end > w->now_ms + 9 * DAY_MS);
}

/* Do what there is to do until there is nothing; returns when there will be more. */
static int64_t world_settle(struct world *w, const char *older_bundle)
{
	struct certs_decision d;
	int i;

	for (i = 0;; i++) {
		struct certs_view view = world_view(w);

		assert_true(i < 10); /* it comes to rest */
		certs_decide(&view, &d);
		if (d.action == CERTS_NOTHING)
			break;
		buf_addf(&w->trace, "day %lld: %s\n",
			 (long long)((w->now_ms - w->start_ms) / DAY_MS),
			 certs_action_name(d.action));
		if (d.action == CERTS_CREATE_CONFIG_MAP || d.action == CERTS_UPDATE_CONFIG_MAP)
			world_write_config_map(w, &view, d.bundle);
		else
			world_write_secret(w, &view, d.action);
		certs_decision_clear(&d);
	}
	world_check(w, &d, older_bundle);
	certs_decision_clear(&d);
	return d.next_ms;
}

static const char *world_published(const struct world *w)
{
	struct json_object *data = js_get(w->config_map, "data");
	struct json_object *ca = js_get(data, "ca.crt");

	return ca ? json_object_get_string(ca) : "";
}

static void a_first_visit_makes_everything_and_then_rests(void **state)
{
	struct world *w = *state;
	int64_t next = world_settle(w, NULL);

	assert_string_equal(buf_text(&w->trace), "day 0: make the CA and the serving certificate\n"
						 "day 0: publish the CA\n");
	assert_true(next > w->now_ms + 55 * DAY_MS);
	assert_true(next <= w->now_ms + 60 * DAY_MS);
	assert_int_equal(world_ask(w), CERTS_NOTHING);
}

static size_t world_count(const struct world *w, const char *word)
{
	const char *at = buf_text(&w->trace);
	size_t n = 0;

	while ((at = strstr(at, word))) {
		at++;
		n++;
	}
	return n;
}

/* Three years, from one deadline to the next, with an agent that reads the ConfigMap five minutes
 * late at each of them. */
static void three_years_pass_and_no_agent_notices(void **state)
{
	struct world *w = *state;
	int64_t next = world_settle(w, NULL);
	int n = 0;

	while (w->now_ms < w->start_ms + INT64_C(3) * 365 * DAY_MS) {
		CLEANUP(mem_freep) char *older = mem_strdup(world_published(w));

		assert_true(next > w->now_ms);
		assert_true(n++ < 100);
		w->now_ms = next;
		next = world_settle(w, older);
	}
	assert_in_range(world_count(w, "renew the serving"), 12, 20);
	assert_in_range(world_count(w, "take the next"), 4, 5);
	assert_in_range(world_count(w, "drop the old"), world_count(w, "take the next") - 1,
			world_count(w, "take the next"));
}

static void a_rotation_goes_step_by_step(void **state)
{
	struct world *w = *state;
	CLEANUP(mem_freep) char *old_leaf = NULL;
	CLEANUP(mem_freep) char *same_leaf = NULL;
	CLEANUP(mem_freep) char *new_leaf = NULL;
	int64_t next;

	world_settle(w, NULL);
	w->now_ms += 244 * DAY_MS;
	world_write_secret(
	    w,
	    &(struct certs_view){
		.secret = w->secret, .dns_name = DNS, .leader = true, .now_ms = w->now_ms},
	    CERTS_RENEW_LEAF);
	buf_clear(&w->trace);
	old_leaf = certs_secret_text(w->secret, "tls.crt");
	next = world_settle(w, NULL);
	assert_string_equal(buf_text(&w->trace), "day 244: make the next CA\n"
						 "day 244: publish the CAs anew\n");
	assert_int_equal(next, w->now_ms + 5 * MINUTE_MS);
	same_leaf = certs_secret_text(w->secret, "tls.crt");
	assert_string_equal(same_leaf, old_leaf);

	buf_clear(&w->trace);
	w->now_ms = next - 1;
	assert_int_equal(world_settle(w, NULL), next);
	w->now_ms = next;
	world_settle(w, NULL);
	assert_string_equal(buf_text(&w->trace), "day 244: take the next CA into use\n"
						 "day 244: publish the CAs anew\n");
	new_leaf = certs_secret_text(w->secret, "tls.crt");
	assert_string_not_equal(new_leaf, old_leaf);

	buf_clear(&w->trace);
	w->now_ms += 91 * DAY_MS;
	world_settle(w, NULL);
	assert_non_null(strstr(buf_text(&w->trace), "drop the old CA\n"));
	assert_null(strstr(strstr(world_published(w), "BEGIN") + 1, "BEGIN"));
}

static void who_does_not_lead_creates_and_changes_nothing(void **state)
{
	struct world *w = *state;

	w->leader = false;
	world_settle(w, NULL);
	w->now_ms += 80 * DAY_MS;
	assert_int_equal(world_ask(w), CERTS_NOTHING);
	w->now_ms += 300 * DAY_MS; /* all has ended */
	assert_int_equal(world_ask(w), CERTS_NOTHING);
	w->leader = true;
	assert_int_equal(world_ask(w), CERTS_REMAKE_SECRET);
}

static void a_deleted_config_map_comes_back_and_starts_the_five_minutes_anew(void **state)
{
	struct world *w = *state;
	int64_t next;

	world_settle(w, NULL);
	w->now_ms += 244 * DAY_MS;
	next = world_settle(w, NULL);
	w->now_ms = next - MINUTE_MS;
	json_object_put(w->config_map);
	w->config_map = NULL;
	next = world_settle(w, NULL);
	assert_int_equal(next, w->now_ms + 5 * MINUTE_MS);
}

static void a_config_map_that_somebody_edited_is_put_right(void **state)
{
	struct world *w = *state;

	world_settle(w, NULL);
	js_put_str(js_get(w->config_map, "data"), "ca.crt", "no CA");
	assert_int_equal(world_ask(w), CERTS_UPDATE_CONFIG_MAP);
	js_put(w->config_map, "data", NULL);
	assert_int_equal(world_ask(w), CERTS_UPDATE_CONFIG_MAP);
	w->leader = false;
	assert_int_equal(world_ask(w), CERTS_NOTHING);
}

/* Damage. */

static void world_damage(struct world *w, const char *key, const char *base64)
{
	struct json_object *data = js_get(w->secret, "data");

	if (base64)
		js_put_str(data, key, base64);
	else
		json_object_object_del(data, key);
}

static void damage_is_mended_as_gently_as_it_allows(void **state)
{
	static const char *const bad[] = {NULL, "", "%%%", "AAAA", "bm90IFBFTQ==", "AGE="};
	static const struct {
		const char *key;
		enum certs_action action;
	} cases[] = {
	    {"ca.crt", CERTS_REMAKE_SECRET},
	    {"ca.key", CERTS_MAKE_NEXT_CA}, /* the leaf is still good: no agent notices */
	    {"tls.crt", CERTS_RENEW_LEAF},
	    {"tls.key", CERTS_RENEW_LEAF},
	};
	struct world *w = *state;
	size_t i, j;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (j = 0; j < sizeof(bad) / sizeof(bad[0]); j++) {
			json_object_put(w->secret);
			w->secret = NULL;
			w->leader = true;
			world_settle(w, NULL);
			world_damage(w, cases[i].key, bad[j]);
			if (world_ask(w) != cases[i].action)
				fail_msg("%s with %s: %s", cases[i].key, bad[j],
					 certs_action_name(world_ask(w)));
			w->leader = false;
			assert_int_equal(world_ask(w), CERTS_NOTHING);
			w->leader = true;
			world_settle(w, NULL);
			assert_int_equal(world_ask(w), CERTS_NOTHING);
		}
	}
}

static void a_lost_ca_key_is_replaced_without_an_agent_noticing(void **state)
{
	struct world *w = *state;
	CLEANUP(mem_freep) char *first = NULL;
	CLEANUP(mem_freep) char *both = NULL;
	int64_t next;

	world_settle(w, NULL);
	first = mem_strdup(world_published(w));
	world_damage(w, "ca.key", NULL);
	next = world_settle(w, first);
	assert_int_equal(next, w->now_ms + 5 * MINUTE_MS);
	w->now_ms = next;
	both = mem_strdup(world_published(w));
	world_settle(w, both);
	assert_non_null(strstr(buf_text(&w->trace), "take the next CA into use"));
}

static void a_next_ca_that_cannot_be_read_is_made_again(void **state)
{
	struct world *w = *state;

	world_settle(w, NULL);
	w->now_ms += 244 * DAY_MS;
	world_settle(w, NULL);
	world_damage(w, "ca-next.key", "AAAA");
	assert_int_equal(world_ask(w), CERTS_MAKE_NEXT_CA);
	world_settle(w, NULL);
	world_damage(w, "ca-next.crt", NULL);
	assert_int_equal(world_ask(w), CERTS_MAKE_NEXT_CA);
	world_settle(w, NULL);
}

static void a_secret_of_nothing_is_made_anew(void **state)
{
	struct world *w = *state;

	w->secret = js_new();
	assert_int_equal(world_ask(w), CERTS_REMAKE_SECRET);
	js_put(w->secret, "data", js_text("who knows"));
	assert_int_equal(world_ask(w), CERTS_REMAKE_SECRET);
	world_settle(w, NULL);
}

static void keys_that_are_not_ours_are_kept(void **state)
{
	struct world *w = *state;

	w->secret = js_new();
	js_put(w->secret, "data", js_new());
	world_damage(w, "note", "aGVsbG8=");
	world_settle(w, NULL);
	assert_string_equal(json_object_get_string(js_get(js_get(w->secret, "data"), "note")),
			    "aGVsbG8=");
}

static void a_leaf_for_another_name_is_replaced(void **state)
{
	struct world *w = *state;
	struct certs_view view;
	struct certs_decision d;

	world_settle(w, NULL);
	view = world_view(w);
	view.dns_name = "hauberk-controller.elsewhere.svc";
	certs_decide(&view, &d);
	assert_int_equal(d.action, CERTS_RENEW_LEAF);
	assert_false(d.has_leaf);
	certs_decision_clear(&d);
}

static void a_cluster_that_slept_for_nearly_a_year_does_not_renew_for_ever(void **state)
{
	struct world *w = *state;
	int64_t next;

	world_settle(w, NULL);
	w->now_ms += 355 * DAY_MS; /* the leaf has ended, the CA will in ten days */
	buf_clear(&w->trace);
	next = world_settle(w, NULL);
	assert_string_equal(buf_text(&w->trace), "day 355: renew the serving certificate\n"
						 "day 355: make the next CA\n"
						 "day 355: publish the CAs anew\n");
	assert_int_equal(next, w->now_ms + 5 * MINUTE_MS);
}

int main(void)
{
#define TEST(fn_) cmocka_unit_test_setup_teardown(fn_, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_first_visit_makes_everything_and_then_rests),
	    TEST(three_years_pass_and_no_agent_notices),
	    TEST(a_rotation_goes_step_by_step),
	    TEST(who_does_not_lead_creates_and_changes_nothing),
	    TEST(a_deleted_config_map_comes_back_and_starts_the_five_minutes_anew),
	    TEST(a_config_map_that_somebody_edited_is_put_right),
	    TEST(damage_is_mended_as_gently_as_it_allows),
	    TEST(a_lost_ca_key_is_replaced_without_an_agent_noticing),
	    TEST(a_next_ca_that_cannot_be_read_is_made_again),
	    TEST(a_secret_of_nothing_is_made_anew),
	    TEST(keys_that_are_not_ours_are_kept),
	    TEST(a_leaf_for_another_name_is_replaced),
	    TEST(a_cluster_that_slept_for_nearly_a_year_does_not_renew_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
