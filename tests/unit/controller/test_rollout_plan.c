#include "controller/rollout_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TARGET "222222222222"
#define CURRENT "111111111111"

enum { START_MS = 1000000, SECOND_MS = 1000 };

/* A profile's rollout, and the plan of it. */
struct world {
	struct rollout_spec spec;
	struct rollout_wish wish;
	struct rollout_state state;
	struct rollout_facts f;
	struct rollout_plan plan;
};

/* An update of so many nodes that hold the current revision. */
static struct world an_update_of(int64_t nodes)
{
	return (struct world){
	    .spec = rollout_spec_default,
	    .f = {.target = TARGET,
		  .current = CURRENT,
		  .counts = {[ROLLOUT_OLD] = nodes},
		  .holding_other = nodes,
		  .next_settled_ms = INT64_MAX,
		  .now_ms = START_MS},
	};
}

/* The same with a first step of `canaries` that soaks, and one of half of the nodes. */
static struct world a_stepped_update_of(int64_t nodes, int64_t canaries, int64_t soak_s)
{
	struct world w = an_update_of(nodes);

	w.spec.n_steps = 2;
	w.spec.steps[0] = (struct rollout_step){.nodes = {canaries, false}, .soak_s = soak_s};
	w.spec.steps[1] = (struct rollout_step){.nodes = {50, true}, .soak_s = 0};
	return w;
}

static void plan_it(struct world *w)
{
	int i;

	w->f.desired = 0;
	for (i = ROLLOUT_OLD; i < ROLLOUT_CLASS_COUNT; i++)
		w->f.desired += w->f.counts[i];
	w->f.spec = &w->spec;
	w->f.wish = &w->wish;
	w->f.state = &w->state;
	w->plan = rollout_plan(&w->f);
	w->state = w->plan.state;
	assert_true(w->plan.next_ms > w->f.now_ms);
	assert_true(w->plan.grant >= 0 && w->plan.grant_empty >= 0);
	assert_true(w->plan.grant <= w->f.counts[ROLLOUT_OLD]);
	assert_true(w->plan.grant_empty <= w->f.counts[ROLLOUT_EMPTY]);
}

static void move(struct world *w, enum rollout_class from, enum rollout_class to, int64_t n)
{
	w->f.counts[from] -= n;
	w->f.counts[to] += n;
	assert_true(w->f.counts[from] >= 0);
}

/* Carry out what the plan grants. */
static void tell(struct world *w)
{
	move(w, ROLLOUT_OLD, ROLLOUT_MOVING, w->plan.grant);
	move(w, ROLLOUT_EMPTY, ROLLOUT_MOVING_EMPTY, w->plan.grant_empty);
}

static void plan_and_tell(struct world *w)
{
	plan_it(w);
	tell(w);
}

static void pass_time(struct world *w, int64_t seconds)
{
	w->f.now_ms += seconds * SECOND_MS;
	plan_it(w);
}

/* What status.rollout does not keep is gone, and nobody was heard of. */
static void take_over(struct world *w)
{
	w->state.progress_ms = w->state.done = w->state.desired = 0;
	w->state.aborted = false;
}

static void assert_phase(const struct world *w, enum rollout_phase phase)
{
	assert_string_equal(rollout_phase_name(w->state.phase), rollout_phase_name(phase));
}

static void phases_have_names_that_read_back(void **state)
{
	enum rollout_phase phase;
	int i;

	(void)state;
	for (i = 0; i < ROLLOUT_PHASE_COUNT; i++) {
		assert_true(rollout_phase_parse(rollout_phase_name((enum rollout_phase)i), &phase));
		assert_int_equal(phase, i);
	}
	assert_false(rollout_phase_parse("Rollin", &phase));
	assert_false(rollout_phase_parse("", &phase));
	assert_false(rollout_phase_parse(NULL, &phase));
}

static void the_budget_bounds_nodes_that_are_told_and_not_confirmed(void **state)
{
	static const struct {
		const char *what;
		struct rollout_amount max_unavailable;
		int64_t counts[ROLLOUT_CLASS_COUNT];
		int64_t told_unheard, grant;
	} cases[] = {
	    {"a number", {3, false}, {[ROLLOUT_OLD] = 10}, 0, 3},
	    {"a share is rounded up", {25, true}, {[ROLLOUT_OLD] = 10}, 0, 3},
	    {"one at least", {1, true}, {[ROLLOUT_OLD] = 10}, 0, 1},
	    {"more than there are", {50, false}, {[ROLLOUT_OLD] = 10}, 0, 10},
	    {"all", {100, true}, {[ROLLOUT_OLD] = 10}, 0, 10},
	    {"moving", {3, false}, {[ROLLOUT_OLD] = 8, [ROLLOUT_MOVING] = 2}, 0, 1},
	    {"settling", {3, false}, {[ROLLOUT_OLD] = 8, [ROLLOUT_SETTLING] = 2}, 0, 1},
	    {"told, then away", {3, false}, {[ROLLOUT_OLD] = 8, [ROLLOUT_LOST] = 2}, 0, 1},
	    {"not heard of", {3, false}, {[ROLLOUT_OLD] = 8, [ROLLOUT_UNHEARD] = 2}, 0, 1},
	    {"never heard of, and told", {3, false}, {[ROLLOUT_OLD] = 10}, 2, 1},
	    {"some away, some not", {3, false}, {[ROLLOUT_OLD] = 8, [ROLLOUT_UNHEARD] = 1}, 1, 1},
	    {"done", {3, false}, {[ROLLOUT_OLD] = 8, [ROLLOUT_DONE] = 2}, 0, 3},
	    {"in trouble", {3, false}, {[ROLLOUT_OLD] = 8, [ROLLOUT_TROUBLED] = 2}, 0, 3},
	    {"away, not told", {3, false}, {[ROLLOUT_OLD] = 8, [ROLLOUT_ABSENT] = 2}, 0, 3},
	    {"installing", {3, false}, {[ROLLOUT_OLD] = 8, [ROLLOUT_MOVING_EMPTY] = 2}, 0, 3},
	    {"spent", {2, false}, {[ROLLOUT_OLD] = 6, [ROLLOUT_MOVING] = 4}, 0, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w = an_update_of(0);

		w.spec.max_unavailable = cases[i].max_unavailable;
		memcpy(w.f.counts, cases[i].counts, sizeof(w.f.counts));
		w.f.told_unheard = cases[i].told_unheard;
		plan_it(&w);
		if (w.plan.grant != cases[i].grant)
			fail_msg("%s: %lld", cases[i].what, (long long)w.plan.grant);
		assert_phase(&w, ROLLOUT_PROGRESSING);
	}
}

static void failed_nodes_go_on_consuming_the_budget(void **state)
{
	struct world w = an_update_of(8);

	(void)state;
	w.spec.max_unavailable = w.spec.max_failed = (struct rollout_amount){3, false};
	w.f.counts[ROLLOUT_FAILED] = 2;
	plan_it(&w);
	assert_int_equal(w.plan.grant, 1);
	assert_false(w.plan.stopped);
}

static void an_update_of_which_the_user_said_nothing_knows_a_budget(void **state)
{
	struct world w = an_update_of(10);

	(void)state;
	plan_it(&w);
	w.f.spec = NULL;
	w.state = (struct rollout_state){0};
	w.plan = rollout_plan(&w.f);
	assert_int_equal(w.plan.grant, 3);
	assert_true(w.plan.by_zone);
}

static void a_first_installation_goes_to_all_nodes_at_once(void **state)
{
	struct world w = an_update_of(0);

	(void)state;
	w.f.current = "";
	w.f.counts[ROLLOUT_EMPTY] = 100;
	plan_it(&w);
	w.f.spec = NULL;
	w.plan = rollout_plan(&w.f);
	assert_int_equal(w.plan.grant_empty, 100);
	assert_false(w.plan.empty_current);

	/* Some fail while others come: nobody asked for caution. */
	w.f.counts[ROLLOUT_EMPTY] = 10;
	w.f.counts[ROLLOUT_FAILED] = 90;
	w.plan = rollout_plan(&w.f);
	assert_int_equal(w.plan.grant_empty, 10);
	assert_false(w.plan.stopped);
	assert_false(w.plan.complete);

	/* It was edited before it was complete: that is an update. */
	w.f.holding_other = 1;
	w.plan = rollout_plan(&w.f);
	assert_int_equal(w.plan.grant_empty, 0);
	assert_true(w.plan.stopped);
}

static void a_first_installation_keeps_to_the_steps_that_a_user_gave(void **state)
{
	struct world w = a_stepped_update_of(0, 2, 60);

	(void)state;
	w.f.current = "";
	w.f.counts[ROLLOUT_EMPTY] = 10;
	plan_and_tell(&w);
	assert_int_equal(w.plan.grant_empty, 2);
	plan_it(&w);
	assert_int_equal(w.plan.grant_empty, 0);
	move(&w, ROLLOUT_MOVING_EMPTY, ROLLOUT_DONE, 2);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_SOAKING);
	pass_time(&w, 60);
	assert_int_equal(w.plan.grant_empty, 3);
	tell(&w);
	move(&w, ROLLOUT_MOVING_EMPTY, ROLLOUT_FAILED, 1);
	plan_it(&w);
	assert_true(w.plan.stopped);
}

static void empty_nodes_are_served_outside_of_the_budget(void **state)
{
	struct world w = an_update_of(8);

	(void)state;
	w.f.current = "";
	w.f.counts[ROLLOUT_EMPTY] = 20;
	w.f.counts[ROLLOUT_MOVING] = 50;
	plan_it(&w);
	assert_int_equal(w.plan.grant, 0);
	assert_int_equal(w.plan.grant_empty, 20);
}

static void in_a_step_nodes_with_nothing_to_lose_come_first(void **state)
{
	struct world w = a_stepped_update_of(8, 3, 0);

	(void)state;
	w.f.current = "";
	w.f.counts[ROLLOUT_EMPTY] = 2;
	plan_it(&w);
	assert_int_equal(w.plan.grant_empty, 2);
	assert_int_equal(w.plan.grant, 1);
}

static void a_node_that_joins_gets_the_last_complete_revision(void **state)
{
	struct world w = a_stepped_update_of(8, 1, 60);

	(void)state;
	w.f.counts[ROLLOUT_EMPTY] = 2;
	plan_it(&w);
	assert_true(w.plan.empty_current);
	assert_int_equal(w.plan.grant_empty, 0);
	assert_int_equal(w.plan.grant, 1);

	/* And the target once that is complete. */
	w.state.step = 2;
	w.f.counts[ROLLOUT_OLD] = 0;
	w.f.counts[ROLLOUT_DONE] = 8;
	w.state.step_hash[0] = '\0';
	plan_it(&w);
	assert_phase(&w, ROLLOUT_COMPLETE);
	assert_false(w.plan.empty_current);
	assert_int_equal(w.plan.grant_empty, 2);
}

static void an_empty_node_with_a_trouble_holds_up_nobody(void **state)
{
	struct world w = a_stepped_update_of(0, 100, 0);

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 9;
	w.f.counts[ROLLOUT_EMPTY] = 1;
	plan_it(&w);
	assert_true(w.plan.complete);
	assert_int_equal(w.plan.grant_empty, 1);
}

static void canary_then_soak_then_half_then_the_rest(void **state)
{
	struct world w = a_stepped_update_of(10, 1, 600);

	(void)state;
	w.spec.max_unavailable = (struct rollout_amount){100, true};
	plan_and_tell(&w);
	assert_int_equal(w.plan.grant, 1);
	assert_false(w.plan.by_zone);
	assert_string_equal(w.plan.why, "step 1 of 2: 1 node");
	plan_it(&w);
	assert_int_equal(w.plan.grant, 0);

	move(&w, ROLLOUT_MOVING, ROLLOUT_DONE, 1);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_SOAKING);
	assert_int_equal(w.plan.grant, 0);
	assert_int_equal(w.plan.next_ms, START_MS + 600 * SECOND_MS);
	assert_string_equal(w.plan.why, "step 1 of 2 soaks for 600 s");
	pass_time(&w, 599);
	assert_phase(&w, ROLLOUT_SOAKING);
	pass_time(&w, 1);
	assert_phase(&w, ROLLOUT_PROGRESSING);
	assert_int_equal(w.state.step, 1);
	assert_int_equal(w.plan.grant, 4);
	assert_false(w.plan.by_zone);

	tell(&w);
	move(&w, ROLLOUT_MOVING, ROLLOUT_DONE, 4);
	plan_and_tell(&w);
	assert_int_equal(w.state.step, 2);
	assert_int_equal(w.plan.grant, 5);
	assert_true(w.plan.by_zone);
	move(&w, ROLLOUT_MOVING, ROLLOUT_DONE, 4);
	plan_it(&w);
	assert_false(w.plan.complete);
	move(&w, ROLLOUT_MOVING, ROLLOUT_DONE, 1);
	plan_it(&w);
	assert_true(w.plan.complete);
	assert_phase(&w, ROLLOUT_COMPLETE);
	assert_int_equal(w.plan.next_ms, INT64_MAX);
	assert_string_equal(w.plan.why, "");
}

static void a_step_knows_the_budget_too(void **state)
{
	struct world w = a_stepped_update_of(100, 40, 0);

	(void)state;
	w.spec.max_unavailable = (struct rollout_amount){5, false};
	plan_and_tell(&w);
	assert_int_equal(w.plan.grant, 5);
	move(&w, ROLLOUT_MOVING, ROLLOUT_DONE, 5);
	plan_it(&w);
	assert_int_equal(w.plan.grant, 5);
}

static void a_step_larger_than_the_fleet_is_the_fleet(void **state)
{
	struct world w = a_stepped_update_of(4, 100, 60);

	(void)state;
	assert_int_equal(rollout_step_nodes(&w.spec, 0, 4), 4);
	assert_int_equal(rollout_step_nodes(&w.spec, 1, 5), 3);
	assert_int_equal(rollout_step_nodes(&w.spec, 1, 0), 0);
	move(&w, ROLLOUT_OLD, ROLLOUT_DONE, 4);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_SOAKING);
	assert_false(w.plan.complete);
	pass_time(&w, 60);
	assert_true(w.plan.complete);
}

static void who_fills_a_step(void **state)
{
	static const struct {
		const char *what;
		int64_t counts[ROLLOUT_CLASS_COUNT];
		bool fills;
		int64_t grant;
	} cases[] = {
	    {"done", {[ROLLOUT_OLD] = 8, [ROLLOUT_DONE] = 2}, true, 0},
	    {"one short", {[ROLLOUT_OLD] = 9, [ROLLOUT_DONE] = 1}, false, 1},
	    {"settling", {[ROLLOUT_OLD] = 8, [ROLLOUT_DONE] = 1, [ROLLOUT_SETTLING] = 1}, false, 0},
	    {"a failed one keeps its place, and its failure is tolerated",
	     {[ROLLOUT_OLD] = 8, [ROLLOUT_DONE] = 1, [ROLLOUT_FAILED] = 1},
	     true,
	     0},
	    {"failures alone fill nothing", {[ROLLOUT_OLD] = 8, [ROLLOUT_FAILED] = 2}, false, 0},
	    {"a troubled one is replaced",
	     {[ROLLOUT_OLD] = 8, [ROLLOUT_DONE] = 1, [ROLLOUT_TROUBLED] = 1},
	     false,
	     1},
	    {"a lost one is replaced",
	     {[ROLLOUT_OLD] = 8, [ROLLOUT_DONE] = 1, [ROLLOUT_LOST] = 1},
	     false,
	     1},
	    {"one not heard of may be it",
	     {[ROLLOUT_OLD] = 8, [ROLLOUT_DONE] = 1, [ROLLOUT_UNHEARD] = 1},
	     false,
	     0},
	    {"absent ones are not waited for", {[ROLLOUT_DONE] = 1, [ROLLOUT_ABSENT] = 1}, true, 0},
	    {"but a majority is", {[ROLLOUT_DONE] = 1, [ROLLOUT_ABSENT] = 9}, false, 0},
	    {"all troubled", {[ROLLOUT_TROUBLED] = 10}, false, 0},
	    {"all away", {[ROLLOUT_ABSENT] = 10}, false, 0},
	    {"nobody", {0}, false, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w = a_stepped_update_of(0, 2, 60);

		w.spec.max_unavailable = (struct rollout_amount){100, true};
		w.spec.max_failed = (struct rollout_amount){3, false};
		memcpy(w.f.counts, cases[i].counts, sizeof(w.f.counts));
		plan_it(&w);
		if ((w.state.phase == ROLLOUT_SOAKING) != cases[i].fills ||
		    w.plan.grant != cases[i].grant)
			fail_msg("%s: %s, %lld", cases[i].what, rollout_phase_name(w.state.phase),
				 (long long)w.plan.grant);
	}
}

static void a_step_that_came_undone_is_not_passed_until_it_is_filled_again(void **state)
{
	struct world w = a_stepped_update_of(9, 1, 60);

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 1;
	plan_it(&w);
	move(&w, ROLLOUT_DONE, ROLLOUT_MOVING, 1);
	pass_time(&w, 61);
	assert_int_equal(w.state.step, 0);
	assert_int_equal(w.plan.grant, 0);
	move(&w, ROLLOUT_MOVING, ROLLOUT_DONE, 1);
	plan_it(&w);
	assert_int_equal(w.state.step, 1);
}

static void a_step_can_wait_for_a_promote(void **state)
{
	static const struct {
		const char *promote;
		bool passes;
	} cases[] = {
	    {"", false},           {TARGET, false},       {TARGET "/", false},
	    {TARGET "/0", false},  {TARGET "/x", false},  {CURRENT "/1", false},
	    {TARGET "x/1", false}, {TARGET "/-1", false}, {TARGET "/1", true},
	    {TARGET "/2", true},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w = a_stepped_update_of(9, 1, ROLLOUT_SOAK_UNTIL_PROMOTED);

		w.f.counts[ROLLOUT_DONE] = 1;
		plan_it(&w);
		assert_phase(&w, ROLLOUT_SOAKING);
		assert_int_equal(w.plan.next_ms, INT64_MAX);
		assert_string_equal(w.plan.why, "step 1 of 2 waits to be promoted");
		w.wish.promote = (char *)cases[i].promote;
		pass_time(&w, 1000000);
		if ((w.state.step == 1) != cases[i].passes)
			fail_msg("\"%s\": step %u", cases[i].promote, w.state.step);
	}
}

static void a_promote_ends_the_soak_of_its_step_and_no_later_one(void **state)
{
	struct world w = a_stepped_update_of(9, 1, 600);

	(void)state;
	w.spec.steps[1].soak_s = 600;
	w.wish.promote = (char *)TARGET "/1";
	plan_and_tell(&w);
	assert_int_equal(w.state.step, 0);
	move(&w, ROLLOUT_MOVING, ROLLOUT_DONE, 1);
	plan_it(&w);
	assert_int_equal(w.state.step, 1);
	move(&w, ROLLOUT_OLD, ROLLOUT_DONE, 4);
	plan_it(&w);
	assert_int_equal(w.state.step, 1);
	assert_phase(&w, ROLLOUT_SOAKING);
}

static void an_edited_step_soaks_anew(void **state)
{
	struct world w = a_stepped_update_of(9, 1, 600);

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 1;
	plan_it(&w);
	w.spec.steps[0].soak_s = 300;
	pass_time(&w, 590);
	assert_phase(&w, ROLLOUT_SOAKING);
	assert_int_equal(w.state.step_started_ms, w.f.now_ms);
	w.spec.steps[1].soak_s = 5; /* another step's business */
	pass_time(&w, 300);
	assert_int_equal(w.state.step, 1);
}

static void steps_that_are_taken_away_hold_nobody(void **state)
{
	struct world w = a_stepped_update_of(9, 1, ROLLOUT_SOAK_UNTIL_PROMOTED);

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 1;
	plan_it(&w);
	w.spec.n_steps = 0;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_PROGRESSING);
	assert_true(w.plan.by_zone);
	assert_int_equal(w.plan.grant, 3);
	w.state.step = 77; /* an index from elsewhere */
	plan_it(&w);
	assert_int_equal(w.state.step, 0);
}

static void a_step_that_is_added_after_the_others_is_a_barrier_again(void **state)
{
	struct world w = a_stepped_update_of(5, 1, 0);

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 5;
	plan_it(&w);
	assert_int_equal(w.state.step, 2);
	w.spec.n_steps = 3;
	w.spec.steps[2] = (struct rollout_step){.nodes = {60, true}};
	plan_it(&w);
	assert_int_equal(w.plan.grant, 1);
	assert_false(w.plan.by_zone);
}

static void failures_stop_it_by_themselves(void **state)
{
	static const struct {
		struct rollout_amount max_failed;
		int64_t failed;
		bool stops;
	} cases[] = {
	    {{1, false}, 1, true},  {{2, false}, 1, false}, {{2, false}, 2, true},
	    {{10, true}, 10, true}, {{10, true}, 9, false}, {{1, true}, 1, true},
	    {{5, true}, 5, true},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w = an_update_of(100 - cases[i].failed);

		w.spec.max_failed = cases[i].max_failed;
		w.f.counts[ROLLOUT_FAILED] = cases[i].failed;
		plan_it(&w);
		assert_int_equal(w.plan.stopped, cases[i].stops);
		assert_int_equal(w.plan.grant == 0, cases[i].stops);
		assert_false(w.plan.roll_back);
		assert_phase(&w, cases[i].stops ? ROLLOUT_STOPPED : ROLLOUT_PROGRESSING);
	}
}

static void a_step_with_too_many_failures_is_not_passed(void **state)
{
	struct world w = a_stepped_update_of(8, 2, 0);

	(void)state;
	w.f.counts[ROLLOUT_DONE] = w.f.counts[ROLLOUT_FAILED] = 1;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_STOPPED);
	assert_int_equal(w.state.step, 0);
}

static void a_failed_canary_touches_nobody_else(void **state)
{
	struct world w = a_stepped_update_of(9, 1, 0);

	(void)state;
	w.f.counts[ROLLOUT_FAILED] = 1;
	w.f.counts[ROLLOUT_EMPTY] = 3;
	pass_time(&w, 10);
	assert_phase(&w, ROLLOUT_STOPPED);
	assert_int_equal(w.plan.grant, 0);
	assert_int_equal(w.plan.next_ms, INT64_MAX);
	assert_true(w.plan.empty_current);
	w.f.current = "";
	plan_it(&w);
	assert_int_equal(w.plan.grant_empty, 0);
}

static void troubles_of_their_own_stop_nobody_else(void **state)
{
	struct world w = an_update_of(4);

	(void)state;
	w.f.counts[ROLLOUT_TROUBLED] = 3;
	plan_it(&w);
	assert_false(w.plan.stopped);
	assert_int_equal(w.plan.grant, 2);
	move(&w, ROLLOUT_OLD, ROLLOUT_DONE, 4);
	w.f.counts[ROLLOUT_ABSENT] = 1;
	plan_it(&w);
	assert_true(w.plan.complete);
}

static void it_goes_on_when_failed_nodes_recover(void **state)
{
	struct world w = an_update_of(9);

	(void)state;
	w.f.counts[ROLLOUT_FAILED] = 1;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_STOPPED);
	move(&w, ROLLOUT_FAILED, ROLLOUT_DONE, 1);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_PROGRESSING);
	assert_int_equal(w.plan.grant, 3);
}

static void it_goes_on_when_a_user_tolerates_more_failures(void **state)
{
	struct world w = an_update_of(9);

	(void)state;
	w.f.counts[ROLLOUT_FAILED] = 1;
	plan_it(&w);
	w.spec.max_failed.value = 2;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_PROGRESSING);
	assert_int_equal(w.plan.grant, 2);
}

static struct world a_rollback(void)
{
	struct world w = an_update_of(8);

	w.spec.on_failure = ROLLOUT_ON_FAILURE_ROLLBACK;
	w.f.counts[ROLLOUT_DONE] = 1;
	w.f.counts[ROLLOUT_FAILED] = 1;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ROLLING_BACK);
	assert_true(w.plan.roll_back);
	assert_int_equal(w.plan.grant, 0);
	assert_true(w.plan.next_ms < INT64_MAX);
	assert_string_equal(w.plan.why,
			    "nodes go back to " CURRENT ", because too many nodes failed");
	move(&w, ROLLOUT_DONE, ROLLOUT_OLD, 1);
	move(&w, ROLLOUT_FAILED, ROLLOUT_OLD, 1);
	w.f.back = 2;
	return w;
}

static void failures_can_roll_it_back(void **state)
{
	struct world w = a_rollback();

	(void)state;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ROLLING_BACK);
	assert_true(w.plan.roll_back);
	assert_true(w.plan.empty_current);
	w.f.back = 0;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ROLLED_BACK);
	assert_string_equal(w.plan.why,
			    "nodes went back to " CURRENT ", because too many nodes failed");
}

static void what_was_rolled_back_is_not_tried_again(void **state)
{
	struct world w = a_rollback();

	(void)state;
	w.f.back = 0;
	plan_it(&w);
	w.spec.on_failure = ROLLOUT_ON_FAILURE_PAUSE;
	w.wish.resume = (char *)TARGET;
	take_over(&w);
	pass_time(&w, 100000);
	assert_phase(&w, ROLLOUT_ROLLED_BACK);
	assert_int_equal(w.plan.grant, 0);
	assert_true(w.plan.roll_back); /* for one that comes back with the target */
	w.f.current = "";
	w.f.counts[ROLLOUT_EMPTY] = 2;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ROLLED_BACK);
	assert_int_equal(w.plan.grant + w.plan.grant_empty, 0);
	assert_false(w.plan.roll_back); /* to what? */
	w.f.current = CURRENT;
	w.f.target = "333333333333";
	plan_it(&w);
	assert_phase(&w, ROLLOUT_PROGRESSING);
	assert_false(w.plan.roll_back);
	assert_int_equal(w.plan.grant, 3);
}

static void a_restart_tries_again_once(void **state)
{
	struct world w = a_rollback();

	(void)state;
	w.f.back = 0;
	plan_it(&w);
	w.wish.restart = (char *)TARGET;
	plan_it(&w);
	w.wish.restart = (char *)CURRENT "/a";
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ROLLED_BACK);
	w.wish.restart = (char *)TARGET "/a";
	w.f.now_ms += 5;
	plan_and_tell(&w);
	assert_phase(&w, ROLLOUT_PROGRESSING);
	assert_int_equal(w.plan.grant, 3);
	assert_int_equal(w.state.started_ms, w.f.now_ms);
	assert_string_equal(w.state.restart, "a");
	move(&w, ROLLOUT_MOVING, ROLLOUT_FAILED, 1);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ROLLING_BACK);
	move(&w, ROLLOUT_MOVING, ROLLOUT_OLD, 2);
	move(&w, ROLLOUT_FAILED, ROLLOUT_OLD, 1);
	take_over(&w);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ROLLED_BACK);
	w.wish.restart = (char *)TARGET "/b";
	plan_it(&w);
	assert_phase(&w, ROLLOUT_PROGRESSING);
}

static void a_restart_begins_the_steps_again(void **state)
{
	struct world w = a_stepped_update_of(5, 1, 60);

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 5;
	plan_it(&w);
	pass_time(&w, 60);
	assert_int_equal(w.state.step, 2);
	w.wish.restart = (char *)TARGET "/now";
	plan_it(&w);
	assert_int_equal(w.state.step, 0);
	assert_phase(&w, ROLLOUT_SOAKING);
	plan_it(&w);
	pass_time(&w, 60);
	assert_int_equal(w.state.step, 2);
}

static void a_restart_waits_while_an_abort_stands(void **state)
{
	struct world w = an_update_of(9);

	(void)state;
	w.wish.abort = (char *)TARGET;
	plan_it(&w);
	w.wish.restart = (char *)TARGET "/a";
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ABORTED);
	w.wish.abort = (char *)"";
	plan_it(&w);
	assert_phase(&w, ROLLOUT_PROGRESSING);
}

static void without_a_current_revision_a_rollback_is_a_stop(void **state)
{
	struct world w = an_update_of(8);

	(void)state;
	w.spec.on_failure = ROLLOUT_ON_FAILURE_ROLLBACK;
	w.f.current = "";
	w.f.counts[ROLLOUT_FAILED] = 1;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_STOPPED);
	assert_false(w.plan.roll_back);
}

static void an_abort_takes_the_current_revision_back(void **state)
{
	struct world w = a_stepped_update_of(8, 2, 600);

	(void)state;
	plan_and_tell(&w);
	w.wish.abort = (char *)CURRENT;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_PROGRESSING);
	w.wish.abort = (char *)TARGET;
	w.spec.paused = true; /* an abort after a pause is what the user wants now */
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ROLLING_BACK);
	assert_true(w.plan.roll_back);
	move(&w, ROLLOUT_MOVING, ROLLOUT_OLD, 2);
	w.f.back = 1;
	take_over(&w);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ROLLING_BACK);
	w.f.back = 0;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ABORTED);
	assert_string_equal(w.plan.why,
			    "nodes went back to " CURRENT ", because a user aborted it");
	w.wish.abort = (char *)"";
	pass_time(&w, 10);
	assert_phase(&w, ROLLOUT_ABORTED);
	assert_int_equal(w.plan.grant, 0);
}

static void an_abort_that_is_taken_away_at_once_was_an_abort(void **state)
{
	struct world w = an_update_of(8);

	(void)state;
	w.wish.abort = (char *)TARGET;
	plan_it(&w);
	w.wish.abort = NULL;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ABORTED);
}

static void an_abort_with_nothing_to_go_back_to_is_a_pause(void **state)
{
	struct world w = an_update_of(8);

	(void)state;
	w.f.current = "";
	w.f.counts[ROLLOUT_EMPTY] = 2;
	w.wish.abort = (char *)TARGET;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_PAUSED);
	assert_int_equal(w.plan.grant + w.plan.grant_empty, 0);
	assert_string_equal(w.plan.why, "aborted, and there is no other revision to go back to");
}

static void an_abort_comes_too_late_for_what_is_complete(void **state)
{
	struct world w = an_update_of(0);

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 8;
	plan_it(&w);
	w.wish.abort = (char *)TARGET;
	w.f.current = TARGET;
	w.f.counts[ROLLOUT_OLD] = 1;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_COMPLETE);
	assert_int_equal(w.plan.grant, 1);
}

static void a_paused_rollout_keeps_its_step(void **state)
{
	struct world w = a_stepped_update_of(8, 1, 60);

	(void)state;
	plan_and_tell(&w);
	w.spec.paused = true;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_PAUSED);
	assert_string_equal(w.plan.why, "paused by spec.rollout.paused");
	move(&w, ROLLOUT_MOVING, ROLLOUT_DONE, 1);
	plan_it(&w);
	pass_time(&w, 100000);
	assert_int_equal(w.state.step, 0);
	assert_int_equal(w.plan.grant, 0);
	assert_int_equal(w.plan.next_ms, INT64_MAX);
	w.spec.paused = false; /* it has soaked meanwhile */
	plan_it(&w);
	assert_int_equal(w.state.step, 1);
	assert_int_equal(w.plan.grant, 2);
}

static void annotations_pause_and_resume_and_expire_with_the_revision(void **state)
{
	static const struct {
		const char *pause, *resume;
		bool paused, is_paused;
	} cases[] = {
	    {"", "", false, false},         {"", "", true, true},
	    {TARGET, "", false, true},      {CURRENT, "", false, false},
	    {TARGET "0", "", false, false}, {"", TARGET, true, false},
	    {"", CURRENT, true, true},      {TARGET, TARGET, false, false},
	    {TARGET, NULL, false, true},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w = an_update_of(8);

		w.spec.paused = cases[i].paused;
		w.wish.pause = (char *)cases[i].pause;
		w.wish.resume = (char *)cases[i].resume;
		plan_it(&w);
		if ((w.state.phase == ROLLOUT_PAUSED) != cases[i].is_paused ||
		    (w.plan.grant == 0) != cases[i].is_paused)
			fail_msg("case %zu: %s", i, rollout_phase_name(w.state.phase));
	}
}

static void an_edit_while_paused_starts_over_and_stays_paused(void **state)
{
	struct world w = a_stepped_update_of(8, 1, 0);

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 1;
	plan_it(&w);
	assert_int_equal(w.state.step, 1);
	w.spec.paused = true;
	plan_it(&w);
	w.f.target = "333333333333";
	move(&w, ROLLOUT_DONE, ROLLOUT_OLD, 1);
	pass_time(&w, 10);
	assert_phase(&w, ROLLOUT_PAUSED);
	assert_int_equal(w.state.step, 0);
	assert_string_equal(w.state.revision, "333333333333");
	assert_int_equal(w.state.started_ms, w.f.now_ms);
	w.wish.resume = (char *)"333333333333";
	plan_it(&w);
	assert_int_equal(w.plan.grant, 1);
}

static void a_pause_holds_back_a_rollback_for_failures_but_none_under_way(void **state)
{
	struct world w = an_update_of(8), going = a_rollback();

	(void)state;
	w.spec.on_failure = ROLLOUT_ON_FAILURE_ROLLBACK;
	w.spec.paused = true;
	w.f.counts[ROLLOUT_FAILED] = 1;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_STOPPED);
	assert_string_equal(w.plan.why,
			    "maxFailed (1) was reached; it rolls back when it is resumed");
	w.wish.resume = (char *)TARGET;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ROLLING_BACK);

	going.spec.paused = true;
	plan_it(&going);
	assert_phase(&going, ROLLOUT_ROLLING_BACK);
	assert_true(going.plan.roll_back);
}

static void going_back_to_the_current_revision_knows_the_budget_but_no_steps(void **state)
{
	struct world w = a_stepped_update_of(8, 1, ROLLOUT_SOAK_UNTIL_PROMOTED);

	(void)state;
	w.f.current = TARGET;
	w.f.counts[ROLLOUT_DONE] = 92;
	w.f.counts[ROLLOUT_EMPTY] = 3;
	w.spec.max_unavailable = (struct rollout_amount){5, false};
	plan_it(&w);
	assert_phase(&w, ROLLOUT_PROGRESSING);
	assert_int_equal(w.plan.grant, 5);
	assert_int_equal(w.plan.grant_empty, 3);
	assert_false(w.plan.empty_current);
	move(&w, ROLLOUT_OLD, ROLLOUT_DONE, 8);
	move(&w, ROLLOUT_EMPTY, ROLLOUT_DONE, 3);
	plan_it(&w);
	assert_true(w.plan.complete);
}

static void completion_waits_for_those_that_can_be_expected(void **state)
{
	static const struct {
		const char *what;
		int64_t counts[ROLLOUT_CLASS_COUNT];
		bool complete;
	} cases[] = {
	    {"all done", {[ROLLOUT_DONE] = 9}, true},
	    {"nobody", {0}, false},
	    {"old", {[ROLLOUT_DONE] = 9, [ROLLOUT_OLD] = 1}, false},
	    {"moving", {[ROLLOUT_DONE] = 9, [ROLLOUT_MOVING] = 1}, false},
	    {"installing", {[ROLLOUT_DONE] = 9, [ROLLOUT_MOVING_EMPTY] = 1}, false},
	    {"settling", {[ROLLOUT_DONE] = 9, [ROLLOUT_SETTLING] = 1}, false},
	    {"failed", {[ROLLOUT_DONE] = 9, [ROLLOUT_FAILED] = 1}, false},
	    {"not heard of", {[ROLLOUT_DONE] = 9, [ROLLOUT_UNHEARD] = 1}, false},
	    {"absent", {[ROLLOUT_DONE] = 9, [ROLLOUT_ABSENT] = 1}, true},
	    {"lost", {[ROLLOUT_DONE] = 9, [ROLLOUT_LOST] = 1}, true},
	    {"half away", {[ROLLOUT_DONE] = 5, [ROLLOUT_ABSENT] = 5}, true},
	    {"a cut network", {[ROLLOUT_DONE] = 5, [ROLLOUT_ABSENT] = 6}, false},
	    {"most are lost", {[ROLLOUT_DONE] = 4, [ROLLOUT_LOST] = 5}, false},
	    {"troubled", {[ROLLOUT_DONE] = 1, [ROLLOUT_TROUBLED] = 9}, true},
	    {"all troubled", {[ROLLOUT_TROUBLED] = 9}, false},
	    {"all away", {[ROLLOUT_ABSENT] = 9}, false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w = an_update_of(0);

		w.spec.max_failed.value = 5;
		memcpy(w.f.counts, cases[i].counts, sizeof(w.f.counts));
		plan_it(&w);
		if (w.plan.complete != cases[i].complete)
			fail_msg("%s", cases[i].what);
	}
}

static void a_profile_that_selects_no_node_waits_in_silence(void **state)
{
	struct world w = a_stepped_update_of(0, 1, 0);

	(void)state;
	plan_it(&w);
	pass_time(&w, 1000000);
	assert_phase(&w, ROLLOUT_PROGRESSING);
	assert_false(w.plan.deadline_exceeded);
	assert_int_equal(w.plan.next_ms, INT64_MAX);
	assert_string_equal(w.plan.why, "there is no node to update");
	w.f.current = TARGET;
	plan_it(&w);
	assert_true(w.plan.complete);
}

static void absent_nodes_that_come_back_are_updated_within_the_budget(void **state)
{
	struct world w = a_stepped_update_of(0, 1, 60);

	(void)state;
	w.state.phase = ROLLOUT_COMPLETE;
	strcpy(w.state.revision, TARGET);
	w.f.current = TARGET;
	w.f.counts[ROLLOUT_DONE] = 60;
	w.f.counts[ROLLOUT_OLD] = 40;
	plan_and_tell(&w);
	assert_phase(&w, ROLLOUT_COMPLETE);
	assert_int_equal(w.plan.grant, 25);
	plan_it(&w);
	assert_int_equal(w.plan.grant, 0);
	assert_false(w.plan.stopped);
	move(&w, ROLLOUT_MOVING, ROLLOUT_FAILED, 1);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_COMPLETE);
	assert_int_equal(w.plan.grant, 0);
	assert_true(w.plan.stopped);
	assert_string_equal(w.plan.why, "maxFailed (1) was reached: nodes that came back wait");
	move(&w, ROLLOUT_FAILED, ROLLOUT_DONE, 1);
	w.wish.pause = (char *)TARGET;
	plan_it(&w);
	assert_int_equal(w.plan.grant, 0);
	assert_false(w.plan.stopped);
	assert_string_equal(w.plan.why, "nodes that came back wait while it is paused");
}

static void what_is_complete_stays_so(void **state)
{
	struct world w = an_update_of(0);

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 9;
	plan_it(&w);
	take_over(&w);
	w.f.counts[ROLLOUT_DONE] = 0;
	w.f.counts[ROLLOUT_UNHEARD] = 9;
	w.f.counts[ROLLOUT_EMPTY] = 1;
	plan_it(&w);
	assert_true(w.plan.complete);
	assert_int_equal(w.plan.grant_empty, 1);
	w.spec.n_steps = 1;
	w.spec.steps[0] = (struct rollout_step){.nodes = {1, false}, .soak_s = -1};
	plan_it(&w);
	assert_true(w.plan.complete);
	assert_true(w.plan.by_zone);
}

static void a_deadline_reports_and_rolls_nothing_back(void **state)
{
	struct world w = an_update_of(8);

	(void)state;
	w.spec.on_failure = ROLLOUT_ON_FAILURE_ROLLBACK;
	plan_and_tell(&w);
	plan_it(&w);
	assert_int_equal(w.plan.next_ms, START_MS + 600 * SECOND_MS);
	pass_time(&w, 599);
	assert_false(w.plan.deadline_exceeded);
	pass_time(&w, 1);
	assert_true(w.plan.deadline_exceeded);
	assert_phase(&w, ROLLOUT_PROGRESSING);
	assert_false(w.plan.roll_back);
	assert_int_equal(w.plan.next_ms, INT64_MAX);
	move(&w, ROLLOUT_MOVING, ROLLOUT_DONE, 1);
	pass_time(&w, 1);
	assert_false(w.plan.deadline_exceeded);
	assert_int_equal(w.plan.grant, 1);
}

static void a_step_passed_is_progress(void **state)
{
	struct world w = a_stepped_update_of(8, 2, 0);

	(void)state;
	move(&w, ROLLOUT_OLD, ROLLOUT_DONE, 1);
	plan_it(&w);
	w.spec.steps[0].nodes.value = 1;
	pass_time(&w, 599);
	assert_int_equal(w.state.step, 1);
	pass_time(&w, 10);
	assert_false(w.plan.deadline_exceeded);
}

static void a_node_that_comes_and_goes_is_no_progress(void **state)
{
	struct world w = an_update_of(8);
	int i;

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 3;
	plan_it(&w);
	for (i = 0; i < 10; i++) {
		move(&w, ROLLOUT_DONE, ROLLOUT_LOST, 1);
		pass_time(&w, 30);
		move(&w, ROLLOUT_LOST, ROLLOUT_DONE, 1);
		pass_time(&w, 30);
	}
	assert_true(w.plan.deadline_exceeded);
}

static void nodes_that_leave_do_not_hide_progress(void **state)
{
	struct world w = an_update_of(50);

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 50;
	plan_it(&w);
	w.f.counts[ROLLOUT_DONE] = 20;
	w.f.counts[ROLLOUT_OLD] = 30;
	pass_time(&w, 590);
	move(&w, ROLLOUT_OLD, ROLLOUT_DONE, 1);
	pass_time(&w, 9);
	pass_time(&w, 2);
	assert_false(w.plan.deadline_exceeded);
}

static void the_deadline_is_not_counted_while_paused_or_soaking_or_stopped(void **state)
{
	struct world w = a_stepped_update_of(8, 1, 6000);

	(void)state;
	plan_and_tell(&w);
	pass_time(&w, 500);
	w.spec.paused = true;
	plan_it(&w);
	pass_time(&w, 10000);
	assert_false(w.plan.deadline_exceeded);
	w.spec.paused = false;
	pass_time(&w, 500);
	assert_false(w.plan.deadline_exceeded);
	move(&w, ROLLOUT_MOVING, ROLLOUT_DONE, 1);
	plan_it(&w);
	pass_time(&w, 5999);
	assert_false(w.plan.deadline_exceeded);
	pass_time(&w, 1);
	assert_phase(&w, ROLLOUT_PROGRESSING);
	tell(&w);
	move(&w, ROLLOUT_MOVING, ROLLOUT_FAILED, 1);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_STOPPED);
	pass_time(&w, 10000);
	assert_false(w.plan.deadline_exceeded);
}

static void settling_nodes_are_looked_at_when_they_have_settled(void **state)
{
	struct world w = an_update_of(8);

	(void)state;
	w.f.counts[ROLLOUT_SETTLING] = 1;
	w.f.next_settled_ms = START_MS + 30 * SECOND_MS;
	plan_it(&w);
	assert_int_equal(w.plan.next_ms, START_MS + 30 * SECOND_MS);
	w.f.next_settled_ms = START_MS - 5; /* plan_it() asserts that this is no busy loop */
	plan_it(&w);
}

static void a_clock_set_back_wedges_nothing(void **state)
{
	struct world w = a_stepped_update_of(8, 1, 60);

	(void)state;
	w.f.now_ms = START_MS + 100000 * SECOND_MS;
	plan_and_tell(&w);
	w.f.now_ms = START_MS;
	plan_it(&w);
	assert_int_equal(w.plan.next_ms, START_MS + 600 * SECOND_MS);
	w.f.now_ms = START_MS + 200000 * SECOND_MS;
	move(&w, ROLLOUT_MOVING, ROLLOUT_DONE, 1);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_SOAKING);
	w.f.now_ms = START_MS;
	plan_it(&w);
	assert_int_equal(w.plan.next_ms, START_MS + 60 * SECOND_MS);
	pass_time(&w, 60);
	assert_int_equal(w.state.step, 1);
}

static void an_edit_in_mid_rollout_starts_over(void **state)
{
	struct world w = a_stepped_update_of(8, 1, 600);

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 1;
	plan_it(&w);
	w.f.target = "333333333333";
	w.wish.pause = (char *)TARGET;
	w.wish.promote = (char *)TARGET "/1";
	move(&w, ROLLOUT_DONE, ROLLOUT_OLD, 1);
	pass_time(&w, 1);
	assert_int_equal(w.state.step, 0);
	assert_int_equal(w.state.step_started_ms, 0);
	assert_int_equal(w.plan.grant, 1);
}

static void a_new_leader_goes_on_in_the_same_step_and_soak(void **state)
{
	struct world w = a_stepped_update_of(9, 1, 600), heard;

	(void)state;
	w.f.counts[ROLLOUT_DONE] = 1;
	plan_it(&w);
	heard = w;
	take_over(&w);
	w.f.counts[ROLLOUT_DONE] = w.f.counts[ROLLOUT_OLD] = 0;
	w.f.counts[ROLLOUT_UNHEARD] = 10;
	pass_time(&w, 300);
	assert_int_equal(w.plan.grant, 0);
	move(&w, ROLLOUT_UNHEARD, ROLLOUT_OLD, 9); /* all but the canary */
	plan_it(&w);
	assert_int_equal(w.plan.grant, 0);
	move(&w, ROLLOUT_UNHEARD, ROLLOUT_DONE, 1);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_SOAKING);
	assert_int_equal(w.plan.next_ms, START_MS + 600 * SECOND_MS);
	pass_time(&w, 300);
	pass_time(&heard, 600);
	assert_int_equal(w.state.step, heard.state.step);
	assert_int_equal(w.plan.grant, heard.plan.grant);
}

static void a_new_leader_keeps_a_stop_until_the_failed_ones_were_heard_of(void **state)
{
	struct world w = an_update_of(99);

	(void)state;
	w.f.counts[ROLLOUT_FAILED] = 1;
	plan_it(&w);
	take_over(&w);
	move(&w, ROLLOUT_FAILED, ROLLOUT_UNHEARD, 1);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_STOPPED);
	assert_int_equal(w.plan.grant, 0);
	move(&w, ROLLOUT_UNHEARD, ROLLOUT_ABSENT, 1); /* 150 s later */
	w.f.told_unheard = 1;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_STOPPED);
	move(&w, ROLLOUT_ABSENT, ROLLOUT_DONE, 1);
	w.f.told_unheard = 0;
	plan_it(&w);
	assert_phase(&w, ROLLOUT_PROGRESSING);
}

static void a_new_leader_ends_a_rollback_only_when_all_were_heard_of(void **state)
{
	struct world w = a_rollback();

	(void)state;
	take_over(&w);
	w.f.back = 0;
	move(&w, ROLLOUT_OLD, ROLLOUT_UNHEARD, 2);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ROLLING_BACK);
	move(&w, ROLLOUT_UNHEARD, ROLLOUT_ABSENT, 2);
	plan_it(&w);
	assert_phase(&w, ROLLOUT_ROLLED_BACK);
}

static void the_same_facts_give_the_same_plan(void **state)
{
	struct world w = a_stepped_update_of(8, 1, 600);
	struct rollout_plan again;

	(void)state;
	plan_it(&w);
	w.f.state = &w.state;
	w.plan = rollout_plan(&w.f);
	again = rollout_plan(&w.f);
	assert_memory_equal(&again.state, &w.plan.state, sizeof(again.state));
	assert_string_equal(again.why, w.plan.why);
	assert_int_equal(again.next_ms, w.plan.next_ms);
}

static void a_restart_token_that_does_not_fit_is_no_token(void **state)
{
	char text[100] = TARGET "/";
	struct world w = an_update_of(8);

	(void)state;
	memset(text + strlen(text), 'x', 64);
	plan_it(&w);
	w.f.now_ms += 10;
	w.wish.restart = text;
	plan_it(&w);
	assert_string_equal(w.state.restart, "");
	assert_int_equal(w.state.started_ms, START_MS);
}

/*
 * Random fleets. What a leader knows of the nodes is lost whenever it is killed; the nodes know
 * better, and nothing that a plan grants may break the budget that they see.
 */
struct walk {
	struct world w;
	unsigned int seed;
	int64_t moving, done, failed; /* what the nodes know */
};

static unsigned int walk_dice(struct walk *k, unsigned int sides)
{
	k->seed = k->seed * 1103515245u + 12345u;
	return (k->seed >> 8) % sides;
}

static void walk_kill(struct walk *k)
{
	int64_t *c = k->w.f.counts;

	take_over(&k->w);
	c[ROLLOUT_UNHEARD] = c[ROLLOUT_OLD] + c[ROLLOUT_MOVING] + c[ROLLOUT_DONE] +
			     c[ROLLOUT_FAILED] + c[ROLLOUT_UNHEARD];
	c[ROLLOUT_OLD] = c[ROLLOUT_MOVING] = c[ROLLOUT_DONE] = c[ROLLOUT_FAILED] = 0;
}

/* One node not heard of reports: the class is drawn from those that are there. */
static void walk_hear(struct walk *k, int64_t nodes)
{
	int64_t *c = k->w.f.counts;
	int64_t unheard[] = {k->moving - c[ROLLOUT_MOVING], k->done - c[ROLLOUT_DONE],
			     k->failed - c[ROLLOUT_FAILED],
			     nodes - k->moving - k->done - k->failed - c[ROLLOUT_OLD]};
	static const enum rollout_class classes[] = {ROLLOUT_MOVING, ROLLOUT_DONE, ROLLOUT_FAILED,
						     ROLLOUT_OLD};
	unsigned int i = walk_dice(k, 4);

	if (unheard[i] > 0)
		move(&k->w, ROLLOUT_UNHEARD, classes[i], 1);
}

static void walk_confirm(struct walk *k, bool may_fail)
{
	if (k->w.f.counts[ROLLOUT_MOVING] == 0)
		return;
	k->moving--;
	if (may_fail && walk_dice(k, 50) == 0) {
		move(&k->w, ROLLOUT_MOVING, ROLLOUT_FAILED, 1);
		k->failed++;
	} else {
		move(&k->w, ROLLOUT_MOVING, ROLLOUT_DONE, 1);
		k->done++;
	}
}

static void walk_recover(struct walk *k)
{
	if (k->w.f.counts[ROLLOUT_FAILED] == 0)
		return;
	move(&k->w, ROLLOUT_FAILED, ROLLOUT_DONE, 1);
	k->failed--;
	k->done++;
}

static void walk_plan(struct walk *k, int64_t nodes)
{
	int64_t budget = rollout_amount_of(k->w.spec.max_unavailable, nodes);
	int64_t step_nodes = nodes;

	plan_it(&k->w);
	if (k->w.state.step < k->w.spec.n_steps)
		step_nodes = rollout_step_nodes(&k->w.spec, k->w.state.step, nodes);
	tell(&k->w);
	k->moving += k->w.plan.grant;
	if (k->w.plan.grant == 0)
		return;
	assert_true(k->moving + k->failed <= budget);
	assert_true(k->moving + k->done + k->failed <= step_nodes);
	assert_true(k->failed < rollout_amount_of(k->w.spec.max_failed, nodes));
}

static struct walk walk_new(unsigned int seed, int64_t nodes)
{
	struct walk k = {.w = a_stepped_update_of(nodes, 1 + seed % 5, (int64_t)30 * (seed % 3)),
			 .seed = seed};

	k.w.spec.max_unavailable = (struct rollout_amount){1 + walk_dice(&k, 100), true};
	k.w.spec.max_failed = (struct rollout_amount){1 + walk_dice(&k, 3), false};
	return k;
}

static void walk_step(struct walk *k, int64_t nodes, bool quiet)
{
	unsigned int what = walk_dice(k, 20);

	if (what == 0 && !quiet)
		walk_kill(k);
	else if (what < 8)
		walk_hear(k, nodes);
	else if (what < 16)
		walk_confirm(k, !quiet);
	else if (what < 17)
		walk_recover(k);
	else
		k->w.f.now_ms += (int64_t)walk_dice(k, 20) * SECOND_MS;
	if (what == 19 && !quiet)
		k->w.f.now_ms -= 300 * (int64_t)SECOND_MS;
	walk_plan(k, nodes);
}

static void any_walk_keeps_the_budget_and_ends_complete(void **state)
{
	unsigned int seed;
	int i;

	(void)state;
	for (seed = 1; seed <= 300; seed++) {
		int64_t nodes = 1 + seed % 40;
		struct walk k = walk_new(seed, nodes);

		for (i = 0; i < 200 && !k.w.plan.complete; i++)
			walk_step(&k, nodes, false);
		for (i = 0; i < 5000 && !k.w.plan.complete; i++)
			walk_step(&k, nodes, true);
		if (!k.w.plan.complete)
			fail_msg("seed %u: %s, step %u, %s", seed,
				 rollout_phase_name(k.w.state.phase), k.w.state.step, k.w.plan.why);
		assert_int_equal(k.done, nodes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(phases_have_names_that_read_back),
	    cmocka_unit_test(the_budget_bounds_nodes_that_are_told_and_not_confirmed),
	    cmocka_unit_test(failed_nodes_go_on_consuming_the_budget),
	    cmocka_unit_test(an_update_of_which_the_user_said_nothing_knows_a_budget),
	    cmocka_unit_test(a_first_installation_goes_to_all_nodes_at_once),
	    cmocka_unit_test(a_first_installation_keeps_to_the_steps_that_a_user_gave),
	    cmocka_unit_test(empty_nodes_are_served_outside_of_the_budget),
	    cmocka_unit_test(in_a_step_nodes_with_nothing_to_lose_come_first),
	    cmocka_unit_test(a_node_that_joins_gets_the_last_complete_revision),
	    cmocka_unit_test(an_empty_node_with_a_trouble_holds_up_nobody),
	    cmocka_unit_test(canary_then_soak_then_half_then_the_rest),
	    cmocka_unit_test(a_step_knows_the_budget_too),
	    cmocka_unit_test(a_step_larger_than_the_fleet_is_the_fleet),
	    cmocka_unit_test(who_fills_a_step),
	    cmocka_unit_test(a_step_that_came_undone_is_not_passed_until_it_is_filled_again),
	    cmocka_unit_test(a_step_can_wait_for_a_promote),
	    cmocka_unit_test(a_promote_ends_the_soak_of_its_step_and_no_later_one),
	    cmocka_unit_test(an_edited_step_soaks_anew),
	    cmocka_unit_test(steps_that_are_taken_away_hold_nobody),
	    cmocka_unit_test(a_step_that_is_added_after_the_others_is_a_barrier_again),
	    cmocka_unit_test(failures_stop_it_by_themselves),
	    cmocka_unit_test(a_step_with_too_many_failures_is_not_passed),
	    cmocka_unit_test(a_failed_canary_touches_nobody_else),
	    cmocka_unit_test(troubles_of_their_own_stop_nobody_else),
	    cmocka_unit_test(it_goes_on_when_failed_nodes_recover),
	    cmocka_unit_test(it_goes_on_when_a_user_tolerates_more_failures),
	    cmocka_unit_test(failures_can_roll_it_back),
	    cmocka_unit_test(what_was_rolled_back_is_not_tried_again),
	    cmocka_unit_test(a_restart_tries_again_once),
	    cmocka_unit_test(a_restart_begins_the_steps_again),
	    cmocka_unit_test(a_restart_waits_while_an_abort_stands),
	    cmocka_unit_test(without_a_current_revision_a_rollback_is_a_stop),
	    cmocka_unit_test(an_abort_takes_the_current_revision_back),
	    cmocka_unit_test(an_abort_that_is_taken_away_at_once_was_an_abort),
	    cmocka_unit_test(an_abort_with_nothing_to_go_back_to_is_a_pause),
	    cmocka_unit_test(an_abort_comes_too_late_for_what_is_complete),
	    cmocka_unit_test(a_paused_rollout_keeps_its_step),
	    cmocka_unit_test(annotations_pause_and_resume_and_expire_with_the_revision),
	    cmocka_unit_test(an_edit_while_paused_starts_over_and_stays_paused),
	    cmocka_unit_test(a_pause_holds_back_a_rollback_for_failures_but_none_under_way),
	    cmocka_unit_test(going_back_to_the_current_revision_knows_the_budget_but_no_steps),
	    cmocka_unit_test(completion_waits_for_those_that_can_be_expected),
	    cmocka_unit_test(a_profile_that_selects_no_node_waits_in_silence),
	    cmocka_unit_test(absent_nodes_that_come_back_are_updated_within_the_budget),
	    cmocka_unit_test(what_is_complete_stays_so),
	    cmocka_unit_test(a_deadline_reports_and_rolls_nothing_back),
	    cmocka_unit_test(a_step_passed_is_progress),
	    cmocka_unit_test(a_node_that_comes_and_goes_is_no_progress),
	    cmocka_unit_test(nodes_that_leave_do_not_hide_progress),
	    cmocka_unit_test(the_deadline_is_not_counted_while_paused_or_soaking_or_stopped),
	    cmocka_unit_test(settling_nodes_are_looked_at_when_they_have_settled),
	    cmocka_unit_test(a_clock_set_back_wedges_nothing),
	    cmocka_unit_test(an_edit_in_mid_rollout_starts_over),
	    cmocka_unit_test(a_new_leader_goes_on_in_the_same_step_and_soak),
	    cmocka_unit_test(a_new_leader_keeps_a_stop_until_the_failed_ones_were_heard_of),
	    cmocka_unit_test(a_new_leader_ends_a_rollback_only_when_all_were_heard_of),
	    cmocka_unit_test(the_same_facts_give_the_same_plan),
	    cmocka_unit_test(a_restart_token_that_does_not_fit_is_no_token),
	    cmocka_unit_test(any_walk_keeps_the_budget_and_ends_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
