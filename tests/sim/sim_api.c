#include "sim.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"
#include "kube/patch.h"
#include "policy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A call of the controller: it reaches the API server after a while, unless it is lost; what it
 * changes there stays, whatever becomes of the controller or of the answer. A status or finalizer
 * that was decided on a stale object is a conflict: the object is read anew, as effects.c does.
 */

enum sim_call_kind {
	CALL_COMPILE,
	CALL_FINALIZER,
	CALL_RECORD,
	CALL_FETCH,
	CALL_STATUS,
	CALL_TERMINATING,
	CALL_READY,
	CALL_NODE,
};

enum sim_call_outcome { CALL_OK, CALL_NOT_FOUND, CALL_CONFLICT, CALL_FAILED };

struct sim_call {
	enum sim_call_kind kind;
	enum sim_call_outcome outcome;
	bool answer_lost;
	int object, node;
	uint64_t incarnation;
	int64_t answer_ms;
	int64_t version; /* which it was decided on; then of `news` */
	char uid[24];
	char revision[PROFILE_REVISION_SIZE];
	char features[SHA256_HEX];
	bool present;
	char *text;
	struct json_object *patch;
	struct json_object *news; /* the object that came back */
	struct pending_removal *removals;
	size_t n_removals;
};

struct sim_news {
	struct json_object *object; /* NULL: it is gone */
	int64_t version;
};

static void sim_free_removals(struct pending_removal *removals, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(removals[i].profile);
		free(removals[i].uid);
	}
	free(removals);
}

static struct pending_removal *sim_copy_removals(const struct pending_removal *from, size_t n)
{
	struct pending_removal *ret = mem_alloc(n, sizeof(*ret));
	size_t i;

	for (i = 0; i < n; i++) {
		ret[i] = from[i];
		ret[i].profile = mem_strdup(from[i].profile);
		ret[i].uid = mem_strdup(from[i].uid);
	}
	return ret;
}

static void sim_call_free(struct sim_call *call)
{
	json_object_put(call->patch);
	json_object_put(call->news);
	sim_free_removals(call->removals, call->n_removals);
	free(call->text);
	free(call);
}

void sim_api_free(enum sim_event_kind kind, void *data)
{
	struct sim_news *news = data;

	if (kind != SIM_WATCH) {
		sim_call_free(data);
		return;
	}
	json_object_put(news->object);
	free(news);
}

int sim_object_index(const struct sim *s, const char *name)
{
	int i;

	for (i = 0; i < SIM_OBJECTS; i++)
		if (strcmp(s->objects[i].name, name) == 0)
			return i;
	return -1;
}

struct aap *sim_aap(const struct sim *s, int object)
{
	return s->engine ? engine_profile(s->engine, s->objects[object].name) : NULL;
}

/* Texts. */

struct sim_revision *sim_revision(const struct sim *s, const char *id)
{
	return map_get(&s->revisions, id);
}

static struct sim_revision *sim_revision_make(struct sim *s, const char *id, const char *text)
{
	struct sim_revision *rev = sim_revision(s, id);

	if (rev)
		return rev;
	rev = MEM_NEW(struct sim_revision);
	snprintf(rev->id, sizeof(rev->id), "%s", id);
	rev->text = mem_strdup(text);
	rev->broken = strstr(text, "broken") != NULL;
	rev->not_on = -1;
	if (strstr(text, "noton"))
		rev->not_on = (int)strtol(strstr(text, "noton") + 5, NULL, 10);
	if (strstr(text, "bad"))
		rev->fails_percent = (int)strtol(strstr(text, "bad") + 3, NULL, 10);
	rev->misloads = strstr(text, "mis") != NULL;
	map_put(&s->revisions, id, rev);
	return rev;
}

struct sim_revision *sim_revision_of(struct sim *s, int name_index, const struct sim_spec *spec)
{
	char id[PROFILE_REVISION_SIZE], name[16];

	snprintf(name, sizeof(name), "web%d", name_index);
	policy_revision(name, spec->text, strlen(spec->text),
			spec->complain ? PROFILE_COMPLAIN : PROFILE_ENFORCE, "sim", id);
	return sim_revision_make(s, id, spec->text);
}

/* The API server's objects. */

static void sim_news_push(struct sim *s, struct sim_object *o)
{
	struct sim_chance c = {sim_mix(s->seed, (uint64_t)o->version)};
	struct sim_news *news = MEM_NEW(struct sim_news);

	*news = (struct sim_news){json_object_get(o->object), o->version};
	sim_push(s, SIM_WATCH, sim_delay(&c, 40, s->calm_now ? 100 : 4000), (int)(o - s->objects),
		 0, news);
}

/* `patch` is taken over. */
static void sim_object_change(struct sim *s, struct sim_object *o, struct json_object *patch)
{
	struct json_object *meta = js_object(patch, "metadata"), *obj;
	char version[24];

	o->version = ++s->version;
	snprintf(version, sizeof(version), "%lld", (long long)o->version);
	if (!meta) {
		meta = js_new();
		js_put(patch, "metadata", meta);
	}
	js_put_str(meta, "resourceVersion", version);
	obj = merge_patch_apply(o->object, patch);
	json_object_put(patch);
	json_object_put(o->object);
	o->object = obj;
	if (js_str(obj, "metadata.deletionTimestamp") &&
	    js_len(js_array(obj, "metadata.finalizers")) == 0) {
		json_object_put(o->object);
		o->object = NULL;
		sim_trace(s, "%s is gone from the API server", o->name);
	}
	sim_news_push(s, o);
}

static void sim_object_create(struct sim *s, struct sim_object *o)
{
	char created[CLOCK_TEXT_MAX];
	struct json_object *meta = js_new();

	clock_format(s->now_ms, created);
	o->incarnation++;
	o->generation = 0;
	o->state_known = false;
	snprintf(o->uid, sizeof(o->uid), "up%d-%d", (int)(o - s->objects), o->incarnation);
	o->object = js_new();
	js_put_str(meta, "name", o->name);
	js_put_str(meta, "uid", o->uid);
	js_put_str(meta, "creationTimestamp", created);
	js_put(o->object, "metadata", meta);
	js_put(o->object, "status", js_new());
}

void sim_api_write(struct sim *s, int object, struct json_object *meta, struct json_object *spec)
{
	struct sim_object *o = &s->objects[object];
	struct json_object *patch = js_new(), *wipe;

	if (!o->object)
		sim_object_create(s, o);
	/* Spec is replaced, not merged. */
	if (!json_object_equal(js_object(o->object, "spec"), spec)) {
		o->generation++;
		wipe = js_new();
		js_put(wipe, "spec", NULL);
		{
			struct json_object *obj = merge_patch_apply(o->object, wipe);

			json_object_put(o->object);
			o->object = obj;
		}
		json_object_put(wipe);
	}
	js_put_i64(meta, "generation", o->generation);
	js_put(patch, "metadata", meta);
	js_put(patch, "spec", spec);
	o->edits++;
	o->writes_before = o->writes;
	sim_object_change(s, o, patch);
}

void sim_api_delete(struct sim *s, int object)
{
	struct sim_object *o = &s->objects[object];
	struct json_object *patch = js_new(), *meta = js_new();
	char now[CLOCK_TEXT_MAX];

	clock_format(s->now_ms, now);
	o->edits++;
	js_put_i64(meta, "generation", ++o->generation);
	js_put_str(meta, "deletionTimestamp", now);
	js_put(patch, "metadata", meta);
	sim_object_change(s, o, patch);
}

/* What the controller's cache of objects does with one. */
static void sim_see(struct sim *s, int object, struct json_object *obj, int64_t version)
{
	struct sim_object *o = &s->objects[object];
	struct json_object *copy = NULL;

	if (version <= o->seen_version)
		return;
	o->seen_version = version;
	if (!obj) {
		engine_profile_gone(s->engine, o->name);
		return;
	}
	json_object_deep_copy(obj, &copy, NULL);
	engine_profile_trim(copy);
	engine_profile_seen(s->engine, copy, sim_engine_ms(s));
	json_object_put(copy);
}

void sim_api_watch(struct sim *s, int object, void *data)
{
	struct sim_news *news = data;

	if (s->engine)
		sim_see(s, object, news->object, news->version);
}

static void sim_start_node(struct sim *s, int node)
{
	struct sim_node *n = &s->nodes[node];
	struct json_object *obj = sim_node_object(n);

	engine_node_seen(s->engine, obj, sim_engine_ms(s));
	json_object_put(obj);
	if (n->has_object)
		engine_node_object_seen(s->engine, n->name, sim_copy_removals(n->noted, n->n_noted),
					n->n_noted, true);
}

void sim_api_start(struct sim *s)
{
	bool objects_first = sim_once_in(&s->chance, 2);
	int i;

	for (i = 0; !objects_first && i < s->n_nodes; i++)
		if (s->nodes[i].exists)
			sim_start_node(s, i);
	for (i = 0; i < SIM_OBJECTS; i++) {
		s->objects[i].seen_version = 0;
		if (s->objects[i].object)
			sim_see(s, i, s->objects[i].object, s->objects[i].version);
		else
			s->objects[i].seen_version = s->objects[i].version;
	}
	for (i = 0; objects_first && i < s->n_nodes; i++)
		if (s->nodes[i].exists)
			sim_start_node(s, i);
}

/* Calls, as the engine makes them. */

static struct sim_call *sim_call(struct sim *s, enum sim_call_kind kind, const struct aap *aap,
				 const char *revision, uint64_t salt)
{
	struct sim_call *call = MEM_NEW(struct sim_call);
	struct sim_chance c;

	call->kind = kind;
	call->object = aap ? sim_object_index(s, aap->spec.object) : -1;
	call->incarnation = s->incarnation;
	if (aap)
		snprintf(call->uid, sizeof(call->uid), "%s", aap->spec.uid);
	snprintf(call->revision, sizeof(call->revision), "%s", revision);
	c.state = sim_mix(sim_mix_text(s->seed, revision),
			  sim_mix((uint64_t)kind * 97 + (uint64_t)(call->object + 1),
				  sim_mix(salt, (uint64_t)s->now_ms)));
	call->answer_ms = sim_delay(&c, kind == CALL_COMPILE ? 120 : 15, 3000);
	if (!s->calm_now && !s->config.calm) {
		call->outcome = sim_percent(&c, s->config.api_percent) ? CALL_FAILED : CALL_OK;
		call->answer_lost = sim_percent(&c, s->config.api_percent);
	}
	sim_push(s, SIM_APPLY, sim_delay(&c, 15, s->calm_now ? 100 : 3000),
		 aap ? call->object : (int)(salt % SIM_NODES_MAX), salt, call);
	return call;
}

static void sim_op_compile(void *data, const struct aap *aap, const struct revision *rev,
			   const char *features, const char *text)
{
	struct sim *s = data;
	struct sim_call *call;

	(void)text;
	s->n_compiled++;
	sim_revision_make(s, rev->id, rev->text);
	call = sim_call(s, CALL_COMPILE, aap, rev->id, sim_mix_text(7, features));
	memcpy(call->features, features, sizeof(call->features));
}

static void sim_op_finalizer(void *data, const struct aap *aap, bool present)
{
	struct sim *s = data;
	struct sim_call *call = sim_call(s, CALL_FINALIZER, aap, "", 0);

	call->present = present;
	call->version = strtoll(js_str_or_empty(aap->object, "metadata.resourceVersion"), NULL, 10);
}

static void sim_op_record(void *data, const struct aap *aap, const struct revision *rev)
{
	struct sim_call *call = sim_call(data, CALL_RECORD, aap, rev->id, 0);

	call->text = mem_printf("%d%.*s", rev->mode, (int)rev->n_text, rev->text);
}

static void sim_op_fetch(void *data, const struct aap *aap, const char *revision)
{
	sim_call(data, CALL_FETCH, aap, revision, 0);
}

static void sim_op_completed(void *data, const struct aap *aap)
{
	struct sim *s = data;

	sim_trace(s, "%s: complete: %s", aap->spec.object, aap->current_id);
}

static void sim_op_write_status(void *data, const struct aap *aap, struct json_object *patch)
{
	struct sim *s = data;
	struct sim_call *call = sim_call(s, CALL_STATUS, aap, "", 0);
	CLEANUP(js_putp) struct json_object *told = engine_status_told(aap);
	CLEANUP(js_putp) struct json_object *status = merge_patch_apply(told, patch);

	s->n_status++;
	s->objects[call->object].writes++;
	call->version = strtoll(js_str_or_empty(aap->object, "metadata.resourceVersion"), NULL, 10);
	call->patch = js_new();
	js_put(call->patch, "status", patch);
	sim_check_status(s, aap, status);
}

static void sim_op_ask_terminating(void *data, const struct aap *aap)
{
	sim_call(data, CALL_TERMINATING, aap, "", 0);
}

static void sim_op_ask_ready(void *data, const struct node *node)
{
	struct sim *s = data;
	int i = (int)strtol(node->name + 1, NULL, 10);

	sim_call(s, CALL_READY, NULL, "", (uint64_t)i)->node = i;
}

static void sim_op_write_node(void *data, const struct node *node)
{
	struct sim *s = data;
	int i = (int)strtol(node->name + 1, NULL, 10);
	struct sim_call *call = sim_call(s, CALL_NODE, NULL, "", (uint64_t)i);

	s->n_node_writes++;
	call->node = i;
	snprintf(call->uid, sizeof(call->uid), "%s", node->uid);
	call->removals = sim_copy_removals(node->removals, node->n_removals);
	call->n_removals = node->n_removals;
}

static void sim_op_set_changed(void *data, struct node *node)
{
	struct sim *s = data;
	int i = (int)strtol(node->name + 1, NULL, 10);
	struct sim_node *n = &s->nodes[i];

	s->touched = true;
	if (!n->pending)
		s->pending[s->n_pending++] = i;
	n->pending = true;
	if (node->set)
		sim_check_set(s, node);
}

static const char *sim_op_pod_name(void *data, const struct node *node, const char *uid)
{
	(void)data;
	(void)node;
	(void)uid;
	return NULL;
}

static void sim_op_event(void *data, const struct aap *aap, bool warning, const char *reason,
			 const char *message)
{
	struct sim *s = data;

	(void)message;
	sim_trace(s, "%s: event %s%s", aap->spec.object, reason, warning ? " (warning)" : "");
}

const struct engine_ops sim_ops = {
    .compile = sim_op_compile,
    .put_finalizer = sim_op_finalizer,
    .record = sim_op_record,
    .fetch = sim_op_fetch,
    .completed = sim_op_completed,
    .write_status = sim_op_write_status,
    .ask_terminating = sim_op_ask_terminating,
    .ask_ready = sim_op_ask_ready,
    .write_node = sim_op_write_node,
    .set_changed = sim_op_set_changed,
    .pod_name = sim_op_pod_name,
    .event = sim_op_event,
};

/* Calls, as the API server takes them. */

static void sim_apply_finalizer(struct sim *s, struct sim_object *o, struct sim_call *call)
{
	struct json_object *patch = js_new(), *meta = js_new(), *list = js_new_array();

	if (call->present)
		js_append(list, js_text(PROFILE_FINALIZER));
	js_put(meta, "finalizers", list);
	js_put(patch, "metadata", meta);
	sim_object_change(s, o, patch);
}

static void sim_apply_object(struct sim *s, struct sim_call *call)
{
	struct sim_object *o = &s->objects[call->object];

	if (!o->object)
		call->outcome = CALL_NOT_FOUND;
	else if (call->version != o->version)
		call->outcome = CALL_CONFLICT;
	else if (call->kind == CALL_FINALIZER)
		sim_apply_finalizer(s, o, call);
	else
		sim_object_change(s, o, STEAL(call->patch));
	call->news = json_object_get(o->object);
	call->version = o->version;
}

static void sim_apply_record(struct sim *s, struct sim_call *call)
{
	CLEANUP(mem_freep) char *key = mem_printf("%s/%s", call->uid, call->revision);
	char *old = map_put(&s->records, key, mem_strdup(call->text));

	free(old);
	free(map_put(&s->ever_records, key, mem_strdup(call->text)));
}

static void sim_apply_fetch(struct sim *s, struct sim_call *call)
{
	CLEANUP(mem_freep) char *key = mem_printf("%s/%s", call->uid, call->revision);

	call->text = mem_strdup(map_get(&s->records, key)); /* NULL: there is none */
}

static void sim_apply_node(struct sim *s, struct sim_call *call)
{
	struct sim_node *n = &s->nodes[call->node];

	if (!n->exists || strcmp(n->uid, call->uid) != 0)
		return;
	n->has_object = true;
	sim_free_removals(n->noted, n->n_noted);
	n->noted = STEAL(call->removals);
	n->n_noted = call->n_removals;
	call->n_removals = 0;
}

static void sim_apply_call(struct sim *s, struct sim_call *call)
{
	switch (call->kind) {
	case CALL_FINALIZER:
	case CALL_STATUS:
		sim_apply_object(s, call);
		break;
	case CALL_RECORD:
		sim_apply_record(s, call);
		break;
	case CALL_FETCH:
		sim_apply_fetch(s, call);
		break;
	case CALL_READY:
		call->present = s->nodes[call->node].ready;
		break;
	case CALL_NODE:
		sim_apply_node(s, call);
		break;
	case CALL_COMPILE:
	case CALL_TERMINATING:
		break;
	}
}

void sim_api_apply(struct sim *s, void *data)
{
	struct sim_call *call = data;
	bool local = call->kind == CALL_COMPILE || call->kind == CALL_READY ||
		     call->kind == CALL_TERMINATING;

	/* Questions are asked until there is an answer. */
	if (local && call->kind != CALL_COMPILE)
		call->outcome = CALL_OK;
	if (call->outcome == CALL_OK)
		sim_apply_call(s, call);
	if (call->answer_lost && !local)
		call->outcome = CALL_FAILED;
	sim_push(s, SIM_ANSWER, call->answer_ms,
		 call->object >= 0 ? call->object : call->node + SIM_OBJECTS,
		 sim_mix_text(sim_mix_text((uint64_t)call->kind, call->revision), call->features),
		 call);
}

/* Answers, as effects.c gives them. */

static struct aap *sim_call_profile(const struct sim *s, const struct sim_call *call)
{
	struct aap *aap = sim_aap(s, call->object);

	return aap && strcmp(aap->spec.uid, call->uid) == 0 ? aap : NULL;
}

static int sim_features_index(const struct sim *s, const char *hash)
{
	int i = 0;

	while (i < SIM_FEATURES && strcmp(s->features_hash[i], hash) != 0)
		i++;
	return i;
}

static void sim_answer_compiled(struct sim *s, struct sim_call *call)
{
	struct sim_object *o = &s->objects[call->object];
	struct sim_revision *rev = sim_revision(s, call->revision);
	char sha[SHA256_HEX], name[16];
	CLEANUP(mem_freep) char *what = mem_printf("%s %s", call->revision, call->features);
	struct sync_hash hash = {.name = name};
	struct compiled res = {
	    .state = BUILD_OK, .artefact = sha, .size = 100, .hashes = &hash, .n_hashes = 1};

	snprintf(name, sizeof(name), "web%d", o->name_index);
	sha256_hex(what, strlen(what), sha);
	memcpy(hash.sha256, sha, sizeof(hash.sha256));
	memcpy(hash.sha1, sha, sizeof(hash.sha1) - 1);
	if (call->outcome == CALL_FAILED)
		res = (struct compiled){.state = BUILD_WAITING, .message = "no memory"};
	else if (rev->broken || rev->not_on == sim_features_index(s, call->features))
		res = (struct compiled){.state = BUILD_FAILED, .message = "line 3: no"};
	engine_compiled(s->engine, o->name, call->revision, call->features, &res, sim_engine_ms(s));
}

static void sim_answer_object(struct sim *s, struct sim_call *call)
{
	struct sim_object *o = &s->objects[call->object];
	bool ok = call->outcome == CALL_OK || call->outcome == CALL_NOT_FOUND;
	bool adding = call->kind == CALL_STATUS || call->present;

	if (call->outcome == CALL_CONFLICT || (call->outcome == CALL_OK && adding && call->news))
		sim_see(s, call->object, call->news, call->version);
	if (!sim_call_profile(s, call))
		return;
	if (call->kind == CALL_STATUS)
		engine_status_written(s->engine, o->name,
				      call->outcome == CALL_OK || call->outcome == CALL_CONFLICT,
				      sim_engine_ms(s));
	else if (call->outcome == CALL_CONFLICT)
		engine_finalizer_again(s->engine, o->name);
	else
		engine_finalizer_done(s->engine, o->name, ok, sim_engine_ms(s));
}

static void sim_answer_fetched(struct sim *s, struct sim_call *call)
{
	const char *text = call->outcome == CALL_OK ? call->text : NULL;
	enum profile_mode mode =
	    text && *text == '0' + PROFILE_COMPLAIN ? PROFILE_COMPLAIN : PROFILE_ENFORCE;

	sim_trace(s, "%s: %s is %s", s->objects[call->object].name, call->revision,
		  text ? "read back" : "not to be had");
	if (call->outcome != CALL_OK) {
		engine_unfetched(s->engine, s->objects[call->object].name, call->revision,
				 sim_engine_ms(s));
		return;
	}
	engine_fetched(s->engine, s->objects[call->object].name, call->revision,
		       text ? text + 1 : NULL, text ? strlen(text) - 1 : 0, mode);
}

static void sim_answer_call(struct sim *s, struct sim_call *call)
{
	bool ok = call->outcome == CALL_OK;

	switch (call->kind) {
	case CALL_COMPILE:
		sim_answer_compiled(s, call);
		break;
	case CALL_FINALIZER:
	case CALL_STATUS:
		sim_answer_object(s, call);
		break;
	case CALL_RECORD:
		if (sim_call_profile(s, call))
			engine_recorded(s->engine, s->objects[call->object].name, call->revision,
					ok, sim_engine_ms(s));
		break;
	case CALL_FETCH:
		sim_answer_fetched(s, call);
		break;
	case CALL_TERMINATING:
		if (sim_call_profile(s, call))
			engine_terminating(s->engine, s->objects[call->object].name, false);
		break;
	case CALL_READY:
		engine_node_ready(s->engine, s->nodes[call->node].name, call->present);
		break;
	case CALL_NODE:
		engine_node_written(s->engine, s->nodes[call->node].name, ok, sim_engine_ms(s));
		break;
	}
}

void sim_api_answer(struct sim *s, void *data)
{
	struct sim_call *call = data;

	if (s->engine && call->incarnation == s->incarnation)
		sim_answer_call(s, call);
}
