#include "api/sync_msg.h"

#include "base/base64.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

/* A text field of at most `max` bytes; a missing one is "". The copy is the caller's. */
static int sync_take_text(struct json_object *obj, const char *key, size_t max, char **ret,
			  struct err *err)
{
	struct json_object *value = js_get(obj, key);
	const char *text;

	if (!value) {
		*ret = mem_strdup("");
		return 0;
	}
	text = js_str(obj, key);
	if (!text)
		return err_set(err, -EINVAL, "%s is not text", key);
	if (strlen(text) > max)
		return err_set(err, -EINVAL, "%s is longer than %zu bytes", key, max);
	*ret = mem_strdup(text);
	return 0;
}

/* The same for one that ends up in messages: what is not printable is replaced. */
static int sync_take_words(struct json_object *obj, const char *key, size_t max, char **ret,
			   struct err *err)
{
	int r = sync_take_text(obj, key, max, ret, err);

	if (r == 0)
		str_make_printable(*ret, max);
	return r;
}

/* Hexadecimal digits, exactly `n` of them, or none at all. */
static int sync_take_hex(struct json_object *obj, const char *key, size_t n, char *ret,
			 struct err *err)
{
	const char *text = js_str_or_empty(obj, key);

	if (*text && !str_is_hex(text, n))
		return err_set(err, -EINVAL, "%s is not made of %zu hexadecimal digits", key, n);
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

static int sync_take_name(struct json_object *obj, char **ret, struct err *err)
{
	int r = sync_take_text(obj, "name", SYNC_NAME_MAX, ret, err);

	if (r == 0 && **ret == '\0')
		return err_set(err, -EINVAL, "name is missing");
	return r;
}

/* The array at a key, at most `max` long; a missing one is empty. */
static int sync_take_array(struct json_object *obj, const char *key, size_t max,
			   struct json_object **ret, size_t *ret_n, struct err *err)
{
	struct json_object *value = js_get(obj, key);

	if (value && !json_object_is_type(value, json_type_array))
		return err_set(err, -EINVAL, "%s is not a list", key);
	if (js_len(value) > max)
		return err_set(err, -EINVAL, "%s has more than %zu entries", key, max);
	*ret = value;
	*ret_n = js_len(value);
	return 0;
}

static int sync_decode_hash(struct json_object *obj, struct sync_hash *h, struct err *err)
{
	int r = sync_take_name(obj, &h->name, err);

	if (r == 0)
		r = sync_take_hex(obj, "sha1", SHA1_HEX - 1, h->sha1, err);
	if (r == 0)
		r = sync_take_hex(obj, "sha256", SHA256_HEX - 1, h->sha256, err);
	return r;
}

/* What was read so far stays in *ret on failure, for the owner's clear. */
static int sync_decode_hashes(struct json_object *obj, struct sync_hash **ret, size_t *ret_n,
			      struct err *err)
{
	struct json_object *array;
	size_t n = 0, i;
	int r = sync_take_array(obj, "hashes", SYNC_HASHES_MAX, &array, &n, err);

	if (r < 0)
		return r;
	*ret = mem_alloc(n, sizeof(**ret));
	*ret_n = n;
	for (i = 0; r == 0 && i < n; i++)
		r = sync_decode_hash(js_item(array, i), &(*ret)[i], err);
	return r < 0 ? err_wrap(err, "hashes") : 0;
}

static int sync_decode_wanted(struct json_object *obj, struct sync_item *item, struct err *err)
{
	int r;

	if (!profile_mode_parse(js_str(obj, "mode"), &item->mode))
		return err_set(err, -EINVAL, "mode is neither Enforce nor Complain");
	item->adopt = js_bool(obj, "adopt", false);
	item->artefact_size = js_i64(obj, "artefactSize", -1);
	if (item->artefact_size <= 0 || item->artefact_size > SYNC_ARTEFACT_MAX)
		return err_set(err, -EINVAL, "artefactSize is not between 1 and %d",
			       SYNC_ARTEFACT_MAX);
	r = sync_take_hex(obj, "revision", PROFILE_REVISION_SIZE - 1, item->revision, err);
	if (r == 0)
		r = sync_take_hex(obj, "artefact", SHA256_HEX - 1, item->artefact, err);
	if (r == 0 && (!*item->revision || !*item->artefact))
		r = err_set(err, -EINVAL, "revision or artefact is missing");
	if (r == 0)
		r = sync_decode_hashes(obj, &item->hashes, &item->n_hashes, err);
	if (r == 0 && item->n_hashes == 0)
		r = err_set(err, -EINVAL, "hashes are missing");
	return r;
}

static int sync_decode_item(struct json_object *obj, struct sync_item *item, struct err *err)
{
	const char *want = js_str_or_empty(obj, "want");
	int r = sync_take_name(obj, &item->name, err);

	if (r == 0)
		r = sync_take_text(obj, "uid", SYNC_NAME_MAX, &item->uid, err);
	if (r < 0)
		return r;
	if (strcmp(want, "absent") == 0)
		item->want = SYNC_ABSENT;
	else if (strcmp(want, "loaded") == 0)
		return sync_decode_wanted(obj, item, err);
	else
		return err_set(err, -EINVAL, "want \"%.40s\" is not known", want);
	return 0;
}

int sync_set_decode(struct json_object *array, struct sync_item **ret, size_t *ret_n,
		    struct err *err)
{
	struct sync_item *items;
	size_t n = js_len(array);
	size_t i;
	int r = 0;

	if (n > SYNC_ITEMS_MAX)
		return err_set(err, -EINVAL, "set has more than %d entries", SYNC_ITEMS_MAX);
	items = mem_alloc(n, sizeof(*items));
	for (i = 0; r == 0 && i < n; i++) {
		r = sync_decode_item(js_item(array, i), &items[i], err);
		if (r == 0 && i > 0 && strcmp(items[i - 1].name, items[i].name) >= 0)
			r = err_set(err, -EINVAL,
				    "the names are not in order, or one stands twice");
		if (r < 0)
			err_wrap(err, "set[%zu]", i);
	}
	if (r < 0) {
		sync_items_free(items, n);
		return r;
	}
	*ret = items;
	*ret_n = n;
	return 0;
}

static bool sync_state_parse(const char *word, enum sync_state *ret)
{
	int i;

	for (i = SYNC_STATE_PENDING; i <= SYNC_STATE_DRIFTED; i++) {
		if (strcmp(word, sync_state_name((enum sync_state)i)) == 0) {
			*ret = (enum sync_state)i;
			return true;
		}
	}
	return false;
}

/* A reason that we do not know comes from a newer agent; the message still tells a person. */
static enum sync_reason sync_reason_parse(const char *word)
{
	int i;

	for (i = SYNC_REASON_NONE; i < SYNC_REASON_COUNT; i++)
		if (strcmp(word, sync_reason_name((enum sync_reason)i)) == 0)
			return (enum sync_reason)i;
	return SYNC_REASON_LOAD_FAILED;
}

static int sync_decode_holders(struct json_object *obj, struct sync_status *s, struct err *err)
{
	struct json_object *array;
	size_t n = 0, i;
	int r = sync_take_array(obj, "holders", SYNC_HOLDERS_MAX, &array, &n, err);

	if (r < 0)
		return r;
	s->holders = mem_alloc(n, sizeof(*s->holders));
	s->n_holders = n;
	for (i = 0; r == 0 && i < n; i++) {
		struct json_object *holder = js_item(array, i);

		s->holders[i].pid = js_i64(holder, "pid", 0);
		r = sync_take_words(holder, "podUID", 64, &s->holders[i].pod_uid, err);
		if (r == 0)
			r = sync_take_words(holder, "command", 64, &s->holders[i].command, err);
	}
	return r;
}

static int sync_decode_status(struct json_object *obj, struct sync_status *s, struct err *err)
{
	int r = sync_take_name(obj, &s->name, err);

	if (r == 0)
		r = sync_take_text(obj, "uid", SYNC_NAME_MAX, &s->uid, err);
	if (r == 0)
		r = sync_take_hex(obj, "revision", PROFILE_REVISION_SIZE - 1, s->revision, err);
	if (r == 0)
		r = sync_take_hex(obj, "target", PROFILE_REVISION_SIZE - 1, s->target, err);
	if (r == 0 && !sync_state_parse(js_str_or_empty(obj, "state"), &s->state))
		r = err_set(err, -EINVAL, "state is not known");
	if (r < 0)
		return r;
	s->reason = sync_reason_parse(js_str_or_empty(obj, "reason"));
	s->fetch_us = js_i64(obj, "timings.fetchMicroseconds", 0);
	s->load_us = js_i64(obj, "timings.loadMicroseconds", 0);
	s->verify_us = js_i64(obj, "timings.verifyMicroseconds", 0);
	r = sync_take_words(obj, "message", SYNC_MESSAGE_MAX, &s->message, err);
	if (r == 0)
		r = sync_take_words(obj, "kernelMode", 32, &s->kernel_mode, err);
	if (r == 0)
		r = sync_take_hex(obj, "digest", SHA256_HEX - 1, s->digest, err);
	if (r == 0)
		r = sync_decode_hashes(obj, &s->hashes, &s->n_hashes, err);
	if (r == 0)
		r = sync_decode_holders(obj, s, err);
	return r;
}

static int sync_decode_report(struct json_object *obj, struct sync_report *report, struct err *err)
{
	struct json_object *array;
	size_t n = 0, i;
	int r;

	report->apparmor_enabled = js_bool(obj, "appArmorEnabled", false);
	r = sync_take_words(obj, "appArmorReason", SYNC_MESSAGE_MAX, &report->apparmor_reason, err);
	if (r == 0)
		r = sync_take_array(obj, "profiles", SYNC_ITEMS_MAX, &array, &n, err);
	if (r < 0)
		return r;
	report->items = mem_alloc(n, sizeof(*report->items));
	report->n = n;
	for (i = 0; r == 0 && i < n; i++) {
		r = sync_decode_status(js_item(array, i), &report->items[i], err);
		if (r == 0 && i > 0 &&
		    strcmp(report->items[i - 1].name, report->items[i].name) >= 0)
			r = err_set(err, -EINVAL,
				    "the names are not in order, or one stands twice");
		if (r < 0)
			err_wrap(err, "report.profiles[%zu]", i);
	}
	return r;
}

static int sync_decode_features(struct json_object *obj, struct sync_request *req, struct err *err)
{
	int r = sync_take_hex(obj, "features", SHA256_HEX - 1, req->features, err);
	char hash[SHA256_HEX];

	if (r < 0 || !js_get(obj, "featuresText"))
		return r;
	r = sync_take_text(obj, "featuresText", SYNC_FEATURES_MAX, &req->features_text, err);
	if (r < 0 || !req->features_text)
		return r;
	sha256_hex(req->features_text, strlen(req->features_text), hash);
	if (strcmp(hash, req->features) != 0)
		return err_set(err, -EINVAL, "features is not the hash of featuresText");
	return 0;
}

static int sync_decode_request(struct json_object *obj, struct sync_request *req, struct err *err)
{
	struct json_object *report = js_get(obj, "report");
	int r = sync_take_words(obj, "agentVersion", 64, &req->agent_version, err);

	if (r == 0)
		r = sync_take_words(obj, "kernelRelease", 128, &req->kernel_release, err);
	if (r == 0)
		r = sync_take_words(obj, "bootID", 64, &req->boot_id, err);
	if (r == 0)
		r = sync_decode_features(obj, req, err);
	if (r == 0)
		r = sync_take_hex(obj, "setHash", SHA256_HEX - 1, req->set_hash, err);
	if (r == 0)
		r = sync_take_hex(obj, "reportHash", SHA256_HEX - 1, req->report_hash, err);
	if (r < 0)
		return r;
	req->epoch = js_i64(obj, "epoch", 0);
	if (!report)
		return 0;
	if (!json_object_is_type(report, json_type_object))
		return err_set(err, -EINVAL, "report is not an object");
	if (!*req->report_hash)
		return err_set(err, -EINVAL, "a report comes without reportHash");
	req->has_report = true;
	return sync_decode_report(report, &req->report, err);
}

int sync_request_decode(struct json_object *obj, struct sync_request *ret, struct err *err)
{
	struct sync_request req = {.protocol = js_i64(obj, "protocol", 0)};
	int r = 0;

	if (req.protocol <= 0)
		r = err_set(err, -EINVAL, "protocol is missing or not a positive number");
	else if (req.protocol == SYNC_PROTOCOL)
		r = sync_decode_request(obj, &req, err);
	if (r < 0) {
		sync_request_clear(&req);
		return r;
	}
	*ret = req;
	return 0;
}

static int sync_take_one_enclosed(const char *sha256, struct json_object *value,
				  struct sync_enclosed *ret, struct err *err)
{
	struct buf bytes = BUF_INIT(SYNC_ENCLOSED_MAX);

	if (!str_is_hex(sha256, SHA256_HEX - 1) || !json_object_is_type(value, json_type_string))
		return err_set(err, -EINVAL, "policies holds what is no artefact");
	if (base64_decode(json_object_get_string(value), (size_t)json_object_get_string_len(value),
			  &bytes, err) < 0) {
		buf_clear(&bytes);
		err->code = -EINVAL;
		return err_wrap(err, "policies: %.12s", sha256);
	}
	memcpy(ret->sha256, sha256, sizeof(ret->sha256));
	ret->n = bytes.len;
	ret->bytes = buf_steal(&bytes);
	return 0;
}

static int sync_take_enclosed(struct json_object *obj, struct sync_response *res, struct err *err)
{
	struct json_object *policies = js_get(obj, "policies");
	size_t total = 0;

	if (!policies)
		return 0;
	if (!json_object_is_type(policies, json_type_object))
		return err_set(err, -EINVAL, "policies is not an object");
	res->enclosed =
	    mem_alloc((size_t)json_object_object_length(policies), sizeof(*res->enclosed));
	json_object_object_foreach(policies, sha256, value) {
		struct sync_enclosed *next = &res->enclosed[res->n_enclosed];

		if (sync_take_one_enclosed(sha256, value, next, err) < 0)
			return err->code;
		res->n_enclosed++;
		total += next->n;
		if (total > SYNC_ENCLOSED_TOTAL_MAX)
			return err_set(err, -EINVAL, "policies holds more than %d bytes",
				       SYNC_ENCLOSED_TOTAL_MAX);
	}
	return 0;
}

/* Names, ordered. With the items they are no more than a set may have. */
static int sync_take_keep(struct json_object *obj, struct sync_response *res, struct err *err)
{
	struct json_object *array;
	size_t n = 0, i;
	int r = sync_take_array(obj, "keep", SYNC_ITEMS_MAX - res->n, &array, &n, err);

	if (r < 0 || n == 0)
		return r;
	res->keep = mem_alloc(n, sizeof(*res->keep));
	for (i = 0; i < n; i++) {
		struct json_object *item = js_item(array, i);
		const char *name = json_object_get_string(item);

		if (!json_object_is_type(item, json_type_string) || !*name ||
		    strlen(name) > SYNC_NAME_MAX)
			return err_set(err, -EINVAL, "keep[%zu] is no name", i);
		if (i > 0 && strcmp(res->keep[i - 1], name) >= 0)
			return err_set(err, -EINVAL,
				       "keep[%zu] is not in order, or stands there twice", i);
		res->keep[res->n_keep++] = mem_strdup(name);
	}
	return 0;
}

int sync_response_decode(struct json_object *obj, struct sync_response *ret, struct err *err)
{
	struct sync_response res = {
	    .protocol = js_i64(obj, "protocol", 0),
	    .epoch = js_i64(obj, "epoch", 0),
	    .want_report = js_bool(obj, "wantReport", false),
	    .want_features = js_bool(obj, "wantFeatures", false),
	};
	struct json_object *set = js_get(obj, "set");
	int r;

	if (res.protocol <= 0 || res.epoch <= 0)
		return err_set(err, -EINVAL, "protocol or epoch is missing");
	r = sync_take_hex(obj, "setHash", SHA256_HEX - 1, res.set_hash, err);
	if (r < 0)
		return r;
	if (set) {
		if (!json_object_is_type(set, json_type_array))
			return err_set(err, -EINVAL, "set is not a list");
		r = sync_set_decode(set, &res.items, &res.n, err);
		if (r == 0)
			r = sync_take_keep(obj, &res, err);
		if (r == 0)
			r = sync_take_enclosed(obj, &res, err);
		if (r < 0) {
			sync_response_clear(&res);
			return r;
		}
		res.has_set = true;
	}
	*ret = res;
	return 0;
}
