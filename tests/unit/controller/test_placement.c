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
	struct sync_status s = {.state = state,
				.message = (char *)"its words",
				.kernel_mode = (char *)(n > 0 ? "enforce" : ""),
				.hashes = hashes,
				.n_hashes = n};

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
	struct sync_status changed = says(SYNC_STATE_DRIFTED, "", REV, hashes_wrong, 2);
	struct sync_status removed = says(SYNC_STATE_DRIFTED, "", REV, NULL, 0);
#define AGENT .reported = true, .apparmor_enabled = true, .apparmor_reason = "", .has_set = true
#define UNTOLD .reported = true, .apparmor_enabled = true, .apparmor_reason = ""
#define CHOSEN .selected = true, .assigned = REV, .build = &build_ok
	/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): in the order of reading */
	const struct {
		struct placement_facts facts;
		enum node_state state;
		const char *reason;
		bool desired, updated, holds;
	} cases[] = {
	    {{AGENT, CHOSEN, .report = &loaded}, NODE_LOADED, "", true, true, true},
	    {{AGENT, CHOSEN, .report = &wrong}, NODE_FAILED, "VerifyFailed", true, true, true},
	    {{UNTOLD, CHOSEN, .report = &wrong}, NODE_PENDING, "Assigned", true, true, true},
	    {{AGENT, CHOSEN, .report = &childless}, NODE_FAILED, "VerifyFailed", true, true, true},
	    {{AGENT, CHOSEN, .report = &before}, NODE_PENDING, "Assigned", true, true, true},
	    {{AGENT, CHOSEN, .report = &pending}, NODE_PENDING, "Assigned", true, true, false},
	    {{AGENT, CHOSEN, .report = &failed}, NODE_FAILED, "", true, true, false},
	    {{AGENT, CHOSEN, .report = &changed}, NODE_DRIFTED, "Changed", true, true, true},
	    {{AGENT, CHOSEN, .report = &removed}, NODE_DRIFTED, "Changed", true, true, false},
	    {{AGENT, CHOSEN, .waits = true, .report = &changed},
	     NODE_DRIFTED,
	     "Changed",
	     true,
	     false,
	     true},
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

static void a_digest_stands_for_the_list_of_what_was_read_back(void **state)
{
	struct sync_member web[] = {{"web", "aa", "enforce"}, {"web//child", "cc", "enforce"}};
	struct sync_status loaded = says(SYNC_STATE_LOADED, REV, REV, NULL, 0);
	struct build build = build_ok;
	struct placement_facts facts = {AGENT, CHOSEN, .report = &loaded};

	(void)state;
	facts.build = &build;
	sync_family_expect(build.hashes, build.n_hashes, PROFILE_ENFORCE, &build.family);
	sync_family_digest(web, 2, loaded.digest);
	assert_int_equal(placement_judge(&facts).state, NODE_LOADED);
	sync_family_digest(web, 1, loaded.digest);
	assert_string_equal(placement_judge(&facts).reason, "VerifyFailed");
	memcpy(loaded.digest, build.family.sha256, sizeof(loaded.digest));
	assert_int_equal(placement_judge(&facts).state, NODE_LOADED);
	sync_family_expect(build.hashes, build.n_hashes, PROFILE_COMPLAIN, &build.family);
	assert_string_equal(placement_judge(&facts).reason, "VerifyFailed");
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

static void a_nodes_share_in_a_rollout_follows_from_what_it_was_told_and_says(void **state)
{
#define NEW "aaaaaaaaaaaa"
	struct sync_status old = says(SYNC_STATE_LOADED, REV, REV, hashes_sha1, 2);
	struct sync_status loaded = says(SYNC_STATE_LOADED, NEW, NEW, hashes_sha1, 2);
	struct sync_status misread = says(SYNC_STATE_LOADED, NEW, NEW, hashes_wrong, 2);
	struct sync_status moving = says(SYNC_STATE_PENDING, REV, NEW, NULL, 0);
	struct sync_status fresh = says(SYNC_STATE_PENDING, "", NEW, NULL, 0);
	struct sync_status failed = says(SYNC_STATE_FAILED, REV, NEW, NULL, 0);
	struct sync_status conflict = says(SYNC_STATE_FAILED, "", NEW, NULL, 0);
	struct sync_status conflict_old = says(SYNC_STATE_FAILED, "", REV, NULL, 0);
	struct sync_status failed_old = says(SYNC_STATE_FAILED, "", REV, NULL, 0);
	const struct placement_rollout none = {0};
	const struct placement_rollout told = {.target = NEW, .told = true};
	const struct placement_rollout settled = {.target = NEW, .told = true, .settled = true};
	const struct placement_rollout not_told = {.target = NEW};
	const struct placement_rollout joined = {.target = NEW, .joined = true};
#define TOLD AGENT, .selected = true, .assigned = NEW, .build = &build_ok
#define NOT_TOLD AGENT, .selected = true, .assigned = REV, .waits = true, .build = &build_ok
	const struct {
		struct placement_facts facts;
		const struct placement_rollout *rollout;
		enum rollout_class class_;
		bool holds_other, back;
	} cases[] = {
	    {{NOT_TOLD, .report = &old}, &none, ROLLOUT_NONE, false, false},
	    {{AGENT, .report = &old}, &not_told, ROLLOUT_NONE, false, false},
	    {{NOT_TOLD, .report = &old}, &not_told, ROLLOUT_OLD, true, false},
	    {{NOT_TOLD}, &not_told, ROLLOUT_EMPTY, false, false},
	    {{NOT_TOLD, .report = &loaded}, &not_told, ROLLOUT_OLD, false, true},
	    {{NOT_TOLD, .report = &conflict_old}, &not_told, ROLLOUT_TROUBLED, false, false},
	    {{.selected = true}, &not_told, ROLLOUT_UNHEARD, false, false},
	    {{.selected = true}, &joined, ROLLOUT_ABSENT, false, false},
	    {{.selected = true, .away = true}, &not_told, ROLLOUT_NONE, false, false},
	    {{.selected = true, .away = true, .away_ready = true},
	     &not_told,
	     ROLLOUT_ABSENT,
	     false,
	     false},
	    {{TOLD, .report = &moving}, &told, ROLLOUT_MOVING, true, false},
	    {{TOLD, .report = &fresh}, &told, ROLLOUT_MOVING_EMPTY, false, false},
	    {{TOLD, .report = &loaded}, &told, ROLLOUT_SETTLING, false, false},
	    {{TOLD, .report = &loaded}, &settled, ROLLOUT_DONE, false, false},
	    {{TOLD, .report = &failed}, &told, ROLLOUT_FAILED, true, false},
	    {{TOLD, .report = &misread}, &told, ROLLOUT_FAILED, false, false},
	    /* The same words, before its agent has the set. */
	    {{UNTOLD, .selected = true, .assigned = NEW, .build = &build_ok, .report = &misread},
	     &told,
	     ROLLOUT_UNHEARD,
	     false,
	     false},
	    {{AGENT, .selected = true, .assigned = NEW, .report = &failed},
	     &told,
	     ROLLOUT_FAILED,
	     true,
	     false},
	    {{NOT_TOLD, .report = &failed_old}, &not_told, ROLLOUT_OLD, false, false},
	    {{TOLD, .report = &conflict}, &told, ROLLOUT_TROUBLED, false, false},
	    {{TOLD, .report = &loaded, .away = true}, &settled, ROLLOUT_LOST, false, false},
	    {{TOLD, .report = &fresh, .away = true}, &told, ROLLOUT_ABSENT, false, false},
	    {{TOLD, .report = &failed, .away = true}, &told, ROLLOUT_FAILED, true, false},
	};
	size_t i;

	(void)state;
	failed.reason = failed_old.reason = SYNC_REASON_LOAD_FAILED;
	conflict.reason = conflict_old.reason = SYNC_REASON_NAME_CONFLICT;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct placement_share s = placement_share(&cases[i].facts, cases[i].rollout);

		if (s.class_ != cases[i].class_ || s.holds_other != cases[i].holds_other ||
		    s.back != cases[i].back)
			fail_msg("case %zu: class %d, holds other %d, back %d", i, s.class_,
				 s.holds_other, s.back);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_node_is_judged_by_what_it_read_back),
	    cmocka_unit_test(a_digest_stands_for_the_list_of_what_was_read_back),
	    cmocka_unit_test(sums_are_kept_by_difference),
	    cmocka_unit_test(a_nodes_share_in_a_rollout_follows_from_what_it_was_told_and_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
