#include "kube/informer.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/container_of.h"
#include "base/mem.h"
#include "kube/query.h"
#include "kube/random.h"
#include "kube/store.h"
#include "kube/watch.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * The happy path:
 *
 *  - kube_informer_start() asks for the first page of a list, and each page for the next. Objects
 * are told as they come; after the last page those that the list did not have are told as deleted.
 *  - A watch follows from the list's version. Each event is told and its version remembered.
 *  - The watch ends after some minutes, and another follows from the version seen last.
 *
 * What else can happen:
 *
 *  - The continue token or the version is no longer kept (410), or the server is behind it: list
 *    again, at once the first time.
 *  - A page is too long: ask for a smaller one.
 *  - Anything else, a watch that ends within a second and without an event included: wait, then go
 * on where we were. A watch that lived and broke is resumed at once.
 *  - The caller closes the informer inside a callback: `state` says so, every loop looks, and the
 *    memory lives until the timer is closed.
 *
 * Lists ask for the most recent state and not for whatever the server's cache holds (version 0): a
 * cache may lag behind what we saw before, and what is not in a list counts as deleted. It also
 * pages, which a list of version 0 does not.
 */

enum {
	INFORMER_PAGE = 500,
	INFORMER_PAGE_BYTES = 32 << 20,
	INFORMER_LIST_TIMEOUT_MS = 60000,
	INFORMER_GOOD_MS = 120000,
	INFORMER_SHORT_MS = 1000,
};

#define INFORMER_ACCEPT_LIST "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
#define INFORMER_ACCEPT_WATCH "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

enum informer_state { INFORMER_LISTING, INFORMER_WATCHING, INFORMER_WAITING, INFORMER_CLOSED };

struct kube_informer {
	struct kube_client *client;
	struct kube_informer_spec spec;
	char *path, *label_selector, *field_selector;
	enum informer_state state;
	struct kube_request *list; /* not NULL in INFORMER_LISTING */
	struct kube_watch *watch;  /* not NULL in INFORMER_WATCHING */
	uv_timer_t timer;          /* runs in INFORMER_WAITING */

	struct store store;
	bool has_synced;
	char *version;      /* seen last; NULL: list */
	char *next_page;    /* the continue token; NULL: the first page */
	unsigned int limit; /* of a page; 0: none */

	struct backoff backoff;
	int64_t trouble_ms;       /* when something failed last */
	int64_t watch_started_ms; /* of the present watch */
	bool watch_had_event;
	unsigned int n_gone; /* lists in a row that did not lead to a watch */
};

static void informer_go_on(struct kube_informer *inf);

static void informer_become(struct kube_informer *inf, enum informer_state state)
{
	static const bool allowed[4][4] = {
	    [INFORMER_LISTING] = {[INFORMER_LISTING] = true,
				  [INFORMER_WATCHING] = true,
				  [INFORMER_WAITING] = true,
				  [INFORMER_CLOSED] = true},
	    [INFORMER_WATCHING] = {[INFORMER_LISTING] = true,
				   [INFORMER_WATCHING] = true,
				   [INFORMER_WAITING] = true,
				   [INFORMER_CLOSED] = true},
	    [INFORMER_WAITING] =
		{[INFORMER_LISTING] = true, [INFORMER_WATCHING] = true, [INFORMER_CLOSED] = true},
	};

	if (!allowed[inf->state][state])
		abort();
	inf->state = state;
}

static bool informer_is_closed(const struct kube_informer *inf)
{
	return inf->state == INFORMER_CLOSED;
}

static void informer_trim(struct kube_informer *inf, struct json_object *obj)
{
	struct json_object *metadata = js_object(obj, "metadata");

	if (metadata)
		json_object_object_del(metadata, "managedFields");
	if (inf->spec.trim)
		inf->spec.trim(obj);
	js_shrink(obj);
}

/* Tell what the store made of an object. */
static void informer_tell(struct kube_informer *inf, enum store_change change,
			  struct json_object *obj, struct json_object *old)
{
	if (change == STORE_ADDED && inf->spec.on_add)
		inf->spec.on_add(inf->spec.data, obj);
	else if (change == STORE_UPDATED && inf->spec.on_update)
		inf->spec.on_update(inf->spec.data, old, obj);
	else if (change == STORE_DELETED && inf->spec.on_delete)
		inf->spec.on_delete(inf->spec.data, old);
}

static void informer_on_timer(uv_timer_t *timer)
{
	informer_go_on(container_of(timer, struct kube_informer, timer));
}

/* Something failed: go on after a while, at least `min_ms`. */
static void informer_wait(struct kube_informer *inf, const char *why, int64_t min_ms)
{
	const int64_t now_ms = clock_mono_ms();
	uint64_t wait_ms;

	if (now_ms - inf->trouble_ms > INFORMER_GOOD_MS)
		backoff_reset(&inf->backoff);
	inf->trouble_ms = now_ms;
	wait_ms = backoff_next(&inf->backoff, kube_random());
	if (min_ms > (int64_t)wait_ms)
		wait_ms = (uint64_t)min_ms;
	informer_become(inf, INFORMER_WAITING);
	uv_timer_start(&inf->timer, informer_on_timer, wait_ms, 0);
	if (inf->spec.on_trouble)
		inf->spec.on_trouble(inf->spec.data, why);
}

/* The version is of no more use: list, at once unless that was just tried. */
static void informer_list_again(struct kube_informer *inf, const char *why)
{
	mem_replace(&inf->version, NULL);
	mem_replace(&inf->next_page, NULL);
	if (inf->n_gone++ == 0)
		informer_go_on(inf);
	else
		informer_wait(inf, why, 0);
}

static void informer_take_items(struct kube_informer *inf, struct json_object *items)
{
	size_t i;

	for (i = 0; i < js_len(items) && !informer_is_closed(inf); i++) {
		struct json_object *item = js_item(items, i);
		CLEANUP(js_putp) struct json_object *old = NULL;
		enum store_change change;

		informer_trim(inf, item);
		change = store_list_put(&inf->store, item, &old);
		informer_tell(inf, change, item, old);
	}
}

static void informer_end_list(struct kube_informer *inf)
{
	struct json_object *old;

	while (!informer_is_closed(inf) && store_list_end(&inf->store, &old)) {
		informer_tell(inf, STORE_DELETED, NULL, old);
		json_object_put(old);
	}
	if (informer_is_closed(inf) || inf->has_synced)
		return;
	inf->has_synced = true;
	if (inf->spec.on_synced)
		inf->spec.on_synced(inf->spec.data);
}

static void informer_take_page(struct kube_informer *inf, struct json_object *page)
{
	const char *version = js_str_or_empty(page, "metadata.resourceVersion");
	const char *next = js_str_or_empty(page, "metadata.continue");

	if (!js_array(page, "items") && js_at(page, "items")) {
		informer_wait(inf, "the list has no items", 0);
		return;
	}
	mem_replace(&inf->next_page, *next ? mem_strdup(next) : NULL);
	if (!*next)
		mem_replace(&inf->version, mem_strdup(version));
	informer_take_items(inf, js_array(page, "items"));
	if (!*next)
		informer_end_list(inf);
	if (!informer_is_closed(inf))
		informer_go_on(inf);
}

static void informer_on_page(void *data, const struct kube_result *res)
{
	struct kube_informer *inf = data;

	inf->list = NULL;
	if (res->outcome == KUBE_OK) {
		informer_take_page(inf, res->obj);
	} else if (res->outcome == KUBE_GONE && inf->next_page) {
		/* etcd forgot the version in the middle of the list: all of it in one piece. */
		inf->limit = 0;
		informer_list_again(inf, res->why);
	} else if (res->outcome == KUBE_TOO_LONG && inf->limit != 1) {
		inf->limit = inf->limit == 0 ? INFORMER_PAGE / 4 : (inf->limit + 3) / 4;
		informer_go_on(inf);
	} else {
		mem_replace(&inf->next_page, NULL);
		informer_wait(inf, res->why, res->retry_after_ms);
	}
}

static void informer_list(struct kube_informer *inf)
{
	struct buf query = BUF_INIT(SIZE_MAX);
	char limit[16];
	struct kube_request_spec spec = {
	    .method = "GET",
	    .path = inf->path,
	    .accept = inf->spec.as_metadata ? INFORMER_ACCEPT_LIST : NULL,
	    .timeout_ms = INFORMER_LIST_TIMEOUT_MS,
	    .max_body = INFORMER_PAGE_BYTES,
	};

	informer_become(inf, INFORMER_LISTING);
	if (!inf->next_page)
		store_list_begin(&inf->store);
	snprintf(limit, sizeof(limit), "%u", inf->limit);
	kube_query_add(&query, "limit", inf->limit > 0 ? limit : NULL);
	kube_query_add(&query, "continue", inf->next_page);
	kube_query_add(&query, "labelSelector", inf->label_selector);
	kube_query_add(&query, "fieldSelector", inf->field_selector);
	spec.query = buf_text(&query);
	inf->list = kube_request_start(inf->client, &spec, informer_on_page, inf);
	buf_clear(&query);
}

static void informer_on_event(void *data, enum watch_event_kind kind, struct json_object *obj)
{
	struct kube_informer *inf = data;
	CLEANUP(js_putp) struct json_object *old = NULL;
	const char *version = js_str(obj, "metadata.resourceVersion");
	enum store_change change;

	inf->watch_had_event = true;
	inf->n_gone = 0;
	if (version && *version)
		mem_replace(&inf->version, mem_strdup(version));
	if (kind == WATCH_BOOKMARK)
		return;
	informer_trim(inf, obj);
	if (kind == WATCH_DELETED)
		change = store_delete(&inf->store, obj, &old);
	else
		change = store_put(&inf->store, obj, &old);
	informer_tell(inf, change, obj, old);
}

/* The watch was refused, or what it said makes no sense; its version is to blame or not. */
static void informer_on_bad_watch(struct kube_informer *inf, const struct kube_result *res)
{
	switch (res->outcome) {
	case KUBE_TOO_LONG:
	case KUBE_BAD_ANSWER:
	case KUBE_INVALID:
		/* The same version would lead to the same event again. */
		mem_replace(&inf->version, NULL);
		break;
	default:
		break;
	}
	informer_wait(inf, res->why, res->retry_after_ms);
}

static void informer_on_watch_end(void *data, const struct kube_result *res)
{
	struct kube_informer *inf = data;
	const bool lived =
	    inf->watch_had_event || clock_mono_ms() - inf->watch_started_ms >= INFORMER_SHORT_MS;

	inf->watch = NULL;
	if (lived)
		inf->n_gone = 0;
	if (res->outcome == KUBE_GONE || res->outcome == KUBE_FUTURE)
		informer_list_again(inf, res->why);
	else if (lived && (res->outcome == KUBE_OK || res->outcome == KUBE_UNREACHABLE))
		informer_go_on(inf);
	else if (res->outcome == KUBE_OK)
		informer_wait(inf, "the watch ended at once, without an event", 0);
	else
		informer_on_bad_watch(inf, res);
}

static void informer_watch(struct kube_informer *inf)
{
	const struct kube_watch_spec spec = {
	    .path = inf->path,
	    .label_selector = inf->label_selector,
	    .field_selector = inf->field_selector,
	    .accept = inf->spec.as_metadata ? INFORMER_ACCEPT_WATCH : NULL,
	    .resource_version = inf->version,
	    .on_event = informer_on_event,
	    .on_end = informer_on_watch_end,
	    .data = inf,
	};

	informer_become(inf, INFORMER_WATCHING);
	inf->limit = INFORMER_PAGE;
	inf->watch_had_event = false;
	inf->watch_started_ms = clock_mono_ms();
	inf->watch = kube_watch_start(inf->client, &spec);
}

static void informer_go_on(struct kube_informer *inf)
{
	if (inf->version && !inf->next_page)
		informer_watch(inf);
	else
		informer_list(inf);
}

struct kube_informer *kube_informer_start(struct kube_client *client,
					  const struct kube_informer_spec *spec)
{
	struct kube_informer *inf = MEM_NEW(struct kube_informer);

	*inf = (struct kube_informer){
	    .client = client,
	    .spec = *spec,
	    .path = mem_strdup(spec->path),
	    .label_selector = mem_strdup(spec->label_selector),
	    .field_selector = mem_strdup(spec->field_selector),
	    .state = INFORMER_WAITING,
	    .limit = INFORMER_PAGE,
	    .backoff = {.first_ms = 800, .max_ms = 30000, .factor = 2.0, .jitter = 1.0},
	    .trouble_ms = clock_mono_ms(),
	};
	uv_timer_init(kube_client_loop(client), &inf->timer);
	informer_go_on(inf);
	return inf;
}

static void informer_free(uv_handle_t *timer)
{
	struct kube_informer *inf = container_of(timer, struct kube_informer, timer);

	store_clear(&inf->store);
	free(inf->path);
	free(inf->label_selector);
	free(inf->field_selector);
	free(inf->version);
	free(inf->next_page);
	free(inf);
}

void kube_informer_close(struct kube_informer *inf)
{
	informer_become(inf, INFORMER_CLOSED);
	if (inf->list)
		kube_request_cancel(inf->list);
	if (inf->watch)
		kube_watch_cancel(inf->watch);
	uv_close((uv_handle_t *)&inf->timer, informer_free);
}

bool kube_informer_has_synced(const struct kube_informer *inf)
{
	return inf->has_synced;
}

struct json_object *kube_informer_get(const struct kube_informer *inf, const char *key)
{
	return store_get(&inf->store, key);
}

size_t kube_informer_count(const struct kube_informer *inf)
{
	return store_count(&inf->store);
}

bool kube_informer_next(const struct kube_informer *inf, size_t *it, const char **ret_key,
			struct json_object **ret_obj)
{
	return store_next(&inf->store, it, ret_key, ret_obj);
}

void kube_informer_note(struct kube_informer *inf, struct json_object *obj)
{
	CLEANUP(js_putp) struct json_object *old = NULL;
	enum store_change change;

	informer_trim(inf, obj);
	change = store_note(&inf->store, obj, &old);
	informer_tell(inf, change, obj, old);
}
