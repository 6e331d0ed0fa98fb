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

static struct json_object *status_find(struct json_object *array, const char *key, const char *name)
{
	size_t i;

	for (i = 0; i < js_len(array); i++)
		if (str_equal(js_str(js_item(array, i), key), name))
			return js_item(array, i);
	return NULL;
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

static void status_sift(const struct placement **heap, size_t n, size_t at,
			const struct placement *p)
{
	size_t child;

	while ((child = 2 * at + 1) < n) {
		if (child + 1 < n && status_compare(&heap[child + 1], &heap[child]) > 0)
			child++;
		if (status_compare(&heap[child], &p) <= 0)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = p;
}

/* One more to choose from; `n` of at most `max` are chosen. */
static void status_offer(const struct placement **heap, size_t n, size_t max,
			 const struct placement *p)
{
	size_t at = n;

	if (n == max) {
		if (max > 0 && status_compare(&p, &heap[0]) < 0)
			status_sift(heap, n, 0, p);
		return;
	}
	for (; at > 0 && status_compare(&heap[(at - 1) / 2], &p) < 0; at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = p;
}

static struct json_object *status_node(struct json_object *told, const struct placement *p)
{
	const struct sync_status *report = engine_place_report(p);
	struct placement_state s = engine_judge(p);
	struct json_object *old = status_find(js_array(told, "nodes"), "name", p->node->name);
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

/* The first `max` of those that are listed, in order; a heap of them, the last on top, while they
 * are looked for, so that a large fleet is walked and not sorted. Returns how many are listed. */
static size_t status_select(const struct aap *aap, const struct placement **first, size_t max)
{
	size_t n = 0, it = 0;
	void *value;

	while (map_next(&aap->placements, &it, NULL, &value)) {
		const struct placement *p = value;

		if (p->state.state == NODE_GONE)
			continue;
		status_offer(first, n < max ? n : max, max, p);
		n++;
	}
	qsort(first, n < max ? n : max, sizeof(const struct placement *), status_compare);
	return n;
}

/* At most `max` of them, and no more than fit. Returns how many were left out. */
static size_t status_nodes(const struct aap *aap, struct json_object *told, size_t max, size_t room,
			   struct json_object *ret_array)
{
	CLEANUP(mem_freep)
	const struct placement **first = mem_alloc(max, sizeof(const struct placement *));
	size_t n = status_select(aap, first, max), i, len;

	for (i = 0; i < n && i < max; i++) {
		struct json_object *node = status_node(told, first[i]);

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
	if (*aap->current_id)
		js_put_str(status, "currentRevision", aap->current_id);
	js_put_str(status, "updateRevision",
		   aap->served ? aap->served->id : js_str(aap->object, "status.updateRevision"));
}

static void status_put_rollout(const struct aap *aap, struct json_object *status)
{
	const struct rollout_state *state = &aap->rollout.state;
	struct json_object *rollout = engine_rollout_status(aap);
	size_t n = aap->spec.rollout.n_steps;

	if (!rollout)
		return;
	js_put(status, "rollout", rollout);
	if (state->step < n && state->phase != ROLLOUT_COMPLETE) {
		CLEANUP(mem_freep) char *step = mem_printf("%u/%zu", state->step + 1, n);

		js_put_str(status, "step", step);
	}
}

void engine_profile_trim(struct json_object *obj)
{
	struct json_object *status = js_object(obj, "status"), *nodes = js_array(status, "nodes");

	if (nodes)
		js_put(status, "nodes", js_text(js_print(nodes, NULL)));
}

struct json_object *engine_status_told(const struct aap *aap)
{
	struct json_object *status = js_object(aap->object, "status"), *told = js_new(), *nodes;
	const char *text = js_str(status, "nodes");
	struct err err;

	if (!status)
		return told;
	json_object_object_foreach(status, key, value)
		js_put(told, key, json_object_get(value));
	if (text && js_parse(text, strlen(text), &nodes, &err) == 0)
		js_put(told, "nodes", nodes);
	return told;
}

struct json_object *engine_status_next(struct engine *e, const struct aap *aap,
				       struct json_object *told, size_t max_nodes, int64_t now_ms)
{
	struct json_object *status = js_new(), *nodes = js_new_array(), *reasons;
	char now[CLOCK_TEXT_MAX];
	size_t len, omitted;

	clock_format(now_ms, now);
	js_put_i64(status, "observedGeneration", aap->spec.generation);
	js_put(status, "conditions", engine_conditions(e, aap, now));
	status_put_revisions(aap, status);
	status_put_rollout(aap, status);
	status_put_counters(aap, status);
	reasons = status_failure_reasons(aap);
	if (reasons)
		js_put(status, "failureReasons", reasons);
	js_print(status, &len);
	omitted =
	    status_nodes(aap, told, max_nodes,
			 STATUS_MAX - 64 - (len < STATUS_MAX / 2 ? len : STATUS_MAX / 2), nodes);
	js_put(status, "nodes", nodes);
	if (omitted > 0)
		js_put_i64(status, "nodesOmitted", (int64_t)omitted);
	return status;
}

struct json_object *engine_status_of(struct engine *e, const struct aap *aap, size_t max_nodes,
				     int64_t now_ms)
{
	CLEANUP(js_putp) struct json_object *told = engine_status_told(aap);

	return engine_status_next(e, aap, told, max_nodes, now_ms);
}
