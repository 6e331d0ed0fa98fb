#include "kube/store.h"

#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What happens is written as a line of words: "OP NAME VERSION [UID]", and what the store makes of
 * it as
 * "=", "+", "~OLD" or "-OLD", where OLD is the version of the object that was handed over. */

static struct json_object *object(const char *name, const char *version, const char *uid)
{
	struct json_object *obj = js_new();
	struct json_object *metadata = js_new();

	js_put_str(metadata, "name", name);
	js_put_str(metadata, "resourceVersion", version);
	js_put_str(metadata, "uid", *uid ? uid : "u");
	js_put(obj, "metadata", metadata);
	return obj;
}

static void tell(struct buf *out, enum store_change change, struct json_object *old)
{
	static const char *const signs[] = {
	    [STORE_SAME] = "=", [STORE_ADDED] = "+", [STORE_UPDATED] = "~", [STORE_DELETED] = "-"};

	buf_addf(out, "%s%s ", signs[change], js_str_or_empty(old, "metadata.resourceVersion"));
	json_object_put(old);
}

static void end_list(struct store *s, struct buf *out)
{
	struct json_object *old;

	while (store_list_end(s, &old))
		tell(out, STORE_DELETED, old);
}

static void run_one(struct store *s, struct buf *out, char *words)
{
	char *rest;
	const char *op = strtok_r(words, " ", &rest);
	const char *name = strtok_r(NULL, " ", &rest);
	const char *version = strtok_r(NULL, " ", &rest);
	const char *uid = strtok_r(NULL, " ", &rest);
	struct json_object *obj, *old = NULL;
	enum store_change change = STORE_SAME;

	if (strcmp(op, "begin") == 0) {
		store_list_begin(s);
		return;
	}
	if (strcmp(op, "end") == 0) {
		end_list(s, out);
		return;
	}
	obj = object(name, version, uid ? uid : "");
	if (strcmp(op, "put") == 0)
		change = store_put(s, obj, &old);
	else if (strcmp(op, "note") == 0)
		change = store_note(s, obj, &old);
	else if (strcmp(op, "item") == 0)
		change = store_list_put(s, obj, &old);
	else
		change = store_delete(s, obj, &old);
	tell(out, change, old);
	json_object_put(obj);
}

static void run(const char *script, const char *expected)
{
	CLEANUP(mem_freep) char *copy = mem_strdup(script);
	struct store s = {0};
	struct buf out = BUF_INIT(1000);
	char *rest;
	char *words;

	for (words = strtok_r(copy, ";", &rest); words; words = strtok_r(NULL, ";", &rest))
		run_one(&s, &out, words);
	if (strcmp(buf_text(&out), expected) != 0)
		fail_msg("%s gives \"%s\", not \"%s\"", script, buf_text(&out), expected);
	buf_clear(&out);
	store_clear(&s);
}

static void events_add_update_and_delete(void **state)
{
	(void)state;
	run("put a 1;put b 2;put a 3;del a 4;put a 5", "+ + ~1 -3 + ");
}

static void the_same_version_changes_nothing(void **state)
{
	(void)state;
	run("put a 1;put a 1", "+ = ");
}

static void an_older_event_changes_nothing(void **state)
{
	(void)state;
	run("put a 10;put a 9", "+ = ");
	run("put a 9;put a 10;put a 9", "+ ~9 = ");
}

static void the_deletion_of_a_former_object_spares_the_new_one(void **state)
{
	(void)state;
	run("put a 5 u2;del a 4 u1", "+ = ");
}

static void deleting_what_is_not_there_is_nothing(void **state)
{
	(void)state;
	run("del a 4", "= ");
}

static void a_list_produces_the_deletes_that_were_missed(void **state)
{
	(void)state;
	run("begin;item a 1;item b 2;item c 3;end;begin;item a 1;item c 4;end", "+ + + = ~3 -2 ");
}

static void an_empty_list_deletes_everything(void **state)
{
	(void)state;
	run("put a 1;begin;end", "+ -1 ");
}

static void a_list_that_goes_back_in_time_is_believed(void **state)
{
	(void)state;
	run("put a 900;begin;item a 7;end", "+ ~900 ");
}

static void a_list_that_was_broken_off_deletes_nothing(void **state)
{
	(void)state;
	run("begin;item a 1;item b 2;end;begin;item a 1;begin;item a 1;item b 2;end", "+ + = = = ");
}

static void an_object_made_anew_is_an_update_whatever_its_version(void **state)
{
	(void)state;
	run("begin;item a 5 u1;end;begin;item a 5 u2;end", "+ ~5 ");
}

static void our_own_write_runs_ahead_of_its_event(void **state)
{
	(void)state;
	run("put a 1;note a 5;put a 3;put a 5;put a 6", "+ ~1 = = ~5 ");
}

static void our_own_write_survives_an_older_page(void **state)
{
	(void)state;
	run("put a 1;begin;note a 5;item a 1;end", "+ ~1 = ");
	/* But not the next list. */
	run("put a 1;note a 5;begin;item a 1;end", "+ ~1 ~5 ");
}

static void our_own_write_does_not_bring_back_what_was_deleted(void **state)
{
	(void)state;
	run("put a 1;del a 6;note a 5", "+ -1 = ");
	run("put a 7 u2;note a 5 u1;note a 9 u1", "+ = = ");
}

static void objects_of_two_namespaces_are_kept_apart(void **state)
{
	struct json_object *a = object("x", "1", "");
	struct json_object *b = object("x", "2", "");
	struct json_object *old = NULL;
	struct store s = {0};
	size_t it = 0, n = 0;
	const char *key;

	(void)state;
	js_put_str(js_get(a, "metadata"), "namespace", "one");
	js_put_str(js_get(b, "metadata"), "namespace", "two");
	assert_int_equal(store_put(&s, a, &old), STORE_ADDED);
	assert_int_equal(store_put(&s, b, &old), STORE_ADDED);
	assert_ptr_equal(store_get(&s, "one/x"), a);
	assert_ptr_equal(store_get(&s, "two/x"), b);
	assert_null(store_get(&s, "x"));
	while (store_next(&s, &it, &key, &old))
		n++;
	assert_int_equal(n, 2);
	assert_int_equal(store_count(&s), 2);
	store_clear(&s);
	json_object_put(a);
	json_object_put(b);
}

static void an_object_without_a_name_is_passed_over(void **state)
{
	struct json_object *obj = js_new();
	struct json_object *old = NULL;
	struct store s = {0};

	(void)state;
	assert_int_equal(store_put(&s, obj, &old), STORE_SAME);
	assert_int_equal(store_list_put(&s, obj, &old), STORE_SAME);
	assert_int_equal(store_delete(&s, obj, &old), STORE_SAME);
	assert_int_equal(store_note(&s, obj, &old), STORE_SAME);
	json_object_put(obj);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(events_add_update_and_delete),
	    cmocka_unit_test(the_same_version_changes_nothing),
	    cmocka_unit_test(an_older_event_changes_nothing),
	    cmocka_unit_test(the_deletion_of_a_former_object_spares_the_new_one),
	    cmocka_unit_test(deleting_what_is_not_there_is_nothing),
	    cmocka_unit_test(a_list_produces_the_deletes_that_were_missed),
	    cmocka_unit_test(an_empty_list_deletes_everything),
	    cmocka_unit_test(a_list_that_goes_back_in_time_is_believed),
	    cmocka_unit_test(a_list_that_was_broken_off_deletes_nothing),
	    cmocka_unit_test(an_object_made_anew_is_an_update_whatever_its_version),
	    cmocka_unit_test(our_own_write_runs_ahead_of_its_event),
	    cmocka_unit_test(our_own_write_survives_an_older_page),
	    cmocka_unit_test(our_own_write_does_not_bring_back_what_was_deleted),
	    cmocka_unit_test(objects_of_two_namespaces_are_kept_apart),
	    cmocka_unit_test(an_object_without_a_name_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
