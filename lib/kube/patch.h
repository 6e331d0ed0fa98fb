#pragma once

/*
 * Ways to write an object. Every write counts: callers first ask merge_patch_diff() whether there
 * is anything to change.
 *
 * The functions that start a request are kube_request_start() with the right method, type and
 * query; they try up to three times (see kube_request_spec.tries). `patch` and `obj` stay the
 * caller's.
 */

#include "kube/client.h"

/* The name under which our fields are kept in managedFields, the same for ever. */
#define KUBE_FIELD_MANAGER "hauberk-controller"

/* RFC 7386. What turns `from` into `to`: NULL where they are equal, else an object the caller owns.
 * Both are objects; a NULL `from` counts as an empty one. A null inside `to` cannot be expressed by
 * a merge patch and counts as an absent field. */
struct json_object *merge_patch_diff(struct json_object *from, struct json_object *to);

/* `target` with `patch` applied, as a new value that the caller owns. */
struct json_object *merge_patch_apply(struct json_object *target, struct json_object *patch);

struct kube_request *kube_get(struct kube_client *client, const char *path, kube_done_fn done,
			      void *data);

/* `path` is the collection's. */
struct kube_request *kube_create(struct kube_client *client, const char *path,
				 struct json_object *obj, kube_done_fn done, void *data);

/* A merge patch on the object at `path`. Where it carries metadata.resourceVersion, a stale one is
 * KUBE_CONFLICT. */
struct kube_request *kube_merge_patch(struct kube_client *client, const char *path,
				      struct json_object *patch, kube_done_fn done, void *data);

/* A merge patch of `status` on the object's /status that holds only for `resource_version`. */
struct kube_request *kube_status_patch(struct kube_client *client, const char *path,
				       const char *resource_version, struct json_object *status,
				       kube_done_fn done, void *data);

/* Server-side apply with force under KUBE_FIELD_MANAGER. `obj` has apiVersion, kind and
 * metadata.name and every field that we own, each time. */
struct kube_request *kube_apply(struct kube_client *client, const char *path,
				struct json_object *obj, kube_done_fn done, void *data);

/* In the background; only the object with that uid where one is given. */
struct kube_request *kube_delete(struct kube_client *client, const char *path, const char *uid,
				 kube_done_fn done, void *data);
