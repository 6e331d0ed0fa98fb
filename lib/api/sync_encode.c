#include "api/sync_msg.h"

#include "base/base64.h"
#include "base/mem.h"

/* Empty strings are left out: the decoder reads a missing one as empty, and most are. */
static void sync_put(struct json_object *obj, const char *key, const char *text)
{
	if (text && *text)
		js_put_str(obj, key, text);
}

static struct json_object *sync_encode_hashes(const struct sync_hash *hashes, size_t n)
{
	struct json_object *array = js_new_array();
	size_t i;

	for (i = 0; i < n; i++) {
		struct json_object *obj = js_new();

		js_put_str(obj, "name", hashes[i].name);
		sync_put(obj, "sha1", hashes[i].sha1);
		sync_put(obj, "sha256", hashes[i].sha256);
		js_append(array, obj);
	}
	return array;
}

size_t sync_hashes_bytes(const struct sync_hash *hashes, size_t n)
{
	struct json_object *array = sync_encode_hashes(hashes, n);
	size_t n_bytes;

	js_print(array, &n_bytes);
	json_object_put(array);
	return n_bytes;
}

static struct json_object *sync_encode_item(const struct sync_item *item)
{
	struct json_object *obj = js_new();

	js_put_str(obj, "name", item->name);
	sync_put(obj, "uid", item->uid);
	js_put_str(obj, "want", item->want == SYNC_LOADED ? "loaded" : "absent");
	if (item->want == SYNC_ABSENT)
		return obj;
	js_put_str(obj, "revision", item->revision);
	js_put_str(obj, "mode", profile_mode_name(item->mode));
	if (item->adopt)
		js_put_bool(obj, "adopt", true);
	js_put_str(obj, "artefact", item->artefact);
	js_put_i64(obj, "artefactSize", item->artefact_size);
	js_put(obj, "hashes", sync_encode_hashes(item->hashes, item->n_hashes));
	return obj;
}

struct json_object *sync_set_encode(const struct sync_item *items, size_t n)
{
	struct json_object *array = js_new_array();
	size_t i;

	for (i = 0; i < n; i++)
		js_append(array, sync_encode_item(&items[i]));
	return array;
}

static struct json_object *sync_encode_holders(const struct sync_status *s)
{
	struct json_object *array = js_new_array();
	size_t i;

	for (i = 0; i < s->n_holders; i++) {
		struct json_object *obj = js_new();

		sync_put(obj, "podUID", s->holders[i].pod_uid);
		sync_put(obj, "command", s->holders[i].command);
		js_put_i64(obj, "pid", s->holders[i].pid);
		js_append(array, obj);
	}
	return array;
}

static struct json_object *sync_encode_timings(const struct sync_status *s)
{
	struct json_object *obj = js_new();

	js_put_i64(obj, "fetchMicroseconds", s->fetch_us);
	js_put_i64(obj, "loadMicroseconds", s->load_us);
	js_put_i64(obj, "verifyMicroseconds", s->verify_us);
	return obj;
}

struct json_object *sync_status_encode(const struct sync_status *s)
{
	struct json_object *obj = js_new();

	js_put_str(obj, "name", s->name);
	sync_put(obj, "uid", s->uid);
	sync_put(obj, "revision", s->revision);
	sync_put(obj, "target", s->target);
	js_put_str(obj, "state", sync_state_name(s->state));
	sync_put(obj, "reason", sync_reason_name(s->reason));
	sync_put(obj, "message", s->message);
	sync_put(obj, "kernelMode", s->kernel_mode);
	sync_put(obj, "digest", s->digest);
	if (s->n_hashes > 0)
		js_put(obj, "hashes", sync_encode_hashes(s->hashes, s->n_hashes));
	if (s->n_holders > 0)
		js_put(obj, "holders", sync_encode_holders(s));
	if (s->fetch_us || s->load_us || s->verify_us)
		js_put(obj, "timings", sync_encode_timings(s));
	return obj;
}

struct json_object *sync_report_encode(const struct sync_report *report)
{
	struct json_object *obj = js_new();
	struct json_object *items = js_new_array();
	size_t i;

	js_put_bool(obj, "appArmorEnabled", report->apparmor_enabled);
	sync_put(obj, "appArmorReason", report->apparmor_reason);
	for (i = 0; i < report->n; i++)
		js_append(items, sync_status_encode(&report->items[i]));
	js_put(obj, "profiles", items);
	return obj;
}

struct json_object *sync_request_encode(const struct sync_request *req)
{
	struct json_object *obj = js_new();

	js_put_i64(obj, "protocol", req->protocol);
	sync_put(obj, "agentVersion", req->agent_version);
	sync_put(obj, "kernelRelease", req->kernel_release);
	sync_put(obj, "bootID", req->boot_id);
	sync_put(obj, "features", req->features);
	sync_put(obj, "featuresText", req->features_text);
	js_put_i64(obj, "epoch", req->epoch);
	sync_put(obj, "setHash", req->set_hash);
	sync_put(obj, "reportHash", req->report_hash);
	if (req->has_report)
		js_put(obj, "report", sync_report_encode(&req->report));
	return obj;
}

bool sync_enclosed_print(const struct sync_enclosed *enclosed, size_t n, struct buf *ret)
{
	bool ok = true;
	size_t i;

	if (n == 0)
		return true;
	ok = buf_add_str(ret, ",\"policies\":{");
	for (i = 0; ok && i < n; i++)
		ok = buf_addf(ret, "%s\"%s\":\"", i > 0 ? "," : "", enclosed[i].sha256) &&
		     base64_encode(enclosed[i].bytes, enclosed[i].n, ret) && buf_add_str(ret, "\"");
	return ok && buf_add_str(ret, "}");
}

static struct json_object *sync_encode_enclosed(const struct sync_enclosed *enclosed, size_t n)
{
	struct json_object *obj = js_new();
	size_t i;

	for (i = 0; i < n; i++) {
		CLEANUP(buf_clear) struct buf text = BUF_INIT(2 * SYNC_ENCLOSED_MAX);

		base64_encode(enclosed[i].bytes, enclosed[i].n, &text);
		js_put_str(obj, enclosed[i].sha256, buf_text(&text));
	}
	return obj;
}

struct json_object *sync_keep_encode(const char *const *names, size_t n)
{
	struct json_object *array = js_new_array();
	size_t i;

	for (i = 0; i < n; i++)
		js_append(array, js_text(names[i]));
	return array;
}

struct json_object *sync_response_encode(const struct sync_response *res)
{
	struct json_object *obj = js_new();

	js_put_i64(obj, "protocol", res->protocol);
	js_put_i64(obj, "epoch", res->epoch);
	sync_put(obj, "setHash", res->set_hash);
	if (res->has_set)
		js_put(obj, "set", sync_set_encode(res->items, res->n));
	if (res->n_keep > 0)
		js_put(obj, "keep", sync_keep_encode((const char *const *)res->keep, res->n_keep));
	if (res->n_enclosed > 0)
		js_put(obj, "policies", sync_encode_enclosed(res->enclosed, res->n_enclosed));
	if (res->want_report)
		js_put_bool(obj, "wantReport", true);
	if (res->want_features)
		js_put_bool(obj, "wantFeatures", true);
	return obj;
}
