#pragma once

/*
 * Events, as `kubectl describe` and `kubectl get events` show them.
 *
 * What repeats is counted in one Event; more than ten in ten minutes that differ in their message
 * alone become one; an object gets 25 in a burst and then one in five minutes. The rest is dropped,
 * as is what the API server does not take: an Event is a courtesy. Source: client-go's
 * tools/record.
 */

#include "kube/client.h"

struct kube_recorder;

enum kube_event_type { KUBE_EVENT_NORMAL, KUBE_EVENT_WARNING };

/* The object that an Event is about. */
struct kube_object_ref {
	const char *api_version;
	const char *kind;
	const char *namespace_; /* NULL or "": cluster-scoped; its Events live in "default" */
	const char *name;
	const char *uid;
	const char *resource_version; /* NULL: left out */
};

/* `obj` must outlive the ref. Items of a list of a built-in kind carry neither apiVersion nor kind,
 * so the caller names them. */
struct kube_object_ref kube_object_ref_of(struct json_object *obj, const char *api_version,
					  const char *kind);

/* `component` ("hauberk-controller") and `instance` (the pod) are the reporting controller. */
struct kube_recorder *kube_recorder_new(struct kube_client *client, const char *component,
					const char *instance);

/* `reason` is one CamelCase word; the message is made printable and cut at 1 KiB. Copies
 * everything. */
void kube_recorder_event(struct kube_recorder *rec, const struct kube_object_ref *ref,
			 enum kube_event_type type, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Wait for what is under way, at most `timeout_ms`, take no more, and free the recorder. `closed`
 * comes once, from the loop. */
void kube_recorder_close(struct kube_recorder *rec, uint64_t timeout_ms, void (*closed)(void *data),
			 void *data);
