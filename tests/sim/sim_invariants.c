#include "sim.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What must hold after each turn of the engine. It is reckoned from what the agents said and the
 * simulation kept, not from the engine's sums. Each rule is a function of its own, by whose name a
 * failure is reported.
 */

bool sim_confirmed(const struct sim_entry *e, const char *revision)
{
	return e->present && e->state == SYNC_STATE_LOADED && *revision &&
	       strcmp(e->target, revision) == 0 && e->held &&
	       strcmp(e->held->revision, revision) == 0;
}

static bool sim_holds(const struct sim_entry *e)
{
	return e->present && e->state != SYNC_STATE_ABSENT &&
	       (e->held || e->state == SYNC_STATE_DRAINING || e->state == SYNC_STATE_ORPHAN);
}

static bool sim_blames(const struct sim_entry *e)
{
	return e->reason == SYNC_REASON_LOAD_FAILED || e->reason == SYNC_REASON_VERIFY_FAILED ||
	       e->reason == SYNC_REASON_BAD_ARTEFACT;
}

static bool sim_is_wish(const char *wish, const char *target)
{
	return wish && strcmp(wish, target) == 0;
}

/* One turn of one profile's rollout, counted. */
struct sim_tally {
	const struct aap *aap;
	const struct rollout_spec *spec;
	const char *target;
	int64_t now_ms;
	int64_t desired, unavailable, placed, done, failed, reachable;
	int64_t failed_before; /* of those told before this turn */
	int64_t holding_other, never;
	int64_t new_old, new_empty; /* told in this turn */
	const char *example;        /* one of these */
	char who[200];              /* those that are unavailable */
};

/* Such a node stops nobody, and is served outside the budget. */
static bool sim_is_troubled(const struct placement *p, const struct sim_entry *e)
{
	if (p->node->features_reason)
		return true;
	return e->present && e->state == SYNC_STATE_FAILED && !sim_blames(e);
}

/* It says Loaded, of what was compiled for the kernel that it had before. */
static bool sim_is_outdated(const struct placement *p, const struct sim_entry *e)
{
	const struct build *build = engine_build(p->assigned, p->node->features);

	return build && build->state == BUILD_OK && build->n_hashes > 0 && e->held &&
	       e->held->n_hashes > 0 && e->state == SYNC_STATE_LOADED &&
	       strcmp(build->hashes[0].sha256, e->held->hashes[0].sha256) != 0;
}

static bool sim_is_failed(const struct sim *s, const struct sim_tally *t, const struct placement *p,
			  const struct sim_entry *e, int features)
{
	const struct sim_revision *rev = sim_revision(s, t->target);

	if (p->node->features_reason)
		return false;
	if (rev && (rev->broken || rev->not_on == features))
		return engine_build(p->assigned, p->node->features) &&
		       engine_build(p->assigned, p->node->features)->state == BUILD_FAILED;
	return e->present && e->state == SYNC_STATE_FAILED && sim_blames(e) &&
	       strcmp(e->target, t->target) == 0;
}

static void sim_tally_unavailable(struct sim_tally *t, const struct sim_node *n)
{
	size_t at = strlen(t->who);

	t->unavailable++;
	snprintf(t->who + at, sizeof(t->who) - at, " %s", n->name);
}

static void sim_tally_told(const struct sim *s, struct sim_tally *t, const struct placement *p,
			   const struct sim_node *n, const struct sim_entry *e, bool is_new)
{
	int name = s->objects[sim_object_index(s, t->aap->spec.object)].name_index;
	bool troubled = sim_is_troubled(p, e);
	bool failed = !troubled && sim_is_failed(s, t, p, e, n->mirror.features);
	bool settled = sim_confirmed(e, t->target) && !sim_is_outdated(p, e) &&
		       t->now_ms >= n->mirror.loaded_ms[name] + t->spec->min_ready_s * 1000;

	if (sim_holds(e) && !settled && !troubled)
		sim_tally_unavailable(t, n);
	if (!troubled && (!p->node->away || failed))
		t->placed++;
	t->done += settled && !p->node->away && !troubled;
	t->failed += failed;
	t->failed_before += failed && !is_new;
	if (!is_new)
		return;
	t->example = n->name;
	if (troubled)
		return;
	if (sim_holds(e))
		t->new_old++;
	else if (!(e->present && e->state == SYNC_STATE_FAILED)) /* what is proven fails there */
		t->new_empty++;
}

static void sim_tally_place(struct sim *s, struct sim_tally *t, int object, struct placement *p)
{
	struct sim_node *n = &s->nodes[(int)strtol(p->node->name + 1, NULL, 10)];
	struct sim_mirror *m = &n->mirror;
	const struct sim_entry *e = &m->said[s->objects[object].name_index];
	const char *told = p->assigned ? p->assigned->id : "";
	bool is_told = strcmp(told, t->target) == 0;
	bool was;
	bool gone = p->node->away && p->node->away_known && !p->node->away_ready;

	/* Where there was no placement the turn before, what was told once is over. */
	if (m->seen[object] + 1 != s->objects[object].tallies)
		*m->told[object] = '\0';
	m->seen[object] = s->objects[object].tallies;
	was = strcmp(m->told[object], t->target) == 0 ||
	      (!*m->told[object] && m->reported && strcmp(e->target, t->target) == 0);
	if (strcmp(told, m->told[object]) != 0) {
		sim_trace(s, "%s: %s is told %s", s->objects[object].name, n->name,
			  *told ? told : "nothing");
		s->n_told++;
		snprintf(m->told[object], sizeof(m->told[object]), "%s", told);
	}
	if (!p->selected)
		return;
	t->desired += !gone && !(m->reported && !m->apparmor && !p->node->away);
	if (m->reported && !m->counted[object] && strcmp(m->adopted[object], t->target) == 0) {
		m->counted[object] = true;
		s->objects[object].told_heard++;
	}
	t->never += !m->reported && p->node->away && !p->node->joined;
	if (!m->reported && !p->node->away && !p->node->joined)
		sim_tally_unavailable(t, n);
	if (!m->reported || !m->apparmor)
		return;
	t->holding_other += sim_holds(e) && !(e->held && strcmp(e->held->revision, t->target) == 0);
	t->reachable += !p->node->away && e->state != SYNC_STATE_FAILED &&
			!p->node->features_reason && ((is_told && was) || sim_holds(e));
	/* Its agent says that a former leader told it, and this one has told it nothing. */
	if (!*told && strcmp(e->target, t->target) == 0 && sim_holds(e) && !sim_is_troubled(p, e) &&
	    !sim_confirmed(e, t->target))
		sim_tally_unavailable(t, n);
	if (is_told)
		sim_tally_told(s, t, p, n, e, !was);
}

static void sim_tally(struct sim *s, struct sim_tally *t, int object, struct aap *aap)
{
	size_t it = 0;
	void *value;

	*t = (struct sim_tally){
	    .aap = aap,
	    .spec = aap->spec.has_rollout ? &aap->spec.rollout : &rollout_spec_default,
	    .target = aap->served ? aap->served->id : "-",
	    .now_ms = sim_engine_ms(s),
	};
	s->objects[object].tallies++;
	while (map_next(&aap->placements, &it, NULL, &value))
		sim_tally_place(s, t, object, value);
}

/* The rules. */

/* Nodes that were told to change and have not confirmed it, those that nobody has heard of since a
 * takeover, and as many of those that were away then as the former leader had told. */
static void budget_is_kept(struct sim *s, const struct sim_object *o, const struct sim_tally *t)
{
	int64_t budget = rollout_amount_of(t->spec->max_unavailable, t->desired);
	int64_t before =
	    strcmp(o->told_before_of, t->target) == 0 ? o->told_before - o->told_heard : 0;
	int64_t lost = before < t->never ? before : t->never;
	int64_t n = t->unavailable + (lost > 0 ? lost : 0);

	if (t->new_old > 0 && n > budget)
		sim_fail(s, __func__,
			 "%s: %s is told %s: that makes %lld unavailable of %lld desired (%s), "
			 "and maxUnavailable is %lld",
			 o->name, t->example, t->target, (long long)n, (long long)t->desired,
			 t->who, (long long)budget);
}

static bool sim_is_first(const struct sim_tally *t)
{
	return !t->aap->spec.has_rollout && !*engine_current(t->aap) && t->holding_other == 0;
}

static void max_failed_is_honoured(struct sim *s, const struct sim_object *o,
				   const struct sim_tally *t)
{
	int64_t max = rollout_amount_of(t->spec->max_failed, t->desired);
	bool complete = t->aap->rollout.state.phase == ROLLOUT_COMPLETE;

	/* A restart gives what failed another chance. */
	if (sim_is_first(t) || t->failed_before < max || (complete && t->new_old == 0) ||
	    strcmp(o->state.restart, t->aap->rollout.state.restart) != 0)
		return;
	sim_fail(s, __func__, "%s: %s is told %s after %lld nodes failed; maxFailed is %lld",
		 o->name, t->example, t->target, (long long)t->failed_before, (long long)max);
}

static void a_pause_stops_it(struct sim *s, const struct sim_object *o, const struct sim_tally *t)
{
	const struct profile *p = &t->aap->spec;
	bool complete = t->aap->rollout.state.phase == ROLLOUT_COMPLETE;
	bool paused = !sim_is_wish(p->wish.resume, t->target) &&
		      (t->spec->paused || sim_is_wish(p->wish.pause, t->target));

	if (paused && (t->new_old > 0 || !complete))
		sim_fail(s, __func__, "%s: %s is told %s while it is paused", o->name, t->example,
			 t->target);
}

static void what_went_back_stays_back(struct sim *s, const struct sim_object *o,
				      const struct sim_tally *t)
{
	enum rollout_phase phase = t->aap->rollout.state.phase;

	if (phase == ROLLOUT_ROLLING_BACK || phase == ROLLOUT_ROLLED_BACK ||
	    phase == ROLLOUT_ABORTED)
		sim_fail(s, __func__, "%s: %s is told %s while it is %s", o->name, t->example,
			 t->target, rollout_phase_name(phase));
}

static void a_step_holds_as_many_as_it_says(struct sim *s, const struct sim_object *o,
					    const struct sim_tally *t)
{
	const struct rollout_state *st = &t->aap->rollout.state;
	int64_t max;

	if (st->step >= t->spec->n_steps || strcmp(engine_current(t->aap), t->target) == 0)
		return;
	max = rollout_step_nodes(t->spec, st->step, t->desired);
	if (t->placed > max)
		sim_fail(s, __func__, "%s: %s is told %s: %lld nodes in step %u of %lld", o->name,
			 t->example, t->target, (long long)t->placed, st->step + 1, (long long)max);
}

/* A node that holds nothing is no guinea pig where something is proven. */
static void joiners_get_what_is_proven(struct sim *s, const struct sim_object *o,
				       const struct sim_tally *t)
{
	const char *current = engine_current(t->aap);

	if (t->new_empty > 0 && *current && strcmp(current, t->target) != 0)
		sim_fail(s, __func__, "%s: %s, which held nothing, is told %s instead of %s",
			 o->name, t->example, t->target, current);
}

static int64_t sim_promoted(const struct sim_tally *t)
{
	const char *wish = t->aap->spec.wish.promote;
	size_t n = strlen(t->target);

	return wish && strncmp(wish, t->target, n) == 0 && wish[n] == '/'
		   ? strtoll(wish + n + 1, NULL, 10)
		   : 0;
}

static bool sim_is_filled(const struct sim_tally *t, unsigned int step)
{
	int64_t nodes = rollout_step_nodes(t->spec, step, t->desired);

	nodes = nodes < t->reachable ? nodes : t->reachable;
	return t->done > 0 && t->done + t->failed >= nodes;
}

static bool sim_is_soaked(const struct sim_object *o, const struct sim_tally *t, unsigned int step)
{
	const struct rollout_state *was = &o->state;
	int64_t soak_s = t->spec->steps[step].soak_s;

	if (sim_promoted(t) > step || soak_s == 0)
		return true;
	return step == was->step && soak_s > 0 && was->step_started_ms &&
	       t->now_ms - was->step_started_ms >= soak_s * 1000;
}

/* `o->state` is as it was after the turn before, or in status when this leader began. */
static void steps_are_filled_and_soaked(struct sim *s, const struct sim_object *o,
					const struct sim_tally *t)
{
	const struct rollout_state *was = &o->state, *now = &t->aap->rollout.state;
	unsigned int step;

	for (step = was->step; step < now->step && step < t->spec->n_steps; step++)
		if (!sim_is_filled(t, step) || !sim_is_soaked(o, t, step))
			sim_fail(s, __func__,
				 "%s: step %u is passed with %lld nodes done, %lld failed; it "
				 "began to soak %lld ms ago",
				 o->name, step + 1, (long long)t->done, (long long)t->failed,
				 (long long)(was->step_started_ms ? t->now_ms - was->step_started_ms
								  : -1));
	if (now->step == was->step && now->step_started_ms && !was->step_started_ms &&
	    now->step < t->spec->n_steps && !sim_is_filled(t, now->step))
		sim_fail(s, __func__, "%s: step %u soaks with %lld nodes done, %lld failed",
			 o->name, now->step + 1, (long long)t->done, (long long)t->failed);
}

/* Whoever leads: a step that was passed stays so, and a soak that began goes on. */
static void steps_never_go_back(struct sim *s, const struct sim_object *o,
				const struct sim_tally *t)
{
	const struct rollout_state *was = &o->state, *now = &t->aap->rollout.state;
	unsigned int n = (unsigned int)t->spec->n_steps;

	if (now->step < was->step && now->step < n)
		sim_fail(s, __func__, "%s: from step %u to step %u", o->name, was->step + 1,
			 now->step + 1);
	if (now->step == was->step && now->step < n && was->step_started_ms &&
	    !now->step_started_ms && strcmp(was->step_hash, now->step_hash) == 0)
		sim_fail(s, __func__, "%s: the soak of step %u begins anew", o->name,
			 now->step + 1);
}

static void counts_are_right(struct sim *s, const struct sim_object *o, const struct sim_tally *t)
{
	if (t->desired != t->aap->counts.desired)
		sim_fail(s, __func__, "%s: %lld nodes are desired, and it counts %lld", o->name,
			 (long long)t->desired, (long long)t->aap->counts.desired);
}

static bool sim_steps_can_be_compared(const struct sim_object *o, const struct sim_tally *t)
{
	const struct rollout_state *was = &o->state, *now = &t->aap->rollout.state;

	return o->state_known && o->state_generation == t->aap->spec.generation &&
	       strcmp(was->revision, now->revision) == 0 &&
	       strcmp(was->restart, now->restart) == 0 && was->phase != ROLLOUT_COMPLETE &&
	       strcmp(o->was_current, t->target) != 0 &&
	       now->phase != ROLLOUT_ROLLING_BACK; /* which has told them otherwise meanwhile */
}

static void sim_remember(struct sim *s, struct sim_object *o, const struct aap *aap)
{
	const struct rollout_state *now = &aap->rollout.state;

	if (strcmp(o->state.revision, now->revision) != 0 || o->state.phase != now->phase ||
	    o->state.step != now->step)
		sim_trace(s, "%s: %s %s, step %u: %s", o->name, now->revision,
			  rollout_phase_name(now->phase), now->step, aap->rollout.plan.why);
	o->state = *now;
	o->state_generation = aap->spec.generation;
	o->state_known = true;
	snprintf(o->was_current, sizeof(o->was_current), "%s", aap->current_id);
}

static bool sim_state_moved(const struct sim_object *o, const struct aap *aap)
{
	return o->state.step != aap->rollout.state.step ||
	       o->state.step_started_ms != aap->rollout.state.step_started_ms;
}

static void sim_check_object(struct sim *s, int object, struct aap *aap)
{
	struct sim_object *o = &s->objects[object];
	struct sim_tally t;

	if (!s->touched && s->n_nodes > 60 && !sim_state_moved(o, aap))
		return;
	if (aap->served && strcmp(o->told_before_of, aap->served->id) != 0)
		o->told_before = 0;
	sim_tally(s, &t, object, aap);
	counts_are_right(s, o, &t);
	if (!aap->served)
		return;
	if (t.new_old + t.new_empty > 0) {
		budget_is_kept(s, o, &t);
		max_failed_is_honoured(s, o, &t);
		a_pause_stops_it(s, o, &t);
		what_went_back_stays_back(s, o, &t);
		a_step_holds_as_many_as_it_says(s, o, &t);
		joiners_get_what_is_proven(s, o, &t);
	}
	if (!aap->rollout.may)
		return;
	if (sim_steps_can_be_compared(o, &t)) {
		steps_never_go_back(s, o, &t);
		steps_are_filled_and_soaked(s, o, &t);
	}
	sim_remember(s, o, aap);
}

void sim_check_turn(struct sim *s)
{
	struct aap *aap;
	int i;

	for (i = 0; i < s->config.objects; i++) {
		aap = sim_aap(s, i);
		if (aap && aap->spec.uid)
			sim_check_object(s, i, aap);
	}
	s->touched = false;
}

void sim_check_lead(struct sim *s)
{
	int i;

	for (i = 0; i < SIM_OBJECTS; i++) {
		struct sim_object *o = &s->objects[i];
		struct json_object *status = js_object(o->object, "status");
		struct rollout_state *st = &o->state;

		*st = (struct rollout_state){0};
		o->told_before = o->told_heard = 0;
		*o->told_before_of = '\0';
		snprintf(st->revision, sizeof(st->revision), "%s",
			 js_str_or_empty(status, "rollout.revision"));
		o->state_known =
		    rollout_phase_parse(js_str_or_empty(status, "rollout.phase"), &st->phase);
		st->step = (unsigned int)js_i64(status, "rollout.step.index", 0);
		snprintf(st->step_hash, sizeof(st->step_hash), "%s",
			 js_str_or_empty(status, "rollout.step.hash"));
		clock_parse(js_str(status, "rollout.step.startedAt"), &st->step_started_ms);
		snprintf(st->restart, sizeof(st->restart), "%s",
			 js_str_or_empty(status, "rollout.restart"));
		snprintf(o->was_current, sizeof(o->was_current), "%s",
			 js_str_or_empty(status, "currentRevision"));
		o->state_generation = js_i64(status, "observedGeneration", -1);
		if (!str_equal(js_str(status, "updateRevision"), st->revision))
			continue;
		o->told_before = js_i64(status, "updatedNodes", 0);
		memcpy(o->told_before_of, st->revision, sizeof(o->told_before_of));
	}
}

/* Sets. */

static bool sim_is_wanted(const struct sim *s, const struct aap *aap, const struct node *node)
{
	const struct sim_node *n = &s->nodes[(int)strtol(node->name + 1, NULL, 10)];

	return n->exists && !n->excluded && aap->spec.enabled &&
	       selector_matches(&aap->spec.nodes, node->labels);
}

/* Of two objects with one name the older has it, whatever its state. */
static struct aap *sim_holder(const struct sim *s, int name)
{
	struct aap *best = NULL, *aap;
	int i;

	for (i = 0; i < s->config.objects; i++) {
		aap = s->objects[i].name_index == name ? sim_aap(s, i) : NULL;
		if (aap && (!best || aap->spec.created_ms < best->spec.created_ms ||
			    (aap->spec.created_ms == best->spec.created_ms &&
			     strcmp(aap->spec.uid, best->spec.uid) < 0)))
			best = aap;
	}
	return best;
}

static bool sim_was_told(const struct sim *s, const struct sim_node *n, const struct sim_item *item,
			 int name)
{
	bool was = strcmp(n->mirror.said[name].target, item->revision) == 0;
	int i;

	for (i = 0; i < s->config.objects; i++)
		was = was || (s->objects[i].name_index == name &&
			      strcmp(n->mirror.adopted[i], item->revision) == 0);
	return was;
}

static void only_what_was_accepted_and_recorded_is_told(struct sim *s, const struct node *node,
							const struct sim_item *item, int name)
{
	const struct sim_node *n = &s->nodes[(int)strtol(node->name + 1, NULL, 10)];
	CLEANUP(mem_freep) char *key = mem_printf("%s/%s", item->uid, item->revision);
	const struct sim_revision *rev = item->rev;

	if (!rev || rev->broken || rev->not_on == n->mirror.features)
		sim_fail(s, __func__, "%s is told web%d %s, which does not compile for it: \"%s\"",
			 node->name, name, item->revision, rev ? rev->text : "");
	/* What its agent says that it was told before, by another of that name, is told no news. */
	if (!map_get(&s->ever_records, key) && !sim_was_told(s, n, item, name))
		sim_fail(s, __func__, "%s is told web%d %s, of which there is no record for %s",
			 node->name, name, item->revision, item->uid);
}

static void only_its_holder_speaks_for_a_name(struct sim *s, const struct node *node,
					      const struct sim_item *item, int name)
{
	const struct aap *aap = sim_holder(s, name);

	if (!aap || strcmp(aap->spec.uid, item->uid) != 0 || !sim_is_wanted(s, aap, node))
		sim_fail(s, __func__, "%s is told web%d of %s, which does not want it there",
			 node->name, name, item->uid);
}

static void removal_is_told_only_where_it_is_meant(struct sim *s, const struct node *node, int name)
{
	const struct aap *aap = sim_holder(s, name);

	if (aap && !aap->spec.deleting && sim_is_wanted(s, aap, node))
		sim_fail(s, __func__, "%s is told to remove web%d, which %s wants there",
			 node->name, name, aap->spec.object);
}

void sim_check_set(struct sim *s, const struct node *node)
{
	const struct sim_set *set = sim_set_of(s, node->set);
	int i;

	for (i = 0; i < SIM_NAMES; i++) {
		const struct sim_item *item = &set->items[i];

		if (!item->mentioned)
			continue;
		if (item->absent) {
			removal_is_told_only_where_it_is_meant(s, node, i);
			continue;
		}
		only_its_holder_speaks_for_a_name(s, node, item, i);
		only_what_was_accepted_and_recorded_is_told(s, node, item, i);
	}
}

/* Status. */

static const char *sim_condition(struct json_object *status, const char *type, const char *field)
{
	struct json_object *all = js_array(status, "conditions");
	size_t i;

	for (i = 0; i < js_len(all); i++)
		if (str_equal(js_str(js_item(all, i), "type"), type))
			return js_str_or_empty(js_item(all, i), field);
	return "";
}

static bool sim_is(struct json_object *status, const char *type, const char *value)
{
	return strcmp(sim_condition(status, type, "status"), value) == 0;
}

static void status_is_bounded(struct sim *s, const struct aap *aap, struct json_object *status)
{
	size_t n = strlen(js_print(status, NULL));

	if (n > 24576 || js_len(js_array(status, "nodes")) > 100 ||
	    js_len(js_array(status, "failureReasons")) > 16)
		sim_fail(s, __func__, "%s: %zu bytes, %zu nodes", aap->spec.object, n,
			 js_len(js_array(status, "nodes")));
}

static void conditions_never_contradict(struct sim *s, const struct aap *aap,
					struct json_object *status)
{
	bool ready = sim_is(status, "Ready", "True"), stalled = sim_is(status, "Stalled", "True");
	bool moving = sim_is(status, "Progressing", "True");

	if (js_len(js_array(status, "conditions")) != 4 || (ready && (stalled || moving)) ||
	    (stalled && moving && !sim_is(status, "Accepted", "False")) ||
	    (ready && !sim_is(status, "Accepted", "True")) ||
	    js_i64(status, "observedGeneration", 0) >
		s->objects[sim_object_index(s, aap->spec.object)].generation)
		sim_fail(s, __func__, "%s: %s", aap->spec.object,
			 js_print(js_array(status, "conditions"), NULL));
}

/* A node whose kernel lost it after its agent last spoke cannot be known. */
static void ready_is_read_back(struct sim *s, const struct aap *aap, struct json_object *status)
{
	int name = s->objects[sim_object_index(s, aap->spec.object)].name_index;
	struct node *node;
	size_t it = 0;

	if (!sim_is(status, "Ready", "True"))
		return;
	while ((node = engine_next_node(s->engine, &it))) {
		const struct sim_node *n = &s->nodes[(int)strtol(node->name + 1, NULL, 10)];
		const struct sim_unit *u = &n->units[name];
		const struct sim_mirror *m = &n->mirror;
		bool gone = node->away && node->away_known && !node->away_ready;

		if (!sim_is_wanted(s, aap, node) || gone || (m->reported && !m->apparmor))
			continue;
		if (m->reported && u->version != m->said[name].version)
			continue;
		if (!m->reported || strcmp(sim_held(u), aap->wanted->id) != 0 ||
		    sim_is_outdated(map_get(&aap->placements, n->name), &m->said[name]))
			sim_fail(s, __func__, "%s says Ready, but %s holds \"%s\", not %s",
				 aap->spec.object, n->name, sim_held(u), aap->wanted->id);
	}
}

/* However often agents come and go, status is written no more than once a second, beside what is
 * told at once. */
static void status_is_seldom_written(struct sim *s, const struct aap *aap)
{
	const struct sim_object *o = &s->objects[sim_object_index(s, aap->spec.object)];
	int64_t passed_s = (s->now_ms - s->start_ms) / 1000;
	int64_t max = 20 + 15 * (o->edits + s->n_kills) + 4 * s->n_troubles + passed_s / 2;

	if (o->writes > max)
		sim_fail(s, __func__, "%s: %lld writes in %lld s, with %lld edits", o->name,
			 (long long)o->writes, (long long)passed_s, (long long)o->edits);
}

void sim_check_status(struct sim *s, const struct aap *aap, struct json_object *status)
{
	sim_trace(s, "%s: status: Ready %s %s, Progressing %s, Stalled %s, %s nodes, %s",
		  aap->spec.object, sim_condition(status, "Ready", "status"),
		  sim_condition(status, "Ready", "reason"),
		  sim_condition(status, "Progressing", "reason"),
		  sim_condition(status, "Stalled", "status"), js_str_or_empty(status, "nodesReady"),
		  js_str_or_empty(status, "rollout.phase"));
	status_is_bounded(s, aap, status);
	conditions_never_contradict(s, aap, status);
	ready_is_read_back(s, aap, status);
	status_is_seldom_written(s, aap);
}
