#include "report.h"

#include "base/mem.h"
#include "base/sha.h"

#include <stdlib.h>
#include <string.h>

static void report_fill_hashes(const struct sync_item *item, bool sha1, struct sync_status *s)
{
	size_t i;

	sync_hashes_copy(item->hashes, item->n_hashes, &s->hashes);
	s->n_hashes = item->n_hashes;
	for (i = 0; i < s->n_hashes; i++)
		(sha1 ? s->hashes[i].sha256 : s->hashes[i].sha1)[0] = '\0';
}

static enum sync_state report_state(const struct held *h)
{
	if (h->how == HELD_ORPHAN)
		return SYNC_STATE_ORPHAN;
	if (h->how == HELD_FAILED)
		return SYNC_STATE_FAILED;
	return h->item->want == SYNC_ABSENT ? SYNC_STATE_ABSENT : SYNC_STATE_LOADED;
}

static void report_fill(const struct held *h, bool sha1, struct sync_status *s)
{
	bool failed = h->how == HELD_FAILED;

	s->name = mem_strdup(h->item->name);
	s->uid = mem_strdup(h->item->uid);
	s->message = mem_strdup(failed ? "the kernel refused it: EPROTO (71)" : "");
	s->state = report_state(h);
	s->reason = failed ? SYNC_REASON_LOAD_FAILED : SYNC_REASON_NONE;
	memcpy(s->target, h->item->revision, sizeof(s->target));
	s->kernel_mode = mem_strdup(!h->loaded                           ? ""
				    : h->loaded->mode == PROFILE_ENFORCE ? "enforce"
									 : "complain");
	if (!h->loaded)
		return;
	memcpy(s->revision, h->loaded->revision, sizeof(s->revision));
	report_fill_hashes(h->loaded, sha1, s);
}

static struct report *report_new(const struct held *held, size_t n, bool sha1)
{
	struct sync_report r = {.items = mem_alloc(n, sizeof(*r.items)),
				.n = n,
				.apparmor_enabled = true,
				.apparmor_reason = mem_strdup("")};
	struct report *report = MEM_NEW(struct report);
	struct json_object *obj;
	size_t i;

	for (i = 0; i < n; i++)
		report_fill(&held[i], sha1, &r.items[i]);
	obj = sync_report_encode(&r);
	report->text = mem_strdup(js_print(obj, NULL));
	json_object_put(obj);
	sync_report_hash(&r, report->hash);
	sync_report_clear(&r);
	return report;
}

const struct report *report_of(struct told *told, const struct held *held, size_t n, bool sha1)
{
	struct sha_part parts[] = {{held, n * sizeof(*held)}, {&sha1, sizeof(sha1)}};
	struct report *report;
	char key[SHA256_HEX];

	sha_hex(SHA_256, parts, 2, key);
	report = map_get(&told->reports, key);
	if (!report) {
		report = report_new(held, n, sha1);
		map_put(&told->reports, key, report);
	}
	return report;
}

void report_free(void *value)
{
	struct report *report = value;

	free(report->text);
	free(report);
}
