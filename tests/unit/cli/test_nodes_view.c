#include "cli/nodes_view.h"

#include "cli_test.h"

enum { NOW_MS = 100 * 1000 };

static void assert_table(struct table *t, const char *expected)
{
	char *text = table_text(t);

	assert_string_equal(text, expected);
	free(text);
	table_deinit(t);
}

static void a_row_for_each_node_tells_agent_kernel_and_profiles(void **state)
{
	struct json_object *view = cli_json(
	    "{'nodes':[{'name':'n1','agent':'Connected','heard':'1970-01-01T00:01:30Z',"
	    "'agentVersion':'0.1.0','kernelRelease':'6.12.1','appArmor':true,'profiles':{'desired'"
	    ":3,'loaded':1,'pending':1,'failed':1,'draining':1}},{'name':'n2','agent':"
	    "'NeverHeard','profiles':{}},{'name':'n3','agent':'Connected','appArmor':false,"
	    "'reason':'AppArmorOff','profiles':{'desired':0,'loaded':0}},{'name':'n4','agent':"
	    "'Connected','appArmor':true,'reason':'TooManyFeatureSets','profiles':{}}]}");
	struct table t;

	(void)state;
	nodes_table(view, NOW_MS, &t);
	assert_table(&t,
		     "NODE   AGENT        HEARD   VERSION   KERNEL   APPARMOR             "
		     "PROFILES   PENDING   FAILED\n"
		     "n1     Connected    10s     0.1.0     6.12.1   on                   1/3   "
		     "     2         1\n"
		     "n2     NeverHeard   -       -         -        -                    0/0   "
		     "     0         0\n"
		     "n3     Connected    -       -         -        off                  0/0   "
		     "     0         0\n"
		     "n4     Connected    -       -         -        TooManyFeatureSets   0/0   "
		     "     0         0\n");
	json_object_put(view);
}

static void what_was_told_is_shown_where_the_node_does_not_hold_it(void **state)
{
	struct json_object *view = cli_json(
	    "{'profiles':[{'name':'a','state':'Loaded','holds':'aaaaaaaaaaaa','told':"
	    "'aaaaaaaaaaaa','mode':'enforce','since':'1970-01-01T00:00:40Z'},{'name':'b','state':"
	    "'Failed','holds':'aaaaaaaaaaaa','told':'bbbbbbbbbbbb','reason':'LoadFailed',"
	    "'message':'EPROTO'}]}");
	struct table t;

	(void)state;
	nodes_profiles_table(view, NOW_MS, &t);
	assert_table(&t,
		     "PROFILE   STATE    HOLDS          TOLD           MODE      FOR   REASON  "
		     "     MESSAGE\n"
		     "a         Loaded   aaaaaaaaaaaa   -              enforce   60s   -\n"
		     "b         Failed   aaaaaaaaaaaa   bbbbbbbbbbbb   -         -     LoadFailed"
		     "   EPROTO\n");
	json_object_put(view);
}

static void all_nodes_of_a_profile_come_with_their_zone(void **state)
{
	struct json_object *view =
	    cli_json("{'nodes':[{'name':'n1','zone':'z1','state':'Pending','told':'bbbbbbbbbbbb',"
		     "'reason':'Assigned'}]}");
	struct table t;

	(void)state;
	nodes_of_profile_table(view, NOW_MS, &t);
	assert_table(&t, "NODE   ZONE   STATE     HOLDS   TOLD           FOR   REASON     MESSAGE\n"
			 "n1     z1     Pending   -       bbbbbbbbbbbb   -     Assigned\n");
	json_object_put(view);
}

static void what_is_out_of_the_ordinary_stands_around_the_table(void **state)
{
	static const struct {
		const char *view, *heading, *footing;
	} cases[] = {
	    {"{'name':'n1','agent':'Connected','heard':'1970-01-01T00:01:30Z','agentVersion':"
	     "'0.1.0','kernelRelease':'6.12.1','appArmor':true,'orphans':['x','y'],"
	     "'pendingRemovals':['z']}",
	     "n1: kernel 6.12.1, agent 0.1.0, connected, heard 10s ago",
	     "Loaded once, and asked for by no object any more: x, y\nTo be removed as soon as its "
	     "agent is heard of: z\n"},
	    {"{'name':'n2','agent':'NeverHeard'}", "n2: no agent has reported yet", ""},
	    {"{'name':'n3','agent':'None'}", "n3: its labels say that no agent is to be expected",
	     ""},
	    {"{'name':'n4','agent':'Away','heard':'1970-01-01T00:01:30Z','kernelRelease':'6.1',"
	     "'agentVersion':'1','appArmor':false,'reason':'AppArmorOff','message':'not enabled'}",
	     "n4: kernel 6.1, agent 1, away, heard 10s ago\nAppArmor is off there: not enabled",
	     ""},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *view = cli_json(cases[i].view);
		char *heading = nodes_heading(view, NOW_MS), *footing = nodes_footing(view);

		assert_string_equal(heading, cases[i].heading);
		assert_string_equal(footing, cases[i].footing);
		free(heading);
		free(footing);
		json_object_put(view);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_row_for_each_node_tells_agent_kernel_and_profiles),
	    cmocka_unit_test(what_was_told_is_shown_where_the_node_does_not_hold_it),
	    cmocka_unit_test(all_nodes_of_a_profile_come_with_their_zone),
	    cmocka_unit_test(what_is_out_of_the_ordinary_stands_around_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
