#include "sim.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Those who write specs: each of them a new text, a text of before, other limits, steps,
 * annotations, a selector, Disabled, or a deletion and the same name again.
 */

static const char *const sim_wish_keys[5] = {
    ROLLOUT_PAUSE_ANNOTATION, ROLLOUT_RESUME_ANNOTATION,  ROLLOUT_PROMOTE_ANNOTATION,
    ROLLOUT_ABORT_ANNOTATION, ROLLOUT_RESTART_ANNOTATION,
};

enum { WISH_PAUSE, WISH_RESUME, WISH_PROMOTE, WISH_ABORT, WISH_RESTART };

/* Writing it down. */

static void sim_put_amount(struct json_object *obj, const char *key, struct rollout_amount a)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld%%", (long long)a.value);
	if (a.is_percent)
		js_put_str(obj, key, text);
	else
		js_put_i64(obj, key, a.value);
}

static struct json_object *sim_rollout_json(const struct rollout_spec *r)
{
	struct json_object *obj = js_new(), *steps = js_new_array();
	size_t i;

	sim_put_amount(obj, "maxUnavailable", r->max_unavailable);
	sim_put_amount(obj, "maxFailed", r->max_failed);
	js_put_str(obj, "onFailure",
		   r->on_failure == ROLLOUT_ON_FAILURE_ROLLBACK ? "Rollback" : "Pause");
	js_put_bool(obj, "paused", r->paused);
	js_put_i64(obj, "minReadySeconds", r->min_ready_s);
	js_put_i64(obj, "progressDeadlineSeconds", r->progress_deadline_s);
	for (i = 0; i < r->n_steps; i++) {
		struct json_object *step = js_new();

		sim_put_amount(step, "nodes", r->steps[i].nodes);
		js_put_i64(step, "soakSeconds", r->steps[i].soak_s);
		js_append(steps, step);
	}
	js_put(obj, "steps", steps);
	return obj;
}

static struct json_object *sim_spec_json(const struct sim_object *o)
{
	const struct sim_spec *spec = &o->spec;
	struct json_object *obj = js_new();
	char name[16];

	snprintf(name, sizeof(name), "web%d", o->name_index);
	js_put_str(obj, "profileName", name);
	js_put_str(obj, "policy", spec->text);
	js_put_str(obj, "mode", spec->complain ? "Complain" : "Enforce");
	js_put_str(obj, "state", spec->disabled ? "Disabled" : "Enabled");
	if (spec->pool) {
		struct json_object *selector = js_new(), *labels = js_new();

		js_put_str(labels, "pool", spec->pool == 1 ? "b" : "none");
		js_put(selector, "matchLabels", labels);
		js_put(obj, "nodeSelector", selector);
	}
	if (spec->has_rollout)
		js_put(obj, "rollout", sim_rollout_json(&spec->rollout));
	return obj;
}

static void sim_user_write(struct sim *s, struct sim_object *o, const char *what)
{
	struct json_object *meta = js_new(), *annotations = js_new();
	int i;

	for (i = 0; i < 5; i++)
		js_put(annotations, sim_wish_keys[i],
		       *o->spec.wishes[i] ? js_text(o->spec.wishes[i]) : NULL);
	js_put(meta, "annotations", annotations);
	sim_trace(s, "user: %s: %s: \"%s\"%s %s", o->name, what, o->spec.text,
		  o->spec.has_rollout ? "" : " (no rollout)", o->spec.disabled ? "Disabled" : "");
	sim_api_write(s, (int)(o - s->objects), meta, sim_spec_json(o));
}

/* Making it up. */

static void sim_user_text(struct sim *s, struct sim_object *o, bool good)
{
	struct sim_chance *c = &s->chance;
	int k = (int)sim_between(c, 0, 5);
	int kind = good ? 0 : (int)sim_between(c, 0, 19);

	if (kind <= 12)
		snprintf(o->spec.text, sizeof(o->spec.text), "t%d", k);
	else if (kind == 13)
		snprintf(o->spec.text, sizeof(o->spec.text), "t%d broken", k);
	else if (kind == 14)
		snprintf(o->spec.text, sizeof(o->spec.text), "t%d noton%d", k,
			 (int)sim_between(c, 0, SIM_FEATURES - 1));
	else
		snprintf(o->spec.text, sizeof(o->spec.text), "t%d bad%d%s", k,
			 (int)(sim_once_in(c, 2) ? 100 : sim_between(c, 5, 60)),
			 kind == 19 ? " mis" : "");
}

static struct rollout_amount sim_user_amount(struct sim *s, int64_t max)
{
	struct rollout_amount a = {.is_percent = sim_once_in(&s->chance, 2)};

	a.value = a.is_percent ? sim_between(&s->chance, 1, 100) : sim_between(&s->chance, 1, max);
	return a;
}

static void sim_user_steps(struct sim *s, struct rollout_spec *r, bool wait)
{
	int64_t last[2] = {1, 1}; /* as the schema has it, those of a kind do not decrease */
	size_t i;

	r->n_steps = (size_t)(sim_once_in(&s->chance, 2) ? sim_between(&s->chance, 1, 3) : 0);
	for (i = 0; i < r->n_steps; i++) {
		struct rollout_amount *a = &r->steps[i].nodes;

		*a = sim_user_amount(s, 6);
		if (a->value < last[a->is_percent])
			a->value = last[a->is_percent];
		last[a->is_percent] = a->value;
		r->steps[i].soak_s = sim_once_in(&s->chance, 3) ? 0
				     : wait && sim_once_in(&s->chance, 4)
					 ? ROLLOUT_SOAK_UNTIL_PROMOTED
					 : sim_between(&s->chance, 1, 60);
	}
}

static void sim_user_rollout(struct sim *s, struct sim_object *o, bool may_wait)
{
	struct sim_chance *c = &s->chance;
	struct rollout_spec *r = &o->spec.rollout;

	o->spec.has_rollout = !sim_once_in(c, 4);
	*r = rollout_spec_default;
	if (!sim_once_in(c, 3))
		r->max_unavailable = sim_user_amount(s, 5);
	if (sim_once_in(c, 2))
		r->max_failed = sim_user_amount(s, 4);
	if (sim_once_in(c, 2))
		r->on_failure = ROLLOUT_ON_FAILURE_ROLLBACK;
	if (sim_once_in(c, 4))
		r->min_ready_s = sim_between(c, 1, 10);
	if (sim_once_in(c, 3))
		r->progress_deadline_s = sim_between(c, 15, 300);
	r->paused = may_wait && sim_once_in(c, 10);
	sim_user_steps(s, r, may_wait);
}

/* An annotation names the revision that spec asks for, as the verbs do; or one of before. */
static void sim_user_wish(struct sim *s, struct sim_object *o)
{
	int which = (int)sim_between(&s->chance, 0, 4);
	const char *rev = sim_revision_of(s, o->name_index, &o->spec)->id;
	char *wish = o->spec.wishes[which];

	if (which == WISH_PROMOTE)
		snprintf(wish, sizeof(o->spec.wishes[0]), "%s/%d", rev,
			 (int)sim_between(&s->chance, 1, 3));
	else if (which == WISH_RESTART)
		snprintf(wish, sizeof(o->spec.wishes[0]), "%s/t%lld", rev, (long long)o->edits);
	else
		snprintf(wish, sizeof(o->spec.wishes[0]), "%s", rev);
	if (which == WISH_PAUSE)
		*o->spec.wishes[WISH_RESUME] = '\0';
	if (which == WISH_RESUME)
		*o->spec.wishes[WISH_PAUSE] = '\0';
	if (which == WISH_RESTART)
		*o->spec.wishes[WISH_ABORT] = '\0';
	sim_user_write(s, o, sim_wish_keys[which]);
}

static void sim_user_creates(struct sim *s, struct sim_object *o)
{
	struct sim_spec *spec = &o->spec;

	*spec = (struct sim_spec){.pool = sim_once_in(&s->chance, 4)};
	sim_user_rollout(s, o, !s->config.calm);
	sim_user_text(s, o, s->config.calm || sim_once_in(&s->chance, 2));
	sim_user_write(s, o, "created");
}

static bool sim_is_leaving(const struct sim_object *o)
{
	return js_str(o->object, "metadata.deletionTimestamp") != NULL;
}

void sim_user_acts(struct sim *s)
{
	struct sim_object *o = &s->objects[sim_between(&s->chance, 0, s->config.objects - 1)];
	int64_t what = sim_between(&s->chance, 0, 99);

	if (!o->object) {
		sim_user_creates(s, o);
	} else if (sim_is_leaving(o)) {
		return;
	} else if (what < 45) {
		sim_user_text(s, o, false);
		sim_user_write(s, o, "text");
	} else if (what < 60) {
		sim_user_rollout(s, o, true);
		sim_user_write(s, o, "rollout");
	} else if (what < 65) {
		o->spec.rollout.paused = !o->spec.rollout.paused;
		sim_user_write(s, o, "paused");
	} else if (what < 86) {
		sim_user_wish(s, o);
	} else if (what < 90) {
		o->spec.pool = (int)sim_between(&s->chance, 0, 2);
		sim_user_write(s, o, "selector");
	} else if (what < 94) {
		o->spec.disabled = !o->spec.disabled;
		sim_user_write(s, o, "state");
	} else if (what < 96) {
		o->spec.complain = !o->spec.complain;
		sim_user_write(s, o, "mode");
	} else {
		sim_trace(s, "user: %s: deleted", o->name);
		sim_api_delete(s, (int)(o - s->objects));
	}
}

void sim_user_starts(struct sim *s)
{
	int i;

	for (i = 0; i < s->config.objects; i++)
		sim_user_creates(s, &s->objects[i]);
}

/* The last words: a good text and nothing that waits for anybody. */
void sim_user_ends(struct sim *s)
{
	int i;

	for (i = 0; i < s->config.objects; i++) {
		struct sim_object *o = &s->objects[i];

		if (!o->object || sim_is_leaving(o))
			continue;
		memset(o->spec.wishes, 0, sizeof(o->spec.wishes));
		o->spec.disabled = false;
		sim_user_text(s, o, true);
		sim_user_rollout(s, o, false);
		sim_user_write(s, o, "last words");
	}
}

/* A quiet run: installed, updated, perhaps to something that fails. */
void sim_user_calm(struct sim *s, int step)
{
	struct sim_object *o = &s->objects[0];

	(void)step;
	snprintf(o->spec.text, sizeof(o->spec.text), "calm%s", s->seed % 3 == 0 ? " bad100" : "");
	sim_user_write(s, o, "text");
}
