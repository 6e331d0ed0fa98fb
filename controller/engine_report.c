#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What agents report, kept once however many of them say the same: in a fleet at rest all nodes of
 * one kernel do. What names processes, and what only looks like something else to the hash, is kept
 * for its node alone.
 */

enum { REPORT_KEY_SIZE = 17 };

struct report_item {
	struct sync_status status;
	unsigned int refs;
	char key[REPORT_KEY_SIZE]; /* "" where it is not shared */
};

static void report_hash(uint64_t *h, const void *bytes, size_t n)
{
	const unsigned char *at = bytes;
	size_t i;

	for (i = 0; i < n; i++)
		*h = (*h ^ at[i]) * 0x100000001b3ULL;
	*h = (*h ^ 0xff) * 0x100000001b3ULL;
}

static void report_key(const struct sync_status *s, char out[REPORT_KEY_SIZE])
{
	uint64_t h = 0xcbf29ce484222325ULL;
	size_t i;

	report_hash(&h, s->name, strlen(s->name));
	report_hash(&h, s->uid, strlen(s->uid));
	report_hash(&h, s->revision, strlen(s->revision));
	report_hash(&h, s->target, strlen(s->target));
	report_hash(&h, &s->state, sizeof(s->state));
	report_hash(&h, &s->reason, sizeof(s->reason));
	report_hash(&h, s->message, strlen(s->message));
	report_hash(&h, s->digest, strlen(s->digest));
	for (i = 0; i < s->n_hashes; i++) {
		report_hash(&h, s->hashes[i].sha1, strlen(s->hashes[i].sha1));
		report_hash(&h, s->hashes[i].sha256, strlen(s->hashes[i].sha256));
	}
	snprintf(out, REPORT_KEY_SIZE, "%016llx", (unsigned long long)h);
}

bool engine_is_same_status(const struct sync_status *a, const struct sync_status *b)
{
	size_t i;

	if (!a || !b || a == b)
		return a == b;
	if (a->state != b->state || a->reason != b->reason || a->n_hashes != b->n_hashes ||
	    strcmp(a->revision, b->revision) != 0 || strcmp(a->target, b->target) != 0 ||
	    strcmp(a->digest, b->digest) != 0 || !str_equal(a->name, b->name) ||
	    !str_equal(a->uid, b->uid) || !str_equal(a->message, b->message) ||
	    !str_equal(a->kernel_mode, b->kernel_mode))
		return false;
	for (i = 0; i < a->n_hashes; i++)
		if (strcmp(a->hashes[i].name, b->hashes[i].name) != 0 ||
		    strcmp(a->hashes[i].sha1, b->hashes[i].sha1) != 0 ||
		    strcmp(a->hashes[i].sha256, b->hashes[i].sha256) != 0)
			return false;
	return a->n_holders == 0 && b->n_holders == 0;
}

static const struct sync_status *report_ref(const struct sync_status *status)
{
	struct report_item *item =
	    container_of((struct sync_status *)status, struct report_item, status);

	item->refs++;
	return status;
}

static void report_unref(struct engine *e, const struct sync_status *status)
{
	struct report_item *item =
	    container_of((struct sync_status *)status, struct report_item, status);

	if (--item->refs > 0)
		return;
	if (*item->key)
		map_del(&e->reported, item->key);
	sync_status_clear(&item->status);
	free(item);
}

/* Takes the contents over, or leaves them where there is one like it. */
static const struct sync_status *report_keep(struct engine *e, struct sync_status *status)
{
	struct report_item *item;
	char key[REPORT_KEY_SIZE];

	report_key(status, key);
	item = map_get(&e->reported, key);
	if (item && engine_is_same_status(&item->status, status))
		return report_ref(&item->status);
	item = MEM_NEW(struct report_item);
	item->status = *status;
	*status = (struct sync_status){0};
	item->refs = 1;
	if (item->status.n_holders == 0 && !map_get(&e->reported, key)) {
		memcpy(item->key, key, sizeof(item->key));
		map_put(&e->reported, key, item);
	}
	return &item->status;
}

static int report_compare_names(const void *key, const void *item)
{
	return strcmp(key, (*(const struct sync_status *const *)item)->name);
}

/* Reports are ordered by name: the decoder has seen to it. */
const struct sync_status *engine_report_find(const struct node_report *report, const char *name)
{
	const struct sync_status *const *found;

	if (report->n == 0)
		return NULL;
	found = bsearch(name, report->items, report->n, sizeof(const struct sync_status *),
			report_compare_names);
	return found ? *found : NULL;
}

const struct sync_status *engine_report_of(const struct node *node, const char *name)
{
	return engine_report_find(&node->report, name);
}

struct node_report engine_report_keep(struct engine *e, const struct node_report *before,
				      struct sync_report *report)
{
	struct node_report ret = {
	    .items = mem_alloc(report->n, sizeof(const struct sync_status *)),
	    .n = report->n,
	    .apparmor_enabled = report->apparmor_enabled,
	    .apparmor_reason = STEAL(report->apparmor_reason),
	};
	size_t i;

	for (i = 0; i < report->n; i++) {
		struct sync_status *s = &report->items[i];
		const struct sync_status *old = engine_report_find(before, s->name);

		ret.items[i] =
		    old && engine_is_same_status(old, s) ? report_ref(old) : report_keep(e, s);
	}
	sync_report_clear(report);
	return ret;
}

void engine_report_drop(struct engine *e, struct node_report *report)
{
	size_t i;

	for (i = 0; i < report->n; i++)
		report_unref(e, report->items[i]);
	free(report->items);
	free(report->apparmor_reason);
	*report = (struct node_report){0};
}
