#include "base/mem.h"
#include "cli/cluster.h"
#include "kube/config.h"

#include <stdlib.h>

/* What a cluster that was opened by its credentials owns. */
struct cluster_owner {
	uv_loop_t loop;
	struct kube_client *client;
};

static void cluster_on_client_closed(void *data)
{
	(void)data;
}

static void cluster_release(void *data)
{
	struct cluster_owner *owner = data;

	if (owner->client)
		kube_client_close(owner->client, cluster_on_client_closed, NULL);
	uv_run(&owner->loop, UV_RUN_DEFAULT);
	uv_loop_close(&owner->loop);
	free(owner);
}

int cluster_open(const struct cluster_options *options, struct cluster **ret, struct err *err)
{
	struct cluster_owner *owner;
	struct kube_config config;
	int r = kube_config_load(options->kubeconfig, options->context, KUBE_CONFIG_FOR_PERSON,
				 &config, err);

	if (r < 0)
		return r;
	owner = MEM_NEW(struct cluster_owner);
	uv_loop_init(&owner->loop);
	r = kube_client_new(&owner->loop, &config, "kubectl-hauberk/" HAUBERK_VERSION,
			    &owner->client, err);
	if (r == 0)
		*ret = cluster_new(owner->client, config.server, cluster_release, owner);
	else
		cluster_release(owner);
	kube_config_clear(&config);
	return r;
}
