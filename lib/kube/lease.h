#pragma once

/*
 * Leader election with a Lease, with client-go's numbers: a lease lasts 15 s, its holder stops
 * within 10 s of the last renewal, and tries are 2 s apart.
 *
 * There is no fencing in a Lease: a leader acts under the epoch that on_elected gave it and stops
 * in on_lost, which comes before any other may be elected. The epoch is spec.acquireTime in ms, at
 * least the former holder's plus 1, which stands in the same object, and survives a release.
 */

#include "kube/client.h"

#include <stdbool.h>
#include <stdint.h>

struct kube_lease;

struct kube_lease_spec {
	const char *namespace_; /* NULL: the client's */
	const char *name;
	/* Goes into spec.holderIdentity, where other replicas read it. No two processes that run at
	 * one time may share it; a process that finds its own identity takes the lease at once. */
	const char *identity;
	void (*on_elected)(void *data, int64_t epoch);
	/* Could not be renewed in time, or somebody else holds it: stop at once and exit. Once,
	 * after on_elected; nothing comes after it. */
	void (*on_lost)(void *data, const char *why);
	/* Somebody holds the lease, maybe we: comes at the first sight and on each change. "":
	 * nobody. */
	void (*on_leader)(void *data, const char *identity);
	void (*on_trouble)(void *data, const char *why); /* for one log line; may be NULL */
	void *data;
};

struct kube_lease *kube_lease_start(struct kube_client *client, const struct kube_lease_spec *spec);

/* The holder last seen, maybe ourselves; "" where there is none. Valid until the next turn of the
 * loop. */
const char *kube_lease_leader(const struct kube_lease *lease);

/* Give the lease up, where we hold it, so that another may take it at once; call it when all work
 * has stopped. No other callback comes any more; `released` comes once, from the loop, at most 3 s
 * later, and `lease` is gone after it. */
void kube_lease_release(struct kube_lease *lease, void (*released)(void *data), void *data);

/* Stop without a word to the API server: the lease runs out by itself. */
void kube_lease_close(struct kube_lease *lease);
