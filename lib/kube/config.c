#include "kube/config.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/exec_credential.h"
#include "kube/kubeconfig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_FILE_MAX = 4 << 20 };

#define CONFIG_POD_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

static int config_read(const char *path, char **ret, struct err *err)
{
	struct buf text = BUF_INIT(CONFIG_FILE_MAX);

	if (file_read(path, &text, err)) {
		buf_clear(&text);
		return err->code;
	}
	*ret = buf_steal(&text);
	return 0;
}

/* A file name as a kubeconfig means it. */
static char *config_path(const char *dir, const char *name)
{
	return *name == '/' || !*dir ? mem_strdup(name) : mem_printf("%s/%s", dir, name);
}

/* The text itself, or that of the file, or NULL. */
static int config_pem(const char *dir, char **data, const char *file, char **ret, struct err *err)
{
	CLEANUP(mem_freep) char *path = NULL;

	if (*data || !file) {
		*ret = STEAL(*data);
		return 0;
	}
	path = config_path(dir, file);
	return config_read(path, ret, err);
}

/* "https://HOST[:PORT][/PATH]" in parts. The host is with its brackets for IPv6. */
static void config_split_url(const char *url, char **ret_host, char **ret_port,
			     const char **ret_path)
{
	const char *host = url + strlen("https://");
	const char *path = host + strcspn(host, "/");
	const char *end = *host == '[' ? host + strcspn(host, "]") : host;
	const char *colon = end + strcspn(end, ":/");

	*ret_host = mem_strndup(host, (size_t)(colon - host));
	*ret_port =
	    *colon == ':' ? mem_strndup(colon + 1, (size_t)(path - colon - 1)) : mem_strdup("443");
	*ret_path = path;
}

/* The certificate bears another name than the address: put that name into the URL and keep the
 * address for the connection. */
static void config_use_tls_name(struct kube_config *config, const char *tls_server_name)
{
	CLEANUP(mem_freep) char *host = NULL;
	CLEANUP(mem_freep) char *port = NULL;
	const char *path;
	char *server;

	config_split_url(config->server, &host, &port, &path);
	server = mem_printf("https://%s:%s%s", tls_server_name, port, path);
	mem_replace(&config->connect_to, mem_printf("%s:%s", host, port));
	mem_replace(&config->server, server);
}

/* What stands in the kubeconfig comes before what the plugin would give, as in kubectl. */
static int config_log_in(struct kubeconfig *kc, const char *dir, enum kube_config_for whom,
			 struct kube_config *config, struct err *err)
{
	char **command;

	if (!kc->exec || config->token || config->token_file || config->cert_pem)
		return 0;
	command = &kc->exec->argv[0];
	if (whom != KUBE_CONFIG_FOR_PERSON)
		return err_set(err, -EINVAL,
			       "exec: the credential that %.100s gives would expire while this "
			       "program runs; use a token, tokenFile or a client certificate",
			       *command);
	if (strchr(*command, '/'))
		mem_replace(command, config_path(dir, *command));
	return exec_credential_get(kc, config, err);
}

static int config_from_kubeconfig(struct kubeconfig *kc, const char *dir, enum kube_config_for whom,
				  struct kube_config *config, struct err *err)
{
	if (config_pem(dir, &kc->ca_data, kc->ca_file, &config->ca_pem, err) ||
	    config_pem(dir, &kc->cert_data, kc->cert_file, &config->cert_pem, err) ||
	    config_pem(dir, &kc->key_data, kc->key_file, &config->key_pem, err))
		return err->code;
	config->server = STEAL(kc->server);
	config->token = STEAL(kc->token);
	config->token_file = kc->token_file ? config_path(dir, kc->token_file) : NULL;
	config->namespace_ = kc->namespace_ ? STEAL(kc->namespace_) : mem_strdup("default");
	if (config_log_in(kc, dir, whom, config, err))
		return err->code;
	if (kc->tls_server_name)
		config_use_tls_name(config, kc->tls_server_name);
	return 0;
}

int kube_config_load_file(const char *path, const char *context, enum kube_config_for whom,
			  struct kube_config *ret, struct err *err)
{
	CLEANUP(buf_clear) struct buf text = BUF_INIT(CONFIG_FILE_MAX);
	CLEANUP(mem_freep) char *dir = mem_strndup(path, strlen(path));
	CLEANUP(kubeconfig_clear) struct kubeconfig kc = {0};
	struct kube_config config = {0};
	char *slash = strrchr(dir, '/');

	if (slash)
		slash[slash == dir] = '\0';
	else
		*dir = '\0';
	if (file_read(path, &text, err))
		return err->code;
	if (kubeconfig_parse(buf_text(&text), text.len, context, &kc, err))
		return err_wrap(err, "%s", path);
	if (config_from_kubeconfig(&kc, dir, whom, &config, err)) {
		kube_config_clear(&config);
		return err_wrap(err, "%s", path);
	}
	*ret = config;
	return 0;
}

int kube_config_load_in_cluster(struct kube_config *ret, struct err *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	struct kube_config config = {0};
	bool is_ipv6;

	if (!host || !*host || !port || !*port)
		return err_set(err, -ENOENT,
			       "this is no pod: KUBERNETES_SERVICE_HOST and "
			       "KUBERNETES_SERVICE_PORT are not set");
	if (config_read(CONFIG_POD_DIR "/ca.crt", &config.ca_pem, err))
		return err->code;
	/* A pod without the file (its own projected volume) works in "default", as client-go has
	 * it. */
	if (config_read(CONFIG_POD_DIR "/namespace", &config.namespace_, err))
		config.namespace_ = mem_strdup("default");
	if (config.namespace_)
		config.namespace_[strcspn(config.namespace_, "\n")] = '\0';
	is_ipv6 = strchr(host, ':') != NULL;
	config.server =
	    mem_printf("https://%s%s%s:%s", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", port);
	config.token_file = mem_strdup(CONFIG_POD_DIR "/token");
	*ret = config;
	return 0;
}

/* The first file of a list with colons that exists; NULL: none. */
static char *config_first_of(const char *list)
{
	while (*list) {
		size_t n = strcspn(list, ":");
		CLEANUP(mem_freep) char *path = mem_strndup(list, n);

		if (n > 0 && access(path, F_OK) == 0)
			return STEAL(path);
		list += n + (list[n] == ':');
	}
	return NULL;
}

/* Where no file was named and $KUBECONFIG is not set. */
static int config_load_default(const char *context, enum kube_config_for whom,
			       struct kube_config *ret, struct err *err)
{
	const char *home = getenv("HOME");
	CLEANUP(mem_freep) char *path = mem_printf("%s/.kube/config", home ? home : "");
	int r;

	if (access(path, F_OK) == 0)
		return kube_config_load_file(path, context, whom, ret, err);
	/* A service account has no contexts: to go on with it would be to change another cluster
	 * than was meant. */
	if (context)
		return err_set(err, -ENOENT,
			       "there is no kubeconfig that could have the context \"%.100s\": "
			       "neither $KUBECONFIG nor %.200s",
			       context, path);
	r = kube_config_load_in_cluster(ret, err);
	return r == -ENOENT && !getenv("KUBERNETES_SERVICE_HOST")
		   ? err_set(err, -ENOENT,
			     "there is no kubeconfig: neither $KUBECONFIG nor %.200s, and this is "
			     "no pod",
			     path)
		   : r;
}

int kube_config_load(const char *path, const char *context, enum kube_config_for whom,
		     struct kube_config *ret, struct err *err)
{
	const char *list = getenv("KUBECONFIG");
	CLEANUP(mem_freep) char *first = NULL;

	if (path)
		return kube_config_load_file(path, context, whom, ret, err);
	if (!list || !*list)
		return config_load_default(context, whom, ret, err);
	first = config_first_of(list);
	if (!first)
		return err_set(err, -ENOENT, "no file of KUBECONFIG=%.300s exists", list);
	return kube_config_load_file(first, context, whom, ret, err);
}

void kube_config_clear(struct kube_config *config)
{
	/* What was secret does not stay in freed memory. */
	if (config->key_pem)
		explicit_bzero(config->key_pem, strlen(config->key_pem));
	if (config->token)
		explicit_bzero(config->token, strlen(config->token));
	free(config->server);
	free(config->connect_to);
	free(config->ca_pem);
	free(config->cert_pem);
	free(config->key_pem);
	free(config->token);
	free(config->token_file);
	free(config->namespace_);
	*config = (struct kube_config){0};
}
