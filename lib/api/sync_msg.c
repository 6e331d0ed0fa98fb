#include "api/sync_msg.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const char *const sync_states[] = {
    [SYNC_STATE_PENDING] = "Pending", [SYNC_STATE_LOADED] = "Loaded",
    [SYNC_STATE_FAILED] = "Failed",   [SYNC_STATE_DRAINING] = "Draining",
    [SYNC_STATE_ABSENT] = "Absent",   [SYNC_STATE_ORPHAN] = "Orphan",
    [SYNC_STATE_DRIFTED] = "Drifted",
};

static const char *const sync_reasons[] = {
    [SYNC_REASON_NONE] = "",
    [SYNC_REASON_NAME_CONFLICT] = "NameConflict",
    [SYNC_REASON_FETCH_FAILED] = "FetchFailed",
    [SYNC_REASON_BAD_ARTEFACT] = "BadArtefact",
    [SYNC_REASON_LOAD_FAILED] = "LoadFailed",
    [SYNC_REASON_VERIFY_FAILED] = "VerifyFailed",
    [SYNC_REASON_REMOVE_FAILED] = "RemoveFailed",
    [SYNC_REASON_DISK_FULL] = "DiskFull",
    [SYNC_REASON_APPARMOR_OFF] = "AppArmorOff",
};

const char *sync_state_name(enum sync_state state)
{
	return sync_states[state];
}

const char *sync_reason_name(enum sync_reason reason)
{
	return sync_reasons[reason];
}

static void sync_hash_of(struct json_object *obj, char out[SHA256_HEX])
{
	const char *text;
	size_t n;

	text = js_print(obj, &n);
	sha256_hex(text, n, out);
	json_object_put(obj);
}

/* Without the timings: a repeated load that changes nothing else is no news. */
void sync_report_hash(const struct sync_report *report, char out[SHA256_HEX])
{
	struct json_object *obj = sync_report_encode(report);
	struct json_object *items = js_array(obj, "profiles");
	size_t i;

	for (i = 0; i < js_len(items); i++)
		json_object_object_del(js_item(items, i), "timings");
	sync_hash_of(obj, out);
}

void sync_hashes_free(struct sync_hash *hashes, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(hashes[i].name);
	free(hashes);
}

void sync_hashes_copy(const struct sync_hash *from, size_t n, struct sync_hash **ret)
{
	size_t i;

	*ret = mem_alloc(n, sizeof(**ret));
	for (i = 0; i < n; i++) {
		(*ret)[i] = from[i];
		(*ret)[i].name = mem_strdup(from[i].name);
	}
}

void sync_item_copy(const struct sync_item *from, struct sync_item *ret)
{
	*ret = *from;
	ret->name = mem_strdup(from->name);
	ret->uid = mem_strdup(from->uid);
	sync_hashes_copy(from->hashes, from->n_hashes, &ret->hashes);
}

void sync_item_clear(struct sync_item *item)
{
	free(item->name);
	free(item->uid);
	sync_hashes_free(item->hashes, item->n_hashes);
	*item = (struct sync_item){0};
}

void sync_items_free(struct sync_item *items, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		sync_item_clear(&items[i]);
	free(items);
}

void sync_holders_free(struct sync_holder *holders, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(holders[i].pod_uid);
		free(holders[i].command);
	}
	free(holders);
}

void sync_status_clear(struct sync_status *status)
{
	free(status->name);
	free(status->uid);
	free(status->message);
	free(status->kernel_mode);
	sync_hashes_free(status->hashes, status->n_hashes);
	sync_holders_free(status->holders, status->n_holders);
	*status = (struct sync_status){0};
}

void sync_report_clear(struct sync_report *report)
{
	size_t i;

	for (i = 0; i < report->n; i++)
		sync_status_clear(&report->items[i]);
	free(report->items);
	free(report->apparmor_reason);
	*report = (struct sync_report){0};
}

void sync_request_clear(struct sync_request *req)
{
	free(req->agent_version);
	free(req->kernel_release);
	free(req->boot_id);
	free(req->features_text);
	sync_report_clear(&req->report);
	*req = (struct sync_request){0};
}

void sync_enclosed_free(struct sync_enclosed *enclosed, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(enclosed[i].bytes);
	free(enclosed);
}

static int sync_compare_items(const void *a, const void *b)
{
	return strcmp(((const struct sync_item *)a)->name, ((const struct sync_item *)b)->name);
}

static const struct sync_item *sync_item_find(const struct sync_item *items, size_t n, char *name)
{
	const struct sync_item key = {.name = name};

	return n > 0 ? bsearch(&key, items, n, sizeof(key), sync_compare_items) : NULL;
}

static void sync_keep_free(struct sync_response *res)
{
	size_t i;

	for (i = 0; i < res->n_keep; i++)
		free(res->keep[i]);
	free(res->keep);
	res->keep = NULL;
	res->n_keep = 0;
}

void sync_response_keep(struct sync_response *res, const struct sync_item *former, size_t n)
{
	size_t told = res->n, i;

	if (res->n_keep == 0)
		return;
	res->items = mem_resize(res->items, told + res->n_keep, sizeof(*res->items));
	for (i = 0; i < res->n_keep; i++) {
		const struct sync_item *item = sync_item_find(former, n, res->keep[i]);

		if (item && item->want == SYNC_LOADED &&
		    !sync_item_find(res->items, told, res->keep[i]))
			sync_item_copy(item, &res->items[res->n++]);
	}
	qsort(res->items, res->n, sizeof(*res->items), sync_compare_items);
	sync_keep_free(res);
}

void sync_response_clear(struct sync_response *res)
{
	sync_keep_free(res);
	sync_enclosed_free(res->enclosed, res->n_enclosed);
	sync_items_free(res->items, res->n);
	*res = (struct sync_response){0};
}
