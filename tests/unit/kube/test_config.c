#include "kube/config.h"

#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/hauberk-config-XXXXXX");
	unsetenv("KUBECONFIG");
	unsetenv("KUBERNETES_SERVICE_HOST");
	unsetenv("KUBERNETES_SERVICE_PORT");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	CLEANUP(mem_freep) char *command = mem_printf("rm -r %s", dir);

	(void)state;
	return system(command); /* NOLINT(cert-env33-c,bugprone-command-processor) */
}

static char *put(const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", dir, name);
	struct err err;

	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, &err), 0);
	return path;
}

#define HEAD "contexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n"

static void files_are_found_beside_the_kubeconfig(void **state)
{
	CLEANUP(mem_freep) char *ca = put("ca.crt", "the CA");
	CLEANUP(mem_freep)
	char *path = put("config", HEAD "clusters: [{name: a, cluster: {server: \"https://x\", "
					"certificate-authority: ca.crt}}]\n"
					"users: [{name: a, user: {tokenFile: token}}]\n");
	CLEANUP(mem_freep) char *token = mem_printf("%s/token", dir);
	struct kube_config config;
	struct err err;

	(void)state;
	assert_int_equal(kube_config_load_file(path, NULL, KUBE_CONFIG_FOR_SERVICE, &config, &err),
			 0);
	assert_string_equal(config.ca_pem, "the CA");
	assert_string_equal(config.token_file, token);
	assert_string_equal(config.namespace_, "default");
	assert_null(config.connect_to);
	kube_config_clear(&config);
	unlink(ca);
	assert_int_equal(kube_config_load_file(path, NULL, KUBE_CONFIG_FOR_SERVICE, &config, &err),
			 -ENOENT);
	assert_non_null(strstr(err.msg, "ca.crt"));
}

static void a_tls_name_is_verified_while_the_address_is_dialled(void **state)
{
	static const struct {
		const char *url, *server, *connect_to;
	} cases[] = {
	    {"https://10.0.0.1:6443", "https://kubernetes:6443", "10.0.0.1:6443"},
	    {"https://10.0.0.1", "https://kubernetes:443", "10.0.0.1:443"},
	    {"https://[fd00::1]:6443/k8s", "https://kubernetes:6443/k8s", "[fd00::1]:6443"},
	    {"https://[fd00::1]/k8s/x", "https://kubernetes:443/k8s/x", "[fd00::1]:443"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(mem_freep)
		char *text = mem_printf(
		    HEAD "users: [{name: a, user: {token: t}}]\n"
			 "clusters: [{name: a, cluster: {server: \"%s\", tls-server-name: "
			 "kubernetes, certificate-authority-data: Q0E=}}]\n",
		    cases[i].url);
		CLEANUP(mem_freep) char *path = put("tls", text);
		struct kube_config config;
		struct err err;

		if (kube_config_load_file(path, NULL, KUBE_CONFIG_FOR_SERVICE, &config, &err))
			fail_msg("%s", err.msg);
		assert_string_equal(config.server, cases[i].server);
		assert_string_equal(config.connect_to, cases[i].connect_to);
		kube_config_clear(&config);
	}
}

static void the_first_file_of_the_list_that_exists_is_taken(void **state)
{
	CLEANUP(mem_freep)
	char *path =
	    put("second", HEAD "clusters: [{name: a, cluster: {server: \"https://second\", "
			       "certificate-authority-data: Q0E=}}]\n"
			       "users: [{name: a, user: {token: t}}]\n");
	CLEANUP(mem_freep) char *list = mem_printf("%s/first::%s", dir, path);
	struct kube_config config;
	struct err err;

	(void)state;
	setenv("KUBECONFIG", list, 1);
	assert_int_equal(kube_config_load(NULL, NULL, KUBE_CONFIG_FOR_SERVICE, &config, &err), 0);
	assert_string_equal(config.server, "https://second");
	kube_config_clear(&config);
	unlink(path);
	assert_int_equal(kube_config_load(NULL, NULL, KUBE_CONFIG_FOR_SERVICE, &config, &err),
			 -ENOENT);
	unsetenv("KUBECONFIG");
}

static void a_place_with_no_configuration_at_all_is_named(void **state)
{
	struct kube_config config;
	struct err err;

	(void)state;
	setenv("HOME", dir, 1);
	assert_int_equal(kube_config_load_in_cluster(&config, &err), -ENOENT);
	assert_int_equal(kube_config_load(NULL, NULL, KUBE_CONFIG_FOR_SERVICE, &config, &err),
			 -ENOENT);
	assert_non_null(strstr(err.msg, "no kubeconfig"));
}

static void look_like_a_pod(void)
{
	setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	setenv("HOME", dir, 1);
}

static void look_like_no_pod(void)
{
	unsetenv("KUBERNETES_SERVICE_HOST");
	unsetenv("KUBERNETES_SERVICE_PORT");
}

static void the_kubeconfig_at_home_comes_before_the_service_account(void **state)
{
	CLEANUP(mem_freep) char *folder = mem_printf("%s/.kube", dir);
	CLEANUP(mem_freep) char *path = NULL;
	struct kube_config config;
	struct err err;

	(void)state;
	assert_int_equal(mkdir(folder, 0700), 0);
	path = put(".kube/config", HEAD "clusters: [{name: a, cluster: {server: \"https://home\", "
					"certificate-authority-data: Q0E=}}]\n"
					"users: [{name: a, user: {token: t}}]\n");
	look_like_a_pod();
	assert_int_equal(kube_config_load(NULL, NULL, KUBE_CONFIG_FOR_SERVICE, &config, &err), 0);
	assert_string_equal(config.server, "https://home");
	kube_config_clear(&config);
	assert_int_equal(kube_config_load(NULL, "b", KUBE_CONFIG_FOR_PERSON, &config, &err),
			 -EINVAL);
	assert_non_null(strstr(err.msg, "there is no context \"b\""));
	look_like_no_pod();
	unlink(path);
	rmdir(folder);
}

static void a_pod_without_a_kubeconfig_takes_its_service_account(void **state)
{
	struct kube_config config;
	struct err err;

	(void)state;
	look_like_a_pod();
	/* The files are there where the test itself runs in a pod. */
	if (kube_config_load(NULL, NULL, KUBE_CONFIG_FOR_SERVICE, &config, &err)) {
		assert_non_null(strstr(err.msg, "/serviceaccount/ca.crt"));
	} else {
		assert_string_equal(config.server, "https://[fd00::1]:443");
		kube_config_clear(&config);
	}
	look_like_no_pod();
}

static void a_context_needs_a_kubeconfig(void **state)
{
	struct kube_config config;
	struct err err;

	(void)state;
	look_like_a_pod();
	assert_int_equal(
	    kube_config_load(NULL, "production", KUBE_CONFIG_FOR_PERSON, &config, &err), -ENOENT);
	assert_non_null(
	    strstr(err.msg, "no kubeconfig that could have the context \"production\""));
	look_like_no_pod();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(files_are_found_beside_the_kubeconfig),
	    cmocka_unit_test(a_tls_name_is_verified_while_the_address_is_dialled),
	    cmocka_unit_test(the_first_file_of_the_list_that_exists_is_taken),
	    cmocka_unit_test(a_place_with_no_configuration_at_all_is_named),
	    cmocka_unit_test(the_kubeconfig_at_home_comes_before_the_service_account),
	    cmocka_unit_test(a_pod_without_a_kubeconfig_takes_its_service_account),
	    cmocka_unit_test(a_context_needs_a_kubeconfig),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
