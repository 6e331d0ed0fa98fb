#include "cli/rollout_order.h"

#include "api/rollout_spec.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool order_phase_is(const struct rollout_seen *s, const char *phase)
{
	return strcmp(s->phase, phase) == 0;
}

static bool order_is_over(const struct rollout_seen *s)
{
	return order_phase_is(s, "Complete") || s->rolled_back || order_phase_is(s, "RollingBack");
}

/* Why nothing can be done to a rollout that is over. */
static int order_refuse_over(const struct rollout_seen *s, const char *what, struct err *err)
{
	if (order_phase_is(s, "Complete"))
		return err_set(err, -EPERM,
			       "%s: the rollout of %s is complete: there is nothing to %s", s->name,
			       s->target, what);
	return err_set(err, -EPERM,
		       "%s: the rollout of %s %s: there is nothing to %s; to try it again: kubectl "
		       "hauberk rollout restart %s",
		       s->name, s->target,
		       order_phase_is(s, "RollingBack") ? "is being rolled back"
							: "was rolled back",
		       what, s->name);
}

static void order_note(struct json_object *notes, const char *key, const char *value)
{
	js_put(notes, key, value ? js_text(value) : NULL);
}

static int order_pause(const struct rollout_seen *s, int64_t now_ms, struct json_object *notes,
		       char **ret_said, struct err *err)
{
	(void)now_ms;
	if (order_is_over(s))
		return order_refuse_over(s, "pause", err);
	if (rollout_is_paused(s))
		return err_set(err, -EPERM, "%s: the rollout of %s is paused already, by %s",
			       s->name, s->target,
			       s->paused_by_spec ? "spec.rollout.paused" : "rollout pause");
	order_note(notes, ROLLOUT_PAUSE_ANNOTATION, s->paused_by_spec ? NULL : s->target);
	order_note(notes, ROLLOUT_RESUME_ANNOTATION, NULL);
	*ret_said = mem_printf("%s: rollout of %s is paused; go on with: kubectl hauberk rollout "
			       "resume %s",
			       s->name, s->target, s->name);
	return 0;
}

static int order_resume(const struct rollout_seen *s, int64_t now_ms, struct json_object *notes,
			char **ret_said, struct err *err)
{
	(void)now_ms;
	if (!rollout_is_paused(s)) {
		if (order_is_over(s))
			return order_refuse_over(s, "resume", err);
		return err_set(err, -EPERM, "%s: the rollout of %s is not paused%s%s", s->name,
			       s->target, *s->why ? ": " : "", s->why);
	}
	order_note(notes, ROLLOUT_PAUSE_ANNOTATION, NULL);
	order_note(notes, ROLLOUT_RESUME_ANNOTATION, s->paused_by_spec ? s->target : NULL);
	*ret_said = mem_printf(
	    "%s: rollout of %s goes on%s; follow it with: kubectl hauberk rollout status %s -w",
	    s->name, s->target,
	    s->paused_by_spec ? ", although spec.rollout.paused stays true for the next one" : "",
	    s->name);
	return 0;
}

static int order_promote(const struct rollout_seen *s, int64_t now_ms, struct json_object *notes,
			 char **ret_said, struct err *err)
{
	CLEANUP(mem_freep) char *value = NULL;

	(void)now_ms;
	if (order_is_over(s))
		return order_refuse_over(s, "promote", err);
	if (order_phase_is(s, "Failed"))
		return err_set(err, -EPERM,
			       "%s: the rollout of %s does not wait, it is stopped: %s", s->name,
			       s->target, s->why);
	if (s->step == 0)
		return err_set(err, -EPERM, "%s: no step of the rollout of %s waits: %s", s->name,
			       s->target,
			       s->n_steps ? "all have been passed" : "spec.rollout has none");
	if (!s->step_filled)
		return err_set(err, -EPERM,
			       "%s: step %zu of %zu of the rollout of %s is not filled yet, so "
			       "nothing waits for you (%" PRId64 " of %" PRId64 " nodes hold it)",
			       s->name, s->step, s->n_steps, s->target, s->ready, s->desired);
	value = mem_printf("%s/%zu", s->target, s->step);
	order_note(notes, ROLLOUT_PROMOTE_ANNOTATION, value);
	*ret_said = mem_printf("%s: step %zu of %zu of the rollout of %s is passed; %s", s->name,
			       s->step, s->n_steps, s->target,
			       rollout_is_paused(s)   ? "it stays paused, though"
			       : s->step < s->n_steps ? "the next one begins"
						      : "the rest of the nodes follow");
	return 0;
}

static int order_abort(const struct rollout_seen *s, int64_t now_ms, struct json_object *notes,
		       char **ret_said, struct err *err)
{
	(void)now_ms;
	if (order_is_over(s))
		return order_refuse_over(s, "abort", err);
	if (!*s->current || strcmp(s->current, s->target) == 0)
		return err_set(
		    err, -EPERM,
		    "%s: no revision before %s was ever complete, so there is nothing to go "
		    "back to; to stop here: kubectl hauberk rollout pause %s",
		    s->name, s->target, s->name);
	order_note(notes, ROLLOUT_ABORT_ANNOTATION, s->target);
	order_note(notes, ROLLOUT_PROMOTE_ANNOTATION, NULL);
	*ret_said =
	    mem_printf("%s: rollout of %s is aborted: the nodes that were told of it go back "
		       "to %s; spec still asks for %s: edit it, kubectl hauberk rollout undo "
		       "%s, or try again with restart",
		       s->name, s->target, s->current, s->target, s->name);
	return 0;
}

/* A token not seen before; the promotes of the former try go, or its barriers would stand open. */
static int order_restart(const struct rollout_seen *s, int64_t now_ms, struct json_object *notes,
			 char **ret_said, struct err *err)
{
	CLEANUP(mem_freep) char *value = NULL;

	if (order_phase_is(s, "Complete"))
		return order_refuse_over(s, "restart", err);
	if (order_phase_is(s, "Failed") && !*s->current)
		return err_set(err, -EPERM,
			       "%s: no revision was ever complete, so the nodes that failed have "
			       "nothing to go back to before they try again: each does so by "
			       "itself, ten minutes after the last time at the latest, and the "
			       "rollout goes on when it succeeds",
			       s->name);
	value = mem_printf("%s/%" PRId64, s->target, now_ms);
	order_note(notes, ROLLOUT_RESTART_ANNOTATION, value);
	order_note(notes, ROLLOUT_ABORT_ANNOTATION, NULL);
	order_note(notes, ROLLOUT_PROMOTE_ANNOTATION, NULL);
	*ret_said = mem_printf("%s: rollout of %s starts over%s; follow it with: kubectl hauberk "
			       "rollout status %s -w",
			       s->name, s->target,
			       rollout_is_paused(s) ? ", and is paused still" : "", s->name);
	return 0;
}

const struct rollout_verb rollout_verbs[] = {
    {"pause", order_pause}, {"resume", order_resume},   {"promote", order_promote},
    {"abort", order_abort}, {"restart", order_restart}, {0},
};

int rollout_order(const struct rollout_verb *verb, struct json_object *aap, int64_t now_ms,
		  struct rollout_order *ret, struct err *err)
{
	struct json_object *notes = js_new(), *meta;
	struct rollout_seen seen;
	char *said = NULL;
	int r;

	rollout_see(aap, now_ms, &seen);
	if (js_str(aap, "metadata.deletionTimestamp"))
		r = err_set(err, -EPERM, "%s is being deleted", seen.name);
	else if (!*seen.target)
		r = err_set(err, -EPERM, "%s: there is no rollout yet: no revision was accepted",
			    seen.name);
	else
		r = verb->decide(&seen, now_ms, notes, &said, err);
	if (r < 0) {
		json_object_put(notes);
		return r;
	}
	meta = js_new();
	js_put_str(meta, "resourceVersion", js_str(aap, "metadata.resourceVersion"));
	js_put(meta, "annotations", notes);
	ret->patch = js_new();
	js_put(ret->patch, "metadata", meta);
	ret->said = said;
	return 0;
}

void rollout_order_clear(struct rollout_order *order)
{
	json_object_put(order->patch);
	free(order->said);
	*order = (struct rollout_order){0};
}
