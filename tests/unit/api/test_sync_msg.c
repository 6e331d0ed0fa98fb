#include "api/sync_msg.h"

#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define REQ "\"protocol\":1,\"reportHash\":\"" HEX64 "\""

static struct json_object *parse(const char *text)
{
	struct json_object *obj;
	struct err err;

	if (js_parse(text, strlen(text), &obj, &err) < 0)
		fail_msg("%s", err.msg);
	return obj;
}

static struct sync_hash hash_of(const char *name)
{
	struct sync_hash h = {.name = (char *)name};

	strcpy(h.sha256, HEX64);
	return h;
}

static void a_set_survives_the_way_to_the_agent(void **state)
{
	struct sync_hash hashes[] = {hash_of("web"), hash_of("web//child")};
	struct sync_item items[] = {
	    {.name = (char *)"old", .uid = (char *)"u0", .want = SYNC_ABSENT},
	    {.name = (char *)"web",
	     .uid = (char *)"u1",
	     .want = SYNC_LOADED,
	     .revision = "0123456789ab",
	     .mode = PROFILE_COMPLAIN,
	     .adopt = true,
	     .artefact = HEX64,
	     .artefact_size = 4242,
	     .hashes = hashes,
	     .n_hashes = 2},
	};
	struct sync_response sent = {.protocol = 1,
				     .epoch = 7,
				     .has_set = true,
				     .items = items,
				     .n = 2,
				     .want_report = true};
	struct sync_response got;
	struct json_object *obj;
	struct err err;

	(void)state;
	memset(sent.set_hash, 'a', SHA256_HEX - 1);
	obj = sync_response_encode(&sent);
	assert_int_equal(sync_response_decode(obj, &got, &err), 0);
	json_object_put(obj);
	assert_int_equal(got.epoch, 7);
	assert_true(got.want_report);
	assert_false(got.want_features);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.items[0].want, SYNC_ABSENT);
	assert_int_equal(got.items[1].mode, PROFILE_COMPLAIN);
	assert_true(got.items[1].adopt);
	assert_int_equal(got.items[1].artefact_size, 4242);
	assert_int_equal(got.items[1].n_hashes, 2);
	assert_string_equal(got.items[1].hashes[1].name, "web//child");
	assert_string_equal(got.items[1].hashes[1].sha256, HEX64);
	assert_string_equal(got.items[1].hashes[1].sha1, "");
	assert_string_equal(got.set_hash, sent.set_hash);
	sync_response_clear(&got);
}

static struct sync_request request_with(struct sync_status *status)
{
	struct sync_request req = {
	    .protocol = 1,
	    .agent_version = (char *)"0.1",
	    .kernel_release = (char *)"6.1",
	    .boot_id = (char *)"b",
	    .epoch = 9,
	    .has_report = true,
	    .report = {.items = status, .n = 1, .apparmor_enabled = true},
	};

	strcpy(req.set_hash, HEX64);
	sync_report_hash(&req.report, req.report_hash);
	return req;
}

static void a_report_survives_the_way_to_the_controller(void **state)
{
	struct sync_hash hash = hash_of("web");
	struct sync_holder holder = {(char *)"pod-uid", (char *)"nginx", 42};
	struct sync_status status = {
	    .name = (char *)"web",
	    .uid = (char *)"u1",
	    .revision = "0123456789ab",
	    .target = "0123456789ab",
	    .state = SYNC_STATE_DRAINING,
	    .reason = SYNC_REASON_NAME_CONFLICT,
	    .message = (char *)"why",
	    .kernel_mode = (char *)"enforce",
	    .digest = HEX64,
	    .hashes = &hash,
	    .n_hashes = 1,
	    .holders = &holder,
	    .n_holders = 1,
	    .fetch_us = 1,
	    .load_us = 2,
	    .verify_us = 3,
	};
	struct sync_request sent = request_with(&status), got;
	struct json_object *obj = sync_request_encode(&sent);
	struct err err;

	(void)state;
	assert_int_equal(sync_request_decode(obj, &got, &err), 0);
	json_object_put(obj);
	assert_string_equal(got.report_hash, sent.report_hash);
	assert_int_equal(got.report.n, 1);
	assert_int_equal(got.report.items[0].state, SYNC_STATE_DRAINING);
	assert_int_equal(got.report.items[0].reason, SYNC_REASON_NAME_CONFLICT);
	assert_string_equal(got.report.items[0].message, "why");
	assert_string_equal(got.report.items[0].digest, HEX64);
	assert_int_equal(got.report.items[0].n_hashes, 1);
	assert_int_equal(got.report.items[0].holders[0].pid, 42);
	assert_string_equal(got.report.items[0].holders[0].pod_uid, "pod-uid");
	assert_int_equal(got.report.items[0].verify_us, 3);
	sync_request_clear(&got);
}

static void timings_are_no_news(void **state)
{
	struct sync_status status = {
	    .name = (char *)"web", .state = SYNC_STATE_LOADED, .load_us = 1};
	struct sync_request a = request_with(&status), b;

	(void)state;
	status.load_us = 99;
	b = request_with(&status);
	assert_string_equal(a.report_hash, b.report_hash);
	status.state = SYNC_STATE_FAILED;
	b = request_with(&status);
	assert_string_not_equal(a.report_hash, b.report_hash);
}

static void another_protocol_version_is_told_apart_and_nothing_else_read(void **state)
{
	struct json_object *obj = parse("{\"protocol\":2,\"setHash\":{\"of\":\"the future\"}}");
	struct sync_request req;
	struct err err;

	(void)state;
	assert_int_equal(sync_request_decode(obj, &req, &err), 0);
	assert_int_equal(req.protocol, 2);
	sync_request_clear(&req);
	json_object_put(obj);
}

/* A request whose field of `n` items or bytes is one too many. */
static char *overgrown(const char *before, const char *item, const char *after, size_t n)
{
	struct buf out = BUF_INIT(16 << 20);
	size_t i;

	buf_add_str(&out, before);
	for (i = 0; i < n; i++)
		buf_addf(&out, "%s%s", i && *item == '{' ? "," : "", item);
	buf_add_str(&out, after);
	return buf_steal(&out);
}

static void a_bad_request_is_refused_by_the_name_of_its_field(void **state)
{
	static const struct {
		const char *text;
		const char *names;
	} cases[] = {
	    {"{}", "protocol"},
	    {"[]", "protocol"},
	    {"{\"protocol\":\"1\"}", "protocol"},
	    {"{\"protocol\":-1}", "protocol"},
	    {"{\"protocol\":1,\"setHash\":\"xyz\"}", "setHash"},
	    {"{\"protocol\":1,\"bootID\":7}", "bootID"},
	    {"{\"protocol\":1,\"report\":{}}", "reportHash"},
	    {"{" REQ ",\"report\":[]}", "report"},
	    {"{" REQ ",\"report\":{\"profiles\":{}}}", "profiles"},
	    {"{" REQ ",\"report\":{\"profiles\":[7]}}", "name"},
	    {"{" REQ ",\"report\":{\"profiles\":[{\"name\":\"\",\"state\":\"Loaded\"}]}}", "name"},
	    {"{" REQ ",\"report\":{\"profiles\":[{\"name\":\"a\",\"state\":\"Odd\"}]}}", "state"},
	    {"{" REQ
	     ",\"report\":{\"profiles\":[{\"name\":\"a\",\"state\":\"Loaded\",\"hashes\":7}]}}",
	     "hashes"},
	    {"{" REQ
	     ",\"report\":{\"profiles\":[{\"name\":\"b\",\"state\":\"Loaded\"},{\"name\":\"a\","
	     "\"state\":\"Loaded\"}]}}",
	     "order"},
	    {"{" REQ
	     ",\"report\":{\"profiles\":[{\"name\":\"a\",\"state\":\"Loaded\"},{\"name\":\"a\","
	     "\"state\":\"Loaded\"}]}}",
	     "order"},
	    {"{\"protocol\":1,\"features\":\"" HEX64 "\",\"featuresText\":\"x\"}", "featuresText"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *obj = parse(cases[i].text);
		struct sync_request req;
		struct err err;

		if (sync_request_decode(obj, &req, &err) != -EINVAL ||
		    !strstr(err.msg, cases[i].names))
			fail_msg("case %zu: %s", i, cases[i].text);
		json_object_put(obj);
	}
}

static void everything_that_an_agent_can_grow_has_a_ceiling(void **state)
{
	char *texts[] = {
	    overgrown("{" REQ ",\"report\":{\"profiles\":[",
		      "{\"name\":\"a\",\"state\":\"Loaded\"}", "]}}", SYNC_ITEMS_MAX + 1),
	    overgrown(
		"{" REQ
		",\"report\":{\"profiles\":[{\"name\":\"a\",\"state\":\"Loaded\",\"hashes\":[",
		"{\"name\":\"a\"}", "]}]}}", SYNC_HASHES_MAX + 1),
	    overgrown(
		"{" REQ
		",\"report\":{\"profiles\":[{\"name\":\"a\",\"state\":\"Loaded\",\"holders\":[",
		"{\"pid\":1}", "]}]}}", SYNC_HOLDERS_MAX + 1),
	    overgrown("{" REQ ",\"report\":{\"profiles\":[{\"name\":\"", "n",
		      "\",\"state\":\"Loaded\"}]}}", SYNC_NAME_MAX + 1),
	    overgrown("{\"protocol\":1,\"features\":\"" HEX64 "\",\"featuresText\":\"", "f", "\"}",
		      SYNC_FEATURES_MAX + 1),
	    overgrown("{\"protocol\":1,\"agentVersion\":\"", "v", "\"}", 65),
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct json_object *obj = parse(texts[i]);
		struct sync_request req;
		struct err err;

		assert_int_equal(sync_request_decode(obj, &req, &err), -EINVAL);
		assert_true(strstr(err.msg, "more than") || strstr(err.msg, "longer than"));
		json_object_put(obj);
		free(texts[i]);
	}
}

static void control_characters_do_not_reach_a_message(void **state)
{
	struct json_object *obj = parse("{" REQ ",\"report\":{\"profiles\":[{\"name\":\"a\","
					"\"state\":\"Failed\",\"reason\":\"FromTheFuture\","
					"\"message\":\"one\\ntwo\\u001b[31m\"}]}}");
	struct sync_request req;
	struct err err;

	(void)state;
	assert_int_equal(sync_request_decode(obj, &req, &err), 0);
	assert_string_equal(req.report.items[0].message, "one?two?[31m");
	assert_int_equal(req.report.items[0].reason, SYNC_REASON_LOAD_FAILED);
	sync_request_clear(&req);
	json_object_put(obj);
}

static void a_set_that_is_not_whole_is_not_accepted(void **state)
{
	static const char *const bad[] = {
	    "{\"name\":\"a\",\"want\":\"maybe\"}",
	    "{\"want\":\"absent\"}",
	    "{\"name\":\"a\",\"want\":\"loaded\"}",
	    "{\"name\":\"a\",\"want\":\"loaded\",\"mode\":\"Enforce\",\"revision\":"
	    "\"0123456789ab\","
	    "\"artefact\":\"" HEX64 "\",\"artefactSize\":0,\"hashes\":[{\"name\":\"a\"}]}",
	    "{\"name\":\"a\",\"want\":\"loaded\",\"mode\":\"Enforce\",\"revision\":"
	    "\"0123456789ab\","
	    "\"artefact\":\"" HEX64 "\",\"artefactSize\":5,\"hashes\":[]}",
	    "{\"name\":\"a\",\"want\":\"loaded\",\"mode\":\"Enforce\",\"revision\":\"\","
	    "\"artefact\":\"" HEX64 "\",\"artefactSize\":5,\"hashes\":[{\"name\":\"a\"}]}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CLEANUP(mem_freep)
		char *text = mem_printf(
		    "{\"protocol\":1,\"epoch\":1,\"setHash\":\"" HEX64 "\",\"set\":[%s]}", bad[i]);
		struct json_object *obj = parse(text);
		struct sync_response res;
		struct err err;

		if (sync_response_decode(obj, &res, &err) != -EINVAL)
			fail_msg("case %zu: %s", i, bad[i]);
		json_object_put(obj);
	}
}

/* A response with an item "b" and this to be kept, received by an agent that holds "a", "b" and
 * "c", the last to be removed. What it then has, as "a=REVISION …"; the caller frees it. */
static char *keep_of_former(const char *keep)
{
	CLEANUP(mem_freep)
	char *text = mem_printf("{\"protocol\":1,\"epoch\":1,\"setHash\":\"" HEX64
				"\",\"set\":[{\"name\":\"b\",\"want\":\"absent\"}],\"keep\":%s}",
				keep);
	char a[] = "a", b[] = "b", c[] = "c", uid[] = "";
	struct sync_item former[] = {{.name = a, .uid = uid, .revision = "0123456789aa"},
				     {.name = b, .uid = uid, .revision = "0123456789ab"},
				     {.name = c, .uid = uid, .want = SYNC_ABSENT}};
	struct json_object *obj = parse(text), *again;
	struct buf out = BUF_INIT(1024);
	struct sync_response res;
	struct err err;
	size_t i;

	if (sync_response_decode(obj, &res, &err) < 0) {
		json_object_put(obj);
		return NULL;
	}
	again = sync_response_encode(&res);
	assert_string_equal(js_print(js_array(again, "keep"), NULL), keep);
	json_object_put(again);
	json_object_put(obj);
	sync_response_keep(&res, former, 3);
	for (i = 0; i < res.n; i++)
		buf_addf(&out, "%s=%s ", res.items[i].name, res.items[i].revision);
	sync_response_clear(&res);
	return buf_steal(&out);
}

static void what_is_to_be_kept_comes_from_the_former_set(void **state)
{
	static const char *const bad[] = {"{}", "[1]", "[\"\"]", "[\"b\",\"a\"]", "[\"a\",\"a\"]"};
	CLEANUP(mem_freep) char *one = keep_of_former("[\"a\"]");
	CLEANUP(mem_freep) char *all = keep_of_former("[\"a\",\"b\",\"c\",\"d\"]");
	size_t i;

	(void)state;
	assert_string_equal(one, "a=0123456789aa b= ");
	/* What is told goes before what is kept; a removal is told again, or not at all. */
	assert_string_equal(all, "a=0123456789aa b= ");
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_null(keep_of_former(bad[i]));
}

static void small_artefacts_come_with_the_set(void **state)
{
	char bytes[] = "policy\0bytes";
	struct sync_enclosed enclosed = {.sha256 = HEX64, .bytes = bytes, .n = sizeof(bytes)};
	struct sync_response sent = {.protocol = 1,
				     .epoch = 7,
				     .set_hash = HEX64,
				     .has_set = true,
				     .enclosed = &enclosed,
				     .n_enclosed = 1};
	struct json_object *obj = sync_response_encode(&sent);
	CLEANUP(buf_clear) struct buf printed = BUF_INIT(1024);
	struct sync_response got;
	struct err err;

	(void)state;
	assert_int_equal(sync_response_decode(obj, &got, &err), 0);
	assert_int_equal(got.n_enclosed, 1);
	assert_string_equal(got.enclosed[0].sha256, HEX64);
	assert_int_equal(got.enclosed[0].n, sizeof(bytes));
	assert_memory_equal(got.enclosed[0].bytes, bytes, sizeof(bytes));
	/* The two ways to write it are one. */
	assert_true(sync_enclosed_print(&enclosed, 1, &printed));
	assert_non_null(strstr(js_print(obj, NULL), buf_text(&printed)));
	sync_response_clear(&got);
	json_object_put(obj);
}

/* A response with a whole set, and this in place of the artefacts. */
static int decode_enclosed(const char *policies)
{
	CLEANUP(mem_freep)
	char *text = mem_printf("{\"protocol\":1,\"epoch\":1,\"setHash\":\"" HEX64
				"\",\"set\":[],\"policies\":%s}",
				policies);
	struct json_object *obj = parse(text);
	struct sync_response res;
	struct err err;
	int r = sync_response_decode(obj, &res, &err);

	if (r == 0)
		sync_response_clear(&res);
	json_object_put(obj);
	return r;
}

static void artefacts_that_come_along_have_a_ceiling(void **state)
{
	struct buf many = BUF_INIT(1 << 20), one = BUF_INIT(1 << 20);
	int i;

	(void)state;
	assert_int_equal(decode_enclosed("{}"), 0);
	assert_int_equal(decode_enclosed("[]"), -EINVAL);
	assert_int_equal(decode_enclosed("{\"x\":\"Zg==\"}"), -EINVAL);
	assert_int_equal(decode_enclosed("{\"" HEX64 "\":7}"), -EINVAL);
	assert_int_equal(decode_enclosed("{\"" HEX64 "\":\"Zg=\"}"), -EINVAL);
	while (one.len < (SYNC_ENCLOSED_MAX / 3 + 1) * 4)
		buf_add_str(&one, "AAAA");
	buf_addf(&many, "{\"" HEX64 "\":\"%s\"}", buf_text(&one));
	assert_int_equal(decode_enclosed(buf_text(&many)), -EINVAL);
	one.len -= 8;
	one.data[one.len] = '\0';
	buf_clear(&many);
	for (i = 0; i <= SYNC_ENCLOSED_TOTAL_MAX / SYNC_ENCLOSED_MAX; i++)
		buf_addf(&many, "%s\"%064d\":\"%s\"", i > 0 ? "," : "{", i, buf_text(&one));
	buf_add_str(&many, "}");
	assert_int_equal(decode_enclosed(buf_text(&many)), -EINVAL);
	buf_clear(&many);
	buf_clear(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_set_survives_the_way_to_the_agent),
	    cmocka_unit_test(a_report_survives_the_way_to_the_controller),
	    cmocka_unit_test(timings_are_no_news),
	    cmocka_unit_test(another_protocol_version_is_told_apart_and_nothing_else_read),
	    cmocka_unit_test(a_bad_request_is_refused_by_the_name_of_its_field),
	    cmocka_unit_test(everything_that_an_agent_can_grow_has_a_ceiling),
	    cmocka_unit_test(control_characters_do_not_reach_a_message),
	    cmocka_unit_test(a_set_that_is_not_whole_is_not_accepted),
	    cmocka_unit_test(what_is_to_be_kept_comes_from_the_former_set),
	    cmocka_unit_test(small_artefacts_come_with_the_set),
	    cmocka_unit_test(artefacts_that_come_along_have_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
