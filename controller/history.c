#include "controller/history.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"
#include "kube/informer.h"
#include "kube/patch.h"

#include <stdlib.h>
#include <string.h>

#define HISTORY_UID_LABEL "hauberk.dev/profile-uid"
#define HISTORY_REVISION_LABEL "hauberk.dev/revision"
#define HISTORY_PROFILE_ANNOTATION "hauberk.dev/profile"
#define HISTORY_NUMBER_ANNOTATION "hauberk.dev/revision-number"

enum { HISTORY_NAME_PREFIX_MAX = 200 };

struct history {
	struct kube_client *client;
	struct history_spec spec;
	struct kube_informer *informer;
	char *path;        /* of the collection */
	struct map newest; /* a profile's uid -> the object with the highest number */
	bool changed;      /* objects came or went since `newest` was made */
	struct list writes;
};

/* One write or read under way. */
struct history_op {
	struct history *history;
	struct list link;
	struct kube_request *req;
	char *object;
	char *uid; /* of the profile: its name may be another's when the answer comes */
	char revision[PROFILE_REVISION_SIZE];
};

static struct history_op *history_op_new(struct history *h, const struct aap *aap,
					 const char *revision)
{
	struct history_op *op = MEM_NEW(struct history_op);

	op->history = h;
	op->object = mem_strdup(aap->spec.object);
	op->uid = mem_strdup(aap->spec.uid);
	memcpy(op->revision, revision, sizeof(op->revision));
	list_append(&h->writes, &op->link);
	return op;
}

static void history_op_free(struct history_op *op)
{
	list_remove(&op->link);
	free(op->object);
	free(op->uid);
	free(op);
}

/* Names are at most 253 bytes: 200 of the profile's, 36 of its uid, 12 of the revision and two
 * dashes. A dash must not follow the dot that the cut may leave last. Nothing else may be taken
 * off, for what is recorded is found by this name. */
static char *history_name(const struct aap *aap, const char *revision)
{
	size_t n = strnlen(aap->spec.object, HISTORY_NAME_PREFIX_MAX);

	while (n > 0 && aap->spec.object[n - 1] == '.')
		n--;
	return mem_printf("%.*s-%s-%s", (int)n, aap->spec.object, aap->spec.uid, revision);
}

static const char *history_note(struct json_object *obj, const char *where, const char *key)
{
	struct json_object *value = js_get(js_object(obj, where), key);

	return value ? json_object_get_string(value) : "";
}

static int64_t history_number(struct json_object *obj)
{
	int64_t number = 0;

	str_to_i64(history_note(obj, "metadata.annotations", HISTORY_NUMBER_ANNOTATION), 0,
		   INT64_MAX - 1, &number);
	return number;
}

static bool history_is_of(struct json_object *obj, const struct aap *aap)
{
	return strcmp(history_note(obj, "metadata.labels", HISTORY_UID_LABEL), aap->spec.uid) == 0;
}

/* One walk for all profiles, where one each would cost the square of their number at start. */
static void history_look(struct history *h)
{
	struct json_object *obj, *best;
	size_t it = 0;

	map_clear(&h->newest, NULL);
	while (kube_informer_next(h->informer, &it, NULL, &obj)) {
		const char *uid = history_note(obj, "metadata.labels", HISTORY_UID_LABEL);

		best = map_get(&h->newest, uid);
		if (!best || history_number(obj) > history_number(best))
			map_put(&h->newest, uid, obj);
	}
	h->changed = false;
}

static int64_t history_newest(struct history *h, const struct aap *aap)
{
	struct json_object *obj;

	if (h->changed)
		history_look(h);
	obj = map_get(&h->newest, aap->spec.uid);
	return obj ? history_number(obj) : 0;
}

static struct json_object *history_find(const struct history *h, const struct aap *aap,
					const char *revision)
{
	CLEANUP(mem_freep) char *name = history_name(aap, revision);
	CLEANUP(mem_freep) char *key = mem_printf("%s/%s", h->spec.namespace_, name);

	return kube_informer_get(h->informer, key);
}

bool history_is_newest(struct history *h, const struct aap *aap, const char *revision)
{
	struct json_object *obj = history_find(h, aap, revision);

	return obj && history_number(obj) == history_newest(h, aap);
}

static void history_on_change(void *data, struct json_object *obj)
{
	struct history *h = data;

	(void)obj;
	h->changed = true;
}

static void history_on_update(void *data, struct json_object *old, struct json_object *obj)
{
	(void)old;
	history_on_change(data, obj);
}

static void history_on_synced(void *data)
{
	struct history *h = data;

	h->spec.synced(h->spec.data);
}

static void history_on_trouble(void *data, const char *why)
{
	(void)data;
	log_warn("revisions cannot be followed", log_s("why", why));
}

struct history *history_start(struct kube_client *client, const struct history_spec *spec)
{
	struct history *h = MEM_NEW(struct history);
	struct kube_informer_spec informer = {
	    .label_selector = HISTORY_UID_LABEL,
	    .as_metadata = true,
	    .on_add = history_on_change,
	    .on_update = history_on_update,
	    .on_delete = history_on_change,
	    .on_synced = history_on_synced,
	    .on_trouble = history_on_trouble,
	    .data = h,
	};

	h->client = client;
	h->spec = *spec;
	h->path = mem_printf("/apis/apps/v1/namespaces/%s/controllerrevisions", spec->namespace_);
	list_init(&h->writes);
	h->changed = true;
	informer.path = h->path;
	h->informer = kube_informer_start(client, &informer);
	return h;
}

bool history_has_synced(const struct history *h)
{
	return kube_informer_has_synced(h->informer);
}

/* Writing. */

static struct json_object *history_owner(const struct aap *aap)
{
	struct json_object *owners = js_new_array(), *owner = js_new();

	js_put_str(owner, "apiVersion", PROFILE_GROUP_VERSION);
	js_put_str(owner, "kind", "AppArmorProfile");
	js_put_str(owner, "name", aap->spec.object);
	js_put_str(owner, "uid", aap->spec.uid);
	js_put_bool(owner, "controller", true);
	js_append(owners, owner);
	return owners;
}

static struct json_object *history_number_annotation(int64_t number)
{
	struct json_object *annotations = js_new();
	CLEANUP(mem_freep) char *text = mem_printf("%lld", (long long)number);

	js_put_str(annotations, HISTORY_NUMBER_ANNOTATION, text);
	return annotations;
}

/* How Go writes the character at the beginning of a text, and how many bytes it has; NULL where it
 * is one byte that Go leaves as it is. */
static const char *history_escape(const char *at, size_t *ret_n)
{
	*ret_n = 1;
	switch (*at) {
	case '<':
		return "\\u003c";
	case '>':
		return "\\u003e";
	case '&':
		return "\\u0026";
	}
	if (strncmp(at, "\xe2\x80\xa8", 3) != 0 && strncmp(at, "\xe2\x80\xa9", 3) != 0)
		return NULL;
	*ret_n = 3;
	return at[2] == '\xa8' ? "\\u2028" : "\\u2029";
}

static int history_print_text(struct json_object *text, struct printbuf *out, int level, int flags)
{
	struct json_object *plain = json_object_new_string_len(json_object_get_string(text),
							       json_object_get_string_len(text));
	const char *at = json_object_to_json_string_ext(plain, flags);

	(void)level;
	while (*at) {
		size_t n = strcspn(at, "<>&\xe2");
		const char *escaped = NULL;

		printbuf_memappend(out, at, (int)n);
		at += n;
		if (!*at)
			break;
		escaped = history_escape(at, &n);
		printbuf_memappend(out, escaped ? escaped : at, escaped ? 6 : 1);
		at += n;
	}
	json_object_put(plain);
	return 0;
}

/* Of `data` the API server keeps the very bytes that it was sent, and refuses any change of them.
 * A patch, whatever it changes, has them written anew by Go: what is not written as Go does would
 * be another text then, and the object could never be patched. Source:
 * ValidateControllerRevisionUpdate() in pkg/apis/apps/validation of Kubernetes. */
static struct json_object *history_text(const char *text)
{
	struct json_object *obj = js_text(text);

	json_object_set_serializer(obj, history_print_text, NULL, NULL);
	return obj;
}

static struct json_object *history_object(const struct aap *aap, const struct revision *rev,
					  int64_t number)
{
	struct json_object *obj = js_new(), *meta = js_new(), *labels = js_new();
	struct json_object *data = js_new(), *annotations = history_number_annotation(number);
	CLEANUP(mem_freep) char *name = history_name(aap, rev->id);

	js_put_str(labels, HISTORY_UID_LABEL, aap->spec.uid);
	js_put_str(labels, HISTORY_REVISION_LABEL, rev->id);
	js_put_str(annotations, HISTORY_PROFILE_ANNOTATION, aap->spec.object);
	js_put_str(meta, "name", name);
	js_put(meta, "labels", labels);
	js_put(meta, "annotations", annotations);
	js_put(meta, "ownerReferences", history_owner(aap));
	js_put(data, "policy", history_text(rev->text));
	js_put_str(data, "mode", profile_mode_name(rev->mode));
	js_put_str(obj, "apiVersion", "apps/v1");
	js_put_str(obj, "kind", "ControllerRevision");
	js_put(obj, "metadata", meta);
	js_put(obj, "data", data);
	js_put_i64(obj, "revision", number);
	return obj;
}

static void history_on_recorded(void *data, const struct kube_result *res)
{
	struct history_op *op = data;
	struct history *h = op->history;
	/* Its name says what is in it, so one that is there already is the one we wanted. */
	bool ok = res->outcome == KUBE_OK || res->outcome == KUBE_ALREADY_EXISTS;

	if (!ok)
		log_warn("a revision could not be recorded", log_s("profile", op->object),
			 log_s("revision", op->revision), log_s("why", res->why));
	h->spec.recorded(h->spec.data, op->object, op->uid, op->revision, ok);
	history_op_free(op);
}

void history_record(struct history *h, const struct aap *aap, const struct revision *rev)
{
	struct history_op *op = history_op_new(h, aap, rev->id);
	CLEANUP(js_putp) struct json_object *obj = NULL;
	int64_t number = history_newest(h, aap) + 1;

	if (!history_find(h, aap, rev->id)) {
		obj = history_object(aap, rev, number);
		op->req = kube_create(h->client, h->path, obj, history_on_recorded, op);
	} else {
		CLEANUP(mem_freep) char *name = history_name(aap, rev->id);
		CLEANUP(mem_freep) char *path = mem_printf("%s/%s", h->path, name);
		struct json_object *meta = js_new();

		obj = js_new();
		js_put(meta, "annotations", history_number_annotation(number));
		js_put(obj, "metadata", meta);
		js_put_i64(obj, "revision", number);
		op->req = kube_merge_patch(h->client, path, obj, history_on_recorded, op);
	}
}

/* Reading. */

static void history_on_fetched(void *data, const struct kube_result *res)
{
	struct history_op *op = data;
	struct history *h = op->history;
	const char *text = res->outcome == KUBE_OK ? js_str(res->obj, "data.policy") : NULL;
	enum profile_mode mode = PROFILE_ENFORCE;

	if (res->outcome != KUBE_OK && res->outcome != KUBE_NOT_FOUND) {
		log_warn("a revision could not be read: it is tried again",
			 log_s("profile", op->object), log_s("revision", op->revision),
			 log_s("why", res->why));
		h->spec.unfetched(h->spec.data, op->object, op->revision);
		history_op_free(op);
		return;
	}
	if (!text || !profile_mode_parse(js_str(res->obj, "data.mode"), &mode)) {
		log_warn("a revision could not be read back", log_s("profile", op->object),
			 log_s("revision", op->revision), log_s("why", res->why));
		text = NULL;
	}
	h->spec.fetched(h->spec.data, op->object, op->revision, text, text ? strlen(text) : 0,
			mode);
	history_op_free(op);
}

void history_fetch(struct history *h, const struct aap *aap, const char *revision)
{
	CLEANUP(mem_freep) char *name = history_name(aap, revision);
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", h->path, name);
	struct history_op *op = history_op_new(h, aap, revision);

	op->req = kube_get(h->client, path, history_on_fetched, op);
}

/* Pruning. */

static bool history_is_needed(const struct aap *aap, const char *revision)
{
	void *value;
	size_t it = 0;

	if (engine_revision_find(aap, revision) || strcmp(aap->current_id, revision) == 0)
		return true;
	while (map_next(&aap->placements, &it, NULL, &value)) {
		const struct placement *p = value;
		const struct sync_status *report = engine_report_of(p->node, aap->spec.name);

		/* A node that has not been heard of may hold any of them. */
		if (p->node->has_object && !p->node->reported)
			return true;
		if (report && strcmp(report->revision, revision) == 0)
			return true;
	}
	return false;
}

static void history_on_pruned(void *data, const struct kube_result *res)
{
	struct history_op *op = data;

	if (res->outcome != KUBE_OK && res->outcome != KUBE_NOT_FOUND)
		log_warn("an old revision could not be deleted", log_s("profile", op->object),
			 log_s("revision", op->revision), log_s("why", res->why));
	history_op_free(op);
}

static void history_delete(struct history *h, const struct aap *aap, struct json_object *obj)
{
	const char *revision = history_note(obj, "metadata.labels", HISTORY_REVISION_LABEL);
	CLEANUP(mem_freep)
	char *path = mem_printf("%s/%s", h->path, js_str_or_empty(obj, "metadata.name"));
	struct history_op *op;

	if (!str_is_hex(revision, PROFILE_REVISION_SIZE - 1))
		return;
	op = history_op_new(h, aap, revision);
	op->req = kube_delete(h->client, path, js_str(obj, "metadata.uid"), history_on_pruned, op);
}

static int history_compare(const void *a, const void *b)
{
	int64_t x = history_number(*(struct json_object *const *)a);
	int64_t y = history_number(*(struct json_object *const *)b);

	return (x > y) - (x < y);
}

/* The limit counts old revisions, as a Deployment's does: what is served or asked for is not one.
 */
void history_prune(struct history *h, const struct aap *aap)
{
	size_t count = kube_informer_count(h->informer), it = 0, n = 0, i;
	CLEANUP(mem_freep)
	struct json_object **old = mem_alloc(count, sizeof(struct json_object *));
	struct json_object *obj;

	while (kube_informer_next(h->informer, &it, NULL, &obj))
		if (history_is_of(obj, aap) &&
		    !history_is_needed(
			aap, history_note(obj, "metadata.labels", HISTORY_REVISION_LABEL)))
			old[n++] = obj;
	qsort(old, n, sizeof(struct json_object *), history_compare);
	for (i = 0; i + (size_t)aap->spec.history_limit < n; i++)
		history_delete(h, aap, old[i]);
}

void history_close(struct history *h)
{
	if (!h)
		return;
	LIST_FOREACH(item, &h->writes) {
		struct history_op *op =
		    (struct history_op *)(void *)((char *)item - offsetof(struct history_op, link));

		kube_request_cancel(op->req);
		history_op_free(op);
	}
	kube_informer_close(h->informer);
	map_clear(&h->newest, NULL);
	free(h->path);
	free(h);
}
