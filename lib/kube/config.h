#pragma once

/*
 * Where the API server is and how to prove who we are, from the pod's service account or a
 * kubeconfig.
 *
 * Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/ and
 * https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
 */

#include "base/err.h"

#include <stddef.h>

struct kube_config {
	char *server;     /* "https://10.0.0.1:6443", without a slash at the end */
	char *connect_to; /* "10.0.0.1:6443" where `server` bears another name for TLS, or NULL */
	char *ca_pem;
	char *cert_pem; /* client certificate and key, or both NULL */
	char *key_pem;
	char *token;      /* a fixed bearer token, or NULL */
	char *token_file; /* read by the client, again and again, or NULL; wins over `token` */
	char *namespace_; /* "default" where nothing says otherwise */
};

/* The pod's own service account. -ENOENT where this is no pod. */
int kube_config_load_in_cluster(struct kube_config *ret, struct err *err);

/* Who is going to use it. A credential plugin (exec_credential.h) logs in for minutes and may ask
 * something, so that only a program that a person runs may run one. */
enum kube_config_for { KUBE_CONFIG_FOR_SERVICE, KUBE_CONFIG_FOR_PERSON };

/* One kubeconfig file; `context` NULL: its current one. Refused with a sentence, because it would
 * change who we are or whom we trust: auth-provider, user names with passwords, impersonation,
 * proxies, insecure-skip-tls-verify and servers without https; and for a service, exec. Where the
 * user has exec alone, the plugin is run here and waited for. */
int kube_config_load_file(const char *path, const char *context, enum kube_config_for whom,
			  struct kube_config *ret, struct err *err);

/* As kubectl chooses: `path` where given; else the first file of $KUBECONFIG (a list with colons)
 * that exists, which is taken alone and not merged with the others; else ~/.kube/config where that
 * exists; else the pod's service account. -ENOENT where there is none of them, and where `context`
 * is given and there is no kubeconfig to look it up in. */
int kube_config_load(const char *path, const char *context, enum kube_config_for whom,
		     struct kube_config *ret, struct err *err);

void kube_config_clear(struct kube_config *config);
