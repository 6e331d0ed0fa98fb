#include "controller/engine_priv.h"

#include "base/mem.h"
#include "base/str.h"
#include "kube/patch.h"

#include <stdlib.h>
#include <string.h>

/*
 * One profile, from what the user wrote to what nodes are told:
 *
 *  - engine_profile_want() reads which revision spec asks for.
 *  - engine_profile_step(): the profile holds its name; our finalizer goes on, and meanwhile the
 *    revision is compiled for each kind of kernel that it needs.
 *  - Once all of these have ended and one at least succeeded, it is accepted, and its
 * ControllerRevision is written.
 *  - With both there, it is served: the planner says which nodes are told.
 *  - Status follows, when it changed and may be written.
 *
 * What else can happen:
 *
 *  - The text is refused: nodes keep what is served, and status says both. Where nothing is served
 * because we lead only since then, the last good revision is read back from its ControllerRevision.
 *  - Another profile holds the name: nothing is served until that one goes.
 *  - It is disabled or being deleted: engine_removal.c.
 */

void engine_profile_free(struct aap *aap)
{
	engine_rollout_deinit(aap);
	map_clear(&aap->placements, free);
	engine_revisions_free(aap);
	profile_clear(&aap->spec);
	json_object_put(aap->object);
	free(aap->accept_message);
	free(aap->announced);
	free(aap);
}

static void engine_accept(struct aap *aap, enum accept_state state, const char *message)
{
	aap->accept = state;
	mem_replace(&aap->accept_message, mem_strdup(message));
}

void engine_profile_want(struct engine *e, struct aap *aap)
{
	struct revision *rev =
	    engine_revision_need(e, aap, aap->spec.policy, aap->spec.n_policy, aap->spec.mode);

	if (rev == aap->wanted)
		return;
	/* An edit back to what is still here compiles nothing; history is to call it the newest
	 * again, unless nothing else has been served since. */
	if (rev != aap->served)
		rev->recorded = false;
	aap->wanted = rev;
	engine_accept(aap, ACCEPT_COMPILING, "");
}

/* All builds that are needed have ended: the verdict on the text. */
static void engine_judge_builds(struct aap *aap)
{
	const struct build *bad = NULL;
	bool any = false;
	size_t i;

	for (i = 0; i < aap->n_needed; i++) {
		const struct build *build = map_get(&aap->wanted->builds, aap->needed[i]);

		if (build->state == BUILD_WAITING)
			return;
		if (build->state == BUILD_OK)
			any = true;
		else if (!bad)
			bad = build;
	}
	if (any)
		engine_accept(aap, ACCEPT_OK, bad ? bad->message : "");
	else if (bad)
		engine_accept(aap, bad->forbidden ? ACCEPT_FORBIDDEN : ACCEPT_PARSE_ERROR,
			      bad->message);
}

static int64_t engine_accept_step(struct engine *e, struct aap *aap)
{
	int64_t next;

	if (aap->accept == ACCEPT_NAME_CONFLICT)
		engine_accept(aap, ACCEPT_COMPILING, "");
	next = engine_compile(e, aap);
	if (aap->wanted->builds.n > 0)
		engine_judge_builds(aap);
	return next;
}

/* Of what a former leader served, that is read back which spec does not give: the target where
 * spec asks for something that is not (yet) accepted, and the current revision, which nodes that
 * join get until the target is complete, and to which a rollback goes. */
static int64_t engine_read_back(struct engine *e, struct aap *aap)
{
	const char *last = js_str_or_empty(aap->object, "status.updateRevision");

	if (!aap->served && aap->accept != ACCEPT_OK)
		engine_fetch(aap, last);
	if (!aap->current)
		engine_fetch(aap, aap->current_id);
	return engine_fetch_step(e, aap);
}

void engine_serve(struct engine *e, struct aap *aap, struct revision *rev)
{
	if (aap->served == rev)
		return;
	aap->served = rev;
	engine_rollout_retarget(e, aap);
}

/* Returns when to try again. */
int64_t engine_finalizer_step(struct engine *e, struct aap *aap, bool present)
{
	if (aap->spec.has_finalizer == present || aap->finalizer_asked)
		return INT64_MAX;
	if (e->now_ms < aap->finalizer_retry.due_ms)
		return aap->finalizer_retry.due_ms;
	aap->finalizer_asked = true;
	e->ops->put_finalizer(e->data, aap, present);
	return INT64_MAX;
}

static int64_t engine_serve_step(struct engine *e, struct aap *aap)
{
	int64_t next = engine_read_back(e, aap);

	if (e->now_ms < aap->record_retry.due_ms)
		next = engine_min(next, aap->record_retry.due_ms);
	else if (aap->accept == ACCEPT_OK && !aap->wanted->recorded && !aap->wanted->recording) {
		aap->wanted->recording = true;
		e->ops->record(e->data, aap, aap->wanted);
	}
	if (aap->accept == ACCEPT_OK && aap->wanted->recorded && aap->spec.has_finalizer)
		engine_serve(e, aap, aap->wanted);
	aap->rollout.may = aap->served && aap->spec.has_finalizer;
	return next;
}

static int64_t engine_decide(struct engine *e, struct aap *aap)
{
	bool deleting = aap->spec.deleting;
	int64_t next;

	/* While it is not known whether this is a deletion or the end of Hauberk here, nothing
	 * changes. */
	aap->serving = aap->holder && aap->spec.enabled && aap->ending != ENDING_DELETED;
	if (e->uninstalling || (deleting && !aap->holder))
		return engine_finalizer_step(e, aap, false);
	if (!aap->holder) {
		const struct aap *holder = engine_holder(e, aap->spec.name);
		CLEANUP(mem_freep)
		char *why = mem_printf("AppArmorProfile %s is older and holds the profile name %s: "
				       "choose another spec.profileName, or delete one of the two",
				       holder->spec.object, aap->spec.name);

		engine_accept(aap, ACCEPT_NAME_CONFLICT, why);
		if (aap->reselect)
			engine_select(e, aap);
		return INT64_MAX;
	}
	if (aap->reselect)
		engine_select(e, aap);
	if (deleting)
		return engine_removal_step(e, aap);
	next = engine_finalizer_step(e, aap, true);
	next = engine_min(next, engine_accept_step(e, aap));
	return engine_min(next, engine_serve_step(e, aap));
}

/* A former leader's words stand until all have reported, 150 s have passed or spec changed. */
static int64_t engine_status_due(struct engine *e, struct aap *aap)
{
	if (aap->status_held) {
		int64_t until = e->start_ms + ENGINE_AGENT_AWAY_MS;
		bool settled = aap->accept != ACCEPT_COMPILING && aap->counts.awaited == 0 &&
			       !(engine_is_leaving(aap) && aap->unheard);

		if (!settled && e->now_ms < until)
			return until;
		aap->status_held = false;
	}
	if (aap->accept == ACCEPT_OK && aap->served != aap->wanted && !aap->spec.deleting)
		return INT64_MAX; /* its record is on its way, and the news with it */
	return e->now_ms < aap->status_retry.due_ms ? aap->status_retry.due_ms : 0;
}

/* What is over in a moment is told once, when it is over: an outcome is written at once, that
 * something goes on when it has gone on for a while, and counters more seldom the longer it goes
 * on. So the number of writes depends neither on the number of nodes nor much on their speed; and
 * of agents that change their minds again and again not all is told. */
static int64_t engine_status_wait(const struct aap *aap)
{
	int64_t took = aap->status_written_ms - aap->moving_since_ms;
	int64_t pause = 2 * took > ENGINE_COUNTERS_MS ? 2 * took : ENGINE_COUNTERS_MS;

	if (engine_has_news(aap)) {
		int64_t due = write_rate_due(&aap->news_rate, ENGINE_NEWS_BURST, ENGINE_NEWS_MS);
		int64_t shown = aap->moving_since_ms + ENGINE_MOVING_SHOWN_MS;

		return engine_is_moving(aap) && shown > due ? shown : due;
	}
	return aap->status_written_ms + engine_min(pause, ENGINE_COUNTERS_MAX_MS);
}

/* Steps are as many as spec says, so that news of them need not be rationed. */
static bool engine_step_moved(const struct aap *aap, struct json_object *told)
{
	const struct rollout_state *now = &aap->rollout.state;
	struct json_object *was = js_object(told, "rollout");

	return str_equal(js_str(was, "revision"), now->revision) &&
	       (js_i64(was, "step.index", 0) != now->step ||
		!js_str(was, "step.startedAt") != !now->step_started_ms);
}

/* Made only where it may be written, since it costs a walk over all placements; where there is
 * nothing to be written after all, not soon again. */
static int64_t engine_status_step(struct engine *e, struct aap *aap)
{
	CLEANUP(js_putp) struct json_object *status = NULL;
	CLEANUP(js_putp) struct json_object *told = NULL;
	struct json_object *patch;
	int64_t due = engine_status_due(e, aap);

	/* An object whose finalizer is being taken off needs no last words. */
	if (aap->status_writing || e->uninstalling || (aap->spec.deleting && aap->finalizer_asked))
		return INT64_MAX;
	if (due <= e->now_ms)
		due = engine_status_wait(aap);
	if (due <= e->now_ms && aap->status_made_ms + ENGINE_COUNTERS_MS > e->now_ms &&
	    !engine_has_news(aap))
		due = aap->status_made_ms + ENGINE_COUNTERS_MS;
	if (due > e->now_ms)
		return due;
	aap->status_dirty = false;
	aap->status_made_ms = e->now_ms;
	told = engine_status_told(aap);
	status = engine_status_next(e, aap, told, ENGINE_STATUS_NODES_MAX, e->now_ms);
	patch = merge_patch_diff(told, status);
	if (!patch)
		return INT64_MAX;
	engine_announce(e, aap, status);
	if (strcmp(js_str_or_empty(told, "currentRevision"), aap->current_id) != 0 ||
	    (aap->counts.desired == 0 && engine_is_complete(aap)))
		e->ops->completed(e->data, aap);
	if (engine_has_news(aap) && !engine_step_moved(aap, told))
		write_rate_take(&aap->news_rate, ENGINE_NEWS_MS, e->now_ms);
	aap->status_writing = true;
	e->ops->write_status(e->data, aap, patch);
	return INT64_MAX;
}

static void engine_profile_wait(struct engine *e, struct aap *aap)
{
	int64_t due = engine_min(aap->step_ms, engine_min(aap->plan_ms, aap->status_ms));

	engine_due_set(e, aap, due);
	/* What it has marked itself is worked off already. */
	if (!aap->step && !aap->rollout.due)
		list_remove(&aap->dirty);
}

void engine_profile_step(struct engine *e, struct aap *aap)
{
	aap->unheard = e->n_awaited > 0;
	if (aap->step || e->now_ms >= aap->step_ms) {
		aap->step = false;
		aap->rollout.may = false;
		aap->step_ms = engine_decide(e, aap);
		aap->rollout.due = true;
	}
	if (aap->rollout.due || e->now_ms >= aap->plan_ms)
		engine_rollout_step(e, aap);
	/* Before a completion is told, so that what nobody has any more counts as old then. */
	engine_revisions_tidy(aap);
	aap->status_dirty = aap->status_dirty || e->now_ms >= aap->status_ms;
	aap->status_ms = aap->status_dirty ? engine_status_step(e, aap) : INT64_MAX;
	engine_profile_wait(e, aap);
}
