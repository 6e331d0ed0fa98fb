#include "controller/certs.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/certs_rules.h"
#include "kube/informer.h"
#include "kube/patch.h"
#include "kube/random.h"

#include <stdlib.h>
#include <string.h>

/*
 * The happy path:
 *
 *  - Two informers, each on one object, sync; from then on every change of either, and the time at
 *    which something falls due, leads to certs_run().
 *  - It asks certs_decide(), tells of a new leaf, and does the one thing there is to do.
 *  - What was changed is noted, what was made is waited for, and it runs again, until there is
 *    nothing to do.
 *
 * What else can happen:
 *
 *  - Somebody else was faster: what exists already is waited for; what is newer than we knew is
 * read.
 *  - A write fails: it runs again after a while.
 */

#define CERTS_NAME "hauberk-controller.%s.svc"

enum {
	CERTS_LOOK_MS = 60 * 60 * 1000, /* a timer does not count the time that a machine slept */
	CERTS_APPEAR_MS = 5000,
};

enum certs_state {
	CERTS_SYNCING,
	CERTS_IDLE,
	CERTS_WRITING,
	CERTS_READING,   /* after a conflict */
	CERTS_APPEARING, /* it was made, by us or others: its event is to come */
	CERTS_WAITING,   /* after a failure */
	CERTS_STATES,
};

struct certs {
	struct kube_client *client;
	struct certs_spec spec;
	char *dns_name;
	char *secrets, *config_maps; /* paths of the collections */
	struct kube_informer *secret, *config_map;
	uv_timer_t timer;
	enum certs_state state;
	struct backoff backoff;
	bool leader;
	bool is_on_secret; /* what `req` is about */
	struct kube_request *req;
	char *leaf; /* that was told last */
	char *bundle;
};

static void certs_become(struct certs *c, enum certs_state state)
{
	static const bool allowed[CERTS_STATES][CERTS_STATES] = {
	    [CERTS_SYNCING] = {[CERTS_IDLE] = true},
	    [CERTS_IDLE] = {[CERTS_WRITING] = true, [CERTS_WAITING] = true},
	    [CERTS_WRITING] = {[CERTS_IDLE] = true,
			       [CERTS_READING] = true,
			       [CERTS_APPEARING] = true,
			       [CERTS_WAITING] = true},
	    [CERTS_READING] = {[CERTS_IDLE] = true, [CERTS_WAITING] = true},
	    [CERTS_APPEARING] = {[CERTS_IDLE] = true},
	    [CERTS_WAITING] = {[CERTS_IDLE] = true},
	};

	if (!allowed[c->state][state])
		abort();
	c->state = state;
}

static void certs_run(struct certs *c);

static void certs_on_timer(uv_timer_t *timer)
{
	struct certs *c = container_of(timer, struct certs, timer);

	if (c->state == CERTS_WAITING || c->state == CERTS_APPEARING)
		certs_become(c, CERTS_IDLE);
	certs_run(c);
}

static struct json_object *certs_object(const struct certs *c, bool is_secret)
{
	size_t it = 0;
	struct json_object *obj;

	return kube_informer_next(is_secret ? c->secret : c->config_map, &it, NULL, &obj) ? obj
											  : NULL;
}

/* Look in the next turn of the loop, unless a write or a wait is under way, after which it is done
 * anyway. */
static void certs_poke(struct certs *c)
{
	if (c->state == CERTS_SYNCING && kube_informer_has_synced(c->secret) &&
	    kube_informer_has_synced(c->config_map))
		certs_become(c, CERTS_IDLE);
	if (c->state == CERTS_APPEARING && certs_object(c, c->is_on_secret))
		certs_become(c, CERTS_IDLE);
	if (c->state == CERTS_IDLE)
		uv_timer_start(&c->timer, certs_on_timer, 0, 0);
}

static void certs_wait(struct certs *c)
{
	certs_become(c, CERTS_WAITING);
	uv_timer_start(&c->timer, certs_on_timer, backoff_next(&c->backoff, kube_random()), 0);
}

static struct certs_view certs_view(const struct certs *c)
{
	return (struct certs_view){
	    .secret = certs_object(c, true),
	    .config_map = certs_object(c, false),
	    .dns_name = c->dns_name,
	    .leader = c->leader,
	    .now_ms = clock_wall_ms(),
	};
}

static char *certs_path(const struct certs *c, bool is_secret)
{
	return is_secret ? mem_printf("%s/" CERTS_SECRET, c->secrets)
			 : mem_printf("%s/" CERTS_CONFIG_MAP, c->config_maps);
}

/* Writing. */

static void certs_fail(struct certs *c, const struct kube_result *res)
{
	log_warn("the controller's certificates could not be stored: it is tried again",
		 log_s("object", c->is_on_secret ? CERTS_SECRET : CERTS_CONFIG_MAP),
		 log_s("why", res->why));
	certs_wait(c);
}

/* An object that was read anew or changed by us. */
static void certs_note(struct certs *c, const struct kube_result *res)
{
	backoff_reset(&c->backoff);
	certs_become(c, CERTS_IDLE);
	kube_informer_note(c->is_on_secret ? c->secret : c->config_map, res->obj);
	certs_poke(c);
}

static void certs_on_read(void *data, const struct kube_result *res)
{
	struct certs *c = data;

	c->req = NULL;
	if (res->outcome == KUBE_OK)
		certs_note(c, res);
	else
		certs_fail(c, res);
}

static void certs_on_changed(void *data, const struct kube_result *res)
{
	struct certs *c = data;
	CLEANUP(mem_freep) char *path = certs_path(c, c->is_on_secret);

	c->req = NULL;
	if (res->outcome == KUBE_OK) {
		certs_note(c, res);
	} else if (res->outcome == KUBE_CONFLICT) {
		certs_become(c, CERTS_READING);
		c->req = kube_get(c->client, path, certs_on_read, c);
	} else {
		certs_fail(c, res);
	}
}

static void certs_on_created(void *data, const struct kube_result *res)
{
	struct certs *c = data;

	c->req = NULL;
	if (res->outcome != KUBE_OK && res->outcome != KUBE_ALREADY_EXISTS) {
		certs_fail(c, res);
		return;
	}
	backoff_reset(&c->backoff);
	certs_become(c, CERTS_APPEARING);
	uv_timer_start(&c->timer, certs_on_timer, CERTS_APPEAR_MS, 0);
	certs_poke(c); /* its event may have come already */
}

static struct json_object *certs_metadata(struct json_object *obj)
{
	if (!js_object(obj, "metadata"))
		js_put(obj, "metadata", js_new());
	return js_object(obj, "metadata");
}

/* A new object from what is to be in it. */
static void certs_create(struct certs *c, struct json_object *obj)
{
	struct json_object *metadata = certs_metadata(obj), *labels = js_new();

	js_put_str(labels, "app.kubernetes.io/name", "hauberk");
	js_put_str(labels, "app.kubernetes.io/component", "controller");
	js_put(metadata, "labels", labels);
	js_put_str(metadata, "name", c->is_on_secret ? CERTS_SECRET : CERTS_CONFIG_MAP);
	js_put_str(metadata, "namespace", c->spec.namespace_);
	js_put_str(obj, "apiVersion", "v1");
	js_put_str(obj, "kind", c->is_on_secret ? "Secret" : "ConfigMap");
	if (c->is_on_secret)
		js_put_str(obj, "type", "Opaque");
	c->req = kube_create(c->client, c->is_on_secret ? c->secrets : c->config_maps, obj,
			     certs_on_created, c);
}

/* A merge patch on the version that the decision was made on. */
static void certs_patch(struct certs *c, struct json_object *old, struct json_object *patch)
{
	CLEANUP(mem_freep) char *path = certs_path(c, c->is_on_secret);

	js_put_str(certs_metadata(patch), "resourceVersion",
		   js_str(old, "metadata.resourceVersion"));
	c->req = kube_merge_patch(c->client, path, patch, certs_on_changed, c);
}

static void certs_write_config_map(struct certs *c, const struct certs_view *view,
				   const char *bundle)
{
	CLEANUP(js_putp) struct json_object *obj = certs_make_config_map(view, bundle);

	c->is_on_secret = false;
	if (view->config_map)
		certs_patch(c, view->config_map, obj);
	else
		certs_create(c, obj);
}

static int certs_write_secret(struct certs *c, const struct certs_view *view,
			      enum certs_action action, struct err *err)
{
	CLEANUP(js_putp) struct json_object *obj = js_new();
	CLEANUP(js_putp) struct json_object *data = NULL;
	int r = certs_make_secret_data(view, action, &data, err);

	if (r < 0)
		return r;
	c->is_on_secret = true;
	if (view->secret) {
		struct json_object *diff = merge_patch_diff(js_object(view->secret, "data"), data);

		/* A null would take all of data away. */
		if (diff)
			js_put(obj, "data", diff);
		certs_patch(c, view->secret, obj);
	} else {
		js_put(obj, "data", STEAL(data));
		certs_create(c, obj);
	}
	return 0;
}

static void certs_act(struct certs *c, const struct certs_view *view,
		      const struct certs_decision *d)
{
	struct err err;

	log_write(d->is_damage ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "certificates",
		  (const struct log_field[]){
		      log_s("action", certs_action_name(d->action)), log_s("why", d->why), {0}});
	if (d->action == CERTS_CREATE_CONFIG_MAP || d->action == CERTS_UPDATE_CONFIG_MAP) {
		certs_write_config_map(c, view, d->bundle);
	} else if (certs_write_secret(c, view, d->action, &err) < 0) {
		log_error("a certificate could not be made: it is tried again",
			  log_s("why", err.msg));
		certs_wait(c);
		return;
	}
	certs_become(c, CERTS_WRITING);
}

/* Running. */

static void certs_tell_leaf(struct certs *c, struct json_object *secret)
{
	CLEANUP(mem_freep) char *cert = certs_secret_text(secret, "tls.crt");
	CLEANUP(mem_freep) char *key = certs_secret_text(secret, "tls.key");

	if (!str_equal(c->leaf, cert)) {
		mem_replace(&c->leaf, mem_strdup(cert));
		c->spec.on_leaf(c->spec.data, cert, key);
	}
	explicit_bzero(key, strlen(key));
}

static void certs_rest(struct certs *c, int64_t wait_ms)
{
	if (wait_ms > CERTS_LOOK_MS)
		wait_ms = CERTS_LOOK_MS;
	uv_timer_start(&c->timer, certs_on_timer, wait_ms > 0 ? (uint64_t)wait_ms : 1, 0);
}

static void certs_run(struct certs *c)
{
	struct certs_view view;
	struct certs_decision d;

	if (c->state != CERTS_IDLE)
		return;
	view = certs_view(c);
	certs_decide(&view, &d);
	mem_replace(&c->bundle, mem_strdup(d.bundle));
	if (d.action != CERTS_NOTHING)
		certs_act(c, &view, &d);
	else
		certs_rest(c, d.next_ms - view.now_ms);
	if (d.has_leaf)
		certs_tell_leaf(c, view.secret);
	certs_decision_clear(&d);
}

/* Following. */

static void certs_on_object(void *data, struct json_object *obj)
{
	(void)obj;
	certs_poke(data);
}

static void certs_on_update(void *data, struct json_object *old, struct json_object *obj)
{
	(void)old;
	(void)obj;
	certs_poke(data);
}

static void certs_on_synced(void *data)
{
	certs_poke(data);
}

static void certs_on_trouble(void *data, const char *why)
{
	(void)data;
	log_warn("the controller's certificates cannot be followed: it is tried again",
		 log_s("why", why));
}

static struct kube_informer *certs_follow(struct certs *c, const char *path, const char *selector)
{
	struct kube_informer_spec spec = {
	    .path = path,
	    .field_selector = selector,
	    .on_add = certs_on_object,
	    .on_update = certs_on_update,
	    .on_delete = certs_on_object,
	    .on_synced = certs_on_synced,
	    .on_trouble = certs_on_trouble,
	    .data = c,
	};

	return kube_informer_start(c->client, &spec);
}

struct certs *certs_start(struct kube_client *client, const struct certs_spec *spec)
{
	struct certs *c = MEM_NEW(struct certs);

	c->client = client;
	c->spec = *spec;
	c->spec.namespace_ = mem_strdup(spec->namespace_);
	c->dns_name = mem_printf(CERTS_NAME, spec->namespace_);
	c->secrets = mem_printf("/api/v1/namespaces/%s/secrets", spec->namespace_);
	c->config_maps = mem_printf("/api/v1/namespaces/%s/configmaps", spec->namespace_);
	c->backoff =
	    (struct backoff){.first_ms = 500, .max_ms = 60000, .factor = 2.0, .jitter = 0.5};
	uv_timer_init(kube_client_loop(client), &c->timer);
	c->secret = certs_follow(c, c->secrets, "metadata.name=" CERTS_SECRET);
	c->config_map = certs_follow(c, c->config_maps, "metadata.name=" CERTS_CONFIG_MAP);
	return c;
}

void certs_lead(struct certs *c)
{
	c->leader = true;
	certs_poke(c);
}

const char *certs_ca_bundle(const struct certs *c)
{
	return c->bundle ? c->bundle : "";
}

static void certs_free(uv_handle_t *handle)
{
	struct certs *c = container_of(handle, struct certs, timer);

	free((char *)c->spec.namespace_);
	free(c->dns_name);
	free(c->secrets);
	free(c->config_maps);
	free(c->leaf);
	free(c->bundle);
	free(c);
}

void certs_close(struct certs *c)
{
	if (c->req)
		kube_request_cancel(c->req);
	kube_informer_close(c->secret);
	kube_informer_close(c->config_map);
	uv_close((uv_handle_t *)&c->timer, certs_free);
}
