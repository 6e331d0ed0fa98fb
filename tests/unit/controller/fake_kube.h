#pragma once

/*
 * An API server in memory, in the place of lib/kube/client.c: a test that links this file talks to
 * it through the ordinary kube_* functions, informers included.
 *
 * It knows what our parts rely on: create and 409 AlreadyExists, merge patch and 409 Conflict for a
 * stale resourceVersion, /status as a subresource, lists, watches, metadata.name selectors. Every
 * answer comes from the loop.
 */

#include "kube/client.h"

struct fake_kube;

struct fake_kube *fake_kube_new(uv_loop_t *loop);

/* Close it when nothing uses it any more; the loop releases the memory. */
void fake_kube_close(struct fake_kube *fake);

struct kube_client *fake_kube_client(struct fake_kube *fake);

/* Let the loop turn until nothing is under way and every answer has been given. */
void fake_kube_settle(struct fake_kube *fake);

/* Answers wait until this is called with false. */
void fake_kube_hold(struct fake_kube *fake, bool hold);

/* While set, each request whose path begins with `prefix` ends with this outcome; `prefix` NULL:
 * none does. */
void fake_kube_fail(struct fake_kube *fake, const char *prefix, enum kube_outcome outcome);

/* Who a token is: the status of a TokenReview, which is taken over. */
void fake_kube_on_review(struct fake_kube *fake,
			 struct json_object *(*review)(void *data, const char *token), void *data);

/* By another hand: the object at a path is put there as it is, with a new version, or goes. */
void fake_kube_put(struct fake_kube *fake, const char *collection, struct json_object *obj);
void fake_kube_remove(struct fake_kube *fake, const char *path);

/* Borrowed; NULL where there is none. */
struct json_object *fake_kube_get(struct fake_kube *fake, const char *path);

/* What was asked for since the last call, "METHOD path" line by line without lists, watches and
 * GETs. The caller frees it. */
char *fake_kube_writes(struct fake_kube *fake);

/* Requests that are waiting for an answer, and the most that ever were at once. */
size_t fake_kube_n_waiting(const struct fake_kube *fake);
size_t fake_kube_n_most(const struct fake_kube *fake);
