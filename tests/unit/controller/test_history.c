#include "controller/history.h"

#include "base/mem.h"
#include "base/str.h"
#include "fake_kube.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATH "/apis/apps/v1/namespaces/hauberk/controllerrevisions"

struct place {
	uv_loop_t loop;
	struct fake_kube *kube;
	struct history *history;
	struct aap aap;
	struct revision rev;
	int n_recorded, n_unfetched, n_lost;
	char *fetched;
};

static void on_recorded(void *data, const char *object, const char *uid, const char *revision,
			bool ok)
{
	assert_string_equal(uid, ((struct place *)data)->aap.spec.uid);
	(void)object;
	(void)revision;
	((struct place *)data)->n_recorded += ok;
}

static void on_fetched(void *data, const char *object, const char *revision, const char *text,
		       size_t n_text, enum profile_mode mode)
{
	struct place *p = data;

	assert_string_equal(object, "web");
	assert_string_equal(revision, "0123456789ab");
	p->n_lost += !text;
	if (!text)
		return;
	assert_int_equal(mode, PROFILE_COMPLAIN);
	mem_replace(&p->fetched, mem_strndup(text, n_text));
}

static void on_unfetched(void *data, const char *object, const char *revision)
{
	assert_string_equal(object, "web");
	assert_string_equal(revision, "0123456789ab");
	((struct place *)data)->n_unfetched++;
}

static void on_synced(void *data)
{
	(void)data;
}

static int setup(void **state)
{
	struct place *p = MEM_NEW(struct place);
	struct history_spec spec = {
	    .namespace_ = "hauberk",
	    .recorded = on_recorded,
	    .fetched = on_fetched,
	    .unfetched = on_unfetched,
	    .synced = on_synced,
	    .data = p,
	};

	uv_loop_init(&p->loop);
	p->kube = fake_kube_new(&p->loop);
	p->history = history_start(fake_kube_client(p->kube), &spec);
	p->aap.spec.object = (char *)"web";
	p->aap.spec.uid = (char *)"u-web";
	memcpy(p->rev.id, "0123456789ab", sizeof(p->rev.id));
	p->rev.mode = PROFILE_COMPLAIN;
	p->rev.text = (char *)"profile web { /a<b> r, }";
	p->rev.n_text = strlen(p->rev.text);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	history_close(p->history);
	fake_kube_close(p->kube);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	free(p->fetched);
	free(p);
	return 0;
}

static void what_was_recorded_can_be_read_back(void **state)
{
	struct place *p = *state;

	fake_kube_settle(p->kube);
	history_record(p->history, &p->aap, &p->rev);
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_recorded, 1);
	history_fetch(p->history, &p->aap, "0123456789ab");
	fake_kube_settle(p->kube);
	assert_string_equal(p->fetched, p->rev.text);
}

static void what_is_not_there_and_what_cannot_be_read_are_told_apart(void **state)
{
	struct place *p = *state;

	fake_kube_settle(p->kube);
	history_fetch(p->history, &p->aap, "0123456789ab");
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_lost, 1);
	assert_int_equal(p->n_unfetched, 0);
	history_record(p->history, &p->aap, &p->rev);
	fake_kube_settle(p->kube);
	fake_kube_fail(p->kube, PATH "/", KUBE_UNAVAILABLE);
	history_fetch(p->history, &p->aap, "0123456789ab");
	fake_kube_settle(p->kube);
	assert_int_equal(p->n_unfetched, 1);
	assert_int_equal(p->n_lost, 1);
	assert_null(p->fetched);
	fake_kube_fail(p->kube, NULL, KUBE_OK);
	history_fetch(p->history, &p->aap, "0123456789ab");
	fake_kube_settle(p->kube);
	assert_string_equal(p->fetched, p->rev.text);
}

/* Whatever of it is cut off:
 * https://kubernetes.io/docs/concepts/overview/working-with-objects/names */
static void a_long_name_makes_a_valid_name_of_a_record(void **state)
{
	static const struct {
		const char *last, *expected;
	} cases[] = {
	    {"aaa", "aaa-u-web"},  /* short: as it is */
	    {"aacd", "aac-u-web"}, /* cut */
	    {"aa.b", "aa-u-web"},
	    {"aa-b", "aa--u-web"}, /* valid, and may be recorded so */
	};
	struct place *p = *state;
	char object[256];
	size_t i;

	fake_kube_settle(p->kube);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(mem_freep) char *path = NULL;

		memset(object, 'x', 197);
		snprintf(object + 197, sizeof(object) - 197, "%s", cases[i].last);
		p->aap.spec.object = object;
		history_record(p->history, &p->aap, &p->rev);
		fake_kube_settle(p->kube);
		path = mem_printf(PATH "/%.197s%s-0123456789ab", object, cases[i].expected);
		if (!fake_kube_get(p->kube, path))
			fail_msg("there is no %s", path);
	}
}

int main(void)
{
#define T(f_) cmocka_unit_test_setup_teardown(f_, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(what_was_recorded_can_be_read_back),
	    T(a_long_name_makes_a_valid_name_of_a_record),
	    T(what_is_not_there_and_what_cannot_be_read_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
