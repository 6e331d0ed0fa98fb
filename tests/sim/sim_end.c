#include "sim.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Where it all ends. Nobody disturbs anything any more: what the users wrote last decides, and the
 * status that the API server holds must say it. A rollout that stands still has a reason that
 * rollouts.md names.
 */

static const char *sim_ready(struct json_object *status, const char *field)
{
	struct json_object *all = js_array(status, "conditions");
	size_t i;

	for (i = 0; i < js_len(all); i++)
		if (str_equal(js_str(js_item(all, i), "type"), "Ready"))
			return js_str_or_empty(js_item(all, i), field);
	return "";
}

static bool sim_is_wish_of(const struct sim_object *o, int which, const char *target)
{
	return strcmp(o->spec.wishes[which], target) == 0;
}

/* What became of the nodes that the profile is for. */
struct sim_ends {
	const struct sim_object *o;
	struct json_object *status;
	const struct rollout_spec *spec;
	const char *target, *current;
	int64_t desired, held, on_current, failed, odd, lost;
};

static bool sim_is_meant(const struct sim_object *o, const struct sim_node *n)
{
	return n->exists && !n->excluded && (o->spec.pool == 0 || (o->spec.pool == 1 && n->pool_b));
}

static void sim_ends_node(struct sim *s, struct sim_ends *e, const struct sim_node *n)
{
	const struct sim_unit *u = &n->units[e->o->name_index];
	const struct sim_revision *rev = sim_revision(s, e->target);
	const struct node *node = engine_node(s->engine, n->name);
	int object = (int)(e->o - s->objects);

	if (!sim_is_meant(e->o, n))
		return;
	if (!n->running) {
		/* One that a former leader had told for all that is known is waited for. */
		e->lost += n->powered || !n->mirror.reported ||
			   strcmp(n->mirror.told[object], e->target) == 0;
		return;
	}
	if (!n->apparmor)
		return;
	e->desired++;
	e->odd += node && node->features_reason;
	e->held += strcmp(sim_held(u), e->target) == 0;
	e->on_current += strcmp(sim_held(u), e->current) == 0;
	e->failed += u->state == SYNC_STATE_FAILED || (rev && rev->not_on == n->features);
}

static bool sim_is_paused(const struct sim_ends *e)
{
	const struct sim_object *o = e->o;

	/* An abort where there is nothing to go back to. */
	if (sim_is_wish_of(o, 3, e->target))
		return true;
	return !sim_is_wish_of(o, 1, e->target) &&
	       (e->spec->paused || sim_is_wish_of(o, 0, e->target));
}

static bool sim_awaits_promotion(const struct sim_ends *e)
{
	int64_t step = js_i64(e->status, "rollout.step.index", 0);

	return step < (int64_t)e->spec->n_steps && e->spec->steps[step].soak_s < 0;
}

/* NULL: it may stand still like this. */
static const char *sim_stands_in(const struct sim_ends *e, enum rollout_phase phase)
{
	int64_t max = rollout_amount_of(e->spec->max_failed, e->desired);

	switch (phase) {
	case ROLLOUT_PROGRESSING:
		return e->failed > 0 || e->lost > 0 ? NULL : "it could go on";
	case ROLLOUT_SOAKING:
		return sim_awaits_promotion(e) ? NULL : "its time has passed";
	case ROLLOUT_PAUSED:
		return sim_is_paused(e) ? NULL : "nobody pauses it";
	case ROLLOUT_STOPPED:
		return e->failed + e->lost >= max ? NULL : "too few have failed";
	case ROLLOUT_ROLLING_BACK:
		return "it could go on going back";
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_ABORTED:
		return e->on_current + e->failed + e->odd >= e->desired ? NULL : "not all are back";
	default:
		return e->held + e->failed + e->odd >= e->desired || sim_is_paused(e) ||
			       e->failed >= max || e->lost > 0
			   ? NULL
			   : "not all are done";
	}
}

static const char *sim_unsettled_rollout(struct sim *s, struct sim_ends *e)
{
	const char *reason = sim_ready(e->status, "reason");
	const struct sim_revision *rev = sim_revision(s, e->target);
	enum rollout_phase phase = ROLLOUT_PROGRESSING;

	if (strcmp(sim_ready(e->status, "status"), "True") == 0)
		return e->held == e->desired ? NULL : "it says Ready";
	if (rev && (rev->broken || rev->not_on >= 0) && strcmp(reason, "InvalidPolicy") == 0)
		return NULL;
	if (rev && rev->broken)
		return "a broken text is not refused";
	rollout_phase_parse(js_str_or_empty(e->status, "rollout.phase"), &phase);
	/* What went back once is not tried again because somebody edits something else. */
	if (s->config.final_edit && e->odd == 0 && e->lost == 0 && phase != ROLLOUT_ROLLED_BACK &&
	    phase != ROLLOUT_ABORTED)
		return "it is not Ready";
	return sim_stands_in(e, phase);
}

/* The older of two holds a name. */
static bool sim_has_name(const struct sim *s, const struct sim_object *o)
{
	int i;

	for (i = 0; i < SIM_OBJECTS; i++) {
		const struct sim_object *x = &s->objects[i];
		const char *created = js_str(x->object, "metadata.creationTimestamp");
		const char *mine = js_str(o->object, "metadata.creationTimestamp");

		if (x == o || !x->object || x->name_index != o->name_index)
			continue;
		if (strcmp(created, mine) < 0 ||
		    (strcmp(created, mine) == 0 && strcmp(x->uid, o->uid) < 0))
			return false;
	}
	return true;
}

static const char *sim_unsettled_removal(const struct sim *s, const struct sim_object *o)
{
	int i;

	for (i = 0; i < s->n_nodes; i++)
		if (s->nodes[i].running && s->nodes[i].units[o->name_index].held)
			return "it is Disabled, and not removed everywhere";
	return NULL;
}

static const char *sim_unsettled_object(struct sim *s, struct sim_object *o, struct sim_ends *e)
{
	int i;

	*e = (struct sim_ends){
	    .o = o,
	    .status = js_object(o->object, "status"),
	    .spec = o->spec.has_rollout ? &o->spec.rollout : &rollout_spec_default,
	    .target = sim_revision_of(s, o->name_index, &o->spec)->id,
	};
	e->current = js_str_or_empty(e->status, "currentRevision");
	if (js_str(o->object, "metadata.deletionTimestamp"))
		return "it is still being deleted";
	if (js_i64(e->status, "observedGeneration", -1) != o->generation)
		return "its spec was not looked at";
	if (!sim_has_name(s, o))
		return strcmp(sim_ready(e->status, "reason"), "NameConflict") == 0
			   ? NULL
			   : "the name is another's";
	if (o->spec.disabled)
		return sim_unsettled_removal(s, o);
	for (i = 0; i < s->n_nodes; i++)
		sim_ends_node(s, e, &s->nodes[i]);
	return sim_unsettled_rollout(s, e);
}

const char *sim_unsettled(struct sim *s, char *why, size_t n)
{
	struct sim_ends e;
	int i;

	for (i = 0; i < SIM_OBJECTS; i++) {
		struct sim_object *o = &s->objects[i];
		const char *what;

		if (!s->engine)
			return strncpy(why, "nobody leads", n);
		if (!o->object)
			continue;
		what = sim_unsettled_object(s, o, &e);
		if (!what)
			continue;
		snprintf(why, n,
			 "%s: %s: \"%s\" is %s: %lld of %lld hold it, %lld hold %s, %lld failed, "
			 "%lld lost; status: %s, Ready %s: %s",
			 o->name, what, o->spec.text, e.target, (long long)e.held,
			 (long long)e.desired, (long long)e.on_current,
			 *e.current ? e.current : "nothing else", (long long)e.failed,
			 (long long)e.lost, js_str_or_empty(e.status, "rollout.phase"),
			 sim_ready(e.status, "reason"), sim_ready(e.status, "message"));
		return why;
	}
	return NULL;
}

/* Where failures stopped it, which nodes were touched before depends on who was slow. */
void sim_outcome(struct sim *s)
{
	struct sim_ends e;
	int i;

	for (i = 0; i < SIM_OBJECTS; i++) {
		struct sim_object *o = &s->objects[i];
		const char *phase;
		bool all;

		if (!o->object)
			continue;
		sim_unsettled_object(s, o, &e);
		phase = js_str_or_empty(e.status, "rollout.phase");
		all = strcmp(phase, "Complete") == 0 || strcmp(phase, "RolledBack") == 0;
		snprintf(s->outcome[i], sizeof(s->outcome[i]), "%s %s %s of %s: %lld of %lld",
			 phase, sim_ready(e.status, "reason"), e.current, e.target,
			 (long long)(all ? e.held : 0), (long long)e.desired);
	}
}
