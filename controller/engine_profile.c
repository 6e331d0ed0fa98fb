#include "controller/engine_priv.h"

#include "base/mem.h"
#include "base/str.h"
#include "controller/rollout_plan.h"
#include "kube/patch.h"
#include "policy/names.h"
#include "policy/text.h"

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

static void engine_build_free(void *value)
{
	struct build *build = value;

	sync_hashes_free(build->hashes, build->n_hashes);
	free(build->message);
	free(build);
}

void engine_revision_free(struct revision *rev)
{
	if (!rev)
		return;
	map_clear(&rev->builds, engine_build_free);
	free(rev->name);
	free(rev->text);
	free(rev);
}

void engine_profile_free(struct aap *aap)
{
	if (aap->wanted != aap->served)
		engine_revision_free(aap->wanted);
	engine_revision_free(aap->served);
	map_clear(&aap->placements, free);
	profile_clear(&aap->spec);
	json_object_put(aap->object);
	free(aap->accept_message);
	free(aap->announced);
	free(aap);
}

static struct revision *engine_revision_new(const struct engine *e, const char *name,
					    const char *text, size_t n_text, enum profile_mode mode)
{
	struct revision *rev = MEM_NEW(struct revision);

	rev->name = mem_strdup(name);
	rev->mode = mode;
	rev->text = mem_strndup(text, n_text);
	rev->n_text = n_text;
	policy_revision(name, text, n_text, mode, e->compiler_id, rev->id);
	return rev;
}

static void engine_accept(struct aap *aap, enum accept_state state, const char *message)
{
	aap->accept = state;
	mem_replace(&aap->accept_message, mem_strdup(message));
}

void engine_profile_want(struct engine *e, struct aap *aap)
{
	struct revision *rev = engine_revision_new(e, aap->spec.name, aap->spec.policy,
						   aap->spec.n_policy, aap->spec.mode);

	if (aap->wanted && strcmp(aap->wanted->id, rev->id) == 0) {
		engine_revision_free(rev);
		return;
	}
	if (aap->wanted != aap->served)
		engine_revision_free(aap->wanted);
	if (aap->served && strcmp(aap->served->id, rev->id) == 0) {
		/* An edit back to what the nodes have: nothing is to be compiled. */
		engine_revision_free(rev);
		rev = aap->served;
	}
	aap->wanted = rev;
	engine_accept(aap, ACCEPT_COMPILING, "");
}

/* What can be refused without the compiler. */
static int engine_check_text(const struct aap *aap, struct err *err)
{
	int r = policy_name_check(aap->spec.name, err);

	return r < 0 ? r : policy_text_check(aap->wanted->text, aap->wanted->n_text, NULL, err);
}

/* Start what is missing of a revision's builds. Returns when to try one again. */
static int64_t engine_compile(struct engine *e, struct aap *aap, struct revision *rev)
{
	int64_t next = INT64_MAX;
	size_t i;

	for (i = 0; i < aap->n_needed; i++) {
		const char *features = aap->needed[i];
		struct build *build = map_get(&rev->builds, features);

		if (!build) {
			build = MEM_NEW(struct build);
			memcpy(build->features, features, sizeof(build->features));
			build->message = mem_strdup("");
			map_put(&rev->builds, features, build);
		}
		if (build->asked || (build->state != BUILD_WAITING && !build->lost))
			continue;
		if (build->retry_ms > e->now_ms) {
			next = build->retry_ms < next ? build->retry_ms : next;
			continue;
		}
		build->asked = true;
		e->ops->compile(e->data, aap, rev, features, engine_features_text(e, features));
	}
	return next;
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
	struct err err;

	if (aap->accept == ACCEPT_NAME_CONFLICT)
		engine_accept(aap, ACCEPT_COMPILING, "");
	if (aap->accept == ACCEPT_COMPILING && engine_check_text(aap, &err) < 0)
		engine_accept(aap, ACCEPT_FORBIDDEN, err.msg);
	if (aap->accept == ACCEPT_FORBIDDEN && aap->wanted->builds.n == 0)
		return INT64_MAX;
	next = engine_compile(e, aap, aap->wanted);
	engine_judge_builds(aap);
	return next;
}

/* Where a former leader served a revision and spec asks for another that is not (yet) accepted,
 * what was served is read back, so that nodes that join get it and status can speak of it. */
static void engine_fetch_last_good(struct engine *e, struct aap *aap)
{
	const char *last = js_str(aap->object, "status.updateRevision");

	if (aap->served || aap->fetching || !last || !str_is_hex(last, PROFILE_REVISION_SIZE - 1) ||
	    strcmp(last, aap->wanted->id) == 0 || aap->accept == ACCEPT_OK)
		return;
	aap->fetching = true;
	e->ops->fetch(e->data, aap, last);
}

void engine_fetched(struct engine *e, const char *object, const char *revision, const char *text,
		    size_t n_text, enum profile_mode mode)
{
	struct aap *aap = map_get(&e->profiles, object);
	struct revision *rev;

	if (!aap || !aap->fetching || aap->served || !text)
		return; /* `fetching` stays: what is not there is not asked for twice */
	rev = engine_revision_new(e, aap->spec.name, text, n_text, mode);
	/* Another compiler made it than ours: its id is no longer what we would call it. Serving it
	 * under a new name is an ordinary update, which waits for a person to mend the text. */
	if (strcmp(rev->id, revision) != 0) {
		engine_revision_free(rev);
		return;
	}
	rev->recorded = true;
	aap->served = rev;
	aap->reselect = true;
	engine_mark_step(e, aap);
}

static size_t engine_plan_nodes(struct aap *aap, struct plan_node *nodes,
				struct placement **placements)
{
	void *value;
	size_t it = 0, n = 0;

	while (map_next(&aap->placements, &it, NULL, &value)) {
		struct placement *p = value;
		const struct sync_status *report = engine_report_of(p->node, aap->spec.name);
		struct json_object *zone = js_get(p->node->labels, "topology.kubernetes.io/zone");

		if (!p->selected)
			continue;
		placements[n] = p;
		nodes[n++] = (struct plan_node){
		    .uid = p->node->uid,
		    .zone = zone ? json_object_get_string(zone) : "",
		    .held = report ? report->revision : "",
		    .assigned = p->assigned ? p->assigned->id : "",
		    .away = p->node->away,
		    .failed = p->state.state == NODE_FAILED,
		};
	}
	return n;
}

/* Ask the planner, and tell the nodes. */
static int64_t engine_plan(struct engine *e, struct aap *aap)
{
	CLEANUP(mem_freep)
	struct plan_node *nodes = mem_alloc(aap->placements.n, sizeof(*nodes));
	CLEANUP(mem_freep)
	struct placement **placements = mem_alloc(aap->placements.n, sizeof(struct placement *));
	CLEANUP(mem_freep)
	enum plan_choice *choices = mem_alloc(aap->placements.n, sizeof(enum plan_choice));
	struct plan_request req = {
	    .target = aap->served->id,
	    .current = js_str_or_empty(aap->object, "status.currentRevision"),
	    .nodes = nodes,
	    .n = engine_plan_nodes(aap, nodes, placements),
	    .now_ms = e->now_ms,
	};
	struct plan plan = rollout_plan(&req, choices);
	size_t i;

	for (i = 0; i < req.n; i++) {
		if (choices[i] != PLAN_TARGET || placements[i]->assigned == aap->served)
			continue;
		placements[i]->assigned = aap->served;
		engine_place_again(e, placements[i]);
	}
	return plan.next_ms;
}

/* Placements point to revisions: none may be left that points to one that goes. */
static void engine_serve(struct aap *aap)
{
	struct revision *old = aap->served;
	void *value;
	size_t it = 0;

	if (old == aap->wanted)
		return;
	while (map_next(&aap->placements, &it, NULL, &value))
		((struct placement *)value)->assigned = NULL;
	aap->served = aap->wanted;
	aap->reselect = true;
	engine_revision_free(old);
}

/* Returns when to try again. */
int64_t engine_finalizer_step(struct engine *e, struct aap *aap, bool present)
{
	if (aap->spec.has_finalizer == present || aap->finalizer_asked)
		return INT64_MAX;
	if (e->now_ms < aap->retry_ms)
		return aap->retry_ms;
	aap->finalizer_asked = true;
	e->ops->put_finalizer(e->data, aap, present);
	return INT64_MAX;
}

static int64_t engine_serve_step(struct engine *e, struct aap *aap)
{
	int64_t next = INT64_MAX, due;

	engine_fetch_last_good(e, aap);
	if (e->now_ms < aap->retry_ms)
		next = aap->retry_ms;
	else if (aap->accept == ACCEPT_OK && !aap->wanted->recorded && !aap->wanted->recording) {
		aap->wanted->recording = true;
		e->ops->record(e->data, aap, aap->wanted);
	}
	if (aap->accept == ACCEPT_OK && aap->wanted->recorded && aap->spec.has_finalizer)
		engine_serve(aap);
	if (aap->reselect)
		engine_select(e, aap);
	if (aap->served && aap->served != aap->wanted) {
		due = engine_compile(e, aap, aap->served);
		next = due < next ? due : next;
	}
	if (aap->served && aap->spec.has_finalizer) {
		due = engine_plan(e, aap);
		next = due < next ? due : next;
	}
	return next;
}

static int64_t engine_decide(struct engine *e, struct aap *aap)
{
	bool holds = engine_holder(e, aap->spec.name) == aap;
	bool deleting = aap->spec.deleting;
	int64_t next = INT64_MAX, due;

	/* While it is not known whether this is a deletion or the end of Hauberk here, nothing
	 * changes. */
	aap->serving = holds && aap->spec.enabled && aap->ending != ENDING_DELETED;
	if (e->uninstalling || (deleting && !holds))
		return engine_finalizer_step(e, aap, false);
	if (!holds) {
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
	due = engine_accept_step(e, aap);
	next = due < next ? due : next;
	due = engine_serve_step(e, aap);
	return due < next ? due : next;
}

/* A former leader's words stand until all have reported, 150 s have passed or spec changed. */
static int64_t engine_status_due(struct engine *e, struct aap *aap)
{
	if (aap->status_held) {
		int64_t until = e->start_ms + ENGINE_AGENT_AWAY_MS;
		bool settled = aap->accept != ACCEPT_COMPILING && aap->counts.awaited == 0;

		if (!settled && e->now_ms < until)
			return until;
		aap->status_held = false;
	}
	if (aap->accept == ACCEPT_OK && aap->served != aap->wanted && !aap->spec.deleting)
		return INT64_MAX; /* its record is on its way, and the news with it */
	return e->now_ms < aap->retry_ms ? aap->retry_ms : 0;
}

/* Conditions speak; the rest of status are counters that may wait. */
static bool engine_is_news(struct json_object *old, struct json_object *now)
{
	struct json_object *a = js_array(old, "conditions"), *b = js_array(now, "conditions");
	size_t i;

	if (js_len(a) != js_len(b) ||
	    js_i64(old, "observedGeneration", -1) != js_i64(now, "observedGeneration", -1))
		return true;
	for (i = 0; i < js_len(b); i++)
		if (!str_equal(js_str(js_item(a, i), "status"), js_str(js_item(b, i), "status")) ||
		    !str_equal(js_str(js_item(a, i), "reason"), js_str(js_item(b, i), "reason")))
			return true;
	return false;
}

/* What is over in a moment is told once, when it is over: an outcome is written at once, that
 * something goes on when it has gone on for a while, and counters more seldom the longer it goes
 * on. So the number of writes depends neither on the number of nodes nor much on their speed. */
static int64_t engine_status_wait(const struct aap *aap, struct json_object *old,
				  struct json_object *status)
{
	struct json_object *ready = js_item(js_array(status, "conditions"), 0);
	int64_t took = aap->status_written_ms - aap->moving_since_ms;
	int64_t pause = 2 * took > ENGINE_COUNTERS_MS ? 2 * took : ENGINE_COUNTERS_MS;

	bool moving = aap->accept == ACCEPT_COMPILING ||
		      str_equal(js_str(ready, "reason"), "RolloutInProgress");

	if (engine_is_news(old, status))
		return moving ? aap->moving_since_ms + ENGINE_MOVING_SHOWN_MS : 0;
	return aap->status_written_ms +
	       (pause < ENGINE_COUNTERS_MAX_MS ? pause : ENGINE_COUNTERS_MAX_MS);
}

/* Each outcome is announced once a revision. */
static void engine_announce(struct engine *e, struct aap *aap, struct json_object *status)
{
	struct json_object *ready = js_item(js_array(status, "conditions"), 0);
	const char *reason = js_str_or_empty(ready, "reason");
	CLEANUP(mem_freep) char *what = NULL;
	bool warning = strcmp(reason, "RolloutComplete") != 0;

	if (strcmp(reason, "RolloutInProgress") == 0)
		return;
	what = mem_printf("%s %s", reason, aap->wanted->id);
	if (str_equal(what, aap->announced))
		return;
	if (aap->announced ||
	    !str_equal(reason,
		       js_str(js_item(js_array(aap->object, "status.conditions"), 0), "reason")))
		e->ops->event(e->data, aap, warning, reason, js_str_or_empty(ready, "message"));
	mem_replace(&aap->announced, STEAL(what));
}

static int64_t engine_status_step(struct engine *e, struct aap *aap)
{
	CLEANUP(js_putp) struct json_object *status = NULL;
	struct json_object *old = js_object(aap->object, "status");
	struct json_object *patch;
	int64_t due = engine_status_due(e, aap);

	/* An object whose finalizer is being taken off needs no last words. */
	if (aap->status_writing || e->uninstalling || (aap->spec.deleting && aap->finalizer_asked))
		return INT64_MAX;
	if (due > e->now_ms)
		return due;
	status = engine_status_of(e, aap, 100, e->now_ms);
	patch = merge_patch_diff(old, status);
	aap->status_dirty = false;
	if (!patch)
		return INT64_MAX;
	due = engine_status_wait(aap, old, status);
	if (due > e->now_ms) {
		json_object_put(patch);
		aap->status_dirty = true;
		return due;
	}
	engine_announce(e, aap, status);
	if (engine_is_complete(aap) && !str_equal(js_str(old, "currentRevision"), aap->served->id))
		e->ops->completed(e->data, aap);
	aap->status_writing = true;
	e->ops->write_status(e->data, aap, patch);
	return INT64_MAX;
}

int64_t engine_profile_step(struct engine *e, struct aap *aap)
{
	int64_t next = INT64_MAX, due;

	if (aap->step) {
		aap->step = false;
		next = engine_decide(e, aap);
		/* What waits for a time is looked at again as a whole. */
		aap->step = next < INT64_MAX;
	}
	if (!aap->status_dirty)
		return next;
	due = engine_status_step(e, aap);
	return due < next ? due : next;
}
