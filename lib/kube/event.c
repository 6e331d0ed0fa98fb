#include "kube/event.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/event_rules.h"
#include "kube/patch.h"
#include "kube/random.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The happy path:
 *
 *  - kube_recorder_event() asks the rules, and creates an Event or counts one up, under the name
 * that it was created with.
 *  - The answer comes. Where more of the same came meanwhile, one patch tells them all.
 *
 * What else can happen:
 *
 *  - The Event to be counted up has expired (404; the API server keeps them for an hour): it is
 * created again, with its count.
 *  - Anything else that does not better within five tries: it is forgotten, and the next is a new
 * one.
 *  - Too many requests are under way: the Event is dropped.
 */

enum {
	EVENT_TRIES = 5,
	EVENT_UNDER_WAY_MAX = 64,
	EVENT_MESSAGE_MAX = 1024,
	EVENT_NAME_PREFIX_MAX = 230, /* of the 253 that a name may have */
};

struct kube_recorder {
	struct kube_client *client;
	char *component, *instance;
	struct event_rules rules;
	struct list ops;
	size_t n_ops;
	bool closing;
	uv_timer_t timer; /* runs while closing */
	void (*closed)(void *data);
	void *data;
};

/* One request, and all that is needed to make another of it. */
struct event_op {
	struct list link;
	struct kube_recorder *rec;
	struct kube_request *request;
	char *key;
	char *collection;        /* path */
	struct json_object *obj; /* the Event without its name, count and times */
	bool is_create;
};

struct kube_object_ref kube_object_ref_of(struct json_object *obj, const char *api_version,
					  const char *kind)
{
	return (struct kube_object_ref){
	    .api_version = api_version,
	    .kind = kind,
	    .namespace_ = js_str(obj, "metadata.namespace"),
	    .name = js_str_or_empty(obj, "metadata.name"),
	    .uid = js_str(obj, "metadata.uid"),
	    .resource_version = js_str(obj, "metadata.resourceVersion"),
	};
}

struct kube_recorder *kube_recorder_new(struct kube_client *client, const char *component,
					const char *instance)
{
	struct kube_recorder *rec = MEM_NEW(struct kube_recorder);

	rec->client = client;
	rec->component = mem_strdup(component);
	rec->instance = mem_strdup(instance);
	event_rules_init(&rec->rules);
	list_init(&rec->ops);
	uv_timer_init(kube_client_loop(client), &rec->timer);
	return rec;
}

static void event_op_free(struct event_op *op)
{
	list_remove(&op->link);
	op->rec->n_ops--;
	json_object_put(op->obj);
	free(op->key);
	free(op->collection);
	free(op);
}

static void recorder_on_timer_closed(uv_handle_t *handle)
{
	struct kube_recorder *rec = container_of(handle, struct kube_recorder, timer);
	void (*closed)(void *data) = rec->closed;
	void *data = rec->data;

	event_rules_clear(&rec->rules);
	free(rec->component);
	free(rec->instance);
	free(rec);
	if (closed)
		closed(data);
}

static void recorder_end(struct kube_recorder *rec)
{
	LIST_FOREACH(it, &rec->ops) {
		struct event_op *op = container_of(it, struct event_op, link);

		kube_request_cancel(op->request);
		event_op_free(op);
	}
	if (!uv_is_closing((uv_handle_t *)&rec->timer))
		uv_close((uv_handle_t *)&rec->timer, recorder_on_timer_closed);
}

static void event_put_time(struct json_object *obj, const char *key, int64_t wall_ms)
{
	char text[CLOCK_TEXT_MAX];

	clock_format(wall_ms, text);
	js_put_str(obj, key, text);
}

static void event_on_done(void *data, const struct kube_result *res);

static void event_create(struct event_op *op, struct event_written *written)
{
	struct json_object *metadata = js_object(op->obj, "metadata");
	const struct kube_request_spec spec = {
	    .method = "POST", .path = op->collection, .body = op->obj, .tries = EVENT_TRIES};

	op->is_create = true;
	js_put_str(metadata, "name", written->name);
	js_put_i64(op->obj, "count", written->count);
	event_put_time(op->obj, "firstTimestamp", written->first_ms);
	event_put_time(op->obj, "lastTimestamp", written->last_ms);
	op->request = kube_request_start(op->rec->client, &spec, event_on_done, op);
}

static void event_patch(struct event_op *op, const struct event_written *written)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", op->collection, written->name);
	CLEANUP(js_putp) struct json_object *patch = js_new();
	const struct kube_request_spec spec = {.method = "PATCH",
					       .path = path,
					       .body = patch,
					       .content_type = "application/merge-patch+json",
					       .tries = EVENT_TRIES};

	op->is_create = false;
	js_put_str(patch, "message", js_str(op->obj, "message"));
	js_put_i64(patch, "count", written->count);
	event_put_time(patch, "lastTimestamp", written->last_ms);
	op->request = kube_request_start(op->rec->client, &spec, event_on_done, op);
}

static void event_send(struct event_op *op, struct event_written *written, bool create)
{
	written->busy = true;
	written->dirty = false;
	if (create)
		event_create(op, written);
	else
		event_patch(op, written);
}

/* True where another request follows. */
static bool event_go_on(struct event_op *op, enum kube_outcome outcome)
{
	struct event_written *written = event_find(&op->rec->rules, op->key);

	if (!written)
		return false;
	written->busy = false;
	if (outcome == KUBE_NOT_FOUND && !op->is_create) {
		event_send(op, written, true);
		return true;
	}
	/* Its own name: a former try had been carried out. */
	if (outcome != KUBE_OK && outcome != KUBE_ALREADY_EXISTS) {
		event_forget(&op->rec->rules, op->key);
		return false;
	}
	if (written->dirty)
		event_send(op, written, false);
	return written->busy;
}

static void event_on_done(void *data, const struct kube_result *res)
{
	struct event_op *op = data;
	struct kube_recorder *rec = op->rec;

	if (event_go_on(op, res->outcome))
		return;
	event_op_free(op);
	if (rec->closing && rec->n_ops == 0)
		recorder_end(rec);
}

static struct json_object *event_involved(const struct kube_object_ref *ref)
{
	struct json_object *obj = js_new();

	js_put_str(obj, "apiVersion", ref->api_version);
	js_put_str(obj, "kind", ref->kind);
	if (ref->namespace_ && *ref->namespace_)
		js_put_str(obj, "namespace", ref->namespace_);
	js_put_str(obj, "name", ref->name);
	js_put_str(obj, "uid", ref->uid);
	js_put_str(obj, "resourceVersion", ref->resource_version);
	return obj;
}

static const char *event_namespace(const struct kube_object_ref *ref)
{
	return ref->namespace_ && *ref->namespace_ ? ref->namespace_ : "default";
}

static const char *event_type_word(enum kube_event_type type)
{
	return type == KUBE_EVENT_WARNING ? "Warning" : "Normal";
}

static struct json_object *event_object(const struct kube_recorder *rec,
					const struct kube_object_ref *ref,
					enum kube_event_type type, const char *reason,
					const char *message)
{
	struct json_object *obj = js_new();
	struct json_object *metadata = js_new();
	struct json_object *source = js_new();

	js_put_str(metadata, "namespace", event_namespace(ref));
	js_put_str(source, "component", rec->component);
	js_put_str(obj, "apiVersion", "v1");
	js_put_str(obj, "kind", "Event");
	js_put(obj, "metadata", metadata);
	js_put(obj, "involvedObject", event_involved(ref));
	js_put_str(obj, "type", event_type_word(type));
	js_put_str(obj, "reason", reason);
	js_put_str(obj, "message", message);
	js_put(obj, "source", source);
	js_put_str(obj, "reportingComponent", rec->component);
	js_put_str(obj, "reportingInstance", rec->instance);
	return obj;
}

/* A name that is free: the object's, cut, and chance. A dot must not follow what is no letter or
 * digit. */
static char *event_name(const char *object_name)
{
	size_t n = strnlen(object_name, EVENT_NAME_PREFIX_MAX);

	while (n > 0 && (object_name[n - 1] == '.' || object_name[n - 1] == '-'))
		n--;
	return mem_printf("%.*s.%016" PRIx64, (int)n, object_name, kube_random());
}

/* More of the same while a request is under way: the next one tells the last message. */
static void recorder_add_to(struct kube_recorder *rec, const struct event_decision *decision,
			    const char *message)
{
	decision->written->dirty = true;
	LIST_FOREACH(it, &rec->ops) {
		struct event_op *op = container_of(it, struct event_op, link);

		if (str_equal(op->key, decision->key))
			js_put_str(op->obj, "message", message);
	}
}

static void recorder_take(struct kube_recorder *rec, const struct kube_object_ref *ref,
			  enum kube_event_type type, const char *reason, const char *message)
{
	CLEANUP(mem_freep)
	char *object = mem_printf("%s/%s/%s/%s", ref->kind, ref->namespace_ ? ref->namespace_ : "",
				  ref->name, ref->uid ? ref->uid : "");
	CLEANUP(mem_freep) char *group = mem_printf("%s/%s", event_type_word(type), reason);
	CLEANUP(mem_freep) char *combined = NULL;
	struct event_decision decision =
	    event_decide(&rec->rules, object, group, message, clock_wall_ms());
	struct event_op *op;

	if (decision.verdict == EVENT_DROP)
		return;
	if (decision.combined) {
		combined = mem_printf("(combined from similar events): %s", message);
		message = combined;
	}
	if (decision.written->busy) {
		recorder_add_to(rec, &decision, message);
		return;
	}
	op = MEM_NEW(struct event_op);
	op->rec = rec;
	op->key = mem_strdup(decision.key);
	op->collection = mem_printf("/api/v1/namespaces/%s/events", event_namespace(ref));
	op->obj = event_object(rec, ref, type, reason, message);
	list_append(&rec->ops, &op->link);
	rec->n_ops++;
	if (decision.verdict == EVENT_CREATE)
		decision.written->name = event_name(ref->name);
	event_send(op, decision.written, decision.verdict == EVENT_CREATE);
}

void kube_recorder_event(struct kube_recorder *rec, const struct kube_object_ref *ref,
			 enum kube_event_type type, const char *reason, const char *fmt, ...)
{
	char message[EVENT_MESSAGE_MAX + 8];
	va_list ap;

	if (rec->closing || rec->n_ops >= EVENT_UNDER_WAY_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	str_make_printable(message, EVENT_MESSAGE_MAX - 40);
	recorder_take(rec, ref, type, reason, message);
}

static void recorder_on_late(uv_timer_t *timer)
{
	recorder_end(container_of(timer, struct kube_recorder, timer));
}

void kube_recorder_close(struct kube_recorder *rec, uint64_t timeout_ms, void (*closed)(void *data),
			 void *data)
{
	rec->closing = true;
	rec->closed = closed;
	rec->data = data;
	if (rec->n_ops == 0)
		recorder_end(rec);
	else
		uv_timer_start(&rec->timer, recorder_on_late, timeout_ms, 0);
}
