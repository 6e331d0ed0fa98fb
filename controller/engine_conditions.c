#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"

#include <string.h>

/*
 * What a profile's conditions say. Status and reason follow from counts alone, so that it costs
 * little to ask whether they changed; a message may name nodes, which costs a walk.
 */

struct condition {
	const char *type;
	const char *status;
	const char *reason;
	const char *message;
};

/* All that spec asks for is accepted, so what the rollout says is about spec. */
static bool condition_is_current(const struct aap *aap)
{
	return aap->accept == ACCEPT_OK && aap->served && aap->served == aap->wanted &&
	       !engine_is_leaving(aap) && strcmp(aap->rollout.state.revision, aap->served->id) == 0;
}

static bool condition_in_phase(const struct aap *aap, enum rollout_phase phase)
{
	return condition_is_current(aap) && aap->rollout.state.phase == phase;
}

static bool condition_went_back(const struct aap *aap)
{
	return condition_in_phase(aap, ROLLOUT_ROLLED_BACK) ||
	       condition_in_phase(aap, ROLLOUT_ABORTED);
}

static bool condition_is_stopped(const struct aap *aap)
{
	return condition_is_current(aap) && aap->rollout.plan.stopped;
}

static bool condition_is_late(const struct aap *aap)
{
	return condition_is_current(aap) && aap->rollout.plan.deadline_exceeded;
}

/* Nodes match that may hold it or will, and of which nobody can say so now. */
static bool condition_is_out_of_reach(const struct aap *aap)
{
	return aap->counts.desired == 0 && aap->counts.by_state[NODE_UNREACHABLE] > 0;
}

bool engine_is_complete(const struct aap *aap)
{
	return !condition_is_out_of_reach(aap) && aap->accept == ACCEPT_OK && aap->served &&
	       aap->served == aap->wanted && aap->counts.ready == aap->counts.desired &&
	       (aap->counts.desired == 0 || aap->rollout.state.phase == ROLLOUT_COMPLETE);
}

bool engine_is_leaving(const struct aap *aap)
{
	return aap->spec.deleting || !aap->spec.enabled;
}

static const char *condition_accept_reason(enum accept_state state)
{
	switch (state) {
	case ACCEPT_COMPILING:
		return "Compiling";
	case ACCEPT_OK:
		return "Compiled";
	case ACCEPT_PARSE_ERROR:
		return "ParseError";
	case ACCEPT_FORBIDDEN:
		return "ForbiddenPolicy";
	case ACCEPT_NAME_CONFLICT:
		return "NameConflict";
	}
	return "Compiling";
}

static bool condition_is_refused(const struct aap *aap)
{
	return aap->accept == ACCEPT_PARSE_ERROR || aap->accept == ACCEPT_FORBIDDEN;
}

/* The first that holds; NULL: it is ready. */
static const char *condition_unready(const struct aap *aap)
{
	if (condition_is_refused(aap))
		return "InvalidPolicy";
	if (aap->accept == ACCEPT_NAME_CONFLICT)
		return "NameConflict";
	if (engine_is_leaving(aap) && (aap->spec.deleting || aap->placements.n > 0 || aap->unheard))
		return "RolloutInProgress";
	if (condition_went_back(aap) || condition_in_phase(aap, ROLLOUT_ROLLING_BACK))
		return "RolledBack";
	if (aap->counts.failed > 0)
		return "NodesFailed";
	if (condition_in_phase(aap, ROLLOUT_PAUSED))
		return "RolloutPaused";
	if (aap->accept == ACCEPT_COMPILING || !engine_is_complete(aap))
		return "RolloutInProgress";
	return NULL;
}

static struct condition condition_ready(const struct aap *aap)
{
	const char *unready = condition_unready(aap);

	if (unready)
		return (struct condition){"Ready", "False", unready, ""};
	return (struct condition){"Ready", "True",
				  aap->counts.desired == 0 && aap->spec.enabled ? "NoMatchingNodes"
										: "RolloutComplete",
				  ""};
}

static struct condition condition_accepted(const struct aap *aap)
{
	const char *status = aap->accept == ACCEPT_OK          ? "True"
			     : aap->accept == ACCEPT_COMPILING ? "Unknown"
							       : "False";
	const char *message = *aap->accept_message       ? aap->accept_message
			      : aap->accept == ACCEPT_OK ? "the text compiles and is allowed"
							 : "the text is being compiled";

	return (struct condition){"Accepted", status, condition_accept_reason(aap->accept),
				  message};
}

/* Why nothing moves, where something should; NULL: it moves. */
static const char *condition_stands_still(const struct aap *aap)
{
	return condition_went_back(aap)                  ? "RolledBack"
	       : condition_is_stopped(aap)               ? "FailureBudgetExceeded"
	       : condition_in_phase(aap, ROLLOUT_PAUSED) ? "Paused"
	       : condition_is_late(aap)                  ? "ProgressDeadlineExceeded"
							 : NULL;
}

static struct condition condition_progressing(const struct aap *aap, const struct condition *ready)
{
	bool refused = condition_is_refused(aap) || aap->accept == ACCEPT_NAME_CONFLICT;
	bool moving = aap->served && aap->counts.ready < aap->counts.desired;
	const char *still = condition_stands_still(aap);

	if (refused && !moving)
		return (struct condition){"Progressing", "False",
					  condition_accept_reason(aap->accept), ready->message};
	if (strcmp(ready->status, "True") == 0)
		return (struct condition){"Progressing", "False", "RolloutComplete",
					  ready->message};
	if (still)
		return (struct condition){"Progressing", "False", still, ready->message};
	return (struct condition){"Progressing", "True", "NodesUpdating", ready->message};
}

/* True only where a person has to act: a pause that a user asked for is no such thing. */
static struct condition condition_stalled(const struct aap *aap, const struct condition *ready,
					  const struct condition *progressing)
{
	const char *still = condition_stands_still(aap);

	if (condition_is_refused(aap) || aap->accept == ACCEPT_NAME_CONFLICT)
		return (struct condition){"Stalled", "True", condition_accept_reason(aap->accept),
					  aap->accept_message};
	if (still && strcmp(still, "Paused") != 0 && strcmp(ready->status, "True") != 0)
		return (struct condition){"Stalled", "True", still, ready->message};
	return (struct condition){"Stalled", "False", progressing->reason, ""};
}

/* `message` is what Ready says. */
static void conditions_make(const struct aap *aap, const char *message, struct condition all[4])
{
	all[0] = condition_ready(aap);
	all[0].message = message;
	all[1] = condition_accepted(aap);
	all[2] = condition_progressing(aap, &all[0]);
	all[3] = condition_stalled(aap, &all[0], &all[2]);
}

/* Messages. */

void engine_note_first(const struct node **first, size_t n, size_t max, const struct node *node)
{
	size_t at = n < max ? n : max - 1;

	if (n >= max && strcmp(node->name, first[at]->name) > 0)
		return;
	for (; at > 0 && strcmp(node->name, first[at - 1]->name) < 0; at--)
		first[at] = first[at - 1];
	first[at] = node;
}

/* Of the desired nodes that are in that state, the first few, and how many there are. */
static size_t engine_first_in(const struct aap *aap, enum node_state state,
			      const struct node *first[3])
{
	size_t it = 0, n = 0;
	void *value;

	while (map_next(&aap->placements, &it, NULL, &value)) {
		const struct placement *p = value;

		if (p->state.state == state && p->state.desired)
			engine_note_first(first, n++, 3, p->node);
	}
	return n;
}

char *engine_failures(const struct aap *aap)
{
	const struct node *first[3];
	struct buf out = BUF_INIT(2048);
	size_t n = engine_first_in(aap, NODE_FAILED, first), i;

	for (i = 0; i < n && i < 3; i++) {
		struct placement_state s = engine_judge(map_get(&aap->placements, first[i]->name));

		buf_addf(&out, "%s%s: %s: %.300s", i == 0 ? "" : "; ", first[i]->name, s.reason,
			 s.message ? s.message : "");
	}
	if (n > 3)
		buf_addf(&out, "; and %zu more nodes", n - 3);
	return buf_steal(&out);
}

static struct json_object *condition_find(const struct aap *aap, const char *type)
{
	struct json_object *all = js_array(aap->object, "status.conditions");
	size_t i;

	for (i = 0; i < js_len(all); i++)
		if (str_equal(js_str(js_item(all, i), "type"), type))
			return js_item(all, i);
	return NULL;
}

/* Which nodes failed, and how, is known no more once they went back: it is kept here, and, after a
 * restart, where it was written down. */
static char *condition_back_message(const struct aap *aap)
{
	struct json_object *old = condition_find(aap, "Ready");

	if (aap->rollout.blame)
		return mem_printf("revision %s failed: %s; %s", aap->served->id, aap->rollout.blame,
				  aap->rollout.plan.why);
	if (str_equal(js_str(old, "reason"), "RolledBack") &&
	    str_equal(js_str(aap->object, "status.updateRevision"), aap->served->id))
		return mem_strdup(js_str_or_empty(old, "message"));
	return mem_strdup(aap->rollout.plan.why);
}

static char *condition_leaving_message(struct engine *e, const struct aap *aap)
{
	CLEANUP(mem_freep) char *why = engine_removal_why(e, aap);

	size_t dead = engine_removal_dead(e);

	if (*why)
		return mem_printf("being removed: %s", why);
	if (aap->spec.deleting)
		return mem_strdup("being removed");
	return dead > 0 ? mem_printf("spec.state is Disabled: removed from every node that is "
				     "reached; %zu that Kubernetes does not call Ready may hold it",
				     dead)
			: mem_strdup("spec.state is Disabled: removed from every node");
}

static char *condition_failed_message(const struct aap *aap)
{
	CLEANUP(mem_freep) char *failures = engine_failures(aap);

	if (condition_is_stopped(aap))
		return mem_printf("%s; %s", failures, aap->rollout.plan.why);
	return STEAL(failures);
}

/* No node is desired. */
static char *condition_none_message(const struct aap *aap)
{
	long long unreachable = aap->counts.by_state[NODE_UNREACHABLE];
	long long unsupported = aap->counts.by_state[NODE_UNSUPPORTED], n;

	n = unreachable + unsupported;
	if (n == 0)
		return mem_strdup(
		    "no node matches spec.nodeSelector, so no kernel holds the profile");
	return mem_printf("%lld %s, and none can hold it now: %lld Unreachable, %lld Unsupported",
			  n, n == 1 ? "node matches" : "nodes match", unreachable, unsupported);
}

/* "" where it is as it was loaded everywhere. */
static char *condition_drift_message(const struct aap *aap)
{
	const struct node *first[3];
	struct buf out = BUF_INIT(1024);
	size_t n =
	    aap->counts.by_state[NODE_DRIFTED] > 0 ? engine_first_in(aap, NODE_DRIFTED, first) : 0;
	size_t i;

	for (i = 0; i < n && i < 3; i++)
		buf_addf(&out, "%s%s", i == 0 ? "; somebody else changed or removed it on " : ", ",
			 first[i]->name);
	if (n > 3)
		buf_addf(&out, " and %zu more nodes", n - 3);
	return buf_steal(&out);
}

static char *condition_held_message(const struct aap *aap)
{
	const char *why = condition_is_current(aap) ? aap->rollout.plan.why : "";
	const char *held = aap->served ? aap->served->id : aap->wanted->id;
	CLEANUP(mem_freep) char *changed = condition_drift_message(aap);

	return mem_printf("%lld of %lld nodes hold revision %s%s%s%s", (long long)aap->counts.ready,
			  (long long)aap->counts.desired, held, changed, *why ? "; " : "", why);
}

static char *condition_ready_message(struct engine *e, const struct aap *aap, const char *reason)
{
	if (strcmp(reason, "InvalidPolicy") == 0)
		return aap->served ? mem_printf("%s; nodes keep revision %s (%lld of %lld hold it)",
						aap->accept_message, aap->served->id,
						(long long)aap->counts.ready,
						(long long)aap->counts.desired)
				   : mem_strdup(aap->accept_message);
	if (strcmp(reason, "NameConflict") == 0)
		return mem_strdup(aap->accept_message);
	if (engine_is_leaving(aap))
		return condition_leaving_message(e, aap);
	if (strcmp(reason, "RolledBack") == 0)
		return condition_back_message(aap);
	if (strcmp(reason, "NodesFailed") == 0)
		return condition_failed_message(aap);
	if (strcmp(reason, "NoMatchingNodes") == 0)
		return condition_none_message(aap);
	if (aap->accept == ACCEPT_COMPILING)
		return mem_strdup("the text is being compiled");
	if (condition_is_out_of_reach(aap))
		return condition_none_message(aap);
	return condition_held_message(aap);
}

static struct json_object *condition_encode(const struct aap *aap, const struct condition *c,
					    const char *now)
{
	struct json_object *old = condition_find(aap, c->type), *obj = js_new();
	const char *since =
	    str_equal(js_str(old, "status"), c->status) ? js_str(old, "lastTransitionTime") : NULL;

	js_put_str(obj, "type", c->type);
	js_put_str(obj, "status", c->status);
	js_put_i64(obj, "observedGeneration", aap->spec.generation);
	js_put_str(obj, "lastTransitionTime", since ? since : now);
	js_put_str(obj, "reason", c->reason);
	js_put_str(obj, "message", c->message);
	return obj;
}

struct json_object *engine_conditions(struct engine *e, const struct aap *aap, const char *now)
{
	CLEANUP(mem_freep)
	char *message = condition_ready_message(e, aap, condition_ready(aap).reason);
	struct json_object *array = js_new_array();
	struct condition all[4];
	size_t i;

	conditions_make(aap, message, all);
	for (i = 0; i < 4; i++)
		js_append(array, condition_encode(aap, &all[i], now));
	return array;
}

/* News. */

static bool condition_rollout_is_news(const struct aap *aap)
{
	const struct rollout_state *s = &aap->rollout.state;
	struct json_object *old = js_object(aap->object, "status.rollout");

	if (!*s->revision)
		return false;
	return !str_equal(js_str(old, "phase"), rollout_phase_name(s->phase)) ||
	       (*s->step_hash && js_i64(old, "step.index", 0) != s->step);
}

bool engine_has_news(const struct aap *aap)
{
	struct json_object *old = js_object(aap->object, "status");
	struct condition all[4];
	size_t i;

	conditions_make(aap, "", all);
	if (js_i64(old, "observedGeneration", -1) != aap->spec.generation)
		return true;
	for (i = 0; i < 4; i++) {
		struct json_object *was = condition_find(aap, all[i].type);

		if (!str_equal(js_str(was, "status"), all[i].status) ||
		    !str_equal(js_str(was, "reason"), all[i].reason))
			return true;
	}
	return condition_rollout_is_news(aap);
}

bool engine_is_moving(const struct aap *aap)
{
	return aap->accept == ACCEPT_COMPILING ||
	       strcmp(condition_ready(aap).reason, "RolloutInProgress") == 0;
}

/* Events. */

/* What to announce: one word for each transition of the rollout; NULL for none. */
static const char *announce_reason(const struct aap *aap, bool *ret_warning)
{
	const char *still = condition_stands_still(aap), *ready = condition_ready(aap).reason;

	*ret_warning = true;
	if (condition_in_phase(aap, ROLLOUT_ROLLING_BACK))
		return "RollingBack";
	if (still && strcmp(still, "Paused") != 0 && strcmp(ready, "RolloutComplete") != 0)
		return still;
	*ret_warning = strcmp(ready, "RolloutComplete") != 0 && strcmp(ready, "RolloutPaused") != 0;
	if (strcmp(ready, "RolloutInProgress") != 0)
		return ready;
	*ret_warning = false;
	if (condition_in_phase(aap, ROLLOUT_SOAKING))
		return "StepSoaking";
	return aap->announced && str_has_prefix(aap->announced, "RolloutPaused ") ? "RolloutResumed"
										  : NULL;
}

/* A former leader has said it already. */
static bool announce_was_said(const struct aap *aap)
{
	struct json_object *ready = condition_find(aap, "Ready");
	const char *phase = js_str_or_empty(aap->object, "status.rollout.phase");

	return !aap->announced && str_equal(js_str(ready, "reason"), condition_ready(aap).reason) &&
	       (!*phase || strcmp(phase, rollout_phase_name(aap->rollout.state.phase)) == 0);
}

void engine_announce(struct engine *e, struct aap *aap, struct json_object *status)
{
	struct json_object *ready = js_item(js_array(status, "conditions"), 0);
	CLEANUP(mem_freep) char *what = NULL;
	const char *reason;
	bool warning;

	reason = announce_reason(aap, &warning);
	if (!reason)
		return;
	what = mem_printf("%s %s %u", reason, aap->wanted->id,
			  strcmp(reason, "StepSoaking") == 0 ? aap->rollout.state.step : 0);
	if (str_equal(what, aap->announced))
		return;
	if (!announce_was_said(aap))
		e->ops->event(e->data, aap, warning, reason, js_str_or_empty(ready, "message"));
	mem_replace(&aap->announced, STEAL(what));
}
