#pragma once

/*
 * Who is at the agents' door: a token becomes the name of a node, or a refusal.
 *
 * Each token is checked with a TokenReview; a verdict is kept for the smaller of the token's
 * remaining life and 2 minutes, a refusal for 10 s, under the token's SHA-256: the token itself is
 * kept only while it waits for its review. Equal tokens share one review. At most 32 reviews are
 * under way at once, so that thousands of agents that come back together do not storm the API
 * server; the others wait in a queue with a ceiling, beyond which the answer is UNAVAILABLE.
 * Addresses take turns, and one may have half of what is left of the queue: a peer that makes up
 * tokens keeps the agents of other nodes neither out nor waiting.
 *
 * Source:
 * https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
 */

#include "controller/identity_rules.h"
#include "kube/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	IDENTITY_REVIEWS_MAX = 32,   /* under way at once */
	IDENTITY_QUEUE_MAX = 16384,  /* tokens that wait for a review */
	IDENTITY_KEPT_MAX = 16384,   /* verdicts kept */
	IDENTITY_REFUSED_MAX = 4096, /* refusals kept */
};

struct identity;
struct identity_check;

/* All strings are printable, never NULL, and valid until the callback returns or, after
 * identity_lookup(), until the next call here. All but `why` are "" where the verdict is not OK. */
struct identity_result {
	enum identity_verdict verdict;
	const char *why; /* cause and remedy in a sentence, without any part of a token; "" for OK
			  */
	const char *service_account; /* "system:serviceaccount:hauberk-system:hauberk-agent" */
	const char *node_name, *node_uid;
	const char *pod_name, *pod_uid;
};

typedef void (*identity_done_fn)(void *data, const struct identity_result *res);

/* `namespace_` is where hauberk-agent's service account is; copied. */
struct identity *identity_new(struct kube_client *client, const char *namespace_);

/* True, with *ret filled in, where the answer is known without asking: from an earlier review, or
 * because the token cannot be one. `now_ms` is clock_wall_ms(). */
bool identity_lookup(struct identity *id, const char *token, int64_t now_ms,
		     struct identity_result *ret);

/* Ask. `done` comes exactly once, from the loop, never from inside this call, and the check is gone
 * after it. The token, and the address that it comes from, are copied. Never NULL. */
struct identity_check *identity_check(struct identity *id, const char *token, const char *from,
				      identity_done_fn done, void *data);

/* Reviews that wait for their turn: agents that are not served yet. */
size_t identity_waiting(const struct identity *id);

/* `done` does not come any more, and `check` is gone. A review that is under way goes on, for its
 * verdict is worth keeping. */
void identity_cancel(struct identity_check *check);

/* Cancels all checks and reviews. The loop releases the memory. */
void identity_close(struct identity *id);
