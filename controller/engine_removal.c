#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"

#include <stdlib.h>
#include <string.h>

/*
 * A deletion waits until no node's kernel holds the profile, with these exceptions, since a dead
 * node must not hold it for ever:
 *
 *  - a node that is not Ready, or whose agent has been away for ENGINE_DELETE_WAIT_MS: the removal
 * is noted in its AppArmorNode, and its agent is told when it comes back;
 *  - a node where no agent has ever been, or that is no more. Of one that was there before we led,
 * and has no AppArmorNode, that is not known at once: a former leader may have told its agent
 * something and died before it wrote that there is one.
 *
 * There is room for as many removals as a node may hold profiles. Where it is full the deletion
 * waits: to forget an older one would leave its profile there for ever.
 *
 * Before anything is removed the API server is asked whether it is Hauberk that is going (the CRD
 * or our namespace is Terminating): then the finalizer comes off and nothing is unloaded.
 */

enum removal_verdict { REMOVAL_DONE, REMOVAL_WAIT, REMOVAL_NOTE };

struct removal {
	enum removal_verdict verdict;
	int64_t next_ms; /* when REMOVAL_WAIT may have become something else by time alone */
	bool overdue;    /* REMOVAL_NOTE of a node that Kubernetes calls Ready */
};

static struct removal removal_judge(const struct aap *aap, const struct node *node, int64_t now_ms)
{
	const struct placement *p = map_get(&aap->placements, node->name);
	int64_t until = aap->deleting_since_ms + ENGINE_DELETE_WAIT_MS;

	if (!node->exists || (!node->reported && !node->has_object && (node->joined || node->away)))
		return (struct removal){.verdict = REMOVAL_DONE};
	if (node->reported && !p)
		return (struct removal){.verdict = REMOVAL_DONE};
	if (!node->away)
		return (struct removal){.verdict = REMOVAL_WAIT,
					.next_ms = node->heard_ms + ENGINE_AGENT_AWAY_MS};
	if (!node->away_known)
		return (struct removal){.verdict = REMOVAL_WAIT, .next_ms = INT64_MAX};
	if (!node->away_ready)
		return (struct removal){.verdict = REMOVAL_NOTE};
	if (now_ms < until)
		return (struct removal){.verdict = REMOVAL_WAIT, .next_ms = until};
	return (struct removal){.verdict = REMOVAL_NOTE, .overdue = true};
}

static struct pending_removal *removal_find(const struct node *node, const char *name)
{
	size_t i;

	for (i = 0; i < node->n_removals; i++)
		if (strcmp(node->removals[i].profile, name) == 0)
			return &node->removals[i];
	return NULL;
}

static void removal_drop(struct node *node, struct pending_removal *removal)
{
	size_t i = (size_t)(removal - node->removals);

	free(removal->profile);
	free(removal->uid);
	node->n_removals--;
	memmove(removal, removal + 1, (node->n_removals - i) * sizeof(*removal));
	node->facts_dirty = true;
}

/* Write it down in the node's AppArmorNode. True once the API server holds it. */
static bool removal_note(struct engine *e, const struct aap *aap, struct node *node)
{
	struct pending_removal *removal = removal_find(node, aap->spec.name);

	if (removal)
		return !node->facts_dirty && !node->facts_writing;
	if (node->n_removals == SYNC_ITEMS_MAX)
		return false;
	node->removals = mem_resize(node->removals, node->n_removals + 1, sizeof(*removal));
	removal = &node->removals[node->n_removals++];
	*removal = (struct pending_removal){.profile = mem_strdup(aap->spec.name),
					    .uid = mem_strdup(aap->spec.uid)};
	if (aap->served)
		memcpy(removal->revision, aap->served->id, sizeof(removal->revision));
	node->facts_dirty = true;
	write_rate_reset(&node->facts_rate); /* a deletion waits for it */
	engine_mark_node(e, node);
	return false;
}

void engine_removals_free(struct pending_removal *removals, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(removals[i].profile);
		free(removals[i].uid);
	}
	free(removals);
}

static bool removals_are_same(const struct node *node, const struct pending_removal *removals,
			      size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const struct pending_removal *mine = removal_find(node, removals[i].profile);

		if (!mine || !str_equal(mine->uid, removals[i].uid))
			return false;
	}
	return n == node->n_removals;
}

/* Those of which nothing is known yet. */
static bool removals_add(struct node *node, struct pending_removal *removals, size_t n)
{
	size_t before = node->n_removals, i;

	node->removals = mem_resize(node->removals, before + n, sizeof(*removals));
	for (i = 0; i < n && node->n_removals < SYNC_ITEMS_MAX; i++) {
		if (removal_find(node, removals[i].profile))
			continue;
		node->removals[node->n_removals++] = removals[i];
		removals[i] = (struct pending_removal){0};
	}
	engine_removals_free(removals, n);
	return node->n_removals > before;
}

bool engine_removals_take(struct node *node, struct pending_removal *removals, size_t n, bool add)
{
	if (add)
		return removals_add(node, removals, n);
	if (removals_are_same(node, removals, n)) {
		engine_removals_free(removals, n);
		return false;
	}
	engine_removals_free(node->removals, node->n_removals);
	node->removals = removals;
	node->n_removals = n;
	return true;
}

void engine_removals_settle(struct engine *e, struct node *node)
{
	size_t i = node->n_removals;

	while (i-- > 0) {
		const struct sync_status *report =
		    engine_report_of(node, node->removals[i].profile);

		/* A profile of that name that is wanted again is no orphan any more either. */
		if (report && report->state != SYNC_STATE_ABSENT &&
		    !engine_holder(e, node->removals[i].profile))
			continue;
		removal_drop(node, &node->removals[i]);
		engine_mark_node(e, node);
	}
}

static void removal_name_overdue(struct engine *e, struct aap *aap, const struct node *node)
{
	CLEANUP(mem_freep) char *message = NULL;

	if (aap->waits_named)
		return;
	aap->waits_named = true;
	message =
	    mem_printf("The deletion goes on without node %s: it is Ready, but its agent has not "
		       "reported for %d s. The profile is removed there when the agent comes back.",
		       node->name, ENGINE_DELETE_WAIT_MS / 1000);
	e->ops->event(e->data, aap, true, "RemovalPending", message);
}

/* All nodes: true when none has to be waited for. */
static bool removal_is_done(struct engine *e, struct aap *aap, int64_t *next_ms)
{
	struct node *node;
	bool done = true;
	size_t it = 0;

	while ((node = engine_next_node(e, &it))) {
		struct removal r = removal_judge(aap, node, e->now_ms);

		if (r.verdict == REMOVAL_DONE)
			continue;
		if (r.verdict == REMOVAL_NOTE) {
			if (r.overdue)
				removal_name_overdue(e, aap, node);
			done = removal_note(e, aap, node) && done;
			continue;
		}
		done = false;
		*next_ms = r.next_ms < *next_ms ? r.next_ms : *next_ms;
	}
	return done;
}

int64_t engine_removal_step(struct engine *e, struct aap *aap)
{
	int64_t next = INT64_MAX;

	if (!aap->spec.has_finalizer || aap->finalizer_asked)
		return INT64_MAX;
	if (aap->ending == ENDING_UNKNOWN && e->now_ms < aap->finalizer_retry.due_ms)
		return aap->finalizer_retry.due_ms;
	if (aap->ending == ENDING_UNKNOWN) {
		aap->ending = ENDING_ASKED;
		e->ops->ask_terminating(e->data, aap);
	}
	if (aap->ending == ENDING_ASKED)
		return INT64_MAX;
	if (aap->ending == ENDING_DELETED && !removal_is_done(e, aap, &next))
		return next;
	return engine_finalizer_step(e, aap, false);
}

static void removal_say_holders(struct engine *e, const struct node *node,
				const struct sync_status *report, struct buf *out)
{
	size_t i;

	for (i = 0; report && i < report->n_holders; i++) {
		const struct sync_holder *h = &report->holders[i];
		const char *pod = *h->pod_uid ? e->ops->pod_name(e->data, node, h->pod_uid) : NULL;

		buf_add_str(out, i == 0 ? " (" : ", ");
		if (pod)
			buf_addf(out, "pod %s", pod);
		else if (*h->pod_uid)
			buf_addf(out, "pod uid %s", h->pod_uid);
		else
			buf_addf(out, "%s, process %lld", h->command, (long long)h->pid);
	}
	if (report && report->n_holders > 0)
		buf_add_str(out, ")");
}

size_t engine_removal_dead(struct engine *e)
{
	struct node *node;
	size_t n = 0, it = 0;

	while ((node = engine_next_node(e, &it)))
		n += node->exists && node->has_object && !node->reported && !node->awaited;
	return n;
}

/* Those of which nobody knows whether they hold it. Walked only while there are any. */
static size_t removal_say_awaited(struct engine *e, const struct aap *aap, size_t n,
				  struct buf *out)
{
	const struct node *first[5];
	struct node *node;
	size_t it = 0, more = 0, i;

	while (e->n_awaited > 0 && (node = engine_next_node(e, &it)))
		if (node->awaited && !map_get(&aap->placements, node->name))
			engine_note_first(first, more++, 5, node);
	for (i = 0; i < more && n + i < 5; i++)
		buf_addf(out, "%s%s (its agent has not reported yet)",
			 n + i == 0 ? "waiting for " : ", ", first[i]->name);
	return n + more;
}

char *engine_removal_why(struct engine *e, const struct aap *aap)
{
	const struct node *first[5];
	struct buf out = BUF_INIT(1024);
	size_t n = 0, it = 0, i;
	void *value;

	while (map_next(&aap->placements, &it, NULL, &value)) {
		const struct placement *p = value;

		if (!p->selected && (!p->node->reported || p->state.state == NODE_DRAINING))
			engine_note_first(first, n++, 5, p->node);
	}
	for (i = 0; i < n && i < 5; i++) {
		const struct placement *p = map_get(&aap->placements, first[i]->name);

		buf_add_str(&out, i == 0 ? "waiting for " : ", ");
		buf_add_str(&out, p->node->name);
		if (p->node->n_removals == SYNC_ITEMS_MAX)
			buf_addf(&out, " (%d removals are pending there already)", SYNC_ITEMS_MAX);
		removal_say_holders(e, p->node, engine_place_report(p), &out);
	}
	n = removal_say_awaited(e, aap, n, &out);
	if (n > 5)
		buf_addf(&out, " and %zu more nodes", n - 5);
	return buf_steal(&out);
}
