#include "controller/engine_priv.h"

#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"
#include "policy/features.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void engine_mark_profile(struct engine *e, struct aap *aap)
{
	e->fresh = true;
	aap->status_dirty = true;
	if (list_is_empty(&aap->dirty))
		list_append(&e->dirty_profiles, &aap->dirty);
}

void engine_mark_step(struct engine *e, struct aap *aap)
{
	aap->step = true;
	engine_mark_profile(e, aap);
}

void engine_mark_node(struct engine *e, struct node *node)
{
	e->fresh = true;
	if (list_is_empty(&node->dirty))
		list_append(&e->dirty_nodes, &node->dirty);
}

const char *engine_features_text(const struct engine *e, const char *hash)
{
	const struct features_known *known = map_get(&e->features, hash);

	return known ? known->text : NULL;
}

struct aap *engine_holder(const struct engine *e, const char *name)
{
	return map_get(&e->holders, name);
}

/* Nodes have been told of it, or a former leader says so. */
static bool engine_is_established(const struct aap *aap)
{
	return aap->served || *aap->current_id ||
	       *js_str_or_empty(aap->object, "status.updateRevision");
}

/* The older object has the better claim. Timestamps have whole seconds: of two made in one, that
 * which is served already stays, for nodes hold it; and uids break the tie that is left. All this
 * stands in the objects, so that every replica decides alike. */
static bool engine_claims_before(const struct aap *a, const struct aap *b)
{
	if (a->spec.created_ms != b->spec.created_ms)
		return a->spec.created_ms < b->spec.created_ms;
	if (engine_is_established(a) != engine_is_established(b))
		return engine_is_established(a);
	return strcmp(a->spec.uid, b->spec.uid) < 0;
}

/* What nodes may be about to load for the one is the other's to take away, or to replace. */
static void engine_hand_over(struct engine *e, const struct aap *from, struct aap *to)
{
	void *value;
	size_t it = 0;

	while (map_next(&from->placements, &it, NULL, &value)) {
		const struct placement *p = value;

		if (p->may_hold)
			engine_place(e, to, p->node)->may_hold = true;
	}
}

void engine_elect(struct engine *e, const char *name)
{
	CLEANUP(mem_freep) char *key = mem_strdup(name); /* may belong to what is being replaced */
	const struct aap *before = engine_holder(e, key);
	struct aap *best = NULL, *aap;
	size_t it = 0;

	while ((aap = engine_next_profile(e, &it))) {
		if (strcmp(aap->spec.name, key) != 0)
			continue;
		aap->reselect = true;
		aap->holder = false;
		engine_mark_step(e, aap);
		if (!best || engine_claims_before(aap, best))
			best = aap;
	}
	if (!best) {
		map_del(&e->holders, key);
		return;
	}
	best->holder = true;
	if (before && before != best)
		engine_hand_over(e, before, best);
	map_put(&e->holders, key, best);
}

void engine_know_features(struct engine *e, const char *text)
{
	struct features_known *known = MEM_NEW(struct features_known);

	features_hash(text, strlen(text), known->hash);
	known->text = mem_strdup(text);
	map_put(&e->features, known->hash, known);
}

static void engine_add_builtin(struct engine *e, const char *text)
{
	char hash[SHA256_HEX];

	assert(e->n_builtin < ENGINE_BUILTIN_SETS_MAX);
	engine_know_features(e, text);
	features_hash(text, strlen(text), hash);
	((struct features_known *)map_get(&e->features, hash))->builtin = true;
	e->builtin = mem_resize(e->builtin, e->n_builtin + 1, sizeof(*e->builtin));
	e->builtin[e->n_builtin++] = mem_strdup(hash);
}

struct engine *engine_new(const struct engine_options *options, int64_t now_ms)
{
	struct engine *e = MEM_NEW(struct engine);
	const char *const *text;

	e->ops = options->ops;
	e->data = options->data;
	e->compiler_id = mem_strdup(options->compiler_id);
	e->start_ms = now_ms;
	list_init(&e->dirty_profiles);
	list_init(&e->dirty_nodes);
	for (text = options->builtin_features; *text; text++)
		engine_add_builtin(e, *text);
	return e;
}

static void engine_free_features(void *value)
{
	struct features_known *known = value;

	free(known->text);
	free(known);
}

void engine_free(struct engine *e)
{
	struct aap *aap;
	struct node *node;
	size_t it = 0, i;

	if (!e)
		return;
	while ((aap = engine_next_profile(e, &it)))
		engine_profile_free(aap);
	for (it = 0; (node = engine_next_node(e, &it));)
		engine_node_free(e, node);
	map_clear(&e->profiles, NULL);
	map_clear(&e->holders, NULL);
	map_clear(&e->nodes, NULL);
	map_clear(&e->sets, NULL);
	map_clear(&e->reported, NULL);
	map_clear(&e->features, engine_free_features);
	map_clear(&e->zones, free);
	free(e->due);
	for (i = 0; i < e->n_builtin; i++)
		free(e->builtin[i]);
	free(e->builtin);
	free(e->compiler_id);
	free(e);
}

/* A former leader's words stand until we know better, unless spec is newer than they are. */
static void engine_take_over(struct engine *e, struct aap *aap)
{
	aap->status_held =
	    aap->spec.generation == js_i64(aap->object, "status.observedGeneration", -1);
	aap->moving_since_ms = e->start_ms;
	engine_rollout_recall(aap);
	engine_mark_step(e, aap);
}

/* Whoever stood by has seen all that a leader did, and nothing of it may be taken from what was
 * seen first: who holds a name, how far a rollout is, and what status says is read from the objects
 * as they are now. */
void engine_start(struct engine *e, int64_t now_ms)
{
	struct node *node;
	struct aap *aap;
	size_t it = 0;

	e->started = true;
	e->start_ms = now_ms;
	e->sweep_ms = now_ms;
	while ((node = engine_next_node(e, &it)))
		node->heard_ms = node->reported ? node->heard_ms : now_ms;
	for (it = 0; (aap = engine_next_profile(e, &it));)
		engine_take_over(e, aap);
	for (it = 0; (aap = engine_next_profile(e, &it));)
		engine_elect(e, aap->spec.name);
}

bool engine_is_started(const struct engine *e)
{
	return e->started;
}

bool engine_has_work(const struct engine *e)
{
	return e->started && e->fresh;
}

int64_t engine_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void engine_run_profiles(struct engine *e)
{
	struct aap *aap;

	while ((aap = engine_due_pop(e, e->now_ms)))
		if (list_is_empty(&aap->dirty))
			list_append(&e->dirty_profiles, &aap->dirty);
	while (!list_is_empty(&e->dirty_profiles)) {
		aap = container_of(e->dirty_profiles.next, struct aap, dirty);
		list_remove(&aap->dirty);
		engine_profile_step(e, aap);
	}
}

static void engine_run_nodes(struct engine *e)
{
	while (!list_is_empty(&e->dirty_nodes)) {
		struct node *node = container_of(e->dirty_nodes.next, struct node, dirty);

		list_remove(&node->dirty);
		engine_node_step(e, node);
	}
}

/* Profiles first: what they decide is what nodes are told. */
int64_t engine_run(struct engine *e, int64_t now_ms)
{
	int64_t takeover_ms = e->start_ms + ENGINE_TAKEOVER_MS;

	e->now_ms = now_ms;
	if (!e->started)
		return INT64_MAX;
	if (now_ms >= e->sweep_ms)
		e->sweep_ms = engine_nodes_sweep(e);
	if (e->holding_back && now_ms >= takeover_ms)
		engine_nodes_release(e);
	engine_run_profiles(e);
	engine_run_nodes(e);
	e->fresh = !list_is_empty(&e->dirty_profiles);
	return engine_min(engine_min(engine_due_next(e), e->sweep_ms),
			  e->holding_back ? takeover_ms : INT64_MAX);
}

struct aap *engine_next_profile(struct engine *e, size_t *it)
{
	void *value;

	return map_next(&e->profiles, it, NULL, &value) ? value : NULL;
}

struct node *engine_next_node(struct engine *e, size_t *it)
{
	void *value;

	return map_next(&e->nodes, it, NULL, &value) ? value : NULL;
}

struct aap *engine_profile(const struct engine *e, const char *object)
{
	return map_get(&e->profiles, object);
}

struct node *engine_node(struct engine *e, const char *name)
{
	return map_get(&e->nodes, name);
}

static struct aap *engine_profile_new(struct engine *e, const char *object)
{
	struct aap *aap = MEM_NEW(struct aap);

	list_init(&aap->dirty);
	list_init(&aap->revisions);
	list_init(&aap->fetches);
	aap->placements = (struct map)MAP_OF_LASTING_KEYS;
	aap->step_ms = aap->plan_ms = aap->status_ms = INT64_MAX;
	engine_rollout_init(aap);
	engine_place_builtin(e, aap);
	aap->accept_message = mem_strdup("");
	aap->status_held = true;
	map_put(&e->profiles, object, aap);
	return aap;
}

/* Labels, other annotations and status are no reason to look at more than the status. */
static bool engine_is_same_order(const struct profile *a, const struct profile *b)
{
	return a->generation == b->generation && a->deleting == b->deleting &&
	       a->has_finalizer == b->has_finalizer && a->adopt == b->adopt;
}

static bool engine_is_same_wish(const struct rollout_wish *a, const struct rollout_wish *b)
{
	return str_equal(a->pause, b->pause) && str_equal(a->resume, b->resume) &&
	       str_equal(a->promote, b->promote) && str_equal(a->abort, b->abort) &&
	       str_equal(a->restart, b->restart);
}

/* Whether a profile of somebody else's may be replaced is part of what each node is told. */
static void engine_tell_adoption(struct engine *e, struct aap *aap)
{
	void *value;
	size_t it = 0;

	while (map_next(&aap->placements, &it, NULL, &value))
		engine_mark_node(e, ((struct placement *)value)->node);
}

/* A change that the user made to spec ends the truce with a former leader's words. */
static void engine_profile_update(struct engine *e, struct aap *aap, struct profile *spec,
				  struct json_object *obj, int64_t now_ms)
{
	CLEANUP(mem_freep) char *old_name = mem_strdup(aap->spec.name);
	bool first = !aap->spec.uid;
	bool same = !first && engine_is_same_order(&aap->spec, spec);

	if (first ? spec->generation != js_i64(obj, "status.observedGeneration", -1)
		  : spec->generation != aap->spec.generation)
		aap->status_held = false; /* see also engine_take_over() */
	if (!first && spec->generation != aap->spec.generation)
		aap->reselect = true;
	if (spec->generation != aap->spec.generation)
		write_rate_reset(&aap->news_rate); /* this is a user's doing */
	if (first || spec->generation != aap->spec.generation ||
	    spec->deleting != aap->spec.deleting)
		aap->moving_since_ms = now_ms;
	if (spec->deleting && !aap->spec.deleting)
		aap->deleting_since_ms = now_ms;
	if (spec->adopt != aap->spec.adopt)
		engine_tell_adoption(e, aap);
	if (!first && !engine_is_same_wish(&spec->wish, &aap->spec.wish)) {
		aap->status_held = false;
		aap->rollout.due = true;
		write_rate_reset(&aap->news_rate);
	}
	profile_clear(&aap->spec);
	aap->spec = *spec;
	json_object_put(aap->object);
	aap->object = json_object_get(obj);
	if (first)
		engine_rollout_recall(aap);
	engine_mark_profile(e, aap);
	if (same)
		return;
	aap->finalizer_asked = false;
	engine_profile_want(e, aap);
	if (!e->started)
		engine_revisions_tidy(aap); /* which no step does meanwhile */
	if (first || !str_equal(old_name, aap->spec.name)) {
		engine_elect(e, aap->spec.name);
		if (!first)
			engine_elect(e, old_name);
	}
	engine_mark_step(e, aap);
}

void engine_profile_seen(struct engine *e, struct json_object *obj, int64_t now_ms)
{
	struct profile spec;
	struct err err;
	struct aap *aap;

	e->now_ms = now_ms;
	/* The schema refuses what cannot be read; where it was replaced, the last readable spec
	 * stands. */
	if (profile_parse(obj, &spec, &err) < 0)
		return;
	aap = engine_profile(e, spec.object);
	if (aap && !str_equal(aap->spec.uid, spec.uid)) {
		engine_profile_gone(e, spec.object);
		aap = NULL;
	}
	if (!aap)
		aap = engine_profile_new(e, spec.object);
	engine_profile_update(e, aap, &spec, obj, now_ms);
}

void engine_profile_gone(struct engine *e, const char *object)
{
	struct aap *aap = map_del(&e->profiles, object);
	CLEANUP(mem_freep) char *name = NULL;
	void *value;
	size_t it = 0;

	if (!aap)
		return;
	name = mem_strdup(aap->spec.name);
	engine_elect(e, name);
	while (map_next(&aap->placements, &it, NULL, &value))
		engine_unplace(e, value);
	list_remove(&aap->dirty);
	engine_due_set(e, aap, INT64_MAX);
	engine_profile_free(aap);
}

void engine_uninstall(struct engine *e)
{
	struct aap *aap;
	size_t it = 0;

	e->uninstalling = true;
	while ((aap = engine_next_profile(e, &it)))
		engine_mark_step(e, aap);
}

/* Answers. */

/* Writes that fail are tried again, ever more slowly; one that succeeds starts that over. */
static void engine_note_write(struct engine *e, struct write_retry *retry, bool ok, int64_t now_ms)
{
	int64_t wait = ENGINE_RETRY_MS;
	unsigned int i;

	e->now_ms = now_ms;
	if (ok) {
		*retry = (struct write_retry){0};
		return;
	}
	for (i = 0; i < retry->failures && wait < ENGINE_RETRY_MAX_MS; i++)
		wait *= 2;
	retry->failures++;
	retry->due_ms = now_ms + engine_min(wait, ENGINE_RETRY_MAX_MS);
}

void engine_finalizer_again(struct engine *e, const char *object)
{
	struct aap *aap = engine_profile(e, object);

	if (!aap)
		return;
	aap->finalizer_asked = false;
	engine_mark_step(e, aap);
}

void engine_finalizer_done(struct engine *e, const char *object, bool ok, int64_t now_ms)
{
	struct aap *aap = engine_profile(e, object);

	if (!aap)
		return;
	engine_note_write(e, &aap->finalizer_retry, ok, now_ms);
	if (!ok)
		aap->finalizer_asked = false;
	engine_mark_step(e, aap);
}

void engine_recorded(struct engine *e, const char *object, const char *revision, bool ok,
		     int64_t now_ms)
{
	struct aap *aap = engine_profile(e, object);
	struct revision *rev = aap ? engine_revision_find(aap, revision) : NULL;

	if (!rev)
		return;
	engine_note_write(e, &aap->record_retry, ok, now_ms);
	rev->recording = false;
	rev->recorded = ok;
	engine_mark_step(e, aap);
}

void engine_status_written(struct engine *e, const char *object, bool ok, int64_t now_ms)
{
	struct aap *aap = engine_profile(e, object);

	if (!aap)
		return;
	aap->status_writing = false;
	engine_note_write(e, &aap->status_retry, ok, now_ms);
	if (ok)
		aap->status_written_ms = now_ms;
	engine_mark_profile(e, aap);
}

void engine_terminating(struct engine *e, const char *object, bool terminating)
{
	struct aap *aap = engine_profile(e, object);

	if (!aap || aap->ending != ENDING_ASKED)
		return;
	aap->ending = terminating ? ENDING_UNINSTALLED : ENDING_DELETED;
	aap->reselect = true;
	engine_mark_step(e, aap);
}

void engine_terminating_unknown(struct engine *e, const char *object, int64_t now_ms)
{
	struct aap *aap = engine_profile(e, object);

	if (!aap || aap->ending != ENDING_ASKED)
		return;
	aap->ending = ENDING_UNKNOWN;
	engine_note_write(e, &aap->finalizer_retry, false, now_ms);
	engine_mark_step(e, aap);
}

void engine_mark_deletions(struct engine *e)
{
	struct aap *aap;
	size_t it = 0;

	while ((aap = engine_next_profile(e, &it)))
		if (aap->spec.deleting)
			engine_mark_step(e, aap);
}

void engine_node_written(struct engine *e, const char *name, bool ok, int64_t now_ms)
{
	struct node *node = engine_node(e, name);

	e->now_ms = now_ms;
	if (!node)
		return;
	node->facts_writing = false;
	if (ok) {
		node->has_object = true;
		engine_mark_node(e, node);
	} else {
		node->facts_dirty = true;
		if (e->sweep_ms > now_ms + ENGINE_RETRY_MS)
			e->sweep_ms = now_ms + ENGINE_RETRY_MS;
		e->fresh = true;
	}
	if (node->n_removals > 0)
		engine_mark_deletions(e);
}

void engine_node_ready(struct engine *e, const char *name, bool ready)
{
	struct node *node = engine_node(e, name);

	if (!node || !node->away)
		return;
	node->away_known = true;
	node->away_ready = ready;
	engine_node_await(e, node);
	node->ask_ms = 0;
	LIST_FOREACH(item, &node->placements)
		engine_place_again(e, container_of(item, struct placement, on_node));
	engine_mark_deletions(e);
}

void engine_node_ready_unknown(struct engine *e, const char *name, int64_t now_ms)
{
	struct node *node = engine_node(e, name);

	if (!node || !node->away || node->away_known)
		return;
	node->ask_ms = now_ms + ENGINE_ASK_RETRY_MS;
	if (e->sweep_ms > node->ask_ms)
		e->sweep_ms = node->ask_ms;
	e->fresh = true;
}

void engine_pods_known(struct engine *e, const char *node_name)
{
	struct node *node = engine_node(e, node_name);

	if (!node)
		return;
	LIST_FOREACH(item, &node->placements)
		engine_mark_profile(e, container_of(item, struct placement, on_node)->aap);
}

struct json_object *engine_status(struct engine *e, const struct aap *aap, size_t max_nodes,
				  int64_t now_ms)
{
	return engine_status_of(e, aap, max_nodes, now_ms);
}
