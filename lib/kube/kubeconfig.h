#pragma once

/*
 * The text of a kubeconfig, picked apart without looking at any other file. Pure.
 */

#include "base/err.h"

#include <stddef.h>

/* What one context comes to. Each may be NULL, but `server`. File names are as they were written:
 * relative ones are meant from the kubeconfig's own folder. `*_data` is decoded. */
struct kubeconfig {
	char *server;
	char *tls_server_name;
	char *ca_data, *ca_file;
	char *cert_data, *cert_file;
	char *key_data, *key_file;
	char *token, *token_file;
	char *namespace_;
};

/* `context` NULL: the current one. -EINVAL with a sentence for anything malformed or not supported.
 */
int kubeconfig_parse(const char *text, size_t n, const char *context, struct kubeconfig *ret,
		     struct err *err);

void kubeconfig_clear(struct kubeconfig *kc);
