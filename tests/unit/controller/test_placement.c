#include "controller/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define REV "0123456789ab"

static struct sync_hash hashes_expected[] = {
    {(char *)"web", "aa", "bb"},
    {(char *)"web//child", "cc", "dd"},
};
static struct sync_hash hashes_sha1[] = {
    {(char *)"web//child", "cc", ""},
    {(char *)"web", "aa", ""},
};
static struct sync_hash hashes_wrong[] = {
    {(char *)"web", "", "bb"},
    {(char *)"web//child", "", "xx"},
};
static struct build build_ok = {
    .state = BUILD_OK, .message = (char *)"", .hashes = hashes_expected, .n_hashes = 2};
static struct build build_bad = {.state = BUILD_FAILED, .message = (char *)"line 3: no"};
static struct build build_forbidden = {
    .state = BUILD_FAILED, .forbidden = true, .message = (char *)"no"};
static struct build build_waiting = {.state = BUILD_WAITING};

static struct sync_status says(enum sync_state state, const char *revision, const char *target,
			       struct sync_hash *hashes, size_t n)
{
	struct sync_status s = {
	    .state = state, .message = (char *)"its words", .hashes = hashes, .n_hashes = n};

	strcpy(s.revision, revision);
	strcpy(s.target, target);
	return s;
}

static void a_node_is_judged_by_what_it_read_back(void **state)
{
	struct sync_status loaded = says(SYNC_STATE_LOADED, REV, REV, hashes_sha1, 2);
	struct sync_status wrong = says(SYNC_STATE_LOADED, REV, REV, hashes_wrong, 2);
	struct sync_status childless = says(SYNC_STATE_LOADED, REV, REV, hashes_expected, 1);
	struct sync_status before =
	    says(SYNC_STATE_LOADED, "ffffffffffff", "ffffffffffff", hashes_expected, 2);
	struct sync_status pending = says(SYNC_STATE_PENDING, "", REV, NULL, 0);
	struct sync_status failed = says(SYNC_STATE_FAILED, "", REV, NULL, 0);
	struct sync_status orphan = says(SYNC_STATE_ORPHAN, REV, "", NULL, 0);
	struct sync_status draining = says(SYNC_STATE_DRAINING, REV, "", NULL, 0);
	struct sync_status absent = says(SYNC_STATE_ABSENT, "", "", NULL, 0);
#define AGENT .reported = true, .apparmor_enabled = true, .apparmor_reason = ""
#define CHOSEN .selected = true, .assigned = REV, .build = &build_ok
	const struct {
		struct placement_facts facts;
		enum node_state state;
		const char *reason;
		bool desired, updated, holds;
	} cases[] = {
	    {{AGENT, CHOSEN, .report = &loaded}, NODE_LOADED, "", true, true, true},
	    {{AGENT, CHOSEN, .report = &wrong}, NODE_FAILED, "VerifyFailed", true, true, true},
	    {{AGENT, CHOSEN, .report = &childless}, NODE_FAILED, "VerifyFailed", true, true, true},
	    {{AGENT, CHOSEN, .report = &before}, NODE_PENDING, "Assigned", true, true, true},
	    {{AGENT, CHOSEN, .report = &pending}, NODE_PENDING, "Assigned", true, true, false},
	    {{AGENT, CHOSEN, .report = &failed}, NODE_FAILED, "", true, true, false},
	    {{AGENT, CHOSEN}, NODE_PENDING, "Assigned", true, true, false},
	    {{AGENT, .selected = true}, NODE_PENDING, "Compiling", true, false, false},
	    {{AGENT, .selected = true, .assigned = REV, .build = &build_waiting},
	     NODE_PENDING,
	     "Compiling",
	     true,
	     false,
	     false},
	    {{AGENT, .selected = true, .assigned = REV, .build = &build_bad},
	     NODE_FAILED,
	     "ParseError",
	     true,
	     false,
	     false},
	    {{AGENT, .selected = true, .assigned = REV, .build = &build_forbidden},
	     NODE_FAILED,
	     "ForbiddenPolicy",
	     true,
	     false,
	     false},
	    {{AGENT, CHOSEN, .features_reason = "TooManyFeatureSets", .features_message = ""},
	     NODE_FAILED,
	     "TooManyFeatureSets",
	     true,
	     true,
	     false},
	    {{CHOSEN}, NODE_PENDING, "WaitingForAgent", true, true, true},
	    {{AGENT, CHOSEN, .away = true, .away_ready = true, .report = &loaded},
	     NODE_PENDING,
	     "AgentAway",
	     true,
	     true,
	     true},
	    {{AGENT, CHOSEN, .away = true, .report = &loaded},
	     NODE_UNREACHABLE,
	     "NodeNotReady",
	     false,
	     false,
	     true},
	    {{.reported = true, CHOSEN, .apparmor_reason = "off"},
	     NODE_UNSUPPORTED,
	     "AppArmorOff",
	     false,
	     false,
	     false},
	    {{AGENT}, NODE_GONE, "", false, false, false},
	    {{AGENT, .report = &absent}, NODE_GONE, "", false, false, false},
	    {{AGENT, .report = &loaded}, NODE_DRAINING, "Removing", false, false, true},
	    {{AGENT, .report = &orphan}, NODE_DRAINING, "Removing", false, false, true},
	    {{AGENT, .report = &draining}, NODE_DRAINING, "InUse", false, false, true},
	    {{.reported = false}, NODE_GONE, "", false, false, true},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct placement_state s = placement_judge(&cases[i].facts);

		if (s.state != cases[i].state || strcmp(s.reason, cases[i].reason) != 0 ||
		    s.desired != cases[i].desired || s.updated != cases[i].updated ||
		    s.holds != cases[i].holds)
			fail_msg("case %zu: %s %s desired %d updated %d holds %d", i,
				 node_state_name(s.state), s.reason, s.desired, s.updated, s.holds);
	}
}

static void sums_are_kept_by_difference(void **state)
{
	struct placement_state loaded = {
	    .state = NODE_LOADED, .reason = "", .desired = true, .updated = true};
	struct placement_state failed = {
	    .state = NODE_FAILED, .reason = "LoadFailed", .desired = true};
	struct placement_state waiting = {
	    .state = NODE_PENDING, .reason = "WaitingForAgent", .desired = true};
	struct placement_counts c = {0}, zero = {0};

	(void)state;
	placement_count(&c, &loaded, 1);
	placement_count(&c, &failed, 1);
	placement_count(&c, &waiting, 1);
	assert_int_equal(c.desired, 3);
	assert_int_equal(c.updated, 1);
	assert_int_equal(c.ready, 1);
	assert_int_equal(c.failed, 1);
	assert_int_equal(c.awaited, 1);
	placement_count(&c, &loaded, -1);
	placement_count(&c, &failed, -1);
	placement_count(&c, &waiting, -1);
	assert_memory_equal(&c, &zero, sizeof(c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_node_is_judged_by_what_it_read_back),
	    cmocka_unit_test(sums_are_kept_by_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
