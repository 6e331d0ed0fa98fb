#include "unit.h"

#include "api/sync_family.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNIT_BIT(phase_) (1U << (phase_))

/* From each phase, those that may follow. */
static const unsigned int unit_moves[UNIT_PHASES] = {
    [UNIT_RESTING] = UNIT_BIT(UNIT_QUEUED) | UNIT_BIT(UNIT_READY) | UNIT_BIT(UNIT_REMOVING) |
		     UNIT_BIT(UNIT_WAITING),
    [UNIT_QUEUED] = UNIT_BIT(UNIT_RESTING) | UNIT_BIT(UNIT_FETCHING) | UNIT_BIT(UNIT_WAITING),
    [UNIT_FETCHING] = UNIT_BIT(UNIT_RESTING) | UNIT_BIT(UNIT_READY) | UNIT_BIT(UNIT_WAITING),
    [UNIT_READY] = UNIT_BIT(UNIT_RESTING) | UNIT_BIT(UNIT_QUEUED) | UNIT_BIT(UNIT_WAITING),
    [UNIT_REMOVING] = UNIT_BIT(UNIT_RESTING) | UNIT_BIT(UNIT_DRAINING) | UNIT_BIT(UNIT_WAITING),
    [UNIT_DRAINING] = UNIT_BIT(UNIT_RESTING) | UNIT_BIT(UNIT_REMOVING) | UNIT_BIT(UNIT_WAITING),
    [UNIT_WAITING] = UNIT_BIT(UNIT_RESTING) | UNIT_BIT(UNIT_QUEUED) | UNIT_BIT(UNIT_READY) |
		     UNIT_BIT(UNIT_REMOVING),
};

struct unit *unit_new(const char *name)
{
	struct unit *u = MEM_NEW(struct unit);

	u->name = mem_strdup(name);
	u->bytes = (struct buf)BUF_INIT(SYNC_ARTEFACT_MAX);
	return u;
}

void unit_free(struct unit *u)
{
	if (!u)
		return;
	sync_item_clear(&u->item);
	aafs_tree_clear(&u->kernel);
	tasks_use_clear(&u->use);
	buf_clear(&u->bytes);
	free(u->name);
	free(u);
}

void unit_enter(struct unit *u, enum unit_phase phase)
{
	if (u->phase == phase)
		return;
	if (!(unit_moves[u->phase] & UNIT_BIT(phase)))
		abort();
	if (u->phase == UNIT_READY)
		buf_clear(&u->bytes);
	if (u->phase == UNIT_DRAINING)
		tasks_use_clear(&u->use);
	u->phase = phase;
}

bool unit_is_busy(const struct unit *u)
{
	return u->phase == UNIT_QUEUED || u->phase == UNIT_FETCHING || u->phase == UNIT_READY ||
	       u->phase == UNIT_REMOVING;
}

void unit_fail(struct unit *u, enum sync_reason reason, const char *message)
{
	u->reason = reason;
	snprintf(u->message, sizeof(u->message), "%s", message);
	str_make_printable(u->message, sizeof(u->message) - 1);
}

void unit_recover(struct unit *u)
{
	u->reason = SYNC_REASON_NONE;
	u->has_drifted = false;
	u->message[0] = '\0';
}

/* The network comes back by itself; what the kernel refused it will most likely refuse again. NONE
 * stands for a profile that somebody else keeps changing. */
static const struct backoff unit_backoffs[SYNC_REASON_COUNT] = {
    [SYNC_REASON_NONE] = {.first_ms = 1000, .max_ms = 300000},
    [SYNC_REASON_FETCH_FAILED] = {.first_ms = 250, .max_ms = 30000},
    [SYNC_REASON_BAD_ARTEFACT] = {.first_ms = 1000, .max_ms = 60000},
    [SYNC_REASON_LOAD_FAILED] = {.first_ms = 10000, .max_ms = 600000},
    [SYNC_REASON_VERIFY_FAILED] = {.first_ms = 10000, .max_ms = 600000},
    [SYNC_REASON_REMOVE_FAILED] = {.first_ms = 5000, .max_ms = 300000},
    [SYNC_REASON_DISK_FULL] = {.first_ms = 5000, .max_ms = 60000},
};

int64_t unit_backoff_ms(struct unit *u, uint64_t random)
{
	if (u->backoff.tries == 0 || u->backoff_for != u->reason) {
		u->backoff = unit_backoffs[u->reason];
		u->backoff.factor = 2;
		u->backoff.jitter = 0.5;
		u->backoff_for = u->reason;
	}
	return (int64_t)backoff_next(&u->backoff, random);
}

static enum sync_state unit_state(const struct unit *u)
{
	if (u->reason != SYNC_REASON_NONE)
		return SYNC_STATE_FAILED;
	switch (u->desired.action) {
	case DESIRED_KEEP:
		return SYNC_STATE_LOADED;
	case DESIRED_CONFLICT:
		return SYNC_STATE_FAILED;
	case DESIRED_GONE:
		return SYNC_STATE_ABSENT;
	case DESIRED_ORPHAN:
		return SYNC_STATE_ORPHAN;
	case DESIRED_REMOVE:
		return u->phase == UNIT_DRAINING ? SYNC_STATE_DRAINING : SYNC_STATE_PENDING;
	case DESIRED_LOAD:
		return u->has_drifted ? SYNC_STATE_DRIFTED : SYNC_STATE_PENDING;
	case DESIRED_WAIT:
	case DESIRED_NOTHING:
		break;
	}
	return SYNC_STATE_PENDING;
}

/* Names that others made up stay out where the protocol has no room for them: they would make the
 * whole report unreadable. */
static bool unit_may_tell(const struct unit *u, const struct aafs_profile *p)
{
	size_t i;

	if (strlen(p->name) > SYNC_NAME_MAX || !str_is_utf8(p->name, strlen(p->name)))
		return false;
	if (u->desired.action != DESIRED_KEEP)
		return true;
	for (i = 0; i < u->item.n_hashes; i++)
		if (strcmp(u->item.hashes[i].name, p->name) == 0)
			return true;
	return false;
}

/* The kernel holds what was told, to the last child: one digest says so. */
static void unit_tell_family(const struct unit *u, struct sync_status *s)
{
	CLEANUP(mem_freep) struct sync_member *members = mem_alloc(u->kernel.n, sizeof(*members));
	size_t n = 0, i;

	for (i = 0; i < u->kernel.n; i++) {
		const struct aafs_profile *p = &u->kernel.items[i];

		if (unit_may_tell(u, p))
			members[n++] = (struct sync_member){
			    p->name, *p->sha256 ? p->sha256 : p->sha1, p->mode};
	}
	sync_family_digest(members, n, s->digest);
}

static void unit_tell_hashes(const struct unit *u, struct sync_status *s)
{
	size_t i;

	s->hashes = mem_alloc(u->kernel.n, sizeof(*s->hashes));
	for (i = 0; i < u->kernel.n && i < SYNC_HASHES_MAX; i++) {
		const struct aafs_profile *p = &u->kernel.items[i];
		struct sync_hash *h = &s->hashes[s->n_hashes];

		if (!unit_may_tell(u, p))
			continue;
		h->name = mem_strdup(p->name);
		memcpy(h->sha1, p->sha1, sizeof(h->sha1));
		memcpy(h->sha256, p->sha256, sizeof(h->sha256));
		s->n_hashes++;
	}
}

static void unit_tell_kernel(const struct unit *u, struct sync_status *s)
{
	if (s->state == SYNC_STATE_LOADED)
		unit_tell_family(u, s);
	else
		unit_tell_hashes(u, s);
	mem_replace(&s->kernel_mode, mem_strdup(u->kernel.n > 0 ? u->kernel.items[0].mode : ""));
	memcpy(s->revision, u->desired.revision, sizeof(s->revision));
}

static void unit_tell_holders(const struct unit *u, struct sync_status *s)
{
	size_t i;

	s->holders = mem_alloc(u->use.n_holders, sizeof(*s->holders));
	s->n_holders = u->use.n_holders;
	for (i = 0; i < u->use.n_holders; i++) {
		s->holders[i].pod_uid = mem_strdup(u->use.holders[i].pod_uid);
		s->holders[i].command = mem_strdup(u->use.holders[i].command);
		s->holders[i].pid = u->use.holders[i].pid;
	}
}

bool unit_status(const struct unit *u, struct sync_status *ret)
{
	struct sync_status s = {.state = unit_state(u), .reason = u->reason};

	if (!u->has_item && s.state != SYNC_STATE_ORPHAN)
		return false;
	s.name = mem_strdup(u->name);
	s.uid = mem_strdup(u->has_item ? u->item.uid : "");
	s.message = mem_strdup(u->message);
	s.kernel_mode = mem_strdup("");
	if (u->has_item)
		memcpy(s.target, u->item.revision, sizeof(s.target));
	if (u->desired.is_ours || u->desired.action == DESIRED_KEEP)
		unit_tell_kernel(u, &s);
	if (s.state == SYNC_STATE_DRAINING)
		unit_tell_holders(u, &s);
	s.fetch_us = u->fetch_us;
	s.load_us = u->load_us;
	s.verify_us = u->verify_us;
	*ret = s;
	return true;
}
