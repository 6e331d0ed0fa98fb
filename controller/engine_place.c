#include "controller/engine_priv.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct build *engine_build(const struct revision *rev, const char *features)
{
	return rev && *features ? map_get(&rev->builds, features) : NULL;
}

struct placement_state engine_judge(const struct placement *p)
{
	const struct node *node = p->node;
	struct placement_facts facts = {
	    .selected = p->selected,
	    .reported = node->reported,
	    .away = node->away,
	    .away_ready = node->away_ready || !node->away_known,
	    .apparmor_enabled = node->report.apparmor_enabled,
	    .apparmor_reason = node->report.apparmor_reason,
	    .features_reason = node->features_reason,
	    .features_message = node->features_problem,
	    .assigned = p->assigned ? p->assigned->id : NULL,
	    .build = engine_build(p->assigned, node->features),
	    .report = engine_report_of(node, p->aap->spec.name),
	};

	return placement_judge(&facts);
}

/* Where the message is needed it is asked for anew: it points into what may be replaced. */
static struct placement_state engine_judge_to_keep(const struct placement *p)
{
	struct placement_state s = engine_judge(p);

	s.message = NULL;
	return s;
}

struct placement *engine_place(struct engine *e, struct aap *aap, struct node *node)
{
	struct placement *p = map_get(&aap->placements, node->name);

	if (p)
		return p;
	p = MEM_NEW(struct placement);
	p->aap = aap;
	p->node = node;
	p->since_ms = e->now_ms;
	p->state = engine_judge_to_keep(p);
	map_put(&aap->placements, node->name, p);
	map_put(&node->placements, aap->spec.object, p);
	placement_count(&aap->counts, &p->state, 1);
	return p;
}

void engine_unplace(struct engine *e, struct placement *p)
{
	placement_count(&p->aap->counts, &p->state, -1);
	map_del(&p->aap->placements, p->node->name);
	map_del(&p->node->placements, p->aap->spec.object);
	engine_mark_node(e, p->node);
	engine_mark_profile(e, p->aap);
	free(p);
}

void engine_place_again(struct engine *e, struct placement *p)
{
	struct placement_state s = engine_judge_to_keep(p);

	if (!p->selected && s.state == NODE_GONE) {
		/* A deletion may have waited for just this. */
		engine_mark_step(e, p->aap);
		engine_unplace(e, p);
		return;
	}
	if (s.state != p->state.state)
		p->since_ms = e->now_ms;
	placement_count(&p->aap->counts, &p->state, -1);
	placement_count(&p->aap->counts, &s, 1);
	p->state = s;
	engine_mark_profile(e, p->aap);
	engine_mark_node(e, p->node);
}

static bool engine_needs(const struct aap *aap, const char *features)
{
	size_t i;

	for (i = 0; i < aap->n_needed; i++)
		if (strcmp(aap->needed[i], features) == 0)
			return true;
	return false;
}

/* For which kinds of kernel the profile has to be compiled: those of the chosen nodes, or, while
 * none is known, those that are built in. Keys of e->features, which never go. */
static void engine_collect_features(struct engine *e, struct aap *aap)
{
	void *value;
	size_t it = 0, i;

	aap->n_needed = 0;
	while (map_next(&aap->placements, &it, NULL, &value)) {
		const struct placement *p = value;
		const struct features_known *known = map_get(&e->features, p->node->features);

		if (p->selected && known && aap->n_needed < ENGINE_FEATURE_SETS_MAX &&
		    !engine_needs(aap, known->hash))
			aap->needed[aap->n_needed++] = known->hash;
	}
	for (i = 0; aap->n_needed == 0 && i < e->n_builtin; i++)
		aap->needed[i] = e->builtin[i];
	if (aap->n_needed == 0)
		aap->n_needed = e->n_builtin;
}

void engine_select(struct engine *e, struct aap *aap)
{
	struct node *node;
	size_t it = 0;

	aap->reselect = false;
	while ((node = engine_next_node(e, &it))) {
		bool selected = aap->serving && node->exists && !node->excluded &&
				selector_matches(&aap->spec.nodes, node->labels);
		struct placement *p = map_get(&aap->placements, node->name);

		if (!p && !selected &&
		    !(engine_holder(e, aap->spec.name) == aap &&
		      engine_report_of(node, aap->spec.name)))
			continue;
		if (!p)
			p = engine_place(e, aap, node);
		p->selected = selected;
		engine_place_again(e, p);
	}
	engine_collect_features(e, aap);
}
