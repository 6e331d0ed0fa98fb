#include "base/diff.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Lines, each with its line feed, and which of them are not in the other text. */
struct diff_side {
	const char **lines;
	size_t *lengths;
	size_t n;
	bool *changed;
};

struct diff {
	struct diff_side from, to;
	size_t same_before, same_after; /* lines at the two ends that are the same */
};

static void diff_split(const struct diff_text *text, struct diff_side *side)
{
	const char *at = text->bytes, *end = text->bytes + text->n;
	size_t room = 1;

	for (; at < end; at++)
		room += *at == '\n';
	side->lines = mem_alloc(room, sizeof(*side->lines));
	side->lengths = mem_alloc(room, sizeof(*side->lengths));
	side->changed = mem_alloc(room, sizeof(*side->changed));
	for (at = text->bytes; at < end;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		stop = stop ? stop + 1 : end;
		side->lines[side->n] = at;
		side->lengths[side->n++] = (size_t)(stop - at);
		at = stop;
	}
}

static void diff_side_clear(struct diff_side *side)
{
	free(side->lines);
	free(side->lengths);
	free(side->changed);
}

static bool diff_same(const struct diff *d, size_t i, size_t k)
{
	return d->from.lengths[i] == d->to.lengths[k] &&
	       memcmp(d->from.lines[i], d->to.lines[k], d->from.lengths[i]) == 0;
}

static void diff_trim(struct diff *d)
{
	size_t least = d->from.n < d->to.n ? d->from.n : d->to.n;

	while (d->same_before < least && diff_same(d, d->same_before, d->same_before))
		d->same_before++;
	while (d->same_after < least - d->same_before &&
	       diff_same(d, d->from.n - 1 - d->same_after, d->to.n - 1 - d->same_after))
		d->same_after++;
}

/* The middle, between what is the same at both ends, is a grid: x lines of `from` and y lines of
 * `to` have been passed, k = x - y. reach[e][k + e] is the largest x that e changes lead to. */
struct diff_grid {
	const struct diff *d;
	int n, m;
	int *reach[DIFF_EDITS_MAX + 1];
};

static int diff_slide(const struct diff_grid *g, int x, int k)
{
	while (x < g->n && x - k < g->m &&
	       diff_same(g->d, g->d->same_before + (size_t)x, g->d->same_before + (size_t)(x - k)))
		x++;
	return x;
}

/* True where the best way to diagonal k with e changes ends with a line of `to` that comes in. */
static bool diff_comes_down(const int *before, int e, int k)
{
	return k == -e || (k != e && before[k - 1 + e - 1] < before[k + 1 + e - 1]);
}

/* How many changes lead through the grid; -1: more than the bound. */
static int diff_walk(struct diff_grid *g)
{
	int e, k, x;

	for (e = 0; e <= DIFF_EDITS_MAX; e++) {
		const int *before = e ? g->reach[e - 1] : NULL;

		g->reach[e] = mem_alloc(2 * (size_t)e + 1, sizeof(int));
		for (k = -e; k <= e; k += 2) {
			if (e == 0)
				x = 0;
			else if (diff_comes_down(before, e, k))
				x = before[k + 1 + e - 1];
			else
				x = before[k - 1 + e - 1] + 1;
			x = diff_slide(g, x, k);
			g->reach[e][k + e] = x;
			if (x >= g->n && x - k >= g->m)
				return e;
		}
	}
	return -1;
}

static void diff_mark(struct diff *d, const struct diff_grid *g, int e)
{
	int k = g->n - g->m;

	for (; e > 0; e--) {
		const int *before = g->reach[e - 1];

		if (diff_comes_down(before, e, k)) {
			k++;
			d->to.changed[d->same_before + (size_t)(before[k + e - 1] - k)] = true;
		} else {
			k--;
			d->from.changed[d->same_before + (size_t)before[k + e - 1]] = true;
		}
	}
}

static void diff_mark_all(struct diff *d)
{
	size_t i;

	for (i = d->same_before; i < d->from.n - d->same_after; i++)
		d->from.changed[i] = true;
	for (i = d->same_before; i < d->to.n - d->same_after; i++)
		d->to.changed[i] = true;
}

static void diff_compare(struct diff *d)
{
	struct diff_grid g = {.d = d};
	int edits, e;

	diff_trim(d);
	g.n = (int)(d->from.n - d->same_before - d->same_after);
	g.m = (int)(d->to.n - d->same_before - d->same_after);
	edits = diff_walk(&g);
	if (edits < 0)
		diff_mark_all(d);
	else
		diff_mark(d, &g, edits);
	for (e = 0; e <= DIFF_EDITS_MAX; e++)
		free(g.reach[e]);
}

/* Printing. */

static bool diff_print_line(struct buf *out, char sign, const struct diff_side *side, size_t i)
{
	bool whole = side->lines[i][side->lengths[i] - 1] == '\n';

	return buf_add(out, &sign, 1) && buf_add(out, side->lines[i], side->lengths[i]) &&
	       (whole || buf_add_str(out, "\n\\ No newline at end of file\n"));
}

/* "3,7", "3" for one line; of no line, the number of the one before it. */
static bool diff_print_range(struct buf *out, char sign, size_t start, size_t n)
{
	if (n == 1)
		return buf_addf(out, "%c%zu", sign, start + 1);
	return buf_addf(out, "%c%zu,%zu", sign, n ? start + 1 : start, n);
}

struct diff_at {
	size_t i, k; /* lines of `from` and of `to` */
};

static bool diff_is_change(const struct diff *d, struct diff_at at)
{
	return (at.i < d->from.n && d->from.changed[at.i]) ||
	       (at.k < d->to.n && d->to.changed[at.k]);
}

static bool diff_is_end(const struct diff *d, struct diff_at at)
{
	return at.i >= d->from.n && at.k >= d->to.n;
}

static struct diff_at diff_step(const struct diff *d, struct diff_at at)
{
	if (at.i < d->from.n && d->from.changed[at.i])
		at.i++;
	else if (at.k < d->to.n && d->to.changed[at.k])
		at.k++;
	else
		at = (struct diff_at){at.i + 1, at.k + 1};
	return at;
}

/* The end of the hunk that has a change at `at`: two changes with no more than twice the context
 * between them share one. */
static struct diff_at diff_hunk_end(const struct diff *d, struct diff_at at)
{
	struct diff_at end = at;
	size_t same = 0;

	for (; !diff_is_end(d, at) && same <= 2 * (size_t)DIFF_CONTEXT;) {
		bool change = diff_is_change(d, at);

		at = diff_step(d, at);
		same = change ? 0 : same + 1;
		if (change)
			end = at;
	}
	for (same = 0; same < DIFF_CONTEXT && !diff_is_end(d, end); same++)
		end = diff_step(d, end);
	return end;
}

static bool diff_print_hunk(const struct diff *d, struct diff_at at, struct diff_at end,
			    struct buf *out)
{
	bool ok = buf_add_str(out, "@@ ") && diff_print_range(out, '-', at.i, end.i - at.i) &&
		  buf_add_str(out, " ") && diff_print_range(out, '+', at.k, end.k - at.k) &&
		  buf_add_str(out, " @@\n");

	while (ok && (at.i < end.i || at.k < end.k)) {
		struct diff_at next = diff_step(d, at);

		if (next.k == at.k)
			ok = diff_print_line(out, '-', &d->from, at.i);
		else if (next.i == at.i)
			ok = diff_print_line(out, '+', &d->to, at.k);
		else
			ok = diff_print_line(out, ' ', &d->from, at.i);
		at = next;
	}
	return ok;
}

static bool diff_print(const struct diff *d, struct buf *out)
{
	struct diff_at at = {0, 0};
	bool ok = true;

	while (ok && !diff_is_end(d, at)) {
		struct diff_at start, end;
		size_t context;

		if (!diff_is_change(d, at)) {
			at = diff_step(d, at);
			continue;
		}
		context = at.i < DIFF_CONTEXT ? at.i : DIFF_CONTEXT;
		start = (struct diff_at){at.i - context, at.k - context};
		end = diff_hunk_end(d, at);
		ok = diff_print_hunk(d, start, end, out);
		at = end;
	}
	return ok;
}

bool diff_unified(const struct diff_text *from, const struct diff_text *to, struct buf *out)
{
	struct diff d = {.same_before = 0};
	bool ok = true;

	if (from->n == to->n && memcmp(from->bytes, to->bytes, from->n) == 0)
		return true;
	diff_split(from, &d.from);
	diff_split(to, &d.to);
	diff_compare(&d);
	ok = buf_addf(out, "--- %s\n+++ %s\n", from->name, to->name) && diff_print(&d, out);
	diff_side_clear(&d.from);
	diff_side_clear(&d.to);
	return ok;
}
