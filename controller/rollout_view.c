#include "controller/rollout_view.h"

#include "base/str.h"

#include <string.h>

/* What follows "REVISION/" in an annotation, or "" where it names the revision alone; NULL where
 * it names another. */
static const char *rollout_wish_of(const char *wish, const char *target)
{
	size_t n = strlen(target);

	if (!wish || n == 0 || strncmp(wish, target, n) != 0)
		return NULL;
	if (wish[n] == '/')
		return wish + n + 1;
	return wish[n] ? NULL : "";
}

static bool rollout_wished(const char *wish, const char *target)
{
	return str_equal(rollout_wish_of(wish, target), "");
}

static const struct rollout_wish *rollout_wish(const struct rollout_facts *f)
{
	static const struct rollout_wish nothing;

	return f->wish ? f->wish : &nothing;
}

static bool rollout_aborts(const struct rollout_facts *f)
{
	return rollout_wished(rollout_wish(f)->abort, f->target);
}

const char *rollout_restart_token(const struct rollout_facts *f, const struct rollout_state *st)
{
	const char *token = rollout_wish_of(rollout_wish(f)->restart, f->target);

	if (!token || !*token || strlen(token) >= sizeof(st->restart) || rollout_aborts(f) ||
	    strcmp(token, st->restart) == 0)
		return NULL;
	return token;
}

int64_t rollout_promoted(const struct rollout_facts *f)
{
	const char *text = rollout_wish_of(rollout_wish(f)->promote, f->target);
	int64_t steps = 0;

	if (text)
		str_to_i64(text, 1, INT32_MAX, &steps);
	return steps;
}

bool rollout_pause_annotated(const struct rollout_facts *f)
{
	return rollout_wished(rollout_wish(f)->pause, f->target);
}

static bool rollout_is_paused(const struct rollout_facts *f, const struct rollout_spec *spec)
{
	if (rollout_wished(rollout_wish(f)->resume, f->target))
		return false;
	return spec->paused || rollout_pause_annotated(f);
}

/* Nobody has the profile, and the user asked for no caution: all nodes at once. The question is
 * put so that the answer stays the same while the target spreads. */
static bool rollout_is_first(const struct rollout_facts *f)
{
	return !f->spec && !*f->current && f->holding_other == 0;
}

void rollout_look(struct rollout_view *v, const struct rollout_facts *f)
{
	const int64_t *c = f->counts;
	int64_t absent = c[ROLLOUT_ABSENT] + c[ROLLOUT_LOST];

	v->f = f;
	v->spec = f->spec ? f->spec : &rollout_spec_default;
	v->counts = c;
	v->proven = strcmp(f->current, f->target) == 0;
	v->can_go_back = *f->current && !v->proven;
	v->paused = rollout_is_paused(f, v->spec);
	v->aborting = rollout_aborts(f);
	v->unknown = f->told_unheard + c[ROLLOUT_UNHEARD];
	v->placed = c[ROLLOUT_MOVING] + c[ROLLOUT_MOVING_EMPTY] + c[ROLLOUT_SETTLING] +
		    c[ROLLOUT_DONE] + c[ROLLOUT_FAILED];
	v->reachable = v->placed + c[ROLLOUT_OLD] + c[ROLLOUT_UNHEARD] +
		       (v->can_go_back ? 0 : c[ROLLOUT_EMPTY]);
	if (absent > v->reachable)
		v->reachable += absent;
	v->placed += v->unknown;
	v->free = rollout_amount_of(v->spec->max_unavailable, f->desired) - c[ROLLOUT_MOVING] -
		  c[ROLLOUT_SETTLING] - c[ROLLOUT_FAILED] - c[ROLLOUT_LOST] - v->unknown;
	v->max_failed =
	    rollout_is_first(f) ? INT64_MAX : rollout_amount_of(v->spec->max_failed, f->desired);
}
