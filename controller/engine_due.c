#include "base/mem.h"
#include "controller/engine_priv.h"

/* A binary heap; each profile knows its place, so that its time can be changed. */

static void due_put(struct engine *e, size_t at, struct aap *aap)
{
	e->due[at] = aap;
	aap->due_at = at + 1;
}

static size_t due_up(struct engine *e, size_t at, const struct aap *aap)
{
	while (at > 0 && aap->due_ms < e->due[(at - 1) / 2]->due_ms) {
		due_put(e, at, e->due[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	return at;
}

static size_t due_down(struct engine *e, size_t at, const struct aap *aap)
{
	size_t child;

	while ((child = 2 * at + 1) < e->n_due) {
		if (child + 1 < e->n_due && e->due[child + 1]->due_ms < e->due[child]->due_ms)
			child++;
		if (e->due[child]->due_ms >= aap->due_ms)
			break;
		due_put(e, at, e->due[child]);
		at = child;
	}
	return at;
}

static void due_remove(struct engine *e, struct aap *aap)
{
	size_t at = aap->due_at - 1;
	struct aap *last = e->due[--e->n_due];

	aap->due_at = 0;
	if (last != aap)
		due_put(e, due_down(e, due_up(e, at, last), last), last);
}

void engine_due_set(struct engine *e, struct aap *aap, int64_t due_ms)
{
	if (aap->due_at && aap->due_ms == due_ms)
		return;
	if (aap->due_at)
		due_remove(e, aap);
	aap->due_ms = due_ms;
	if (due_ms == INT64_MAX)
		return;
	if (e->n_due == e->room_due) {
		e->room_due = e->room_due ? 2 * e->room_due : 64;
		e->due = mem_resize(e->due, e->room_due, sizeof(struct aap *));
	}
	e->n_due++;
	due_put(e, due_up(e, e->n_due - 1, aap), aap);
}

int64_t engine_due_next(const struct engine *e)
{
	return e->n_due > 0 ? e->due[0]->due_ms : INT64_MAX;
}

struct aap *engine_due_pop(struct engine *e, int64_t now_ms)
{
	struct aap *first = e->n_due > 0 ? e->due[0] : NULL;

	if (!first || first->due_ms > now_ms)
		return NULL;
	due_remove(e, first);
	return first;
}
