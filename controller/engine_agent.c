#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"
#include "policy/features.h"

#include <stdlib.h>
#include <string.h>

/* What agents say, from the request to the placements that it changes. */

static void engine_refuse_features(struct engine *e, struct node *node, const char *reason,
				   const char *message, int64_t retry_ms)
{
	node->features_reason = reason;
	node->features_retry_ms = retry_ms;
	e->sweep_ms = engine_min(e->sweep_ms, retry_ms);
	mem_replace(&node->features_problem, mem_strdup(message));
}

void engine_drop_kernel(struct engine *e, struct node *node)
{
	struct features_known *known = node->kernel ? map_get(&e->features, node->kernel) : NULL;

	if (known)
		known->n_nodes--;
	node->kernel = NULL;
}

static void engine_take_kernel(struct engine *e, struct node *node)
{
	struct features_known *known = map_get(&e->features, node->features);

	engine_drop_kernel(e, node);
	node->kernel = known ? known->hash : NULL;
	if (known)
		known->n_nodes++;
	LIST_FOREACH(item, &node->placements)
		engine_place_kernel(e, container_of(item, struct placement, on_node));
}

/* The feature set of a node that was refused it is known now, through another node. */
static void engine_pardon(struct engine *e, struct node *node)
{
	node->features_reason = NULL;
	node->facts_dirty = true;
	engine_mark_node(e, node);
	LIST_FOREACH(item, &node->placements)
		engine_place_again(e, container_of(item, struct placement, on_node));
}

/* Others may have been waiting for it. Comes no more often than there may be feature sets. */
static void engine_features_learnt(struct engine *e, const char *hash)
{
	struct node *node;
	size_t it = 0;

	while ((node = engine_next_node(e, &it))) {
		if (strcmp(node->features, hash) != 0)
			continue;
		engine_take_kernel(e, node);
		if (node->features_reason)
			engine_pardon(e, node);
	}
}

/* One that no node has any more makes room for another one. */
static bool engine_features_have_room(struct engine *e)
{
	struct features_known *known;
	size_t it = 0;
	void *value;

	if (e->features.n - e->n_builtin < ENGINE_FEATURE_SETS_MAX)
		return true;
	while (map_next(&e->features, &it, NULL, &value)) {
		known = value;
		if (known->builtin || known->n_nodes > 0)
			continue;
		engine_builds_forget(e, known->hash);
		map_del(&e->features, known->hash);
		free(known->text);
		free(known);
		return true;
	}
	return false;
}

/* The text of a set that no other node has brought yet. */
static void engine_learn_features(struct engine *e, struct node *node,
				  const struct sync_request *req)
{
	int64_t next_ms = node->features_new_ms + ENGINE_FEATURE_SET_PER_NODE_MS;
	struct err err;

	if (features_check(req->features_text, strlen(req->features_text), &err) < 0) {
		engine_refuse_features(e, node, "BadFeatureSet", err.msg, INT64_MAX);
		return;
	}
	if (node->features_new_ms && e->now_ms < next_ms) {
		engine_refuse_features(e, node, "TooManyFeatureSets",
				       "this node brought a new feature set less than an hour ago",
				       next_ms);
		return;
	}
	if (!engine_features_have_room(e)) {
		engine_refuse_features(
		    e, node, "TooManyFeatureSets",
		    "the cluster's kernels have 32 different feature sets already: "
		    "bring this node's kernel in line with others",
		    e->now_ms + ENGINE_FEATURES_RETRY_MS);
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
	const char *reason = node->features_reason;

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
	/* An exception of the node's, which its object tells. */
	if (!str_equal(reason, node->features_reason))
		node->facts_dirty = true;
	return true;
}

bool engine_wants_features(const struct engine *e, const struct node *node)
{
	return *node->features && !engine_features_text(e, node->features) &&
	       (!node->features_reason || e->now_ms >= node->features_retry_ms);
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

/* All that one report calls so, the other one does too. */
static bool engine_has_all_of(const struct node_report *a, const struct node_report *b,
			      enum sync_state state)
{
	size_t i;

	for (i = 0; i < b->n; i++) {
		const struct sync_status *other = engine_report_find(a, b->items[i]->name);

		if (b->items[i]->state == state && (!other || other->state != state))
			return false;
	}
	return true;
}

static bool engine_has_same(const struct node_report *a, const struct node_report *b,
			    enum sync_state state)
{
	return engine_has_all_of(a, b, state) && engine_has_all_of(b, a, state);
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

/* An agent that has its set's latest word, and says in spite of it that nothing is there, will not
 * load it any more. True when this was not known before. */
static bool engine_place_is_parted(struct placement *p, bool has_set)
{
	const struct sync_status *report = engine_place_report(p);

	if (!has_set || !p->may_hold || p->in_set || (report && report->state != SYNC_STATE_ABSENT))
		return false;
	p->may_hold = false;
	return true;
}

/* Of all that the node reports, only what differs from before is judged again; all of it where
 * `all` says so. */
static void engine_place_changed(struct engine *e, struct node *node,
				 const struct node_report *before, bool all)
{
	bool has_set = engine_has_set(node);

	LIST_FOREACH(item, &node->placements) {
		struct placement *p = container_of(item, struct placement, on_node);
		const char *name = p->aap->spec.name;
		bool parted = engine_place_is_parted(p, has_set);

		if (all || parted ||
		    !engine_is_same_status(engine_report_find(before, name),
					   engine_report_of(node, name)))
			engine_place_heard(e, p);
	}
}

bool engine_has_set(const struct node *node)
{
	return node->set && strcmp(node->set->hash, node->report_set) == 0;
}

/* Where the report that we have is the agent's last word, it is so of the set that it has now. */
static void engine_take_set(struct node *node, const struct sync_request *req)
{
	if (strcmp(node->report_hash, req->report_hash) == 0)
		memcpy(node->report_set, req->set_hash, sizeof(node->report_set));
	else
		node->report_set[0] = '\0';
}

/* Takes over the report; what was there before is given back. */
static struct node_report engine_take_report(struct engine *e, struct node *node,
					     struct sync_request *req)
{
	struct node_report before = node->report;
	bool first = !node->reported;

	node->reported = true;
	engine_node_await(e, node);
	node->report = engine_report_keep(e, &before, &req->report);
	memcpy(node->report_hash, req->report_hash, sizeof(node->report_hash));
	engine_place_reported(e, node);
	if (first)
		engine_mark_deletions(e); /* may wait for what it says */
	if (first || before.apparmor_enabled != node->report.apparmor_enabled ||
	    !engine_has_same(&before, &node->report, SYNC_STATE_ORPHAN) ||
	    !engine_has_same(&before, &node->report, SYNC_STATE_DRIFTED))
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
	/* When all were away there was nobody left to look for. */
	if (node->away)
		e->sweep_ms = engine_min(e->sweep_ms, now_ms + ENGINE_AGENT_AWAY_MS);
	node->away = false;
	engine_node_await(e, node);
	engine_take_words(node, req);
	node->disconnected = false;
	all = engine_take_features(e, node, req) || all;
	if (req->has_report)
		before = engine_take_report(e, node, req);
	engine_take_set(node, req);
	if (all || node->outdated)
		engine_mark_node(e, node);
	if (all || req->has_report || node->parting)
		engine_place_changed(e, node, req->has_report ? &before : &node->report, all);
	engine_report_drop(e, &before);
	if (node->facts_dirty || !node->set || node->n_removals > 0)
		engine_mark_node(e, node);
	return REPORT_TAKEN;
}

size_t engine_lacking(const struct node *node, struct lacking *ret, size_t max)
{
	size_t n = 0;

	LIST_FOREACH(item, &node->placements) {
		const struct placement *p = container_of(item, struct placement, on_node);
		const struct build *build = engine_build(p->assigned, node->features);
		const struct sync_status *report = engine_place_report(p);

		if (n == max)
			break;
		if (!p->selected || p->left_out || !build || build->state != BUILD_OK ||
		    (report && strcmp(report->revision, p->assigned->id) == 0))
			continue;
		ret[n++] = (struct lacking){build->artefact, build->size};
	}
	return n;
}
