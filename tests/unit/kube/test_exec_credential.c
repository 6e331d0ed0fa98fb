#include "kube/exec_credential.h"

#include "base/file.h"
#include "base/js.h"
#include "base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Real plugins, which are small shell scripts, and kubeconfigs that name them. */

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/hauberk-exec-XXXXXX");
	/* No terminal, wherever the test is started. */
	return mkdtemp(dir) && freopen("/dev/null", "r", stdin) ? 0 : -1;
}

static int remove_dir(void **state)
{
	CLEANUP(mem_freep) char *command = mem_printf("rm -r %s", dir);

	(void)state;
	return system(command); /* NOLINT(cert-env33-c,bugprone-command-processor) */
}

static void put(const char *name, const char *text)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", dir, name);
	struct err err;

	assert_int_equal(file_write_atomic(path, text, strlen(text), 0700, &err), 0);
}

static void put_plugin(const char *script)
{
	CLEANUP(mem_freep) char *text = mem_printf("#!/bin/sh\n%s\n", script);

	put("plugin", text);
}

#define V1 "apiVersion: client.authentication.k8s.io/v1, "
#define V1BETA1 "apiVersion: client.authentication.k8s.io/v1beta1, "
#define PLUGIN "command: ./plugin, "
#define NEVER "interactiveMode: Never, "

/* `user` are the fields of the user, `exec` those of its plugin. */
static int load_user(const char *user, const char *exec, enum kube_config_for whom,
		     struct kube_config *ret, struct err *err)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/config", dir);
	CLEANUP(mem_freep)
	char *text = mem_printf(
	    "contexts: [{name: a, context: {cluster: a, user: a}}]\n"
	    "current-context: a\n"
	    "clusters: [{name: a, cluster: {server: \"https://10.0.0.1:6443\", tls-server-name: "
	    "kubernetes, certificate-authority-data: Q0E=}}]\n"
	    "users: [{name: a, user: {%sexec: {%s}}}]\n",
	    user, exec);

	put("config", text);
	return kube_config_load_file(path, NULL, whom, ret, err);
}

static int load(const char *exec, struct kube_config *ret, struct err *err)
{
	return load_user("", exec, KUBE_CONFIG_FOR_PERSON, ret, err);
}

static void refused(const char *exec, int code, const char *words)
{
	struct kube_config config;
	struct err err;

	assert_int_equal(load(exec, &config, &err), code);
	if (!strstr(err.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
}

#define SAY(version_, status_)                                  \
	"echo '{\"kind\": \"ExecCredential\", \"apiVersion\": " \
	"\"client.authentication.k8s.io/" version_ "\", \"status\": {" status_ "}}'"
#define SAY_TOKEN SAY("v1", "\"token\": \"abc\"")

static void a_plugin_gives_a_token(void **state)
{
	struct kube_config config;
	struct err err;

	(void)state;
	put_plugin(SAY_TOKEN);
	if (load(V1 PLUGIN NEVER, &config, &err))
		fail_msg("%s", err.msg);
	assert_string_equal(config.token, "abc");
	assert_null(config.cert_pem);
	assert_string_equal(config.server, "https://kubernetes:6443");
	kube_config_clear(&config);
	put_plugin(SAY("v1beta1", "\"token\": \"def\""));
	assert_int_equal(load(V1BETA1 PLUGIN, &config, &err), 0);
	assert_string_equal(config.token, "def");
	kube_config_clear(&config);
}

static void a_plugin_gives_a_certificate(void **state)
{
	struct kube_config config;
	struct err err;

	(void)state;
	put_plugin("cat <<'.'\n{\"kind\": \"ExecCredential\", \"apiVersion\": "
		   "\"client.authentication.k8s.io/v1\", \"status\": {\"clientCertificateData\": "
		   "\"CERT\\n\", \"clientKeyData\": \"KEY\\n\"}}\n.");
	if (load(V1 PLUGIN NEVER, &config, &err))
		fail_msg("%s", err.msg);
	assert_string_equal(config.cert_pem, "CERT\n");
	assert_string_equal(config.key_pem, "KEY\n");
	assert_null(config.token);
	kube_config_clear(&config);
}

static void a_bare_name_is_looked_up_in_path(void **state)
{
	CLEANUP(mem_freep) char *old = mem_strdup(getenv("PATH"));
	CLEANUP(mem_freep) char *path = mem_printf("%s:%s", dir, old);
	struct kube_config config;
	struct err err;

	(void)state;
	put_plugin(SAY_TOKEN);
	refused(V1 NEVER "command: plugin", -ENOENT, "credential plugin plugin: it is not found");
	setenv("PATH", path, 1);
	assert_int_equal(load(V1 NEVER "command: plugin", &config, &err), 0);
	kube_config_clear(&config);
	setenv("PATH", old, 1);
}

static void a_kubeconfig_here_has_its_plugins_here(void **state)
{
	struct kube_config config;
	struct err err;
	int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	put_plugin(SAY_TOKEN);
	assert_int_equal(load(V1 PLUGIN NEVER, &config, &err), 0);
	kube_config_clear(&config);
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(
	    kube_config_load_file("config", NULL, KUBE_CONFIG_FOR_PERSON, &config, &err), 0);
	kube_config_clear(&config);
	assert_int_equal(fchdir(here), 0);
	close(here);
}

/* The plugin leaves its arguments, two variables and KUBERNETES_EXEC_INFO in a file each. */
#define TELL                                                       \
	"cd ${0%/*}\n"                                             \
	"printf '%s|%s|%s|%s' \"$1\" \"$2\" \"$A\" \"$B\" >told\n" \
	"printf '%s' \"$KUBERNETES_EXEC_INFO\" >info\n"

static void assert_file(const char *name, const char *text)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", dir, name);
	struct buf bytes = BUF_INIT(1 << 16);
	struct err err;

	assert_int_equal(file_read(path, &bytes, &err), 0);
	assert_string_equal(buf_text(&bytes), text);
	buf_clear(&bytes);
}

static void arguments_and_environment_are_passed_on(void **state)
{
	struct kube_config config;
	struct err err;

	(void)state;
	put_plugin(TELL SAY_TOKEN);
	setenv("A", "ours", 1);
	setenv("B", "ours", 1);
	setenv("KUBERNETES_EXEC_INFO", "of a caller", 1);
	if (load(V1 PLUGIN NEVER "args: [\"a b\", $HOME], env: [{name: A, value: first}, "
				 "{name: A, value: theirs}]",
		 &config, &err))
		fail_msg("%s", err.msg);
	kube_config_clear(&config);
	unsetenv("A");
	unsetenv("B");
	unsetenv("KUBERNETES_EXEC_INFO");
	assert_file("told", "a b|$HOME|theirs|ours");
	assert_file(
	    "info",
	    "{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\","
	    "\"spec\":{\"interactive\":false}}");
}

static void the_cluster_is_described_where_that_is_asked_for(void **state)
{
	struct kube_config config;
	struct err err;

	(void)state;
	put_plugin(TELL SAY_TOKEN);
	if (load(V1 PLUGIN NEVER "provideClusterInfo: true", &config, &err))
		fail_msg("%s", err.msg);
	kube_config_clear(&config);
	assert_file(
	    "info",
	    "{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\","
	    "\"spec\":{\"cluster\":{\"server\":\"https://10.0.0.1:6443\",\"tls-server-name\":"
	    "\"kubernetes\",\"certificate-authority-data\":\"Q0E=\"},\"interactive\":false}}");
}

/* Puts a pseudo-terminal where standard input was. */
static int open_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_int_equal(dup2(slave, STDIN_FILENO), STDIN_FILENO);
	close(slave);
	return master;
}

static void close_terminal(int master)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
	close(null);
	close(master);
}

static void a_terminal_is_handed_on_unless_the_plugin_never_asks(void **state)
{
	static const struct {
		const char *mode, *told;
	} cases[] = {
	    {"Always", "terminal true"}, {"IfAvailable", "terminal true"}, {"Never", "none false"}};
	int master = open_terminal();
	size_t i;

	(void)state;
	put_plugin("cd ${0%/*}; if [ -t 0 ]; then t=terminal; else t=none; fi\n"
		   "case $KUBERNETES_EXEC_INFO in *'\"interactive\":true'*) i=true;; *) i=false; "
		   "esac\n"
		   "printf '%s' \"$t $i\" >told\n" SAY_TOKEN);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(mem_freep)
		char *exec = mem_printf(V1 PLUGIN "interactiveMode: %s", cases[i].mode);
		struct kube_config config;
		struct err err;

		if (load(exec, &config, &err))
			fail_msg("%s", err.msg);
		kube_config_clear(&config);
		assert_file("told", cases[i].told);
	}
	close_terminal(master);
}

static void a_plugin_that_has_to_ask_needs_a_terminal(void **state)
{
	struct kube_config config;
	struct err err;

	(void)state;
	put_plugin(SAY_TOKEN);
	refused(V1 PLUGIN "interactiveMode: Always", -ENOTTY, "standard input is no terminal");
	put_plugin("read -r line && exit 9\n" SAY_TOKEN);
	if (load(V1 PLUGIN "interactiveMode: IfAvailable", &config, &err))
		fail_msg("%s", err.msg);
	kube_config_clear(&config);
}

static void a_plugin_that_is_not_there_brings_its_hint(void **state)
{
	(void)state;
	refused(V1 NEVER "command: no-such-plugin", -ENOENT,
		"config: credential plugin no-such-plugin: it is not found: install it, or put it "
		"into PATH");
	refused(V1 NEVER "command: no-such-plugin, installHint: \"Get it:\\n\\u001b[1mapt\"",
		-ENOENT, "it is not found: Get it: ?[1mapt");
	refused(V1 NEVER "command: ./no-such-plugin", -ENOENT, "/no-such-plugin: it is not found");
	put("text", "no program\n");
	refused(V1 NEVER "command: ./text", -ENOEXEC, "it cannot be run: Exec format error");
}

static void a_plugin_that_fails_is_told_apart(void **state)
{
	(void)state;
	put_plugin(SAY_TOKEN "\nexit 3");
	refused(V1 PLUGIN NEVER, -EIO, "it ended with exit code 3");
	put_plugin(SAY_TOKEN "\nkill -9 $$");
	refused(V1 PLUGIN NEVER, -EIO, "it was killed by signal 9");
	/* Ends by itself only where SIGPIPE or SIGKILL ends it. */
	put_plugin("trap '' TERM; while :; do echo 0123456789abcdef0123456789abcdef; done");
	refused(V1 PLUGIN NEVER, -EFBIG, "more than 1048576 bytes");
}

static void an_answer_may_fill_the_ceiling(void **state)
{
	struct kube_config config;
	struct err err;

	(void)state;
	put_plugin("answer=$(" SAY_TOKEN ")\nprintf '%1048576s' \"$answer\"");
	if (load(V1 PLUGIN NEVER, &config, &err))
		fail_msg("%s", err.msg);
	kube_config_clear(&config);
}

#define HEAD "{\"kind\": \"ExecCredential\", \"apiVersion\": \"client.authentication.k8s.io/v1\""

static void an_answer_that_is_no_credential_is_refused(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
	    {"", "is no ExecCredential"},
	    {"Please log in", "is no ExecCredential"},
	    {"[]", "is no ExecCredential"},
	    {"{\"kind\": \"Status\"}", "is no ExecCredential"},
	    {"{\"kind\": \"ExecCredential\", \"status\": {\"token\": \"t\"}}", "apiVersion \"\""},
	    {"{\"kind\": \"ExecCredential\", \"apiVersion\": "
	     "\"client.authentication.k8s.io/v1beta1\", \"status\": {\"token\": \"t\"}}",
	     "v1beta1\" where the kubeconfig says \"client.authentication.k8s.io/v1\""},
	    {HEAD "}", "neither a token nor a certificate"},
	    {HEAD ", \"status\": {\"token\": \"\"}}", "neither a token nor a certificate"},
	    {HEAD ", \"status\": {\"token\": 1}}", "neither a token nor a certificate"},
	    {HEAD ", \"status\": {\"token\": \"a\\r\\nX-Remote-User: b\"}}", "no token has"},
	    {HEAD ", \"status\": {\"token\": \"a\\u0000b\"}}", "neither a token"},
	    {HEAD ", \"status\": {\"token\": \"t\", \"clientKeyData\": \"k\"}}", "go together"},
	    {HEAD ", \"status\": {\"clientCertificateData\": \"c\"}}", "go together"},
	};
	struct kube_config config = {0};
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(exec_credential_parse(cases[i].text, strlen(cases[i].text),
						       KUBECONFIG_EXEC_V1, &config, &err),
				 -EINVAL);
		if (!strstr(err.msg, cases[i].words))
			fail_msg("\"%s\" does not say \"%s\"", err.msg, cases[i].words);
		assert_true(!config.token && !config.cert_pem && !config.key_pem);
	}
}

static void a_service_runs_no_plugin(void **state)
{
	CLEANUP(mem_freep) char *told = mem_printf("%s/told", dir);
	struct kube_config config;
	struct err err;

	(void)state;
	put_plugin(TELL SAY_TOKEN);
	unlink(told);
	assert_int_equal(load_user("", V1 PLUGIN NEVER, KUBE_CONFIG_FOR_SERVICE, &config, &err),
			 -EINVAL);
	assert_non_null(strstr(err.msg, "would expire while this program runs"));
	assert_int_not_equal(access(told, F_OK), 0);
}

static void a_token_in_the_kubeconfig_comes_before_the_plugin(void **state)
{
	struct kube_config config;
	struct err err;

	(void)state;
	put_plugin("exit 1");
	assert_int_equal(
	    load_user("token: t, ", V1 PLUGIN NEVER, KUBE_CONFIG_FOR_PERSON, &config, &err), 0);
	assert_string_equal(config.token, "t");
	kube_config_clear(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_plugin_gives_a_token),
	    cmocka_unit_test(a_plugin_gives_a_certificate),
	    cmocka_unit_test(a_bare_name_is_looked_up_in_path),
	    cmocka_unit_test(a_kubeconfig_here_has_its_plugins_here),
	    cmocka_unit_test(arguments_and_environment_are_passed_on),
	    cmocka_unit_test(the_cluster_is_described_where_that_is_asked_for),
	    cmocka_unit_test(a_terminal_is_handed_on_unless_the_plugin_never_asks),
	    cmocka_unit_test(a_plugin_that_has_to_ask_needs_a_terminal),
	    cmocka_unit_test(a_plugin_that_is_not_there_brings_its_hint),
	    cmocka_unit_test(a_plugin_that_fails_is_told_apart),
	    cmocka_unit_test(an_answer_may_fill_the_ceiling),
	    cmocka_unit_test(an_answer_that_is_no_credential_is_refused),
	    cmocka_unit_test(a_service_runs_no_plugin),
	    cmocka_unit_test(a_token_in_the_kubeconfig_comes_before_the_plugin),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
