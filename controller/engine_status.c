#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"

#include <stdlib.h>
#include <string.h>

/*
 * What a user reads: status, made anew from the placements each time. What it keeps of the former
 * status are times: a condition's and a node's lastTransitionTime last while they say the same,
 * also across a restart of the controller.
 */

enum {
	STATUS_MAX = 24 * 1024, /* bytes that all of status may take */
	STATUS_NODE_MESSAGE_MAX = 256,
	STATUS_REASONS_MAX = 16,
};

struct condition {
	const char *type;
	const char *status;
	const char *reason;
	const char *message;
};

bool engine_is_complete(const struct aap *aap)
{
	return aap->accept == ACCEPT_OK && aap->served && aap->served == aap->wanted &&
	       aap->counts.ready == aap->counts.desired;
}

static const char *status_accept_reason(enum accept_state state)
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

static bool status_is_refused(const struct aap *aap)
{
	return aap->accept == ACCEPT_PARSE_ERROR || aap->accept == ACCEPT_FORBIDDEN;
}

static bool status_is_leaving(const struct aap *aap)
{
	return aap->spec.deleting || !aap->spec.enabled;
}

/* A few failing nodes, with their reasons, for a condition's message. */
static char *status_failures(struct engine *e, const struct aap *aap)
{
	struct buf out = BUF_INIT(2048);
	size_t it = 0;
	int64_t n = 0;
	void *value;

	(void)e;
	while (map_next(&aap->placements, &it, NULL, &value)) {
		const struct placement *p = value;
		struct placement_state s;

		if (p->state.state != NODE_FAILED || !p->state.desired || n++ >= 3)
			continue;
		s = engine_judge(p);
		buf_addf(&out, "%s%s: %s: %.300s", n == 1 ? "" : "; ", p->node->name, s.reason,
			 s.message ? s.message : "");
	}
	if (n > 3)
		buf_addf(&out, "; and %lld more nodes", (long long)(n - 3));
	return buf_steal(&out);
}

static char *status_ready_message(struct engine *e, const struct aap *aap, const char *reason)
{
	const struct placement_counts *c = &aap->counts;
	const char *held = aap->served ? aap->served->id : NULL;

	if (strcmp(reason, "InvalidPolicy") == 0)
		return held ? mem_printf("%s; nodes keep revision %s (%lld of %lld hold it)",
					 aap->accept_message, held, (long long)c->ready,
					 (long long)c->desired)
			    : mem_strdup(aap->accept_message);
	if (strcmp(reason, "NameConflict") == 0)
		return mem_strdup(aap->accept_message);
	if (status_is_leaving(aap)) {
		CLEANUP(mem_freep) char *why = engine_removal_why(e, aap);

		if (*why)
			return mem_printf("being removed: %s", why);
		return mem_strdup(aap->spec.deleting
				      ? "being removed"
				      : "spec.state is Disabled: removed from every node");
	}
	if (strcmp(reason, "NodesFailed") == 0)
		return status_failures(e, aap);
	if (strcmp(reason, "NoMatchingNodes") == 0)
		return mem_strdup(
		    "no node matches spec.nodeSelector, so no kernel holds the profile");
	if (aap->accept == ACCEPT_COMPILING)
		return mem_strdup("the text is being compiled");
	return mem_printf("%lld of %lld nodes hold revision %s", (long long)c->ready,
			  (long long)c->desired, held ? held : aap->wanted->id);
}

/* The first that holds. */
static struct condition status_ready(const struct aap *aap)
{
	const struct placement_counts *c = &aap->counts;
	struct condition ready = {.type = "Ready", .status = "False"};

	if (status_is_refused(aap))
		ready.reason = "InvalidPolicy";
	else if (aap->accept == ACCEPT_NAME_CONFLICT)
		ready.reason = "NameConflict";
	else if (status_is_leaving(aap) && (aap->spec.deleting || aap->placements.n > 0))
		ready.reason = "RolloutInProgress";
	else if (c->failed > 0)
		ready.reason = "NodesFailed";
	else if (aap->accept == ACCEPT_COMPILING || !engine_is_complete(aap))
		ready.reason = "RolloutInProgress";
	else
		ready = (struct condition){.type = "Ready",
					   .status = "True",
					   .reason = c->desired == 0 && aap->spec.enabled
							 ? "NoMatchingNodes"
							 : "RolloutComplete"};
	return ready;
}

static struct condition status_accepted(const struct aap *aap)
{
	const char *status = aap->accept == ACCEPT_OK          ? "True"
			     : aap->accept == ACCEPT_COMPILING ? "Unknown"
							       : "False";
	const char *message = *aap->accept_message       ? aap->accept_message
			      : aap->accept == ACCEPT_OK ? "the text compiles and is allowed"
							 : "the text is being compiled";

	return (struct condition){"Accepted", status, status_accept_reason(aap->accept), message};
}

static struct condition status_progressing(const struct aap *aap, const struct condition *ready)
{
	bool refused = status_is_refused(aap) || aap->accept == ACCEPT_NAME_CONFLICT;
	bool moving = aap->served && aap->counts.ready < aap->counts.desired;

	if (refused && !moving)
		return (struct condition){"Progressing", "False", status_accept_reason(aap->accept),
					  ready->message};
	if (strcmp(ready->status, "True") == 0)
		return (struct condition){"Progressing", "False", "RolloutComplete",
					  ready->message};
	return (struct condition){"Progressing", "True", "NodesUpdating", ready->message};
}

/* True only where a person has to act. */
static struct condition status_stalled(const struct aap *aap, const struct condition *progressing)
{
	bool stalled = status_is_refused(aap) || aap->accept == ACCEPT_NAME_CONFLICT;

	return (struct condition){"Stalled", stalled ? "True" : "False",
				  stalled ? status_accept_reason(aap->accept) : progressing->reason,
				  stalled ? aap->accept_message : ""};
}

static struct json_object *status_find(struct json_object *array, const char *key, const char *name)
{
	size_t i;

	for (i = 0; i < js_len(array); i++)
		if (str_equal(js_str(js_item(array, i), key), name))
			return js_item(array, i);
	return NULL;
}

static struct json_object *status_condition(const struct aap *aap, const struct condition *c,
					    const char *now)
{
	struct json_object *old =
	    status_find(js_array(aap->object, "status.conditions"), "type", c->type);
	const char *since =
	    str_equal(js_str(old, "status"), c->status) ? js_str(old, "lastTransitionTime") : NULL;
	struct json_object *obj = js_new();

	js_put_str(obj, "type", c->type);
	js_put_str(obj, "status", c->status);
	js_put_i64(obj, "observedGeneration", aap->spec.generation);
	js_put_str(obj, "lastTransitionTime", since ? since : now);
	js_put_str(obj, "reason", c->reason);
	js_put_str(obj, "message", c->message);
	return obj;
}

static struct json_object *status_conditions(struct engine *e, const struct aap *aap,
					     const char *now)
{
	struct condition all[4] = {status_ready(aap), status_accepted(aap)};
	CLEANUP(mem_freep) char *message = status_ready_message(e, aap, all[0].reason);
	struct json_object *array = js_new_array();
	size_t i;

	all[0].message = message;
	all[2] = status_progressing(aap, &all[0]);
	all[3] = status_stalled(aap, &all[2]);
	for (i = 0; i < 4; i++)
		js_append(array, status_condition(aap, &all[i], now));
	return array;
}

/* Failing first, then those on their way, then the rest, by name. */
static int status_rank(const struct placement *p)
{
	switch (p->state.state) {
	case NODE_FAILED:
	case NODE_DRIFTED:
		return 0;
	case NODE_PENDING:
	case NODE_DRAINING:
		return 1;
	default:
		return 2;
	}
}

static int status_compare(const void *a, const void *b)
{
	const struct placement *p = *(const struct placement *const *)a;
	const struct placement *q = *(const struct placement *const *)b;
	int rank = status_rank(p) - status_rank(q);

	return rank ? rank : strcmp(p->node->name, q->node->name);
}

static struct json_object *status_node(const struct aap *aap, const struct placement *p)
{
	const struct sync_status *report = engine_report_of(p->node, aap->spec.name);
	struct placement_state s = engine_judge(p);
	struct json_object *old =
	    status_find(js_array(aap->object, "status.nodes"), "name", p->node->name);
	CLEANUP(mem_freep)
	char *message =
	    mem_strndup(s.message ? s.message : "",
			strnlen(s.message ? s.message : "", 2 * STATUS_NODE_MESSAGE_MAX));
	struct json_object *obj = js_new();
	char since[CLOCK_TEXT_MAX];
	bool same = old && str_equal(js_str(old, "state"), node_state_name(s.state));

	clock_format(p->since_ms, since);
	str_make_printable(message, STATUS_NODE_MESSAGE_MAX);
	js_put_str(obj, "name", p->node->name);
	if (report && *report->revision)
		js_put_str(obj, "revision", report->revision);
	js_put_str(obj, "state", node_state_name(s.state));
	if (*s.reason)
		js_put_str(obj, "reason", s.reason);
	if (*message)
		js_put_str(obj, "message", message);
	js_put_str(obj, "lastTransitionTime",
		   same && js_str(old, "lastTransitionTime") ? js_str(old, "lastTransitionTime")
							     : since);
	return obj;
}

/* At most `max` of them, and no more than fit. Returns how many were left out. */
static size_t status_nodes(const struct aap *aap, size_t max, size_t room,
			   struct json_object *ret_array)
{
	CLEANUP(mem_freep)
	const struct placement **all =
	    mem_alloc(aap->placements.n, sizeof(const struct placement *));
	size_t n = 0, it = 0, i, len;
	void *value;

	while (map_next(&aap->placements, &it, NULL, &value)) {
		const struct placement *p = value;

		if (p->state.state != NODE_GONE)
			all[n++] = p;
	}
	qsort(all, n, sizeof(const struct placement *), status_compare);
	for (i = 0; i < n && i < max; i++) {
		struct json_object *node = status_node(aap, all[i]);

		js_print(node, &len);
		if (len + 1 > room) {
			json_object_put(node);
			break;
		}
		room -= len + 1;
		js_append(ret_array, node);
	}
	return n - i;
}

struct status_reason {
	const char *reason;
	int64_t count;
};

static int status_compare_reasons(const void *a, const void *b)
{
	const struct status_reason *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->reason, y->reason);
}

/* How many nodes failed, by reason. NULL for none. */
static struct json_object *status_failure_reasons(const struct aap *aap)
{
	struct status_reason reasons[STATUS_REASONS_MAX];
	struct json_object *array;
	size_t n = 0, it = 0, i;
	void *value;

	while (map_next(&aap->placements, &it, NULL, &value)) {
		const struct placement *p = value;

		if (p->state.state != NODE_FAILED || !p->state.desired)
			continue;
		for (i = 0; i < n && strcmp(reasons[i].reason, p->state.reason) != 0; i++)
			;
		if (i == STATUS_REASONS_MAX)
			continue;
		if (i == n)
			reasons[n++] = (struct status_reason){.reason = p->state.reason};
		reasons[i].count++;
	}
	if (n == 0)
		return NULL;
	qsort(reasons, n, sizeof(*reasons), status_compare_reasons);
	array = js_new_array();
	for (i = 0; i < n; i++) {
		struct json_object *obj = js_new();

		js_put_str(obj, "reason", reasons[i].reason);
		js_put_i64(obj, "count", reasons[i].count);
		js_append(array, obj);
	}
	return array;
}

static void status_put_counters(const struct aap *aap, struct json_object *status)
{
	const struct placement_counts *c = &aap->counts;
	CLEANUP(mem_freep)
	char *ready = mem_printf("%lld/%lld", (long long)c->ready, (long long)c->desired);

	js_put_i64(status, "desiredNodes", c->desired);
	js_put_i64(status, "updatedNodes", c->updated);
	js_put_i64(status, "readyNodes", c->ready);
	js_put_i64(status, "failedNodes", c->failed);
	js_put_i64(status, "unreachableNodes", c->by_state[NODE_UNREACHABLE]);
	js_put_i64(status, "unsupportedNodes", c->by_state[NODE_UNSUPPORTED]);
	js_put_str(status, "nodesReady", ready);
}

static void status_put_revisions(const struct aap *aap, struct json_object *status)
{
	const char *current = js_str(aap->object, "status.currentRevision");

	if (engine_is_complete(aap) && !status_is_leaving(aap) && aap->counts.desired > 0)
		current = aap->served->id;
	js_put_str(status, "currentRevision", current);
	js_put_str(status, "updateRevision",
		   aap->served ? aap->served->id : js_str(aap->object, "status.updateRevision"));
}

struct json_object *engine_status_of(struct engine *e, const struct aap *aap, size_t max_nodes,
				     int64_t now_ms)
{
	struct json_object *status = js_new(), *nodes = js_new_array(), *reasons;
	char now[CLOCK_TEXT_MAX];
	size_t len, omitted;

	clock_format(now_ms, now);
	js_put_i64(status, "observedGeneration", aap->spec.generation);
	js_put(status, "conditions", status_conditions(e, aap, now));
	status_put_revisions(aap, status);
	status_put_counters(aap, status);
	reasons = status_failure_reasons(aap);
	if (reasons)
		js_put(status, "failureReasons", reasons);
	js_print(status, &len);
	omitted = status_nodes(
	    aap, max_nodes, STATUS_MAX - 64 - (len < STATUS_MAX / 2 ? len : STATUS_MAX / 2), nodes);
	js_put(status, "nodes", nodes);
	if (omitted > 0)
		js_put_i64(status, "nodesOmitted", (int64_t)omitted);
	return status;
}
