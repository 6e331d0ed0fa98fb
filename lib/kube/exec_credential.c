#include "kube/exec_credential.h"

#include "base/base64.h"
#include "base/js.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/token.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXEC_OUT_MAX = 1 << 20, EXEC_HINT_MAX = 250 };

int exec_credential_parse(const char *text, size_t n, const char *api_version,
			  struct kube_config *config, struct err *err)
{
	CLEANUP(js_putp) struct json_object *doc = NULL;
	const char *version, *token, *cert, *key;

	if (js_parse(text, n, &doc, err))
		return err_wrap(err, "what it printed is no ExecCredential");
	if (!str_equal(js_str(doc, "kind"), "ExecCredential"))
		return err_set(err, -EINVAL, "what it printed is no ExecCredential");
	version = js_str_or_empty(doc, "apiVersion");
	if (!str_equal(version, api_version))
		return err_set(err, -EINVAL,
			       "it answered with apiVersion \"%.60s\" where the kubeconfig says "
			       "\"%s\"; bring the two together",
			       version, api_version);
	token = js_str_or_empty(doc, "status.token");
	cert = js_str_or_empty(doc, "status.clientCertificateData");
	key = js_str_or_empty(doc, "status.clientKeyData");
	if (!*cert != !*key)
		return err_set(err, -EINVAL,
			       "it gave one of clientCertificateData and clientKeyData, and they "
			       "go together");
	if (!*token && !*cert)
		return err_set(err, -EINVAL,
			       "it gave neither a token nor a certificate; log in with it first");
	if (*token && !token_is_fit(token))
		return err_set(err, -EINVAL, "the token holds characters that no token has");
	config->token = *token ? mem_strdup(token) : NULL;
	config->cert_pem = *cert ? mem_strdup(cert) : NULL;
	config->key_pem = *key ? mem_strdup(key) : NULL;
	return 0;
}

/* What the plugin is told. */

static struct json_object *exec_cluster(const struct kubeconfig *kc,
					const struct kube_config *config)
{
	const size_t n = strlen(config->ca_pem);
	CLEANUP(buf_clear) struct buf ca = BUF_INIT(2 * n + 4);
	struct json_object *cluster = js_new();

	base64_encode(config->ca_pem, n, &ca);
	js_put_str(cluster, "server", config->server);
	js_put_str(cluster, "tls-server-name", kc->tls_server_name);
	js_put_str(cluster, "certificate-authority-data", buf_text(&ca));
	if (kc->exec->cluster_config)
		js_put(cluster, "config", json_object_get(kc->exec->cluster_config));
	return cluster;
}

static char *exec_info(const struct kubeconfig *kc, const struct kube_config *config,
		       bool interactive)
{
	CLEANUP(js_putp) struct json_object *info = js_new();
	struct json_object *spec = js_new();

	js_put_str(info, "kind", "ExecCredential");
	js_put_str(info, "apiVersion", kc->exec->api_version);
	js_put(info, "spec", spec);
	if (kc->exec->provide_cluster_info)
		js_put(spec, "cluster", exec_cluster(kc, config));
	js_put_bool(spec, "interactive", interactive);
	return mem_printf("KUBERNETES_EXEC_INFO=%s", js_print(info, NULL));
}

/* A later entry takes the place of an earlier one of its name: programs differ in which of two they
 * would take. */
static void exec_env_put(char **env, char *entry)
{
	const size_t n = strcspn(entry, "=") + 1;

	while (*env && strncmp(*env, entry, n) != 0)
		env++;
	*env = entry;
}

/* Ours, the plugin's and `info`; the texts stay where they are. The caller frees the list. */
static char **exec_env(const struct kubeconfig_exec *exec, char *info)
{
	size_t i, n = 0;
	char **env;

	while (environ[n])
		n++;
	env = mem_alloc(n + exec->n_env + 2, sizeof(*env));
	if (n > 0)
		memcpy(env, environ, n * sizeof(*env));
	for (i = 0; i < exec->n_env; i++)
		exec_env_put(env, exec->env[i]);
	exec_env_put(env, info);
	return env;
}

static int exec_is_interactive(const struct kubeconfig_exec *exec, bool *ret, struct err *err)
{
	bool terminal = isatty(STDIN_FILENO) == 1;

	if (exec->interactive == KUBECONFIG_INTERACTIVE_ALWAYS && !terminal)
		return err_set(err, -ENOTTY,
			       "it wants to ask something (interactiveMode: Always), and standard "
			       "input is no terminal; run this in one");
	*ret = terminal && exec->interactive != KUBECONFIG_INTERACTIVE_NEVER;
	return 0;
}

/* The child. */

/* stderr stays ours: it is there that a plugin tells where to sign in. Returns an errno. */
static int exec_spawn(char **argv, char **env, bool interactive, int out, pid_t *ret)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t defaults;
	int r;

	if (posix_spawn_file_actions_init(&files) || posix_spawnattr_init(&attr))
		abort();
	/* We ignore it, and what is ignored stays so in a child. */
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	if (r == 0 && !interactive)
		r = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY,
						     0);
	if (r == 0)
		r = posix_spawnp(ret, argv[0], &files, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return r;
}

static int exec_fail_start(const struct kubeconfig_exec *exec, int code, struct err *err)
{
	CLEANUP(mem_freep) char *hint = mem_strdup(exec->install_hint ? exec->install_hint : "");
	char *s;

	if (code != ENOENT)
		return err_set(err, -code, "it cannot be run: %s", strerror(code));
	for (s = hint; (s = strpbrk(s, "\t\r\n"));)
		*s = ' ';
	str_make_printable(hint, EXEC_HINT_MAX);
	return err_set(err, -ENOENT, "it is not found: %s",
		       *hint ? hint : "install it, or put it into PATH");
}

/* At most one byte more than is allowed. */
static size_t exec_read(int fd, char *text)
{
	size_t n = 0;
	ssize_t got;

	while (n <= EXEC_OUT_MAX) {
		got = read(fd, text + n, EXEC_OUT_MAX + 1 - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return n;
}

static int exec_wait(pid_t pid, struct err *err)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		return err_set(err, -EIO, "it was killed by signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status))
		return err_set(err, -EIO,
			       "it ended with exit code %d; see what it wrote, or run it by hand",
			       WEXITSTATUS(status));
	return 0;
}

/* Run it to its end. `text` has room for EXEC_OUT_MAX + 1 bytes. */
static int exec_run(const struct kubeconfig_exec *exec, char **env, bool interactive, char *text,
		    size_t *ret_n, struct err *err)
{
	int ends[2], r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", strerror(errno));
	r = exec_spawn(exec->argv, env, interactive, ends[1], &pid);
	close(ends[1]);
	if (r == 0)
		*ret_n = exec_read(ends[0], text);
	close(ends[0]);
	if (r != 0)
		return exec_fail_start(exec, r, err);
	if (*ret_n <= EXEC_OUT_MAX)
		return exec_wait(pid, err);
	kill(pid, SIGKILL);
	exec_wait(pid, err);
	return err_set(err, -EFBIG, "it printed more than %d bytes, which is no credential",
		       EXEC_OUT_MAX);
}

int exec_credential_get(const struct kubeconfig *kc, struct kube_config *config, struct err *err)
{
	const struct kubeconfig_exec *exec = kc->exec;
	CLEANUP(mem_freep) char *info = NULL;
	CLEANUP(mem_freep) char **env = NULL;
	/* All of it at once, since a buffer that grows would leave copies of a secret behind. */
	CLEANUP(mem_freep) char *text = mem_alloc(EXEC_OUT_MAX + 1, 1);
	bool interactive = false;
	size_t n = 0;
	int r = exec_is_interactive(exec, &interactive, err);

	if (r == 0) {
		info = exec_info(kc, config, interactive);
		env = exec_env(exec, info);
		r = exec_run(exec, env, interactive, text, &n, err);
	}
	if (r == 0)
		r = exec_credential_parse(text, n, exec->api_version, config, err);
	explicit_bzero(text, n);
	if (r < 0) {
		err_wrap(err, "credential plugin %.150s", exec->argv[0]);
		str_make_printable(err->msg, sizeof(err->msg) - 1);
	}
	return r;
}
