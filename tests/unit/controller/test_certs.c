#include "controller/certs.h"

#include "base/mem.h"
#include "base/str.h"
#include "controller/certs_rules.h"
#include "fake_kube.h"
#include "net/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NAMESPACE "hauberk-system"
#define DNS "hauberk-controller." NAMESPACE ".svc"
#define SECRETS "/api/v1/namespaces/" NAMESPACE "/secrets"
#define CONFIG_MAPS "/api/v1/namespaces/" NAMESPACE "/configmaps"
#define SECRET SECRETS "/" CERTS_SECRET
#define CONFIG_MAP CONFIG_MAPS "/" CERTS_CONFIG_MAP

struct replica {
	struct certs *certs;
	char *leaf, *key;
	int n_leaves;
};

struct place {
	uv_loop_t loop;
	struct fake_kube *kube;
	struct replica a, b;
};

static void on_leaf(void *data, const char *cert_pem, const char *key_pem)
{
	struct replica *r = data;

	r->n_leaves++;
	mem_replace(&r->leaf, mem_strdup(cert_pem));
	mem_replace(&r->key, mem_strdup(key_pem));
}

static void replica_start(struct place *p, struct replica *r)
{
	struct certs_spec spec = {.namespace_ = NAMESPACE, .on_leaf = on_leaf, .data = r};

	r->certs = certs_start(fake_kube_client(p->kube), &spec);
}

static void replica_stop(struct replica *r)
{
	if (r->certs)
		certs_close(r->certs);
	r->certs = NULL;
	free(r->leaf);
	free(r->key);
	r->leaf = r->key = NULL;
}

static int place_setup(void **state)
{
	struct place *p = MEM_NEW(struct place);

	uv_loop_init(&p->loop);
	p->kube = fake_kube_new(&p->loop);
	*state = p;
	return 0;
}

static int place_teardown(void **state)
{
	struct place *p = *state;

	replica_stop(&p->a);
	replica_stop(&p->b);
	fake_kube_close(p->kube);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	free(p);
	return 0;
}

static const char *published(struct place *p)
{
	struct json_object *data = js_get(fake_kube_get(p->kube, CONFIG_MAP), "data");
	struct json_object *ca = js_get(data, "ca.crt");

	return ca ? json_object_get_string(ca) : "";
}

static void expect_writes(struct place *p, const char *expected)
{
	CLEANUP(mem_freep) char *writes = fake_kube_writes(p->kube);

	assert_string_equal(writes, expected);
}

static void a_first_replica_makes_ca_and_leaf_and_publishes(void **state)
{
	struct place *p = *state;

	replica_start(p, &p->a);
	fake_kube_settle(p->kube);
	assert_int_equal(p->a.n_leaves, 1);
	assert_true(tls_leaf_fits(published(p), p->a.leaf, p->a.key, DNS));
	assert_string_equal(certs_ca_bundle(p->a.certs), published(p));
	assert_string_equal(js_str(fake_kube_get(p->kube, SECRET), "type"), "Opaque");
	expect_writes(p, "POST " SECRETS "\nPOST " CONFIG_MAPS "\n");
}

static void two_replicas_that_start_at_once_agree(void **state)
{
	struct place *p = *state;

	replica_start(p, &p->a);
	replica_start(p, &p->b);
	fake_kube_settle(p->kube);
	assert_int_equal(p->a.n_leaves, 1);
	assert_int_equal(p->b.n_leaves, 1);
	assert_string_equal(p->a.leaf, p->b.leaf);
	assert_string_equal(p->a.key, p->b.key);
	assert_true(tls_leaf_fits(published(p), p->a.leaf, p->a.key, DNS));
	expect_writes(p, "POST " SECRETS "\nPOST " SECRETS "\n"
			 "POST " CONFIG_MAPS "\nPOST " CONFIG_MAPS "\n");
}

static void what_is_there_is_taken_and_nothing_is_written(void **state)
{
	struct place *p = *state;

	replica_start(p, &p->a);
	fake_kube_settle(p->kube);
	expect_writes(p, "POST " SECRETS "\nPOST " CONFIG_MAPS "\n");
	replica_start(p, &p->b);
	certs_lead(p->b.certs);
	fake_kube_settle(p->kube);
	assert_string_equal(p->a.leaf, p->b.leaf);
	expect_writes(p, "");
}

static void a_config_map_that_somebody_deletes_or_edits_comes_back(void **state)
{
	struct place *p = *state;
	CLEANUP(js_putp) struct json_object *edited = NULL;
	CLEANUP(mem_freep) char *before = NULL;

	replica_start(p, &p->a);
	certs_lead(p->a.certs);
	fake_kube_settle(p->kube);
	before = mem_strdup(published(p));
	fake_kube_remove(p->kube, CONFIG_MAP);
	fake_kube_settle(p->kube);
	assert_string_equal(published(p), before);

	assert_int_equal(json_object_deep_copy(fake_kube_get(p->kube, CONFIG_MAP), &edited, NULL),
			 0);
	js_put_str(js_get(edited, "data"), "ca.crt", "no CA");
	fake_kube_put(p->kube, CONFIG_MAPS, json_object_get(edited));
	fake_kube_settle(p->kube);
	assert_string_equal(published(p), before);
	assert_int_equal(p->a.n_leaves, 1);
}

static void damage_secret(struct place *p, const char *key)
{
	struct json_object *secret = NULL;

	assert_int_equal(json_object_deep_copy(fake_kube_get(p->kube, SECRET), &secret, NULL), 0);
	js_put_str(js_get(secret, "data"), key, "AAAA");
	fake_kube_put(p->kube, SECRETS, secret);
}

static void a_damaged_leaf_is_mended_by_the_leader_and_followed_by_the_other(void **state)
{
	struct place *p = *state;

	replica_start(p, &p->a);
	replica_start(p, &p->b);
	fake_kube_settle(p->kube);
	damage_secret(p, "tls.key");
	fake_kube_settle(p->kube);
	assert_int_equal(p->a.n_leaves, 1); /* nobody leads: the former one goes on being served */
	certs_lead(p->b.certs);
	fake_kube_settle(p->kube);
	assert_int_equal(p->a.n_leaves, 2);
	assert_int_equal(p->b.n_leaves, 2);
	assert_string_equal(p->a.leaf, p->b.leaf);
	assert_true(tls_leaf_fits(published(p), p->a.leaf, p->a.key, DNS));
}

static void a_deleted_secret_makes_everything_anew(void **state)
{
	struct place *p = *state;
	CLEANUP(mem_freep) char *before = NULL;

	replica_start(p, &p->a);
	certs_lead(p->a.certs);
	fake_kube_settle(p->kube);
	before = mem_strdup(published(p));
	fake_kube_remove(p->kube, SECRET);
	fake_kube_settle(p->kube);
	assert_string_not_equal(published(p), before);
	assert_int_equal(p->a.n_leaves, 2);
	assert_true(tls_leaf_fits(published(p), p->a.leaf, p->a.key, DNS));
}

static void a_write_that_fails_waits_and_keeps_what_is_served(void **state)
{
	struct place *p = *state;

	replica_start(p, &p->a);
	certs_lead(p->a.certs);
	fake_kube_settle(p->kube);
	fake_kube_fail(p->kube, SECRETS, KUBE_FORBIDDEN);
	damage_secret(p, "tls.crt");
	fake_kube_settle(p->kube);
	assert_int_equal(p->a.n_leaves, 1);
	fake_kube_fail(p->kube, NULL, KUBE_OK);
	while (p->a.n_leaves < 2)
		uv_run(&p->loop, UV_RUN_ONCE); /* the wait of half a second */
	assert_true(tls_leaf_fits(published(p), p->a.leaf, p->a.key, DNS));
}

static void closing_in_the_middle_of_a_write_calls_nobody(void **state)
{
	struct place *p = *state;

	replica_start(p, &p->a);
	fake_kube_settle(p->kube);
	damage_secret(p, "tls.key");
	fake_kube_settle(p->kube);
	fake_kube_hold(p->kube, true);
	certs_lead(p->a.certs);
	uv_run(&p->loop, UV_RUN_NOWAIT);
	assert_int_equal(fake_kube_n_waiting(p->kube), 1);
	certs_close(p->a.certs);
	p->a.certs = NULL;
	assert_int_equal(fake_kube_n_waiting(p->kube), 0);
	fake_kube_hold(p->kube, false);
	fake_kube_settle(p->kube);
	assert_int_equal(p->a.n_leaves, 1);
}

int main(void)
{
#define TEST(fn_) cmocka_unit_test_setup_teardown(fn_, place_setup, place_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_first_replica_makes_ca_and_leaf_and_publishes),
	    TEST(two_replicas_that_start_at_once_agree),
	    TEST(what_is_there_is_taken_and_nothing_is_written),
	    TEST(a_config_map_that_somebody_deletes_or_edits_comes_back),
	    TEST(a_damaged_leaf_is_mended_by_the_leader_and_followed_by_the_other),
	    TEST(a_deleted_secret_makes_everything_anew),
	    TEST(a_write_that_fails_waits_and_keeps_what_is_served),
	    TEST(closing_in_the_middle_of_a_write_calls_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
