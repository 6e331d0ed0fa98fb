#include "base/buf.h"
#include "base/mem.h"
#include "controller/engine_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * What one node should hold, of all profiles. The text of a set is shared by all nodes that should
 * hold the same.
 */

void engine_set_unref(struct engine *e, struct set_body *set)
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
	if (!rev || !build)
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

/* Agents refuse a set with a name twice, and so all that it says. */
static bool engine_set_is_sound(const struct sync_item *items, size_t n)
{
	size_t i;

	for (i = 1; i < n; i++)
		if (strcmp(items[i - 1].name, items[i].name) >= 0)
			return false;
	return true;
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
	assert(engine_set_is_sound(items, n));
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

/* From now on the node may load what its set says, until its agent says otherwise. */
static void engine_set_note(struct node *node)
{
	void *value;
	size_t it = 0;

	node->parting = false;
	while (map_next(&node->placements, &it, NULL, &value)) {
		struct placement *p = value;

		p->in_set = p->selected && engine_has_item(p);
		p->may_hold = p->may_hold || p->in_set;
		node->parting = node->parting || (p->may_hold && !p->in_set);
	}
}

/* True when the node's set is another than before. */
bool engine_set_make(struct engine *e, struct node *node)
{
	CLEANUP(mem_freep)
	struct sync_item *items = mem_alloc(node->placements.n + node->n_removals, sizeof(*items));
	size_t n = engine_set_items(e, node, items);
	struct set_body *set;
	char key[SHA256_HEX];

	engine_set_note(node);
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
	const struct sync_status *report = engine_place_report(p);
	const struct build *build = engine_build(p->assigned, p->node->features);

	if (!p->selected || !report || !*report->target || engine_has_item(p))
		return false;
	return p->assigned ? !build || build->state == BUILD_WAITING
			   : engine_is_fetching(p->aap, report->target);
}

/* A new leader tells a node nothing while it does not know yet all that a former one had told it:
 * a set that lacks a profile would make an orphan of what is loaded there. */
bool engine_set_is_early(struct engine *e, const struct node *node)
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
