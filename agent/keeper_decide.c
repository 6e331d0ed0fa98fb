#include "keeper_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "policy/names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { KEEPER_QUIET_MS = 600000 };

struct desired_facts keeper_facts(const struct keeper *k, const struct unit *u)
{
	return (struct desired_facts){
	    .item = u->has_item ? &u->item : NULL,
	    .set_is_old = k->set_is_old,
	    .entry = record_get(&k->record, u->name),
	    .kernel = &u->kernel,
	    .boot_id = k->boot_id,
	};
}

static uint64_t keeper_random(void)
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), 0) < 0)
		return 0;
	return random;
}

void keeper_wait(struct keeper *k, struct unit *u)
{
	u->retry_at_ms = clock_mono_ms() + unit_backoff_ms(u, keeper_random());
	unit_enter(u, UNIT_WAITING);
	keeper_arm_retry(k);
}

void keeper_fail(struct keeper *k, struct unit *u, enum sync_reason reason, const struct err *err)
{
	unit_fail(u, reason, err->msg);
	keeper_wait(k, u);
	log_warn("profile failed", log_s("profile", u->name), log_s("revision", u->item.revision),
		 log_s("reason", sync_reason_name(reason)), log_s("error", err->msg),
		 log_i("retry_ms", u->retry_at_ms - clock_mono_ms()));
}

static void keeper_stop_fetch(struct keeper *k, struct unit *u)
{
	if (u->phase != UNIT_FETCHING)
		return;
	k->fetcher->cancel(k->fetcher->data, u->fetch);
	u->fetch = NULL;
	k->n_fetches--;
}

void keeper_rest(struct keeper *k, struct unit *u)
{
	keeper_stop_fetch(k, u);
	unit_enter(u, UNIT_RESTING);
}

void keeper_queue_load(struct keeper *k, struct unit *u)
{
	unit_enter(u, keeper_has_bytes(k, u->item.artefact) ? UNIT_READY : UNIT_QUEUED);
}

/* One that was as told and is not any more was changed by somebody else. It waits, longer each
 * time, so that two who disagree do not race. */
static void keeper_decide_repair(struct keeper *k, struct unit *u)
{
	int64_t now = clock_mono_ms();

	if (now - u->changed_at_ms > KEEPER_QUIET_MS)
		u->backoff.tries = 0;
	u->changed_at_ms = now;
	u->has_drifted = true;
	unit_fail(u, SYNC_REASON_NONE,
		  "somebody else changed or removed it in the kernel; it will be loaded again");
	log_warn("profile was changed by somebody else", log_s("profile", u->name));
	keeper_wait(k, u);
}

/* What is under way, or waits for its next try, is left alone. */
static void keeper_decide_load(struct keeper *k, struct unit *u, enum desired_action before)
{
	struct desired_facts facts = keeper_facts(k, u);
	struct err err;

	if (u->phase != UNIT_RESTING && before == DESIRED_LOAD)
		return;
	keeper_rest(k, u);
	unit_recover(u);
	/* No other try can better that: the unit rests. */
	if (policy_name_check(u->name, &err) < 0) {
		unit_fail(u, SYNC_REASON_LOAD_FAILED, err.msg);
		return;
	}
	/* What was noted before goes, and by it alone the kernel's may be known for ours. */
	if (desired_holds_next(&facts))
		record_settle(&k->record, u->name, k->boot_id);
	k->has_intentions |= record_intend(&k->record, &u->item);
	if (before == DESIRED_KEEP)
		keeper_decide_repair(k, u);
	else
		keeper_queue_load(k, u);
}

static void keeper_decide_keep(struct keeper *k, struct unit *u)
{
	struct desired_facts facts = keeper_facts(k, u);

	keeper_rest(k, u);
	unit_recover(u);
	/* One that somebody else loaded stays theirs, though it is what was told, to the last byte.
	 */
	if (u->desired.is_ours || u->item.adopt)
		record_confirm(&k->record, &u->item, k->boot_id);
	facts = keeper_facts(k, u);
	u->has_leftovers = desired_leftover(&facts, 0) != NULL;
	if (u->has_leftovers)
		unit_enter(u, UNIT_REMOVING);
}

static void keeper_decide_conflict(struct keeper *k, struct unit *u)
{
	keeper_rest(k, u);
	if (u->reason != SYNC_REASON_NAME_CONFLICT)
		log_warn("profile is not ours", log_s("profile", u->name));
	unit_fail(u, SYNC_REASON_NAME_CONFLICT,
		  "the kernel holds a profile of this name that Hauberk did not load; it is left "
		  "alone until it goes away, or until the object has the annotation "
		  "" PROFILE_ADOPT_ANNOTATION ": \"true\"");
}

static void keeper_decide_remove(struct keeper *k, struct unit *u, enum desired_action before)
{
	if (u->phase != UNIT_RESTING && before == DESIRED_REMOVE)
		return;
	keeper_rest(k, u);
	unit_recover(u);
	unit_enter(u, UNIT_REMOVING);
}

static void keeper_decide_nothing(struct keeper *k, struct unit *u)
{
	keeper_rest(k, u);
	unit_recover(u);
	if (u->desired.action == DESIRED_GONE || u->desired.action == DESIRED_NOTHING)
		record_forget(&k->record, u->name);
}

void keeper_decide(struct keeper *k, struct unit *u)
{
	struct desired_facts facts = keeper_facts(k, u);
	enum desired_action before = u->desired.action;

	u->desired = desired_decide(&facts);
	switch (u->desired.action) {
	case DESIRED_LOAD:
		keeper_decide_load(k, u, before);
		break;
	case DESIRED_KEEP:
		keeper_decide_keep(k, u);
		break;
	case DESIRED_CONFLICT:
		keeper_decide_conflict(k, u);
		break;
	case DESIRED_REMOVE:
		keeper_decide_remove(k, u, before);
		break;
	case DESIRED_NOTHING:
	case DESIRED_WAIT:
	case DESIRED_GONE:
	case DESIRED_ORPHAN:
		keeper_decide_nothing(k, u);
		break;
	}
}

static bool keeper_wants(void *data, const char *name)
{
	const struct keeper *k = data;
	const struct unit *u = map_get(&k->units, name);

	return u && !u->is_read;
}

static void keeper_found(void *data, struct aafs_tree *tree)
{
	struct keeper *k = data;
	struct unit *u = map_get(&k->units, tree->items[0].name);

	aafs_tree_clear(&u->kernel);
	u->kernel = *tree;
	*tree = (struct aafs_tree){0};
	u->is_read = true;
}

/* Read those units that are not read yet; `all`: read them all again. */
static int keeper_scan(struct keeper *k, bool all, struct err *err)
{
	bool any = false;
	size_t it = 0;
	void *value;
	int r;

	while (map_next(&k->units, &it, NULL, &value)) {
		struct unit *u = value;

		u->is_read = u->is_read && !all;
		any |= !u->is_read;
	}
	r = any ? k->kernel->scan(k->kernel->data, keeper_wants, keeper_found, k, err) : 0;
	for (it = 0; r == 0 && map_next(&k->units, &it, NULL, &value);) {
		struct unit *u = value;

		if (!u->is_read)
			aafs_tree_clear(&u->kernel);
		u->is_read = true;
	}
	return r;
}

static bool keeper_wants_one(void *data, const char *name)
{
	return strcmp(((struct unit *)data)->name, name) == 0;
}

static void keeper_found_one(void *data, struct aafs_tree *tree)
{
	struct unit *u = data;

	u->kernel = *tree;
	*tree = (struct aafs_tree){0};
}

int keeper_scan_one(struct keeper *k, struct unit *u, struct err *err)
{
	int r;

	aafs_tree_clear(&u->kernel);
	r = k->kernel->scan(k->kernel->data, keeper_wants_one, keeper_found_one, u, err);
	u->is_read = r == 0;
	return r;
}

static bool keeper_is_done_with(const struct unit *u)
{
	return !u->has_item && u->desired.action == DESIRED_NOTHING;
}

static void keeper_decide_all(struct keeper *k)
{
	size_t it = 0;
	const char *name;
	void *value;

	while (map_next(&k->units, &it, &name, &value)) {
		struct unit *u = value;

		keeper_decide(k, u);
		if (keeper_is_done_with(u))
			unit_free(map_del(&k->units, name));
	}
	keeper_wake(k);
}

/* It is all to be read again, before anything else is done. */
static void keeper_read_later(struct keeper *k, const struct err *err)
{
	k->must_read = true;
	log_warn("cannot read the kernel's policy", log_s("error", err->msg));
	keeper_arm_retry(k);
}

static int keeper_ask_revision(struct keeper *k, int64_t *ret_revision)
{
	struct err err;
	int r = k->kernel->revision(k->kernel->data, ret_revision, &err);

	if (r < 0)
		keeper_read_later(k, &err);
	return r;
}

bool keeper_kernel_moved(struct keeper *k)
{
	int64_t revision;

	return keeper_ask_revision(k, &revision) == 0 && revision != k->revision;
}

void keeper_read(struct keeper *k)
{
	struct err err;
	int64_t revision;

	if (keeper_ask_revision(k, &revision) < 0)
		return;
	if (keeper_scan(k, k->must_read || revision != k->revision, &err) < 0) {
		keeper_read_later(k, &err);
		return;
	}
	k->must_read = false;
	k->revision = revision;
	keeper_decide_all(k);
}

/* After a change of our own, which moves the revision by one: when it did, and nothing else did,
 * there is no need to read all the rest again. */
void keeper_note_own_change(struct keeper *k)
{
	int64_t revision;

	if (keeper_ask_revision(k, &revision) == 0 && revision == k->revision + 1)
		k->revision = revision;
}
