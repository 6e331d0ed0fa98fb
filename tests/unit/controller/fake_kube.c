#include "fake_kube.h"

#include "base/buf.h"
#include "base/container_of.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/patch.h"
#include "kube/retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_REVIEWS "/apis/authentication.k8s.io/v1/tokenreviews"

struct kube_client {
	uv_loop_t *loop;
	uv_timer_t soon;
	struct list waiting; /* requests */
	struct list streams; /* watches that stand */
	size_t n_waiting, n_most;
	struct map objects;         /* path -> struct json_object */
	struct json_object *events; /* of all time, in order */
	int64_t version;
	struct buf writes;
	bool held;
	char *fail_prefix;
	enum kube_outcome fail_outcome;
	struct json_object *(*review)(void *data, const char *token);
	void *review_data;
};

struct fake_kube {
	struct kube_client client;
};

struct kube_request {
	struct kube_client *client;
	struct list link;
	char *method, *path, *query;
	struct json_object *body;
	kube_done_fn done;
	bool (*on_data)(void *data, const char *bytes, size_t n);
	void *data;
	size_t told; /* a stream: events looked at */
};

static void fake_on_soon(uv_timer_t *timer);

static void fake_wake(struct kube_client *c)
{
	if (!c->held)
		uv_timer_start(&c->soon, fake_on_soon, 0, 0);
}

/* Objects and events. */

static char *fake_path_of(const char *collection, struct json_object *obj)
{
	return mem_printf("%s/%s", collection, js_str_or_empty(obj, "metadata.name"));
}

static void fake_event(struct kube_client *c, const char *type, const char *path,
		       struct json_object *obj)
{
	struct json_object *event = js_new();

	js_put_str(event, "type", type);
	js_put_str(event, "path", path);
	js_put_i64(event, "version", c->version);
	js_put(event, "object", merge_patch_apply(NULL, obj));
	js_append(c->events, event);
	fake_wake(c);
}

static void fake_stamp(struct kube_client *c, struct json_object *obj, bool is_new)
{
	CLEANUP(mem_freep) char *version = mem_printf("%lld", (long long)++c->version);
	CLEANUP(mem_freep) char *uid = mem_printf("uid-%s", version);
	struct json_object *metadata = js_object(obj, "metadata");

	js_put_str(metadata, "resourceVersion", version);
	if (is_new) {
		js_put_str(metadata, "uid", uid);
		js_put_i64(metadata, "generation", 1);
	}
}

static void fake_store(struct kube_client *c, const char *path, struct json_object *obj)
{
	bool is_new = !map_get(&c->objects, path);

	fake_stamp(c, obj, is_new);
	json_object_put(map_put(&c->objects, path, obj));
	fake_event(c, is_new ? "ADDED" : "MODIFIED", path, obj);
}

void fake_kube_put(struct fake_kube *fake, const char *collection, struct json_object *obj)
{
	CLEANUP(mem_freep) char *path = fake_path_of(collection, obj);

	fake_store(&fake->client, path, obj);
}

void fake_kube_remove(struct fake_kube *fake, const char *path)
{
	struct kube_client *c = &fake->client;
	struct json_object *obj = map_del(&c->objects, path);

	fake_stamp(c, obj, false);
	fake_event(c, "DELETED", path, obj);
	json_object_put(obj);
}

struct json_object *fake_kube_get(struct fake_kube *fake, const char *path)
{
	return map_get(&fake->client.objects, path);
}

/* Requests. */

static struct json_object *fake_status(const char *reason)
{
	struct json_object *status = js_new();

	js_put_str(status, "kind", "Status");
	js_put_str(status, "reason", reason);
	return status;
}

static int fake_create(struct kube_client *c, const struct kube_request *req,
		       struct json_object **ret)
{
	CLEANUP(mem_freep) char *path = fake_path_of(req->path, req->body);
	struct json_object *obj;

	if (map_get(&c->objects, path)) {
		*ret = fake_status("AlreadyExists");
		return 409;
	}
	obj = merge_patch_apply(NULL, req->body);
	if (strstr(path, "/apparmornodes/"))
		json_object_object_del(obj, "status"); /* a subresource */
	fake_store(c, path, obj);
	*ret = merge_patch_apply(NULL, obj);
	return 201;
}

static int fake_review(struct kube_client *c, const struct kube_request *req,
		       struct json_object **ret)
{
	*ret = merge_patch_apply(NULL, req->body);
	js_put(*ret, "status", c->review(c->review_data, js_str(req->body, "spec.token")));
	return 201;
}

static int fake_patch(struct kube_client *c, const struct kube_request *req,
		      struct json_object **ret)
{
	CLEANUP(mem_freep) char *path = mem_strdup(req->path);
	const char *version = js_str(req->body, "metadata.resourceVersion");
	char *end = strrchr(path, '/');
	bool is_status = strcmp(end, "/status") == 0;
	struct json_object *old, *obj;

	if (is_status)
		*end = '\0';
	old = map_get(&c->objects, path);
	if (!old) {
		*ret = fake_status("NotFound");
		return 404;
	}
	if (version && strcmp(version, js_str_or_empty(old, "metadata.resourceVersion")) != 0) {
		*ret = fake_status("Conflict");
		return 409;
	}
	obj = merge_patch_apply(old, req->body);
	if (!json_object_equal(obj, old))
		fake_store(c, path, obj);
	else
		json_object_put(obj);
	*ret = merge_patch_apply(NULL, map_get(&c->objects, path));
	return 200;
}

/* True for the objects of a collection, or the one that the query names. */
static bool fake_selects(const struct kube_request *req, const char *path)
{
	size_t n = strlen(req->path);
	const char *field = req->query ? strstr(req->query, "metadata.name%3D") : NULL;

	if (strncmp(path, req->path, n) != 0 || path[n] != '/' || strchr(path + n + 1, '/'))
		return false;
	if (!field)
		return true;
	field += strlen("metadata.name%3D");
	return strlen(path + n + 1) == strcspn(field, "&") &&
	       strncmp(path + n + 1, field, strcspn(field, "&")) == 0;
}

static int fake_list(struct kube_client *c, const struct kube_request *req,
		     struct json_object **ret)
{
	CLEANUP(mem_freep) char *version = mem_printf("%lld", (long long)c->version);
	struct json_object *metadata = js_new(), *items = js_new_array();
	const char *path;
	void *obj;
	size_t it = 0;

	while (map_next(&c->objects, &it, &path, &obj))
		if (fake_selects(req, path))
			js_append(items, merge_patch_apply(NULL, obj));
	*ret = js_new();
	js_put_str(metadata, "resourceVersion", version);
	js_put(*ret, "metadata", metadata);
	js_put(*ret, "items", items);
	return 200;
}

static int fake_read(struct kube_client *c, const struct kube_request *req,
		     struct json_object **ret)
{
	struct json_object *obj = map_get(&c->objects, req->path);

	if (obj) {
		*ret = merge_patch_apply(NULL, obj);
		return 200;
	}
	*ret = fake_status("NotFound");
	return 404;
}

static int fake_serve(struct kube_client *c, const struct kube_request *req,
		      struct json_object **ret)
{
	if (strcmp(req->method, "GET") == 0 && req->query && strstr(req->query, "limit="))
		return fake_list(c, req, ret);
	if (strcmp(req->method, "GET") == 0)
		return fake_read(c, req, ret);
	buf_addf(&c->writes, "%s %s\n", req->method, req->path);
	if (strcmp(req->path, FAKE_REVIEWS) == 0)
		return fake_review(c, req, ret);
	if (strcmp(req->method, "POST") == 0)
		return fake_create(c, req, ret);
	if (strcmp(req->method, "PATCH") == 0)
		return fake_patch(c, req, ret);
	abort();
}

static void fake_free(struct kube_request *req)
{
	list_remove(&req->link);
	json_object_put(req->body);
	free(req->method);
	free(req->path);
	free(req->query);
	free(req);
}

static void fake_answer(struct kube_request *req)
{
	struct kube_client *c = req->client;
	CLEANUP(js_putp) struct json_object *obj = NULL;
	struct kube_result res = {.retry_after_ms = -1, .why = ""};
	kube_done_fn done = req->done;
	void *data = req->data;

	c->n_waiting--;
	if (c->fail_prefix && str_has_prefix(req->path, c->fail_prefix)) {
		res.outcome = c->fail_outcome;
	} else {
		res.http_status = fake_serve(c, req, &obj);
		res.outcome = kube_outcome_of(res.http_status, obj);
		res.obj = obj;
	}
	if (res.outcome != KUBE_OK)
		res.why = kube_outcome_word(res.outcome);
	fake_free(req);
	done(data, &res);
}

/* `req` may be gone after this. */
static void fake_stream(struct kube_request *req)
{
	struct json_object *events = req->client->events;

	while (req->told < js_len(events)) {
		struct json_object *event = js_item(events, req->told++);
		CLEANUP(mem_freep) char *line = NULL;

		if (!fake_selects(req, js_str(event, "path")))
			continue;
		line = mem_printf("%s\n", js_print(event, NULL));
		req->on_data(req->data, line, strlen(line));
		fake_wake(req->client); /* the rest in the next turn, for req may be gone */
		return;
	}
}

static void fake_on_soon(uv_timer_t *timer)
{
	struct kube_client *c = container_of(timer, struct kube_client, soon);

	LIST_FOREACH(item, &c->streams) {
		fake_stream(container_of(item, struct kube_request, link));
	}
	if (list_is_empty(&c->waiting))
		return;
	fake_wake(c);
	fake_answer(container_of(c->waiting.next, struct kube_request, link));
}

static struct kube_request *fake_start(struct kube_client *c, const char *method, const char *path,
				       const char *query, kube_done_fn done, void *data)
{
	struct kube_request *req = MEM_NEW(struct kube_request);

	req->client = c;
	req->method = mem_strdup(method);
	req->path = mem_strdup(path);
	req->query = mem_strdup(query);
	req->done = done;
	req->data = data;
	fake_wake(c);
	return req;
}

/* In the place of lib/kube/client.c. */

struct kube_request *kube_request_start(struct kube_client *c, const struct kube_request_spec *spec,
					kube_done_fn done, void *data)
{
	struct kube_request *req = fake_start(c, spec->method, spec->path, spec->query, done, data);

	req->body = merge_patch_apply(NULL, spec->body);
	list_append(&c->waiting, &req->link);
	if (++c->n_waiting > c->n_most)
		c->n_most = c->n_waiting;
	return req;
}

struct kube_request *kube_stream_start(struct kube_client *c, const struct kube_stream_spec *spec,
				       kube_done_fn done, void *data)
{
	struct kube_request *req = fake_start(c, "GET", spec->path, spec->query, done, data);
	const char *version = strstr(spec->query, "resourceVersion=");
	long long from = version ? strtoll(version + strlen("resourceVersion="), NULL, 10) : 0;

	req->on_data = spec->on_data;
	while (req->told < js_len(c->events) &&
	       js_i64(js_item(c->events, req->told), "version", 0) <= from)
		req->told++;
	list_append(&c->streams, &req->link);
	return req;
}

void kube_request_cancel(struct kube_request *req)
{
	if (!req->on_data)
		req->client->n_waiting--;
	fake_free(req);
}

uv_loop_t *kube_client_loop(const struct kube_client *c)
{
	return c->loop;
}

const char *kube_client_namespace(const struct kube_client *c)
{
	(void)c;
	return "hauberk-system";
}

/* What tests call. */

struct fake_kube *fake_kube_new(uv_loop_t *loop)
{
	struct fake_kube *fake = MEM_NEW(struct fake_kube);
	struct kube_client *c = &fake->client;

	c->loop = loop;
	c->events = js_new_array();
	c->writes.max = 1 << 20;
	list_init(&c->waiting);
	list_init(&c->streams);
	uv_timer_init(loop, &c->soon);
	return fake;
}

static void fake_put_object(void *value)
{
	json_object_put(value);
}

static void fake_on_closed(uv_handle_t *handle)
{
	struct kube_client *c = container_of(handle, struct kube_client, soon);

	map_clear(&c->objects, fake_put_object);
	json_object_put(c->events);
	buf_clear(&c->writes);
	free(c->fail_prefix);
	free(container_of(c, struct fake_kube, client));
}

void fake_kube_close(struct fake_kube *fake)
{
	uv_close((uv_handle_t *)&fake->client.soon, fake_on_closed);
}

struct kube_client *fake_kube_client(struct fake_kube *fake)
{
	return &fake->client;
}

void fake_kube_settle(struct fake_kube *fake)
{
	struct kube_client *c = &fake->client;

	do {
		uv_run(c->loop, UV_RUN_NOWAIT);
	} while (uv_is_active((uv_handle_t *)&c->soon));
	uv_run(c->loop, UV_RUN_NOWAIT); /* what was put off to the next turn */
}

void fake_kube_hold(struct fake_kube *fake, bool hold)
{
	fake->client.held = hold;
	if (hold)
		uv_timer_stop(&fake->client.soon);
	else
		fake_wake(&fake->client);
}

void fake_kube_fail(struct fake_kube *fake, const char *prefix, enum kube_outcome outcome)
{
	mem_replace(&fake->client.fail_prefix, mem_strdup(prefix));
	fake->client.fail_outcome = outcome;
}

void fake_kube_on_review(struct fake_kube *fake,
			 struct json_object *(*review)(void *data, const char *token), void *data)
{
	fake->client.review = review;
	fake->client.review_data = data;
}

char *fake_kube_writes(struct fake_kube *fake)
{
	return buf_steal(&fake->client.writes);
}

size_t fake_kube_n_waiting(const struct fake_kube *fake)
{
	return fake->client.n_waiting;
}

size_t fake_kube_n_most(const struct fake_kube *fake)
{
	return fake->client.n_most;
}
