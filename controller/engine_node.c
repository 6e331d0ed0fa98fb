#include "controller/engine_priv.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "policy/features.h"

#include <stdlib.h>
#include <string.h>

/* Sets. */

static void engine_set_unref(struct engine *e, struct set_body *set)
{
	if (!set || --set->refs > 0)
		return;
	map_del(&e->sets, set->key);
	free(set->text);
	free(set);
}

/* What can be told of what is to be told: where that cannot be had for this kernel, or not yet, the
 * node keeps what it was told before. */
static const struct revision *engine_tellable(const struct placement *p)
{
	return engine_has_build(p->assigned, p->node) ? p->assigned
	       : engine_has_build(p->before, p->node) ? p->before
						      : NULL;
}

bool engine_has_item(const struct placement *p)
{
	if (!p->selected)
		return p->state.state == NODE_DRAINING;
	return !p->node->features_reason && engine_tellable(p);
}

/* What one placement adds to its node's set; false for nothing. The item borrows. */
static bool engine_set_item(const struct placement *p, struct sync_item *item)
{
	const struct revision *rev;
	const struct build *build;

	*item = (struct sync_item){
	    .name = p->aap->spec.name, .uid = p->aap->spec.uid, .want = SYNC_ABSENT};
	if (!engine_has_item(p))
		return false;
	if (!p->selected)
		return true;
	rev = engine_tellable(p);
	build = engine_build(rev, p->node->features);
	if (!build)
		return false;
	item->want = SYNC_LOADED;
	memcpy(item->revision, rev->id, sizeof(item->revision));
	item->mode = rev->mode;
	item->adopt = p->aap->spec.adopt;
	memcpy(item->artefact, build->artefact, sizeof(item->artefact));
	item->artefact_size = build->size;
	item->hashes = build->hashes;
	item->n_hashes = build->n_hashes;
	return true;
}

/* A removal that a deletion did not wait for, told to the agent that has come back. */
static bool engine_set_removal(struct engine *e, const struct node *node,
			       const struct pending_removal *removal, struct sync_item *item)
{
	const struct sync_status *report = engine_report_of(node, removal->profile);

	*item =
	    (struct sync_item){.name = removal->profile, .uid = removal->uid, .want = SYNC_ABSENT};
	return report && report->state != SYNC_STATE_ABSENT && !engine_holder(e, removal->profile);
}

static int engine_compare_items(const void *a, const void *b)
{
	return strcmp(((const struct sync_item *)a)->name, ((const struct sync_item *)b)->name);
}

static size_t engine_set_items(struct engine *e, const struct node *node, struct sync_item *items)
{
	void *value;
	size_t it = 0, n = 0, i;

	while (map_next(&node->placements, &it, NULL, &value))
		if (n < SYNC_ITEMS_MAX && engine_set_item(value, &items[n]))
			n++;
	for (i = 0; i < node->n_removals && n < SYNC_ITEMS_MAX; i++)
		if (engine_set_removal(e, node, &node->removals[i], &items[n]))
			n++;
	qsort(items, n, sizeof(*items), engine_compare_items);
	return n;
}

/* The choices stand for the text that they lead to, and are far shorter. */
static void engine_set_key(const struct sync_item *items, size_t n, char out[SHA256_HEX])
{
	struct buf key = BUF_INIT(SIZE_MAX);
	size_t i;

	for (i = 0; i < n; i++)
		buf_addf(&key, "%s/%s/%d%d/%s/%s\n", items[i].name, items[i].uid, items[i].want,
			 items[i].adopt, items[i].revision, items[i].artefact);
	sha256_hex(buf_text(&key), key.len, out);
	buf_clear(&key);
}

static struct set_body *engine_set_new(struct engine *e, const struct sync_item *items, size_t n,
				       const char *key)
{
	struct set_body *set = MEM_NEW(struct set_body);
	struct json_object *obj = sync_set_encode(items, n);

	memcpy(set->key, key, sizeof(set->key));
	set->text = mem_strdup(js_print(obj, NULL));
	sha256_hex(set->text, strlen(set->text), set->hash);
	json_object_put(obj);
	map_put(&e->sets, key, set);
	return set;
}

/* True when the node's set is another than before. */
static bool engine_make_set(struct engine *e, struct node *node)
{
	CLEANUP(mem_freep)
	struct sync_item *items = mem_alloc(node->placements.n + node->n_removals, sizeof(*items));
	size_t n = engine_set_items(e, node, items);
	struct set_body *set;
	char key[SHA256_HEX];

	engine_set_key(items, n, key);
	if (node->set && strcmp(node->set->key, key) == 0)
		return false;
	set = map_get(&e->sets, key);
	if (!set)
		set = engine_set_new(e, items, n, key);
	set->refs++;
	engine_set_unref(e, node->set);
	node->set = set;
	return true;
}

/* Will it be known soon what the node was told of it by a former leader? */
static bool engine_is_coming(const struct placement *p)
{
	const struct sync_status *report = engine_report_of(p->node, p->aap->spec.name);
	const struct build *build = engine_build(p->assigned, p->node->features);

	if (!p->selected || !report || !*report->target || engine_has_item(p))
		return false;
	return p->assigned ? !build || build->state == BUILD_WAITING
			   : engine_is_fetching(p->aap, report->target);
}

/* A new leader tells a node nothing while it does not know yet all that a former one had told it:
 * a set that lacks a profile would make an orphan of what is loaded there. */
static bool engine_set_is_early(struct engine *e, const struct node *node)
{
	void *value;
	size_t it = 0;

	if (node->set || e->now_ms >= e->start_ms + ENGINE_TAKEOVER_MS)
		return false;
	while (map_next(&node->placements, &it, NULL, &value))
		if (engine_is_coming(value))
			return true;
	return false;
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

void engine_node_step(struct engine *e, struct node *node)
{
	if (node->reported && engine_set_is_early(e, node))
		e->holding_back = true;
	else if (node->reported && engine_make_set(e, node))
		e->ops->set_changed(e->data, node);
	if (node->facts_dirty && !node->facts_writing && node->exists) {
		node->facts_dirty = false;
		node->facts_writing = true;
		e->ops->write_node(e->data, node);
	}
}

/* Nodes as Kubernetes has them. */

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

	if (!zone) {
		zone = mem_strdup(name);
		map_put(&e->zones, name, zone);
	}
	return zone;
}

void engine_node_free(struct engine *e, struct node *node)
{
	size_t i;

	engine_set_unref(e, node->set);
	for (i = 0; i < node->n_removals; i++) {
		free(node->removals[i].profile);
		free(node->removals[i].uid);
	}
	free(node->removals);
	map_clear(&node->placements, NULL);
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
	node->zone = engine_zone(e, labels);
	e->sweep_ms = engine_min(e->sweep_ms, node->heard_ms + ENGINE_AGENT_AWAY_MS);
	engine_reselect(e, node);
	engine_mark_deletions(e);
}

void engine_node_gone(struct engine *e, const char *name)
{
	struct node *node = map_del(&e->nodes, name);
	void *value;
	size_t it = 0;

	if (!node)
		return;
	if (node->poll)
		e->ops->set_changed(e->data, node);
	while (map_next(&node->placements, &it, NULL, &value))
		engine_unplace(e, value);
	list_remove(&node->dirty);
	engine_node_free(e, node);
	engine_mark_deletions(e);
}

void engine_node_object_seen(struct engine *e, const char *name, struct pending_removal *removals,
			     size_t n)
{
	struct node *node = engine_node_need(e, name);

	node->has_object = true;
	if (node->n_removals > 0 || n == 0 || n > ENGINE_PENDING_REMOVALS_MAX) {
		size_t i;

		for (i = 0; i < n; i++) {
			free(removals[i].profile);
			free(removals[i].uid);
		}
		free(removals);
		return;
	}
	node->removals = removals;
	node->n_removals = n;
	engine_mark_node(e, node);
}

/* Agents that have not been heard of for a while. */
static void engine_node_away(struct engine *e, struct node *node)
{
	void *value;
	size_t it = 0;

	node->away = true;
	node->away_known = false;
	if (node->exists)
		e->ops->ask_ready(e->data, node);
	while (map_next(&node->placements, &it, NULL, &value))
		engine_place_again(e, value);
	engine_mark_deletions(e);
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
		if (!node->away)
			next = away < next ? away : next;
		else if (!node->disconnected && disconnected > e->now_ms)
			next = disconnected < next ? disconnected : next;
	}
	return next;
}

/* Agents. */

static void engine_refuse_features(struct node *node, const char *reason, const char *message)
{
	node->features_reason = reason;
	mem_replace(&node->features_problem, mem_strdup(message));
}

static void engine_take_kernel(struct engine *e, struct node *node)
{
	const struct features_known *known = map_get(&e->features, node->features);
	void *value;
	size_t it = 0;

	node->kernel = known ? known->hash : NULL;
	while (map_next(&node->placements, &it, NULL, &value))
		engine_place_kernel(e, value);
}

/* Others may have been waiting for it. Comes no more often than there may be feature sets. */
static void engine_features_learnt(struct engine *e, const char *hash)
{
	struct node *node;
	size_t it = 0;

	while ((node = engine_next_node(e, &it)))
		if (strcmp(node->features, hash) == 0)
			engine_take_kernel(e, node);
}

/* The text of a set that no other node has brought yet. */
static void engine_learn_features(struct engine *e, struct node *node,
				  const struct sync_request *req)
{
	struct err err;

	if (features_check(req->features_text, strlen(req->features_text), &err) < 0) {
		engine_refuse_features(node, "BadFeatureSet", err.msg);
		return;
	}
	if (e->features.n >= ENGINE_FEATURE_SETS_MAX) {
		engine_refuse_features(
		    node, "TooManyFeatureSets",
		    "the cluster's kernels have 32 different feature sets already: "
		    "bring this node's kernel in line with others");
		return;
	}
	if (node->features_new_ms &&
	    e->now_ms < node->features_new_ms + ENGINE_FEATURE_SET_PER_NODE_MS) {
		engine_refuse_features(node, "TooManyFeatureSets",
				       "this node brought a new feature set less than an hour ago");
		return;
	}
	engine_know_features(e, req->features_text);
	node->features_new_ms = e->now_ms;
	engine_features_learnt(e, req->features);
}

/* True when the node's kernel is another than before, or what we think of it. */
static bool engine_take_features(struct engine *e, struct node *node, struct sync_request *req)
{
	bool changed = strcmp(node->features, req->features) != 0;

	if (*req->features && req->features_text && !engine_features_text(e, req->features)) {
		node->features_reason = NULL;
		engine_learn_features(e, node, req);
		changed = true;
	} else if (changed) {
		node->features_reason = NULL;
	}
	if (!changed)
		return false;
	memcpy(node->features, req->features, sizeof(node->features));
	engine_take_kernel(e, node);
	return true;
}

bool engine_wants_features(const struct engine *e, const struct node *node)
{
	return *node->features && !node->features_reason &&
	       !engine_features_text(e, node->features);
}

static void engine_take_words(struct node *node, struct sync_request *req)
{
	if (!str_equal(node->agent_version, req->agent_version) ||
	    !str_equal(node->kernel_release, req->kernel_release) ||
	    !str_equal(node->boot_id, req->boot_id) || strcmp(node->features, req->features) != 0 ||
	    node->disconnected)
		node->facts_dirty = true;
	mem_replace(&node->agent_version, STEAL(req->agent_version));
	mem_replace(&node->kernel_release, STEAL(req->kernel_release));
	mem_replace(&node->boot_id, STEAL(req->boot_id));
}

bool engine_is_orphan(struct engine *e, const struct node *node, const struct sync_status *report)
{
	const struct placement *p;
	const struct aap *aap;

	if (report->state != SYNC_STATE_ORPHAN)
		return false;
	/* What an object asks for on this node is none, even where it cannot be told at present. */
	aap = engine_holder(e, report->name);
	p = aap ? map_get(&aap->placements, node->name) : NULL;
	return !p || !p->selected;
}

static size_t engine_count_orphans(struct engine *e, const struct node *node)
{
	size_t n = 0, i;

	for (i = 0; i < node->report.n; i++)
		n += engine_is_orphan(e, node, node->report.items[i]);
	return n;
}

/* A profile that its node's report speaks of has a placement there, chosen or not. */
static void engine_place_reported(struct engine *e, struct node *node)
{
	size_t i;

	for (i = 0; i < node->report.n; i++) {
		struct aap *aap = engine_holder(e, node->report.items[i]->name);

		if (aap && node->report.items[i]->state != SYNC_STATE_ABSENT &&
		    !map_get(&aap->placements, node->name))
			engine_place_again(e, engine_place(e, aap, node));
	}
}

static void engine_place_heard(struct engine *e, struct placement *p)
{
	if (!p->assigned)
		engine_rollout_adopt(e, p);
	engine_place_again(e, p);
}

/* Of all that the node reports, only what differs from before is judged again; all of it where
 * `all` says so. */
static void engine_place_changed(struct engine *e, struct node *node,
				 const struct node_report *before, bool all)
{
	void *value;
	size_t it = 0;

	while (map_next(&node->placements, &it, NULL, &value)) {
		struct placement *p = value;
		const char *name = p->aap->spec.name;

		if (all || !engine_is_same_status(engine_report_find(before, name),
						  engine_report_of(node, name)))
			engine_place_heard(e, p);
	}
}

/* Takes over the report; what was there before is given back. */
static struct node_report engine_take_report(struct engine *e, struct node *node,
					     struct sync_request *req)
{
	struct node_report before = node->report;
	size_t orphans = engine_count_orphans(e, node);
	bool first = !node->reported;

	node->reported = true;
	node->report = engine_report_keep(e, &before, &req->report);
	memcpy(node->report_hash, req->report_hash, sizeof(node->report_hash));
	engine_place_reported(e, node);
	if (first || before.apparmor_enabled != node->report.apparmor_enabled ||
	    orphans != engine_count_orphans(e, node))
		node->facts_dirty = true;
	engine_removals_settle(e, node);
	return before;
}

/* Is there anything that is not in the report alone? */
static bool engine_is_news_of_all(const struct node *node, const struct sync_request *req)
{
	return !node->reported || node->away ||
	       (req->has_report && req->report.apparmor_enabled != node->report.apparmor_enabled);
}

enum report_verdict engine_agent_heard(struct engine *e, const char *node_name,
				       const char *node_uid, struct sync_request *req,
				       int64_t now_ms)
{
	struct node *node = engine_node(e, node_name);
	struct node_report before = {0};
	bool all;

	e->now_ms = now_ms;
	if (!node || !node->exists || !str_equal(node->uid, node_uid))
		return REPORT_UNKNOWN_NODE;
	all = engine_is_news_of_all(node, req);
	node->heard_ms = now_ms;
	node->away = false;
	engine_take_words(node, req);
	node->disconnected = false;
	all = engine_take_features(e, node, req) || all;
	if (req->has_report)
		before = engine_take_report(e, node, req);
	if (all || req->has_report)
		engine_place_changed(e, node, req->has_report ? &before : &node->report, all);
	engine_report_drop(e, &before);
	if (all || node->facts_dirty || !node->set || node->n_removals > 0)
		engine_mark_node(e, node);
	return REPORT_TAKEN;
}

size_t engine_lacking(const struct node *node, struct lacking *ret, size_t max)
{
	void *value;
	size_t it = 0, n = 0;

	while (n < max && map_next(&node->placements, &it, NULL, &value)) {
		const struct placement *p = value;
		const struct build *build = engine_build(p->assigned, node->features);
		const struct sync_status *report = engine_report_of(node, p->aap->spec.name);

		if (!p->selected || !build || build->state != BUILD_OK ||
		    (report && strcmp(report->revision, p->assigned->id) == 0))
			continue;
		ret[n++] = (struct lacking){build->artefact, build->size};
	}
	return n;
}
