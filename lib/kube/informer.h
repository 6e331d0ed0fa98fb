#pragma once

/*
 * A copy of one collection in memory that follows the API server: list, then watch, and again.
 *
 * Lists are consistent reads in pages of 500. A watch that ends is resumed at the last version
 * seen; one whose version is gone leads to a list, which produces the deletes that were missed.
 * Failures are waited out: 800 ms x 2 up to 30 s, with jitter 1.0, over again after two good
 * minutes. Source: client-go's reflector.
 */

#include "kube/client.h"

struct kube_informer;

/* All callbacks come from the loop, except from kube_informer_note(). Objects are borrowed. Each
 * may be NULL. The informer may be closed from inside any of them. */
struct kube_informer_spec {
	const char *path;           /* "/apis/hauberk.dev/v1alpha1/apparmorprofiles" */
	const char *label_selector; /* NULL: none */
	const char *field_selector;
	bool as_metadata; /* PartialObjectMetadata: apiVersion, kind and metadata, nothing else */
	/* Reduce an object before it is held. metadata.managedFields is dropped in any case;
	 * metadata.name, namespace, uid and resourceVersion have to stay. */
	void (*trim)(struct json_object *obj);
	void (*on_add)(void *data, struct json_object *obj);
	void (*on_update)(void *data, struct json_object *old, struct json_object *obj);
	void (*on_delete)(void *data, struct json_object *obj); /* its last known state */
	/* Once: all that the first list held has been added. */
	void (*on_synced)(void *data);
	/* A list or a watch failed and will be tried again; for one log line. */
	void (*on_trouble)(void *data, const char *why);
	void *data;
};

struct kube_informer *kube_informer_start(struct kube_client *client,
					  const struct kube_informer_spec *spec);

/* No callback comes after this, and `inf` is gone for the caller; the loop releases the memory. */
void kube_informer_close(struct kube_informer *inf);

bool kube_informer_has_synced(const struct kube_informer *inf);

/* By "name" or "namespace/name"; NULL where there is none. Borrowed, until the next turn of the
 * loop. */
struct json_object *kube_informer_get(const struct kube_informer *inf, const char *key);

size_t kube_informer_count(const struct kube_informer *inf);

/* Walk: start with *it = 0; false at the end. In no particular order. `ret_key` may be NULL. */
bool kube_informer_next(const struct kube_informer *inf, size_t *it, const char **ret_key,
			struct json_object **ret_obj);

/* Take in an object that a write of ours brought back, so that the next decision does not rest on
 * the state before it. As if its event had come already: on_update comes from inside this call, and
 * the event itself then changes nothing. An object that is not held is left to its event. Where the
 * informer trims objects, `obj` is trimmed. */
void kube_informer_note(struct kube_informer *inf, struct json_object *obj);
