#include "cli/plan_view.h"

#include "cli_test.h"

static void assert_plan(const char *plan, const char *expected)
{
	struct json_object *obj = cli_json(plan);
	char *text = plan_text(obj, "web.yaml");

	assert_string_equal(text, expected);
	free(text);
	json_object_put(obj);
}

static void a_change_is_shown_with_the_nodes_in_their_order(void **state)
{
	(void)state;
	assert_plan(
	    "{'name':'webapp','exists':true,'revision':{'now':'aaaaaaaaaaaa','then':"
	    "'bbbbbbbbbbbb'},'mode':{'now':'Enforce','then':'Complain'},'text':{'now':"
	    "'profile webapp {\\n}\\n','then':'profile webapp {\\n  /x r,\\n}\\n'},'desired':5,"
	    "'atOnce':2,'paused':false,'steps':[{'nodes':1,'soakSeconds':600},{'nodes':3,"
	    "'soakSeconds':-1}],'orderKnown':true,'nodes':[{'name':'n3','zone':'a','holds':"
	    "'aaaaaaaaaaaa','action':'update','step':1},{'name':'n1','action':'install','step':2},"
	    "{'name':'n2','holds':'aaaaaaaaaaaa','action':'update','step':3},{'name':'n4','action':"
	    "'wait','reason':'AgentAway'},{'name':'n5','holds':'bbbbbbbbbbbb','action':'none'}]}",
	    "webapp: revision bbbbbbbbbbbb (Complain) in place of aaaaaaaaaaaa (Enforce)\n"
	    "\n"
	    "--- webapp in the cluster\n"
	    "+++ webapp in web.yaml\n"
	    "@@ -1,2 +1,3 @@\n"
	    " profile webapp {\n"
	    "+  /x r,\n"
	    " }\n"
	    "\n"
	    "5 nodes should hold it: 2 to update, 1 to install it on, 1 hold it already, 1 cannot "
	    "be told now.\n"
	    "At most 2 at one time.\n"
	    "Step 1: until 1 node holds it, then 600 s to look at it.\n"
	    "Step 2: until 3 nodes hold it, then until somebody says promote.\n"
	    "\n"
	    "STEP   NODE   ZONE   HOLDS          ACTION    REASON\n"
	    "1      n3     a      aaaaaaaaaaaa   update\n"
	    "2      n1     -      -              install\n"
	    "rest   n2     -      aaaaaaaaaaaa   update\n"
	    "-      n4     -      -              wait      AgentAway\n"
	    "-      n5     -      bbbbbbbbbbbb   none\n");
}

static void a_new_object_has_no_order_where_it_has_steps(void **state)
{
	(void)state;
	assert_plan("{'name':'webapp','exists':false,'revision':{'then':'bbbbbbbbbbbb'},'mode':{"
		    "'then':'Enforce'},'text':{'then':'profile webapp {}\\n'},'desired':1,'atOnce':"
		    "1,'paused':false,'steps':[{'nodes':1,'soakSeconds':0}],'orderKnown':false,"
		    "'nodes':[{'name':'n1','action':'install'}]}",
		    "webapp: a new object, revision bbbbbbbbbbbb (Enforce)\n"
		    "\n"
		    "1 node should hold it: 1 to install it on.\n"
		    "Step 1: until 1 node holds it, and on at once.\n"
		    "Which nodes come first depends on the uid that the object will be given.\n"
		    "\n"
		    "STEP   NODE   ZONE   HOLDS   ACTION    REASON\n"
		    "-      n1     -      -       install\n");
}

static void what_stands_in_the_way_is_said(void **state)
{
	(void)state;
	assert_plan(
	    "{'name':'webapp','exists':true,'revision':{'now':'bbbbbbbbbbbb','then':"
	    "'bbbbbbbbbbbb'},'mode':{'now':'Enforce','then':'Enforce'},'text':{'now':'x',"
	    "'then':'x'},'underWay':'aaaaaaaaaaaa','problem':'another object holds the "
	    "name','desired':0,'atOnce':1,'paused':true,'steps':[],'orderKnown':true,"
	    "'nodes':[]}",
	    "webapp: no new revision: bbbbbbbbbbbb (Enforce) is what spec asks for already\n"
	    "The rollout of aaaaaaaaaaaa, which is under way, ends half done.\n"
	    "But: another object holds the name.\n"
	    "\n"
	    "0 nodes should hold it.\n");
}

static void one_step_for_all_is_called_so(void **state)
{
	(void)state;
	assert_plan("{'name':'webapp','exists':false,'revision':{'then':'bbbbbbbbbbbb'},'mode':{"
		    "'then':'Enforce'},'text':{'then':'x'},'desired':2,'atOnce':1,'paused':true,"
		    "'steps':[],'orderKnown':true,'nodes':[{'name':'n1','action':'install','step':1"
		    "},{'name':'n2','action':'install','step':1}]}",
		    "webapp: a new object, revision bbbbbbbbbbbb (Enforce)\n"
		    "\n"
		    "2 nodes should hold it: 2 to install it on.\n"
		    "At most 1 at one time.\n"
		    "spec.rollout.paused is true: no node is told before resume.\n"
		    "\n"
		    "STEP   NODE   ZONE   HOLDS   ACTION    REASON\n"
		    "all    n1     -      -       install\n"
		    "all    n2     -      -       install\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_change_is_shown_with_the_nodes_in_their_order),
	    cmocka_unit_test(a_new_object_has_no_order_where_it_has_steps),
	    cmocka_unit_test(what_stands_in_the_way_is_said),
	    cmocka_unit_test(one_step_for_all_is_called_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
