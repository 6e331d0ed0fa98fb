#include "cli/rollout.h"

#include "api/profile.h"
#include "base/buf.h"
#include "base/container_of.h"
#include "cli_test.h"
#include "unit/controller/fake_kube.h"

#include <stdio.h>

/* The verbs against an API server in memory. */

struct world {
	uv_loop_t loop;
	struct fake_kube *fake;
	struct cluster *cluster;
	uv_idle_t other; /* another hand */
	int turns;
	const char *const *steps; /* what it puts there, turn by turn */
};

#define REVISIONS "/apis/apps/v1/namespaces/hauberk-system/controllerrevisions"

static void put(struct world *w, const char *collection, const char *text)
{
	fake_kube_put(w->fake, collection, cli_json(text));
}

#define AAP(spec_, rollout_, more_)                                                               \
	"{'metadata':{'name':'webapp','annotations':{}},'spec':" spec_ ",'status':{"              \
	"'observedGeneration':1,'updateRevision':'bbbbbbbbbbbb','currentRevision':"               \
	"'aaaaaaaaaaaa','desiredNodes':3,'rollout':{'revision':'bbbbbbbbbbbb','phase':'" rollout_ \
	"'}," more_ "}}"

#define GOING AAP("{'policy':'profile b {}'}", "Progressing", "'readyNodes':1")

static int set_up(void **state)
{
	struct world *w = MEM_NEW(struct world);

	uv_loop_init(&w->loop);
	w->fake = fake_kube_new(&w->loop);
	w->cluster = cluster_new(fake_kube_client(w->fake), "https://fake", NULL, NULL);
	put(w, PROFILE_PATH, GOING);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	cluster_close(w->cluster);
	fake_kube_close(w->fake);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
	return 0;
}

static const struct rollout_verb *verb_of(const char *name)
{
	const struct rollout_verb *verb = rollout_verbs;

	while (strcmp(verb->name, name) != 0)
		verb++;
	return verb;
}

static const char *pause_note(struct world *w)
{
	return rollout_note(fake_kube_get(w->fake, PROFILE_PATH "/webapp"),
			    "hauberk.dev/rollout-pause");
}

static void a_pause_is_one_write_that_leaves_spec_alone(void **state)
{
	struct world *w = *state;
	CLEANUP(mem_freep) char *said = NULL, *writes = NULL, *spec = NULL;
	struct err err;

	assert_int_equal(rollout_steer(w->cluster, verb_of("pause"), "webapp", &said, &err), 0);
	assert_string_equal(pause_note(w), "bbbbbbbbbbbb");
	writes = fake_kube_writes(w->fake);
	assert_string_equal(writes, "PATCH " PROFILE_PATH "/webapp\n");
	spec = cli_text(js_object(fake_kube_get(w->fake, PROFILE_PATH "/webapp"), "spec"));
	assert_string_equal(spec, "{'policy':'profile b {}'}");
}

static void on_other(uv_idle_t *idle)
{
	struct world *w = container_of(idle, struct world, other);

	if (!w->steps[w->turns]) {
		uv_close((uv_handle_t *)idle, NULL);
		return;
	}
	if (*w->steps[w->turns])
		put(w, PROFILE_PATH, w->steps[w->turns]);
	w->turns++;
}

static void meanwhile(struct world *w, const char *const *steps)
{
	w->turns = 0;
	w->steps = steps;
	uv_idle_init(&w->loop, &w->other);
	uv_idle_start(&w->other, on_other);
}

static void a_change_in_between_is_read_and_decided_upon_again(void **state)
{
	static const char *const same[] = {GOING, NULL};
	static const char *const over[] = {
	    AAP("{'policy':'profile b {}'}", "Complete", "'readyNodes':3"), NULL};
	struct world *w = *state;
	CLEANUP(mem_freep) char *said = NULL, *writes = NULL;
	struct err err;

	meanwhile(w, same);
	assert_int_equal(rollout_steer(w->cluster, verb_of("pause"), "webapp", &said, &err), 0);
	writes = fake_kube_writes(w->fake);
	assert_string_equal(writes,
			    "PATCH " PROFILE_PATH "/webapp\nPATCH " PROFILE_PATH "/webapp\n");
	assert_string_equal(pause_note(w), "bbbbbbbbbbbb");

	put(w, PROFILE_PATH, GOING);
	meanwhile(w, over);
	assert_int_equal(rollout_steer(w->cluster, verb_of("pause"), "webapp", &said, &err),
			 -EPERM);
	assert_non_null(strstr(err.msg, "is complete"));
}

static void what_is_not_there_is_told_with_a_hint(void **state)
{
	struct world *w = *state;
	char *said;
	struct err err;

	assert_int_equal(rollout_steer(w->cluster, verb_of("pause"), "other", &said, &err),
			 -ENOENT);
	assert_string_equal(err.msg, "there is no AppArmorProfile other; `kubectl get aap` lists "
				     "those that there are");
	assert_int_equal(rollout_steer(w->cluster, verb_of("pause"), "../x", &said, &err), -EINVAL);
}

static void put_revision(struct world *w, int number, const char *id, const char *policy)
{
	CLEANUP(mem_freep)
	char *text = mem_printf("{'metadata':{'name':'webapp-%s','labels':{"
				"'hauberk.dev/profile-uid':'uid-1','hauberk.dev/revision':'%s'}},"
				"'revision':%d,'data':{'policy':'%s','mode':'Complain'}}",
				id, id, number, policy);

	put(w, REVISIONS, text);
}

static void undo_writes_the_former_text_into_spec_and_says_so(void **state)
{
	struct world *w = *state;
	CLEANUP(mem_freep) char *said = NULL, *spec = NULL;
	struct err err;

	put_revision(w, 2, "bbbbbbbbbbbb", "profile b {}");
	put_revision(w, 1, "aaaaaaaaaaaa", "profile a {}");
	assert_int_equal(rollout_undo(w->cluster, "hauberk-system", "webapp", "1", &said, &err), 0);
	spec = cli_text(js_object(fake_kube_get(w->fake, PROFILE_PATH "/webapp"), "spec"));
	assert_string_equal(spec, "{'policy':'profile a {}','mode':'Complain'}");
	assert_non_null(strstr(said, "revision 1 (aaaaaaaaaaaa, Complain)"));
	assert_non_null(strstr(said, "Git repository"));
	assert_int_equal(rollout_undo(w->cluster, "hauberk-system", "webapp", "1", &said, &err),
			 -EPERM);
	assert_non_null(strstr(err.msg, "already: there is nothing to undo"));
	assert_int_equal(rollout_undo(w->cluster, "hauberk-system", "webapp", "9", &said, &err),
			 -ENOENT);
}

struct shown {
	char *text;
	size_t n;
	enum rollout_verdict verdict;
	char *why;
	int r;
	struct err err;
};

static struct shown follow(struct world *w, bool watch, bool terminal, int64_t timeout_ms)
{
	struct shown shown = {0};
	struct rollout_follow_spec spec = {.name = "webapp",
					   .watch = watch,
					   .terminal = terminal,
					   .timeout_ms = timeout_ms,
					   .out = open_memstream(&shown.text, &shown.n)};

	shown.r = rollout_follow(w->cluster, &spec, &shown.verdict, &shown.why, &shown.err);
	fclose(spec.out);
	return shown;
}

static void forget(struct shown *shown)
{
	free(shown->text);
	free(shown->why);
}

#define DONE                                                                         \
	AAP("{'policy':'profile b {}'}", "Complete",                                 \
	    "'readyNodes':3,'conditions':[{'type':'Ready','status':'True','reason':" \
	    "'RolloutComplete','message':'3 of 3'}]")
#define BAD                                                                                       \
	AAP("{'policy':'profile b {}'}", "Failed",                                                \
	    "'readyNodes':1,'failedNodes':1,'conditions':[{'type':'Progressing','status':'False'" \
	    ",'reason':'FailureBudgetExceeded','message':'n1 failed'}]")

static void a_look_shows_one_line(void **state)
{
	struct shown shown = follow(*state, false, true, 0);

	assert_int_equal(shown.r, 0);
	assert_int_equal(shown.verdict, ROLLOUT_GOING);
	assert_string_equal(shown.text, "webapp: 1 of 3 nodes hold bbbbbbbbbbbb\n");
	forget(&shown);
}

static void piped_there_is_a_line_a_change_until_it_is_over(void **state)
{
	static const char *const steps[] = {"", "", "", "", "", GOING, "", GOING, "", DONE, NULL};
	struct world *w = *state;
	struct shown shown;

	meanwhile(w, steps);
	shown = follow(w, true, false, 0);
	assert_int_equal(shown.r, 0);
	assert_int_equal(shown.verdict, ROLLOUT_COMPLETE);
	assert_string_equal(shown.why, "3 of 3");
	assert_string_equal(shown.text, "webapp: 1 of 3 nodes hold bbbbbbbbbbbb\n"
					"webapp: 3 of 3 nodes hold bbbbbbbbbbbb; Complete\n");
	forget(&shown);
}

static void on_a_terminal_one_line_is_drawn_again_and_ended(void **state)
{
	static const char *const steps[] = {"", "", "", "", "", BAD, NULL};
	struct world *w = *state;
	struct shown shown;

	meanwhile(w, steps);
	shown = follow(w, true, true, 0);
	assert_int_equal(shown.verdict, ROLLOUT_FAILED);
	assert_string_equal(shown.why, "n1 failed");
	assert_true(shown.text[0] == '\r');
	assert_ptr_equal(strchr(shown.text, '\n'), shown.text + shown.n - 1);
	assert_non_null(strstr(shown.text, "1/3, 1 failed, Failed"));
	forget(&shown);
}

static void a_timeout_is_told_and_an_object_that_goes_ends_it(void **state)
{
	struct world *w = *state;
	struct shown shown = follow(w, true, false, 50);

	assert_int_equal(shown.r, -ETIMEDOUT);
	forget(&shown);
	fake_kube_remove(w->fake, PROFILE_PATH "/webapp");
	shown = follow(w, true, false, 0);
	assert_int_equal(shown.r, -ENOENT);
	forget(&shown);
}

static void a_duration_is_seconds_or_has_units(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} cases[] = {
	    {"90", 90000}, {"90s", 90000}, {"5m", 300000}, {"1h30m", 5400000}, {"0", 0},
	    {"", -1},      {"m", -1},      {"5x", -1},     {"-5", -1},         {"5m3", -1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t ms = -1;

		assert_int_equal(rollout_duration(cases[i].text, &ms), cases[i].ms >= 0);
		if (cases[i].ms >= 0)
			assert_int_equal(ms, cases[i].ms);
	}
}

#define WORLD_TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(a_pause_is_one_write_that_leaves_spec_alone),
	    WORLD_TEST(a_change_in_between_is_read_and_decided_upon_again),
	    WORLD_TEST(what_is_not_there_is_told_with_a_hint),
	    WORLD_TEST(undo_writes_the_former_text_into_spec_and_says_so),
	    WORLD_TEST(a_look_shows_one_line),
	    WORLD_TEST(piped_there_is_a_line_a_change_until_it_is_over),
	    WORLD_TEST(on_a_terminal_one_line_is_drawn_again_and_ended),
	    WORLD_TEST(a_timeout_is_told_and_an_object_that_goes_ends_it),
	    cmocka_unit_test(a_duration_is_seconds_or_has_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
