#include "fake_fleet.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "policy/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CANARY                                                                            \
	",\"rollout\":{\"maxUnavailable\":2,\"steps\":[{\"nodes\":1,\"soakSeconds\":60}," \
	"{\"nodes\":\"50%\",\"soakSeconds\":0}]}"
#define ONE_BY_ONE ",\"rollout\":{\"maxUnavailable\":1}"

static int teardown(void **state)
{
	(void)state;
	fleet_down();
	return 0;
}

static void rev_of(const char *profile, const char *text, char out[PROFILE_REVISION_SIZE])
{
	policy_revision(profile, text, strlen(text), PROFILE_ENFORCE, "test", out);
}

/* Profile "a" with text "x" on `n` nodes, complete; returns its revision. */
static const char *installed(size_t n, const char *rollout)
{
	static char rev[PROFILE_REVISION_SIZE];

	fleet_up(n);
	fleet_apply("a", "x", "");
	fleet_wait(2);
	fleet_apply("a", "x", rollout);
	fleet_wait(2);
	memcpy(rev, fleet_revision("a"), sizeof(rev));
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
	assert_int_equal(fleet_holding("a", rev), n);
	buf_clear(&fleet.told);
	buf_clear(&fleet.events);
	fleet.n_status = 0;
	return rev;
}

static size_t count(const char *text, const char *word)
{
	size_t n = 0;

	while ((text = strstr(text, word))) {
		text += strlen(word);
		n++;
	}
	return n;
}

static void a_first_install_goes_everywhere_at_once(void **state)
{
	(void)state;
	installed(8, "");
	assert_string_equal(fleet_phase("a"), "Complete");
	assert_string_equal(js_str(fleet_status("a"), "currentRevision"), fleet_revision("a"));
}

static void an_update_without_a_word_keeps_to_a_quarter(void **state)
{
	size_t i;

	(void)state;
	installed(8, "");
	for (i = 0; i < 8; i++)
		fleet.agents[i].mute = true;
	fleet_apply("a", "y", "");
	assert_int_equal(count(buf_text(&fleet.told), fleet_revision("a")), 2);
	for (i = 0; i < 8; i++) {
		fleet.agents[i].mute = false;
		fleet_report(&fleet.agents[i]);
	}
	fleet_wait(2);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 8);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

static void a_canary_soaks_then_half_then_the_rest(void **state)
{
	(void)state;
	installed(8, CANARY);
	fleet_apply("a", "y", CANARY);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 1);
	fleet_wait(2);
	assert_string_equal(fleet_phase("a"), "Soaking");
	assert_string_equal(js_str(fleet_status("a"), "step"), "1/2");
	assert_string_equal(fleet_ready("a"), "RolloutInProgress");
	fleet_wait(57);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 1);
	fleet_wait(3);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 8);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
	assert_string_equal(buf_text(&fleet.events), "StepSoaking RolloutComplete ");
	assert_true(fleet.n_status <= 4);
}

static void a_pause_and_an_edit_in_the_middle(void **state)
{
	char y[PROFILE_REVISION_SIZE];

	(void)state;
	installed(8, CANARY);
	fleet_apply("a", "y", CANARY);
	memcpy(y, fleet_revision("a"), sizeof(y));
	fleet_annotate("a", ROLLOUT_PAUSE_ANNOTATION, y);
	fleet_wait(100);
	assert_int_equal(fleet_holding("a", y), 1);
	assert_string_equal(fleet_ready("a"), "RolloutPaused");
	assert_string_equal(fleet_condition("a", "Progressing", "reason"), "Paused");
	assert_string_equal(fleet_condition("a", "Stalled", "status"), "False");
	/* An edit: the annotation names another revision, so it has expired, and all starts over.
	 */
	fleet_apply("a", "z", CANARY);
	fleet_annotate("a", ROLLOUT_PAUSE_ANNOTATION, fleet_revision("a"));
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 1);
	fleet_wait(100);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 1);
	fleet_annotate("a", ROLLOUT_RESUME_ANNOTATION, fleet_revision("a"));
	fleet_wait(70);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 8);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

static void a_step_that_waits_is_promoted(void **state)
{
	const char *steps = ",\"rollout\":{\"steps\":[{\"nodes\":1,\"soakSeconds\":-1}]}";
	char wish[64];

	(void)state;
	installed(6, steps);
	fleet_apply("a", "y", steps);
	fleet_wait(5000);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 1);
	assert_string_equal(fleet_condition("a", "Stalled", "status"), "False");
	snprintf(wish, sizeof(wish), "%s/1", fleet_revision("a"));
	fleet_annotate("a", ROLLOUT_PROMOTE_ANNOTATION, wish);
	fleet_wait(2);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 6);
}

static void an_abort_puts_back_those_who_were_told_the_latest_first(void **state)
{
	const char *x = installed(8, ONE_BY_ONE);
	CLEANUP(mem_freep) char *order = NULL;
	char first[8], second[8], back[64];
	size_t i;

	(void)state;
	for (i = 0; i < 8; i++)
		fleet.agents[i].mute = true;
	fleet_apply("a", "y", ",\"rollout\":{\"maxUnavailable\":2}");
	order = mem_strdup(buf_text(&fleet.told));
	assert_int_equal(count(order, fleet_revision("a")), 2);
	sscanf(order, "%7[^=]=%*s %7[^=]=", first, second);
	buf_clear(&fleet.told);
	fleet_annotate("a", ROLLOUT_ABORT_ANNOTATION, fleet_revision("a"));
	for (i = 0; i < 8; i++) {
		fleet.agents[i].mute = false;
		fleet_report(&fleet.agents[i]);
	}
	fleet_wait(2);
	snprintf(back, sizeof(back), "%s=%s", second, x);
	assert_int_equal(fleet_holding("a", x), 8);
	assert_non_null(strstr(buf_text(&fleet.told), back));
	assert_string_equal(fleet_phase("a"), "Aborted");
	assert_string_equal(fleet_ready("a"), "RolledBack");
	assert_string_equal(fleet_condition("a", "Stalled", "status"), "True");
	assert_string_equal(js_str(fleet_status("a"), "currentRevision"), x);
}

/* Every node would fail to load the new revision. */
static void make_bad(const char *text)
{
	size_t i;

	for (i = 0; i < fleet.n; i++)
		rev_of("a", text, fleet.agents[i].bad);
}

static void a_failing_canary_stops_it_and_touches_nobody_else(void **state)
{
	(void)state;
	installed(8, CANARY);
	make_bad("y");
	fleet_apply("a", "y", CANARY);
	fleet_wait(1000);
	assert_int_equal(count(buf_text(&fleet.told), fleet_revision("a")), 1);
	assert_string_equal(fleet_phase("a"), "Failed");
	assert_string_equal(fleet_ready("a"), "NodesFailed");
	assert_string_equal(fleet_condition("a", "Progressing", "reason"), "FailureBudgetExceeded");
	assert_string_equal(fleet_condition("a", "Stalled", "reason"), "FailureBudgetExceeded");
	assert_non_null(strstr(fleet_condition("a", "Ready", "message"), "no such luck"));
}

/* What it goes back to has to be read first, and the API server has other things to do. */
static void nobody_has_gone_back_before_it_is_known_to_what(void **state)
{
	CLEANUP(mem_freep) char *y = NULL;

	(void)state;
	installed(8, CANARY);
	fleet_apply("a", "y", CANARY);
	fleet_wait(20);
	y = mem_strdup(fleet_revision("a"));
	assert_int_equal(fleet_holding("a", y), 1);
	fleet.unreadable = true;
	fleet_kill_controller();
	fleet_wait(10);
	fleet_annotate("a", ROLLOUT_ABORT_ANNOTATION, y);
	fleet_wait(60);
	assert_int_equal(fleet_holding("a", y), 1);
	assert_string_equal(fleet_phase("a"), "RollingBack");
	fleet.unreadable = false;
	fleet_wait(120);
	assert_int_equal(fleet_holding("a", y), 0);
	assert_string_equal(fleet_phase("a"), "Aborted");
}

/* However many there are, status keeps up with them. */
static void steps_are_no_news_to_be_rationed(void **state)
{
	enum { STEPS = 30 };
	struct buf rollout = BUF_INIT(4096);
	int i;

	(void)state;
	buf_add_str(&rollout, ",\"rollout\":{\"maxUnavailable\":1,\"steps\":[");
	for (i = 1; i <= STEPS; i++)
		buf_addf(&rollout, "%s{\"nodes\":%d,\"soakSeconds\":1}", i == 1 ? "" : ",", i);
	buf_add_str(&rollout, "]}");
	installed(STEPS + 1, buf_text(&rollout));
	fleet_apply("a", "y", buf_text(&rollout));
	fleet_wait(1);
	for (i = 0; i < 4 * STEPS && strcmp(fleet_phase("a"), "Complete") != 0; i++) {
		size_t held = fleet_holding("a", fleet_revision("a"));

		assert_true(js_i64(fleet_status("a"), "rollout.step.index", 0) + 3 >=
			    (int64_t)held);
		fleet_wait(1);
	}
	assert_int_equal(fleet_holding("a", fleet_revision("a")), STEPS + 1);
	assert_string_equal(fleet_phase("a"), "Complete");
	buf_clear(&rollout);
}

#define ROLLBACK ",\"rollout\":{\"onFailure\":\"Rollback\",\"steps\":[{\"nodes\":1}]}"

static void a_failing_canary_is_put_back_and_named(void **state)
{
	const char *x = installed(8, ROLLBACK);
	CLEANUP(mem_freep) char *canary = NULL;
	char y[PROFILE_REVISION_SIZE], wish[64];

	(void)state;
	make_bad("y");
	fleet_apply("a", "y", ROLLBACK);
	memcpy(y, fleet_revision("a"), sizeof(y));
	fleet_wait(1000);
	assert_int_equal(count(buf_text(&fleet.told), y), 1);
	assert_int_equal(count(buf_text(&fleet.told), x), 1);
	canary = mem_strndup(buf_text(&fleet.told), 2);
	assert_string_equal(fleet_phase("a"), "RolledBack");
	assert_string_equal(fleet_ready("a"), "RolledBack");
	assert_non_null(strstr(fleet_condition("a", "Ready", "message"), canary));
	assert_non_null(strstr(fleet_condition("a", "Ready", "message"), "no such luck"));
	/* It is not tried again, not even by a new leader, who can still say why … */
	fleet_kill_controller();
	fleet_wait(1000);
	assert_int_equal(count(buf_text(&fleet.told), y), 1);
	assert_non_null(strstr(fleet_condition("a", "Ready", "message"), "no such luck"));
	/* … until somebody says so. */
	make_bad("nothing");
	snprintf(wish, sizeof(wish), "%s/1", y);
	fleet_annotate("a", ROLLOUT_RESTART_ANNOTATION, wish);
	fleet_wait(2);
	assert_int_equal(fleet_holding("a", y), 8);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

static void a_failed_node_is_tried_again_by_a_restart(void **state)
{
	char wish[64];

	(void)state;
	installed(4, ONE_BY_ONE);
	make_bad("y");
	fleet_apply("a", "y", ONE_BY_ONE);
	fleet_wait(2);
	assert_string_equal(fleet_phase("a"), "Failed");
	make_bad("nothing");
	snprintf(wish, sizeof(wish), "%s/1", fleet_revision("a"));
	fleet_annotate("a", ROLLOUT_RESTART_ANNOTATION, wish);
	fleet_wait(2);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 4);
}

static void a_first_text_that_no_kernel_takes_makes_room_for_the_next(void **state)
{
	(void)state;
	fleet_up(4);
	make_bad("y");
	fleet_apply("a", "y", "");
	fleet_wait(2);
	assert_string_equal(fleet_ready("a"), "NodesFailed");
	fleet_apply("a", "x", "");
	fleet_wait(2);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 4);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

static void failed_nodes_are_named_in_order_by_whoever_leads(void **state)
{
	const char *message;

	(void)state;
	fleet_up(9);
	make_bad("y");
	fleet_apply("a", "y", "");
	fleet_wait(2);
	message = fleet_condition("a", "Ready", "message");
	assert_non_null(strstr(message, "n0: LoadFailed: no such luck; n1: LoadFailed: no such "
					"luck; n2: LoadFailed: no such luck; and 6 more nodes"));
}

static void an_edit_back_reaches_those_who_failed_meanwhile(void **state)
{
	(void)state;
	installed(4, ONE_BY_ONE);
	make_bad("y");
	fleet_apply("a", "y", ONE_BY_ONE);
	fleet_wait(2);
	assert_string_equal(fleet_ready("a"), "NodesFailed");
	fleet_apply("a", "x", ONE_BY_ONE);
	fleet_wait(2);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

/* Whenever the controller is killed, all nodes come to hold the new revision, by the same steps,
 * and nobody is told anything twice. */
static void a_takeover_goes_on_where_the_former_leader_was(void **state)
{
	int64_t kill_s;

	(void)state;
	for (kill_s = 0; kill_s < 70; kill_s += 7) {
		installed(8, CANARY);
		fleet_apply("a", "y", CANARY);
		fleet_wait(kill_s);
		fleet_kill_controller();
		if (kill_s < 60)
			assert_int_equal(fleet_holding("a", fleet_revision("a")), 1);
		fleet_wait(58 - kill_s);
		assert_int_equal(fleet_holding("a", fleet_revision("a")), kill_s < 60 ? 1 : 8);
		fleet_wait(kill_s == 0 ? 70 : 5);
		assert_int_equal(fleet_holding("a", fleet_revision("a")), 8);
		assert_string_equal(fleet_ready("a"), "RolloutComplete");
		assert_int_equal(count(buf_text(&fleet.told), "="), 8);
		if (kill_s < 63)
			fleet_down();
	}
}

static void a_takeover_counts_who_was_told_and_is_silent(void **state)
{
	struct fleet_agent *canary;
	char name[4];

	(void)state;
	installed(4, ONE_BY_ONE);
	fleet.agents[0].mute = fleet.agents[1].mute = fleet.agents[2].mute = fleet.agents[3].mute =
	    true;
	fleet_apply("a", "y", ONE_BY_ONE);
	fleet_wait(3);
	snprintf(name, sizeof(name), "%.2s", buf_text(&fleet.told));
	canary = fleet_agent(name);
	canary->away = true;
	fleet.agents[0].mute = fleet.agents[1].mute = fleet.agents[2].mute = fleet.agents[3].mute =
	    false;
	fleet_kill_controller();
	fleet_wait(400);
	/* It may hold the new revision, so it has the only place there is. */
	assert_int_equal(count(buf_text(&fleet.told), "="), 1);
	canary->away = false;
	fleet_report(canary);
	fleet_wait(20);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 4);
}

static size_t nodes_told_something(void)
{
	size_t n = 0, i;

	for (i = 0; i < fleet.n; i++)
		n += fleet.agents[i].n_items == 1;
	return n;
}

/* Another compiler makes another revision of the same text, and what nodes hold is no longer known.
 * Those that wait for their turn keep it, in their sets too, from which they load when they boot.
 */
static void a_new_compiler_takes_nothing_from_nodes_that_wait(void **state)
{
	const char *x = installed(4, ONE_BY_ONE);
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		fleet.agents[i].mute = true;
	fleet.compiler = "newer";
	fleet_kill_controller();
	fleet_wait(30);
	assert_string_not_equal(fleet_revision("a"), x);
	assert_int_equal(fleet_holding("a", x), 4);
	assert_int_equal(nodes_told_something(), 4);
	assert_int_equal(count(buf_text(&fleet.told), fleet_revision("a")), 1);
	for (i = 0; i < 4; i++)
		fleet.agents[i].mute = false;
	for (i = 0; i < 4; i++)
		fleet_report(&fleet.agents[i]);
	fleet_wait(30);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 4);
}

static void a_node_that_joins_in_mid_rollout_gets_the_current_revision(void **state)
{
	const char *x = installed(4, CANARY);

	(void)state;
	fleet_apply("a", "y", CANARY);
	fleet_join("n9", "");
	fleet_report(fleet_agent("n9"));
	fleet_settle();
	assert_string_equal(map_get(&fleet_agent("n9")->holds, "a"), x);
	/* Also one that joins when the controller has just been started. */
	fleet_kill_controller();
	fleet_join("n8", "");
	fleet_report(fleet_agent("n8"));
	fleet_settle();
	assert_string_equal(map_get(&fleet_agent("n8")->holds, "a"), x);
	fleet_wait(70);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 6);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

static void a_node_half_way_keeps_what_it_has_until_its_turn(void **state)
{
	const char *paused = ",\"rollout\":{\"paused\":true}";
	char y[PROFILE_REVISION_SIZE];
	const char *x = installed(4, CANARY);

	(void)state;
	fleet_apply("a", "y", CANARY);
	memcpy(y, fleet_revision("a"), sizeof(y));
	fleet_apply("a", "z", paused);
	fleet_wait(3);
	buf_clear(&fleet.told);
	/* Also under a new leader, who has to read back what it was told. */
	fleet_kill_controller();
	fleet_wait(20);
	assert_string_equal(buf_text(&fleet.told), "");
	assert_int_equal(fleet_holding("a", x), 3);
	assert_int_equal(fleet_holding("a", y), 1);
	fleet_apply("a", "z", ONE_BY_ONE);
	fleet_wait(2);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 4);
}

static void a_revision_that_cannot_be_read_back_holds_up_nobody(void **state)
{
	(void)state;
	installed(4, CANARY);
	fleet_apply("a", "y", CANARY);
	map_clear(&fleet.revisions, free);
	fleet_kill_controller();
	fleet_wait(100);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 4);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

static void an_edit_back_compiles_nothing(void **state)
{
	const char *x = installed(6, CANARY);
	int compiled;

	(void)state;
	fleet_apply("a", "y", CANARY);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 1);
	compiled = fleet.n_compiled;
	fleet_apply("a", "x", CANARY);
	fleet_wait(2);
	assert_int_equal(fleet.n_compiled, compiled);
	assert_int_equal(fleet_holding("a", x), 6);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

static void a_refused_text_stops_no_rollout(void **state)
{
	char y[PROFILE_REVISION_SIZE];

	(void)state;
	installed(6, CANARY);
	fleet_apply("a", "y", CANARY);
	memcpy(y, fleet_revision("a"), sizeof(y));
	fleet_apply("a", "broken", CANARY);
	fleet_wait(70);
	assert_string_equal(fleet_ready("a"), "InvalidPolicy");
	assert_int_equal(fleet_holding("a", y), 6);
	assert_string_equal(js_str(fleet_status("a"), "currentRevision"), y);
}

static void two_profiles_roll_out_side_by_side(void **state)
{
	(void)state;
	installed(8, ONE_BY_ONE);
	fleet_apply("b", "x", CANARY);
	fleet_apply("c", "x", ONE_BY_ONE);
	fleet_wait(70);
	make_bad("y");
	fleet_apply("a", "y", ONE_BY_ONE);
	fleet_apply("b", "y", CANARY);
	fleet_apply("c", "y", ONE_BY_ONE);
	fleet_wait(2);
	assert_string_equal(fleet_phase("a"), "Failed");
	assert_int_equal(fleet_holding("b", fleet_revision("b")), 1);
	assert_int_equal(fleet_holding("c", fleet_revision("c")), 8);
	fleet_wait(70);
	assert_int_equal(fleet_holding("b", fleet_revision("b")), 8);
}

static void a_nodes_own_trouble_holds_up_nobody(void **state)
{
	const char *x;

	(void)state;
	x = installed(8, ONE_BY_ONE);
	fleet.agents[0].trouble = SYNC_REASON_NAME_CONFLICT;
	fleet.agents[1].trouble = SYNC_REASON_DISK_FULL;
	fleet.agents[2].no_apparmor = true;
	fleet_report(&fleet.agents[2]);
	fleet_apply("a", "y", ONE_BY_ONE);
	fleet_wait(2);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 5);
	assert_string_equal(js_str(fleet_status("a"), "currentRevision"), fleet_revision("a"));
	assert_string_equal(fleet_ready("a"), "NodesFailed");
	assert_string_equal(fleet_condition("a", "Stalled", "status"), "False");
	assert_int_equal(js_i64(fleet_status("a"), "unsupportedNodes", 0), 1);
	assert_string_not_equal(x, fleet_revision("a"));
	fleet.agents[0].trouble = fleet.agents[1].trouble = SYNC_REASON_NONE;
	fleet_report(&fleet.agents[0]);
	fleet_report(&fleet.agents[1]);
	fleet_wait(2);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

static void min_ready_seconds_are_waited_for(void **state)
{
	const char *slow = ",\"rollout\":{\"maxUnavailable\":1,\"minReadySeconds\":30}";

	(void)state;
	installed(3, slow);
	fleet_apply("a", "y", slow);
	fleet_wait(29);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 1);
	fleet_wait(30);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 2);
	/* The third is loaded, and not yet proved. */
	fleet_wait(15);
	assert_int_equal(fleet_holding("a", fleet_revision("a")), 3);
	assert_string_equal(fleet_ready("a"), "RolloutInProgress");
	fleet_wait(30);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

static void agents_that_all_went_away_and_came_back_are_missed_again(void **state)
{
	size_t i, times;

	(void)state;
	installed(2, "");
	for (times = 0; times < 2; times++) {
		for (i = 0; i < 2; i++)
			fleet.agents[i].away = true;
		fleet_wait(200);
		assert_string_equal(fleet_ready("a"), "RolloutInProgress");
		for (i = 0; i < 2; i++) {
			fleet.agents[i].away = false;
			fleet_report(&fleet.agents[i]);
		}
		fleet_wait(10);
		assert_string_equal(fleet_ready("a"), "RolloutComplete");
	}
}

static void a_rollout_that_hangs_is_reported(void **state)
{
	size_t i;

	(void)state;
	installed(4, ONE_BY_ONE);
	for (i = 0; i < 4; i++)
		fleet.agents[i].mute = true;
	fleet_apply("a", "y", ONE_BY_ONE);
	fleet_wait(590);
	assert_string_equal(fleet_condition("a", "Stalled", "status"), "False");
	fleet_wait(20);
	assert_string_equal(fleet_condition("a", "Progressing", "reason"),
			    "ProgressDeadlineExceeded");
	assert_string_equal(fleet_condition("a", "Stalled", "reason"), "ProgressDeadlineExceeded");
	/* It rolls nothing back, and goes on when it can. */
	for (i = 0; i < 4; i++)
		fleet.agents[i].mute = false;
	fleet_wait(61);
	assert_string_equal(fleet_ready("a"), "RolloutComplete");
}

int main(void)
{
#define T(f_) cmocka_unit_test_teardown(f_, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_first_install_goes_everywhere_at_once),
	    T(an_update_without_a_word_keeps_to_a_quarter),
	    T(a_canary_soaks_then_half_then_the_rest),
	    T(a_pause_and_an_edit_in_the_middle),
	    T(a_step_that_waits_is_promoted),
	    T(an_abort_puts_back_those_who_were_told_the_latest_first),
	    T(a_failing_canary_stops_it_and_touches_nobody_else),
	    T(nobody_has_gone_back_before_it_is_known_to_what),
	    T(steps_are_no_news_to_be_rationed),
	    T(a_failing_canary_is_put_back_and_named),
	    T(a_failed_node_is_tried_again_by_a_restart),
	    T(a_first_text_that_no_kernel_takes_makes_room_for_the_next),
	    T(failed_nodes_are_named_in_order_by_whoever_leads),
	    T(an_edit_back_reaches_those_who_failed_meanwhile),
	    T(a_takeover_goes_on_where_the_former_leader_was),
	    T(a_takeover_counts_who_was_told_and_is_silent),
	    T(a_new_compiler_takes_nothing_from_nodes_that_wait),
	    T(a_node_that_joins_in_mid_rollout_gets_the_current_revision),
	    T(a_node_half_way_keeps_what_it_has_until_its_turn),
	    T(a_revision_that_cannot_be_read_back_holds_up_nobody),
	    T(an_edit_back_compiles_nothing),
	    T(a_refused_text_stops_no_rollout),
	    T(two_profiles_roll_out_side_by_side),
	    T(a_nodes_own_trouble_holds_up_nobody),
	    T(min_ready_seconds_are_waited_for),
	    T(agents_that_all_went_away_and_came_back_are_missed_again),
	    T(a_rollout_that_hangs_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
