#pragma once

/*
 * What has to be looked at, by key: each key once, and never the same key twice at once.
 *
 * A key that is added while it is being worked on is worked on again afterwards. Keys that failed
 * wait 5 ms x 2 up to 1000 s, each for itself. Source: client-go's workqueue.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct kube_queue;

struct kube_queue_spec {
	unsigned int max_active; /* keys worked on at once */
	/* Start the work on a key; its end is told by kube_queue_done(), from inside or later.
	 * `key` is valid until then. Comes from the loop only. */
	void (*work)(void *data, const char *key);
	void *data;
};

struct kube_queue *kube_queue_new(uv_loop_t *loop, const struct kube_queue_spec *spec);

/* As soon as possible. */
void kube_queue_add(struct kube_queue *queue, const char *key);

/* Not before `ms` from now; where the key waits already, the earlier time counts. */
void kube_queue_add_after(struct kube_queue *queue, const char *key, uint64_t ms);

/* The work on a key ended. `ok`: its back-off starts over; else it is added again when that has
 * passed. */
void kube_queue_done(struct kube_queue *queue, const char *key, bool ok);

/* Keys that wait or are being worked on. */
size_t kube_queue_len(const struct kube_queue *queue);
size_t kube_queue_active(const struct kube_queue *queue);

/* `work` is not called any more, and `queue` is gone for the caller: work under way must not tell
 * its end. The loop releases the memory. */
void kube_queue_close(struct kube_queue *queue);
