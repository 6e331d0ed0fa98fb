#pragma once

/*
 * The text of a kubeconfig, picked apart without looking at any other file. Pure.
 */

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct json_object;

#define KUBECONFIG_EXEC_V1 "client.authentication.k8s.io/v1"
#define KUBECONFIG_EXEC_V1BETA1 "client.authentication.k8s.io/v1beta1"

/* Whether a credential plugin may ask something on standard input. */
enum kubeconfig_interactive {
	KUBECONFIG_INTERACTIVE_IF_AVAILABLE,
	KUBECONFIG_INTERACTIVE_NEVER,
	KUBECONFIG_INTERACTIVE_ALWAYS,
};

/* A credential plugin, `users[].user.exec`. */
struct kubeconfig_exec {
	const char *api_version; /* one of the two above */
	char **argv; /* the command, as it was written, and its arguments; NULL-terminated */
	char **env;  /* "NAME=VALUE", NULL-terminated */
	size_t n_env;
	char *install_hint; /* for people; NULL: none */
	bool provide_cluster_info;
	struct json_object *cluster_config; /* what the cluster has for plugins alone, or NULL */
	enum kubeconfig_interactive interactive;
};

/* What one context comes to. Each may be NULL, but `server`. File names are as they were written:
 * relative ones are meant from the kubeconfig's own folder. `*_data` is decoded. */
struct kubeconfig {
	char *server;
	char *tls_server_name;
	char *ca_data, *ca_file;
	char *cert_data, *cert_file;
	char *key_data, *key_file;
	char *token, *token_file;
	struct kubeconfig_exec *exec;
	char *namespace_;
};

/* `context` NULL: the current one. -EINVAL with a sentence for anything malformed or not supported.
 */
int kubeconfig_parse(const char *text, size_t n, const char *context, struct kubeconfig *ret,
		     struct err *err);

void kubeconfig_clear(struct kubeconfig *kc);
