#include "kube/patch.h"

#include "base/buf.h"
#include "base/mem.h"
#include "kube/query.h"

#include <stdlib.h>

enum { PATCH_TRIES = 3 };

#define PATCH_MERGE "application/merge-patch+json"
#define PATCH_APPLY "application/apply-patch+yaml" /* JSON is YAML */

static bool patch_is_object(struct json_object *value)
{
	return json_object_is_type(value, json_type_object);
}

/* Put into `patch` what is in `to` and not the same in `from`. */
static void patch_diff_present(struct json_object *patch, struct json_object *from,
			       struct json_object *to)
{
	json_object_object_foreach(to, key, value) {
		struct json_object *old = js_get(from, key);

		if (!value || json_object_equal(old, value))
			continue;
		if (patch_is_object(old) && patch_is_object(value)) {
			struct json_object *inner = merge_patch_diff(old, value);

			if (inner)
				js_put(patch, key, inner);
		} else {
			/* An object in the place of none must bring no nulls along. */
			js_put(patch, key, merge_patch_apply(NULL, value));
		}
	}
}

static void patch_diff_absent(struct json_object *patch, struct json_object *from,
			      struct json_object *to)
{
	json_object_object_foreach(from, key, value) {
		if (value && !js_get(to, key))
			js_put(patch, key, NULL);
	}
}

struct json_object *merge_patch_diff(struct json_object *from, struct json_object *to)
{
	struct json_object *patch = js_new();

	patch_diff_present(patch, from, to);
	if (from)
		patch_diff_absent(patch, from, to);
	if (json_object_object_length(patch) > 0)
		return patch;
	json_object_put(patch);
	return NULL;
}

static struct json_object *patch_copy(struct json_object *value)
{
	struct json_object *copy = NULL;

	if (value && json_object_deep_copy(value, &copy, NULL))
		abort(); /* out of memory only */
	return copy;
}

struct json_object *merge_patch_apply(struct json_object *target, struct json_object *patch)
{
	struct json_object *result;

	if (!patch_is_object(patch))
		return patch_copy(patch);
	result = patch_is_object(target) ? patch_copy(target) : js_new();
	json_object_object_foreach(patch, key, value) {
		if (value)
			js_put(result, key, merge_patch_apply(js_get(result, key), value));
		else
			json_object_object_del(result, key);
	}
	return result;
}

struct kube_request *kube_get(struct kube_client *client, const char *path, kube_done_fn done,
			      void *data)
{
	const struct kube_request_spec spec = {.method = "GET", .path = path, .tries = PATCH_TRIES};

	return kube_request_start(client, &spec, done, data);
}

/* A write under our field manager's name. */
static struct kube_request *patch_write(struct kube_client *client, struct kube_request_spec *spec,
					kube_done_fn done, void *data)
{
	spec->query = spec->query ? spec->query : "fieldManager=" KUBE_FIELD_MANAGER;
	spec->tries = PATCH_TRIES;
	return kube_request_start(client, spec, done, data);
}

struct kube_request *kube_create(struct kube_client *client, const char *path,
				 struct json_object *obj, kube_done_fn done, void *data)
{
	struct kube_request_spec spec = {.method = "POST", .path = path, .body = obj};

	return patch_write(client, &spec, done, data);
}

struct kube_request *kube_merge_patch(struct kube_client *client, const char *path,
				      struct json_object *patch, kube_done_fn done, void *data)
{
	struct kube_request_spec spec = {
	    .method = "PATCH", .path = path, .body = patch, .content_type = PATCH_MERGE};

	return patch_write(client, &spec, done, data);
}

struct kube_request *kube_status_patch(struct kube_client *client, const char *path,
				       const char *resource_version, struct json_object *status,
				       kube_done_fn done, void *data)
{
	CLEANUP(mem_freep) char *status_path = mem_printf("%s/status", path);
	CLEANUP(js_putp) struct json_object *patch = js_new();
	struct json_object *metadata = js_new();

	js_put_str(metadata, "resourceVersion", resource_version);
	js_put(patch, "metadata", metadata);
	js_put(patch, "status", json_object_get(status));
	return kube_merge_patch(client, status_path, patch, done, data);
}

struct kube_request *kube_apply(struct kube_client *client, const char *path,
				struct json_object *obj, kube_done_fn done, void *data)
{
	struct kube_request_spec spec = {
	    .method = "PATCH",
	    .path = path,
	    .query = "fieldManager=" KUBE_FIELD_MANAGER "&force=true",
	    .body = obj,
	    .content_type = PATCH_APPLY,
	};

	return patch_write(client, &spec, done, data);
}

struct kube_request *kube_delete(struct kube_client *client, const char *path, const char *uid,
				 kube_done_fn done, void *data)
{
	CLEANUP(js_putp) struct json_object *options = js_new();
	struct kube_request_spec spec = {
	    .method = "DELETE", .path = path, .body = options, .tries = PATCH_TRIES};

	js_put_str(options, "propagationPolicy", "Background");
	if (uid) {
		struct json_object *preconditions = js_new();

		js_put_str(preconditions, "uid", uid);
		js_put(options, "preconditions", preconditions);
	}
	return kube_request_start(client, &spec, done, data);
}
