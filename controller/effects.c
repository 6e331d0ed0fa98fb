#include "controller/effects.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/builds.h"
#include "controller/engine_priv.h"
#include "controller/pods.h"
#include "kube/patch.h"

#include <stdlib.h>
#include <string.h>

#define EFFECTS_CRD_PATH \
	"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/apparmorprofiles.hauberk.dev"

struct effects {
	struct effects_spec spec;
	struct engine *engine;
	struct history *history;
	struct node_objects *node_objects;
	struct kube_informer *profiles;
	struct builds *builds;
	struct pods *pods;
	struct list under_way;
	struct list answers; /* for effects_flush() */
};

enum effect_kind {
	EFFECT_FINALIZER,
	EFFECT_STATUS,
	EFFECT_TERMINATING,
	EFFECT_READY,
	EFFECT_RECORDED,
};

/* One thing that is being done. It keeps names; what they stood for may be gone when it ends. */
struct effect {
	struct effects *effects;
	enum effect_kind kind;
	struct list link;
	struct kube_request *req;
	char *name; /* of the AppArmorProfile, or the node */
	char *uid;
	char revision[PROFILE_REVISION_SIZE];
	bool adding;      /* EFFECT_FINALIZER: it goes on */
	bool rereading;   /* after a conflict */
	bool terminating; /* EFFECT_TERMINATING: one of the two is */
	bool asked_both;
};

static struct effect *effect_new(struct effects *ef, enum effect_kind kind, const char *name,
				 const char *uid)
{
	struct effect *x = MEM_NEW(struct effect);

	x->effects = ef;
	x->kind = kind;
	x->name = mem_strdup(name);
	x->uid = mem_strdup(uid);
	list_append(&ef->under_way, &x->link);
	return x;
}

static void effect_free(struct effect *x)
{
	list_remove(&x->link);
	free(x->name);
	free(x->uid);
	free(x);
}

static char *effect_path(const struct effect *x)
{
	return mem_printf("%s/%s", PROFILE_PATH, x->name);
}

/* The profile it was about, unless that has gone or made room for another. */
static struct aap *effect_profile(const struct effect *x)
{
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): an effect that is freed is in no list */
	struct aap *aap = engine_profile(x->effects->engine, x->name);

	return aap && str_equal(aap->spec.uid, x->uid) ? aap : NULL;
}

static void effects_facts(struct effects *ef)
{
	ef->spec.on_facts(ef->spec.data);
}

/* The finalizer. */

static void effects_on_finalizer(void *data, const struct kube_result *res);

static void effects_on_finalizer_read(void *data, const struct kube_result *res)
{
	struct effect *x = data;
	struct effects *ef = x->effects;

	if (res->outcome == KUBE_OK)
		kube_informer_note(ef->profiles, res->obj);
	if (effect_profile(x) && res->outcome == KUBE_OK)
		engine_finalizer_again(ef->engine, x->name);
	else if (effect_profile(x))
		engine_finalizer_done(ef->engine, x->name, false, clock_steady_ms());
	effect_free(x);
	effects_facts(ef);
}

static void effects_on_finalizer(void *data, const struct kube_result *res)
{
	struct effect *x = data;
	struct effects *ef = x->effects;

	if (res->outcome == KUBE_CONFLICT) {
		CLEANUP(mem_freep) char *path = effect_path(x);

		x->req = kube_get(ef->spec.client, path, effects_on_finalizer_read, x);
		return;
	}
	if (res->outcome != KUBE_OK && res->outcome != KUBE_NOT_FOUND)
		log_warn("the finalizer could not be written", log_s("profile", x->name),
			 log_s("why", res->why));
	log_debug("finalizer written", log_s("profile", x->name),
		  log_s("outcome", kube_outcome_word(res->outcome)),
		  log_s("change", x->adding ? "on" : "off"));
	/* What came back from taking it off is the object's last state: its end comes by the watch,
	 * and may have come already. */
	if (res->outcome == KUBE_OK && x->adding)
		kube_informer_note(ef->profiles, res->obj);
	if (effect_profile(x))
		engine_finalizer_done(ef->engine, x->name,
				      res->outcome == KUBE_OK || res->outcome == KUBE_NOT_FOUND,
				      clock_steady_ms());
	effect_free(x);
	effects_facts(ef);
}

/* All finalizers but ours, and ours where it is to be there. */
static struct json_object *effects_finalizers(const struct aap *aap, bool present)
{
	struct json_object *old = js_array(aap->object, "metadata.finalizers");
	struct json_object *now = js_new_array();
	size_t i;

	for (i = 0; i < js_len(old); i++) {
		struct json_object *item = js_item(old, i);

		if (strcmp(json_object_get_string(item), PROFILE_FINALIZER) != 0)
			js_append(now, json_object_get(item));
	}
	if (present)
		js_append(now, js_text(PROFILE_FINALIZER));
	return now;
}

static void effects_put_finalizer(void *data, const struct aap *aap, bool present)
{
	struct effects *ef = data;
	struct effect *x = effect_new(ef, EFFECT_FINALIZER, aap->spec.object, aap->spec.uid);
	CLEANUP(js_putp) struct json_object *patch = js_new();
	CLEANUP(mem_freep) char *path = effect_path(x);
	struct json_object *meta = js_new();

	x->adding = present;
	js_put_str(meta, "resourceVersion", js_str(aap->object, "metadata.resourceVersion"));
	js_put(meta, "finalizers", effects_finalizers(aap, present));
	js_put(patch, "metadata", meta);
	x->req = kube_merge_patch(ef->spec.client, path, patch, effects_on_finalizer, x);
}

/* Status. */

static void effects_on_status_read(void *data, const struct kube_result *res)
{
	struct effect *x = data;
	struct effects *ef = x->effects;

	if (res->outcome == KUBE_OK)
		kube_informer_note(ef->profiles, res->obj);
	if (effect_profile(x))
		engine_status_written(ef->engine, x->name, res->outcome == KUBE_OK,
				      clock_steady_ms());
	effect_free(x);
	effects_facts(ef);
}

static void effects_on_status(void *data, const struct kube_result *res)
{
	struct effect *x = data;
	struct effects *ef = x->effects;

	if (res->outcome == KUBE_CONFLICT) {
		/* The newest state is read, and what is to be said of it decided anew. */
		CLEANUP(mem_freep) char *path = effect_path(x);

		x->req = kube_get(ef->spec.client, path, effects_on_status_read, x);
		return;
	}
	if (res->outcome == KUBE_OK)
		kube_informer_note(ef->profiles, res->obj);
	else if (res->outcome != KUBE_NOT_FOUND)
		log_warn("status could not be written", log_s("profile", x->name),
			 log_s("why", res->why));
	log_debug("status written", log_s("profile", x->name),
		  log_s("outcome", kube_outcome_word(res->outcome)));
	if (effect_profile(x))
		engine_status_written(ef->engine, x->name, res->outcome == KUBE_OK,
				      clock_steady_ms());
	effect_free(x);
	effects_facts(ef);
}

static void effects_write_status(void *data, const struct aap *aap, struct json_object *status)
{
	struct effects *ef = data;
	struct effect *x = effect_new(ef, EFFECT_STATUS, aap->spec.object, aap->spec.uid);
	CLEANUP(mem_freep) char *path = effect_path(x);

	log_debug("status writing", log_s("profile", x->name));
	x->req = kube_status_patch(ef->spec.client, path,
				   js_str(aap->object, "metadata.resourceVersion"), status,
				   effects_on_status, x);
	json_object_put(status);
}

/* Is Hauberk itself going? */

/* Unloading on a guess is not for us: it is asked again, at the engine's pace. */
static void effects_on_terminating_unknown(struct effect *x, const struct kube_result *res)
{
	struct effects *ef = x->effects;

	log_warn("a deletion waits: it is not known whether Hauberk is being uninstalled",
		 log_s("profile", x->name), log_s("why", res->why));
	if (effect_profile(x))
		engine_terminating_unknown(ef->engine, x->name, clock_steady_ms());
	effect_free(x);
	effects_facts(ef);
}

static void effects_on_terminating(void *data, const struct kube_result *res)
{
	struct effect *x = data;
	struct effects *ef = x->effects;

	if (res->outcome == KUBE_OK && js_str(res->obj, "metadata.deletionTimestamp"))
		x->terminating = true;
	if (res->outcome != KUBE_OK && res->outcome != KUBE_NOT_FOUND) {
		effects_on_terminating_unknown(x, res);
		return;
	}
	if (res->outcome == KUBE_NOT_FOUND)
		x->terminating = true;
	if (!x->terminating && !x->asked_both) {
		CLEANUP(mem_freep)
		char *path = mem_printf("/api/v1/namespaces/%s", ef->spec.namespace_);

		x->asked_both = true;
		x->req = kube_get(ef->spec.client, path, effects_on_terminating, x);
		return;
	}
	if (effect_profile(x))
		engine_terminating(ef->engine, x->name, x->terminating);
	effect_free(x);
	effects_facts(ef);
}

static void effects_ask_terminating(void *data, const struct aap *aap)
{
	struct effects *ef = data;
	struct effect *x = effect_new(ef, EFFECT_TERMINATING, aap->spec.object, aap->spec.uid);

	x->req = kube_get(ef->spec.client, EFFECTS_CRD_PATH, effects_on_terminating, x);
}

/* Is a node Ready in Kubernetes? */

static bool effects_is_ready(struct json_object *node)
{
	struct json_object *conditions = js_array(node, "status.conditions");
	size_t i;

	for (i = 0; i < js_len(conditions); i++)
		if (str_equal(js_str(js_item(conditions, i), "type"), "Ready"))
			return str_equal(js_str(js_item(conditions, i), "status"), "True");
	return false;
}

static void effects_on_ready(void *data, const struct kube_result *res)
{
	struct effect *x = data;
	struct effects *ef = x->effects;

	if (res->outcome == KUBE_OK) {
		engine_node_ready(ef->engine, x->name, effects_is_ready(res->obj));
	} else {
		log_warn("a node could not be read", log_s("node", x->name),
			 log_s("why", res->why));
		engine_node_ready_unknown(ef->engine, x->name, clock_steady_ms());
	}
	effect_free(x);
	effects_facts(ef);
}

static void effects_ask_ready(void *data, const struct node *node)
{
	struct effects *ef = data;
	struct effect *x = effect_new(ef, EFFECT_READY, node->name, node->uid);
	CLEANUP(mem_freep) char *path = mem_printf("/api/v1/nodes/%s", node->name);

	x->req = kube_get(ef->spec.client, path, effects_on_ready, x);
}

/* Revisions. */

static void effects_record(void *data, const struct aap *aap, const struct revision *rev)
{
	struct effects *ef = data;
	struct effect *x;

	if (!history_is_newest(ef->history, aap, rev->id)) {
		history_record(ef->history, aap, rev);
		return;
	}
	x = effect_new(ef, EFFECT_RECORDED, aap->spec.object, aap->spec.uid);
	memcpy(x->revision, rev->id, sizeof(x->revision));
	list_remove(&x->link);
	list_append(&ef->answers, &x->link);
	effects_facts(ef);
}

/* The record of a profile that is gone is none of its namesake's. */
void effects_recorded(struct effects *ef, const char *object, const char *uid, const char *revision,
		      bool ok)
{
	struct aap *aap = engine_profile(ef->engine, object);

	log_debug("revision recorded", log_s("profile", object), log_s("revision", revision));
	if (aap && str_equal(aap->spec.uid, uid)) {
		engine_recorded(ef->engine, object, revision, ok, clock_steady_ms());
		/* Not only once one is complete: who edits before that, again and again, has a
		 * limit, too. */
		if (ok)
			history_prune(ef->history, aap);
	}
	effects_facts(ef);
}

static void effects_fetch(void *data, const struct aap *aap, const char *revision)
{
	struct effects *ef = data;

	history_fetch(ef->history, aap, revision);
}

static void effects_completed(void *data, const struct aap *aap)
{
	struct effects *ef = data;

	history_prune(ef->history, aap);
}

/* Compiling: builds.h does it. */

static void effects_compile(void *data, const struct aap *aap, const struct revision *rev,
			    const char *features, const char *features_text)
{
	struct effects *ef = data;

	builds_start(ef->builds, aap->spec.object, rev, features, features_text);
}

static void effects_on_built(void *data, const char *object, const char *revision,
			     const char *features, const struct compiled *res)
{
	struct effects *ef = data;

	engine_compiled(ef->engine, object, revision, features, res, clock_steady_ms());
	effects_facts(ef);
}

static void effects_on_build_ready(void *data)
{
	effects_facts(data);
}

/* Nodes and pods. */

/* What the node's agent reports beyond what it was told: how much that is, and in `ret` as much of
 * it as finds room, NODE_EXCEPTIONS_MAX. The exceptions borrow from the node. */
static size_t effects_exceptions(struct engine *engine, const struct node *node,
				 struct node_exception *ret)
{
	size_t n = 0, i;

	if (node->features_reason)
		ret[n++] = (struct node_exception){.reason = node->features_reason,
						   .message = node->features_problem};
	for (i = 0; i < node->report.n; i++) {
		if (!engine_is_orphan(engine, node, node->report.items[i]))
			continue;
		if (n < NODE_EXCEPTIONS_MAX)
			ret[n] = (struct node_exception){
			    .reason = "Orphan",
			    .profile = node->report.items[i]->name,
			    .message = "loaded by Hauberk, and no AppArmorProfile speaks of it any "
				       "more: kept until a person decides"};
		n++;
	}
	return n;
}

/* The names of the profiles that somebody else changed on that node; NULL for none. The caller
 * frees it. */
static char *effects_drifted(const struct node *node)
{
	struct buf names = BUF_INIT(512);
	size_t i;

	for (i = 0; i < node->report.n; i++)
		if (node->report.items[i]->state == SYNC_STATE_DRIFTED)
			buf_addf(&names, "%s%s", names.len > 0 ? ", " : "",
				 node->report.items[i]->name);
	if (names.len == 0)
		return NULL;
	buf_add_str(&names,
		    ": changed or removed in the kernel by somebody else, and to be loaded again");
	return buf_steal(&names);
}

static void effects_free_removals(struct node_removal *removals, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(removals[i].revisions);
	free(removals);
}

/* Borrowed from the node, but for the lists of revisions. */
static struct node_removal *effects_removals(const struct node *node)
{
	struct node_removal *ret = mem_alloc(node->n_removals, sizeof(*ret));
	size_t i;

	for (i = 0; i < node->n_removals; i++) {
		ret[i].profile = node->removals[i].profile;
		ret[i].uid = node->removals[i].uid;
		if (!*node->removals[i].revision)
			continue;
		ret[i].revisions = mem_alloc(1, sizeof(char *));
		ret[i].revisions[0] = node->removals[i].revision;
		ret[i].n_revisions = 1;
	}
	return ret;
}

static void effects_write_node(void *data, const struct node *node)
{
	struct effects *ef = data;
	struct node_exception exceptions[NODE_EXCEPTIONS_MAX];
	struct node_removal *removals = effects_removals(node);
	CLEANUP(mem_freep) char *drifted = effects_drifted(node);
	struct node_facts facts = {
	    .kernel_release = node->kernel_release,
	    .agent_version = node->agent_version,
	    .boot_id = node->boot_id,
	    .features = node->reported ? node->features : NULL,
	    .has_exceptions = node->reported,
	    .exceptions = exceptions,
	    .n_exceptions = effects_exceptions(ef->engine, node, exceptions),
	    .removals = removals,
	    .n_removals = node->n_removals,
	};

	if (node->reported) {
		facts.apparmor.truth = node->report.apparmor_enabled ? NODE_TRUE : NODE_FALSE;
		facts.apparmor.message =
		    node->report.apparmor_enabled ? NULL : node->report.apparmor_reason;
		facts.drift.truth = drifted ? NODE_TRUE : NODE_FALSE;
		facts.drift.message = drifted;
	}
	if (node->disconnected)
		facts.agent = (struct node_aspect){.truth = NODE_FALSE, .since_ms = node->heard_ms};
	else if (node->reported)
		facts.agent.truth = NODE_TRUE;
	node_objects_set(ef->node_objects, node->name, node->uid, &facts);
	effects_free_removals(removals, node->n_removals);
}

static void effects_set_changed(void *data, struct node *node)
{
	struct effects *ef = data;

	log_debug("set changed", log_s("node", node->name));
	ef->spec.set_changed(ef->spec.data, node);
}

static const char *effects_pod_name(void *data, const struct node *node, const char *pod_uid)
{
	struct effects *ef = data;

	return pods_name(ef->pods, node->name, pod_uid);
}

static void effects_on_pods(void *data, const char *node)
{
	struct effects *ef = data;

	engine_pods_known(ef->engine, node);
	effects_facts(ef);
}

static void effects_event(void *data, const struct aap *aap, bool warning, const char *reason,
			  const char *message)
{
	struct effects *ef = data;
	struct kube_object_ref ref =
	    kube_object_ref_of(aap->object, PROFILE_GROUP_VERSION, "AppArmorProfile");

	log_info("profile", log_s("profile", aap->spec.object), log_s("reason", reason),
		 log_s("message", message));
	kube_recorder_event(ef->spec.recorder, &ref,
			    warning ? KUBE_EVENT_WARNING : KUBE_EVENT_NORMAL, reason, "%s",
			    message);
}

const struct engine_ops effects_ops = {
    .compile = effects_compile,
    .put_finalizer = effects_put_finalizer,
    .record = effects_record,
    .fetch = effects_fetch,
    .completed = effects_completed,
    .write_status = effects_write_status,
    .ask_terminating = effects_ask_terminating,
    .ask_ready = effects_ask_ready,
    .write_node = effects_write_node,
    .set_changed = effects_set_changed,
    .pod_name = effects_pod_name,
    .event = effects_event,
};

/* Life. */

struct effects *effects_new(const struct effects_spec *spec)
{
	struct effects *ef = MEM_NEW(struct effects);
	struct builds_spec builds = {
	    .compiler = spec->compiler,
	    .artefacts = spec->artefacts,
	    .on_ready = effects_on_build_ready,
	    .on_built = effects_on_built,
	    .data = ef,
	};

	ef->spec = *spec;
	list_init(&ef->under_way);
	list_init(&ef->answers);
	ef->builds = builds_new(&builds);
	ef->pods = pods_new(spec->client, effects_on_pods, ef);
	return ef;
}

void effects_bind(struct effects *ef, struct engine *engine, struct history *history,
		  struct node_objects *node_objects, struct kube_informer *profiles)
{
	ef->engine = engine;
	ef->history = history;
	ef->node_objects = node_objects;
	ef->profiles = profiles;
}

void effects_flush(struct effects *ef)
{
	builds_flush(ef->builds);
	while (!list_is_empty(&ef->answers)) {
		struct effect *x = container_of(ef->answers.next, struct effect, link);

		if (effect_profile(x))
			engine_recorded(ef->engine, x->name, x->revision, true, clock_steady_ms());
		effect_free(x);
	}
}

struct effects_closing {
	struct effects *effects;
	void (*closed)(void *data);
	void *data;
};

static void effects_on_builds_closed(void *data)
{
	struct effects_closing *closing = data;

	closing->closed(closing->data);
	free(closing->effects);
	free(closing);
}

void effects_close(struct effects *ef, void (*closed)(void *data), void *data)
{
	struct effects_closing *closing = MEM_NEW(struct effects_closing);

	LIST_FOREACH(item, &ef->under_way) {
		struct effect *x = container_of(item, struct effect, link);

		kube_request_cancel(x->req);
		effect_free(x);
	}
	LIST_FOREACH(answer, &ef->answers)
		effect_free(container_of(answer, struct effect, link));
	pods_free(ef->pods);
	*closing = (struct effects_closing){ef, closed, data};
	builds_close(ef->builds, effects_on_builds_closed, closing);
}
