#pragma once

/*
 * Log in by a credential plugin: run the command that a kubeconfig names (`users[].user.exec`),
 * which prints a token or a client certificate. Clusters of EKS, GKE, AKS and those with OIDC are
 * reached so.
 *
 * It is run synchronously and takes as long as it takes, for it may wait until a person has signed
 * in at a browser: this is for the start of a command-line program, before any loop runs. Ctrl-C
 * ends both. The credential is not renewed.
 *
 * Source:
 * https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
 * and https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
 */

#include "base/err.h"
#include "kube/config.h"
#include "kube/kubeconfig.h"

#include <stddef.h>

/* Run kc->exec and put what it answers into `config`, which has server and ca_pem already. A
 * command without a slash is looked up in PATH; one with a slash is meant from the current folder.
 * The plugin gets our environment, its own, and KUBERNETES_EXEC_INFO; it writes to our stderr, and
 * reads our standard input where that is a terminal and interactiveMode allows it. */
int exec_credential_get(const struct kubeconfig *kc, struct kube_config *config, struct err *err);

/* What a plugin printed: an ExecCredential of `api_version` with a token, a certificate or both;
 * they become token, cert_pem and key_pem, which were NULL. Pure. */
int exec_credential_parse(const char *text, size_t n, const char *api_version,
			  struct kube_config *config, struct err *err);
