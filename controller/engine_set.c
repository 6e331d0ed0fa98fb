#include "base/buf.h"
#include "base/container_of.h"
#include "base/mem.h"
#include "controller/engine_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * What one node should hold, of all profiles. The text of a set is shared by all nodes that should
 * hold the same.
 *
 * A node is not told less only because we do not know enough: of a profile that it has, or was told
 * to load, and of which nothing can be told at present, it is told to keep what it has. So it is
 * where a new leader, or a new compiler, has not compiled it yet, where a new text is refused and
 * the former one is that of another compiler, and where the node's feature set is not taken.
 *
 * A set has ceilings, for its answer has. What is to be removed comes first, since it takes little,
 * then the others by name; one for which there is no room is left out, and its state says so.
 */

/* What a set is made of. Borrows. */
struct choices {
	struct sync_item *items;
	size_t n;
	const char **keep;
	size_t n_keep;
	size_t n_bytes, n_hashes;
};

void engine_set_unref(struct engine *e, struct set_body *set)
{
	if (!set || --set->refs > 0)
		return;
	map_del(&e->sets, set->key);
	free(set->text);
	free(set->keep);
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

/* Something is wanted there that cannot be told, and there is something to be kept. */
static bool engine_is_kept(const struct placement *p)
{
	const struct sync_status *report = engine_place_report(p);

	return p->selected && (p->left_out || !engine_has_item(p)) &&
	       (p->may_hold || (report && report->state != SYNC_STATE_ABSENT));
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

static int engine_compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int engine_compare_placements(const void *a, const void *b)
{
	return strcmp((*(const struct placement *const *)a)->aap->spec.name,
		      (*(const struct placement *const *)b)->aap->spec.name);
}

/* By name. The caller frees them. */
static struct placement **engine_placements(const struct node *node)
{
	struct placement **all = mem_alloc(node->n_placements, sizeof(*all));
	size_t n = 0;

	LIST_FOREACH(item, &node->placements)
		all[n++] = container_of(item, struct placement, on_node);
	qsort(all, n, sizeof(*all), engine_compare_placements);
	return all;
}

/* Takes the room where there is as much. */
static bool engine_take_room(struct choices *c, const struct build *build)
{
	size_t n_bytes = SYNC_ITEM_MAX + (build ? build->n_bytes : 0);
	size_t n_hashes = build ? build->n_hashes : 0;

	if (c->n + c->n_keep >= SYNC_ITEMS_MAX || c->n_bytes + n_bytes > SYNC_SET_MAX ||
	    c->n_hashes + n_hashes > SYNC_SET_HASHES_MAX)
		return false;
	c->n_bytes += n_bytes;
	c->n_hashes += n_hashes;
	return true;
}

static void engine_choose_absent(const struct placement *p, struct choices *c)
{
	if (!p->selected && engine_has_item(p) && engine_take_room(c, NULL))
		c->n += engine_set_item(p, &c->items[c->n]);
}

static void engine_choose_kept(const struct placement *p, struct choices *c)
{
	if (engine_is_kept(p) && engine_take_room(c, NULL))
		c->keep[c->n_keep++] = p->aap->spec.name;
}

static void engine_choose_wanted(struct placement *p, struct choices *c)
{
	p->left_out = false;
	if (!p->selected || !engine_has_item(p)) {
		engine_choose_kept(p, c);
		return;
	}
	p->left_out = !engine_take_room(c, engine_build(engine_tellable(p), p->node->features));
	if (!p->left_out)
		c->n += engine_set_item(p, &c->items[c->n]);
}

static struct choices engine_choose(struct engine *e, const struct node *node)
{
	CLEANUP(mem_freep) struct placement **all = engine_placements(node);
	size_t n = node->n_placements, i;
	struct choices c = {.items = mem_alloc(n + node->n_removals, sizeof(*c.items)),
			    .keep = mem_alloc(n, sizeof(*c.keep))};

	for (i = 0; i < n; i++)
		engine_choose_absent(all[i], &c);
	for (i = 0; i < node->n_removals; i++)
		c.n += engine_set_removal(e, node, &node->removals[i], &c.items[c.n]) &&
		       engine_take_room(&c, NULL);
	for (i = 0; i < n; i++)
		engine_choose_wanted(all[i], &c);
	for (i = 0; i < n; i++)
		if (all[i]->left_out)
			engine_choose_kept(all[i], &c);
	qsort(c.items, c.n, sizeof(*c.items), engine_compare_items);
	qsort(c.keep, c.n_keep, sizeof(*c.keep), engine_compare_names);
	assert(engine_set_is_sound(c.items, c.n));
	return c;
}

/* The choices stand for the text that they lead to, and are far shorter. */
static void engine_set_key(const struct choices *c, char out[SHA256_HEX])
{
	struct buf key = BUF_INIT(SIZE_MAX);
	size_t i;

	for (i = 0; i < c->n; i++)
		buf_addf(&key, "%s/%s/%d%d/%s/%s\n", c->items[i].name, c->items[i].uid,
			 c->items[i].want, c->items[i].adopt, c->items[i].revision,
			 c->items[i].artefact);
	for (i = 0; i < c->n_keep; i++)
		buf_addf(&key, "%s\n", c->keep[i]);
	sha256_hex(buf_text(&key), key.len, out);
	buf_clear(&key);
}

static char *engine_print(struct json_object *obj)
{
	char *text = mem_strdup(js_print(obj, NULL));

	json_object_put(obj);
	return text;
}

static struct set_body *engine_set_new(struct engine *e, const struct choices *c, const char *key)
{
	struct set_body *set = MEM_NEW(struct set_body);
	CLEANUP(mem_freep) char *both = NULL;

	memcpy(set->key, key, sizeof(set->key));
	set->text = engine_print(sync_set_encode(c->items, c->n));
	if (c->n_keep > 0)
		set->keep = engine_print(sync_keep_encode(c->keep, c->n_keep));
	both = mem_printf("%s%s", set->text, set->keep ? set->keep : "");
	sha256_hex(both, strlen(both), set->hash);
	map_put(&e->sets, key, set);
	return set;
}

/* From now on the node may load what its set says, until its agent says otherwise. */
static void engine_set_note(struct node *node)
{
	node->parting = false;
	LIST_FOREACH(item, &node->placements) {
		struct placement *p = container_of(item, struct placement, on_node);

		p->in_set =
		    p->selected && ((engine_has_item(p) && !p->left_out) || engine_is_kept(p));
		p->may_hold = p->may_hold || p->in_set;
		node->parting = node->parting || (p->may_hold && !p->in_set);
	}
}

static struct set_body *engine_set_of(struct engine *e, const struct choices *c)
{
	struct set_body *set;
	char key[SHA256_HEX];

	engine_set_key(c, key);
	set = map_get(&e->sets, key);
	return set ? set : engine_set_new(e, c, key);
}

/* Of those for which there is no room, or is again. */
static void engine_set_judge(struct engine *e, struct node *node)
{
	LIST_FOREACH(item, &node->placements) {
		struct placement *p = container_of(item, struct placement, on_node);

		if (p->left_out != (strcmp(p->state.reason, "SetTooLarge") == 0))
			engine_place_again(e, p);
	}
}

/* True when the node's set is another than before. */
bool engine_set_make(struct engine *e, struct node *node)
{
	struct choices c = engine_choose(e, node);
	struct set_body *set = engine_set_of(e, &c);
	bool other = set != node->set;

	engine_set_note(node);
	free(c.items);
	free(c.keep);
	set->refs++;
	engine_set_unref(e, node->set);
	node->set = set;
	engine_set_judge(e, node);
	return other;
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

/* A new leader tells a node nothing for a moment, while it does not know yet all that a former one
 * had told it: most often it is then just what the node has, and no set goes over the wire. */
bool engine_set_is_early(struct engine *e, const struct node *node)
{
	if (node->set || e->now_ms >= e->start_ms + ENGINE_TAKEOVER_MS)
		return false;
	LIST_FOREACH(item, &node->placements)
		if (engine_is_coming(container_of(item, struct placement, on_node)))
			return true;
	return false;
}
