#pragma once

/*
 * One watch stream, from its request to its end. informer.h is what most callers want.
 */

#include "kube/client.h"
#include "kube/watch_lines.h"

struct kube_watch;

struct kube_watch_spec {
	const char *path;                            /* of the collection */
	const char *label_selector, *field_selector; /* NULL: none */
	const char *accept;                          /* NULL: application/json */
	const char *resource_version;                /* events after this one */
	/* ADDED, MODIFIED, DELETED or BOOKMARK. The object is gone after it: json_object_get() to
	 * keep it. The watch may be cancelled from inside. */
	void (*on_event)(void *data, enum watch_event_kind kind, struct json_object *obj);
	/* Once, as the last thing; the watch is gone after it. KUBE_OK: it ran its time (5 to 10
	 * minutes, by chance) or the server ended it in an orderly way. An ERROR event shows as
	 * what its Status says. */
	kube_done_fn on_end;
	void *data;
};

struct kube_watch *kube_watch_start(struct kube_client *client, const struct kube_watch_spec *spec);

/* End it now; no callback comes any more, and `watch` is gone for the caller. */
void kube_watch_cancel(struct kube_watch *watch);
