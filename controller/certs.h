#pragma once

/*
 * The controller's own certificate authority and serving certificate, in the cluster.
 *
 *     Secret hauberk-controller-tls     ca.crt ca.key         the CA that signs
 *                                       tls.crt tls.key       the leaf that is served
 *                                       ca-next.crt/.key      while rotating: the CA to come
 *                                       ca-old.crt tls-old.crt  after it: the former CA, and its
 *                                                             last leaf
 *     ConfigMap hauberk-ca              ca.crt                all CAs to trust: signing, next, old
 *
 * Any replica makes what is absent; whoever comes second takes what the first has made. Only the
 * leader renews, rotates and mends, and writes the ConfigMap anew where it differs. Every replica
 * follows the Secret. certs_rules.h decides when what is done; where nothing has to be done,
 * nothing is written.
 *
 * To throw the keys away, as after a leak, delete the Secret: all is made anew, and agents, which
 * keep what they have meanwhile, follow when they see the new ConfigMap.
 */

#include "kube/client.h"

#include <stdbool.h>

#define CERTS_SECRET "hauberk-controller-tls"
#define CERTS_CONFIG_MAP "hauberk-ca"

struct certs;

struct certs_spec {
	const char *namespace_; /* copied */
	/* Comes whenever there is another leaf to serve, at first too, from the loop. It fits its
	 * key, its name and its CA. */
	void (*on_leaf)(void *data, const char *cert_pem, const char *key_pem);
	void *data;
};

/* Errors and warnings are logged; what fails is tried again. */
struct certs *certs_start(struct kube_client *client, const struct certs_spec *spec);

/* From now on, and until it ends, this replica leads. */
void certs_lead(struct certs *certs);

/* The CAs to trust, PEM, as the ConfigMap has them or will in a moment; "" while not known. Valid
 * until the next turn of the loop. For webhook configurations. */
const char *certs_ca_bundle(const struct certs *certs);

/* Drop what is under way. No callback comes any more; the loop releases the memory. */
void certs_close(struct certs *certs);
