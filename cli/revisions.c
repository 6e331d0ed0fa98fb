#include "cli/revisions.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REVISION_NOTES "hauberk.dev/rollout-" /* annotations of rollout_spec.h begin so */

void revisions_add(struct revisions *r, struct json_object *obj)
{
	struct json_object *id = js_get(js_object(obj, "metadata.labels"), "hauberk.dev/revision");
	struct revision_seen seen = {
	    .number = js_i64(obj, "revision", 0),
	    .id = json_object_is_type(id, json_type_string) ? json_object_get_string(id) : "",
	    .mode = js_str(obj, "data.mode"),
	    .policy = js_str(obj, "data.policy"),
	};

	if (!seen.mode || !seen.policy)
		return;
	clock_parse(js_str(obj, "metadata.creationTimestamp"), &seen.created_ms);
	seen.obj = json_object_get(obj);
	r->all = mem_resize(r->all, r->n + 1, sizeof(*r->all));
	r->all[r->n++] = seen;
}

static int revisions_compare(const void *a, const void *b)
{
	int64_t x = ((const struct revision_seen *)a)->number;
	int64_t y = ((const struct revision_seen *)b)->number;

	return (x > y) - (x < y);
}

void revisions_sort(struct revisions *r)
{
	if (r->n > 0)
		qsort(r->all, r->n, sizeof(*r->all), revisions_compare);
}

void revisions_clear(struct revisions *r)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		json_object_put(r->all[i].obj);
	free(r->all);
	*r = (struct revisions){0};
}

int revisions_find(const struct revisions *r, const char *word, const struct revision_seen **ret,
		   struct err *err)
{
	int64_t number = -1;
	size_t i;

	str_to_i64(word, 0, INT64_MAX, &number);
	for (i = 0; i < r->n; i++) {
		/* An id of digits alone is an id all the same. */
		if (r->all[i].number == number || strcmp(r->all[i].id, word) == 0) {
			*ret = &r->all[i];
			return 0;
		}
	}
	return err_set(err, -ENOENT,
		       "there is no revision %.40s; `kubectl hauberk rollout history` lists those "
		       "that are kept",
		       word);
}

bool revision_is_asked_for(const struct revision_seen *rev, struct json_object *aap)
{
	const char *mode = js_str(aap, "spec.mode");

	return str_equal(rev->policy, js_str(aap, "spec.policy")) &&
	       str_equal(rev->mode, mode ? mode : "Enforce");
}

int revisions_former(const struct revisions *r, struct json_object *aap,
		     const struct revision_seen **ret, struct err *err)
{
	size_t i;

	for (i = r->n; i > 0; i--) {
		if (revision_is_asked_for(&r->all[i - 1], aap))
			continue;
		*ret = &r->all[i - 1];
		return 0;
	}
	return err_set(err, -ENOENT, "%s: no other revision is kept, so there is nothing to undo",
		       js_str_or_empty(aap, "metadata.name"));
}

/* What a user once said of this very revision, such as abort, would hold for it again. */
static struct json_object *revision_forgotten(const struct revision_seen *rev,
					      struct json_object *aap)
{
	struct json_object *forgotten = js_new();

	json_object_object_foreach(js_object(aap, "metadata.annotations"), key, value) {
		if (str_has_prefix(key, REVISION_NOTES) &&
		    json_object_is_type(value, json_type_string) &&
		    str_has_prefix(json_object_get_string(value), rev->id))
			js_put(forgotten, key, NULL);
	}
	return forgotten;
}

struct json_object *revision_patch(const struct revision_seen *rev, struct json_object *aap)
{
	struct json_object *patch = js_new(), *meta = js_new(), *spec = js_new();

	js_put_str(meta, "resourceVersion", js_str(aap, "metadata.resourceVersion"));
	if (js_object(aap, "metadata.annotations"))
		js_put(meta, "annotations", revision_forgotten(rev, aap));
	js_put(spec, "policy", json_object_get(js_at(rev->obj, "data.policy")));
	js_put_str(spec, "mode", rev->mode);
	if (js_at(aap, "spec.abstract"))
		js_put(spec, "abstract", NULL);
	js_put(patch, "metadata", meta);
	js_put(patch, "spec", spec);
	return patch;
}

int64_t revision_count(const struct revision_seen *rev, struct json_object *nodes, const char *key)
{
	int64_t n = 0;
	size_t i;

	for (i = 0; i < js_len(nodes); i++)
		n += str_equal(js_str(js_item(nodes, i), key), rev->id);
	return n;
}

void revision_age(int64_t ms, char out[16])
{
	int64_t s = ms > 0 ? ms / 1000 : 0;

	if (s < 120)
		snprintf(out, 16, "%ds", (int)s);
	else if (s < 3600)
		snprintf(out, 16, "%dm", (int)(s / 60));
	else if (s < (int64_t)2 * 86400)
		snprintf(out, 16, "%dh", (int)(s / 3600));
	else
		snprintf(out, 16, "%dd", (int)(s / 86400 % 1000000));
}

static const char *revisions_word(const struct revision_seen *rev, struct json_object *aap)
{
	bool current = str_equal(rev->id, js_str(aap, "status.currentRevision"));
	bool target = str_equal(rev->id, js_str(aap, "status.updateRevision"));
	const char *phase = js_str(aap, "status.rollout.phase");
	bool back = str_equal(phase, "RollingBack") || str_equal(phase, "RolledBack") ||
		    str_equal(phase, "Aborted");

	if (target && !current && back)
		return "rolled back";
	if (current)
		return target ? "current" : "last complete";
	return target ? "rolling out" : NULL;
}

void revisions_table(const struct revisions *r, struct json_object *aap, struct json_object *nodes,
		     const char *key, int64_t now_ms, struct table *t)
{
	size_t i;

	table_init(t,
		   (const char *const[]){"REVISION", "ID", "MODE", "AGE", "NODES", "WHAT", NULL});
	for (i = 0; i < r->n; i++) {
		const struct revision_seen *rev = &r->all[i];
		char number[24], age[16], count[24] = "";

		snprintf(number, sizeof(number), "%" PRId64, rev->number);
		revision_age(now_ms - rev->created_ms, age);
		if (nodes)
			snprintf(count, sizeof(count), "%" PRId64, revision_count(rev, nodes, key));
		table_add(t, (const char *const[]){number, rev->id, rev->mode, age, count,
						   revisions_word(rev, aap)});
	}
}
