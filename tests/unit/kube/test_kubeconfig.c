#include "kube/kubeconfig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CLUSTER                                \
	"clusters:\n"                          \
	"- name: lab\n"                        \
	"  cluster:\n"                         \
	"    server: https://10.0.0.1:6443/\n" \
	"    certificate-authority: pki/ca.crt\n"
#define CONTEXT                                                           \
	"contexts:\n"                                                     \
	"- name: c\n"                                                     \
	"  context: {cluster: lab, user: u, namespace: hauberk-system}\n" \
	"current-context: c\n"
#define USER(fields_) "users:\n- name: u\n  user: {" fields_ "}\n"

static int parse(const char *text, const char *context, struct kubeconfig *kc, struct err *err)
{
	return kubeconfig_parse(text, strlen(text), context, kc, err);
}

static void the_current_context_is_taken(void **state)
{
	struct kubeconfig kc;
	struct err err;

	(void)state;
	assert_int_equal(parse(CLUSTER CONTEXT USER("token: abc"), NULL, &kc, &err), 0);
	assert_string_equal(kc.server, "https://10.0.0.1:6443");
	assert_string_equal(kc.ca_file, "pki/ca.crt");
	assert_null(kc.ca_data);
	assert_string_equal(kc.token, "abc");
	assert_string_equal(kc.namespace_, "hauberk-system");
	kubeconfig_clear(&kc);
}

static void another_context_may_be_named(void **state)
{
	static const char text[] =
	    CLUSTER "- name: far\n"
		    "  cluster:\n"
		    "    server: https://far\n"
		    "    certificate-authority-data: Q0E=\n" CONTEXT USER("");
	static const char contexts[] = "contexts:\n- name: d\n  context: {cluster: far, user: u}\n";
	char all[sizeof(text) + sizeof(contexts)];
	struct kubeconfig kc;
	struct err err;

	(void)state;
	/* Keys must not stand twice, so the second list takes the place of the first. */
	snprintf(all, sizeof(all), "%.*s%s%s", (int)(strstr(text, "contexts:") - text), text,
		 contexts, strstr(text, "users:"));
	assert_int_equal(parse(all, "d", &kc, &err), 0);
	assert_string_equal(kc.server, "https://far");
	assert_string_equal(kc.ca_data, "CA");
	assert_null(kc.namespace_);
	kubeconfig_clear(&kc);
}

static void certificates_may_be_inline_or_in_files(void **state)
{
	struct kubeconfig kc;
	struct err err;

	(void)state;
	assert_int_equal(parse(CLUSTER CONTEXT USER("client-certificate-data: Q0VSVA==, "
						    "client-key: u.key"),
			       NULL, &kc, &err),
			 0);
	assert_string_equal(kc.cert_data, "CERT");
	assert_null(kc.cert_file);
	assert_string_equal(kc.key_file, "u.key");
	kubeconfig_clear(&kc);
}

static void a_token_file_is_kept_beside_the_token(void **state)
{
	struct kubeconfig kc;
	struct err err;

	(void)state;
	assert_int_equal(
	    parse(CLUSTER CONTEXT USER("token: a, tokenFile: /run/token"), NULL, &kc, &err), 0);
	assert_string_equal(kc.token_file, "/run/token");
	kubeconfig_clear(&kc);
}

static void json_is_yaml(void **state)
{
	struct kubeconfig kc;
	struct err err;

	(void)state;
	assert_int_equal(
	    parse("{\"clusters\": [{\"name\": \"a\", \"cluster\": {\"server\": \"https://x\", "
		  "\"certificate-authority\": \"/ca\", \"tls-server-name\": \"kubernetes\"}}], "
		  "\"contexts\": [{\"name\": \"a\", \"context\": {\"cluster\": \"a\"}}]}",
		  "a", &kc, &err),
	    0);
	assert_string_equal(kc.tls_server_name, "kubernetes");
	kubeconfig_clear(&kc);
}

static void what_is_refused_is_named(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
	    {"", "no document"},
	    {CLUSTER, "current-context"},
	    {CLUSTER "current-context: nowhere\n", "there is no context \"nowhere\""},
	    {CONTEXT USER(""), "names a cluster that is not there"},
	    {CLUSTER CONTEXT, "names a user that is not there"},
	    {CLUSTER CONTEXT USER("exec: {command: aws}"), "user \"u\": exec: credential plugins"},
	    {CLUSTER CONTEXT USER("auth-provider: {name: oidc}"), "credential plugins"},
	    {CLUSTER CONTEXT USER("username: admin, password: x"), "no passwords"},
	    {CLUSTER CONTEXT USER("as: admin"), "impersonation"},
	    {CLUSTER CONTEXT USER("as-groups: [system:masters]"), "impersonation"},
	    {CLUSTER CONTEXT USER("client-certificate: a.crt"), "go together"},
	    {CLUSTER CONTEXT USER("client-key-data: \"!\", client-certificate: a.crt"),
	     "client-key-data is not base64"},
	    {CLUSTER "    insecure-skip-tls-verify: true\n" CONTEXT USER(""),
	     "cluster \"lab\": insecure-skip-tls-verify"},
	    {CLUSTER "    proxy-url: http://proxy\n" CONTEXT USER(""), "proxies"},
	    {"clusters: [{name: lab, cluster: {server: \"http://x\", certificate-authority: "
	     "a}}]\n" CONTEXT USER(""),
	     "no https:// address"},
	    {"clusters: [{name: lab, cluster: {server: \"https://x\"}}]\n" CONTEXT USER(""),
	     "no other authority is trusted"},
	    {"clusters: [\n", "line "},
	    {"\xff", "UTF-8"},
	};
	struct kubeconfig kc;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].text, NULL, &kc, &err), -EINVAL);
		if (!strstr(err.msg, cases[i].words))
			fail_msg("\"%s\" does not say \"%s\"", err.msg, cases[i].words);
	}
}

static void what_is_off_does_not_count_as_set(void **state)
{
	struct kubeconfig kc;
	struct err err;

	(void)state;
	assert_int_equal(parse(CLUSTER "    insecure-skip-tls-verify: false\n"
				       "    proxy-url: \"\"\n" CONTEXT USER("as: \"\""),
			       NULL, &kc, &err),
			 0);
	kubeconfig_clear(&kc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_current_context_is_taken),
	    cmocka_unit_test(another_context_may_be_named),
	    cmocka_unit_test(certificates_may_be_inline_or_in_files),
	    cmocka_unit_test(a_token_file_is_kept_beside_the_token),
	    cmocka_unit_test(json_is_yaml),
	    cmocka_unit_test(what_is_refused_is_named),
	    cmocka_unit_test(what_is_off_does_not_count_as_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
