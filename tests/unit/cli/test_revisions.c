#include "cli/revisions.h"

#include "cli_test.h"

enum { AGE_MS = 3 * 3600 * 1000 };

static void add(struct revisions *all, int number, const char *id, const char *policy,
		const char *mode)
{
	char *text = mem_printf("{'metadata':{'labels':{'hauberk.dev/revision':'%s'},"
				"'creationTimestamp':'1970-01-01T00:00:0%dZ'},'revision':%d,"
				"'data':{'policy':'%s','mode':'%s'}}",
				id, number, number, policy, mode);
	struct json_object *obj = cli_json(text);

	revisions_add(all, obj);
	json_object_put(obj);
	free(text);
}

static struct revisions three(void)
{
	struct revisions all = {0};

	add(&all, 3, "cccccccccccc", "profile c {}", "Enforce");
	add(&all, 1, "aaaaaaaaaaaa", "profile a {}", "Complain");
	add(&all, 2, "bbbbbbbbbbbb", "profile b {}", "Enforce");
	revisions_sort(&all);
	return all;
}

static void undo_goes_back_to_the_newest_that_is_not_asked_for(void **state)
{
	static const struct {
		const char *spec;
		int number;
	} cases[] = {
	    {"{'policy':'profile c {}'}", 2},
	    {"{'policy':'profile c {}','mode':'Enforce'}", 2},
	    /* The same text in another mode is another revision. */
	    {"{'policy':'profile c {}','mode':'Complain'}", 3},
	    /* What was refused was never recorded: the newest is the last good one. */
	    {"{'policy':'profile c {'}", 3},
	    {"{'policy':'profile b {}'}", 3},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct revisions all = three();
		char *text = mem_printf("{'metadata':{'name':'webapp'},'spec':%s}", cases[i].spec);
		struct json_object *aap = cli_json(text);
		const struct revision_seen *rev;
		struct err err;

		assert_int_equal(revisions_former(&all, aap, &rev, &err), 0);
		assert_int_equal(rev->number, cases[i].number);
		json_object_put(aap);
		free(text);
		revisions_clear(&all);
	}
}

static void without_another_revision_there_is_nothing_to_undo(void **state)
{
	struct revisions all = {0};
	struct json_object *aap =
	    cli_json("{'metadata':{'name':'webapp'},'spec':{'policy':'profile a {}'}}");
	const struct revision_seen *rev;
	struct err err;

	(void)state;
	assert_int_equal(revisions_former(&all, aap, &rev, &err), -ENOENT);
	add(&all, 1, "aaaaaaaaaaaa", "profile a {}", "Enforce");
	assert_int_equal(revisions_former(&all, aap, &rev, &err), -ENOENT);
	assert_string_equal(err.msg,
			    "webapp: no other revision is kept, so there is nothing to undo");
	json_object_put(aap);
	revisions_clear(&all);
}

static void a_revision_is_found_by_number_and_by_id(void **state)
{
	struct revisions all = three();
	const struct revision_seen *rev;
	struct err err;

	(void)state;
	assert_int_equal(revisions_find(&all, "2", &rev, &err), 0);
	assert_string_equal(rev->id, "bbbbbbbbbbbb");
	assert_int_equal(revisions_find(&all, "aaaaaaaaaaaa", &rev, &err), 0);
	assert_int_equal(rev->number, 1);
	assert_int_equal(revisions_find(&all, "4", &rev, &err), -ENOENT);
	assert_int_equal(revisions_find(&all, "", &rev, &err), -ENOENT);
	revisions_clear(&all);
}

static void undo_edits_text_and_mode_of_the_object_as_it_was_read(void **state)
{
	struct revisions all = three();
	struct json_object *aap = cli_json("{'metadata':{'resourceVersion':'9'},'spec':{"
					   "'abstract':{},'nodeSelector':{}}}");
	struct json_object *patch = revision_patch(&all.all[0], aap);
	char *text = cli_text(patch);

	(void)state;
	assert_string_equal(text, "{'metadata':{'resourceVersion':'9'},'spec':{'policy':'profile a "
				  "{}','mode':'Complain','abstract':null}}");
	free(text);
	json_object_put(patch);
	json_object_put(aap);
	revisions_clear(&all);
}

static void undo_forgets_what_was_once_said_of_that_revision(void **state)
{
	struct revisions all = three();
	struct json_object *aap = cli_json(
	    "{'metadata':{'resourceVersion':'9','annotations':{'hauberk.dev/rollout-abort':"
	    "'aaaaaaaaaaaa','hauberk.dev/rollout-promote':'aaaaaaaaaaaa/2',"
	    "'hauberk.dev/rollout-pause':'bbbbbbbbbbbb','hauberk.dev/adopt':'aaaaaaaaaaaa'}}}");
	struct json_object *patch = revision_patch(&all.all[0], aap);
	char *text = cli_text(js_object(patch, "metadata"));

	(void)state;
	assert_string_equal(text, "{'resourceVersion':'9','annotations':{"
				  "'hauberk.dev/rollout-abort':null,'hauberk.dev/rollout-promote':"
				  "null}}");
	free(text);
	json_object_put(patch);
	json_object_put(aap);
	revisions_clear(&all);
}

static void the_table_says_which_is_which_and_how_many_nodes_hold_it(void **state)
{
	struct revisions all = three();
	struct json_object *aap = cli_json("{'status':{'currentRevision':'bbbbbbbbbbbb',"
					   "'updateRevision':'cccccccccccc'}}");
	struct json_object *nodes = cli_json("[{'revision':'bbbbbbbbbbbb'},{'revision':"
					     "'bbbbbbbbbbbb'},{'revision':'cccccccccccc'},{}]");
	struct table t;
	char *text;

	(void)state;
	revisions_table(&all, aap, nodes, "revision", AGE_MS, &t);
	text = table_text(&t);
	assert_string_equal(text,
			    "REVISION   ID             MODE       AGE   NODES   WHAT\n"
			    "1          aaaaaaaaaaaa   Complain   2h    0\n"
			    "2          bbbbbbbbbbbb   Enforce    2h    2       last complete\n"
			    "3          cccccccccccc   Enforce    2h    1       rolling out\n");
	free(text);
	table_deinit(&t);
	revisions_table(&all, aap, NULL, "revision", AGE_MS, &t);
	text = table_text(&t);
	assert_non_null(strstr(text, "2          bbbbbbbbbbbb   Enforce    2h    -       last"));
	free(text);
	table_deinit(&t);
	json_object_put(nodes);
	json_object_put(aap);
	revisions_clear(&all);
}

static void a_revision_that_was_rolled_back_is_called_so(void **state)
{
	struct revisions all = three();
	struct json_object *aap =
	    cli_json("{'status':{'currentRevision':'bbbbbbbbbbbb','updateRevision':"
		     "'cccccccccccc','rollout':{'phase':'Aborted'}}}");
	struct table t;
	char *text;

	(void)state;
	revisions_table(&all, aap, NULL, "revision", 0, &t);
	text = table_text(&t);
	assert_non_null(strstr(text, "-       last complete\n"));
	assert_non_null(strstr(text, "-       rolled back\n"));
	free(text);
	table_deinit(&t);
	json_object_put(aap);
	revisions_clear(&all);
}

static void what_is_no_revision_of_ours_is_passed_over(void **state)
{
	struct json_object *obj = cli_json("{'metadata':{'labels':{}},'data':{'other':1}}");
	struct revisions all = {0};

	(void)state;
	revisions_add(&all, obj);
	assert_int_equal(all.n, 0);
	json_object_put(obj);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(undo_goes_back_to_the_newest_that_is_not_asked_for),
	    cmocka_unit_test(without_another_revision_there_is_nothing_to_undo),
	    cmocka_unit_test(a_revision_is_found_by_number_and_by_id),
	    cmocka_unit_test(undo_edits_text_and_mode_of_the_object_as_it_was_read),
	    cmocka_unit_test(undo_forgets_what_was_once_said_of_that_revision),
	    cmocka_unit_test(the_table_says_which_is_which_and_how_many_nodes_hold_it),
	    cmocka_unit_test(a_revision_that_was_rolled_back_is_called_so),
	    cmocka_unit_test(what_is_no_revision_of_ours_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
