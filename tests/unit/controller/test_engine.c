#include "controller/engine_priv.h"

#include "base/buf.h"
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

/*
 * The engine in a world made of values: what it wants done is written down as a line in a trace,
 * and the test answers when it likes. Time is a number.
 */

struct world {
	struct engine *engine;
	int64_t now;
	struct buf trace;
	int64_t version;    /* of objects, as the API server counts */
	struct map objects; /* profile name -> struct json_object, as the API server holds it */
	bool auto_compile;
};

static struct world w;

static void trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void trace(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	buf_addf(&w.trace, "%s\n", line);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lines in the order of the alphabet: nodes are walked in no particular one. */
static char *sorted(const char *text)
{
	CLEANUP(mem_freep) char *copy = mem_strdup(text);
	struct buf out = BUF_INIT(1 << 20);
	char *lines[256], *save = NULL, *line;
	size_t n = 0, i;

	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		lines[n++] = line;
	qsort(lines, n, sizeof(*lines), compare_lines);
	for (i = 0; i < n; i++)
		buf_addf(&out, "%s\n", lines[i]);
	return buf_steal(&out);
}

/* What was traced since the last look. */
static void assert_trace(const char *expected)
{
	CLEANUP(mem_freep) char *want = sorted(expected);
	CLEANUP(mem_freep) char *got = sorted(buf_text(&w.trace));

	assert_string_equal(got, want);
	buf_clear(&w.trace);
}

static const char *short_features(const char *hash)
{
	return strcmp(hash, features_builtin("6.1")->hash) == 0    ? "6.1"
	       : strcmp(hash, features_builtin("6.12")->hash) == 0 ? "6.12"
								   : "other";
}

static void op_compile(void *data, const struct aap *aap, const struct revision *rev,
		       const char *features, const char *text)
{
	(void)data;
	(void)rev;
	assert_non_null(text);
	trace("compile %s for %s", aap->spec.object, short_features(features));
}

static void op_finalizer(void *data, const struct aap *aap, bool present)
{
	(void)data;
	trace("finalizer %s %s", aap->spec.object, present ? "on" : "off");
}

static void op_record(void *data, const struct aap *aap, const struct revision *rev)
{
	(void)data;
	(void)rev;
	trace("record %s", aap->spec.object);
}

static void op_fetch(void *data, const struct aap *aap, const char *revision)
{
	(void)data;
	trace("fetch %s %s", aap->spec.object, revision);
}

static void op_completed(void *data, const struct aap *aap)
{
	(void)data;
	trace("completed %s", aap->spec.object);
}

static struct json_object *condition(struct json_object *status, const char *type)
{
	struct json_object *all = js_array(status, "conditions");
	size_t i;

	for (i = 0; i < js_len(all); i++)
		if (str_equal(js_str(js_item(all, i), "type"), type))
			return js_item(all, i);
	return NULL;
}

/* The API server: it merges, and counts. */
static void op_write_status(void *data, const struct aap *aap, struct json_object *patch)
{
	struct json_object *old = map_get(&w.objects, aap->spec.object);
	struct json_object *body = js_new(), *obj, *meta, *status;
	char version[24];

	(void)data;
	js_put(body, "status", patch);
	obj = merge_patch_apply(old, body);
	json_object_put(body);
	meta = js_object(obj, "metadata");
	snprintf(version, sizeof(version), "%lld", (long long)++w.version);
	js_put_str(meta, "resourceVersion", version);
	json_object_put(map_put(&w.objects, aap->spec.object, obj));
	status = js_object(obj, "status");
	trace("status %s: Ready=%s/%s Accepted=%s Stalled=%s %s", aap->spec.object,
	      js_str(condition(status, "Ready"), "status"),
	      js_str(condition(status, "Ready"), "reason"),
	      js_str(condition(status, "Accepted"), "reason"),
	      js_str(condition(status, "Stalled"), "status"), js_str(status, "nodesReady"));
}

static void op_ask_terminating(void *data, const struct aap *aap)
{
	(void)data;
	trace("terminating? %s", aap->spec.object);
}

static void op_ask_ready(void *data, const struct node *node)
{
	(void)data;
	trace("ready? %s", node->name);
}

static void op_write_node(void *data, const struct node *node)
{
	(void)data;
	trace("node %s removals=%zu", node->name, node->n_removals);
}

static void op_set_changed(void *data, struct node *node)
{
	(void)data;
	trace("set %s", node->name);
}

static const char *op_pod_name(void *data, const struct node *node, const char *uid)
{
	(void)data;
	(void)node;
	(void)uid;
	return "default/web-0";
}

static void op_event(void *data, const struct aap *aap, bool warning, const char *reason,
		     const char *message)
{
	(void)data;
	(void)message;
	trace("event %s %s%s", aap->spec.object, warning ? "warning " : "", reason);
}

static const struct engine_ops ops = {
    .compile = op_compile,
    .put_finalizer = op_finalizer,
    .record = op_record,
    .fetch = op_fetch,
    .completed = op_completed,
    .write_status = op_write_status,
    .ask_terminating = op_ask_terminating,
    .ask_ready = op_ask_ready,
    .write_node = op_write_node,
    .set_changed = op_set_changed,
    .pod_name = op_pod_name,
    .event = op_event,
};

static int setup(void **state)
{
	const char *builtin[] = {features_builtin("6.1")->text, features_builtin("6.12")->text,
				 NULL};
	struct engine_options options = {
	    .ops = &ops, .compiler_id = "test", .builtin_features = builtin};

	(void)state;
	w = (struct world){.now = 1000000000000, .trace = BUF_INIT(1 << 20)};
	w.engine = engine_new(&options, w.now);
	return 0;
}

static void put_object(void *value)
{
	json_object_put(value);
}

static int teardown(void **state)
{
	(void)state;
	engine_free(w.engine);
	map_clear(&w.objects, put_object);
	buf_clear(&w.trace);
	return 0;
}

static int64_t run(void)
{
	return engine_run(w.engine, w.now);
}

static struct json_object *parse(const char *text)
{
	struct json_object *obj;
	struct err err;

	if (js_parse(text, strlen(text), &obj, &err) < 0)
		fail_msg("%s", err.msg);
	return obj;
}

static void seen(const char *name)
{
	engine_profile_seen(w.engine, map_get(&w.objects, name), w.now);
}

/* As `kubectl apply` would: metadata of the API server, spec of the user; status stays. */
static void apply(const char *name, int64_t generation, const char *policy, const char *more)
{
	struct json_object *old = map_get(&w.objects, name);
	CLEANUP(mem_freep)
	char *text = mem_printf(
	    "{\"apiVersion\":\"hauberk.dev/v1alpha1\",\"kind\":\"AppArmorProfile\",\"metadata\":{"
	    "\"name\":\"%s\",\"uid\":\"u-%s\",\"resourceVersion\":\"%lld\",\"generation\":%lld,"
	    "\"creationTimestamp\":\"2000-01-01T00:00:0%cZ\"%s},\"spec\":{\"policy\":\"%s\"%s},"
	    "\"status\":{\"observedGeneration\":-1}}",
	    name, name, (long long)++w.version, (long long)generation, name[0] == 'b' ? '1' : '0',
	    old && js_at(old, "metadata.finalizers") ? ",\"finalizers\":[\"hauberk.dev/profile\"]"
						     : "",
	    policy, more);
	struct json_object *obj = parse(text);

	if (old && js_object(old, "status"))
		js_put(obj, "status", json_object_get(js_object(old, "status")));
	json_object_put(map_put(&w.objects, name, obj));
	seen(name);
}

static void patch_object(const char *name, const char *patch)
{
	struct json_object *p = parse(patch);
	struct json_object *obj = merge_patch_apply(map_get(&w.objects, name), p);

	json_object_put(p);
	json_object_put(map_put(&w.objects, name, obj));
	seen(name);
}

static void finalizer_written(const char *name, bool on)
{
	patch_object(name, on ? "{\"metadata\":{\"finalizers\":[\"hauberk.dev/profile\"]}}"
			      : "{\"metadata\":{\"finalizers\":null}}");
	engine_finalizer_done(w.engine, name, true, w.now);
}

static void status_written(const char *name)
{
	seen(name);
	engine_status_written(w.engine, name, true, w.now);
}

static const char *wanted(const char *name)
{
	return engine_profile(w.engine, name)->wanted->id;
}

/* `seed`, of 12 characters, stands for the bytes. */
static void compiled_to(const char *name, const char *release, const char *seed)
{
	static char sha[65];
	struct sync_hash hash = {.name = (char *)name};
	struct compiled res = {
	    .state = BUILD_OK, .artefact = sha, .size = 100, .hashes = &hash, .n_hashes = 1};

	sha256_hex(seed, 12, sha);
	memcpy(hash.sha256, sha, sizeof(hash.sha256));
	engine_compiled(w.engine, name, wanted(name), features_builtin(release)->hash, &res, w.now);
}

/* Every text has bytes of its own. */
static void compiled(const char *name, const char *release)
{
	compiled_to(name, release, wanted(name));
}

static void refused(const char *name, const char *release, const char *why)
{
	struct compiled res = {.state = BUILD_FAILED, .message = why};

	engine_compiled(w.engine, name, wanted(name), features_builtin(release)->hash, &res, w.now);
}

static void node_seen(const char *name, const char *labels)
{
	CLEANUP(mem_freep)
	char *text = mem_printf("{\"metadata\":{\"name\":\"%s\",\"uid\":\"u-%s\",\"labels\":{%s}}}",
				name, name, labels);
	struct json_object *obj = parse(text);

	engine_node_seen(w.engine, obj, w.now);
	json_object_put(obj);
}

/* An agent on a kernel of that release syncs, with what it holds of one profile, or nothing. */
static void heard(const char *node, const char *release, const char *profile, const char *revision,
		  enum sync_state state, enum sync_reason reason)
{
	struct sync_request req = {.protocol = SYNC_PROTOCOL, .has_report = true};
	CLEANUP(mem_freep) char *uid = mem_printf("u-%s", node);

	req.agent_version = mem_strdup("test");
	req.kernel_release = mem_strdup(release);
	req.boot_id = mem_strdup("b");
	memcpy(req.features, features_builtin(release)->hash, SHA256_HEX);
	req.report.apparmor_enabled = true;
	req.report.apparmor_reason = mem_strdup("");
	if (profile) {
		struct sync_status *s = req.report.items = MEM_NEW(struct sync_status);

		req.report.n = 1;
		s->name = mem_strdup(profile);
		s->uid = mem_strdup("");
		s->message = mem_strdup(state == SYNC_STATE_FAILED ? "no such luck" : "");
		s->kernel_mode = mem_strdup("enforce");
		snprintf(s->revision, sizeof(s->revision), "%s",
			 state == SYNC_STATE_FAILED || state == SYNC_STATE_ABSENT ? "" : revision);
		snprintf(s->target, sizeof(s->target), "%s", revision);
		s->state = state;
		s->reason = reason;
		s->hashes = MEM_NEW(struct sync_hash);
		s->n_hashes = 1;
		s->hashes[0].name = mem_strdup(profile);
		sha256_hex(revision, 12, s->hashes[0].sha256);
	}
	if (engine_node(w.engine, node)->set)
		memcpy(req.set_hash, engine_node(w.engine, node)->set->hash, SHA256_HEX);
	snprintf(req.report_hash, sizeof(req.report_hash), "%064lld", (long long)++w.version);
	assert_int_equal(engine_agent_heard(w.engine, node, uid, &req, w.now), REPORT_TAKEN);
	sync_request_clear(&req);
}

static void heard_loaded(const char *node, const char *release, const char *profile)
{
	heard(node, release, profile, wanted(profile), SYNC_STATE_LOADED, SYNC_REASON_NONE);
}

/* A set as its agent reads it: "web=REVISION other=absent ". */
static char *told(const char *node)
{
	struct json_object *set = parse(engine_node(w.engine, node)->set->text);
	struct buf out = BUF_INIT(1 << 16);
	struct sync_item *items;
	struct err err;
	size_t n, i;

	if (sync_set_decode(set, &items, &n, &err) < 0)
		fail_msg("%s", err.msg);
	for (i = 0; i < n; i++)
		buf_addf(&out, "%s=%s ", items[i].name,
			 items[i].want == SYNC_ABSENT ? "absent" : items[i].revision);
	sync_items_free(items, n);
	json_object_put(set);
	return buf_steal(&out);
}

static void assert_told(const char *node, const char *name, const char *revision)
{
	CLEANUP(mem_freep) char *got = told(node);
	CLEANUP(mem_freep) char *want = name ? mem_printf("%s=%s ", name, revision) : NULL;

	assert_string_equal(got, name ? want : "");
}

/* Two nodes, each with an agent that holds nothing. */
static void start_with_two_nodes(void)
{
	node_seen("n1", "\"disk\":\"ssd\"");
	node_seen("n2", "");
	engine_start(w.engine, w.now);
	heard("n1", "6.1", NULL, "", SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	heard("n2", "6.12", NULL, "", SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	run();
	engine_node_written(w.engine, "n1", true, w.now);
	engine_node_written(w.engine, "n2", true, w.now);
	run();
	buf_clear(&w.trace);
}

/* Profile "a" on both nodes, complete. */
static void install_a(void)
{
	apply("a", 1, "x", "");
	run();
	finalizer_written("a", true);
	compiled("a", "6.1");
	compiled("a", "6.12");
	run();
	engine_recorded(w.engine, "a", wanted("a"), true, w.now);
	run();
	status_written("a");
	heard_loaded("n1", "6.1", "a");
	heard_loaded("n2", "6.12", "a");
	run();
	status_written("a");
	run();
	buf_clear(&w.trace);
}

/* From the object as applied to its being served. */
static void serve_a(void)
{
	start_with_two_nodes();
	apply("a", 1, "x", "");
	run();
	assert_trace("finalizer a on\ncompile a for 6.1\ncompile a for 6.12\n");
	finalizer_written("a", true);
	compiled("a", "6.1");
	run();
	assert_trace("");
	compiled("a", "6.12");
	run();
	assert_trace("record a\n");
	engine_recorded(w.engine, "a", wanted("a"), true, w.now);
	run();
	assert_trace("set n1\nset n2\n");
}

static void an_install_takes_three_writes(void **state)
{
	(void)state;
	serve_a();
	heard_loaded("n1", "6.1", "a");
	run();
	w.now += 200;
	heard_loaded("n2", "6.12", "a");
	run();
	assert_trace("event a RolloutComplete\ncompleted a\n"
		     "status a: Ready=True/RolloutComplete Accepted=Compiled Stalled=False 2/2\n");
	status_written("a");
	run();
	assert_trace("");
}

static void a_slow_install_shows_that_it_goes_on(void **state)
{
	int64_t began;

	(void)state;
	serve_a();
	began = w.now;
	assert_int_equal(run(), began + 1000);
	w.now += 1000;
	run();
	assert_trace(
	    "status a: Ready=False/RolloutInProgress Accepted=Compiled Stalled=False 0/2\n");
	status_written("a");
	run();
	heard_loaded("n1", "6.1", "a");
	/* One more node is a mere counter: the longer it takes, the longer that may wait. */
	assert_int_equal(run(), began + 3000);
	assert_trace("");
	w.now = began + 3000;
	run();
	assert_trace(
	    "status a: Ready=False/RolloutInProgress Accepted=Compiled Stalled=False 1/2\n");
	status_written("a");
	run();
	heard_loaded("n2", "6.12", "a");
	run();
	assert_trace("event a RolloutComplete\ncompleted a\n"
		     "status a: Ready=True/RolloutComplete Accepted=Compiled Stalled=False 2/2\n");
}

static void nothing_is_served_without_finalizer_or_record(void **state)
{
	(void)state;
	start_with_two_nodes();
	apply("a", 1, "x", "");
	run();
	compiled("a", "6.1");
	compiled("a", "6.12");
	run();
	engine_recorded(w.engine, "a", wanted("a"), true, w.now);
	run();
	assert_null(strstr(buf_text(&w.trace), "set n1"));
	finalizer_written("a", true);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "set n1"));
}

static void a_label_edit_causes_no_work(void **state)
{
	(void)state;
	start_with_two_nodes();
	install_a();
	patch_object("a",
		     "{\"metadata\":{\"labels\":{\"team\":\"x\"},\"resourceVersion\":\"900\"}}");
	run();
	assert_trace("");
}

static void the_annotation_to_adopt_is_told_to_every_node(void **state)
{
	(void)state;
	start_with_two_nodes();
	install_a();
	patch_object("a", "{\"metadata\":{\"annotations\":{\"hauberk.dev/adopt\":\"true\"}}}");
	run();
	assert_trace("set n1\nset n2\n");
}

static void a_bad_text_leaves_the_nodes_their_revision(void **state)
{
	char good[PROFILE_REVISION_SIZE];
	struct json_object *status;

	(void)state;
	start_with_two_nodes();
	install_a();
	memcpy(good, wanted("a"), sizeof(good));
	apply("a", 2, "broken", "");
	run();
	assert_trace("compile a for 6.1\ncompile a for 6.12\n");
	refused("a", "6.1", "line 3: no");
	refused("a", "6.12", "line 3: no");
	run();
	assert_trace("event a warning InvalidPolicy\n"
		     "status a: Ready=False/InvalidPolicy Accepted=ParseError Stalled=True 2/2\n");
	status_written("a");
	status = js_object(map_get(&w.objects, "a"), "status");
	assert_string_equal(js_str(status, "updateRevision"), good);
	assert_non_null(strstr(js_str(condition(status, "Ready"), "message"), "line 3: no"));
	assert_non_null(strstr(js_str(condition(status, "Ready"), "message"), good));
	/* And back again: nothing is compiled, and no node is told a thing. */
	apply("a", 3, "x", "");
	run();
	assert_trace("event a RolloutComplete\n"
		     "status a: Ready=True/RolloutComplete Accepted=Compiled Stalled=False 2/2\n");
}

static void a_failing_node_is_named(void **state)
{
	(void)state;
	start_with_two_nodes();
	install_a();
	heard("n2", "6.12", "a", wanted("a"), SYNC_STATE_FAILED, SYNC_REASON_NAME_CONFLICT);
	run();
	assert_trace("event a warning NodesFailed\n"
		     "status a: Ready=False/NodesFailed Accepted=Compiled Stalled=False 1/2\n");
	assert_string_equal(
	    js_str(js_item(js_array(map_get(&w.objects, "a"), "status.nodes"), 0), "name"), "n2");
	assert_string_equal(
	    js_str(js_item(js_array(map_get(&w.objects, "a"), "status.failureReasons"), 0),
		   "reason"),
	    "NameConflict");
}

static void hashes_that_are_not_the_expected_ones_are_a_failure(void **state)
{
	(void)state;
	start_with_two_nodes();
	install_a();
	/* It says Loaded and names the revision, but what it read back is something else. */
	engine_profile(w.engine, "a")->served->id[0] ^= 1;
	heard("n1", "6.1", "a", wanted("a"), SYNC_STATE_LOADED, SYNC_REASON_NONE);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "Ready=False/NodesFailed"));
}

static enum node_state state_of(const char *name, const char *node)
{
	const struct aap *aap = engine_profile(w.engine, name);

	return ((struct placement *)map_get(&aap->placements, node))->state.state;
}

/* Its agent starts with the set that is on its disk; the same revision has other bytes now. */
static void a_node_that_comes_back_with_another_kernel_has_not_failed(void **state)
{
	(void)state;
	start_with_two_nodes();
	apply("a", 1, "x", "");
	run();
	finalizer_written("a", true);
	compiled("a", "6.1");
	compiled_to("a", "6.12", "other bytes!");
	run();
	engine_recorded(w.engine, "a", wanted("a"), true, w.now);
	run();
	heard_loaded("n1", "6.1", "a");
	run();
	assert_int_equal(state_of("a", "n1"), NODE_LOADED);
	heard_loaded("n1", "6.12", "a");
	assert_int_equal(state_of("a", "n1"), NODE_PENDING);
	buf_clear(&w.trace);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "set n1"));
	assert_int_equal(state_of("a", "n1"), NODE_PENDING);
	assert_int_equal(engine_profile(w.engine, "a")->counts.failed, 0);
	/* With that set in hand the same words are another matter. */
	heard_loaded("n1", "6.12", "a");
	run();
	assert_int_equal(state_of("a", "n1"), NODE_FAILED);
	assert_true(engine_has_work(w.engine));
	/* What status says of it meanwhile is what was counted. */
	engine_mark_node(w.engine, engine_node(w.engine, "n1"));
	assert_int_equal(
	    engine_judge(map_get(&engine_profile(w.engine, "a")->placements, "n1")).state,
	    NODE_FAILED);
}

static void a_report_that_was_not_sent_speaks_for_no_set(void **state)
{
	struct sync_request req = {.protocol = SYNC_PROTOCOL};
	struct node *node;

	(void)state;
	start_with_two_nodes();
	install_a();
	heard_loaded("n1", "6.1", "a");
	run();
	node = engine_node(w.engine, "n1");
	assert_true(engine_has_set(node));
	req.agent_version = mem_strdup("test");
	req.kernel_release = mem_strdup("6.1");
	req.boot_id = mem_strdup("b");
	memcpy(req.features, node->features, sizeof(req.features));
	memcpy(req.set_hash, node->set->hash, sizeof(req.set_hash));
	memset(req.report_hash, '7', SHA256_HEX - 1);
	engine_agent_heard(w.engine, "n1", "u-n1", &req, w.now);
	sync_request_clear(&req);
	assert_false(engine_has_set(node));
}

static void zones_that_a_node_makes_up_come_to_an_end(void **state)
{
	char label[64];
	int i;

	(void)state;
	start_with_two_nodes();
	node_seen("n2", "\"topology.kubernetes.io/zone\":\"real\"");
	for (i = 0; i < ENGINE_ZONES_MAX + 10; i++) {
		snprintf(label, sizeof(label), "\"topology.kubernetes.io/zone\":\"z%d\"", i);
		node_seen("n1", label);
	}
	assert_string_equal(engine_node(w.engine, "n1")->zone, "");
	node_seen("n1", "\"topology.kubernetes.io/zone\":\"real\"");
	assert_string_equal(engine_node(w.engine, "n1")->zone, "real");
}

static void a_selector_decides_who_is_told(void **state)
{
	(void)state;
	start_with_two_nodes();
	apply("a", 1, "x", ",\"nodeSelector\":{\"matchLabels\":{\"disk\":\"ssd\"}}");
	run();
	assert_trace("finalizer a on\ncompile a for 6.1\n");
	finalizer_written("a", true);
	compiled("a", "6.1");
	run();
	engine_recorded(w.engine, "a", wanted("a"), true, w.now);
	buf_clear(&w.trace);
	run();
	assert_trace("set n1\n");
}

static void a_selector_that_matches_nothing_is_ready_with_a_warning(void **state)
{
	(void)state;
	start_with_two_nodes();
	apply("a", 1, "x", ",\"nodeSelector\":{\"matchLabels\":{\"disk\":\"none\"}}");
	run();
	finalizer_written("a", true);
	compiled("a", "6.1");
	compiled("a", "6.12");
	run();
	engine_recorded(w.engine, "a", wanted("a"), true, w.now);
	buf_clear(&w.trace);
	run();
	assert_trace("event a warning NoMatchingNodes\n"
		     "completed a\n"
		     "status a: Ready=True/NoMatchingNodes Accepted=Compiled Stalled=False 0/0\n");
}

static void a_node_that_is_no_longer_selected_is_told_to_remove(void **state)
{
	char rev[PROFILE_REVISION_SIZE];

	(void)state;
	start_with_two_nodes();
	install_a();
	memcpy(rev, wanted("a"), sizeof(rev));
	apply("a", 2, "x", ",\"nodeSelector\":{\"matchLabels\":{\"disk\":\"ssd\"}}");
	run();
	assert_non_null(strstr(buf_text(&w.trace), "set n2"));
	assert_null(strstr(buf_text(&w.trace), "set n1"));
	assert_non_null(strstr(engine_node(w.engine, "n2")->set->text, "absent"));
	status_written("a");
	buf_clear(&w.trace);
	heard("n2", "6.12", "a", rev, SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	w.now += 2000;
	run();
	assert_string_equal(engine_node(w.engine, "n2")->set->text, "[]");
}

static void a_deletion_asks_removes_and_then_lets_go(void **state)
{
	(void)state;
	start_with_two_nodes();
	install_a();
	patch_object("a", "{\"metadata\":{\"deletionTimestamp\":\"2000-01-01T00:00:09Z\"}}");
	run();
	assert_non_null(strstr(buf_text(&w.trace), "terminating? a"));
	assert_null(strstr(buf_text(&w.trace), "set n1"));
	engine_terminating(w.engine, "a", false);
	buf_clear(&w.trace);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "set n1\n"));
	assert_null(strstr(buf_text(&w.trace), "finalizer"));
	heard("n1", "6.1", "a", wanted("a"), SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	run();
	assert_null(strstr(buf_text(&w.trace), "finalizer"));
	heard("n2", "6.12", "a", wanted("a"), SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "finalizer a off"));
}

static void delete (const char *name)
{
	patch_object(name, "{\"metadata\":{\"deletionTimestamp\":\"2000-01-01T00:00:09Z\"}}");
	run();
	engine_terminating(w.engine, name, false);
	run();
}

static void a_deletion_waits_for_nodes_that_may_be_loading_it(void **state)
{
	(void)state;
	serve_a();
	delete ("a");
	assert_null(strstr(buf_text(&w.trace), "finalizer"));
	assert_told("n1", "a", "absent");
	/* A report from before its agent had the set does not count. */
	engine_set_unref(w.engine, engine_node(w.engine, "n2")->set);
	engine_node(w.engine, "n2")->set = NULL;
	heard("n1", "6.1", NULL, "", SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	heard("n2", "6.12", NULL, "", SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	run();
	assert_null(strstr(buf_text(&w.trace), "finalizer"));
	assert_told("n2", "a", "absent");
	heard("n2", "6.12", "a", wanted("a"), SYNC_STATE_LOADED, SYNC_REASON_NONE);
	run();
	assert_null(strstr(buf_text(&w.trace), "finalizer"));
	heard("n2", "6.12", "a", wanted("a"), SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "finalizer a off"));
}

/* It was told just before it lost the network. */
static void a_deletion_notes_a_node_that_may_have_loaded_it(void **state)
{
	(void)state;
	serve_a();
	w.now += 149 * 1000;
	heard_loaded("n1", "6.1", "a");
	w.now += 10 * 1000;
	run();
	engine_node_ready(w.engine, "n2", false);
	delete ("a");
	assert_non_null(strstr(buf_text(&w.trace), "node n2 removals=1"));
	assert_null(strstr(buf_text(&w.trace), "finalizer"));
}

static void a_disabled_profile_waits_for_nodes_that_may_be_loading_it(void **state)
{
	(void)state;
	serve_a();
	apply("a", 2, "x", ",\"state\":\"Disabled\"");
	w.now += 1000;
	run();
	assert_non_null(strstr(buf_text(&w.trace), "status a: Ready=False/RolloutInProgress"));
	assert_null(strstr(buf_text(&w.trace), "Ready=True"));
	status_written("a");
	heard("n1", "6.1", "a", wanted("a"), SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	heard("n2", "6.12", "a", wanted("a"), SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "status a: Ready=True/RolloutComplete"));
}

static void a_deletion_waits_for_an_excluded_node_that_holds_it(void **state)
{
	(void)state;
	start_with_two_nodes();
	install_a();
	node_seen("n2", "\"hauberk.dev/exclude\":\"\"");
	run();
	heard("n2", "6.12", "a", wanted("a"), SYNC_STATE_DRAINING, SYNC_REASON_NONE);
	run();
	status_written("a");
	delete ("a");
	heard("n1", "6.1", "a", wanted("a"), SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	run();
	assert_null(strstr(buf_text(&w.trace), "finalizer"));
	assert_told("n2", "a", "absent");
	heard("n2", "6.12", "a", wanted("a"), SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "finalizer a off"));
}

/* Disabled, and the former leader said that it was being removed. Agents were on both nodes. */
static void new_leader_finds_a_disabled(void)
{
	node_seen("n1", "");
	node_seen("n2", "");
	engine_node_object_seen(w.engine, "n1", NULL, 0, true);
	engine_node_object_seen(w.engine, "n2", NULL, 0, true);
	apply("a", 2, "x", ",\"state\":\"Disabled\"");
	patch_object("a", "{\"metadata\":{\"finalizers\":[\"hauberk.dev/profile\"]},\"status\":{"
			  "\"observedGeneration\":2,\"conditions\":[{\"type\":\"Ready\",\"status\":"
			  "\"False\",\"reason\":\"RolloutInProgress\"}]}}");
	engine_start(w.engine, w.now);
	run();
	compiled("a", "6.1");
	compiled("a", "6.12");
	run();
	engine_recorded(w.engine, "a", wanted("a"), true, w.now);
	run();
	w.now += 2000;
	run();
}

static const char *ready_message(const char *name)
{
	return js_str_or_empty(condition(js_object(map_get(&w.objects, name), "status"), "Ready"),
			       "message");
}

static void a_disabled_profile_is_removed_once_every_agent_has_said_so(void **state)
{
	(void)state;
	new_leader_finds_a_disabled();
	assert_null(strstr(buf_text(&w.trace), "status a"));
	heard("n1", "6.1", NULL, "", SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	w.now += 2000;
	run();
	assert_null(strstr(buf_text(&w.trace), "status a"));
	heard("n2", "6.12", "a", wanted("a"), SYNC_STATE_LOADED, SYNC_REASON_NONE);
	w.now += 2000;
	run();
	assert_null(strstr(buf_text(&w.trace), "Ready=True"));
	status_written("a");
	heard("n2", "6.12", "a", wanted("a"), SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	w.now += 2000;
	run();
	assert_non_null(strstr(buf_text(&w.trace), "status a: Ready=True/RolloutComplete"));
}

static void a_disabled_profile_waits_for_an_agent_that_is_away_but_not_for_a_dead_node(void **state)
{
	(void)state;
	new_leader_finds_a_disabled();
	heard("n1", "6.1", NULL, "", SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	w.now += 149 * 1000;
	heard("n1", "6.1", NULL, "", SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	run();
	engine_node_ready(w.engine, "n2", true);
	w.now += 2000;
	run();
	assert_non_null(strstr(buf_text(&w.trace), "status a: Ready=False/RolloutInProgress"));
	assert_non_null(strstr(ready_message("a"), "n2 (its agent has not reported yet)"));
	status_written("a");
	engine_node_ready(w.engine, "n2", false);
	w.now += 2000;
	run();
	assert_non_null(strstr(buf_text(&w.trace), "status a: Ready=True/RolloutComplete"));
	assert_non_null(strstr(ready_message("a"), "1 that Kubernetes does not call Ready"));
}

static void an_uninstall_unloads_nothing(void **state)
{
	(void)state;
	start_with_two_nodes();
	install_a();
	patch_object("a", "{\"metadata\":{\"deletionTimestamp\":\"2000-01-01T00:00:09Z\"}}");
	run();
	engine_terminating(w.engine, "a", true);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "finalizer a off"));
	assert_null(strstr(buf_text(&w.trace), "set n"));
	/* The object goes, and so does its place in the set; "absent" is never said. */
	engine_profile_gone(w.engine, "a");
	run();
	assert_null(strstr(engine_node(w.engine, "n1")->set->text, "absent"));
}

static void a_profile_that_vanishes_is_not_told_absent(void **state)
{
	(void)state;
	start_with_two_nodes();
	install_a();
	engine_profile_gone(w.engine, "a"); /* a wiped etcd */
	run();
	assert_string_equal(engine_node(w.engine, "n1")->set->text, "[]");
}

static void a_deletion_does_not_wait_for_a_dead_node(void **state)
{
	(void)state;
	start_with_two_nodes();
	install_a();
	w.now += 140 * 1000;
	heard("n1", "6.1", "a", wanted("a"), SYNC_STATE_LOADED, SYNC_REASON_NONE);
	w.now += 20 * 1000; /* n2 has not been heard of for 160 s */
	run();
	assert_non_null(strstr(buf_text(&w.trace), "ready? n2"));
	engine_node_ready(w.engine, "n2", false);
	run();
	status_written("a");
	patch_object("a", "{\"metadata\":{\"deletionTimestamp\":\"2000-01-01T00:00:09Z\"}}");
	run();
	engine_terminating(w.engine, "a", false);
	buf_clear(&w.trace);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "node n2 removals=1"));
	heard("n1", "6.1", "a", wanted("a"), SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	run();
	/* The note must be there before the object may go. */
	assert_null(strstr(buf_text(&w.trace), "finalizer"));
	engine_node_written(w.engine, "n2", true, w.now);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "finalizer a off"));
	engine_profile_gone(w.engine, "a");
	/* The late agent comes, and is told. */
	buf_clear(&w.trace);
	heard("n2", "6.12", "a", "0123456789ab", SYNC_STATE_ORPHAN, SYNC_REASON_NONE);
	run();
	assert_non_null(strstr(engine_node(w.engine, "n2")->set->text, "absent"));
	engine_node_written(w.engine, "n2", true, w.now);
	heard("n2", "6.12", "a", "0123456789ab", SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "node n2 removals=0"));
}

static void the_older_of_two_claimants_holds_the_name(void **state)
{
	(void)state;
	start_with_two_nodes();
	apply("b", 1, "x", ",\"profileName\":\"shared\"");
	apply("a", 1, "x", ",\"profileName\":\"shared\"");
	run();
	assert_non_null(strstr(buf_text(&w.trace), "status b: Ready=False/NameConflict "
						   "Accepted=NameConflict Stalled=True 0/0"));
	assert_non_null(strstr(buf_text(&w.trace), "compile a"));
	assert_null(strstr(buf_text(&w.trace), "compile b"));
	status_written("b");
	run();
	buf_clear(&w.trace);
	engine_profile_gone(w.engine, "a");
	run();
	assert_non_null(strstr(buf_text(&w.trace), "finalizer b on\ncompile b"));
}

/* Names that a node is told to keep. */
static void assert_kept(const char *node, const char *names)
{
	const char *keep = engine_node(w.engine, node)->set->keep;

	assert_string_equal(keep ? keep : "[]", names);
}

/* An object with profileName web, from its being applied to its being loaded on both nodes. */
static void serve_web(const char *object, const char *policy)
{
	apply(object, 1, policy, ",\"profileName\":\"web\"");
	run();
	finalizer_written(object, true);
	compiled(object, "6.1");
	compiled(object, "6.12");
	run();
	engine_recorded(w.engine, object, wanted(object), true, w.now);
	run();
}

static void web_loaded(const char *object)
{
	heard("n1", "6.1", "web", wanted(object), SYNC_STATE_LOADED, SYNC_REASON_NONE);
	heard("n2", "6.12", "web", wanted(object), SYNC_STATE_LOADED, SYNC_REASON_NONE);
	run();
	status_written(object);
	run();
}

static void of_two_made_in_one_second_the_one_that_is_served_holds_the_name(void **state)
{
	struct json_object *a, *c;
	int first;

	start_with_two_nodes();
	serve_web("c", "x");
	web_loaded("c");
	apply("a", 1, "y", ",\"profileName\":\"web\"");
	run();
	status_written("a");
	run();
	assert_told("n1", "web", wanted("c"));
	assert_int_equal(engine_profile(w.engine, "a")->accept, ACCEPT_NAME_CONFLICT);
	/* So it is with the next leader, whichever it sees first. */
	for (first = 0; first < 2; first++) {
		a = json_object_get(map_get(&w.objects, "a"));
		c = json_object_get(map_get(&w.objects, "c"));
		teardown(state);
		setup(state);
		map_put(&w.objects, "a", a);
		map_put(&w.objects, "c", c);
		seen(first ? "a" : "c");
		seen(first ? "c" : "a");
		assert_ptr_equal(engine_holder(w.engine, "web"), engine_profile(w.engine, "c"));
	}
}

static void of_two_that_nobody_serves_the_uid_decides(void **state)
{
	(void)state;
	start_with_two_nodes();
	apply("c", 1, "x", ",\"profileName\":\"web\"");
	run();
	apply("a", 1, "y", ",\"profileName\":\"web\"");
	run();
	assert_ptr_equal(engine_holder(w.engine, "web"), engine_profile(w.engine, "a"));
}

/* An object restored from a backup may be older than the one that took its place. */
static void a_change_of_holder_unloads_nothing(void **state)
{
	char old[PROFILE_REVISION_SIZE];

	(void)state;
	start_with_two_nodes();
	serve_web("b", "x");
	web_loaded("b");
	memcpy(old, wanted("b"), sizeof(old));
	apply("a", 1, "y",
	      ",\"profileName\":\"web\",\"nodeSelector\":{\"matchLabels\":{"
	      "\"disk\":\"ssd\"}}");
	run();
	assert_told("n1", NULL, NULL);
	assert_kept("n1", "[\"web\"]"); /* while the other's text is compiled */
	finalizer_written("a", true);
	compiled("a", "6.1");
	run();
	engine_recorded(w.engine, "a", wanted("a"), true, w.now);
	run();
	assert_told("n1", "web", wanted("a"));
	assert_string_not_equal(wanted("a"), old);
	/* Where the new holder does not want it, it says so; the former one says nothing. */
	assert_told("n2", "web", "absent");
	assert_int_equal(engine_profile(w.engine, "b")->placements.n, 0);
}

/* The controller starts over with profile "a" as it was applied, and agents that hold `revision`.
 */
static void new_leader_finds(const char *revision)
{
	node_seen("n1", "");
	node_seen("n2", "");
	apply("a", 1, "x", "");
	patch_object("a", "{\"metadata\":{\"finalizers\":[\"hauberk.dev/profile\"]},"
			  "\"status\":{\"observedGeneration\":1}}");
	engine_start(w.engine, w.now);
	run();
	heard("n1", "6.1", "a", revision, SYNC_STATE_LOADED, SYNC_REASON_NONE);
	heard("n2", "6.12", "a", revision, SYNC_STATE_LOADED, SYNC_REASON_NONE);
	run();
}

/* An empty disk: what nodes hold is compiled anew, and that takes its time. */
static void while_a_new_leader_compiles_nodes_keep_what_they_have(void **state)
{
	(void)state;
	node_seen("n1", "");
	apply("a", 1, "x", "");
	new_leader_finds(wanted("a"));
	assert_null(engine_node(w.engine, "n1")->set); /* it may be known in a moment */
	w.now += ENGINE_TAKEOVER_MS;
	run();
	assert_told("n1", NULL, NULL);
	assert_kept("n1", "[\"a\"]");
	engine_node_written(w.engine, "n1", true, w.now);
	engine_node_written(w.engine, "n2", true, w.now);
	buf_clear(&w.trace);
	heard_loaded("n1", "6.1", "a");
	heard_loaded("n2", "6.12", "a");
	compiled("a", "6.1");
	compiled("a", "6.12");
	run();
	engine_recorded(w.engine, "a", wanted("a"), true, w.now);
	run();
	assert_told("n1", "a", wanted("a"));
	assert_kept("n1", "[]");
	assert_null(strstr(buf_text(&w.trace), "node n")); /* no AppArmorNode is written for it */
}

/* The revision that nodes hold is another compiler's, and ours refuses the text. */
static void a_text_that_a_new_compiler_refuses_stays_where_it_is(void **state)
{
	static const char old[] = "0123456789ab";

	(void)state;
	new_leader_finds(old);
	engine_fetched(w.engine, "a", old, "x", 1, PROFILE_ENFORCE);
	refused("a", "6.1", "line 3: no");
	refused("a", "6.12", "line 3: no");
	run();
	w.now += 3600 * 1000;
	heard("n1", "6.1", "a", old, SYNC_STATE_LOADED, SYNC_REASON_NONE);
	run();
	assert_int_equal(engine_profile(w.engine, "a")->accept, ACCEPT_PARSE_ERROR);
	assert_told("n1", NULL, NULL);
	assert_kept("n1", "[\"a\"]");
	/* Its removal is told all the same. */
	delete ("a");
	assert_told("n1", "a", "absent");
	assert_kept("n1", "[]");
}

/* It comes back with a kernel that cannot be compiled for. */
static void a_node_whose_feature_set_is_refused_keeps_what_it_has(void **state)
{
	struct sync_request req = {.protocol = SYNC_PROTOCOL};
	char text[] = "not a feature set";

	(void)state;
	start_with_two_nodes();
	install_a();
	req.agent_version = mem_strdup("");
	req.kernel_release = mem_strdup("");
	req.boot_id = mem_strdup("");
	req.features_text = mem_strdup(text);
	features_hash(text, strlen(text), req.features);
	engine_agent_heard(w.engine, "n1", "u-n1", &req, w.now);
	sync_request_clear(&req);
	run();
	assert_string_equal(engine_node(w.engine, "n1")->features_reason, "BadFeatureSet");
	assert_told("n1", NULL, NULL);
	assert_kept("n1", "[\"a\"]");
}

static void nothing_is_kept_where_nothing_was_told(void **state)
{
	(void)state;
	start_with_two_nodes();
	apply("a", 1, "x", "");
	run();
	assert_told("n1", NULL, NULL);
	assert_kept("n1", "[]");
}

static void a_new_leader_leaves_status_standing_until_all_reported(void **state)
{
	struct json_object *obj;
	char rev[PROFILE_REVISION_SIZE];

	start_with_two_nodes();
	install_a();
	memcpy(rev, wanted("a"), sizeof(rev));
	obj = json_object_get(map_get(&w.objects, "a"));
	teardown(state);
	setup(state);
	map_put(&w.objects, "a", obj);
	node_seen("n1", "");
	node_seen("n2", "");
	seen("a");
	engine_start(w.engine, w.now);
	run();
	compiled("a", "6.1");
	compiled("a", "6.12");
	run();
	engine_recorded(w.engine, "a", rev, true, w.now);
	run();
	heard("n1", "6.1", "a", rev, SYNC_STATE_LOADED, SYNC_REASON_NONE);
	w.now += 10000;
	run();
	assert_null(strstr(buf_text(&w.trace), "status"));
	heard("n2", "6.12", "a", rev, SYNC_STATE_LOADED, SYNC_REASON_NONE);
	run();
	assert_null(strstr(buf_text(&w.trace), "status")); /* it says what stands there already */
}

static void a_bad_text_after_a_restart_brings_the_last_good_one_back(void **state)
{
	struct json_object *obj;
	char good[PROFILE_REVISION_SIZE];

	start_with_two_nodes();
	install_a();
	memcpy(good, wanted("a"), sizeof(good));
	apply("a", 2, "broken", "");
	obj = json_object_get(map_get(&w.objects, "a"));
	teardown(state);
	setup(state);
	map_put(&w.objects, "a", obj);
	node_seen("n1", "");
	seen("a");
	engine_start(w.engine, w.now);
	heard("n1", "6.1", "a", good, SYNC_STATE_LOADED, SYNC_REASON_NONE);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "fetch a"));
	engine_fetched(w.engine, "a", good, "x", 1, PROFILE_ENFORCE);
	refused("a", "6.1", "line 3: no");
	run();
	assert_string_equal(engine_profile(w.engine, "a")->served->id, good);
	assert_non_null(strstr(buf_text(&w.trace), "Ready=False/InvalidPolicy"));
}

static void a_node_without_apparmor_is_unsupported_and_not_desired(void **state)
{
	struct sync_request req = {.protocol = SYNC_PROTOCOL, .has_report = true};

	(void)state;
	start_with_two_nodes();
	install_a();
	node_seen("n3", "");
	req.agent_version = mem_strdup("");
	req.kernel_release = mem_strdup("");
	req.boot_id = mem_strdup("");
	req.report.apparmor_reason = mem_strdup("AppArmor is off");
	snprintf(req.report_hash, sizeof(req.report_hash), "%064d", 7);
	engine_agent_heard(w.engine, "n3", "u-n3", &req, w.now);
	sync_request_clear(&req);
	w.now += 2000;
	run();
	assert_non_null(strstr(buf_text(&w.trace), "Ready=True/RolloutComplete Accepted=Compiled "
						   "Stalled=False 2/2"));
	assert_int_equal(js_i64(map_get(&w.objects, "a"), "status.unsupportedNodes", 0), 1);
}

static void a_report_of_another_nodes_uid_does_not_count(void **state)
{
	struct sync_request req = {.protocol = SYNC_PROTOCOL};

	(void)state;
	start_with_two_nodes();
	assert_int_equal(engine_agent_heard(w.engine, "n1", "u-n2", &req, w.now),
			 REPORT_UNKNOWN_NODE);
	assert_int_equal(engine_agent_heard(w.engine, "n9", "u-n9", &req, w.now),
			 REPORT_UNKNOWN_NODE);
}

/* An agent that brings the i-th of many feature sets, with its text. */
static void brings_features(const char *node, int i)
{
	struct sync_request req = {.protocol = SYNC_PROTOCOL};
	CLEANUP(mem_freep) char *uid = mem_printf("u-%s", node);

	req.agent_version = mem_strdup("");
	req.kernel_release = mem_strdup("");
	req.boot_id = mem_strdup("");
	req.features_text = mem_printf("caps {x%d\n}\n", i);
	features_hash(req.features_text, strlen(req.features_text), req.features);
	engine_agent_heard(w.engine, node, uid, &req, w.now);
	sync_request_clear(&req);
	run();
}

static void node_brings_features(int i)
{
	CLEANUP(mem_freep) char *name = mem_printf("n%d", i);

	node_seen(name, "");
	brings_features(name, i);
}

static const char *features_reason(const char *node)
{
	const char *reason = engine_node(w.engine, node)->features_reason;

	return reason ? reason : "";
}

/* Those that are built in are no node's, and do not count. */
static void the_33rd_feature_set_is_refused(void **state)
{
	int i;

	(void)state;
	engine_start(w.engine, w.now);
	for (i = 0; i < 33; i++)
		node_brings_features(i);
	assert_string_equal(features_reason("n31"), "");
	assert_string_equal(features_reason("n32"), "TooManyFeatureSets");
	assert_false(engine_wants_features(w.engine, engine_node(w.engine, "n32")));
}

static void a_feature_set_that_no_node_has_makes_room_for_another(void **state)
{
	int i;

	(void)state;
	apply("a", 1, "x", "");
	engine_start(w.engine, w.now);
	for (i = 0; i < 33; i++)
		node_brings_features(i);
	engine_node_gone(w.engine, "n7");
	w.now += ENGINE_FEATURES_RETRY_MS;
	run();
	assert_true(engine_wants_features(w.engine, engine_node(w.engine, "n32")));
	brings_features("n32", 32);
	assert_string_equal(features_reason("n32"), "");
	assert_int_equal(engine_profile(w.engine, "a")->n_needed, 32);
	assert_int_equal(engine_profile(w.engine, "a")->wanted->builds.n, 32);
	/* There is no room for yet another, but for one that is known. */
	node_brings_features(40);
	assert_string_equal(features_reason("n40"), "TooManyFeatureSets");
	node_seen("n41", "");
	brings_features("n41", 3);
	assert_string_equal(features_reason("n41"), "");
}

static void a_node_may_bring_another_feature_set_after_an_hour(void **state)
{
	(void)state;
	engine_start(w.engine, w.now);
	node_seen("n1", "");
	brings_features("n1", 1);
	w.now += 60000;
	brings_features("n1", 2);
	assert_string_equal(features_reason("n1"), "TooManyFeatureSets");
	assert_false(engine_wants_features(w.engine, engine_node(w.engine, "n1")));
	w.now += ENGINE_FEATURE_SET_PER_NODE_MS - 60000;
	engine_node(w.engine, "n1")->poll = &w; /* held */
	buf_clear(&w.trace);
	run();
	assert_non_null(strstr(buf_text(&w.trace), "set n1")); /* let go, to ask for it */
	engine_node(w.engine, "n1")->poll = NULL;
	assert_true(engine_wants_features(w.engine, engine_node(w.engine, "n1")));
	brings_features("n1", 2);
	assert_string_equal(features_reason("n1"), "");
}

int main(void)
{
#define T(f_) cmocka_unit_test_setup_teardown(f_, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(an_install_takes_three_writes),
	    T(a_slow_install_shows_that_it_goes_on),
	    T(nothing_is_served_without_finalizer_or_record),
	    T(a_label_edit_causes_no_work),
	    T(the_annotation_to_adopt_is_told_to_every_node),
	    T(a_bad_text_leaves_the_nodes_their_revision),
	    T(a_failing_node_is_named),
	    T(hashes_that_are_not_the_expected_ones_are_a_failure),
	    T(a_node_that_comes_back_with_another_kernel_has_not_failed),
	    T(a_report_that_was_not_sent_speaks_for_no_set),
	    T(zones_that_a_node_makes_up_come_to_an_end),
	    T(a_selector_decides_who_is_told),
	    T(a_selector_that_matches_nothing_is_ready_with_a_warning),
	    T(a_node_that_is_no_longer_selected_is_told_to_remove),
	    T(a_deletion_asks_removes_and_then_lets_go),
	    T(a_deletion_waits_for_nodes_that_may_be_loading_it),
	    T(a_deletion_notes_a_node_that_may_have_loaded_it),
	    T(a_disabled_profile_waits_for_nodes_that_may_be_loading_it),
	    T(a_deletion_waits_for_an_excluded_node_that_holds_it),
	    T(a_disabled_profile_is_removed_once_every_agent_has_said_so),
	    T(a_disabled_profile_waits_for_an_agent_that_is_away_but_not_for_a_dead_node),
	    T(an_uninstall_unloads_nothing),
	    T(a_profile_that_vanishes_is_not_told_absent),
	    T(a_deletion_does_not_wait_for_a_dead_node),
	    T(the_older_of_two_claimants_holds_the_name),
	    T(of_two_made_in_one_second_the_one_that_is_served_holds_the_name),
	    T(of_two_that_nobody_serves_the_uid_decides),
	    T(a_change_of_holder_unloads_nothing),
	    T(while_a_new_leader_compiles_nodes_keep_what_they_have),
	    T(a_text_that_a_new_compiler_refuses_stays_where_it_is),
	    T(a_node_whose_feature_set_is_refused_keeps_what_it_has),
	    T(nothing_is_kept_where_nothing_was_told),
	    T(a_new_leader_leaves_status_standing_until_all_reported),
	    T(a_bad_text_after_a_restart_brings_the_last_good_one_back),
	    T(a_node_without_apparmor_is_unsupported_and_not_desired),
	    T(a_report_of_another_nodes_uid_does_not_count),
	    T(the_33rd_feature_set_is_refused),
	    T(a_feature_set_that_no_node_has_makes_room_for_another),
	    T(a_node_may_bring_another_feature_set_after_an_hour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
