#pragma once

/*
 * AppArmorNode objects: what is known of each node, written when a fact about it changes and never
 * by an ordinary rollout.
 *
 * Owns an informer on them. Facts that are set are compared with what the API server holds; only
 * what differs is written, one write at a time a node and a few at once in all, the newest facts
 * winning over those that wait. What somebody else wrote in between is read and the difference
 * made again.
 */

#include "controller/node_status.h"
#include "kube/client.h"

#include <stdbool.h>
#include <stddef.h>

#define NODE_OBJECTS_PATH "/apis/hauberk.dev/v1alpha1/apparmornodes"

enum { NODE_OBJECTS_WRITES_MAX = 8 }; /* at once */

struct node_objects;

/* All callbacks come from the loop, never from inside a call here. Each may be NULL. */
struct node_objects_spec {
	/* The objects of before are known. */
	void (*synced)(void *data);
	/* An object appeared (`is_new`; at the start each one once), or its pending removals were
	 * changed by another hand than ours: they are now what node_objects_pending() says. */
	void (*seen)(void *data, const char *node_name, bool is_new);
	/* An object is gone, which is made again by node_objects_set() alone. */
	void (*gone)(void *data, const char *node_name);
	/* The API server holds the facts that were last set, pending removals included; or they
	 * could not be written after several tries, or somebody else has changed the pending
	 * removals meanwhile, which `seen` told (ok false): set them again later. Once for each
	 * node_objects_set(), unless another one for the same node comes before it. */
	void (*written)(void *data, const char *node_name, bool ok);
	/* True while the API server has more urgent work of ours: then one write at a time. Asked
	 * when a write begins or ends. */
	bool (*yields)(void *data);
	void *data;
};

struct node_objects *node_objects_start(struct kube_client *client,
					const struct node_objects_spec *spec);

bool node_objects_has_synced(const struct node_objects *no);

/* Bring the object up to date; it is made, owned by the Node, where there is none. Everything is
 * copied. Waits until the objects of before are known. */
void node_objects_set(struct node_objects *no, const char *node_name, const char *node_uid,
		      const struct node_facts *facts);

/* The Node is gone: forget what was to be written. The API server's garbage collector deletes the
 * object; `written` does not come any more. */
void node_objects_forget(struct node_objects *no, const char *node_name);

/* The pending removals that the API server holds for a node: how many, and where `ret` is not NULL
 * as an array that the caller frees with node_removals_free(). */
size_t node_objects_pending(const struct node_objects *no, const char *node_name,
			    struct node_removal **ret);

/* Drop what is under way. No callback comes any more; the loop releases the memory. */
void node_objects_close(struct node_objects *no);
