#include "controller/pods.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "kube/query.h"

#include <stdlib.h>

enum { PODS_KEEP_MS = 30 * 1000, PODS_NODES_MAX = 256 };

struct pods {
	struct kube_client *client;
	void (*known)(void *data, const char *node);
	void *data;
	struct map nodes; /* name -> struct pods_node */
};

struct pods_node {
	struct pods *pods;
	char *name;
	struct kube_request *req; /* while it is being read */
	int64_t read_ms;
	struct map names; /* uid -> "namespace/name" */
};

struct pods *pods_new(struct kube_client *client, void (*known)(void *data, const char *node),
		      void *data)
{
	struct pods *pods = MEM_NEW(struct pods);

	*pods = (struct pods){.client = client, .known = known, .data = data};
	return pods;
}

static void pods_node_free(void *value)
{
	struct pods_node *node = value;

	if (node->req)
		kube_request_cancel(node->req);
	map_clear(&node->names, free);
	free(node->name);
	free(node);
}

static void pods_on_read(void *data, const struct kube_result *res)
{
	struct pods_node *node = data;
	struct json_object *items = res->outcome == KUBE_OK ? js_array(res->obj, "items") : NULL;
	size_t i;

	node->req = NULL;
	node->read_ms = clock_mono_ms();
	map_clear(&node->names, free);
	for (i = 0; i < js_len(items); i++) {
		struct json_object *pod = js_item(items, i);
		const char *uid = js_str(pod, "metadata.uid");

		if (uid)
			free(map_put(&node->names, uid,
				     mem_printf("%s/%s", js_str_or_empty(pod, "metadata.namespace"),
						js_str_or_empty(pod, "metadata.name"))));
	}
	node->pods->known(node->pods->data, node->name);
}

static void pods_read(struct pods_node *node)
{
	struct buf query = BUF_INIT(1024);
	CLEANUP(mem_freep) char *selector = mem_printf("spec.nodeName=%s", node->name);
	struct kube_request_spec spec = {
	    .method = "GET",
	    .path = "/api/v1/pods",
	    .accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
	    .tries = 3,
	};

	kube_query_add(&query, "fieldSelector", selector);
	spec.query = buf_text(&query);
	node->req = kube_request_start(node->pods->client, &spec, pods_on_read, node);
	buf_clear(&query);
}

static struct pods_node *pods_need(struct pods *pods, const char *name)
{
	struct pods_node *node = map_get(&pods->nodes, name);

	if (node)
		return node;
	if (pods->nodes.n >= PODS_NODES_MAX)
		map_clear(&pods->nodes, pods_node_free);
	node = MEM_NEW(struct pods_node);
	node->pods = pods;
	node->name = mem_strdup(name);
	node->read_ms = -PODS_KEEP_MS;
	map_put(&pods->nodes, name, node);
	return node;
}

const char *pods_name(struct pods *pods, const char *node_name, const char *uid)
{
	struct pods_node *node = pods_need(pods, node_name);
	const char *name = map_get(&node->names, uid);

	if (!name && !node->req && clock_mono_ms() >= node->read_ms + PODS_KEEP_MS)
		pods_read(node);
	return name;
}

void pods_free(struct pods *pods)
{
	map_clear(&pods->nodes, pods_node_free);
	free(pods);
}
