#include "kube/kubeconfig.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/yml.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* The entry of a list of {name, KEY: {...}} that bears `name`. */
static struct json_object *kubeconfig_find(struct json_object *doc, const char *list,
					   const char *name, const char *key)
{
	struct json_object *array = js_array(doc, list);
	size_t i;

	for (i = 0; i < js_len(array); i++) {
		struct json_object *item = js_item(array, i);

		if (str_equal(js_str(item, "name"), name))
			return js_object(item, key);
	}
	return NULL;
}

/* A field that is there and would change what we do, were it honoured. */
static bool kubeconfig_is_set(struct json_object *obj, const char *key)
{
	struct json_object *value = js_get(obj, key);

	if (json_object_is_type(value, json_type_string))
		return json_object_get_string_len(value) > 0;
	if (json_object_is_type(value, json_type_boolean))
		return json_object_get_boolean(value);
	return value != NULL;
}

struct kubeconfig_refusal {
	const char *key;
	const char *why;
};

static const struct kubeconfig_refusal kubeconfig_cluster_refusals[] = {
    {"insecure-skip-tls-verify", "an unverified server would get our credentials; give its "
				 "certificate authority instead"},
    {"proxy-url", "proxies are not supported"},
};

static const struct kubeconfig_refusal kubeconfig_user_refusals[] = {
    {"auth-provider", "kubectl does not know it any more; use exec, a token or a client "
		      "certificate"},
    {"username", "the API server takes no passwords any more; use a token or a client certificate"},
    {"password", "the API server takes no passwords any more; use a token or a client certificate"},
    {"as", "impersonation is not supported"},
    {"as-uid", "impersonation is not supported"},
    {"as-groups", "impersonation is not supported"},
    {"as-user-extra", "impersonation is not supported"},
};

#define COUNT(array_) (sizeof(array_) / sizeof((array_)[0]))

static int kubeconfig_refuse(struct json_object *obj, const struct kubeconfig_refusal *list,
			     size_t n, struct err *err)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (kubeconfig_is_set(obj, list[i].key))
			return err_set(err, -EINVAL, "%s: %s", list[i].key, list[i].why);
	return 0;
}

/* Base64 as kubectl writes it: one line, padded; line ends are passed over. */
static int kubeconfig_decode(const char *key, const char *text, char **ret, struct err *err)
{
	const size_t n = strlen(text);
	CLEANUP(mem_freep) char *out = mem_alloc(n / 4 * 3 + 4, 1);
	EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	int n_out = 0, n_last = 0, r = -1;

	if (!ctx)
		abort();
	EVP_DecodeInit(ctx);
	if (n < INT32_MAX / 2)
		r = EVP_DecodeUpdate(ctx, (unsigned char *)out, &n_out, (const unsigned char *)text,
				     (int)n);
	if (r >= 0)
		r = EVP_DecodeFinal(ctx, (unsigned char *)out + n_out, &n_last);
	EVP_ENCODE_CTX_free(ctx);
	if (r < 0 || n_out + n_last == 0)
		return err_set(err, -EINVAL, "%s is not base64", key);
	out[n_out + n_last] = '\0';
	*ret = STEAL(out);
	return 0;
}

/* KEY-data, decoded, or else the file name in KEY. */
static int kubeconfig_pem(struct json_object *obj, const char *key, char **ret_data,
			  char **ret_file, struct err *err)
{
	CLEANUP(mem_freep) char *data_key = mem_printf("%s-data", key);
	const char *data = js_str(obj, data_key);
	const char *file = js_str(obj, key);

	if (data && *data)
		return kubeconfig_decode(data_key, data, ret_data, err);
	if (file && *file)
		*ret_file = mem_strdup(file);
	return 0;
}

static char *kubeconfig_text(struct json_object *obj, const char *key)
{
	const char *text = js_str(obj, key);

	return text && *text ? mem_strdup(text) : NULL;
}

static int kubeconfig_cluster(struct json_object *cluster, struct kubeconfig *kc, struct err *err)
{
	const char *server = js_str_or_empty(cluster, "server");
	size_t n = strlen(server);

	if (kubeconfig_refuse(cluster, kubeconfig_cluster_refusals,
			      COUNT(kubeconfig_cluster_refusals), err))
		return err->code;
	while (n > 0 && server[n - 1] == '/')
		n--;
	if (!str_has_prefix(server, "https://") || n <= strlen("https://"))
		return err_set(err, -EINVAL, "server \"%.100s\" is no https:// address", server);
	kc->server = mem_strndup(server, n);
	kc->tls_server_name = kubeconfig_text(cluster, "tls-server-name");
	if (kubeconfig_pem(cluster, "certificate-authority", &kc->ca_data, &kc->ca_file, err))
		return err->code;
	if (!kc->ca_data && !kc->ca_file)
		return err_set(err, -EINVAL,
			       "there is neither certificate-authority nor "
			       "certificate-authority-data, and no other authority is trusted");
	return 0;
}

static int kubeconfig_exec_version(struct json_object *obj, struct kubeconfig_exec *exec,
				   struct err *err)
{
	const char *version = js_str_or_empty(obj, "apiVersion");

	if (str_equal(version, KUBECONFIG_EXEC_V1))
		exec->api_version = KUBECONFIG_EXEC_V1;
	else if (str_equal(version, KUBECONFIG_EXEC_V1BETA1))
		exec->api_version = KUBECONFIG_EXEC_V1BETA1;
	else
		return err_set(err, -EINVAL,
			       "apiVersion \"%.100s\" is neither " KUBECONFIG_EXEC_V1
			       " nor " KUBECONFIG_EXEC_V1BETA1,
			       version);
	return 0;
}

/* The command and its arguments. */
static int kubeconfig_exec_argv(struct json_object *obj, struct kubeconfig_exec *exec,
				struct err *err)
{
	struct json_object *args = js_array(obj, "args");
	const char *command = js_str_or_empty(obj, "command");
	size_t i;

	if (!*command)
		return err_set(err, -EINVAL, "command is missing");
	if (js_get(obj, "args") && !args)
		return err_set(err, -EINVAL, "args is no list");
	exec->argv = mem_alloc(js_len(args) + 2, sizeof(*exec->argv));
	exec->argv[0] = mem_strdup(command);
	for (i = 0; i < js_len(args); i++) {
		struct json_object *arg = js_item(args, i);
		const char *text = json_object_get_string(arg);

		if (!json_object_is_type(arg, json_type_string) ||
		    strlen(text) != (size_t)json_object_get_string_len(arg))
			return err_set(err, -EINVAL, "args[%zu] is no text", i);
		exec->argv[i + 1] = mem_strdup(text);
	}
	return 0;
}

static int kubeconfig_exec_env(struct json_object *obj, struct kubeconfig_exec *exec,
			       struct err *err)
{
	struct json_object *env = js_array(obj, "env");
	size_t i;

	if (js_get(obj, "env") && !env)
		return err_set(err, -EINVAL, "env is no list");
	exec->env = mem_alloc(js_len(env) + 1, sizeof(*exec->env));
	for (i = 0; i < js_len(env); i++) {
		struct json_object *item = js_item(env, i);
		const char *name = js_str_or_empty(item, "name");
		const char *value = js_str(item, "value");

		if (!*name || strchr(name, '='))
			return err_set(err, -EINVAL, "env[%zu] has no name, or one with =", i);
		if (js_get(item, "value") && !value)
			return err_set(err, -EINVAL, "env: the value of %.100s is no text", name);
		exec->env[exec->n_env++] = mem_printf("%s=%s", name, value ? value : "");
	}
	return 0;
}

static int kubeconfig_exec_interactive(struct json_object *obj, struct kubeconfig_exec *exec,
				       struct err *err)
{
	static const char *const words[] = {
	    [KUBECONFIG_INTERACTIVE_IF_AVAILABLE] = "IfAvailable",
	    [KUBECONFIG_INTERACTIVE_NEVER] = "Never",
	    [KUBECONFIG_INTERACTIVE_ALWAYS] = "Always",
	};
	const char *mode = js_str_or_empty(obj, "interactiveMode");
	size_t i;

	/* v1beta1 is from before this field. */
	if (!js_get(obj, "interactiveMode") &&
	    str_equal(exec->api_version, KUBECONFIG_EXEC_V1BETA1))
		mode = words[KUBECONFIG_INTERACTIVE_IF_AVAILABLE];
	for (i = 0; i < COUNT(words); i++)
		if (str_equal(mode, words[i])) {
			exec->interactive = (enum kubeconfig_interactive)i;
			return 0;
		}
	return err_set(err, -EINVAL,
		       "interactiveMode \"%.100s\" is neither Never, IfAvailable nor Always", mode);
}

static void kubeconfig_exec_free(struct kubeconfig_exec *exec)
{
	size_t i;

	if (!exec)
		return;
	for (i = 0; exec->argv && exec->argv[i]; i++)
		free(exec->argv[i]);
	for (i = 0; i < exec->n_env; i++)
		free(exec->env[i]);
	free(exec->argv);
	free(exec->env);
	free(exec->install_hint);
	json_object_put(exec->cluster_config);
	free(exec);
}

static int kubeconfig_exec(struct json_object *user, struct json_object *cluster,
			   struct kubeconfig *kc, struct err *err)
{
	struct json_object *obj = js_get(user, "exec");
	struct json_object *provide = js_get(obj, "provideClusterInfo");
	struct kubeconfig_exec *exec;

	if (!obj)
		return 0;
	exec = kc->exec = MEM_NEW(struct kubeconfig_exec);
	if (kubeconfig_exec_version(obj, exec, err) || kubeconfig_exec_argv(obj, exec, err) ||
	    kubeconfig_exec_env(obj, exec, err) || kubeconfig_exec_interactive(obj, exec, err))
		return err_wrap(err, "exec");
	if (provide && !json_object_is_type(provide, json_type_boolean))
		return err_set(err, -EINVAL, "exec: provideClusterInfo is neither true nor false");
	exec->provide_cluster_info = js_bool(obj, "provideClusterInfo", false);
	exec->install_hint = kubeconfig_text(obj, "installHint");
	exec->cluster_config = json_object_get(kubeconfig_find(
	    cluster, "extensions", "client.authentication.k8s.io/exec", "extension"));
	return 0;
}

static int kubeconfig_user(struct json_object *user, struct kubeconfig *kc, struct err *err)
{
	if (kubeconfig_refuse(user, kubeconfig_user_refusals, COUNT(kubeconfig_user_refusals),
			      err) ||
	    kubeconfig_pem(user, "client-certificate", &kc->cert_data, &kc->cert_file, err) ||
	    kubeconfig_pem(user, "client-key", &kc->key_data, &kc->key_file, err))
		return err->code;
	if ((kc->cert_data || kc->cert_file) != (kc->key_data || kc->key_file))
		return err_set(err, -EINVAL,
			       "client-certificate and client-key go together, one is missing");
	kc->token = kubeconfig_text(user, "token");
	kc->token_file = kubeconfig_text(user, "tokenFile");
	return 0;
}

static int kubeconfig_context(struct json_object *doc, const char *name, struct kubeconfig *kc,
			      struct err *err)
{
	struct json_object *context = kubeconfig_find(doc, "contexts", name, "context");
	const char *cluster_name = js_str(context, "cluster");
	const char *user_name = js_str(context, "user");
	struct json_object *cluster, *user;

	if (!context)
		return err_set(err, -EINVAL, "there is no context \"%.100s\"", name);
	cluster = cluster_name ? kubeconfig_find(doc, "clusters", cluster_name, "cluster") : NULL;
	if (!cluster)
		return err_set(err, -EINVAL, "context \"%.100s\" names a cluster that is not there",
			       name);
	user = user_name ? kubeconfig_find(doc, "users", user_name, "user") : NULL;
	if (user_name && *user_name && !user)
		return err_set(err, -EINVAL, "context \"%.100s\" names a user that is not there",
			       name);
	kc->namespace_ = kubeconfig_text(context, "namespace");
	if (kubeconfig_cluster(cluster, kc, err))
		return err_wrap(err, "cluster \"%.100s\"", cluster_name);
	if (user && (kubeconfig_user(user, kc, err) || kubeconfig_exec(user, cluster, kc, err)))
		return err_wrap(err, "user \"%.100s\"", user_name);
	return 0;
}

int kubeconfig_parse(const char *text, size_t n, const char *context, struct kubeconfig *ret,
		     struct err *err)
{
	CLEANUP(js_putp) struct json_object *doc = NULL;
	struct kubeconfig kc = {0};

	if (!str_is_utf8(text, n))
		return err_set(err, -EINVAL, "it is not valid UTF-8");
	if (yml_parse_one(text, n, &doc, err))
		return err->code;
	if (!context)
		context = js_str_or_empty(doc, "current-context");
	if (!*context)
		return err_set(err, -EINVAL, "there is no current-context, and none was named");
	if (kubeconfig_context(doc, context, &kc, err)) {
		kubeconfig_clear(&kc);
		return err->code;
	}
	*ret = kc;
	return 0;
}

void kubeconfig_clear(struct kubeconfig *kc)
{
	char *const texts[] = {kc->server,    kc->tls_server_name, kc->ca_data,   kc->ca_file,
			       kc->cert_data, kc->cert_file,       kc->key_data,  kc->key_file,
			       kc->token,     kc->token_file,      kc->namespace_};
	size_t i;

	for (i = 0; i < COUNT(texts); i++)
		free(texts[i]);
	kubeconfig_exec_free(kc->exec);
	*kc = (struct kubeconfig){0};
}
