#include "keeper_priv.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/*
 * The happy path:
 *
 *  - keeper_tell() gives each profile's unit its item, reads the kernel and decides. What is to be
 *    loaded is noted in the record, as an intention, and its unit queued.
 *  - The loop turns. Each turn does one piece of work, so that the network is served in between:
 *    places for fetches are filled; while they are under way the record is written, before anything
 *    is loaded; one unit that is ready is loaded and read back; when none is, those to be removed
 *    are removed.
 *  - When nothing is left to do `changed` is called, which sends the report; then the artefacts
 * that came with the set are put on disk, and the turning stops. A moment later the record is
 * written once more.
 *
 * What else can happen:
 *
 *  - Something fails: its unit waits, with a reason, and the retry timer queues it again. The
 * others go on.
 *  - The kernel's revision moves, and not by our own doing: everything is read again and decided
 *    anew before the next load. While it cannot be read, nothing is loaded and nothing removed.
 *  - A profile to be removed is in use: its unit drains, `drain` wakes us when a task ends, and the
 *    next turn looks again.
 *  - The set changes while its units are under way: what is under way for an item that changed is
 *    dropped.
 *  - The record cannot be written: nothing is loaded, for then nobody would know whose it is.
 */

enum { KEEPER_READ_AGAIN_MS = 1000, KEEPER_SAVE_MS = 100 };

static void keeper_on_turn(uv_idle_t *turn);
static void keeper_on_retry(uv_timer_t *timer);

void keeper_wake(struct keeper *k)
{
	k->is_told = false;
	uv_idle_start(&k->turn, keeper_on_turn);
}

/* One timer, for the unit that is due first; none while no unit waits. */
void keeper_arm_retry(struct keeper *k)
{
	int64_t now = clock_mono_ms();
	int64_t first = k->must_read ? now + KEEPER_READ_AGAIN_MS : INT64_MAX;
	size_t it = 0;
	void *value;

	while (map_next(&k->units, &it, NULL, &value)) {
		const struct unit *u = value;

		if (u->phase == UNIT_WAITING && u->retry_at_ms < first)
			first = u->retry_at_ms;
	}
	uv_timer_stop(&k->retry);
	if (first != INT64_MAX)
		uv_timer_start(&k->retry, keeper_on_retry,
			       first > now ? (uint64_t)(first - now) : 0, 0);
}

struct unit *keeper_find(const struct keeper *k, enum unit_phase phase)
{
	size_t it = 0;
	void *value;

	while (map_next(&k->units, &it, NULL, &value))
		if (((struct unit *)value)->phase == phase)
			return value;
	return NULL;
}

/* That something was loaded is less than that it was going to be, which is on disk already. */
static void keeper_save_record(struct keeper *k)
{
	struct err err;

	if (record_save(&k->record, &err) < 0)
		log_warn("record is not written", log_s("error", err.msg));
}

static void keeper_on_save(uv_timer_t *timer)
{
	keeper_save_record(container_of(timer, struct keeper, save));
}

/* True when there was something to do. */
static bool keeper_do_some(struct keeper *k)
{
	struct unit *u;

	if (keeper_kernel_moved(k))
		keeper_read(k);
	if (k->must_read)
		return false;
	/* Writing takes its time, in which the kernel may move: the next turn looks again. */
	if (keeper_start_fetches(k) || keeper_write_intentions(k))
		return true;
	u = keeper_find(k, UNIT_READY);
	if (u)
		keeper_load(k, u);
	return u || keeper_remove_some(k);
}

static void keeper_on_turn(uv_idle_t *turn)
{
	struct keeper *k = container_of(turn, struct keeper, turn);

	if (k->kernel && keeper_do_some(k))
		return;
	if (!k->is_told) {
		k->is_told = true;
		keeper_watch_holders(k);
		k->changed(k->data);
	}
	if (keeper_keep_offered(k))
		return;
	uv_idle_stop(turn);
	if (!keeper_is_busy(k) && !uv_is_active((uv_handle_t *)&k->save))
		uv_timer_start(&k->save, keeper_on_save, KEEPER_SAVE_MS, 0);
}

static void keeper_retry(struct keeper *k, struct unit *u)
{
	if (u->desired.action == DESIRED_LOAD)
		keeper_queue_load(k, u);
	else if (u->desired.action == DESIRED_REMOVE)
		unit_enter(u, UNIT_REMOVING);
	else
		keeper_decide(k, u);
}

static void keeper_on_retry(uv_timer_t *timer)
{
	struct keeper *k = container_of(timer, struct keeper, retry);
	int64_t now = clock_mono_ms();
	size_t it = 0;
	void *value;

	if (k->must_read)
		keeper_read(k);
	while (!k->must_read && map_next(&k->units, &it, NULL, &value)) {
		struct unit *u = value;

		if (u->phase == UNIT_WAITING && u->retry_at_ms <= now)
			keeper_retry(k, u);
	}
	keeper_arm_retry(k);
	keeper_wake(k);
}

/* ---- telling ---- */

static struct unit *keeper_unit(struct keeper *k, const char *name)
{
	struct unit *u = map_get(&k->units, name);

	if (u)
		return u;
	u = unit_new(name);
	u->keeper = k;
	map_put(&k->units, name, u);
	return u;
}

/* Nothing of what was going on for the former item goes on. */
static void keeper_start_over(struct keeper *k, struct unit *u)
{
	keeper_rest(k, u);
	unit_recover(u);
	u->desired = (struct desired){0};
	u->backoff.tries = 0;
	u->has_leftovers = false;
	u->fetch_us = u->load_us = u->verify_us = 0;
}

static bool keeper_is_same(const struct unit *u, const struct sync_item *item)
{
	return u->has_item && u->item.want == item->want && u->item.mode == item->mode &&
	       strcmp(u->item.revision, item->revision) == 0 &&
	       strcmp(u->item.artefact, item->artefact) == 0;
}

static void keeper_give(struct keeper *k, struct sync_item *item)
{
	struct unit *u = keeper_unit(k, item->name);

	if (!keeper_is_same(u, item))
		keeper_start_over(k, u);
	sync_item_clear(&u->item);
	u->item = *item;
	*item = (struct sync_item){0};
	u->has_item = true;
	u->is_seen = true;
}

static void keeper_take_away(struct keeper *k, struct unit *u)
{
	if (!u->has_item)
		return;
	keeper_start_over(k, u);
	sync_item_clear(&u->item);
	u->has_item = false;
}

/* Where the kernel takes no policy, nothing is decided and everything wanted has failed. */
static void keeper_tell_off(struct keeper *k)
{
	size_t it = 0;
	const char *name;
	void *value;

	while (map_next(&k->units, &it, &name, &value)) {
		struct unit *u = value;

		if (!u->has_item && !record_get(&k->record, name)) {
			unit_free(map_del(&k->units, name));
			continue;
		}

		if (u->has_item && u->item.want == SYNC_LOADED)
			unit_fail(u, SYNC_REASON_APPARMOR_OFF, k->off_reason);
		else if (u->has_item)
			u->desired.action = DESIRED_GONE;
	}
}

void keeper_tell(struct keeper *k, struct sync_item *items, size_t n, bool is_old)
{
	size_t it = 0;
	void *value;
	size_t i;

	k->set_is_old = is_old;
	while (map_next(&k->units, &it, NULL, &value))
		((struct unit *)value)->is_seen = false;
	for (i = 0; i < n; i++)
		keeper_give(k, &items[i]);
	for (it = 0; map_next(&k->units, &it, NULL, &value);)
		if (!((struct unit *)value)->is_seen)
			keeper_take_away(k, value);
	sync_items_free(items, n);
	if (k->kernel)
		keeper_read(k);
	else
		keeper_tell_off(k);
	k->changed(k->data);
}

void keeper_confirm(struct keeper *k)
{
	if (!k->set_is_old)
		return;
	k->set_is_old = false;
	if (k->kernel)
		keeper_read(k);
	k->changed(k->data);
}

void keeper_look(struct keeper *k)
{
	if (!k->kernel || !keeper_kernel_moved(k))
		return;
	keeper_read(k);
	k->changed(k->data);
}

/* ---- reporting ---- */

bool keeper_is_busy(const struct keeper *k)
{
	size_t it = 0;
	void *value;

	while (map_next(&k->units, &it, NULL, &value))
		if (unit_is_busy(value))
			return true;
	return false;
}

static int keeper_compare(const void *a, const void *b)
{
	return strcmp(((const struct sync_status *)a)->name, ((const struct sync_status *)b)->name);
}

/* Of an orphan only the record knows for which object it was loaded. */
static void keeper_name_owner(const struct keeper *k, struct sync_status *s)
{
	const struct record_entry *e = record_get(&k->record, s->name);

	if (e && s->state == SYNC_STATE_ORPHAN)
		mem_replace(&s->uid, mem_strdup(e->uid));
}

/* What was told comes first: orphans are left out where the report has no room for them. */
static void keeper_report_some(const struct keeper *k, bool told, struct sync_report *report)
{
	size_t it = 0;
	void *value;

	while (report->n < SYNC_ITEMS_MAX && map_next(&k->units, &it, NULL, &value)) {
		const struct unit *u = value;

		if (u->has_item == told && unit_status(u, &report->items[report->n]))
			keeper_name_owner(k, &report->items[report->n++]);
	}
}

void keeper_report(const struct keeper *k, struct sync_report *ret)
{
	*ret = (struct sync_report){
	    .items = mem_alloc(k->units.n, sizeof(*ret->items)),
	    .apparmor_enabled = k->kernel != NULL,
	    .apparmor_reason = mem_strdup(k->kernel ? "" : k->off_reason),
	};
	keeper_report_some(k, true, ret);
	keeper_report_some(k, false, ret);
	qsort(ret->items, ret->n, sizeof(*ret->items), keeper_compare);
	sync_report_fit(ret);
}

static int keeper_compare_items(const void *a, const void *b)
{
	return strcmp(((const struct sync_item *)a)->name, ((const struct sync_item *)b)->name);
}

struct sync_item *keeper_items(const struct keeper *k, size_t *ret_n)
{
	struct sync_item *items = mem_alloc(k->units.n, sizeof(*items));
	size_t it = 0;
	size_t n = 0;
	void *value;

	while (map_next(&k->units, &it, NULL, &value))
		if (((const struct unit *)value)->has_item)
			items[n++] = ((const struct unit *)value)->item;
	qsort(items, n, sizeof(*items), keeper_compare_items);
	*ret_n = n;
	return items;
}

/* ---- beginning and end ---- */

static void keeper_free_unit(void *value)
{
	unit_free(value);
}

static int keeper_open_disk(struct keeper *k, const struct keeper_spec *spec, struct err *err)
{
	CLEANUP(mem_freep) char *record = mem_printf("%s/record.json", spec->state_dir);
	CLEANUP(mem_freep) char *policies = mem_printf("%s/policies", spec->state_dir);
	struct err damage;
	size_t it = 0;
	const char *name;
	void *entry;

	record_init(&k->record, record);
	if (record_load(&k->record, &damage) < 0)
		log_error("what was loaded before is not known, so none of it is taken for ours",
			  log_s("error", damage.msg));
	while (map_next(&k->record.entries, &it, &name, &entry))
		keeper_unit(k, name);
	return policy_cache_init(&k->cache, policies, spec->cache_max_bytes, err);
}

static void keeper_free(struct keeper *k)
{
	record_deinit(&k->record);
	policy_cache_deinit(&k->cache);
	map_clear(&k->offered, NULL);
	free(k->boot_id);
	free(k->off_reason);
	free(k);
}

int keeper_new(const struct keeper_spec *spec, struct keeper **ret, struct err *err)
{
	struct keeper *k = MEM_NEW(struct keeper);
	int r;

	*k = (struct keeper){
	    .loop = spec->loop,
	    .kernel = spec->kernel,
	    .off_reason = mem_strdup(spec->off_reason),
	    .fetcher = spec->fetcher,
	    .changed = spec->changed,
	    .data = spec->data,
	    .boot_id = mem_strdup(spec->boot_id),
	    .set_is_old = true,
	};
	r = keeper_open_disk(k, spec, err);
	if (r < 0) {
		map_clear(&k->units, keeper_free_unit);
		keeper_free(k);
		return r;
	}
	uv_idle_init(k->loop, &k->turn);
	uv_timer_init(k->loop, &k->retry);
	uv_timer_init(k->loop, &k->save);
	uv_timer_init(k->loop, &k->slow);
	drain_init(&k->drain, k->loop, keeper_on_task_ended, k);
	*ret = k;
	return 0;
}

static void keeper_on_closed(uv_handle_t *handle)
{
	struct keeper *k = handle->data;

	if (--k->n_handles == 0)
		keeper_free(k);
}

static void keeper_close_handle(struct keeper *k, uv_handle_t *handle)
{
	handle->data = k;
	k->n_handles++;
	uv_close(handle, keeper_on_closed);
}

void keeper_close(struct keeper *k)
{
	size_t it = 0;
	void *value;

	if (!k)
		return;
	while (map_next(&k->units, &it, NULL, &value))
		keeper_rest(k, value);
	while (keeper_keep_offered(k))
		;
	map_clear(&k->offered, NULL);
	map_clear(&k->units, keeper_free_unit);
	keeper_save_record(k);
	drain_watch(&k->drain, NULL, 0);
	keeper_close_handle(k, (uv_handle_t *)&k->turn);
	keeper_close_handle(k, (uv_handle_t *)&k->retry);
	keeper_close_handle(k, (uv_handle_t *)&k->save);
	keeper_close_handle(k, (uv_handle_t *)&k->slow);
	keeper_close_handle(k, (uv_handle_t *)&k->drain.timer);
}
