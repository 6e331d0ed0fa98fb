#include "controller/view.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"

#include <stdlib.h>
#include <string.h>

enum { VIEW_MESSAGE_MAX = 1024 };

static void view_put_text(struct json_object *obj, const char *key, const char *text)
{
	CLEANUP(mem_freep) char *copy = NULL;

	if (!text || !*text)
		return;
	copy = mem_strndup(text, strnlen(text, 2 * (size_t)VIEW_MESSAGE_MAX));
	str_make_printable(copy, VIEW_MESSAGE_MAX);
	js_put_str(obj, key, copy);
}

static void view_put_time(struct json_object *obj, const char *key, int64_t ms)
{
	char text[CLOCK_TEXT_MAX];

	clock_format(ms, text);
	js_put_str(obj, key, text);
}

static int view_compare(const void *a, const void *b)
{
	struct json_object *x = *(struct json_object *const *)a;
	struct json_object *y = *(struct json_object *const *)b;

	return strcmp(js_str_or_empty(x, "name"), js_str_or_empty(y, "name"));
}

static struct json_object *view_sorted(struct json_object *array)
{
	json_object_array_sort(array, view_compare);
	return array;
}

static const char *view_zone(const struct node *node)
{
	struct json_object *zone = js_get(node->labels, "topology.kubernetes.io/zone");

	return zone ? json_object_get_string(zone) : NULL;
}

/* What is the same whether one looks from the profile or from the node. */
static struct json_object *view_placement(const struct placement *p, const char *name)
{
	const struct sync_status *report = engine_report_of(p->node, p->aap->spec.name);
	struct placement_state s = engine_judge(p);
	struct json_object *obj = js_new();

	js_put_str(obj, "name", name);
	js_put_bool(obj, "selected", p->selected);
	view_put_text(obj, "holds", report ? report->revision : NULL);
	if (p->assigned)
		js_put_str(obj, "told", p->assigned->id);
	js_put_str(obj, "state", node_state_name(s.state));
	view_put_text(obj, "reason", s.reason);
	view_put_text(obj, "message", s.message);
	view_put_time(obj, "since", p->since_ms);
	return obj;
}

static struct json_object *view_profile_nodes(const struct aap *aap)
{
	struct json_object *array = js_new_array();
	size_t it = 0;
	void *value;

	while (map_next(&aap->placements, &it, NULL, &value)) {
		const struct placement *p = value;
		struct json_object *obj;

		if (p->state.state == NODE_GONE)
			continue;
		obj = view_placement(p, p->node->name);
		view_put_text(obj, "zone", view_zone(p->node));
		js_append(array, obj);
	}
	return view_sorted(array);
}

struct json_object *view_profile(struct engine *e, const struct aap *aap, int64_t now_ms)
{
	struct json_object *status = engine_status(e, aap, 0, now_ms);
	struct json_object *obj = js_new();

	json_object_object_del(status, "nodes");
	json_object_object_del(status, "nodesOmitted");
	js_put_str(obj, "name", aap->spec.object);
	js_put_str(obj, "profileName", aap->spec.name);
	js_put_str(obj, "uid", aap->spec.uid);
	js_put_i64(obj, "generation", aap->spec.generation);
	js_put_str(obj, "mode", profile_mode_name(aap->spec.mode));
	js_put(obj, "status", status);
	js_put(obj, "nodes", view_profile_nodes(aap));
	return obj;
}

static const char *view_agent(const struct node *node)
{
	if (node->excluded)
		return "None";
	if (node->away)
		return "Away";
	return node->reported ? "Connected" : "NeverHeard";
}

static struct json_object *view_node_facts(const struct node *node)
{
	struct json_object *obj = js_new();

	js_put_str(obj, "name", node->name);
	js_put_str(obj, "agent", view_agent(node));
	if (!node->reported)
		return obj;
	view_put_time(obj, "heard", node->heard_ms);
	view_put_text(obj, "agentVersion", node->agent_version);
	view_put_text(obj, "kernelRelease", node->kernel_release);
	js_put_bool(obj, "appArmor", node->report.apparmor_enabled);
	if (!node->report.apparmor_enabled) {
		js_put_str(obj, "reason", "AppArmorOff");
		view_put_text(obj, "message", node->report.apparmor_reason);
	} else if (node->features_reason) {
		js_put_str(obj, "reason", node->features_reason);
		view_put_text(obj, "message", node->features_problem);
	}
	return obj;
}

static struct json_object *view_node_numbers(const struct node *node)
{
	struct placement_counts c = {.desired = 0};
	struct json_object *obj = js_new();

	LIST_FOREACH(item, &node->placements)
		placement_count(&c, &container_of(item, struct placement, on_node)->state, 1);
	js_put_i64(obj, "desired", c.desired);
	js_put_i64(obj, "loaded", c.by_state[NODE_LOADED]);
	js_put_i64(obj, "pending", c.by_state[NODE_PENDING]);
	js_put_i64(obj, "failed", c.by_state[NODE_FAILED] + c.by_state[NODE_DRIFTED]);
	js_put_i64(obj, "draining", c.by_state[NODE_DRAINING]);
	return obj;
}

struct json_object *view_nodes(struct engine *e)
{
	struct json_object *obj = js_new(), *array = js_new_array();
	const struct node *node;
	size_t it = 0;

	while ((node = engine_next_node(e, &it))) {
		struct json_object *item;

		if (!node->exists)
			continue;
		item = view_node_facts(node);
		js_put(item, "profiles", view_node_numbers(node));
		js_append(array, item);
	}
	js_put(obj, "nodes", view_sorted(array));
	return obj;
}

static struct json_object *view_node_profiles(const struct node *node)
{
	struct json_object *array = js_new_array();

	LIST_FOREACH(item, &node->placements) {
		const struct placement *p = container_of(item, struct placement, on_node);
		const struct sync_status *report = engine_report_of(node, p->aap->spec.name);
		struct json_object *obj;

		if (p->state.state == NODE_GONE)
			continue;
		obj = view_placement(p, p->aap->spec.object);
		js_put_str(obj, "profileName", p->aap->spec.name);
		view_put_text(obj, "mode", report ? report->kernel_mode : NULL);
		js_append(array, obj);
	}
	return view_sorted(array);
}

struct json_object *view_node(struct engine *e, const struct node *node)
{
	struct json_object *obj = view_node_facts(node);
	struct json_object *orphans = js_new_array(), *removals = js_new_array();
	size_t i;

	for (i = 0; i < node->report.n; i++)
		if (engine_is_orphan(e, node, node->report.items[i]))
			js_append(orphans, js_text(node->report.items[i]->name));
	for (i = 0; i < node->n_removals; i++)
		js_append(removals, js_text(node->removals[i].profile));
	js_put(obj, "profiles", view_node_profiles(node));
	js_put(obj, "orphans", orphans);
	js_put(obj, "pendingRemovals", removals);
	return obj;
}
