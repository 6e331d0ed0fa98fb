#include "controller/home.h"

#include "base/js.h"
#include "base/mem.h"
#include "fake_kube.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct place {
	uv_loop_t loop;
	struct fake_kube *kube;
	struct home *home;
	int n_going;
};

static void on_going(void *data)
{
	((struct place *)data)->n_going++;
}

static void on_trouble(void *data, const char *why)
{
	(void)data;
	fail_msg("%s", why);
}

static int set_up(void **state)
{
	struct place *p = MEM_NEW(struct place);

	uv_loop_init(&p->loop);
	p->kube = fake_kube_new(&p->loop);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	home_close(p->home);
	fake_kube_close(p->kube);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	free(p);
	return 0;
}

static void put_namespace(struct place *p, const char *more)
{
	CLEANUP(mem_freep)
	char *text = mem_printf("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{"
				"\"name\":\"hauberk-system\",\"uid\":\"u\"%s}}",
				more);
	struct json_object *obj;
	struct err err;

	assert_int_equal(js_parse(text, strlen(text), &obj, &err), 0);
	fake_kube_put(p->kube, "/api/v1/namespaces", obj);
	fake_kube_settle(p->kube);
}

#define GOING ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\""

static void follow(struct place *p)
{
	struct home_spec spec = {.namespace_ = "hauberk-system",
				 .on_going = on_going,
				 .on_trouble = on_trouble,
				 .data = p};

	p->home = home_follow(fake_kube_client(p->kube), &spec);
	fake_kube_settle(p->kube);
}

static void a_namespace_that_begins_to_go_is_noticed_once(void **state)
{
	struct place *p = *state;

	put_namespace(p, "");
	follow(p);
	put_namespace(p, ",\"labels\":{\"a\":\"b\"}");
	assert_int_equal(p->n_going, 0);
	put_namespace(p, GOING);
	put_namespace(p, GOING ",\"labels\":{\"a\":\"c\"}");
	assert_int_equal(p->n_going, 1);
}

static void a_controller_that_starts_while_it_goes_notices_too(void **state)
{
	struct place *p = *state;

	put_namespace(p, GOING);
	follow(p);
	assert_int_equal(p->n_going, 1);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_namespace_that_begins_to_go_is_noticed_once),
	    TEST(a_controller_that_starts_while_it_goes_notices_too),
	};

	return cmocka_run_group_tests_name("home", tests, NULL, NULL);
}
