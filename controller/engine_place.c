#include "base/mem.h"
#include "controller/engine_priv.h"

#include <stdlib.h>
#include <string.h>

const struct sync_status *engine_place_report(const struct placement *p)
{
	return p->aap->holder ? engine_report_of(p->node, p->aap->spec.name) : NULL;
}

static struct placement_facts engine_facts(const struct placement *p)
{
	const struct node *node = p->node;

	return (struct placement_facts){
	    .selected = p->selected,
	    .reported = node->reported,
	    .away = node->away,
	    .away_ready = node->away_ready || !node->away_known,
	    .apparmor_enabled = node->report.apparmor_enabled,
	    .apparmor_reason = node->report.apparmor_reason,
	    .left_out = p->left_out,
	    .features_reason = node->features_reason,
	    .features_message = node->features_problem,
	    .assigned = p->assigned ? p->assigned->id : NULL,
	    .waits = p->aap->served && p->assigned != p->aap->served,
	    .build = engine_build(p->assigned, node->features),
	    .may_hold = p->may_hold && p->aap->holder,
	    .report = engine_place_report(p),
	    .has_set = engine_has_set(node) && list_is_empty(&node->dirty),
	};
}

struct placement_state engine_judge(const struct placement *p)
{
	struct placement_facts facts = engine_facts(p);

	/* As it was counted, whether or not its node is to be looked at meanwhile. */
	facts.has_set = !p->state.outdated;
	return placement_judge(&facts);
}

/* Where the message is needed it is asked for anew: it points into what may be replaced. */
static struct placement_state engine_judge_to_keep(const struct placement_facts *facts)
{
	struct placement_state s = placement_judge(facts);

	s.message = NULL;
	return s;
}

static bool engine_has_failed_build(const struct placement *p)
{
	const struct build *build = engine_build(p->assigned, p->node->features);

	return build && build->state == BUILD_FAILED;
}

static struct placement_share engine_share(const struct engine *e, const struct placement *p,
					   const struct placement_facts *facts)
{
	const struct aap *aap = p->aap;
	struct placement_rollout r = {
	    .target = aap->served ? aap->served->id : NULL,
	    .told = aap->served && p->assigned == aap->served,
	    .settled = p->loaded_ms && e->now_ms >= p->loaded_ms + aap->rollout.min_ready_ms,
	    .joined = p->node->joined,
	};
	struct placement_share share = placement_share(facts, &r);

	share.here = share.here && p->node->exists;
	/* Where what it was told then does not compile for its kernel, its set says the target
	 * still: there is nothing to take note of. */
	if (p->before == aap->served && !engine_has_build(p->assigned, p->node)) {
		share.unaware = false;
		/* Nor is there a way back for it where that will never be compiled. */
		share.back = share.back && !engine_has_failed_build(p);
	}
	return share;
}

struct placement *engine_place(struct engine *e, struct aap *aap, struct node *node)
{
	struct placement *p = map_get(&aap->placements, node->name);
	struct placement_facts facts;

	if (p)
		return p;
	p = MEM_NEW(struct placement);
	p->aap = aap;
	p->node = node;
	p->since_ms = e->now_ms;
	list_init(&p->link);
	list_init(&p->told);
	facts = engine_facts(p);
	p->state = engine_judge_to_keep(&facts);
	map_put(&aap->placements, node->name, p);
	list_append(&node->placements, &p->on_node);
	node->n_placements++;
	placement_count(&aap->counts, &p->state, 1);
	placement_count_share(&aap->counts, &p->share, 1);
	return p;
}

void engine_unplace(struct engine *e, struct placement *p)
{
	const struct sync_status *report = engine_place_report(p);

	if (report && report->state == SYNC_STATE_ORPHAN)
		p->node->facts_dirty = true; /* nobody speaks of it any more */
	p->selected = false;
	engine_place_kernel(e, p);
	engine_rollout_forget(p);
	placement_count(&p->aap->counts, &p->state, -1);
	map_del(&p->aap->placements, p->node->name);
	list_remove(&p->on_node);
	p->node->n_placements--;
	engine_mark_node(e, p->node);
	engine_mark_profile(e, p->aap);
	free(p);
}

/* Nothing of it is left there. A deletion may have waited for just this. */
static void engine_place_gone(struct engine *e, struct placement *p)
{
	struct aap *aap = p->aap;

	engine_unplace(e, p);
	if (aap->spec.deleting && aap->counts.here == 0)
		engine_mark_step(e, aap);
}

/* What the rollout asks of time: since when is it Loaded, and is what was told before still needed?
 */
static void engine_place_loaded(struct engine *e, struct placement *p,
				const struct placement_facts *facts)
{
	const struct sync_status *report = facts->report;

	if (p->state.state != NODE_LOADED)
		p->loaded_ms = 0;
	else if (!p->loaded_ms)
		p->loaded_ms = e->now_ms;
	if (p->before && facts->assigned && report && report->state == SYNC_STATE_LOADED &&
	    strcmp(report->target, facts->assigned) == 0 && engine_has_build(p->assigned, p->node))
		engine_revision_take(&p->before, NULL);
}

void engine_place_again(struct engine *e, struct placement *p)
{
	struct placement_facts facts = engine_facts(p);
	struct placement_state s = engine_judge_to_keep(&facts);

	if (!p->selected && s.state == NODE_GONE) {
		engine_place_gone(e, p);
		return;
	}
	if (s.state != p->state.state)
		p->since_ms = e->now_ms;
	if ((s.state == NODE_DRAINING) != (p->state.state == NODE_DRAINING))
		engine_mark_node(e, p->node);
	if (s.desired != p->state.desired)
		p->aap->rollout.due = true; /* shares are of those */
	placement_count(&p->aap->counts, &p->state, -1);
	placement_count(&p->aap->counts, &s, 1);
	p->state = s;
	p->node->outdated = p->node->outdated || s.outdated;
	engine_place_loaded(e, p, &facts);
	engine_rollout_share(e, p, engine_share(e, p, &facts));
	engine_mark_profile(e, p->aap);
}

void engine_tell(struct engine *e, struct placement *p, struct revision *rev)
{
	if (p->assigned == rev)
		return;
	if (!rev)
		engine_revision_take(&p->before, NULL);
	else if (engine_has_build(p->assigned, p->node))
		engine_revision_take(&p->before, p->assigned);
	engine_revision_take(&p->assigned, rev);
	list_remove(&p->told);
	if (rev && rev == p->aap->served)
		list_append(&p->aap->rollout.told, &p->told);
	engine_mark_node(e, p->node);
	engine_place_again(e, p);
}

/* For which kinds of kernel the profile has to be compiled: those of the chosen nodes, or, while
 * none is known, those that are built in. Keys of e->features, which stay while a node has them. */

static void engine_needs_drop(struct aap *aap, size_t i)
{
	aap->n_needed--;
	aap->needed[i] = aap->needed[aap->n_needed];
	aap->n_on[i] = aap->n_on[aap->n_needed];
}

static size_t engine_needs_find(const struct aap *aap, const char *kernel)
{
	size_t i = 0;

	while (i < aap->n_needed && aap->needed[i] != kernel)
		i++;
	return i;
}

void engine_place_builtin(struct engine *e, struct aap *aap)
{
	size_t i;

	for (i = 0; i < e->n_builtin; i++) {
		aap->needed[i] = e->builtin[i];
		aap->n_on[i] = 0;
	}
	aap->n_needed = e->n_builtin;
}

static void engine_needs_less(struct engine *e, struct aap *aap, const char *kernel)
{
	size_t i = engine_needs_find(aap, kernel);

	if (i == aap->n_needed || --aap->n_on[i] > 0)
		return;
	engine_needs_drop(aap, i);
	if (aap->n_needed == 0)
		engine_place_builtin(e, aap);
	engine_mark_step(e, aap);
}

static void engine_needs_more(struct engine *e, struct aap *aap, const char *kernel)
{
	size_t i = engine_needs_find(aap, kernel);

	if (i < aap->n_needed && aap->n_on[i]++ > 0)
		return;
	if (i == aap->n_needed && i < sizeof(aap->needed) / sizeof(*aap->needed)) {
		aap->needed[i] = kernel;
		aap->n_on[i] = 1;
		aap->n_needed++;
	}
	for (i = aap->n_needed; i-- > 0;)
		if (aap->n_on[i] == 0)
			engine_needs_drop(aap, i);
	engine_mark_step(e, aap);
}

void engine_place_kernel(struct engine *e, struct placement *p)
{
	const char *kernel = p->selected ? p->node->kernel : NULL, *old = p->kernel;

	if (kernel == old)
		return;
	p->kernel = kernel;
	if (kernel)
		engine_needs_more(e, p->aap, kernel);
	if (old)
		engine_needs_less(e, p->aap, old);
}

/* Selecting. */

void engine_select_node(struct engine *e, struct aap *aap, struct node *node)
{
	bool selected = aap->serving && node->exists && !node->excluded &&
			selector_matches(&aap->spec.nodes, node->labels);
	struct placement *p = map_get(&aap->placements, node->name);
	bool was = p && p->selected;

	if (!p && !selected && !(aap->holder && engine_report_of(node, aap->spec.name)))
		return;
	if (!p)
		p = engine_place(e, aap, node);
	p->selected = selected;
	engine_place_kernel(e, p);
	if (was != selected) {
		const struct sync_status *report = engine_place_report(p);

		/* An orphan is one that no object asks for: that, too, may be another now. */
		if (report && report->state == SYNC_STATE_ORPHAN)
			node->facts_dirty = true;
		engine_mark_node(e, node);
	}
	if (was && !selected)
		engine_tell(e, p, NULL); /* may have taken the placement away */
	else if (selected)
		engine_rollout_adopt(e, p);
	p = map_get(&aap->placements, node->name);
	if (p)
		engine_place_again(e, p);
}

void engine_select(struct engine *e, struct aap *aap)
{
	struct node *node;
	size_t it = 0;

	aap->reselect = false;
	while ((node = engine_next_node(e, &it)))
		engine_select_node(e, aap, node);
}
