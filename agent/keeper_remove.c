#include "keeper_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEEPER_FRESH_US = 20000 };

static void keeper_want_uses(struct map *uses, const char *name)
{
	if (!map_get(uses, name))
		map_put(uses, name, MEM_NEW(struct tasks_use));
}

static void keeper_free_use(void *value)
{
	tasks_use_clear(value);
	free(value);
}

/* The names that are to go: units themselves, or children left over. */
static void keeper_collect_uses(struct keeper *k, struct map *uses)
{
	size_t it = 0;
	void *value;

	while (map_next(&k->units, &it, NULL, &value)) {
		const struct unit *u = value;
		struct desired_facts facts = keeper_facts(k, u);
		const char *child;
		size_t i;

		if (u->phase != UNIT_REMOVING)
			continue;
		if (!u->has_leftovers)
			keeper_want_uses(uses, u->name);
		for (i = 0; (child = desired_leftover(&facts, i)); i++)
			keeper_want_uses(uses, child);
	}
}

/* Take one name out of the kernel; the caller has seen that nothing uses it. */
static int keeper_remove_name(struct keeper *k, const char *name, struct err *err)
{
	int r = k->kernel->remove(k->kernel->data, name, err);

	if (r == -ENOENT)
		r = 0;
	if (r == 0)
		keeper_note_own_change(k);
	return r;
}

/* What was not looked for counts as used. */
static bool keeper_is_used(const struct map *uses, const char *name)
{
	const struct tasks_use *use = map_get(uses, name);

	return !use || use->n > 0;
}

static void keeper_drain(struct unit *u, struct tasks_use *use)
{
	unit_enter(u, UNIT_DRAINING);
	tasks_use_clear(&u->use);
	if (!use)
		return;
	u->use = *use;
	*use = (struct tasks_use){0};
}

static void keeper_say_used(struct unit *u, const struct tasks_use *use)
{
	char message[64];

	snprintf(message, sizeof(message), "in use by %zu process%s", use ? use->n : 0,
		 use && use->n == 1 ? "" : "es");
	unit_fail(u, SYNC_REASON_NONE, message);
}

static void keeper_remove_unit(struct keeper *k, struct unit *u, const struct map *uses)
{
	struct err err;
	int r;

	if (keeper_is_used(uses, u->name)) {
		keeper_say_used(u, map_get(uses, u->name));
		keeper_drain(u, map_get(uses, u->name));
		return;
	}
	r = keeper_remove_name(k, u->name, &err);
	if (r == 0)
		r = keeper_scan_one(k, u, &err);
	if (r < 0) {
		keeper_fail(k, u, SYNC_REASON_REMOVE_FAILED, &err);
		return;
	}
	log_info("profile removed", log_s("profile", u->name));
	keeper_decide(k, u);
}

/* The profile is as told all the while, so this is no failure of its own. */
static void keeper_fail_leftovers(struct keeper *k, struct unit *u, const struct err *err)
{
	log_warn("cannot remove children of a former revision", log_s("profile", u->name),
		 log_s("error", err->msg));
	unit_fail(u, SYNC_REASON_NONE, err->msg);
	keeper_wait(k, u);
}

static void keeper_end_leftovers(struct keeper *k, struct unit *u)
{
	struct err err;

	if (keeper_scan_one(k, u, &err) < 0) {
		k->must_read = true;
		keeper_fail_leftovers(k, u, &err);
		return;
	}
	record_drop_leftovers(&k->record, &u->item);
	keeper_decide(k, u);
}

/* Children of a former version: each goes by itself. */
static void keeper_remove_leftovers(struct keeper *k, struct unit *u, const struct map *uses)
{
	struct desired_facts facts = keeper_facts(k, u);
	const char *busy = NULL;
	const char *child;
	struct err err;
	size_t i;

	for (i = 0; (child = desired_leftover(&facts, i)); i++) {
		if (keeper_is_used(uses, child)) {
			busy = child;
		} else if (keeper_remove_name(k, child, &err) < 0) {
			keeper_fail_leftovers(k, u, &err);
			return;
		}
	}
	if (!busy) {
		keeper_end_leftovers(k, u);
		return;
	}
	unit_fail(u, SYNC_REASON_NONE,
		  "a child of a former revision is still in use and stays so long");
	keeper_drain(u, map_get(uses, busy));
}

static void keeper_remove_one(struct keeper *k, struct unit *u, const struct map *uses)
{
	if (u->has_leftovers)
		keeper_remove_leftovers(k, u, uses);
	else
		keeper_remove_unit(k, u, uses);
}

static void keeper_fail_removal(struct keeper *k, struct unit *u, const struct err *err)
{
	if (u->has_leftovers)
		keeper_fail_leftovers(k, u, err);
	else
		keeper_fail(k, u, SYNC_REASON_REMOVE_FAILED, err);
}

/* One look at the tasks serves all that are to be removed, as long as it is fresh: each removal has
 * to come right after it, and right after means nothing shorter than the look itself took. */
bool keeper_remove_some(struct keeper *k)
{
	struct map uses = {0};
	struct unit *u = keeper_find(k, UNIT_REMOVING);
	int64_t start_us = clock_mono_us();
	int64_t stale_us;
	struct err err;
	int r;

	if (!u)
		return false;
	keeper_collect_uses(k, &uses);
	r = k->kernel->tasks(k->kernel->data, &uses, &err);
	stale_us = 2 * clock_mono_us() - start_us + KEEPER_FRESH_US;
	for (; u && (r < 0 || clock_mono_us() < stale_us); u = keeper_find(k, UNIT_REMOVING)) {
		if (r < 0)
			keeper_fail_removal(k, u, &err);
		else
			keeper_remove_one(k, u, &uses);
	}
	map_clear(&uses, keeper_free_use);
	return true;
}

void keeper_on_task_ended(void *data)
{
	struct keeper *k = data;
	struct unit *u;

	while ((u = keeper_find(k, UNIT_DRAINING)))
		unit_enter(u, UNIT_REMOVING);
	keeper_wake(k);
}

void keeper_watch_holders(struct keeper *k)
{
	int64_t pids[DRAIN_WATCHED_MAX];
	size_t n = 0;
	size_t it = 0;
	void *value;

	while (map_next(&k->units, &it, NULL, &value)) {
		const struct unit *u = value;
		size_t i;

		for (i = 0; u->phase == UNIT_DRAINING && i < u->use.n_holders; i++)
			if (n < DRAIN_WATCHED_MAX)
				pids[n++] = u->use.holders[i].pid;
	}
	drain_watch(&k->drain, pids, n);
}
