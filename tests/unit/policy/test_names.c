#include "policy/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_name_fits_the_pattern_or_not(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} cases[] = {
	    {"web", true},   {"a", true},     {"0", true},     {"Web-1.2_x", true}, {"", false},
	    {".web", false}, {"-web", false}, {"_web", false}, {"/bin/x", false},   {"a/b", false},
	    {"a b", false},  {"a\nb", false}, {"a//b", false}, {":ns:a", false},    {"wéb", false},
	    {"a&b", false},  {"a\"", false},  {"a*", false},   {"a\x7f", false},
	};
	char longest[POLICY_NAME_MAX + 2];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (policy_name_is_valid(cases[i].name) != cases[i].valid)
			fail_msg("\"%s\"", cases[i].name);
	memset(longest, 'a', sizeof(longest));
	longest[POLICY_NAME_MAX] = '\0';
	assert_true(policy_name_is_valid(longest));
	longest[POLICY_NAME_MAX] = 'a';
	longest[POLICY_NAME_MAX + 1] = '\0';
	assert_false(policy_name_is_valid(longest));
}

static void a_name_that_others_load_is_reserved(void **state)
{
	static const struct {
		const char *name;
		bool reserved;
	} cases[] = {
	    {"unconfined", true},
	    {"unconfined2", false},
	    {"docker-default", true},
	    {"docker-default2", false},
	    {"cri-containerd.apparmor.d", true},
	    {"crio-default-1.2", true},
	    {"crun-default", true},
	    {"containers-default-0.44", true},
	    {"snap.firefox.firefox", true},
	    {"snap", false},
	    {"snapper", false},
	    {"lxc-container-default", true},
	    {"lxd-x", true},
	    {"libvirt-1234", true},
	    {"libvirtd", true},
	    {"libvirtd2", false},
	    {"web", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (policy_name_is_reserved(cases[i].name) != cases[i].reserved)
			fail_msg("\"%s\"", cases[i].name);
}

static void a_refused_name_is_told_why_in_one_printable_line(void **state)
{
	struct err err;
	char name[400];

	(void)state;
	assert_int_equal(policy_name_check("web", &err), 0);
	assert_int_equal(policy_name_check("docker-default", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "reserved"));
	assert_int_equal(policy_name_check("a\nb\x01", &err), -EINVAL);
	assert_null(strchr(err.msg, '\n'));
	memset(name, 'n', 300);
	name[300] = '\0';
	assert_int_equal(policy_name_check(name, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "300 bytes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_name_fits_the_pattern_or_not),
	    cmocka_unit_test(a_name_that_others_load_is_reserved),
	    cmocka_unit_test(a_refused_name_is_told_why_in_one_printable_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
