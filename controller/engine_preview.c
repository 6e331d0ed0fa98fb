#include "controller/engine_preview.h"

#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"
#include "controller/rollout_plan.h"
#include "controller/rollout_queue.h"
#include "policy/names.h"
#include "policy/text.h"

#include <stdlib.h>
#include <string.h>

/*
 * The nodes as they are are sorted once into candidates and others. The candidates go through a
 * queue of their own, with entries that live as long as the preview, and come out step by step.
 */

enum preview_action {
	PREVIEW_UPDATE,
	PREVIEW_INSTALL,
	PREVIEW_REMOVE,
	PREVIEW_NONE,
	PREVIEW_WAIT,
};

static const char *const preview_actions[] = {
    [PREVIEW_UPDATE] = "update", [PREVIEW_INSTALL] = "install", [PREVIEW_REMOVE] = "remove",
    [PREVIEW_NONE] = "none",     [PREVIEW_WAIT] = "wait",
};

struct preview_node {
	struct rollout_entry entry;
	const struct node *node;
	enum preview_action action;
	const char *holds;
	const char *reason; /* of PREVIEW_WAIT */
};

struct preview {
	struct engine *engine;
	const struct profile *p;
	const struct aap *aap; /* the object as it is; NULL: it is new */
	char revision[PROFILE_REVISION_SIZE];
	struct preview_node *nodes; /* sorted by name */
	size_t n;
	int64_t desired, done, holding;
	const char *current; /* the last complete revision; "" for none */
	struct rollout_queue old, empty;
	struct json_object *rows;
};

int engine_preview_parse(struct engine *e, struct json_object *manifest, struct profile *ret,
			 struct err *err)
{
	struct json_object *meta = js_object(manifest, "metadata");
	const char *name = js_str(meta, "name");
	const struct aap *aap = name ? engine_profile(e, name) : NULL;
	struct profile p;
	int r;

	if (!str_equal(js_str(manifest, "kind"), "AppArmorProfile") ||
	    !str_equal(js_str(manifest, "apiVersion"), PROFILE_GROUP_VERSION) || !name)
		return err_set(err, -EINVAL,
			       "this is no AppArmorProfile of " PROFILE_GROUP_VERSION
			       " with a name");
	js_put_str(meta, "uid", aap ? aap->spec.uid : "");
	js_put_str(meta, "resourceVersion", aap ? aap->spec.resource_version : "0");
	r = profile_parse(manifest, &p, err);
	if (r < 0)
		return r;
	if (policy_name_check(p.name, err) < 0 ||
	    policy_text_check(p.policy, p.n_policy, NULL, err) < 0) {
		profile_clear(&p);
		return err->code;
	}
	*ret = p;
	return 0;
}

/* Sorting nodes. */

static const char *preview_wait_reason(const struct node *node)
{
	if (node->away)
		return "AgentAway";
	if (!node->reported)
		return "WaitingForAgent";
	if (!node->report.apparmor_enabled)
		return "AppArmorOff";
	return node->features_reason;
}

static bool preview_is_desired(const struct node *node)
{
	if (node->away)
		return node->away_ready || !node->away_known;
	return !node->reported || node->report.apparmor_enabled;
}

static void preview_judge_chosen(struct preview *v, struct preview_node *n,
				 const struct sync_status *report)
{
	bool has_it =
	    report && strcmp(n->holds, v->revision) == 0 && report->state == SYNC_STATE_LOADED;

	n->reason = preview_wait_reason(n->node);
	if (n->reason)
		n->action = PREVIEW_WAIT;
	else if (has_it)
		n->action = PREVIEW_NONE;
	else
		n->action = *n->holds ? PREVIEW_UPDATE : PREVIEW_INSTALL;
	v->desired += preview_is_desired(n->node);
	v->done += n->action == PREVIEW_NONE;
	v->holding += *n->holds != '\0';
}

static void preview_add(struct preview *v, const struct node *node)
{
	const struct sync_status *report = engine_report_of(node, v->p->name);
	bool chosen = v->p->enabled && !v->p->deleting && node->exists && !node->excluded &&
		      selector_matches(&v->p->nodes, node->labels);
	struct preview_node n = {.node = node, .holds = report ? report->revision : ""};

	/* What another hand loaded under this name is not ours to remove. */
	if (!chosen && (!*n.holds || !v->aap))
		return;
	if (chosen)
		preview_judge_chosen(v, &n, report);
	else
		n.action = PREVIEW_REMOVE;
	v->nodes[v->n++] = n;
}

static int preview_compare(const void *a, const void *b)
{
	const struct preview_node *x = a, *y = b;

	return strcmp(x->node->name, y->node->name);
}

static void preview_sort_nodes(struct preview *v)
{
	struct node *node;
	size_t it = 0;

	v->nodes = mem_alloc(v->engine->nodes.n, sizeof(*v->nodes));
	while ((node = engine_next_node(v->engine, &it)))
		preview_add(v, node);
	qsort(v->nodes, v->n, sizeof(*v->nodes), preview_compare);
}

/* Order. */

static const char *preview_zone(const struct node *node)
{
	struct json_object *zone = js_get(node->labels, "topology.kubernetes.io/zone");

	return zone ? json_object_get_string(zone) : "";
}

static void preview_row(struct preview *v, const struct preview_node *n, unsigned int step)
{
	struct json_object *row = js_new();
	const char *zone = preview_zone(n->node);

	js_put_str(row, "name", n->node->name);
	js_put_str(row, "zone", *zone ? zone : NULL);
	js_put_str(row, "holds", *n->holds ? n->holds : NULL);
	js_put_str(row, "action", preview_actions[n->action]);
	if (step > 0)
		js_put_i64(row, "step", step);
	js_put_str(row, "reason", n->reason);
	js_append(v->rows, row);
}

static bool preview_is_candidate(const struct preview_node *n)
{
	return n->action == PREVIEW_UPDATE || n->action == PREVIEW_INSTALL;
}

/* Nodes that hold nothing, and have nothing proven to hold, are served outside the budget. */
static bool preview_is_first(const struct preview *v)
{
	return v->holding == 0 && !*v->current;
}

/* The current revision has proved itself: going back to it knows no steps. */
static size_t preview_n_steps(const struct preview *v)
{
	return strcmp(v->current, v->revision) == 0 ? 0 : v->p->rollout.n_steps;
}

static bool preview_order_is_known(const struct preview *v)
{
	return *v->p->uid || preview_n_steps(v) == 0;
}

/* Up to `nodes` that are told or done; all where that is negative. Those that have nothing to lose
 * come first. */
static void preview_pop(struct preview *v, int64_t nodes, unsigned int step)
{
	while (nodes < 0 || v->done < nodes) {
		struct rollout_entry *entry = rollout_queue_pop(&v->empty);

		if (!entry)
			entry = rollout_queue_pop(&v->old);
		if (!entry)
			return;
		preview_row(v, container_of(entry, struct preview_node, entry), step);
		v->done++;
	}
}

/* Where there is a current revision, a node that holds nothing gets that one first, and then waits
 * its turn as all others do. */
static void preview_push(struct preview *v, struct preview_node *n)
{
	bool empty = n->action == PREVIEW_INSTALL && !*v->current;

	rollout_entry_key(&n->entry, n->node->uid, v->p->uid, v->revision);
	rollout_queue_push(empty ? &v->empty : &v->old, &n->entry, preview_zone(n->node));
}

static void preview_set_order(struct preview *v, bool by_zone)
{
	rollout_queue_set_order(&v->old, by_zone);
	rollout_queue_set_order(&v->empty, by_zone);
}

static void preview_order(struct preview *v)
{
	unsigned int n_steps = (unsigned int)preview_n_steps(v), step;
	size_t i;

	preview_set_order(v, n_steps == 0);
	for (i = 0; i < v->n; i++)
		if (preview_is_candidate(&v->nodes[i]))
			preview_push(v, &v->nodes[i]);
	for (step = 0; step < n_steps; step++)
		preview_pop(v, rollout_step_nodes(&v->p->rollout, step, v->desired), step + 1);
	preview_set_order(v, true);
	preview_pop(v, -1, step + 1);
	rollout_queue_deinit(&v->old);
	rollout_queue_deinit(&v->empty);
}

static void preview_rows(struct preview *v)
{
	size_t i;

	v->rows = js_new_array();
	if (preview_order_is_known(v))
		preview_order(v);
	for (i = 0; i < v->n; i++)
		if (!preview_is_candidate(&v->nodes[i]) || !preview_order_is_known(v))
			preview_row(v, &v->nodes[i], 0);
}

/* The answer. */

static struct json_object *preview_pair(const char *now, const char *then)
{
	struct json_object *obj = js_new();

	js_put_str(obj, "now", now);
	js_put_str(obj, "then", then);
	return obj;
}

static struct json_object *preview_steps(const struct preview *v)
{
	const struct rollout_spec *spec = &v->p->rollout;
	struct json_object *array = js_new_array();
	unsigned int i;

	for (i = 0; i < preview_n_steps(v); i++) {
		struct json_object *step = js_new();

		js_put_i64(step, "nodes", rollout_step_nodes(spec, i, v->desired));
		js_put_i64(step, "soakSeconds", spec->steps[i].soak_s);
		js_append(array, step);
	}
	return array;
}

static char *preview_problem(const struct preview *v)
{
	const struct aap *holder = engine_holder(v->engine, v->p->name);

	if (v->aap && strcmp(v->aap->spec.name, v->p->name) != 0)
		return mem_printf("the profile's name in the kernel is %s and cannot be changed to "
				  "%s: the API server will refuse it",
				  v->aap->spec.name, v->p->name);
	if (holder && holder != v->aap &&
	    (!v->aap || engine_holder(v->engine, v->aap->spec.name) != v->aap))
		return mem_printf("AppArmorProfile %s is older and holds the profile name %s: "
				  "nothing will be loaded",
				  holder->spec.object, v->p->name);
	return NULL;
}

static void preview_put_change(const struct preview *v, struct json_object *obj)
{
	const struct revision *now = v->aap ? v->aap->wanted : NULL;

	js_put(obj, "revision", preview_pair(now ? now->id : NULL, v->revision));
	js_put(
	    obj, "mode",
	    preview_pair(now ? profile_mode_name(now->mode) : NULL, profile_mode_name(v->p->mode)));
	js_put(obj, "text", preview_pair(now ? now->text : NULL, v->p->policy));
}

static void preview_put_rollout(const struct preview *v, struct json_object *obj)
{
	struct json_object *status = v->aap ? js_object(v->aap->object, "status") : NULL;
	const char *under_way = js_str(status, "rollout.revision");
	bool complete = str_equal(js_str(status, "rollout.phase"), "Complete");
	int64_t at_once = rollout_amount_of(v->p->rollout.max_unavailable, v->desired);

	if (under_way && !complete && strcmp(under_way, v->revision) != 0)
		js_put_str(obj, "underWay", under_way);
	js_put_i64(obj, "desired", v->desired);
	js_put_i64(obj, "atOnce", preview_is_first(v) ? v->desired : at_once);
	js_put_bool(obj, "paused", v->p->rollout.paused);
	js_put(obj, "steps", preview_steps(v));
	js_put_bool(obj, "orderKnown", preview_order_is_known(v));
}

struct json_object *engine_plan_preview(struct engine *e, const struct profile *p, int64_t now_ms)
{
	struct preview v = {.engine = e, .p = p, .aap = engine_profile(e, p->object)};
	struct json_object *obj = js_new();
	CLEANUP(mem_freep) char *problem = preview_problem(&v);

	(void)now_ms;
	v.current = v.aap ? js_str_or_empty(v.aap->object, "status.currentRevision") : "";
	policy_revision(p->name, p->policy, p->n_policy, p->mode, e->compiler_id, v.revision);
	preview_sort_nodes(&v);
	js_put_str(obj, "name", p->object);
	js_put_str(obj, "profileName", p->name);
	js_put_bool(obj, "exists", v.aap != NULL);
	preview_put_change(&v, obj);
	js_put_str(obj, "problem", problem);
	preview_put_rollout(&v, obj);
	preview_rows(&v);
	js_put(obj, "nodes", v.rows);
	free(v.nodes);
	return obj;
}
