#include "base/clock.h"
#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * From a plan to nodes that are told:
 *
 *  - Each placement's share in the rollout is counted, and candidates are queued, whenever a
 *    placement is judged: engine_rollout_share().
 *  - engine_rollout_step() gives the counts to the planner, which says how many candidates are told
 *    the target now, and tells them; until nothing more is granted.
 *  - When the planner says that it is complete, the target becomes the current revision.
 *
 * What else can happen:
 *
 *  - A new target: all shares are reckoned anew; what nodes were told stays what they were told.
 *  - A rollback: those told the target are told the current one, the latest first.
 *  - A new leader: what nodes were told is what their agents say; status.rollout says how far the
 *    rollout had come. A revision that is known by its id only is read back first.
 */

/* Revisions that agents name and that are read back for it, at one time. */
enum { ROLLOUT_ADOPTED_MAX = 8 };

void engine_rollout_init(struct aap *aap)
{
	struct rollout *r = &aap->rollout;

	list_init(&r->old_astray);
	list_init(&r->empty_astray);
	list_init(&r->troubled);
	list_init(&r->settling);
	list_init(&r->told);
	r->plan.next_ms = INT64_MAX;
}

void engine_rollout_deinit(struct aap *aap)
{
	rollout_queue_deinit(&aap->rollout.old);
	rollout_queue_deinit(&aap->rollout.empty);
	free(aap->rollout.blame);
}

const char *engine_current(const struct aap *aap)
{
	return aap->current_lost ? "" : aap->current_id;
}

/* What survives a restart. */

static void engine_recall_id(struct json_object *status, const char *path,
			     char out[PROFILE_REVISION_SIZE])
{
	const char *id = js_str_or_empty(status, path);

	*out = '\0';
	if (str_is_hex(id, PROFILE_REVISION_SIZE - 1))
		memcpy(out, id, PROFILE_REVISION_SIZE);
}

void engine_rollout_recall(struct aap *aap)
{
	struct rollout_state *s = &aap->rollout.state;
	struct json_object *status = js_object(aap->object, "status");
	const char *hash = js_str_or_empty(status, "rollout.step.hash");

	*s = (struct rollout_state){0};
	aap->rollout.told_before = 0;
	engine_recall_id(status, "currentRevision", aap->current_id);
	aap->current = engine_revision_find(aap, aap->current_id);
	engine_recall_id(status, "rollout.revision", s->revision);
	if (!*s->revision ||
	    !rollout_phase_parse(js_str_or_empty(status, "rollout.phase"), &s->phase)) {
		*s = (struct rollout_state){0};
		return;
	}
	clock_parse(js_str(status, "rollout.startedAt"), &s->started_ms);
	s->step = (unsigned int)js_i64(status, "rollout.step.index", 0);
	clock_parse(js_str(status, "rollout.step.startedAt"), &s->step_started_ms);
	snprintf(s->step_hash, sizeof(s->step_hash), "%s", hash);
	snprintf(s->restart, sizeof(s->restart), "%s", js_str_or_empty(status, "rollout.restart"));
	if (str_equal(js_str(status, "updateRevision"), s->revision))
		aap->rollout.told_before = js_i64(status, "updatedNodes", 0);
}

/* In whole seconds, rounded up: a soak must not end early because somebody else goes on with it. */
static void engine_rollout_put_time(struct json_object *obj, const char *key, int64_t ms)
{
	char text[CLOCK_TEXT_MAX];

	if (!ms)
		return;
	clock_format(ms + 999, text);
	js_put_str(obj, key, text);
}

struct json_object *engine_rollout_status(const struct aap *aap)
{
	const struct rollout_state *s = &aap->rollout.state;
	struct json_object *obj, *step;

	if (!*s->revision)
		return NULL;
	obj = js_new();
	js_put_str(obj, "revision", s->revision);
	js_put_str(obj, "phase", rollout_phase_name(s->phase));
	engine_rollout_put_time(obj, "startedAt", s->started_ms);
	if (*s->step_hash) {
		step = js_new();
		js_put_i64(step, "index", s->step);
		engine_rollout_put_time(step, "startedAt", s->step_started_ms);
		js_put_str(step, "hash", s->step_hash);
		js_put(obj, "step", step);
	}
	if (*s->restart)
		js_put_str(obj, "restart", s->restart);
	return obj;
}

/* Shares. */

static struct list *engine_rollout_list(const struct placement *p)
{
	struct aap *aap = p->aap;
	bool astray = !p->assigned || p->assigned != aap->current;

	switch (p->share.class_) {
	case ROLLOUT_OLD:
		return astray ? &aap->rollout.old_astray : NULL;
	case ROLLOUT_EMPTY:
		return astray ? &aap->rollout.empty_astray : NULL;
	case ROLLOUT_TROUBLED:
		return p->assigned != aap->served ? &aap->rollout.troubled : NULL;
	case ROLLOUT_SETTLING:
		return &aap->rollout.settling;
	default:
		return NULL;
	}
}

/* Those that settle are kept in the order in which they will have, which is as a rule that in which
 * they come. */
static void engine_rollout_enlist(struct placement *p)
{
	struct list *list = engine_rollout_list(p), *at = list;

	list_remove(&p->link);
	if (!list)
		return;
	while (list == &p->aap->rollout.settling && at->prev != list &&
	       container_of(at->prev, struct placement, link)->loaded_ms > p->loaded_ms)
		at = at->prev;
	list_append(at, &p->link);
}

/* One that was told the target, and then another revision, is no candidate before it has taken note
 * of that: its agent would not see that it was told anything, and not try again. */
static void engine_rollout_enqueue(struct placement *p)
{
	struct rollout *r = &p->aap->rollout;
	bool old = p->share.class_ == ROLLOUT_OLD && !p->share.unaware;
	bool empty = p->share.class_ == ROLLOUT_EMPTY && !p->share.unaware;

	if (!old)
		rollout_queue_remove(&r->old, &p->entry);
	if (!empty)
		rollout_queue_remove(&r->empty, &p->entry);
	if (p->entry.at || !(old || empty))
		return;
	rollout_entry_key(&p->entry, p->node->uid, p->aap->spec.uid, p->aap->served->id);
	rollout_queue_push(old ? &r->old : &r->empty, &p->entry, p->node->zone);
}

static bool engine_rollout_is_same(const struct placement_share *a, const struct placement_share *b)
{
	return a->class_ == b->class_ && a->holds_other == b->holds_other && a->back == b->back &&
	       a->unaware == b->unaware && a->never == b->never && a->here == b->here;
}

void engine_rollout_share(struct engine *e, struct placement *p, struct placement_share share)
{
	struct aap *aap = p->aap;

	(void)e;
	if (!engine_rollout_is_same(&p->share, &share)) {
		placement_count_share(&aap->counts, &p->share, -1);
		placement_count_share(&aap->counts, &share, 1);
		p->share = share;
		aap->rollout.due = true;
	}
	engine_rollout_enlist(p);
	engine_rollout_enqueue(p);
}

static void engine_rollout_withdraw(struct placement *p)
{
	rollout_queue_remove(&p->aap->rollout.old, &p->entry);
	rollout_queue_remove(&p->aap->rollout.empty, &p->entry);
	list_remove(&p->link);
	list_remove(&p->told);
	placement_count_share(&p->aap->counts, &p->share, -1);
	p->share = (struct placement_share){0};
	placement_count_share(&p->aap->counts, &p->share, 1);
	p->aap->rollout.due = true;
}

void engine_rollout_forget(struct placement *p)
{
	engine_rollout_withdraw(p);
	placement_count_share(&p->aap->counts, &p->share, -1);
	engine_revision_take(&p->assigned, NULL);
	engine_revision_take(&p->before, NULL);
}

void engine_rollout_adopt(struct engine *e, struct placement *p)
{
	const struct sync_status *report = p->node->reported ? engine_place_report(p) : NULL;
	struct revision *rev;

	if (!p->selected || p->assigned || !report || !*report->target ||
	    (report->state != SYNC_STATE_PENDING && report->state != SYNC_STATE_LOADED &&
	     report->state != SYNC_STATE_FAILED && report->state != SYNC_STATE_DRIFTED))
		return;
	rev = engine_revision_find(p->aap, report->target);
	if (rev) {
		p->aap->rollout.told_heard += rev == p->aap->served;
		engine_tell(e, p, rev);
	} else if (p->aap->n_fetches < ROLLOUT_ADOPTED_MAX) {
		engine_fetch(p->aap, report->target);
		engine_mark_step(e, p->aap);
	}
}

/* What they were told stays; all else is reckoned anew. */
void engine_rollout_retarget(struct engine *e, struct aap *aap)
{
	struct rollout *r = &aap->rollout;
	bool again = strcmp(r->state.revision, aap->served->id) == 0;
	void *value;
	size_t it = 0;

	r->min_ready_ms = aap->spec.rollout.min_ready_s * 1000;
	r->told_before = again ? r->told_before : 0;
	r->told_heard = 0;
	mem_replace(&r->blame, NULL);
	while (map_next(&aap->placements, &it, NULL, &value))
		engine_rollout_withdraw(value);
	for (it = 0; map_next(&aap->placements, &it, NULL, &value);) {
		struct placement *p = value;

		p->loaded_ms = 0;
		if (p->assigned == aap->served) {
			r->told_heard++;
			list_append(&r->told, &p->told);
		}
		engine_place_again(e, p);
	}
	for (it = 0; map_next(&aap->placements, &it, NULL, &value);)
		engine_rollout_adopt(e, value);
}

/* Planning. */

/* Those that have settled are done. Returns when the next will be. */
static int64_t engine_rollout_settle(struct engine *e, struct aap *aap)
{
	struct rollout *r = &aap->rollout;

	while (!list_is_empty(&r->settling)) {
		struct placement *p = container_of(r->settling.next, struct placement, link);

		if (p->loaded_ms + r->min_ready_ms > e->now_ms)
			return p->loaded_ms + r->min_ready_ms;
		engine_place_again(e, p);
	}
	return INT64_MAX;
}

/* The user changed minReadySeconds. */
static void engine_rollout_settle_anew(struct engine *e, struct aap *aap)
{
	int64_t min_ready_ms = aap->spec.rollout.min_ready_s * 1000;
	void *value;
	size_t it = 0;

	if (aap->rollout.min_ready_ms == min_ready_ms)
		return;
	aap->rollout.min_ready_ms = min_ready_ms;
	while (map_next(&aap->placements, &it, NULL, &value))
		engine_place_again(e, value);
}

/* Nodes that have not been heard of since we lead and may have been told by a former leader. */
static int64_t engine_rollout_told_unheard(const struct aap *aap)
{
	int64_t n = aap->rollout.told_before - aap->rollout.told_heard;

	n = n < aap->counts.never ? n : aap->counts.never;
	return n > 0 ? n : 0;
}

/* Nodes that have to go back. While that to which they go is read back none can be told. */
static int64_t engine_rollout_to_go_back(const struct aap *aap)
{
	int64_t n = aap->counts.back;

	if (!aap->current)
		LIST_FOREACH(item, &aap->rollout.told)
			n += container_of(item, struct placement, told)->share.here;
	return n;
}

static struct rollout_plan engine_rollout_plan(struct engine *e, struct aap *aap)
{
	struct rollout_facts facts = {
	    .target = aap->served->id,
	    .current = engine_current(aap),
	    .spec = aap->spec.has_rollout ? &aap->spec.rollout : NULL,
	    .wish = &aap->spec.wish,
	    .state = &aap->rollout.state,
	    .desired = aap->counts.desired,
	    .holding_other = aap->counts.holds_other,
	    .told_unheard = engine_rollout_told_unheard(aap),
	    .back = engine_rollout_to_go_back(aap),
	    .next_settled_ms = engine_rollout_settle(e, aap),
	    .now_ms = e->now_ms,
	};

	memcpy(facts.counts, aap->counts.by_class, sizeof(facts.counts));
	return rollout_plan(&facts);
}

/* Each of a list is told a revision. One that is told moves to another list, or to this one's end.
 */
static size_t engine_rollout_tell_all(struct engine *e, struct list *list, struct revision *rev)
{
	size_t n = 0;

	LIST_FOREACH(item, list) {
		struct placement *p = container_of(item, struct placement, link);

		if (p->assigned == rev)
			continue;
		engine_tell(e, p, rev);
		n++;
	}
	return n;
}

static size_t engine_rollout_back(struct engine *e, struct aap *aap)
{
	struct rollout *r = &aap->rollout;
	size_t n = 0;

	if (!aap->current || aap->current == aap->served)
		return 0;
	if (!r->blame && aap->counts.by_class[ROLLOUT_FAILED] > 0)
		r->blame = engine_failures(aap);
	while (!list_is_empty(&r->told)) {
		engine_tell(e, container_of(r->told.prev, struct placement, told), aap->current);
		n++;
	}
	n += engine_rollout_tell_all(e, &r->old_astray, aap->current);
	n += engine_rollout_tell_all(e, &r->empty_astray, aap->current);
	n += engine_rollout_tell_all(e, &r->troubled, aap->current);
	return n;
}

/* What failed is given another chance: it is told what it had, and so becomes a candidate again. */
static size_t engine_rollout_restart(struct engine *e, struct aap *aap)
{
	size_t n = 0;

	mem_replace(&aap->rollout.blame, NULL);
	LIST_FOREACH(item, &aap->rollout.told) {
		struct placement *p = container_of(item, struct placement, told);

		if (p->share.class_ != ROLLOUT_FAILED || !aap->current ||
		    aap->current == aap->served)
			continue;
		engine_tell(e, p, aap->current);
		n++;
	}
	return n;
}

static size_t engine_rollout_grant(struct engine *e, struct aap *aap, struct rollout_queue *q,
				   int64_t grant)
{
	struct rollout_entry *entry;
	size_t n = 0;

	while (grant-- > 0 && (entry = rollout_queue_pop(q))) {
		engine_tell(e, container_of(entry, struct placement, entry), aap->served);
		n++;
	}
	return n;
}

static size_t engine_rollout_complete(struct engine *e, struct aap *aap)
{
	aap->current = aap->served;
	memcpy(aap->current_id, aap->served->id, sizeof(aap->current_id));
	aap->current_lost = false;
	return engine_rollout_tell_all(e, &aap->rollout.troubled, aap->served);
}

/* Returns how many nodes were told something. */
static size_t engine_rollout_act(struct engine *e, struct aap *aap, const struct rollout_plan *plan)
{
	struct rollout *r = &aap->rollout;
	size_t n = 0;

	rollout_queue_set_order(&r->old, plan->by_zone);
	rollout_queue_set_order(&r->empty, plan->by_zone);
	if (plan->complete)
		n += engine_rollout_complete(e, aap);
	if (plan->roll_back)
		return n + engine_rollout_back(e, aap);
	if (plan->empty_current && aap->current)
		n += engine_rollout_tell_all(e, &r->empty_astray, aap->current);
	n += engine_rollout_grant(e, aap, &r->empty, plan->grant_empty);
	n += engine_rollout_grant(e, aap, &r->old, plan->grant);
	return n;
}

/* Is there anything in it for a reader of status? What is counted there marks it by itself. */
static bool engine_rollout_says_other(const struct rollout_plan *a, const struct rollout_plan *b)
{
	return a->state.phase != b->state.phase || a->state.step != b->state.step ||
	       a->state.step_started_ms != b->state.step_started_ms ||
	       strcmp(a->state.revision, b->state.revision) != 0 ||
	       strcmp(a->state.restart, b->state.restart) != 0 || a->stopped != b->stopped ||
	       a->deadline_exceeded != b->deadline_exceeded || strcmp(a->why, b->why) != 0;
}

void engine_rollout_step(struct engine *e, struct aap *aap)
{
	struct rollout *r = &aap->rollout;
	struct rollout_plan before = r->plan;
	bool restarted;

	aap->plan_ms = INT64_MAX;
	r->due = false;
	if (!r->may || !aap->served)
		return;
	engine_rollout_settle_anew(e, aap);
	do {
		r->plan = engine_rollout_plan(e, aap);
		restarted = strcmp(r->plan.state.restart, r->state.restart) != 0;
		r->state = r->plan.state;
	} while ((restarted && engine_rollout_restart(e, aap) > 0) ||
		 engine_rollout_act(e, aap, &r->plan) > 0);
	aap->plan_ms = r->plan.next_ms;
	r->due = false;
	if (engine_rollout_says_other(&before, &r->plan))
		aap->status_dirty = true;
}
