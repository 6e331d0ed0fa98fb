#include "cli/rollout_order.h"

#include "cli_test.h"

#define META(notes_)                                                                               \
	"{'metadata':{'name':'webapp','resourceVersion':'7','generation':2,'annotations':{" notes_ \
	"}},"
#define STATUS(rollout_)                                                                      \
	"'status':{'observedGeneration':2,'updateRevision':'1a2b3c4d5e6f','currentRevision':" \
	"'0a0a0a0a0a0a','desiredNodes':4,'readyNodes':1,'rollout':{'revision':'1a2b3c4d5e6f'" \
	"," rollout_ "}}}"
#define STEPS "'spec':{'rollout':{'steps':[{'nodes':1,'soakSeconds':-1},{'nodes':2}]}},"
#define PAUSED_SPEC "'spec':{'rollout':{'paused':true}},"
#define GOING "'phase':'Progressing'"
#define FILLED "'phase':'Soaking','step':{'index':0,'startedAt':'2026-01-01T00:00:00Z'}"
#define PAUSE_NOTE "'hauberk.dev/rollout-pause':'1a2b3c4d5e6f'"

#define PATCH(notes_) "{'metadata':{'resourceVersion':'7','annotations':{" notes_ "}}}"
#define N "'hauberk.dev/rollout-"
#define REV "'1a2b3c4d5e6f"

static const struct rollout_verb *verb_of(const char *name)
{
	const struct rollout_verb *verb = rollout_verbs;

	while (strcmp(verb->name, name) != 0)
		verb++;
	return verb;
}

static void a_verb_writes_annotations_that_name_the_revision_and_nothing_else(void **state)
{
	static const struct {
		const char *verb, *aap, *patch, *said;
	} cases[] = {
	    {"pause", META("") STATUS(GOING), PATCH(N "pause':" REV "'," N "resume':null"),
	     "webapp: rollout of 1a2b3c4d5e6f is paused; go on with: kubectl hauberk rollout "
	     "resume webapp"},
	    /* spec pauses already, and only a resume stands against it. */
	    {"pause", META(N "resume':" REV "'") PAUSED_SPEC STATUS(GOING),
	     PATCH(N "pause':null," N "resume':null"), "is paused; go on with"},
	    {"resume", META(PAUSE_NOTE) STATUS("'phase':'Paused'"),
	     PATCH(N "pause':null," N "resume':null"),
	     "webapp: rollout of 1a2b3c4d5e6f goes on; follow it with: kubectl hauberk rollout "
	     "status webapp -w"},
	    {"resume", META("") PAUSED_SPEC STATUS("'phase':'Paused'"),
	     PATCH(N "pause':null," N "resume':" REV "'"),
	     "although spec.rollout.paused stays true for the next one"},
	    {"promote", META("") STEPS STATUS(FILLED), PATCH(N "promote':" REV "/1'"),
	     "webapp: step 1 of 2 of the rollout of 1a2b3c4d5e6f is passed; the next one begins"},
	    {"promote",
	     META("") STEPS STATUS("'phase':'Soaking','step':{'index':1,'startedAt':"
				   "'2026-01-01T00:00:00Z'}"),
	     PATCH(N "promote':" REV "/2'"), "the rest of the nodes follow"},
	    {"promote", META(PAUSE_NOTE) STEPS STATUS(FILLED), PATCH(N "promote':" REV "/1'"),
	     "it stays paused, though"},
	    {"abort", META("") STATUS(GOING), PATCH(N "abort':" REV "'," N "promote':null"),
	     "the nodes that were told of it go back to 0a0a0a0a0a0a"},
	    {"abort", META("") STATUS("'phase':'Failed'"),
	     PATCH(N "abort':" REV "'," N "promote':null"), "is aborted"},
	    {"restart", META(N "abort':" REV "'") STATUS("'phase':'Aborted'"),
	     PATCH(N "restart':" REV "/12345'," N "abort':null," N "promote':null"),
	     "webapp: rollout of 1a2b3c4d5e6f starts over; follow it with"},
	    {"restart", META("") STATUS("'phase':'Failed'"),
	     PATCH(N "restart':" REV "/12345'," N "abort':null," N "promote':null"), "starts over"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *aap = cli_json(cases[i].aap);
		struct rollout_order order;
		struct err err;
		char *patch;

		if (rollout_order(verb_of(cases[i].verb), aap, 12345, &order, &err))
			fail_msg("%s", err.msg);
		patch = cli_text(order.patch);
		assert_string_equal(patch, cases[i].patch);
		if (!strstr(order.said, cases[i].said))
			assert_string_equal(order.said, cases[i].said);
		free(patch);
		rollout_order_clear(&order);
		json_object_put(aap);
	}
}

static void a_verb_that_makes_no_sense_now_says_why(void **state)
{
	static const struct {
		const char *verb, *aap, *why;
	} cases[] = {
	    {"pause", META(PAUSE_NOTE) STATUS("'phase':'Paused'"),
	     "webapp: the rollout of 1a2b3c4d5e6f is paused already, by rollout pause"},
	    {"pause", META("") PAUSED_SPEC STATUS("'phase':'Paused'"), "by spec.rollout.paused"},
	    {"pause", META("") STATUS("'phase':'Complete'"),
	     "webapp: the rollout of 1a2b3c4d5e6f is complete: there is nothing to pause"},
	    {"resume", META("") STATUS(GOING), "webapp: the rollout of 1a2b3c4d5e6f is not paused"},
	    {"resume", META("") STATUS("'phase':'RolledBack'"), "was rolled back"},
	    {"promote", META("") STATUS(GOING), "spec.rollout has none"},
	    {"promote", META("") STEPS STATUS("'phase':'Progressing','step':{'index':0}"),
	     "webapp: step 1 of 2 of the rollout of 1a2b3c4d5e6f is not filled yet, so nothing "
	     "waits for you (1 of 4 nodes hold it)"},
	    {"promote", META("") STEPS STATUS("'phase':'Progressing','step':{'index':2}"),
	     "all have been passed"},
	    {"promote", META("") STEPS STATUS("'phase':'Complete','step':{'index':2}"),
	     "is complete: there is nothing to promote"},
	    {"promote",
	     META("") STEPS STATUS("'phase':'Failed','step':{'index':0,'startedAt':"
				   "'2026-01-01T00:00:00Z'}"),
	     "does not wait, it is stopped"},
	    {"abort", META("") STATUS("'phase':'Complete'"), "nothing to abort"},
	    {"abort", META("") STATUS("'phase':'RollingBack'"), "is being rolled back"},
	    {"abort",
	     META("") "'status':{'observedGeneration':2,'updateRevision':'1a2b3c4d5e6f','rollout':{"
		      "'phase':'Progressing'}}}",
	     "no revision before 1a2b3c4d5e6f was ever complete"},
	    {"restart", META("") STATUS("'phase':'Complete'"), "nothing to restart"},
	    {"restart",
	     META("") "'status':{'observedGeneration':2,'updateRevision':'1a2b3c4d5e6f','rollout':{"
		      "'revision':'1a2b3c4d5e6f','phase':'Failed'}}}",
	     "each does so by itself"},
	    {"pause", META("") "'status':{'observedGeneration':2}}", "no revision was accepted"},
	    {"pause", "{'metadata':{'name':'webapp','deletionTimestamp':'x'}}", "being deleted"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *aap = cli_json(cases[i].aap);
		struct rollout_order order;
		struct err err;

		assert_int_equal(rollout_order(verb_of(cases[i].verb), aap, 12345, &order, &err),
				 -EPERM);
		if (!strstr(err.msg, cases[i].why))
			assert_string_equal(err.msg, cases[i].why);
		json_object_put(aap);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_verb_writes_annotations_that_name_the_revision_and_nothing_else),
	    cmocka_unit_test(a_verb_that_makes_no_sense_now_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
