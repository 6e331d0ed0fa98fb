#include "controller/home.h"

#include "base/js.h"
#include "base/mem.h"
#include "kube/informer.h"

#include <stdlib.h>

struct home {
	struct home_spec spec;
	struct kube_informer *informer;
	bool going;
};

static void home_on_seen(void *data, struct json_object *obj)
{
	struct home *home = data;

	if (home->going || !js_str(obj, "metadata.deletionTimestamp"))
		return;
	home->going = true;
	home->spec.on_going(home->spec.data);
}

static void home_on_update(void *data, struct json_object *old, struct json_object *obj)
{
	(void)old;
	home_on_seen(data, obj);
}

static void home_on_trouble(void *data, const char *why)
{
	struct home *home = data;

	home->spec.on_trouble(home->spec.data, why);
}

struct home *home_follow(struct kube_client *client, const struct home_spec *spec)
{
	CLEANUP(mem_freep) char *selector = mem_printf("metadata.name=%s", spec->namespace_);
	struct home *home = MEM_NEW(struct home);
	struct kube_informer_spec informer = {
	    .path = "/api/v1/namespaces",
	    .field_selector = selector,
	    .as_metadata = true,
	    .on_add = home_on_seen,
	    .on_update = home_on_update,
	    .on_trouble = home_on_trouble,
	    .data = home,
	};

	home->spec = *spec;
	home->informer = kube_informer_start(client, &informer);
	return home;
}

void home_close(struct home *home)
{
	kube_informer_close(home->informer);
	free(home);
}
