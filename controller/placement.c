#include "controller/placement.h"

#include "controller/engine.h"

#include <string.h>

static const char *const node_states[] = {
    [NODE_GONE] = "Gone",
    [NODE_PENDING] = "Pending",
    [NODE_LOADED] = "Loaded",
    [NODE_FAILED] = "Failed",
    [NODE_DRIFTED] = "Drifted",
    [NODE_DRAINING] = "Draining",
    [NODE_UNSUPPORTED] = "Unsupported",
    [NODE_UNREACHABLE] = "Unreachable",
};

const char *node_state_name(enum node_state state)
{
	return node_states[state];
}

static bool placement_hash_matches(const struct sync_hash *expected, const struct sync_hash *seen)
{
	if (strcmp(expected->name, seen->name) != 0)
		return false;
	if (*seen->sha256)
		return strcmp(expected->sha256, seen->sha256) == 0;
	return *seen->sha1 && strcmp(expected->sha1, seen->sha1) == 0;
}

bool placement_hashes_match(const struct sync_hash *expected, size_t n_expected,
			    const struct sync_hash *seen, size_t n_seen)
{
	size_t i, k;

	if (n_expected != n_seen || n_expected == 0)
		return false;
	for (i = 0; i < n_expected; i++) {
		/* Both sides list in one order as a rule, so that the first look hits. */
		for (k = 0; k < n_seen; k++)
			if (placement_hash_matches(&expected[i], &seen[(i + k) % n_seen]))
				break;
		if (k == n_seen)
			return false;
	}
	return true;
}

static bool placement_is_verified(const struct build *build, const struct sync_status *r)
{
	if (*r->digest)
		return sync_family_fits(&build->family, r->digest);
	return placement_hashes_match(build->hashes, build->n_hashes, r->hashes, r->n_hashes);
}

static struct placement_state placement_say(enum node_state state, const char *reason,
					    const char *message)
{
	return (struct placement_state){.state = state, .reason = reason, .message = message};
}

static bool placement_holds(const struct placement_facts *f)
{
	if (!f->reported)
		return true; /* nobody has said that it does not */
	return f->report && f->report->state != SYNC_STATE_ABSENT &&
	       (*f->report->revision || f->report->state == SYNC_STATE_DRAINING ||
		f->report->state == SYNC_STATE_ORPHAN ||
		(f->report->state == SYNC_STATE_DRIFTED && *f->report->kernel_mode));
}

/* The node is not chosen, or the profile is to go: what is left there? An agent that has still to
 * load it, or tries again, may hold it in a moment. */
static struct placement_state placement_judge_leaving(const struct placement_facts *f)
{
	const struct sync_status *r = f->report;
	bool is_there = r && r->state != SYNC_STATE_ABSENT;

	if (!f->reported || (!is_there && !f->may_hold))
		return placement_say(NODE_GONE, "", "");
	if (is_there && r->state == SYNC_STATE_DRAINING)
		return placement_say(NODE_DRAINING, "InUse", r->message);
	if (is_there && r->state == SYNC_STATE_FAILED)
		return placement_say(NODE_DRAINING, sync_reason_name(r->reason), r->message);
	return placement_say(NODE_DRAINING, "Removing", "to be removed");
}

static bool placement_is_misread(const struct placement_facts *f)
{
	const struct sync_status *r = f->report;

	return r->state == SYNC_STATE_LOADED &&
	       (strcmp(r->revision, f->assigned) != 0 || !placement_is_verified(f->build, r));
}

/* An agent starts with the set that is on its disk, and another kernel or another compiler makes
 * other bytes of the same revision. Only once it has what it is told now does it speak of that. */
static struct placement_state placement_judge_misread(const struct placement_facts *f)
{
	struct placement_state s =
	    placement_say(NODE_PENDING, "Assigned",
			  "what the kernel holds was compiled for another kernel, or by another "
			  "version, and is about to be replaced");

	if (f->has_set)
		return placement_say(
		    NODE_FAILED, sync_reason_name(SYNC_REASON_VERIFY_FAILED),
		    "the hashes that the agent read back are not those of the compiled policy");
	s.outdated = true;
	return s;
}

/* The node is chosen and its agent is here: what does the kernel say? */
static struct placement_state placement_judge_report(const struct placement_facts *f)
{
	const struct sync_status *r = f->report;

	if (!r || strcmp(r->target, f->assigned) != 0)
		return placement_say(NODE_PENDING, "Assigned", "");
	if (r->state == SYNC_STATE_FAILED)
		return placement_say(NODE_FAILED, sync_reason_name(r->reason), r->message);
	if (r->state == SYNC_STATE_DRIFTED)
		return placement_say(NODE_DRIFTED, "Changed", r->message);
	if (r->state != SYNC_STATE_LOADED)
		return placement_say(NODE_PENDING, "Assigned", r->message);
	if (placement_is_misread(f))
		return placement_judge_misread(f);
	return placement_say(NODE_LOADED, "", f->build->message);
}

/* At what it was told. */
static bool placement_has_failed(const struct placement_facts *f)
{
	return f->report && f->assigned && f->report->state == SYNC_STATE_FAILED &&
	       strcmp(f->report->target, f->assigned) == 0;
}

/* What is not the target is told until its turn has come. */
static struct placement_state placement_judge_waiting(const struct placement_facts *f)
{
	const struct sync_status *r = f->report;

	if (placement_has_failed(f))
		return placement_say(NODE_FAILED, sync_reason_name(r->reason), r->message);
	if (r && f->assigned && r->state == SYNC_STATE_DRIFTED &&
	    strcmp(r->target, f->assigned) == 0)
		return placement_say(NODE_DRIFTED, "Changed", r->message);
	return placement_say(NODE_PENDING, "Waiting", "");
}

static struct placement_state placement_judge_here(const struct placement_facts *f)
{
	if (!f->apparmor_enabled)
		return placement_say(NODE_UNSUPPORTED, "AppArmorOff", f->apparmor_reason);
	if (f->features_reason)
		return placement_say(NODE_FAILED, f->features_reason, f->features_message);
	if (f->left_out)
		return placement_say(
		    NODE_FAILED, "SetTooLarge",
		    "the profiles of this node are more than it can be told at "
		    "once (1024, 16,384 with their children, and 7 MiB of names and "
		    "hashes), and those that come first by name were: choose fewer for "
		    "it");
	if (f->waits)
		return placement_judge_waiting(f);
	/* Its word holds whether or not what it was told has been compiled here again. */
	if ((!f->build || f->build->state == BUILD_WAITING) && placement_has_failed(f))
		return placement_say(NODE_FAILED, sync_reason_name(f->report->reason),
				     f->report->message);
	if (!f->assigned || !f->build || f->build->state == BUILD_WAITING)
		return placement_say(NODE_PENDING, "Compiling", "");
	if (f->build->state == BUILD_FAILED)
		return placement_say(NODE_FAILED,
				     f->build->forbidden ? "ForbiddenPolicy" : "ParseError",
				     f->build->message);
	return placement_judge_report(f);
}

static struct placement_state placement_judge_chosen(const struct placement_facts *f)
{
	if (f->away)
		return f->away_ready
			   ? placement_say(
				 NODE_PENDING, "AgentAway",
				 "no report for 150 s, although Kubernetes calls the node "
				 "Ready: see the hauberk-agent pod there")
			   : placement_say(NODE_UNREACHABLE, "NodeNotReady",
					   "no report for 150 s, and Kubernetes does not call the "
					   "node Ready");
	if (!f->reported)
		return placement_say(NODE_PENDING, "WaitingForAgent", "no agent has reported yet");
	return placement_judge_here(f);
}

struct placement_state placement_judge(const struct placement_facts *f)
{
	struct placement_state s =
	    f->selected ? placement_judge_chosen(f) : placement_judge_leaving(f);

	s.desired = f->selected && s.state != NODE_UNSUPPORTED && s.state != NODE_UNREACHABLE;
	s.updated =
	    s.desired && !f->waits && f->assigned && f->build && f->build->state == BUILD_OK;
	s.holds = placement_holds(f);
	return s;
}

/* Failures that speak against the revision; all others are the node's own trouble. */
static bool placement_blames_revision(const char *reason)
{
	static const char *const reasons[] = {"LoadFailed", "VerifyFailed", "BadArtefact",
					      "ParseError", "ForbiddenPolicy"};
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (strcmp(reason, reasons[i]) == 0)
			return true;
	return false;
}

/* By the last report, whether or not its agent is here still. */
static enum rollout_class placement_class_heard(const struct placement_facts *f,
						const struct placement_rollout *r)
{
	struct placement_state s = placement_judge_here(f);
	bool holds = placement_holds(f);

	if (s.state == NODE_UNSUPPORTED)
		return ROLLOUT_NONE;
	if (s.state == NODE_FAILED && r->told && placement_blames_revision(s.reason))
		return ROLLOUT_FAILED;
	if (s.state == NODE_FAILED && !placement_blames_revision(s.reason))
		return ROLLOUT_TROUBLED;
	/* What its kernel refuses to load is no help to one that holds nothing: it takes its turn
	 * to be told the target. */
	if (!r->told)
		return holds || s.state == NODE_FAILED ? ROLLOUT_OLD : ROLLOUT_EMPTY;
	/* It may have been the one that failed: nothing goes on because it is not known. */
	if (s.outdated)
		return ROLLOUT_UNHEARD;
	if (s.state == NODE_LOADED)
		return r->settled ? ROLLOUT_DONE : ROLLOUT_SETTLING;
	return holds ? ROLLOUT_MOVING : ROLLOUT_MOVING_EMPTY;
}

static enum rollout_class placement_class(const struct placement_facts *f,
					  const struct placement_rollout *r)
{
	enum rollout_class heard;

	if (!f->selected || !r->target)
		return ROLLOUT_NONE;
	if (f->away && !r->told && !f->away_ready)
		return ROLLOUT_NONE;
	if (!f->reported)
		return f->away || r->joined ? ROLLOUT_ABSENT : ROLLOUT_UNHEARD;
	heard = placement_class_heard(f, r);
	if (!f->away || heard == ROLLOUT_NONE || heard == ROLLOUT_FAILED)
		return heard;
	return r->told && placement_holds(f) ? ROLLOUT_LOST : ROLLOUT_ABSENT;
}

struct placement_share placement_share(const struct placement_facts *f,
				       const struct placement_rollout *r)
{
	const struct sync_status *report = f->reported ? f->report : NULL;
	struct placement_share s = {.class_ = placement_class(f, r)};

	s.here = f->reported && !f->away;
	s.never = f->selected && f->away && !f->reported && !r->joined;
	if (!f->selected || !r->target || !report)
		return s;
	s.holds_other = placement_holds(f) && strcmp(report->revision, r->target) != 0;
	s.unaware = !r->told && strcmp(report->target, r->target) == 0;
	s.back = s.here && !r->told && s.class_ != ROLLOUT_TROUBLED && s.class_ != ROLLOUT_NONE &&
		 (s.unaware || strcmp(report->revision, r->target) == 0);
	return s;
}

void placement_count_share(struct placement_counts *c, const struct placement_share *s, int sign)
{
	c->by_class[s->class_] += sign;
	c->holds_other += s->holds_other ? sign : 0;
	c->back += s->back ? sign : 0;
	c->never += s->never ? sign : 0;
	c->here += s->here ? sign : 0;
}

void placement_count(struct placement_counts *c, const struct placement_state *s, int sign)
{
	c->by_state[s->state] += sign;
	c->desired += s->desired ? sign : 0;
	c->updated += s->updated ? sign : 0;
	c->ready += s->desired && s->state == NODE_LOADED ? sign : 0;
	c->failed += s->desired && s->state == NODE_FAILED ? sign : 0;
	c->awaited += s->desired && strcmp(s->reason, "WaitingForAgent") == 0 ? sign : 0;
}
