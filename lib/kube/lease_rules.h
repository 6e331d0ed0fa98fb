#pragma once

/*
 * Leader election, decided: what was seen and when goes in, what to do comes out. Pure.
 *
 * All times are the local monotonic clock's but those inside the lease, of which only acquireTime
 * counts, and only for the epoch: whether another's lease ran out is judged by how long we have
 * seen no change.
 */

#include "base/err.h"
#include "base/js.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	LEASE_DURATION_MS = 15000,
	LEASE_RENEW_DEADLINE_MS = 10000,
	LEASE_RETRY_MS = 2000,
	LEASE_IDENTITY_MAX = 512,
};

/* What a Lease object says. */
struct lease_view {
	bool exists;
	char identity[LEASE_IDENTITY_MAX]; /* "": nobody */
	int64_t acquired_ms;               /* wall clock; 0: never */
	int64_t transitions;
	char version[64]; /* resourceVersion */
};

struct lease_state {
	const char *identity; /* ours */
	bool has_seen;
	struct lease_view seen;
	int64_t seen_ms;    /* when `seen` changed last */
	bool held;          /* by us, in this process */
	int64_t renewed_ms; /* when the request was sent that renewed it last */
};

enum lease_action {
	LEASE_WAIT,   /* another holds it */
	LEASE_CREATE, /* there is none */
	LEASE_TAKE,   /* nobody holds it, or its holder let it run out, or it bears our identity */
	LEASE_RENEW,  /* we hold it */
	LEASE_LOST, /* we held it, and it is another's now, or gone, or we are too late to renew it
		     */
};

/* Read a Lease; NULL: there is none. -EINVAL where it is no Lease or the identity is too long. */
int lease_view_parse(struct json_object *obj, struct lease_view *ret, struct err *err);

/* Take note of what was read. True at the first time and where the holder is another than before.
 */
bool lease_see(struct lease_state *state, const struct lease_view *view, int64_t now_ms);

/* What to do now. */
enum lease_action lease_decide(const struct lease_state *state, int64_t now_ms);

/* When a holder that cannot renew has to stop. */
int64_t lease_deadline_ms(const struct lease_state *state);

/* The epoch of a new holder. */
int64_t lease_next_epoch(const struct lease_view *former, int64_t wall_ms);

/* The time until the next try: 2 s, and for one who waits up to 1.2 times more. */
int64_t lease_wait_ms(const struct lease_state *state, uint64_t random);

/* A write of ours, sent at `sent_ms`, brought back what was just seen. True where we are newly
 * elected: the epoch is seen.acquired_ms. */
bool lease_confirm(struct lease_state *state, int64_t sent_ms);

/* The `spec` to write; for all but a creation a merge patch that holds only for seen.version. Owned
 * by the caller. A release leaves acquireTime alone, so that the next holder knows the former
 * epoch. */
struct json_object *lease_spec_take(const struct lease_state *state, int64_t wall_ms);
struct json_object *lease_spec_renew(int64_t wall_ms);
struct json_object *lease_spec_release(int64_t wall_ms);
