#include "cli/status.h"

#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdlib.h>

static struct json_object *status_condition(struct json_object *aap, const char *type)
{
	struct json_object *all = js_array(aap, "status.conditions");
	size_t i;

	for (i = 0; i < js_len(all); i++)
		if (str_equal(js_str(js_item(all, i), "type"), type))
			return js_item(all, i);
	return NULL;
}

/* Why nobody can tell yet, or NULL where the status speaks of the newest spec. */
static char *status_unknown(struct json_object *aap)
{
	int64_t generation = js_i64(aap, "metadata.generation", 0);
	int64_t observed = js_i64(aap, "status.observedGeneration", -1);

	if (observed < 0)
		return mem_strdup(
		    "the controller has not seen it yet; if that lasts, the controller "
		    "is not running");
	if (observed < generation)
		return mem_printf(
		    "the controller has not come to the newest change yet (generation "
		    "%" PRId64 ", seen %" PRId64 ")",
		    generation, observed);
	return NULL;
}

void status_view(struct json_object *aap, struct status_view *ret)
{
	struct json_object *ready = status_condition(aap, "Ready");
	char *unknown = status_unknown(aap);
	bool deleting = js_str(aap, "metadata.deletionTimestamp") != NULL;
	bool is_true = str_equal(js_str(ready, "status"), "True");

	*ret = (struct status_view){.ready = is_true && !unknown && !deleting,
				    .nodes = js_str(aap, "status.nodesReady"),
				    .revision = js_str(aap, "status.updateRevision"),
				    .reason = js_str(ready, "reason")};
	ret->state = deleting     ? "Deleting"
		     : unknown    ? "Unknown"
		     : ret->ready ? "Ready"
				  : "NotReady";
	/* What a complete rollout says is in the columns already. */
	if (unknown)
		ret->message = unknown;
	else if (ret->ready && str_equal(ret->reason, "RolloutComplete"))
		ret->message = mem_strdup("");
	else
		ret->message = mem_strdup(js_str_or_empty(ready, "message"));
}

void status_table_init(struct table *t)
{
	table_init(t, (const char *const[]){"NAME", "STATE", "NODES", "REVISION", "REASON",
					    "MESSAGE", NULL});
}

static void status_table_add_node(struct table *t, struct json_object *node)
{
	CLEANUP(mem_freep) char *name = mem_printf("  %s", js_str_or_empty(node, "name"));

	table_add(t,
		  (const char *const[]){name, js_str(node, "state"), NULL, js_str(node, "revision"),
					js_str(node, "reason"), js_str(node, "message")});
}

void status_table_add(struct table *t, struct json_object *aap)
{
	struct json_object *nodes = js_array(aap, "status.nodes");
	int64_t omitted = js_i64(aap, "status.nodesOmitted", 0);
	struct status_view view;
	size_t i;

	status_view(aap, &view);
	table_add(t, (const char *const[]){js_str(aap, "metadata.name"), view.state, view.nodes,
					   view.revision, view.reason, view.message});
	free(view.message);
	for (i = 0; i < js_len(nodes); i++)
		status_table_add_node(t, js_item(nodes, i));
	if (omitted > 0) {
		CLEANUP(mem_freep) char *more = mem_printf("  (%" PRId64 " more)", omitted);
		CLEANUP(mem_freep)
		char *where = mem_printf("kubectl hauberk nodes --profile %s lists all",
					 js_str_or_empty(aap, "metadata.name"));

		table_add(t, (const char *const[]){more, NULL, NULL, NULL, NULL, where});
	}
}

struct json_object *status_json(struct json_object *aap)
{
	struct json_object *obj = js_new(), *nodes = js_array(aap, "status.nodes");
	const char *name = js_str(aap, "metadata.name");
	const char *profile = js_str(aap, "spec.profileName");
	struct status_view view;

	status_view(aap, &view);
	js_put_str(obj, "name", name);
	js_put_str(obj, "profileName", profile ? profile : name);
	js_put_bool(obj, "ready", view.ready);
	js_put_str(obj, "state", view.state);
	js_put_str(obj, "reason", view.reason);
	js_put_str(obj, "message", view.message);
	js_put_str(obj, "mode", js_str(aap, "spec.mode"));
	js_put_str(obj, "currentRevision", js_str(aap, "status.currentRevision"));
	js_put_str(obj, "updateRevision", view.revision);
	js_put_i64(obj, "readyNodes", js_i64(aap, "status.readyNodes", 0));
	js_put_i64(obj, "desiredNodes", js_i64(aap, "status.desiredNodes", 0));
	js_put(obj, "nodes", nodes ? json_object_get(nodes) : js_new_array());
	js_put_i64(obj, "nodesOmitted", js_i64(aap, "status.nodesOmitted", 0));
	free(view.message);
	return obj;
}
