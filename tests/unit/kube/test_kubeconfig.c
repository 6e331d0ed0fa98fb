#include "kube/kubeconfig.h"

#include "base/js.h"

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
	    {CLUSTER CONTEXT USER("auth-provider: {name: oidc}"), "does not know it any more"},
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

#define EXEC(fields_) USER("exec: {" fields_ "}")
#define V1 "apiVersion: client.authentication.k8s.io/v1, "
#define V1BETA1 "apiVersion: client.authentication.k8s.io/v1beta1, "
#define NEVER "interactiveMode: Never, "

static void a_credential_plugin_is_picked_apart(void **state)
{
	struct kubeconfig kc;
	struct err err;

	(void)state;
	assert_int_equal(
	    parse(CLUSTER
		  "    extensions:\n"
		  "    - name: client.authentication.k8s.io/exec\n"
		  "      extension: {audience: x}\n" CONTEXT EXEC(
		      V1 "interactiveMode: Always, command: bin/aws, args: [eks, get-token], "
			 "env: [{name: A, value: b=c}, {name: E}], installHint: get it, "
			 "provideClusterInfo: true"),
		  NULL, &kc, &err),
	    0);
	assert_string_equal(kc.exec->api_version, KUBECONFIG_EXEC_V1);
	assert_string_equal(kc.exec->argv[0], "bin/aws");
	assert_string_equal(kc.exec->argv[1], "eks");
	assert_string_equal(kc.exec->argv[2], "get-token");
	assert_null(kc.exec->argv[3]);
	assert_int_equal(kc.exec->n_env, 2);
	assert_string_equal(kc.exec->env[0], "A=b=c");
	assert_string_equal(kc.exec->env[1], "E=");
	assert_null(kc.exec->env[2]);
	assert_string_equal(kc.exec->install_hint, "get it");
	assert_true(kc.exec->provide_cluster_info);
	assert_string_equal(js_print(kc.exec->cluster_config, NULL), "{\"audience\":\"x\"}");
	assert_int_equal(kc.exec->interactive, KUBECONFIG_INTERACTIVE_ALWAYS);
	kubeconfig_clear(&kc);
}

static void a_plugin_of_v1beta1_may_leave_out_nearly_everything(void **state)
{
	struct kubeconfig kc;
	struct err err;

	(void)state;
	/* As `aws eks update-kubeconfig` writes it. */
	assert_int_equal(parse(CLUSTER CONTEXT EXEC(V1BETA1 "command: aws, args: null, env: null"),
			       NULL, &kc, &err),
			 0);
	assert_string_equal(kc.exec->api_version, KUBECONFIG_EXEC_V1BETA1);
	assert_null(kc.exec->argv[1]);
	assert_null(kc.exec->env[0]);
	assert_null(kc.exec->install_hint);
	assert_null(kc.exec->cluster_config);
	assert_false(kc.exec->provide_cluster_info);
	assert_int_equal(kc.exec->interactive, KUBECONFIG_INTERACTIVE_IF_AVAILABLE);
	kubeconfig_clear(&kc);
}

static void what_is_wrong_with_a_plugin_is_named(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
	    {USER("exec: aws"), "user \"u\": exec: apiVersion \"\" is neither"},
	    {EXEC("command: aws"), "exec: apiVersion \"\" is neither"},
	    {EXEC("apiVersion: client.authentication.k8s.io/v1alpha1, command: aws"),
	     "v1alpha1\" is neither"},
	    {EXEC(V1 NEVER), "exec: command is missing"},
	    {EXEC(V1 NEVER "command: 1"), "exec: command is missing"},
	    {EXEC(V1 NEVER "command: aws, args: eks"), "exec: args is no list"},
	    {EXEC(V1 NEVER "command: aws, args: [eks, 1]"), "exec: args[1] is no text"},
	    {EXEC(V1 NEVER "command: aws, args: [\"a\\0b\"]"), "exec: args[0] is no text"},
	    {EXEC(V1 NEVER "command: aws, env: {A: b}"), "exec: env is no list"},
	    {EXEC(V1 NEVER "command: aws, env: [{value: b}]"), "exec: env[0] has no name"},
	    {EXEC(V1 NEVER "command: aws, env: [{name: a=b, value: b}]"), "exec: env[0] has no"},
	    {EXEC(V1 NEVER "command: aws, env: [{name: A, value: 1}]"),
	     "the value of A is no text"},
	    {EXEC(V1 "command: aws"), "exec: interactiveMode \"\" is neither"},
	    {EXEC(V1 "command: aws, interactiveMode: Sometimes"), "\"Sometimes\" is neither"},
	    {EXEC(V1BETA1 "command: aws, interactiveMode: 1"), "exec: interactiveMode"},
	    {EXEC(V1 NEVER "command: aws, provideClusterInfo: maybe"), "exec: provideClusterInfo"},
	};
	struct kubeconfig kc;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[1024];

		snprintf(text, sizeof(text), CLUSTER CONTEXT "%s", cases[i].text);
		assert_int_equal(parse(text, NULL, &kc, &err), -EINVAL);
		if (!strstr(err.msg, cases[i].words))
			fail_msg("\"%s\" does not say \"%s\"", err.msg, cases[i].words);
	}
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
	    cmocka_unit_test(a_credential_plugin_is_picked_apart),
	    cmocka_unit_test(a_plugin_of_v1beta1_may_leave_out_nearly_everything),
	    cmocka_unit_test(what_is_wrong_with_a_plugin_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
