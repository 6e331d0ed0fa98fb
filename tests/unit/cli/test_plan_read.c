#include "cli/plan_read.h"

#include "cli_test.h"

#define OURS(name_)                                                            \
	"apiVersion: hauberk.dev/v1alpha1\nkind: AppArmorProfile\nmetadata: {" \
	"name: " name_ "}\nspec: {policy: 'profile " name_ " {}'}\n"
#define THEIRS                                                       \
	"apiVersion: security-profiles-operator.x-k8s.io/v1alpha1\n" \
	"kind: AppArmorProfile\nmetadata: {name: theirs}\nspec: {policy: 'x'}\n"
#define OTHER "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"

static void objects_of_ours_are_taken_in_their_order(void **state)
{
	static const char text[] = OTHER "---\n" OURS("b") "---\n" THEIRS "---\n" OURS("a");
	CLEANUP(js_putp) struct json_object *objects = NULL;
	CLEANUP(mem_freep) char *first = NULL;
	struct err err;

	(void)state;
	if (plan_read("f.yaml", text, strlen(text), &objects, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(js_len(objects), 2);
	first = cli_text(js_item(objects, 0));
	assert_string_equal(first, "{'apiVersion':'hauberk.dev/v1alpha1','kind':'AppArmorProfile',"
				   "'metadata':{'name':'b'},'spec':{'policy':'profile b {}'}}");
	assert_string_equal(js_str(js_item(objects, 1), "metadata.name"), "a");
}

static void what_cannot_be_planned_is_named_with_its_file(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {THEIRS, "f.yaml holds no AppArmorProfile"},
	    {OTHER, "f.yaml holds no AppArmorProfile"},
	    {"", "f.yaml:1:1: "},
	    {"profile web {}\n", "f.yaml holds no AppArmorProfile"},
	    {"# a: text\nprofile web {\n  signal (send) peer=a: b,\n  x: y: z,\n}\n",
	     "f.yaml is no manifest, and plan takes manifests only: line "},
	    {"kind: [\n", "f.yaml:"},
	    {"apiVersion: hauberk.dev/v1alpha1\nkind: AppArmorProfile\nmetadata: {name: a}\n"
	     "spec: {policy: 'x', mode: Off}\n",
	     "f.yaml:4:"},
	    {"kind: AppArmorProfile\nmetadata: {name: a}\nspec: {policy: 'x'}\n", "f.yaml:"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *objects = NULL;
		struct err err = {0};

		assert_int_equal(
		    plan_read("f.yaml", cases[i].text, strlen(cases[i].text), &objects, &err),
		    -EINVAL);
		assert_null(objects);
		if (strncmp(err.msg, cases[i].why, strlen(cases[i].why)) != 0)
			assert_string_equal(err.msg, cases[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(objects_of_ours_are_taken_in_their_order),
	    cmocka_unit_test(what_cannot_be_planned_is_named_with_its_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
