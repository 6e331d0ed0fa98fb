#include "fake_fleet.h"

#include "base/buf.h"
#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/patch.h"
#include "policy/features.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fleet fleet;

enum answer_kind {
	ANSWER_COMPILED,
	ANSWER_FINALIZER,
	ANSWER_RECORDED,
	ANSWER_FETCHED,
	ANSWER_STATUS
};

struct answer {
	struct list link;
	enum answer_kind kind;
	char *object;
	char revision[PROFILE_REVISION_SIZE];
	char features[SHA256_HEX];
	bool bad;
};

static struct answer *answer_new(enum answer_kind kind, const struct aap *aap, const char *revision)
{
	struct answer *a = MEM_NEW(struct answer);

	a->kind = kind;
	a->object = mem_strdup(aap->spec.object);
	snprintf(a->revision, sizeof(a->revision), "%s", revision);
	list_append(&fleet.answers, &a->link);
	return a;
}

static void op_compile(void *data, const struct aap *aap, const struct revision *rev,
		       const char *features, const char *text)
{
	struct answer *a = answer_new(ANSWER_COMPILED, aap, rev->id);

	(void)data;
	(void)text;
	fleet.n_compiled++;
	memcpy(a->features, features, sizeof(a->features));
	a->bad = strstr(rev->text, "broken") != NULL;
}

static void op_finalizer(void *data, const struct aap *aap, bool present)
{
	(void)data;
	answer_new(ANSWER_FINALIZER, aap, "")->bad = !present;
}

static void op_record(void *data, const struct aap *aap, const struct revision *rev)
{
	(void)data;
	free(map_put(&fleet.revisions, rev->id, mem_strndup(rev->text, rev->n_text)));
	answer_new(ANSWER_RECORDED, aap, rev->id);
}

static void op_fetch(void *data, const struct aap *aap, const char *revision)
{
	(void)data;
	answer_new(ANSWER_FETCHED, aap, revision);
}

static void op_completed(void *data, const struct aap *aap)
{
	(void)data;
	(void)aap;
	fleet.n_completed++;
}

static void fleet_change(const char *profile, struct json_object *patch)
{
	struct json_object *obj = merge_patch_apply(map_get(&fleet.objects, profile), patch);
	char version[24];

	snprintf(version, sizeof(version), "%lld", (long long)++fleet.version);
	js_put_str(js_object(obj, "metadata"), "resourceVersion", version);
	json_object_put(map_put(&fleet.objects, profile, obj));
	json_object_put(patch);
}

/* kstatus rules hold at each instant. */
static void assert_status_is_sound(struct json_object *status, const char *profile)
{
	bool ready = str_equal(fleet_condition(profile, "Ready", "status"), "True");

	if (ready) {
		assert_string_equal(fleet_condition(profile, "Stalled", "status"), "False");
		assert_string_equal(fleet_condition(profile, "Progressing", "status"), "False");
	}
	/* Of a text that was refused the former one may still be on its way. */
	if (str_equal(fleet_condition(profile, "Stalled", "status"), "True") &&
	    !str_equal(fleet_condition(profile, "Accepted", "status"), "False"))
		assert_string_equal(fleet_condition(profile, "Progressing", "status"), "False");
	assert_true(strlen(js_print(status, NULL)) <= 24576);
}

static void op_write_status(void *data, const struct aap *aap, struct json_object *patch)
{
	struct json_object *body = js_new();

	(void)data;
	js_put(body, "status", patch);
	if (fleet.status_refused) {
		json_object_put(body);
		answer_new(ANSWER_STATUS, aap, "")->bad = true;
		return;
	}
	fleet_change(aap->spec.object, body);
	fleet.n_status++;
	assert_status_is_sound(fleet_status(aap->spec.object), aap->spec.object);
	answer_new(ANSWER_STATUS, aap, "");
}

static void op_ask_terminating(void *data, const struct aap *aap)
{
	(void)data;
	(void)aap;
}

static void op_node(void *data, const struct node *node)
{
	(void)data;
	(void)node;
}

static void op_write_node(void *data, const struct node *node)
{
	(void)data;
	(void)node;
	fleet.n_node_writes++;
}

static void op_set_changed(void *data, struct node *node)
{
	struct fleet_agent *agent = fleet_agent(node->name);

	(void)data;
	if (agent)
		agent->changed = true;
}

static const char *op_pod_name(void *data, const struct node *node, const char *uid)
{
	(void)data;
	(void)node;
	(void)uid;
	return NULL;
}

static void op_event(void *data, const struct aap *aap, bool warning, const char *reason,
		     const char *message)
{
	(void)data;
	(void)aap;
	(void)warning;
	(void)message;
	buf_addf(&fleet.events, "%s ", reason);
}

static const struct engine_ops ops = {
    .compile = op_compile,
    .put_finalizer = op_finalizer,
    .record = op_record,
    .fetch = op_fetch,
    .completed = op_completed,
    .write_status = op_write_status,
    .ask_terminating = op_ask_terminating,
    .ask_ready = op_node,
    .write_node = op_write_node,
    .set_changed = op_set_changed,
    .pod_name = op_pod_name,
    .event = op_event,
};

static struct json_object *fleet_parse(const char *text)
{
	struct json_object *obj;
	struct err err;

	if (js_parse(text, strlen(text), &obj, &err) < 0)
		fail_msg("%s: %s", err.msg, text);
	return obj;
}

/* Agents. */

struct fleet_agent *fleet_agent(const char *name)
{
	size_t i;

	for (i = 0; i < fleet.n; i++)
		if (strcmp(fleet.agents[i].name, name) == 0)
			return &fleet.agents[i];
	return NULL;
}

static void agent_say(struct fleet_agent *a, const struct sync_item *item, struct sync_status *s)
{
	const char *held = map_get(&a->holds, item->name);
	bool bad = strcmp(item->revision, a->bad) == 0;

	s->name = mem_strdup(item->name);
	s->uid = mem_strdup(item->uid);
	s->message = mem_strdup(bad ? "no such luck" : "");
	s->kernel_mode = mem_strdup("enforce");
	memcpy(s->target, item->revision, sizeof(s->target));
	if (item->want == SYNC_ABSENT) {
		s->state = SYNC_STATE_ABSENT;
		free(map_del(&a->holds, item->name));
		return;
	}
	if (a->mute && !str_equal(held, item->revision)) {
		s->state = SYNC_STATE_PENDING;
	} else if (a->trouble || bad) {
		s->state = SYNC_STATE_FAILED;
		s->reason = a->trouble ? a->trouble : SYNC_REASON_LOAD_FAILED;
	} else {
		free(map_put(&a->holds, item->name, mem_strdup(item->revision)));
		held = item->revision;
		s->state = SYNC_STATE_LOADED;
		s->n_hashes = item->n_hashes;
		sync_hashes_copy(item->hashes, item->n_hashes, &s->hashes);
	}
	if (a->drifted && s->state == SYNC_STATE_LOADED) {
		s->state = SYNC_STATE_DRIFTED;
		held = "";
	}
	snprintf(s->revision, sizeof(s->revision), "%s", held ? held : "");
}

void fleet_report(struct fleet_agent *a)
{
	struct sync_request req = {.protocol = SYNC_PROTOCOL, .has_report = true};
	char uid[24];
	size_t i;

	snprintf(uid, sizeof(uid), "u-%s", a->name);
	req.agent_version = mem_strdup("test");
	req.kernel_release = mem_strdup("6.1");
	req.boot_id = mem_strdup("b");
	req.report.apparmor_enabled = !a->no_apparmor;
	req.report.apparmor_reason = mem_strdup(a->no_apparmor ? "AppArmor is off" : "");
	if (!a->no_apparmor)
		memcpy(req.features, features_builtin("6.1")->hash, SHA256_HEX);
	memcpy(req.set_hash, a->set_hash, sizeof(req.set_hash));
	req.report.items = mem_alloc(a->n_items, sizeof(struct sync_status));
	req.report.n = a->n_items;
	for (i = 0; i < a->n_items; i++)
		agent_say(a, &a->items[i], &req.report.items[i]);
	snprintf(req.report_hash, sizeof(req.report_hash), "%064lld", (long long)++fleet.version);
	engine_agent_heard(fleet.engine, a->name, uid, &req, fleet.now_ms);
	sync_request_clear(&req);
	a->heard_ms = fleet.now_ms;
}

static const char *agent_told(const struct fleet_agent *a, const char *name)
{
	size_t i;

	for (i = 0; i < a->n_items; i++)
		if (strcmp(a->items[i].name, name) == 0)
			return a->items[i].revision;
	return "";
}

/* It takes its set as the protocol gives it. */
static void agent_fetch_set(struct fleet_agent *a, const struct node *node)
{
	const struct set_body *set = node->set;
	CLEANUP(mem_freep)
	char *text =
	    mem_printf("{\"protocol\":1,\"epoch\":1,\"setHash\":\"%s\",\"set\":%s,\"keep\":%s}",
		       set->hash, set->text, set->keep ? set->keep : "[]");
	struct json_object *obj = fleet_parse(text);
	struct sync_response res;
	struct err err;
	size_t i;

	assert_int_equal(sync_response_decode(obj, &res, &err), 0);
	sync_response_keep(&res, a->items, a->n_items);
	for (i = 0; i < res.n; i++)
		if (strcmp(agent_told(a, res.items[i].name), res.items[i].revision) != 0)
			buf_addf(&fleet.told, "%s=%s ", a->name, res.items[i].revision);
	sync_items_free(a->items, a->n_items);
	a->items = STEAL(res.items);
	a->n_items = res.n;
	res.n = 0;
	memcpy(a->set_hash, res.set_hash, sizeof(a->set_hash));
	sync_response_clear(&res);
	json_object_put(obj);
}

static bool agents_act(void)
{
	bool any = false;
	size_t i;

	for (i = 0; i < fleet.n; i++) {
		struct fleet_agent *a = &fleet.agents[i];
		const struct node *node = engine_node(fleet.engine, a->name);

		if (!a->changed || a->away)
			continue;
		a->changed = false;
		if (!node || !node->set)
			continue;
		agent_fetch_set(a, node);
		fleet_report(a);
		any = true;
	}
	return any;
}

/* Answers. */

static void answer_compiled(const struct answer *a)
{
	static char sha[SHA256_HEX];
	struct aap *aap = engine_profile(fleet.engine, a->object);
	size_t n = fleet.n_hats + 1, i;
	struct sync_hash *hashes = mem_alloc(n, sizeof(*hashes));
	struct compiled res = {
	    .state = BUILD_OK, .artefact = sha, .size = 100, .hashes = hashes, .n_hashes = n};

	sha256_hex(a->revision, 12, sha);
	for (i = 0; i < n; i++) {
		hashes[i].name = i == 0 ? mem_strdup(aap->spec.name)
					: mem_printf("%s//%0200zu", aap->spec.name, i);
		memcpy(hashes[i].sha256, sha, sizeof(hashes[i].sha256));
		memcpy(hashes[i].sha1, sha, sizeof(hashes[i].sha1) - 1);
	}
	if (a->bad)
		res = (struct compiled){.state = BUILD_FAILED, .message = "line 3: no"};
	engine_compiled(fleet.engine, a->object, a->revision, a->features, &res, fleet.now_ms);
	sync_hashes_free(hashes, n);
}

static void fleet_seen(const char *profile)
{
	struct json_object *obj = fleet_parse(js_print(map_get(&fleet.objects, profile), NULL));

	engine_profile_trim(obj);
	engine_profile_seen(fleet.engine, obj, fleet.now_ms);
	if (fleet.standby)
		engine_profile_seen(fleet.standby, obj, fleet.now_ms);
	json_object_put(obj);
}

static void answer_give(const struct answer *a)
{
	const char *text;

	switch (a->kind) {
	case ANSWER_COMPILED:
		answer_compiled(a);
		break;
	case ANSWER_FINALIZER:
		fleet_change(a->object,
			     fleet_parse(a->bad ? "{\"metadata\":{\"finalizers\":null}}"
						: "{\"metadata\":{\"finalizers\":[\"hauberk.dev/"
						  "profile\"]}}"));
		fleet_seen(a->object);
		engine_finalizer_done(fleet.engine, a->object, true, fleet.now_ms);
		break;
	case ANSWER_RECORDED:
		engine_recorded(fleet.engine, a->object, a->revision, true, fleet.now_ms);
		break;
	case ANSWER_FETCHED:
		if (fleet.unreadable) {
			engine_unfetched(fleet.engine, a->object, a->revision, fleet.now_ms);
			break;
		}
		text = map_get(&fleet.revisions, a->revision);
		engine_fetched(fleet.engine, a->object, a->revision, text, text ? strlen(text) : 0,
			       PROFILE_ENFORCE);
		break;
	case ANSWER_STATUS:
		fleet_seen(a->object);
		engine_status_written(fleet.engine, a->object, !a->bad, fleet.now_ms);
		break;
	}
}

static void answers_drop(bool give)
{
	while (!list_is_empty(&fleet.answers)) {
		struct answer *a = container_of(fleet.answers.next, struct answer, link);

		list_remove(&a->link);
		if (give)
			answer_give(a);
		free(a->object);
		free(a);
	}
}

static int64_t fleet_turn(void)
{
	int64_t next;
	bool more;

	do {
		next = engine_run(fleet.engine, fleet.now_ms);
		more = !list_is_empty(&fleet.answers);
		answers_drop(true);
		more = agents_act() || more;
	} while (more || engine_has_work(fleet.engine));
	return next;
}

void fleet_settle(void)
{
	fleet_turn();
}

/* An agent's poll ends after a minute, and it asks again. */
static void agents_poll(void)
{
	size_t i;

	for (i = 0; i < fleet.n; i++)
		if (!fleet.agents[i].away && fleet.agents[i].heard_ms + 60000 <= fleet.now_ms)
			fleet_report(&fleet.agents[i]);
}

void fleet_wait(int64_t s)
{
	int64_t until = fleet.now_ms + s * 1000, next;

	while ((next = fleet_turn()) <= until || fleet.now_ms < until) {
		assert_true(next > fleet.now_ms);
		if (next > fleet.now_ms + 30000)
			next = fleet.now_ms + 30000;
		fleet.now_ms = next < until ? next : until;
		agents_poll();
	}
	fleet_turn();
}

/* The cluster. */

static struct engine *fleet_engine(void)
{
	const char *builtin[] = {features_builtin("6.1")->text, NULL};
	struct engine_options options = {
	    .ops = &ops, .compiler_id = fleet.compiler, .builtin_features = builtin};

	return engine_new(&options, fleet.now_ms);
}

static void fleet_node_seen(const char *name, const char *labels)
{
	CLEANUP(mem_freep)
	char *text = mem_printf("{\"metadata\":{\"name\":\"%s\",\"uid\":\"u-%s\",\"labels\":{%s}}}",
				name, name, labels);
	struct json_object *obj = fleet_parse(text);

	engine_node_seen(fleet.engine, obj, fleet.now_ms);
	if (fleet.standby)
		engine_node_seen(fleet.standby, obj, fleet.now_ms);
	json_object_put(obj);
}

void fleet_join(const char *name, const char *labels)
{
	struct fleet_agent *a = &fleet.agents[fleet.n++];

	assert_true(fleet.n <= FLEET_MAX);
	snprintf(a->name, sizeof(a->name), "%s", name);
	fleet_node_seen(name, labels);
}

void fleet_up(size_t n)
{
	char name[24];
	size_t i;

	fleet = (struct fleet){.compiler = "test",
			       .now_ms = 1000000000000,
			       .told = BUF_INIT(1 << 20),
			       .events = BUF_INIT(1 << 20)};
	list_init(&fleet.answers);
	fleet.engine = fleet_engine();
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "n%zu", i);
		fleet_join(name, "");
	}
	engine_start(fleet.engine, fleet.now_ms);
	for (i = 0; i < n; i++)
		fleet_report(&fleet.agents[i]);
	fleet_settle();
}

static void fleet_show_all(void)
{
	const char *name;
	void *value;
	size_t it = 0, i;

	for (i = 0; i < fleet.n; i++)
		fleet_node_seen(fleet.agents[i].name, "");
	while (map_next(&fleet.objects, &it, &name, &value))
		fleet_seen(name);
}

static void fleet_lead(struct engine *engine)
{
	size_t i;

	fleet.engine = engine;
	engine_start(fleet.engine, fleet.now_ms);
	fleet_turn();
	for (i = 0; i < fleet.n; i++)
		if (!fleet.agents[i].away)
			fleet_report(&fleet.agents[i]);
	fleet_settle();
}

void fleet_kill_controller(void)
{
	answers_drop(false);
	engine_free(fleet.engine);
	fleet.engine = fleet_engine();
	fleet_show_all();
	fleet_lead(fleet.engine);
}

void fleet_stand_by(void)
{
	fleet.standby = fleet_engine();
	fleet_show_all();
}

void fleet_take_over(void)
{
	answers_drop(false);
	engine_free(fleet.engine);
	fleet_lead(STEAL(fleet.standby));
}

static void put_object(void *value)
{
	json_object_put(value);
}

void fleet_down(void)
{
	size_t i;

	answers_drop(false);
	engine_free(fleet.engine);
	engine_free(fleet.standby);
	for (i = 0; i < fleet.n; i++) {
		sync_items_free(fleet.agents[i].items, fleet.agents[i].n_items);
		map_clear(&fleet.agents[i].holds, free);
	}
	map_clear(&fleet.objects, put_object);
	map_clear(&fleet.revisions, free);
	buf_clear(&fleet.told);
	buf_clear(&fleet.events);
}

void fleet_apply(const char *profile, const char *policy, const char *more)
{
	struct json_object *old = map_get(&fleet.objects, profile);
	CLEANUP(mem_freep)
	char *text = mem_printf(
	    "{\"apiVersion\":\"hauberk.dev/v1alpha1\",\"kind\":\"AppArmorProfile\",\"metadata\":{"
	    "\"name\":\"%s\",\"uid\":\"u-%s\",\"generation\":%lld,"
	    "\"creationTimestamp\":\"2000-01-01T00:00:00Z\"},"
	    "\"spec\":null,\"status\":{}}",
	    profile, profile, (long long)js_i64(old, "metadata.generation", 0) + 1);
	CLEANUP(mem_freep)
	char *spec = mem_printf("{\"spec\":{\"policy\":\"%s\"%s}}", policy, more);

	if (!old)
		map_put(&fleet.objects, profile, js_new());
	fleet_change(profile, fleet_parse(text));
	fleet_change(profile, fleet_parse(spec));
	fleet_seen(profile);
	fleet_settle();
}

void fleet_annotate(const char *profile, const char *key, const char *value)
{
	struct json_object *patch = js_new(), *meta = js_new(), *all = js_new();

	js_put(all, key, value ? js_text(value) : NULL);
	js_put(meta, "annotations", all);
	js_put(patch, "metadata", meta);
	fleet_change(profile, patch);
	fleet_seen(profile);
	fleet_settle();
}

/* What is asked. */

const char *fleet_revision(const char *profile)
{
	return engine_profile(fleet.engine, profile)->wanted->id;
}

size_t fleet_holding(const char *profile, const char *revision)
{
	size_t n = 0, i;

	for (i = 0; i < fleet.n; i++)
		n += str_equal(map_get(&fleet.agents[i].holds, profile), revision);
	return n;
}

struct json_object *fleet_status(const char *profile)
{
	return js_object(map_get(&fleet.objects, profile), "status");
}

const char *fleet_condition(const char *profile, const char *type, const char *field)
{
	struct json_object *all = js_array(fleet_status(profile), "conditions");
	size_t i;

	for (i = 0; i < js_len(all); i++)
		if (str_equal(js_str(js_item(all, i), "type"), type))
			return js_str_or_empty(js_item(all, i), field);
	return "";
}

const char *fleet_ready(const char *profile)
{
	return fleet_condition(profile, "Ready", "reason");
}

const char *fleet_phase(const char *profile)
{
	return js_str_or_empty(fleet_status(profile), "rollout.phase");
}
