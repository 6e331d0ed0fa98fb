#include "kube/informer.h"

#include "script_server.h"

#define OBJECT(name_, version_)                                    \
	"{\"metadata\":{\"name\":\"" name_ "\",\"uid\":\"u-" name_ \
	"\",\"resourceVersion\":\"" version_ "\",\"managedFields\":[{}]},\"spec\":{\"big\":1}}"
#define LIST(version_, items_) \
	REPLY("200 OK",        \
	      "{\"metadata\":{\"resourceVersion\":\"" version_ "\"},\"items\":[" items_ "]}")
#define PAGE(version_, next_, items_)                                    \
	REPLY("200 OK", "{\"metadata\":{\"resourceVersion\":\"" version_ \
			"\",\"continue\":\"" next_ "\"},\"items\":[" items_ "]}")
#define EVENT(type_, object_) "{\"type\":\"" type_ "\",\"object\":" object_ "}\n"
#define STATUS(code_, reason_)                                          \
	"{\"kind\":\"Status\",\"code\":" code_ ",\"reason\":\"" reason_ \
	"\",\"message\":\"the server says " reason_ "\"}"
#define WATCH(events_) REPLY("200 OK", events_)
/* A body in chunks whose last one never comes: the connection broke. */
#define CUT(size_, events_) REPLY_WITH("200 OK", "Transfer-Encoding: chunked", size_ "\r\n" events_)

/* What an informer tells, as one line of words. */
struct listener {
	uv_loop_t loop;
	uv_timer_t tick; /* so that the loop turns while nothing comes */
	struct script_server server;
	struct kube_client *client;
	struct kube_informer *inf;
	char trace[1024];
	char troubles[1024];
	const char *close_at; /* close the informer when the trace is this */
};

static void say(struct listener *l, const char *verb, struct json_object *old,
		struct json_object *obj)
{
	size_t n = strlen(l->trace);

	snprintf(l->trace + n, sizeof(l->trace) - n, "%s%s%s%s ", verb,
		 js_str_or_empty(old, "metadata.resourceVersion"), old && obj ? ">" : "",
		 obj ? js_str_or_empty(obj, "metadata.name") : "");
	if (l->close_at && strcmp(l->trace, l->close_at) == 0)
		kube_informer_close(STEAL(l->inf));
}

static void on_add(void *data, struct json_object *obj)
{
	say(data, "+", NULL, obj);
}

static void on_update(void *data, struct json_object *old, struct json_object *obj)
{
	say(data, "~", old, obj);
}

static void on_delete(void *data, struct json_object *obj)
{
	say(data, "-", NULL, obj);
}

static void on_synced(void *data)
{
	say(data, "synced", NULL, NULL);
}

static void on_trouble(void *data, const char *why)
{
	struct listener *l = data;
	size_t n = strlen(l->troubles);

	snprintf(l->troubles + n, sizeof(l->troubles) - n, "%s; ", why);
}

static void trim(struct json_object *obj)
{
	json_object_object_del(obj, "spec");
}

static void wake(uv_timer_t *timer)
{
	(void)timer;
}

static void set_up(struct listener *l, const struct script_step *steps)
{
	const struct kube_informer_spec spec = {
	    .path = "/api/v1/things",
	    .label_selector = "a=b",
	    .trim = trim,
	    .on_add = on_add,
	    .on_update = on_update,
	    .on_delete = on_delete,
	    .on_synced = on_synced,
	    .on_trouble = on_trouble,
	    .data = l,
	};

	*l = (struct listener){0};
	uv_loop_init(&l->loop);
	uv_timer_init(&l->loop, &l->tick);
	uv_timer_start(&l->tick, wake, 10, 10);
	script_start(&l->server, steps);
	l->client = script_client(&l->server, &l->loop, NULL);
	l->inf = kube_informer_start(l->client, &spec);
}

static void tear_down(struct listener *l)
{
	if (l->inf)
		kube_informer_close(l->inf);
	uv_close((uv_handle_t *)&l->tick, NULL);
	script_close(l->client, &l->loop);
	script_stop(&l->server);
}

/* Run until the trace is as expected and the script has been played; at most ten seconds. */
static void expect(struct listener *l, const char *trace)
{
	int64_t began_ms = clock_mono_ms();

	while ((strcmp(l->trace, trace) != 0 || l->server.steps[l->server.n_requests].reply) &&
	       clock_mono_ms() - began_ms < 10000)
		uv_run(&l->loop, UV_RUN_ONCE);
	assert_string_equal(l->trace, trace);
}

static void run(const struct script_step *steps, const char *trace, const char *trouble)
{
	struct listener l;

	set_up(&l, steps);
	expect(&l, trace);
	if (trouble ? !strstr(l.troubles, trouble) : l.troubles[0] != '\0')
		fail_msg("trouble: %s", l.troubles);
	tear_down(&l);
}

static void pages_are_followed_by_a_watch_from_their_version(void **state)
{
	static const struct script_step steps[] = {
	    {"GET /api/v1/things?limit=500&labelSelector=a%3Db HTTP",
	     PAGE("10", "c1", OBJECT("a", "1") "," OBJECT("b", "2")), false, 0},
	    {"?limit=500&continue=c1&labelSelector=a%3Db", LIST("10", OBJECT("c", "3")), false, 0},
	    {"?watch=true&allowWatchBookmarks=true&resourceVersion=10&timeoutSeconds=",
	     WATCH(EVENT("ADDED", OBJECT("d", "11")) EVENT("MODIFIED", OBJECT("a", "12"))
		       EVENT("DELETED", OBJECT("b", "13"))),
	     true, 0},
	    {0}};

	(void)state;
	run(steps, "+a +b +c synced +d ~1>a -b ", NULL);
}

static void a_watch_that_ends_is_resumed_where_it_was(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, LIST("10", ""), false, 0},
	    {"resourceVersion=10&", WATCH(EVENT("ADDED", OBJECT("a", "11"))), false, 0},
	    {"resourceVersion=11&", WATCH(EVENT("BOOKMARK", OBJECT("", "20"))), false, 0},
	    {"resourceVersion=20&", WATCH(""), true, 0},
	    {0}};

	(void)state;
	run(steps, "synced +a ", NULL);
}

static void a_watch_that_breaks_is_resumed_where_it_was(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, LIST("10", ""), false, 0},
	    {NULL, CUT("1000", EVENT("ADDED", OBJECT("a", "11")) "{\"type\":\"ADDED\",\"ob"), false,
	     0},
	    {"resourceVersion=11&", WATCH(EVENT("ADDED", OBJECT("b", "12"))), true, 0},
	    {0}};

	(void)state;
	run(steps, "synced +a +b ", NULL);
}

static void a_version_that_is_gone_leads_to_a_list_with_the_missed_deletes(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, LIST("10", OBJECT("a", "1") "," OBJECT("b", "2")), false, 0},
	    {NULL, WATCH(EVENT("ERROR", STATUS("410", "Expired"))), false, 0},
	    {"?limit=500&labelSelector", LIST("50", OBJECT("b", "2") "," OBJECT("c", "40")), false,
	     0},
	    {"resourceVersion=50&", WATCH(""), true, 0},
	    {0}};

	(void)state;
	run(steps, "+a +b synced +c -a ", NULL);
}

static void a_server_that_is_behind_leads_to_a_list_too(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, LIST("1000", OBJECT("a", "900")), false, 0},
	    {NULL,
	     REPLY("504 Gateway Timeout",
		   "{\"kind\":\"Status\",\"details\":{\"causes\":[{\"reason\":"
		   "\"ResourceVersionTooLarge\"}]}}"),
	     false, 0},
	    {"?limit=500&labelSelector", LIST("20", OBJECT("a", "7")), false, 0},
	    {"resourceVersion=20&", WATCH(""), true, 0},
	    {0}};

	(void)state;
	run(steps, "+a synced ~900>a ", NULL);
}

static void a_continue_token_that_expired_leads_to_a_list_in_one_piece(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, PAGE("10", "c1", OBJECT("a", "1")), false, 0},
	    {"continue=c1", REPLY("410 Gone", STATUS("410", "Expired")), false, 0},
	    {"GET /api/v1/things?labelSelector=a%3Db HTTP",
	     LIST("12", OBJECT("a", "1") "," OBJECT("b", "11")), false, 0},
	    {"resourceVersion=12&", WATCH(""), true, 0},
	    {0}};

	(void)state;
	run(steps, "+a +b synced ", NULL);
}

static void a_page_that_is_too_long_is_asked_for_in_smaller_ones(void **state)
{
	static const struct script_step steps[] = {
	    {"limit=500&", LIST("10", ""), false, 33 << 20},
	    {"limit=125&", LIST("10", OBJECT("a", "1")), false, 0},
	    {"watch=true", WATCH(""), true, 0},
	    {0}};

	(void)state;
	run(steps, "+a synced ", NULL);
}

static void a_list_that_fails_is_tried_again_after_a_while(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, REPLY("500 Oops", STATUS("500", "InternalError")), false, 0},
	    {NULL, LIST("10", OBJECT("a", "1")), false, 0},
	    {"watch=true", WATCH(""), true, 0},
	    {0}};
	struct listener l;
	int64_t waited_ms;

	(void)state;
	set_up(&l, steps);
	expect(&l, "+a synced ");
	waited_ms = l.server.came_ms[1] - l.server.came_ms[0];
	assert_in_range(waited_ms, 790, 30000);
	assert_string_equal(l.troubles, "the server says InternalError; ");
	tear_down(&l);
}

static void a_short_watch_without_an_event_is_not_repeated_at_once(void **state)
{
	static const struct script_step steps[] = {{NULL, LIST("10", ""), false, 0},
						   {NULL, WATCH(""), false, 0},
						   {"resourceVersion=10&", WATCH(""), true, 0},
						   {0}};
	struct listener l;

	(void)state;
	set_up(&l, steps);
	expect(&l, "synced ");
	assert_true(l.server.came_ms[2] - l.server.came_ms[1] >= 790);
	assert_non_null(strstr(l.troubles, "without an event"));
	tear_down(&l);
}

static void a_server_that_has_too_much_to_do_names_the_wait(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, LIST("10", ""), false, 0},
	    {NULL, REPLY_WITH("429 Too Many Requests", "Retry-After: 2", "{}"), false, 0},
	    {"resourceVersion=10&", WATCH(""), true, 0},
	    {0}};
	struct listener l;

	(void)state;
	set_up(&l, steps);
	expect(&l, "synced ");
	assert_true(l.server.came_ms[2] - l.server.came_ms[1] >= 1990);
	tear_down(&l);
}

static void an_event_that_makes_no_sense_leads_to_a_list(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, LIST("10", OBJECT("a", "1")), false, 0},
	    {NULL, WATCH("{\"type\":\"ADDED\"}\n"), false, 0},
	    {"?limit=500&labelSelector", LIST("12", ""), false, 0},
	    {"resourceVersion=12&", WATCH(""), true, 0},
	    {0}};

	(void)state;
	run(steps, "+a synced -a ", "holds no object");
}

static void an_event_that_is_too_long_leads_to_a_list(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, LIST("10", ""), false, 0},
	    {NULL, WATCH("{"), false, 9 << 20},
	    {"?limit=500&labelSelector", LIST("12", ""), false, 0},
	    {"resourceVersion=12&", WATCH(""), true, 0},
	    {0}};

	(void)state;
	run(steps, "synced ", "longer than 8388608 bytes");
}

static void it_may_be_closed_inside_any_callback(void **state)
{
	static const struct script_step list[] = {
	    {NULL, LIST("10", OBJECT("a", "1") "," OBJECT("b", "2")), false, 0}, {0}};
	static const struct script_step watch[] = {
	    {NULL, LIST("10", OBJECT("a", "1") "," OBJECT("b", "2")), false, 0},
	    {NULL, WATCH(EVENT("MODIFIED", OBJECT("a", "12")) EVENT("DELETED", OBJECT("b", "13"))),
	     true, 0},
	    {0}};
	static const char *const points[] = {"+a ", "+a +b ", "+a +b synced ", "+a +b synced ~1>a ",
					     "+a +b synced ~1>a -b "};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		struct listener l;

		set_up(&l, i < 3 ? list : watch);
		l.close_at = points[i];
		expect(&l, points[i]);
		assert_null(l.inf);
		tear_down(&l);
	}
}

static void what_is_held_can_be_looked_up_and_is_trimmed(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, LIST("10", OBJECT("a", "1") "," OBJECT("b", "2")), false, 0},
	    {NULL, WATCH(""), true, 0},
	    {0}};
	struct json_object *obj;
	struct listener l;
	const char *key;
	size_t it = 0, n = 0;

	(void)state;
	set_up(&l, steps);
	assert_false(kube_informer_has_synced(l.inf));
	expect(&l, "+a +b synced ");
	assert_true(kube_informer_has_synced(l.inf));
	obj = kube_informer_get(l.inf, "a");
	assert_string_equal(js_str(obj, "metadata.uid"), "u-a");
	assert_null(js_get(obj, "spec"));
	assert_null(js_at(obj, "metadata.managedFields"));
	assert_null(kube_informer_get(l.inf, "c"));
	assert_int_equal(kube_informer_count(l.inf), 2);
	while (kube_informer_next(l.inf, &it, &key, &obj))
		n++;
	assert_int_equal(n, 2);
	tear_down(&l);
}

static void our_own_write_is_told_once(void **state)
{
	static const char text[] = OBJECT("a", "5");
	static const struct script_step steps[] = {
	    {NULL, LIST("10", OBJECT("a", "1")), false, 0},
	    {NULL, WATCH(EVENT("MODIFIED", OBJECT("a", "5")) EVENT("MODIFIED", OBJECT("a", "6"))),
	     true, 0},
	    {0}};
	struct json_object *obj;
	struct listener l;
	struct err err;

	(void)state;
	set_up(&l, steps);
	while (!kube_informer_has_synced(l.inf))
		uv_run(&l.loop, UV_RUN_ONCE);
	assert_int_equal(js_parse(text, sizeof(text) - 1, &obj, &err), 0);
	kube_informer_note(l.inf, obj);
	json_object_put(obj);
	assert_string_equal(l.trace, "+a synced ~1>a ");
	expect(&l, "+a synced ~1>a ~5>a ");
	tear_down(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pages_are_followed_by_a_watch_from_their_version),
	    cmocka_unit_test(a_watch_that_ends_is_resumed_where_it_was),
	    cmocka_unit_test(a_watch_that_breaks_is_resumed_where_it_was),
	    cmocka_unit_test(a_version_that_is_gone_leads_to_a_list_with_the_missed_deletes),
	    cmocka_unit_test(a_server_that_is_behind_leads_to_a_list_too),
	    cmocka_unit_test(a_continue_token_that_expired_leads_to_a_list_in_one_piece),
	    cmocka_unit_test(a_page_that_is_too_long_is_asked_for_in_smaller_ones),
	    cmocka_unit_test(a_list_that_fails_is_tried_again_after_a_while),
	    cmocka_unit_test(a_short_watch_without_an_event_is_not_repeated_at_once),
	    cmocka_unit_test(a_server_that_has_too_much_to_do_names_the_wait),
	    cmocka_unit_test(an_event_that_makes_no_sense_leads_to_a_list),
	    cmocka_unit_test(an_event_that_is_too_long_leads_to_a_list),
	    cmocka_unit_test(it_may_be_closed_inside_any_callback),
	    cmocka_unit_test(what_is_held_can_be_looked_up_and_is_trimmed),
	    cmocka_unit_test(our_own_write_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
