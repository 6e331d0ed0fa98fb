#include "base/clock.h"
#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"

#include <stdlib.h>
#include <string.h>

/* Nodes, as Kubernetes has them and as their agents come and go. */

static bool engine_label_is(struct json_object *labels, const char *key, const char *value)
{
	struct json_object *label = js_get(labels, key);

	return label && (!value || strcmp(json_object_get_string(label), value) == 0);
}

static bool engine_is_excluded(struct json_object *labels)
{
	return engine_label_is(labels, "hauberk.dev/exclude", NULL) ||
	       engine_label_is(labels, "kubernetes.io/os", "windows") ||
	       engine_label_is(labels, "type", "virtual-kubelet");
}

/* Is it chosen, by each profile? One that is to look at all its nodes soon will see it then. */
static void engine_reselect(struct engine *e, struct node *node)
{
	struct aap *aap;
	size_t it = 0;

	while ((aap = engine_next_profile(e, &it)))
		if (!aap->reselect)
			engine_select_node(e, aap, node);
}

static const char *engine_zone(struct engine *e, struct json_object *labels)
{
	struct json_object *label = js_get(labels, "topology.kubernetes.io/zone");
	const char *name = label ? json_object_get_string(label) : "";
	char *zone = map_get(&e->zones, name);

	/* They stay for good, and a node may call its own zone whatever it likes. */
	if (!zone && e->zones.n >= ENGINE_ZONES_MAX && *name)
		return engine_zone(e, NULL);
	if (!zone) {
		zone = mem_strdup(name);
		map_put(&e->zones, name, zone);
	}
	return zone;
}

/* What is being removed looks otherwise once all have been heard of. */
static void engine_mark_leaving(struct engine *e)
{
	struct aap *aap;
	size_t it = 0;

	while ((aap = engine_next_profile(e, &it)))
		if (engine_is_leaving(aap))
			engine_mark_profile(e, aap);
}

void engine_node_await(struct engine *e, struct node *node)
{
	bool dead = node->away && node->away_known && !node->away_ready;
	bool awaited = node->exists && node->has_object && !node->reported && !dead;
	size_t before = e->n_awaited;

	if (awaited == node->awaited)
		return;
	node->awaited = awaited;
	e->n_awaited = awaited ? before + 1 : before - 1;
	if (before == 0 || e->n_awaited == 0)
		engine_mark_leaving(e);
}

void engine_node_free(struct engine *e, struct node *node)
{
	engine_set_unref(e, node->set);
	engine_removals_free(node->removals, node->n_removals);
	engine_report_drop(e, &node->report);
	json_object_put(node->labels);
	free(node->agent_version);
	free(node->kernel_release);
	free(node->boot_id);
	free(node->features_problem);
	free(node->uid);
	free(node->name);
	free(node);
}

/* The AppArmorNode may be seen before the Node. */
static struct node *engine_node_need(struct engine *e, const char *name)
{
	struct node *node = engine_node(e, name);

	if (node)
		return node;
	node = MEM_NEW(struct node);
	node->name = mem_strdup(name);
	node->heard_ms = e->now_ms;
	node->joined = e->started;
	node->zone = engine_zone(e, NULL);
	list_init(&node->dirty);
	list_init(&node->placements);
	map_put(&e->nodes, name, node);
	return node;
}

void engine_node_seen(struct engine *e, struct json_object *obj, int64_t now_ms)
{
	const char *name = js_str(obj, "metadata.name"), *uid = js_str(obj, "metadata.uid");
	struct json_object *labels = js_object(obj, "metadata.labels");
	struct node *node;

	e->now_ms = now_ms;
	if (!name || !uid)
		return;
	node = engine_node(e, name);
	if (node && node->exists && !str_equal(node->uid, uid))
		engine_node_gone(e, name);
	node = engine_node_need(e, name);
	if (node->exists && node->away) {
		/* A Node's status shows up here as a change of its metadata. */
		e->ops->ask_ready(e->data, node);
	}
	if (node->exists && json_object_equal(node->labels, labels))
		return;
	if (!node->exists)
		node->heard_ms = now_ms;
	node->joined = node->joined || (!node->exists && e->started);
	node->exists = true;
	mem_replace(&node->uid, mem_strdup(uid));
	clock_parse(js_str(obj, "metadata.creationTimestamp"), &node->created_ms);
	json_object_put(node->labels);
	node->labels = json_object_get(labels);
	node->excluded = engine_is_excluded(labels);
	engine_node_await(e, node);
	node->zone = engine_zone(e, labels);
	e->sweep_ms = engine_min(e->sweep_ms, node->heard_ms + ENGINE_AGENT_AWAY_MS);
	engine_reselect(e, node);
	engine_mark_deletions(e);
}

void engine_node_gone(struct engine *e, const char *name)
{
	struct node *node = map_del(&e->nodes, name);

	if (!node)
		return;
	if (node->poll)
		e->ops->set_changed(e->data, node);
	LIST_FOREACH(item, &node->placements)
		engine_unplace(e, container_of(item, struct placement, on_node));
	list_remove(&node->dirty);
	node->exists = false;
	engine_node_await(e, node);
	engine_drop_kernel(e, node);
	engine_node_free(e, node);
	engine_mark_deletions(e);
}

void engine_node_object_seen(struct engine *e, const char *name, struct pending_removal *removals,
			     size_t n, bool is_new)
{
	struct node *node = engine_node_need(e, name);

	node->has_object = true;
	engine_node_await(e, node);
	if (!engine_removals_take(node, removals, n, is_new))
		return;
	/* What is being written now says otherwise. */
	node->facts_dirty = node->facts_dirty || node->facts_writing;
	if (node->reported && !node->away)
		engine_removals_settle(e, node);
	engine_mark_node(e, node);
	engine_mark_deletions(e);
}

void engine_node_object_gone(struct engine *e, const char *name)
{
	struct node *node = engine_node(e, name);

	if (!node || !node->has_object)
		return;
	node->has_object = false;
	engine_node_await(e, node);
	/* Of one whose agent we never heard there is nothing to say but what is to be removed. */
	if (e->uninstalling || (!node->reported && node->n_removals == 0))
		return;
	node->facts_dirty = true;
	engine_mark_node(e, node);
}

/* Agents that have not been heard of for a while. */
static void engine_node_away(struct engine *e, struct node *node)
{
	node->away = true;
	node->away_known = false;
	node->ask_ms = 0;
	engine_node_await(e, node);
	if (node->exists)
		e->ops->ask_ready(e->data, node);
	LIST_FOREACH(item, &node->placements)
		engine_place_again(e, container_of(item, struct placement, on_node));
	engine_mark_deletions(e);
}

/* Where the API server did not say whether it is Ready. Returns when to look again. */
static int64_t engine_node_ask_again(struct engine *e, struct node *node)
{
	if (!node->away || !node->exists || !node->ask_ms)
		return INT64_MAX;
	if (e->now_ms < node->ask_ms)
		return node->ask_ms;
	node->ask_ms = 0;
	e->ops->ask_ready(e->data, node);
	return INT64_MAX;
}

/* A feature set that was refused for a time: its agent is asked for it once more. */
static int64_t engine_node_features_again(struct engine *e, struct node *node)
{
	if (!node->features_reason || e->now_ms < node->features_retry_ms)
		return node->features_reason ? node->features_retry_ms : INT64_MAX;
	if (node->poll)
		e->ops->set_changed(e->data, node);
	return INT64_MAX;
}

int64_t engine_nodes_sweep(struct engine *e)
{
	int64_t next = INT64_MAX;
	struct node *node;
	size_t it = 0;

	while ((node = engine_next_node(e, &it))) {
		int64_t away = node->heard_ms + ENGINE_AGENT_AWAY_MS;
		int64_t disconnected = node->heard_ms + ENGINE_DISCONNECTED_MS;

		if (!node->away && e->now_ms >= away)
			engine_node_away(e, node);
		if (!node->disconnected && e->now_ms >= disconnected && node->has_object) {
			node->disconnected = true;
			node->facts_dirty = true;
			engine_mark_node(e, node);
		}
		if (node->facts_dirty && !node->facts_writing)
			engine_mark_node(e, node);
		next = engine_min(next, engine_node_ask_again(e, node));
		next = engine_min(next, engine_node_features_again(e, node));
		if (!node->away)
			next = away < next ? away : next;
		else if (!node->disconnected && disconnected > e->now_ms)
			next = disconnected < next ? disconnected : next;
	}
	return next;
}

void engine_nodes_release(struct engine *e)
{
	struct node *node;
	size_t it = 0;

	e->holding_back = false;
	while ((node = engine_next_node(e, &it)))
		if (node->reported && !node->set)
			engine_mark_node(e, node);
}

/* Where it changed often of late, it waits for a sweep. */
static void engine_write_facts(struct engine *e, struct node *node)
{
	int64_t due = write_rate_due(&node->facts_rate, ENGINE_FACTS_BURST, ENGINE_FACTS_MS);

	if (e->now_ms < due) {
		e->sweep_ms = engine_min(e->sweep_ms, due);
		return;
	}
	write_rate_take(&node->facts_rate, ENGINE_FACTS_MS, e->now_ms);
	node->facts_dirty = false;
	node->facts_writing = true;
	e->ops->write_node(e->data, node);
}

/* Its agent has its set now: what was outdated before is either right, or wrong. */
static void engine_node_up_to_date(struct engine *e, struct node *node)
{
	if (!node->outdated || !engine_has_set(node))
		return;
	node->outdated = false;
	LIST_FOREACH(item, &node->placements)
		engine_place_again(e, container_of(item, struct placement, on_node));
}

void engine_node_step(struct engine *e, struct node *node)
{
	if (node->reported && engine_set_is_early(e, node))
		e->holding_back = true;
	else if (node->reported && engine_set_make(e, node))
		e->ops->set_changed(e->data, node);
	engine_node_up_to_date(e, node);
	if (node->facts_dirty && !node->facts_writing && node->exists)
		engine_write_facts(e, node);
}
