#include "controller/rollout_plan.h"

#include "base/str.h"
#include "controller/rollout_view.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * In this order: whose rollout is it (a new target and a restart begin anew), is it over or going
 * back, does a user abort it, do failures stop it, which steps are passed, is it complete, and only
 * then how many nodes more.
 */

static const char *const rollout_phase_names[ROLLOUT_PHASE_COUNT] = {
    [ROLLOUT_PROGRESSING] = "Progressing",
    [ROLLOUT_SOAKING] = "Soaking",
    [ROLLOUT_PAUSED] = "Paused",
    [ROLLOUT_STOPPED] = "Failed",
    [ROLLOUT_ROLLING_BACK] = "RollingBack",
    [ROLLOUT_ROLLED_BACK] = "RolledBack",
    [ROLLOUT_ABORTED] = "Aborted",
    [ROLLOUT_COMPLETE] = "Complete",
};

const char *rollout_phase_name(enum rollout_phase phase)
{
	return rollout_phase_names[phase];
}

bool rollout_phase_parse(const char *word, enum rollout_phase *ret)
{
	int i;

	for (i = 0; i < ROLLOUT_PHASE_COUNT; i++) {
		if (!str_equal(word, rollout_phase_names[i]))
			continue;
		*ret = (enum rollout_phase)i;
		return true;
	}
	return false;
}

static int64_t rollout_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t rollout_max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int64_t rollout_step_nodes(const struct rollout_spec *spec, unsigned int step, int64_t desired)
{
	return rollout_min(rollout_amount_of(spec->steps[step].nodes, desired), desired);
}

void rollout_step_hash(const struct rollout_step *step, char out[SHA256_HEX])
{
	char text[80];
	int n = snprintf(text, sizeof(text), "nodes %lld%s soak %lld", (long long)step->nodes.value,
			 step->nodes.is_percent ? "%" : "", (long long)step->soak_s);

	sha256_hex(text, (size_t)n, out);
}

static void rollout_say(struct rollout_plan *plan, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void rollout_say(struct rollout_plan *plan, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(plan->why, sizeof(plan->why), fmt, args);
	va_end(args);
}

static void rollout_next(const struct rollout_view *v, struct rollout_plan *plan, int64_t at_ms)
{
	if (at_ms <= v->f->now_ms)
		at_ms = v->f->now_ms + 1;
	plan->next_ms = rollout_min(plan->next_ms, at_ms);
}

/* Does the state speak of this rollout? A new one begins where not, or where a user says so. */
static void rollout_begin(const struct rollout_facts *f, struct rollout_state *st)
{
	bool same = strcmp(st->revision, f->target) == 0;
	const char *token = rollout_restart_token(f, st);

	if (same && !token)
		return;
	*st = (struct rollout_state){.started_ms = f->now_ms};
	snprintf(st->revision, sizeof(st->revision), "%s", f->target);
	if (token)
		snprintf(st->restart, sizeof(st->restart), "%s", token);
}

static void rollout_enter_step(const struct rollout_view *v, struct rollout_state *st,
			       unsigned int step)
{
	st->step = step;
	st->step_started_ms = 0;
	st->step_hash[0] = '\0';
	if (step < v->spec->n_steps)
		rollout_step_hash(&v->spec->steps[step], st->step_hash);
}

/* Spec may have another step where the state has one: that is entered anew. */
static void rollout_find_step(const struct rollout_view *v, struct rollout_state *st)
{
	unsigned int n = (unsigned int)v->spec->n_steps;
	char hash[SHA256_HEX] = "";

	if (st->step > n || v->proven || st->phase == ROLLOUT_COMPLETE)
		st->step = n;
	if (st->step < n)
		rollout_step_hash(&v->spec->steps[st->step], hash);
	if (strcmp(hash, st->step_hash) != 0)
		rollout_enter_step(v, st, st->step);
}

/* To go on with what a user aborts is wrong even where there is nothing to go back to. */
static bool rollout_is_held(const struct rollout_view *v)
{
	return v->paused || (v->aborting && !v->can_go_back);
}

static bool rollout_in_step(const struct rollout_view *v, const struct rollout_state *st)
{
	return st->step < v->spec->n_steps;
}

static bool rollout_step_filled(const struct rollout_view *v, const struct rollout_state *st)
{
	int64_t nodes = rollout_step_nodes(v->spec, st->step, v->f->desired);
	int64_t done = v->counts[ROLLOUT_DONE];

	return done > 0 && done + v->counts[ROLLOUT_FAILED] >= rollout_min(nodes, v->reachable);
}

/* A filled step soaks. Returns until when; INT64_MAX: until a user says so. */
static int64_t rollout_soak_until(const struct rollout_view *v, struct rollout_state *st)
{
	int64_t soak_s = v->spec->steps[st->step].soak_s;
	int64_t now_ms = v->f->now_ms;

	if (st->step_started_ms == 0 || st->step_started_ms > now_ms)
		st->step_started_ms = now_ms;
	if (rollout_promoted(v->f) > st->step)
		return now_ms;
	return soak_s < 0 ? INT64_MAX : st->step_started_ms + soak_s * 1000;
}

/* Go past the steps that are over. True when the one under way is filled and waits. */
static bool rollout_pass_steps(const struct rollout_view *v, struct rollout_plan *plan)
{
	struct rollout_state *st = &plan->state;

	while (rollout_in_step(v, st) && rollout_step_filled(v, st)) {
		int64_t until_ms = rollout_soak_until(v, st);

		if (rollout_is_held(v))
			return true;
		if (until_ms > v->f->now_ms) {
			rollout_next(v, plan, until_ms);
			return true;
		}
		rollout_enter_step(v, st, st->step + 1);
		st->progress_ms = v->f->now_ms;
	}
	return false;
}

/* All that can be expected are done; at least one is, unless it is known that the revision can be
 * loaded. */
static bool rollout_is_done(const struct rollout_view *v, const struct rollout_state *st)
{
	return !rollout_in_step(v, st) && v->counts[ROLLOUT_DONE] == v->reachable &&
	       (v->counts[ROLLOUT_DONE] > 0 || v->proven);
}

/* Where failures stopped it under a former leader, the failed nodes may be among those not heard
 * of yet. */
static bool rollout_is_failing(const struct rollout_view *v, const struct rollout_state *st)
{
	int64_t failed = v->counts[ROLLOUT_FAILED];

	if (st->phase == ROLLOUT_STOPPED)
		failed += v->unknown;
	return failed >= v->max_failed;
}

static void rollout_grant(const struct rollout_view *v, struct rollout_plan *plan)
{
	int64_t room = INT64_MAX;

	if (rollout_in_step(v, &plan->state))
		room = rollout_step_nodes(v->spec, plan->state.step, v->f->desired) - v->placed;
	room = rollout_max(room, 0);
	if (!plan->empty_current)
		plan->grant_empty = rollout_min(v->counts[ROLLOUT_EMPTY], room);
	room -= plan->grant_empty;
	plan->grant = rollout_min(v->counts[ROLLOUT_OLD], rollout_min(room, v->free));
	plan->grant = rollout_max(plan->grant, 0);
}

/* Of a rollout that is over: nodes that join get the target, those that come back have to keep to
 * the budget. */
static void rollout_serve(const struct rollout_view *v, struct rollout_plan *plan)
{
	bool failing = rollout_is_failing(v, &plan->state);

	plan->complete = true;
	rollout_grant(v, plan);
	if (!failing && !v->paused)
		return;
	plan->grant = 0;
	if (v->counts[ROLLOUT_OLD] == 0)
		return;
	plan->stopped = failing;
	if (failing)
		rollout_say(plan, "maxFailed (%lld) was reached: nodes that came back wait",
			    (long long)v->max_failed);
	else
		rollout_say(plan, "nodes that came back wait while it is paused");
}

static void rollout_say_back(const struct rollout_view *v, struct rollout_plan *plan)
{
	const struct rollout_state *st = &plan->state;

	rollout_say(plan, "%s %s, because %s",
		    st->phase == ROLLOUT_ROLLING_BACK ? "nodes go back to" : "nodes went back to",
		    v->can_go_back ? v->f->current : "what is no longer known",
		    st->aborted || st->phase == ROLLOUT_ABORTED ? "a user aborted it"
								: "too many nodes failed");
}

/* Whether all are back can be seen only once nodes were told so: in the plan after this one. */
static void rollout_turn_back(const struct rollout_view *v, struct rollout_plan *plan)
{
	plan->state.phase = ROLLOUT_ROLLING_BACK;
	plan->state.aborted = v->aborting;
	plan->roll_back = true;
	rollout_next(v, plan, 0);
	rollout_say_back(v, plan);
}

static void rollout_go_back(const struct rollout_view *v, struct rollout_plan *plan)
{
	struct rollout_state *st = &plan->state;

	plan->roll_back = v->can_go_back;
	if (st->phase == ROLLOUT_ROLLING_BACK) {
		st->aborted = st->aborted || v->aborting;
		if (v->f->back == 0 && v->counts[ROLLOUT_UNHEARD] == 0)
			st->phase = st->aborted ? ROLLOUT_ABORTED : ROLLOUT_ROLLED_BACK;
	}
	rollout_say_back(v, plan);
}

static void rollout_stop(const struct rollout_view *v, struct rollout_plan *plan)
{
	plan->state.phase = ROLLOUT_STOPPED;
	plan->stopped = true;
	if (v->spec->on_failure == ROLLOUT_ON_FAILURE_ROLLBACK && v->can_go_back && v->paused)
		rollout_say(plan, "maxFailed (%lld) was reached; it rolls back when it is resumed",
			    (long long)v->max_failed);
	else
		rollout_say(
		    plan,
		    "maxFailed (%lld) was reached: no further node is told until failed ones "
		    "recover, spec changes or it is aborted",
		    (long long)v->max_failed);
}

static void rollout_pause(const struct rollout_view *v, struct rollout_plan *plan)
{
	plan->state.phase = ROLLOUT_PAUSED;
	if (v->aborting)
		rollout_say(plan, "aborted, and there is no other revision to go back to");
	else
		rollout_say(plan, "paused by %s",
			    rollout_pause_annotated(v->f)
				? "the annotation " ROLLOUT_PAUSE_ANNOTATION
				: "spec.rollout.paused");
}

static void rollout_soak(const struct rollout_view *v, struct rollout_plan *plan)
{
	unsigned int step = plan->state.step;
	int64_t soak_s = v->spec->steps[step].soak_s;

	plan->state.phase = ROLLOUT_SOAKING;
	rollout_grant(v, plan);
	if (soak_s < 0)
		rollout_say(plan, "step %u of %zu waits to be promoted", step + 1,
			    v->spec->n_steps);
	else
		rollout_say(plan, "step %u of %zu soaks for %lld s", step + 1, v->spec->n_steps,
			    (long long)soak_s);
}

static void rollout_say_nodes(struct rollout_plan *plan, const char *before, int64_t n,
			      const char *after)
{
	rollout_say(plan, "%s%lld node%s%s", before, (long long)n, n == 1 ? "" : "s", after);
}

static void rollout_say_step(const struct rollout_view *v, struct rollout_plan *plan)
{
	unsigned int step = plan->state.step;
	char before[48];

	snprintf(before, sizeof(before), "step %u of %zu: ", step + 1, v->spec->n_steps);
	rollout_say_nodes(plan, before, rollout_step_nodes(v->spec, step, v->f->desired), "");
}

static void rollout_say_progress(const struct rollout_view *v, struct rollout_plan *plan)
{
	bool short_of_budget = v->counts[ROLLOUT_OLD] > 0 && v->free <= 0;

	if (v->f->desired == 0)
		rollout_say(plan, "there is no node to update");
	else if (short_of_budget && v->unknown > 0)
		rollout_say(plan, "waiting for nodes that have not reported yet");
	else if (rollout_in_step(v, &plan->state))
		rollout_say_step(v, plan);
	else if (v->counts[ROLLOUT_OLD] > 0)
		rollout_say_nodes(plan, "at most ",
				  rollout_amount_of(v->spec->max_unavailable, v->f->desired),
				  " at a time");
	else
		rollout_say(plan, "waiting for the last nodes to confirm");
}

static void rollout_progress(const struct rollout_view *v, struct rollout_plan *plan)
{
	plan->state.phase = ROLLOUT_PROGRESSING;
	rollout_grant(v, plan);
	rollout_say_progress(v, plan);
}

/* What to do with a rollout that is neither over nor going back. */
static void rollout_go_on(const struct rollout_view *v, struct rollout_plan *plan)
{
	bool failing = rollout_is_failing(v, &plan->state);
	bool waits = !failing && rollout_pass_steps(v, plan);

	if (rollout_is_done(v, &plan->state)) {
		plan->state.phase = ROLLOUT_COMPLETE;
		plan->empty_current = false;
		rollout_serve(v, plan);
	} else if (v->counts[ROLLOUT_FAILED] >= v->max_failed && v->can_go_back && !v->paused &&
		   v->spec->on_failure == ROLLOUT_ON_FAILURE_ROLLBACK) {
		rollout_turn_back(v, plan);
	} else if (failing) {
		rollout_stop(v, plan);
	} else if (rollout_is_held(v)) {
		rollout_pause(v, plan);
	} else if (waits) {
		rollout_soak(v, plan);
	} else {
		rollout_progress(v, plan);
	}
}

/* One more is done than ever before. Nodes that leave take what they had done with them, and a
 * node that comes and goes does not pass for progress. */
static void rollout_note_progress(const struct rollout_view *v, struct rollout_state *st)
{
	int64_t done = v->counts[ROLLOUT_DONE], now_ms = v->f->now_ms;

	if (st->progress_ms == 0 || st->progress_ms > now_ms || done > st->done)
		st->progress_ms = now_ms;
	if (v->f->desired < st->desired)
		st->done -= st->desired - v->f->desired;
	st->done = rollout_max(st->done, done);
	st->desired = v->f->desired;
}

/* The clock stands still while nothing is meant to happen. */
static void rollout_watch_deadline(const struct rollout_view *v, struct rollout_plan *plan)
{
	struct rollout_state *st = &plan->state;
	int64_t deadline_ms;

	if (st->phase != ROLLOUT_PROGRESSING || v->f->desired == 0) {
		st->progress_ms = v->f->now_ms;
		return;
	}
	deadline_ms = st->progress_ms + v->spec->progress_deadline_s * 1000;
	plan->deadline_exceeded = v->f->now_ms >= deadline_ms;
	if (!plan->deadline_exceeded)
		rollout_next(v, plan, deadline_ms);
}

/* Should status have lost what to go back to, what was bad is not tried again for that. */
static bool rollout_is_back(const struct rollout_view *v, const struct rollout_state *st)
{
	return !v->proven && (st->phase == ROLLOUT_ROLLING_BACK ||
			      st->phase == ROLLOUT_ROLLED_BACK || st->phase == ROLLOUT_ABORTED);
}

struct rollout_plan rollout_plan(const struct rollout_facts *f)
{
	struct rollout_plan plan = {.state = *f->state, .next_ms = INT64_MAX};
	struct rollout_view v;

	rollout_look(&v, f);
	rollout_begin(f, &plan.state);
	rollout_find_step(&v, &plan.state);
	rollout_note_progress(&v, &plan.state);
	plan.empty_current = v.can_go_back && plan.state.phase != ROLLOUT_COMPLETE;
	if (plan.state.phase == ROLLOUT_COMPLETE)
		rollout_serve(&v, &plan);
	else if (rollout_is_back(&v, &plan.state))
		rollout_go_back(&v, &plan);
	else if (v.aborting && v.can_go_back)
		rollout_turn_back(&v, &plan);
	else
		rollout_go_on(&v, &plan);
	plan.by_zone = !rollout_in_step(&v, &plan.state);
	if (v.counts[ROLLOUT_SETTLING] > 0)
		rollout_next(&v, &plan, f->next_settled_ms);
	rollout_watch_deadline(&v, &plan);
	return plan;
}
