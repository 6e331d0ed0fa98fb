#include "api/sync_msg.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* As long as the schema, the compiler and the agent let each thing become. */
enum { LONGEST_NAME = 200, LARGEST_FAMILY = 512 };

static char *text_of(char c, size_t n)
{
	char *text = mem_alloc(n + 1, 1);

	memset(text, c, n);
	return text;
}

static void fill_hashes(struct sync_status *s, size_t n)
{
	size_t i;

	s->hashes = mem_alloc(n, sizeof(*s->hashes));
	s->n_hashes = n;
	for (i = 0; i < n; i++) {
		s->hashes[i].name = text_of('h', SYNC_NAME_MAX);
		memset(s->hashes[i].sha256, 'a', SHA256_HEX - 1);
	}
}

static void fill_holders(struct sync_status *s)
{
	size_t i;

	s->holders = mem_alloc(SYNC_HOLDERS_MAX, sizeof(*s->holders));
	s->n_holders = SYNC_HOLDERS_MAX;
	for (i = 0; i < SYNC_HOLDERS_MAX; i++)
		s->holders[i] = (struct sync_holder){text_of('"', 64), text_of('"', 64), INT64_MAX};
}

static struct sync_status status_of(size_t i, size_t n_hashes)
{
	struct sync_status s = {
	    .name = mem_printf("%0*zu", LONGEST_NAME, i),
	    .uid = text_of('u', 36),
	    .state = SYNC_STATE_DRAINING,
	    .reason = SYNC_REASON_NAME_CONFLICT,
	    .message = text_of('"', SYNC_MESSAGE_MAX - 1), /* two bytes each */
	    .kernel_mode = text_of('m', 32),
	    .fetch_us = INT64_MAX,
	    .load_us = INT64_MAX,
	    .verify_us = INT64_MAX,
	};

	memset(s.revision, 'a', sizeof(s.revision) - 1);
	memset(s.target, 'a', sizeof(s.target) - 1);
	memset(s.digest, 'a', sizeof(s.digest) - 1);
	fill_hashes(&s, n_hashes);
	fill_holders(&s);
	return s;
}

static struct sync_request request_of(size_t n, size_t n_hashes)
{
	struct sync_request req = {
	    .protocol = SYNC_PROTOCOL,
	    .agent_version = text_of('v', 64),
	    .kernel_release = text_of('k', 128),
	    .boot_id = text_of('b', 64),
	    .features_text = text_of('\n', SYNC_FEATURES_MAX),
	    .epoch = INT64_MAX,
	    .has_report = true,
	};
	size_t i;

	memset(req.features, 'a', SHA256_HEX - 1);
	memset(req.set_hash, 'a', SHA256_HEX - 1);
	memset(req.report_hash, 'a', SHA256_HEX - 1);
	req.report.apparmor_reason = text_of('"', SYNC_MESSAGE_MAX);
	req.report.items = mem_alloc(n, sizeof(*req.report.items));
	req.report.n = n;
	for (i = 0; i < n; i++)
		req.report.items[i] = status_of(i, n_hashes);
	return req;
}

static size_t bytes_of(const struct sync_request *req)
{
	struct json_object *obj = sync_request_encode(req);
	size_t n;

	js_print(obj, &n);
	json_object_put(obj);
	return n;
}

static void the_largest_report_fits_its_request(void **state)
{
	struct sync_request req = request_of(SYNC_ITEMS_MAX, 16);

	(void)state;
	assert_in_range(bytes_of(&req), SYNC_REQUEST_MAX + 1, SIZE_MAX);
	sync_report_fit(&req.report);
	assert_in_range(bytes_of(&req), 1, SYNC_REQUEST_MAX);
	assert_int_equal(req.report.n, SYNC_ITEMS_MAX);
	sync_request_clear(&req);
}

static void a_few_of_the_largest_families_fit(void **state)
{
	struct sync_request req = request_of(40, LARGEST_FAMILY);

	(void)state;
	assert_in_range(bytes_of(&req), SYNC_REQUEST_MAX + 1, SIZE_MAX);
	sync_report_fit(&req.report);
	assert_in_range(bytes_of(&req), SYNC_REQUEST_MAX / 2, SYNC_REQUEST_MAX);
	assert_int_equal(req.report.items[0].n_hashes, LARGEST_FAMILY); /* what there is room for */
	assert_int_equal(req.report.items[39].n_hashes, 0);
	assert_int_equal(req.report.items[39].n_holders, SYNC_HOLDERS_MAX);
	sync_request_clear(&req);
}

static void what_fits_is_left_as_it_is(void **state)
{
	struct sync_request req = request_of(3, 10);
	size_t before = bytes_of(&req);

	(void)state;
	sync_report_fit(&req.report);
	assert_int_equal(bytes_of(&req), before);
	sync_request_clear(&req);
}

/* An item of the longest of everything, with so many hats. */
static struct sync_item item_of(size_t i, size_t n_hashes)
{
	struct sync_status s = status_of(i, n_hashes);
	struct sync_item item = {
	    .name = STEAL(s.name),
	    .uid = text_of('u', SYNC_NAME_MAX),
	    .want = SYNC_LOADED,
	    .mode = PROFILE_COMPLAIN,
	    .adopt = true,
	    .artefact_size = SYNC_ARTEFACT_MAX,
	    .hashes = STEAL(s.hashes),
	    .n_hashes = n_hashes,
	};

	for (i = 0; i < n_hashes; i++)
		memset(item.hashes[i].sha1, 'a', SHA1_HEX - 1);
	memset(item.revision, 'a', sizeof(item.revision) - 1);
	memset(item.artefact, 'a', sizeof(item.artefact) - 1);
	s.n_hashes = 0;
	sync_status_clear(&s);
	return item;
}

static void expect_bounded(struct json_object *obj, size_t max_heap)
{
	struct json_object *again;
	struct err err;
	size_t n;
	const char *text = js_print(obj, &n);

	if (js_parse_bounded(text, n, max_heap, &again, &err) < 0)
		fail_msg("%zu bytes: %s", n, err.msg);
	json_object_put(again);
	json_object_put(obj);
}

static void set_fits_its_response(size_t n_hashes)
{
	struct sync_item *items = mem_alloc(SYNC_ITEMS_MAX, sizeof(*items));
	struct sync_response res = {.protocol = SYNC_PROTOCOL, .epoch = INT64_MAX, .has_set = true};
	struct json_object *obj;
	size_t n, bytes = 0;

	for (res.n = 0; res.n < SYNC_ITEMS_MAX; res.n++) {
		items[res.n] = item_of(res.n, n_hashes);
		bytes += SYNC_ITEM_MAX + sync_hashes_bytes(items[res.n].hashes, n_hashes);
		if (bytes > SYNC_SET_MAX || (res.n + 1) * n_hashes > SYNC_SET_HASHES_MAX)
			break;
	}
	res.items = items;
	obj = sync_response_encode(&res);
	js_print(obj, &n);
	expect_bounded(obj, SYNC_RESPONSE_HEAP_MAX);
	/* What comes along is at most so long, in base64 and with the names of 128 artefacts. */
	assert_in_range(n + SYNC_ENCLOSED_TOTAL_MAX / 3 * 4 + 128 * 72, 1, SYNC_RESPONSE_MAX);
	sync_items_free(items, res.n < SYNC_ITEMS_MAX ? res.n + 1 : res.n);
}

static void the_largest_set_fits_its_response(void **state)
{
	(void)state;
	set_fits_its_response(1);
	set_fits_its_response(16);
	set_fits_its_response(LARGEST_FAMILY);
}

/* The text of least bytes for each value, as an agent and as the controller write it. */
static struct sync_hash short_hash(const char *parent, size_t k)
{
	struct sync_hash h = {.name =
				  k > 0 ? mem_printf("%s//%zu", parent, k) : mem_strdup(parent)};

	memset(h.sha1, 'a', SHA1_HEX - 1);
	return h;
}

static struct sync_status short_status(size_t i, size_t n_hashes)
{
	struct sync_status s = {
	    .name = mem_printf("%04zu", i), .state = SYNC_STATE_LOADED, .fetch_us = 1};
	size_t k;

	s.hashes = mem_alloc(n_hashes, sizeof(*s.hashes));
	for (; s.n_hashes < n_hashes; s.n_hashes++)
		s.hashes[s.n_hashes] = short_hash(s.name, s.n_hashes);
	s.holders = mem_alloc(SYNC_HOLDERS_MAX, sizeof(*s.holders));
	s.n_holders = SYNC_HOLDERS_MAX;
	for (k = 0; k < SYNC_HOLDERS_MAX; k++)
		s.holders[k].pid = 1;
	return s;
}

static void the_report_of_most_values_is_taken(void **state)
{
	static const size_t reports[][2] = {
	    {SYNC_ITEMS_MAX, 1}, {SYNC_ITEMS_MAX, 32}, {70, LARGEST_FAMILY}};
	size_t k;

	(void)state;
	for (k = 0; k < sizeof(reports) / sizeof(reports[0]); k++) {
		struct sync_request req = {.protocol = SYNC_PROTOCOL, .has_report = true};

		req.report.items = mem_alloc(reports[k][0], sizeof(*req.report.items));
		for (; req.report.n < reports[k][0]; req.report.n++)
			req.report.items[req.report.n] = short_status(req.report.n, reports[k][1]);
		sync_report_fit(&req.report);
		expect_bounded(sync_request_encode(&req), SYNC_REQUEST_HEAP_MAX);
		sync_request_clear(&req);
	}
}

static struct sync_item short_item(size_t i, size_t n_hashes)
{
	struct sync_status s = short_status(i, n_hashes);
	struct sync_item item = item_of(i, 0);

	mem_replace(&item.name, STEAL(s.name));
	free(item.hashes);
	item.hashes = STEAL(s.hashes);
	item.n_hashes = n_hashes;
	s.n_hashes = 0;
	sync_status_clear(&s);
	for (i = 0; i < n_hashes; i++)
		memset(item.hashes[i].sha256, 'a', SHA256_HEX - 1);
	return item;
}

static void the_set_of_most_values_is_taken(void **state)
{
	static const size_t sets[][2] = {{SYNC_ITEMS_MAX, 16}, {230, 71}, {32, LARGEST_FAMILY}};
	size_t k;

	(void)state;
	for (k = 0; k < sizeof(sets) / sizeof(sets[0]); k++) {
		struct sync_response res = {.protocol = SYNC_PROTOCOL, .epoch = 1, .has_set = true};

		res.items = mem_alloc(sets[k][0], sizeof(*res.items));
		for (; res.n < sets[k][0]; res.n++)
			res.items[res.n] = short_item(res.n, sets[k][1]);
		expect_bounded(sync_response_encode(&res), SYNC_RESPONSE_HEAP_MAX);
		sync_response_clear(&res);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_largest_report_fits_its_request),
	    cmocka_unit_test(a_few_of_the_largest_families_fit),
	    cmocka_unit_test(what_fits_is_left_as_it_is),
	    cmocka_unit_test(the_largest_set_fits_its_response),
	    cmocka_unit_test(the_report_of_most_values_is_taken),
	    cmocka_unit_test(the_set_of_most_values_is_taken),
	};

	return cmocka_run_group_tests_name("sync_report", tests, NULL, NULL);
}
