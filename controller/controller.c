#include "controller/controller.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/artefact.h"
#include "controller/certs.h"
#include "controller/effects.h"
#include "controller/engine.h"
#include "controller/history.h"
#include "controller/home.h"
#include "controller/identity.h"
#include "controller/local_server.h"
#include "controller/node_objects.h"
#include "controller/sync_server.h"
#include "controller/view_server.h"
#include "kube/client.h"
#include "kube/event.h"
#include "kube/informer.h"
#include "kube/lease.h"
#include "policy/compiler.h"
#include "policy/features.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The happy path:
 *
 *  - controller_run() makes what needs no API server: compiler, artefact store.
 *  - Informers, certificates and the lease start; with the first certificate the agents' door
 * opens, and sends agents away as long as we do not lead.
 *  - We are elected, and all caches have synced: the engine starts.
 *  - Each fact pokes the loop; a turn gives the engine the answers that wait, runs it once, and
 * releases polls.
 *  - SIGTERM: the door closes, work stops, the lease is released, Events are flushed.
 *
 * What else can happen:
 *
 *  - The lease is lost: somebody else may lead now, so we exit at once and do nothing more.
 *  - A second signal ends the process at once.
 *  - Our namespace is Terminating: the engine takes finalizers off and nothing is unloaded.
 */

enum {
	CONTROLLER_EVENTS_MS = 2000,
	CONTROLLER_SETTLE_MS = 3000, /* how often memory is looked through while there is work */
};

#define CONTROLLER_LEASE "hauberk-controller"

struct controller {
	const struct controller_options *options;
	uv_loop_t loop;
	uv_idle_t turn;
	uv_timer_t deadline;
	uv_timer_t settle; /* runs since the engine last had work */
	uv_signal_t sigterm, sigint;

	char *namespace_;
	struct kube_client *client;
	struct compiler *compiler;
	struct artefact_store *artefacts;
	struct identity *identity;
	struct certs *certs;
	struct kube_recorder *recorder;
	struct kube_informer *profiles, *nodes;
	struct home *home;
	struct kube_lease *lease;
	struct history *history;
	struct node_objects *node_objects;
	struct engine *engine;
	struct effects *effects;
	struct sync_server *sync;
	struct local_server *local;
	struct view_server *view;

	int64_t epoch; /* 0: we do not lead */
	bool ending;
	int failed; /* a negative errno that ended it */
	struct err *err;
};

static void controller_end(struct controller *c);

/* Turns of the loop. */

static void controller_on_turn(uv_idle_t *turn);

static void controller_poke(void *data)
{
	struct controller *c = data;

	if (!c->ending)
		uv_idle_start(&c->turn, controller_on_turn);
}

static void controller_on_deadline(uv_timer_t *timer)
{
	controller_poke(container_of(timer, struct controller, deadline));
}

/* What a rollout, or a cluster read anew, took lies in pieces between what stays. */
static void controller_on_settle(uv_timer_t *timer)
{
	(void)timer;
	malloc_trim(0);
}

static void controller_on_turn(uv_idle_t *turn)
{
	struct controller *c = container_of(turn, struct controller, turn);
	int64_t now = clock_steady_ms();
	int64_t next;
	bool more;

	effects_flush(c->effects);
	if (engine_has_work(c->engine) && !uv_is_active((uv_handle_t *)&c->settle))
		uv_timer_start(&c->settle, controller_on_settle, CONTROLLER_SETTLE_MS, 0);
	next = engine_run(c->engine, now);
	more = c->sync && sync_server_release(c->sync);
	if (!more && !engine_has_work(c->engine))
		uv_idle_stop(&c->turn);
	if (next == INT64_MAX)
		uv_timer_stop(&c->deadline);
	else
		uv_timer_start(&c->deadline, controller_on_deadline,
			       next > now ? (uint64_t)(next - now) : 1, 0);
}

/* Leading. */

static bool controller_is_ready(const struct controller *c)
{
	return c->epoch > 0 && kube_informer_has_synced(c->profiles) &&
	       kube_informer_has_synced(c->nodes) && history_has_synced(c->history) &&
	       node_objects_has_synced(c->node_objects);
}

static void controller_start_if_ready(void *data)
{
	struct controller *c = data;

	if (!controller_is_ready(c) || engine_is_started(c->engine))
		return;
	log_info("leading", log_i("epoch", c->epoch),
		 log_i("profiles", (int64_t)kube_informer_count(c->profiles)),
		 log_i("nodes", (int64_t)kube_informer_count(c->nodes)));
	engine_start(c->engine, clock_steady_ms());
	if (c->sync)
		sync_server_lead(c->sync, c->epoch);
	controller_poke(c);
}

static void controller_on_elected(void *data, int64_t epoch)
{
	struct controller *c = data;

	c->epoch = epoch;
	certs_lead(c->certs);
	if (c->sync)
		sync_server_lead(c->sync, epoch);
	controller_start_if_ready(c);
}

/* Nothing that we began may go on beside a new leader. */
static void controller_on_lost(void *data, const char *why)
{
	(void)data;
	log_error("the lease is lost, so this process ends", log_s("why", why));
	_exit(1);
}

static void controller_on_leader(void *data, const char *identity)
{
	struct controller *c = data;
	const char *at = strchr(identity, '@');

	log_info("the leader is known", log_s("identity", identity));
	if (c->sync)
		sync_server_follow(c->sync, at ? at + 1 : "");
}

static void controller_on_lease_trouble(void *data, const char *why)
{
	(void)data;
	log_warn("the lease cannot be kept", log_s("why", why));
}

/* Objects. */

static void controller_on_profile(void *data, struct json_object *obj)
{
	struct controller *c = data;

	log_debug("profile seen", log_s("profile", js_str_or_empty(obj, "metadata.name")),
		  log_i("generation", js_i64(obj, "metadata.generation", 0)));
	engine_profile_seen(c->engine, obj, clock_steady_ms());
	controller_poke(c);
}

static void controller_on_profile_update(void *data, struct json_object *old,
					 struct json_object *obj)
{
	(void)old;
	controller_on_profile(data, obj);
}

static void controller_on_profile_gone(void *data, struct json_object *obj)
{
	struct controller *c = data;

	engine_profile_gone(c->engine, js_str_or_empty(obj, "metadata.name"));
	controller_poke(c);
}

static void controller_on_node(void *data, struct json_object *obj)
{
	struct controller *c = data;

	engine_node_seen(c->engine, obj, clock_steady_ms());
	controller_poke(c);
}

static void controller_on_node_update(void *data, struct json_object *old, struct json_object *obj)
{
	(void)old;
	controller_on_node(data, obj);
}

static void controller_on_node_gone(void *data, struct json_object *obj)
{
	struct controller *c = data;

	engine_node_gone(c->engine, js_str_or_empty(obj, "metadata.name"));
	node_objects_forget(c->node_objects, js_str_or_empty(obj, "metadata.name"));
	controller_poke(c);
}

static void controller_on_namespace_going(void *data)
{
	struct controller *c = data;

	log_warn("our namespace is being deleted: finalizers are taken off, and every profile "
		 "stays loaded");
	engine_uninstall(c->engine);
	controller_poke(c);
}

static void controller_on_trouble(void *data, const char *why)
{
	(void)data;
	log_warn("the API server cannot be followed", log_s("why", why));
}

/* Labels, uid and age are all that is asked of a Node. */
static void controller_trim_node(struct json_object *obj)
{
	struct json_object *meta = js_object(obj, "metadata");

	if (meta)
		json_object_object_del(meta, "annotations");
}

/* An agent was on this node once, and a former leader may have left removals to be told. */
static void controller_on_node_object(void *data, const char *node, bool is_new)
{
	struct controller *c = data;
	struct node_removal *noted;
	size_t n = node_objects_pending(c->node_objects, node, &noted);
	struct pending_removal *removals = mem_alloc(n, sizeof(*removals));
	size_t i;

	for (i = 0; i < n; i++) {
		removals[i].profile = mem_strdup(noted[i].profile);
		removals[i].uid = mem_strdup(noted[i].uid);
		if (noted[i].n_revisions > 0)
			snprintf(removals[i].revision, sizeof(removals[i].revision), "%s",
				 noted[i].revisions[0]);
	}
	node_removals_free(noted, n);
	engine_node_object_seen(c->engine, node, removals, n, is_new);
	controller_poke(c);
}

static void controller_on_node_object_gone(void *data, const char *node)
{
	struct controller *c = data;

	engine_node_object_gone(c->engine, node);
	controller_poke(c);
}

static void controller_on_node_written(void *data, const char *node, bool ok)
{
	struct controller *c = data;

	engine_node_written(c->engine, node, ok, clock_steady_ms());
	controller_poke(c);
}

/* At a fleet's first contact two writes a node would hold up the reviews of those not served yet.
 */
static bool controller_on_node_yields(void *data)
{
	const struct controller *c = data;

	return identity_waiting(c->identity) > 0;
}

/* History. */

static void controller_on_recorded(void *data, const char *object, const char *uid,
				   const char *revision, bool ok)
{
	struct controller *c = data;

	effects_recorded(c->effects, object, uid, revision, ok);
}

static void controller_on_fetched(void *data, const char *object, const char *revision,
				  const char *text, size_t n_text, enum profile_mode mode)
{
	struct controller *c = data;

	engine_fetched(c->engine, object, revision, text, n_text, mode);
	controller_poke(c);
}

static void controller_on_unfetched(void *data, const char *object, const char *revision)
{
	struct controller *c = data;

	engine_unfetched(c->engine, object, revision, clock_steady_ms());
	controller_poke(c);
}

/* The agents' door. */

static void controller_on_set_changed(void *data, struct node *node)
{
	struct controller *c = data;

	if (c->sync)
		sync_server_set_changed(c->sync, node);
}

static void controller_on_lost_artefact(void *data, const char *sha256)
{
	struct controller *c = data;

	engine_artefact_lost(c->engine, sha256);
	controller_poke(c);
}

static void controller_fail(struct controller *c, int code, const struct err *err)
{
	*c->err = *err;
	c->failed = code;
	controller_end(c);
}

static void controller_open_door(struct controller *c, const char *cert_pem, const char *key_pem)
{
	struct sync_server_spec spec = {
	    .listen = c->options->listen,
	    .cert_pem = cert_pem,
	    .key_pem = key_pem,
	    .max_connections = (unsigned int)c->options->max_connections,
	    .max_connections_per_address = (unsigned int)c->options->max_connections_per_address,
	    .engine = c->engine,
	    .identity = c->identity,
	    .artefacts = c->artefacts,
	    .on_facts = controller_poke,
	    .on_lost = controller_on_lost_artefact,
	    .data = c,
	};
	struct err err;
	int r = sync_server_new(&c->loop, &spec, &c->sync, &err);

	if (r < 0) {
		controller_fail(c, r, &err);
		return;
	}
	log_info("agents are served", log_s("listen", c->options->listen),
		 log_i("port", sync_server_port(c->sync)));
	if (c->epoch > 0)
		sync_server_lead(c->sync, c->epoch);
	else
		controller_on_leader(c, kube_lease_leader(c->lease));
}

static void controller_on_leaf(void *data, const char *cert_pem, const char *key_pem)
{
	struct controller *c = data;
	struct err err;

	if (c->ending)
		return; /* a door that has been closed stays so */
	if (!c->sync)
		controller_open_door(c, cert_pem, key_pem);
	else if (sync_server_set_certificate(c->sync, cert_pem, key_pem, &err) < 0)
		log_error("a new certificate could not be taken", log_s("why", err.msg));
}

/* The leader's view, for `kubectl hauberk`. */

static bool controller_leads(void *data)
{
	const struct controller *c = data;

	return c->epoch > 0;
}

static const char *controller_leader(void *data)
{
	const struct controller *c = data;

	return kube_lease_leader(c->lease);
}

/* Nothing that protects a node depends on it, so a port that is taken ends nothing. */
static void controller_open_view(struct controller *c)
{
	struct view_server_spec spec = {
	    .listen = c->options->view_listen,
	    .engine = c->engine,
	    .leads = controller_leads,
	    .leader = controller_leader,
	    .data = c,
	};
	struct err err;

	if (*spec.listen && view_server_new(&c->loop, &spec, &c->view, &err) < 0)
		log_warn("kubectl hauberk cannot ask this replica", log_s("why", err.msg));
}

/* Start. */

static int controller_connect(struct controller *c, struct err *err)
{
	const struct controller_options *o = c->options;
	struct kube_config config;
	int r = kube_config_load(o->kubeconfig, o->context, KUBE_CONFIG_FOR_SERVICE, &config, err);

	if (r < 0)
		return r;
	c->namespace_ = mem_strdup(o->namespace_ ? o->namespace_ : config.namespace_);
	r = kube_client_new(&c->loop, &config, "hauberk-controller/" HAUBERK_VERSION, &c->client,
			    err);
	kube_config_clear(&config);
	return r;
}

static int controller_make_tools(struct controller *c, struct err *err)
{
	const struct controller_options *o = c->options;
	struct compiler_options compiler = {
	    .parser = o->parser,
	    .base_dir = o->parser_base,
	    .sandbox = o->sandbox,
	    .default_abi = o->default_abi,
	    .allow_partial = o->allow_unsandboxed,
	};
	int r = compiler_new(&c->loop, &compiler, &c->compiler, err);

	if (r < 0)
		return r;
	log_info("compiler", log_s("id", compiler_id(c->compiler)),
		 log_s("sandbox", compiler_sandbox(c->compiler)));
	return artefact_store_open(o->data_dir, (uint64_t)o->artefacts_max_mib << 20, &c->artefacts,
				   err);
}

static void controller_make_engine(struct controller *c)
{
	const char *builtin[8] = {NULL};
	struct effects_spec effects = {
	    .client = c->client,
	    .namespace_ = c->namespace_,
	    .compiler = c->compiler,
	    .artefacts = c->artefacts,
	    .recorder = c->recorder,
	    .on_facts = controller_poke,
	    .set_changed = controller_on_set_changed,
	    .data = c,
	};
	struct engine_options engine = {
	    .ops = &effects_ops,
	    .compiler_id = compiler_id(c->compiler),
	    .builtin_features = builtin,
	};
	size_t i;

	for (i = 0; i < 7 && features_builtin_at(i); i++)
		builtin[i] = features_builtin_at(i)->text;
	c->effects = effects_new(&effects);
	engine.data = c->effects;
	c->engine = engine_new(&engine, clock_steady_ms());
}

static void controller_follow(struct controller *c)
{
	struct kube_informer_spec profiles = {
	    .path = PROFILE_PATH,
	    .trim = engine_profile_trim,
	    .on_add = controller_on_profile,
	    .on_update = controller_on_profile_update,
	    .on_delete = controller_on_profile_gone,
	    .on_synced = controller_start_if_ready,
	    .on_trouble = controller_on_trouble,
	    .data = c,
	};
	struct kube_informer_spec nodes = {
	    .path = "/api/v1/nodes",
	    .as_metadata = true,
	    .trim = controller_trim_node,
	    .on_add = controller_on_node,
	    .on_update = controller_on_node_update,
	    .on_delete = controller_on_node_gone,
	    .on_synced = controller_start_if_ready,
	    .on_trouble = controller_on_trouble,
	    .data = c,
	};
	struct home_spec home = {
	    .namespace_ = c->namespace_,
	    .on_going = controller_on_namespace_going,
	    .on_trouble = controller_on_trouble,
	    .data = c,
	};
	struct history_spec history = {
	    .namespace_ = c->namespace_,
	    .recorded = controller_on_recorded,
	    .fetched = controller_on_fetched,
	    .unfetched = controller_on_unfetched,
	    .synced = controller_start_if_ready,
	    .data = c,
	};
	struct node_objects_spec node_objects = {
	    .seen = controller_on_node_object,
	    .gone = controller_on_node_object_gone,
	    .written = controller_on_node_written,
	    .yields = controller_on_node_yields,
	    .synced = controller_start_if_ready,
	    .data = c,
	};

	c->profiles = kube_informer_start(c->client, &profiles);
	c->nodes = kube_informer_start(c->client, &nodes);
	c->home = home_follow(c->client, &home);
	c->history = history_start(c->client, &history);
	c->node_objects = node_objects_start(c->client, &node_objects);
	effects_bind(c->effects, c->engine, c->history, c->node_objects, c->profiles);
}

static void controller_stand_for_election(struct controller *c, const char *identity)
{
	struct kube_lease_spec lease = {
	    .namespace_ = c->namespace_,
	    .name = CONTROLLER_LEASE,
	    .identity = identity,
	    .on_elected = controller_on_elected,
	    .on_lost = controller_on_lost,
	    .on_leader = controller_on_leader,
	    .on_trouble = controller_on_lease_trouble,
	    .data = c,
	};
	struct certs_spec certs = {
	    .namespace_ = c->namespace_,
	    .on_leaf = controller_on_leaf,
	    .data = c,
	};

	c->certs = certs_start(c->client, &certs);
	c->lease = kube_lease_start(c->client, &lease);
}

/* End: the door first, what works behind it, then the lease, then Events, then the connection. */

static void controller_on_client_closed(void *data)
{
	struct controller *c = data;

	uv_close((uv_handle_t *)&c->turn, NULL);
	uv_close((uv_handle_t *)&c->deadline, NULL);
	uv_close((uv_handle_t *)&c->settle, NULL);
	uv_close((uv_handle_t *)&c->sigterm, NULL);
	uv_close((uv_handle_t *)&c->sigint, NULL);
}

static void controller_on_recorder_closed(void *data)
{
	struct controller *c = data;

	kube_client_close(c->client, controller_on_client_closed, c);
}

static void controller_on_released(void *data)
{
	struct controller *c = data;

	kube_recorder_close(c->recorder, CONTROLLER_EVENTS_MS, controller_on_recorder_closed, c);
}

static void controller_on_effects_closed(void *data)
{
	struct controller *c = data;

	history_close(c->history);
	node_objects_close(c->node_objects);
	kube_informer_close(c->profiles);
	kube_informer_close(c->nodes);
	home_close(c->home);
	certs_close(c->certs);
	identity_close(c->identity);
	kube_lease_release(c->lease, controller_on_released, c);
}

static void controller_on_local_closed(void *data)
{
	struct controller *c = data;

	effects_close(c->effects, controller_on_effects_closed, c);
}

static void controller_on_view_closed(void *data)
{
	struct controller *c = data;

	if (c->local)
		local_server_close(c->local, controller_on_local_closed, c);
	else
		controller_on_local_closed(c);
}

static void controller_on_door_closed(void *data)
{
	struct controller *c = data;

	c->sync = NULL;
	if (c->view)
		view_server_close(c->view, controller_on_view_closed, c);
	else
		controller_on_view_closed(c);
}

static void controller_end(struct controller *c)
{
	if (c->ending)
		return;
	c->ending = true;
	uv_idle_stop(&c->turn);
	uv_timer_stop(&c->deadline);
	if (c->sync)
		sync_server_close(c->sync, controller_on_door_closed, c);
	else
		controller_on_door_closed(c);
}

static void controller_on_signal(uv_signal_t *handle, int signum)
{
	struct controller *c = handle->data;

	if (c->ending)
		_exit(128 + signum);
	log_info("ending", log_i("signal", signum));
	controller_end(c);
}

static void controller_watch_signals(struct controller *c)
{
	signal(SIGPIPE, SIG_IGN);
	uv_signal_init(&c->loop, &c->sigterm);
	uv_signal_init(&c->loop, &c->sigint);
	c->sigterm.data = c->sigint.data = c;
	uv_signal_start(&c->sigterm, controller_on_signal, SIGTERM);
	uv_signal_start(&c->sigint, controller_on_signal, SIGINT);
}

static void controller_free(struct controller *c)
{
	engine_free(c->engine);
	artefact_store_close(c->artefacts);
	compiler_free(c->compiler);
	free(c->namespace_);
}

static bool controller_is_alive(void *data)
{
	(void)data;
	return true;
}

static bool controller_serves(void *data)
{
	struct controller *c = data;

	return c->sync != NULL;
}

static int controller_open_local(struct controller *c, struct err *err)
{
	struct local_server_spec spec = {
	    .listen = c->options->local_listen,
	    .is_alive = controller_is_alive,
	    .is_ready = controller_serves,
	    .data = c,
	};

	return spec.listen ? local_server_new(&c->loop, &spec, &c->local, err) : 0;
}

int controller_run(const struct controller_options *options, struct err *err)
{
	/* Who we are and where agents reach us: the leader's address is read from the Lease. */
	CLEANUP(mem_freep)
	char *identity = mem_printf("%s@%s", options->identity, options->advertise);
	struct controller c = {.options = options, .err = err};
	int r;

	uv_loop_init(&c.loop);
	controller_watch_signals(&c);
	uv_idle_init(&c.loop, &c.turn);
	uv_timer_init(&c.loop, &c.deadline);
	uv_timer_init(&c.loop, &c.settle);
	r = controller_make_tools(&c, err);
	if (r == 0)
		r = controller_open_local(&c, err);
	if (r == 0)
		r = controller_connect(&c, err);
	if (r < 0)
		return r; /* the process ends; there is nothing to put in order */
	c.recorder = kube_recorder_new(c.client, "hauberk-controller", options->identity);
	c.identity = identity_new(c.client, c.namespace_);
	controller_make_engine(&c);
	controller_follow(&c);
	controller_stand_for_election(&c, identity);
	controller_open_view(&c);
	uv_run(&c.loop, UV_RUN_DEFAULT);
	controller_free(&c);
	uv_loop_close(&c.loop);
	return c.failed;
}
