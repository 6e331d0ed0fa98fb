#include "cli/rollout_seen.h"

#include "cli_test.h"

#define SEEN "'metadata':{'name':'webapp','generation':2},"
#define STATUS "'status':{'observedGeneration':2,'updateRevision':'1a2b3c4d5e6f',"

static void only_an_end_is_a_verdict(void **state)
{
	static const struct {
		const char *aap;
		enum rollout_verdict verdict;
		const char *why;
	} cases[] = {
	    {"{" SEEN STATUS "'conditions':[" CLI_CONDITION("Ready", "True", "RolloutComplete",
							    "3 of 3 nodes hold it") "]}}",
	     ROLLOUT_COMPLETE, "3 of 3 nodes hold it"},
	    {"{" SEEN STATUS "'conditions':[" CLI_CONDITION("Ready", "True", "NoMatchingNodes",
							    "no node matches") "]}}",
	     ROLLOUT_COMPLETE, "no node matches"},
	    {"{" SEEN STATUS
	     "'conditions':[" CLI_CONDITION("Ready", "False", "RolloutInProgress", "1 of 3") "]}}",
	     ROLLOUT_GOING, "1 of 3"},
	    {"{" SEEN STATUS
	     "'conditions':[" CLI_CONDITION("Ready", "False", "RolloutPaused", "paused") "]}}",
	     ROLLOUT_GOING, "paused"},
	    {"{" SEEN STATUS "'conditions':[" CLI_CONDITION("Ready", "False", "NodesFailed",
							    "n1: LoadFailed") "]}}",
	     ROLLOUT_GOING, "n1: LoadFailed"},
	    {"{" SEEN STATUS "'conditions':[" CLI_CONDITION("Ready", "False", "InvalidPolicy",
							    "line 3: what is that") "]}}",
	     ROLLOUT_FAILED, "line 3: what is that"},
	    {"{" SEEN STATUS
	     "'conditions':[" CLI_CONDITION("Ready", "False", "NameConflict", "older") "]}}",
	     ROLLOUT_FAILED, "older"},
	    {"{" SEEN STATUS
	     "'conditions':[" CLI_CONDITION("Ready", "False", "RolledBack", "n1 failed") "]}}",
	     ROLLOUT_FAILED, "n1 failed"},
	    {"{" SEEN STATUS "'conditions':[" CLI_CONDITION(
		 "Ready", "False", "NodesFailed", "n1") "," CLI_CONDITION("Progressing", "False",
									  "FailureBudgetExceeded",
									  "1 node failed") "]}}",
	     ROLLOUT_FAILED, "1 node failed"},
	    {"{" SEEN STATUS "'conditions':[" CLI_CONDITION(
		 "Ready", "False", "RolloutInProgress",
		 "1 of 3") "," CLI_CONDITION("Progressing", "False", "ProgressDeadlineExceeded",
					     "no node more for 600 s") "]}}",
	     ROLLOUT_FAILED, "no node more for 600 s"},
	    /* Another spec than the one that is judged. */
	    {"{'metadata':{'name':'webapp','generation':3}," STATUS
	     "'conditions':[" CLI_CONDITION("Ready", "False", "InvalidPolicy", "old") "]}}",
	     ROLLOUT_GOING, "waiting for the controller to see the newest change"},
	    {"{'metadata':{'name':'webapp','generation':1}}", ROLLOUT_GOING,
	     "waiting for the controller to see the newest change"},
	    {"{'metadata':{'name':'webapp','generation':2,'deletionTimestamp':'x'}," STATUS
	     "'conditions':[" CLI_CONDITION("Ready", "True", "RolloutComplete", "") "]}}",
	     ROLLOUT_FAILED, "it is being deleted"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *aap = cli_json(cases[i].aap);
		char *why;

		assert_int_equal(rollout_judge(aap, &why), cases[i].verdict);
		assert_string_equal(why, cases[i].why);
		free(why);
		json_object_put(aap);
	}
}

#define NOTES(notes_) "'metadata':{'name':'webapp','generation':2,'annotations':{" notes_ "}},"
#define AGAIN "'hauberk.dev/rollout-restart':'1a2b3c4d5e6f/7'"
#define BACK(restart_)                                                                  \
	STATUS "'rollout':{'revision':'1a2b3c4d5e6f','phase':'RolledBack'" restart_ "}" \
	       ",'conditions':[" CLI_CONDITION("Ready", "False", "RolledBack", "n1 failed") "]}}"

static void what_is_to_start_over_is_not_judged_by_the_try_before(void **state)
{
	const struct {
		const char *aap;
		enum rollout_verdict verdict;
	} cases[] = {
	    {"{" NOTES(AGAIN) BACK(""), ROLLOUT_GOING},
	    {"{" NOTES(AGAIN) BACK(",'restart':'6'"), ROLLOUT_GOING},
	    {"{" NOTES(AGAIN) BACK(",'restart':'7'"), ROLLOUT_FAILED},
	    {"{" NOTES(AGAIN ",'hauberk.dev/rollout-abort':'1a2b3c4d5e6f'") BACK(""),
	     ROLLOUT_FAILED},
	    {"{" NOTES("'hauberk.dev/rollout-restart':'ffffffffffff/7'") BACK(""), ROLLOUT_FAILED},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(js_putp) struct json_object *aap = cli_json(cases[i].aap);
		CLEANUP(mem_freep) char *why = NULL;

		assert_int_equal(rollout_judge(aap, &why), cases[i].verdict);
	}
}

#define TROUBLED                                                                 \
	CLI_CONDITION("Ready", "False", "NodesFailed", "n4: DiskFull: no space") \
	"," CLI_CONDITION("Accepted", "True", "Compiled", "") "]"

static void a_node_with_its_own_trouble_does_not_keep_a_rollout_from_being_complete(void **state)
{
	struct json_object *complete =
	    cli_json("{" SEEN STATUS "'rollout':{'revision':'1a2b3c4d5e6f','phase':'Complete'},"
		     "'conditions':[" TROUBLED "}}");
	struct json_object *former =
	    cli_json("{" SEEN STATUS "'rollout':{'revision':'ffffffffffff','phase':'Complete'},"
		     "'conditions':[" TROUBLED "}}");
	char *why;

	(void)state;
	assert_int_equal(rollout_judge(complete, &why), ROLLOUT_COMPLETE);
	assert_string_equal(why, "n4: DiskFull: no space");
	free(why);
	assert_int_equal(rollout_judge(former, &why), ROLLOUT_GOING);
	free(why);
	json_object_put(complete);
	json_object_put(former);
}

#define STEPS                                                                                     \
	"'spec':{'rollout':{'steps':[{'nodes':1,'soakSeconds':600},{'nodes':'50%','soakSeconds':" \
	"-1}]}},"
#define COUNTS "'desiredNodes':40,'updatedNodes':3,'readyNodes':1,"

static void a_line_says_how_far_it_is_and_what_it_waits_for(void **state)
{
	static const struct {
		const char *aap, *line;
	} cases[] = {
	    {"{" SEEN STATUS "'desiredNodes':40,'updatedNodes':40,'readyNodes':40}}",
	     "40 of 40 nodes hold 1a2b3c4d5e6f"},
	    {"{" SEEN STATUS COUNTS
	     "'failedNodes':1,'unreachableNodes':2,'rollout':{'phase':'Progressing','revision':"
	     "'1a2b3c4d5e6f'}}}",
	     "1 of 40 nodes hold 1a2b3c4d5e6f, 2 told, 1 failed, 2 out of reach"},
	    {"{" SEEN STEPS STATUS COUNTS "'rollout':{'phase':'Progressing','step':{'index':0}}}}",
	     "1 of 40 nodes hold 1a2b3c4d5e6f, 2 told; step 1 of 2"},
	    {"{" SEEN STEPS STATUS COUNTS "'rollout':{'phase':'Soaking','step':{'index':0,'"
	     "startedAt':'2026-01-01T00:00:00Z'}}}}",
	     "1 of 40 nodes hold 1a2b3c4d5e6f, 2 told; step 1 of 2 soaks for 600 s"},
	    {"{" SEEN STEPS STATUS COUNTS "'rollout':{'phase':'Soaking','step':{'index':1,'"
	     "startedAt':'2026-01-01T00:00:00Z'}}}}",
	     "1 of 40 nodes hold 1a2b3c4d5e6f, 2 told; step 2 of 2 waits for: kubectl hauberk "
	     "rollout promote webapp"},
	    {"{" SEEN STEPS STATUS COUNTS "'rollout':{'phase':'Paused','step':{'index':2}}}}",
	     "1 of 40 nodes hold 1a2b3c4d5e6f, 2 told; Paused"},
	    {"{" SEEN STEPS STATUS COUNTS "'rollout':{'phase':'Aborted','step':{'index':1,'"
	     "startedAt':'2026-01-01T00:00:00Z'}}}}",
	     "1 of 40 nodes hold 1a2b3c4d5e6f, 2 told; Aborted"},
	    {"{" SEEN STEPS STATUS COUNTS
	     "'rollout':{'phase':'Failed','step':{'index':1,'startedAt':'2026-01-01T00:00:00Z'}}}}",
	     "1 of 40 nodes hold 1a2b3c4d5e6f, 2 told; step 2 of 2; Failed"},
	    {"{'metadata':{'name':'webapp','generation':3}," STATUS "'readyNodes':1}}",
	     "waiting for the controller to see the newest change"},
	};
	struct rollout_seen seen;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *aap = cli_json(cases[i].aap);
		char *line;

		rollout_see(aap, 0, &seen);
		line = rollout_line(&seen);
		assert_string_equal(line, cases[i].line);
		free(line);
		json_object_put(aap);
	}
}

static char *bar_of(const char *text, int64_t now_ms, size_t width)
{
	struct json_object *aap = cli_json(text);
	struct rollout_seen seen;
	char *bar;

	rollout_see(aap, now_ms, &seen);
	bar = rollout_bar(&seen, width);
	json_object_put(aap);
	return bar;
}

#define SOAKING                                                                          \
	"{" SEEN STEPS STATUS                                                            \
	"'desiredNodes':40,'updatedNodes':20,'readyNodes':10,'failedNodes':1,'rollout':" \
	"{'phase':'Soaking','step':{'index':0,'startedAt':'1970-01-01T00:00:00Z'}}}}"

static void a_bar_shows_those_that_hold_it_and_those_that_were_told(void **state)
{
	char *bar = bar_of(SOAKING, 500000, 200);

	(void)state;
	assert_string_equal(bar, "webapp 1a2b3c4d5e6f [##########++++++++++--------------------] "
				 "10/40, 1 failed, step 1/2, soaking 100 s");
	free(bar);
}

static void a_bar_never_wraps(void **state)
{
	size_t width;

	(void)state;
	for (width = 1; width < 150; width++) {
		char *bar = bar_of(SOAKING, 0, width);

		assert_in_range(strlen(bar), 1, width);
		free(bar);
	}
}

static void a_note_about_another_revision_means_nothing(void **state)
{
	static const struct {
		const char *notes;
		bool paused;
	} cases[] = {
	    {"", false},
	    {"'hauberk.dev/rollout-pause':'1a2b3c4d5e6f'", true},
	    {"'hauberk.dev/rollout-pause':'ffffffffffff'", false},
	    {"'hauberk.dev/rollout-pause':'1a2b3c4d5e6f','hauberk.dev/rollout-resume':"
	     "'1a2b3c4d5e6f'",
	     false},
	    {"'hauberk.dev/rollout-pause':'1a2b3c4d5e6f','hauberk.dev/rollout-resume':"
	     "'ffffffffffff'",
	     true},
	};
	struct rollout_seen seen;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = mem_printf("{'metadata':{'name':'webapp','annotations':{%s}},"
					"'status':{'updateRevision':'1a2b3c4d5e6f'}}",
					cases[i].notes);
		struct json_object *aap = cli_json(text);

		rollout_see(aap, 0, &seen);
		assert_int_equal(rollout_is_paused(&seen), cases[i].paused);
		json_object_put(aap);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_to_start_over_is_not_judged_by_the_try_before),
	    cmocka_unit_test(only_an_end_is_a_verdict),
	    cmocka_unit_test(
		a_node_with_its_own_trouble_does_not_keep_a_rollout_from_being_complete),
	    cmocka_unit_test(a_line_says_how_far_it_is_and_what_it_waits_for),
	    cmocka_unit_test(a_bar_shows_those_that_hold_it_and_those_that_were_told),
	    cmocka_unit_test(a_bar_never_wraps),
	    cmocka_unit_test(a_note_about_another_revision_means_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
