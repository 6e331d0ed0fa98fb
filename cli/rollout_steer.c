#include "api/profile.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/profile_read.h"
#include "cli/rollout.h"

enum { ROLLOUT_TRIES = 5 };

/* The field manager tells our fields from those of kubectl apply, which leaves them alone. */
static void rollout_patch(struct cluster *cluster, const char *name, struct json_object *patch,
			  struct cluster_answer *ret)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", PROFILE_PATH, name);

	cluster_request(cluster,
			&(struct kube_request_spec){.method = "PATCH",
						    .path = path,
						    .query = "fieldManager=kubectl-hauberk",
						    .body = patch,
						    .content_type = "application/merge-patch+json"},
			ret);
}

/* Try until nobody else writes at the same time. `decide` makes the patch from the object as it
 * is. */
static int rollout_write(struct cluster *cluster, const char *name,
			 int (*decide)(void *data, struct json_object *aap,
				       struct rollout_order *ret, struct err *err),
			 void *data, char **ret_said, struct err *err)
{
	CLEANUP(cluster_answer_clear) struct cluster_answer answer = {0};
	unsigned int i;

	for (i = 0; i < ROLLOUT_TRIES; i++) {
		CLEANUP(js_putp) struct json_object *aap = NULL;
		CLEANUP(rollout_order_clear) struct rollout_order order = {0};
		int r = profile_read_seen(cluster, name, &aap, err);

		if (r == 0)
			r = decide(data, aap, &order, err);
		if (r < 0)
			return r;
		cluster_answer_clear(&answer);
		rollout_patch(cluster, name, order.patch, &answer);
		if (answer.outcome == KUBE_OK) {
			*ret_said = STEAL(order.said);
			return 0;
		}
		if (answer.outcome != KUBE_CONFLICT)
			break;
	}
	return cluster_fail(&answer, err);
}

static int rollout_decide_verb(void *data, struct json_object *aap, struct rollout_order *ret,
			       struct err *err)
{
	return rollout_order(data, aap, clock_wall_ms(), ret, err);
}

int rollout_steer(struct cluster *cluster, const struct rollout_verb *verb, const char *name,
		  char **ret_said, struct err *err)
{
	return rollout_write(cluster, name, rollout_decide_verb, (void *)verb, ret_said, err);
}

/* Undo. */

static int rollout_take_revision(void *data, struct json_object *item, struct err *err)
{
	(void)err;
	revisions_add(data, item);
	return 0;
}

int rollout_revisions(struct cluster *cluster, const char *namespace_, struct json_object *aap,
		      struct revisions *ret, struct err *err)
{
	CLEANUP(mem_freep) char *path = mem_printf(REVISIONS_PATH, namespace_);
	CLEANUP(mem_freep)
	char *selector =
	    mem_printf("%s=%s", REVISIONS_UID_LABEL, js_str_or_empty(aap, "metadata.uid"));
	struct revisions all = {0};
	enum kube_outcome outcome;
	int r = cluster_each(cluster, path, selector, rollout_take_revision, &all, &outcome, err);

	if (r < 0) {
		revisions_clear(&all);
		return err_wrap(err, "its former revisions");
	}
	revisions_sort(&all);
	*ret = all;
	return 0;
}

struct rollout_undo_ask {
	struct cluster *cluster;
	const char *namespace_, *to;
};

static int rollout_order_undo(const struct revision_seen *rev, struct json_object *aap,
			      struct rollout_order *ret, struct err *err)
{
	const char *name = js_str_or_empty(aap, "metadata.name");

	if (revision_is_asked_for(rev, aap))
		return err_set(err, -EPERM,
			       "%s: spec asks for revision %lld (%s) already: there is nothing to "
			       "undo",
			       name, (long long)rev->number, rev->id);
	ret->patch = revision_patch(rev, aap);
	ret->said = mem_printf(
	    "%s: spec is what it was in revision %lld (%s, %s) again: policy and mode were "
	    "edited; follow it with: kubectl hauberk rollout status %s -w\nWhere a Git repository "
	    "applies this object, it will "
	    "undo this at its next turn: change it there as well.",
	    name, (long long)rev->number, rev->id, rev->mode, name);
	return 0;
}

static int rollout_decide_undo(void *data, struct json_object *aap, struct rollout_order *ret,
			       struct err *err)
{
	const struct rollout_undo_ask *ask = data;
	CLEANUP(revisions_clear) struct revisions all = {0};
	const struct revision_seen *rev = NULL;
	int r = rollout_revisions(ask->cluster, ask->namespace_, aap, &all, err);

	if (r == 0)
		r = ask->to ? revisions_find(&all, ask->to, &rev, err)
			    : revisions_former(&all, aap, &rev, err);
	return r == 0 ? rollout_order_undo(rev, aap, ret, err) : r;
}

int rollout_undo(struct cluster *cluster, const char *namespace_, const char *name, const char *to,
		 char **ret_said, struct err *err)
{
	struct rollout_undo_ask ask = {cluster, namespace_, to};

	return rollout_write(cluster, name, rollout_decide_undo, &ask, ret_said, err);
}
