#include "controller/node_status.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/patch.h"

#include <stdlib.h>
#include <string.h>

/* The bounds of crds/. */
enum {
	NODE_RELEASE_MAX = 128,
	NODE_VERSION_MAX = 64,
	NODE_BOOT_ID_MAX = 64,
	NODE_FEATURES_ID = 12,
	NODE_REASON_MAX = 128,
	NODE_PROFILE_MAX = 253,
	NODE_MESSAGE_MAX = 1024,
	NODE_REMOVAL_PROFILE_MAX = 200,
	NODE_UID_MAX = 64,
	NODE_REVISION_MAX = 63,
};

/* Put a text that came from outside: printable, cut; an empty one is left out. */
static void node_put_text(struct json_object *obj, const char *key, const char *text, size_t max)
{
	CLEANUP(mem_freep) char *copy = mem_strdup(text);

	if (!copy || !*copy) {
		json_object_object_del(obj, key);
		return;
	}
	str_make_printable(copy, max);
	js_put_str(obj, key, copy);
}

static void node_put_features(struct json_object *status, const char *features)
{
	struct json_object *set;

	if (!str_is_hex(features, SHA256_HEX - 1)) {
		json_object_object_del(status, "featureSet");
		return;
	}
	set = js_new();
	js_put(set, "id", json_object_new_string_len(features, NODE_FEATURES_ID));
	js_put_str(set, "sha256", features);
	js_put(status, "featureSet", set);
}

/* Conditions. */

/* What an aspect is called, and says where the facts say no more. */
struct node_condition {
	const char *type;
	struct {
		const char *status, *reason, *message;
	} by_truth[3];
};

static const struct node_condition node_apparmor = {
    .type = "AppArmorEnabled",
    .by_truth =
	{[NODE_UNKNOWN] = {"Unknown", "NotReported", "the agent has not said yet"},
	 [NODE_TRUE] = {"True", "Enabled", "profiles can be loaded"},
	 [NODE_FALSE] = {"False", "Disabled",
			 "AppArmor is off or of no use in this kernel: no pod that asks for a "
			 "profile can run here"}},
};

static const struct node_condition node_agent = {
    .type = "AgentConnected",
    .by_truth =
	{[NODE_UNKNOWN] = {"Unknown", "NotReported", "the agent has not called yet"},
	 [NODE_TRUE] = {"True", "Reporting", "the agent is in touch with the controller"},
	 [NODE_FALSE] = {"False", "Silent",
			 "the agent has not been heard of for 5 minutes; what it loaded stays "
			 "loaded"}},
};

static const struct node_condition node_drift = {
    .type = "Drifted",
    .by_truth = {[NODE_UNKNOWN] = {"Unknown", "NotReported", "the agent has not said yet"},
		 [NODE_TRUE] = {"True", "Changed",
				"somebody else changed or removed a profile in the kernel"},
		 [NODE_FALSE] = {"False", "AsLoaded", "nobody else changed what Hauberk loaded"}},
};

/* ^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$ */
static bool node_is_reason(const char *reason)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const char others[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_,:";
	size_t n = reason ? strlen(reason) : 0;

	return n > 0 && n <= NODE_REASON_MAX && strchr(letters, reason[0]) &&
	       strspn(reason, others) == n && reason[n - 1] != ',' && reason[n - 1] != ':';
}

static struct json_object *node_find_condition(struct json_object *conditions, const char *type,
					       size_t *ret_at)
{
	for (*ret_at = 0; *ret_at < js_len(conditions); (*ret_at)++) {
		struct json_object *condition = js_item(conditions, *ret_at);

		if (str_equal(js_str(condition, "type"), type))
			return condition;
	}
	return NULL;
}

/* When the status last changed: as it stands where it has not. */
static void node_put_transition(struct json_object *condition, struct json_object *old,
				const struct node_aspect *aspect, int64_t now_ms)
{
	char text[CLOCK_TEXT_MAX];
	int64_t when;

	if (old && str_equal(js_str(old, "status"), js_str(condition, "status")) &&
	    clock_parse(js_str_or_empty(old, "lastTransitionTime"), &when)) {
		js_put_str(condition, "lastTransitionTime", js_str(old, "lastTransitionTime"));
		return;
	}
	clock_format(aspect->since_ms > 0 ? aspect->since_ms : now_ms, text);
	js_put_str(condition, "lastTransitionTime", text);
}

/* An aspect that is not known leaves a condition that stands. */
static void node_put_condition(struct json_object *conditions, const struct node_condition *kind,
			       const struct node_aspect *aspect, int64_t generation, int64_t now_ms)
{
	size_t at;
	struct json_object *old = node_find_condition(conditions, kind->type, &at);
	struct json_object *condition;
	const char *reason = kind->by_truth[aspect->truth].reason;
	const char *message = kind->by_truth[aspect->truth].message;

	if (old && aspect->truth == NODE_UNKNOWN)
		return;
	condition = js_new();
	js_put_str(condition, "type", kind->type);
	js_put_str(condition, "status", kind->by_truth[aspect->truth].status);
	js_put_i64(condition, "observedGeneration", generation);
	node_put_transition(condition, old, aspect, now_ms);
	js_put_str(condition, "reason", node_is_reason(aspect->reason) ? aspect->reason : reason);
	node_put_text(condition, "message",
		      aspect->message && *aspect->message ? aspect->message : message,
		      NODE_MESSAGE_MAX);
	if (json_object_array_put_idx(conditions, at, condition))
		abort(); /* out of memory only */
}

/* Lists. */

static void node_put_exceptions(struct json_object *status, const struct node_facts *facts)
{
	struct json_object *array = js_new_array();
	size_t i;

	for (i = 0; i < facts->n_exceptions && i < NODE_EXCEPTIONS_MAX; i++) {
		const struct node_exception *e = &facts->exceptions[i];
		struct json_object *item = js_new();

		node_put_text(item, "reason", e->reason ? e->reason : "Other", NODE_REASON_MAX);
		node_put_text(item, "profile", e->profile, NODE_PROFILE_MAX);
		node_put_text(item, "message", e->message, NODE_MESSAGE_MAX);
		js_append(array, item);
	}
	js_put(status, "exceptions", array);
	if (facts->n_exceptions == 0)
		json_object_object_del(status, "exceptions");
	if (facts->n_exceptions > NODE_EXCEPTIONS_MAX)
		js_put_i64(status, "exceptionsOmitted",
			   (int64_t)(facts->n_exceptions - NODE_EXCEPTIONS_MAX));
	else
		json_object_object_del(status, "exceptionsOmitted");
}

static bool node_text_fits(const char *text, size_t max)
{
	return text && *text && strlen(text) <= max;
}

static bool node_has_uid(struct json_object *removals, const char *uid)
{
	size_t i;

	for (i = 0; i < js_len(removals); i++)
		if (str_equal(js_str(js_item(removals, i), "uid"), uid))
			return true;
	return false;
}

static struct json_object *node_removal_encode(const struct node_removal *removal)
{
	struct json_object *item = js_new(), *revisions = js_new_array();
	size_t i;

	js_put_str(item, "profile", removal->profile);
	js_put_str(item, "uid", removal->uid);
	for (i = 0; i < removal->n_revisions && i < NODE_REVISIONS_MAX; i++)
		if (node_text_fits(removal->revisions[i], NODE_REVISION_MAX))
			js_append(revisions, js_text(removal->revisions[i]));
	if (js_len(revisions) > 0)
		js_put(item, "revisions", revisions);
	else
		json_object_put(revisions);
	return item;
}

/* One entry a uid: the API server refuses the whole status otherwise. */
static void node_put_removals(struct json_object *status, const struct node_facts *facts)
{
	struct json_object *array = js_new_array();
	size_t i;

	for (i = 0; i < facts->n_removals && js_len(array) < NODE_REMOVALS_MAX; i++) {
		const struct node_removal *removal = &facts->removals[i];

		if (node_text_fits(removal->profile, NODE_REMOVAL_PROFILE_MAX) &&
		    node_text_fits(removal->uid, NODE_UID_MAX) &&
		    !node_has_uid(array, removal->uid))
			js_append(array, node_removal_encode(removal));
	}
	js_put(status, "pendingRemovals", array);
	if (js_len(array) == 0)
		json_object_object_del(status, "pendingRemovals");
}

/* The whole. */

struct json_object *node_status_make(struct json_object *object, const struct node_facts *facts,
				     int64_t now_ms)
{
	struct json_object *old = js_object(object, "status");
	struct json_object *status = old ? merge_patch_apply(NULL, old) : js_new();
	int64_t generation = js_i64(object, "metadata.generation", 1);

	if (facts->kernel_release)
		node_put_text(status, "kernelRelease", facts->kernel_release, NODE_RELEASE_MAX);
	if (facts->agent_version)
		node_put_text(status, "agentVersion", facts->agent_version, NODE_VERSION_MAX);
	if (facts->boot_id)
		node_put_text(status, "bootID", facts->boot_id, NODE_BOOT_ID_MAX);
	if (facts->features)
		node_put_features(status, facts->features);
	if (!js_array(status, "conditions"))
		js_put(status, "conditions", js_new_array());
	node_put_condition(js_array(status, "conditions"), &node_apparmor, &facts->apparmor,
			   generation, now_ms);
	node_put_condition(js_array(status, "conditions"), &node_agent, &facts->agent, generation,
			   now_ms);
	node_put_condition(js_array(status, "conditions"), &node_drift, &facts->drift, generation,
			   now_ms);
	if (facts->has_exceptions)
		node_put_exceptions(status, facts);
	node_put_removals(status, facts);
	return status;
}

struct json_object *node_status_make_owners(const char *node_name, const char *node_uid)
{
	struct json_object *owners = js_new_array(), *owner = js_new();

	js_put_str(owner, "apiVersion", "v1");
	js_put_str(owner, "kind", "Node");
	js_put_str(owner, "name", node_name);
	js_put_str(owner, "uid", node_uid);
	js_append(owners, owner);
	return owners;
}

struct json_object *node_status_new_object(const char *node_name, const char *node_uid)
{
	struct json_object *obj = js_new(), *metadata = js_new(), *labels = js_new();

	js_put_str(labels, "app.kubernetes.io/name", "hauberk");
	js_put_str(metadata, "name", node_name);
	js_put(metadata, "labels", labels);
	js_put(metadata, "ownerReferences", node_status_make_owners(node_name, node_uid));
	js_put_str(obj, "apiVersion", "hauberk.dev/v1alpha1");
	js_put_str(obj, "kind", "AppArmorNode");
	js_put(obj, "metadata", metadata);
	return obj;
}

bool node_status_is_owned_by(struct json_object *object, const char *node_uid)
{
	struct json_object *owners = js_array(object, "metadata.ownerReferences");
	size_t i;

	for (i = 0; i < js_len(owners); i++)
		if (str_equal(js_str(js_item(owners, i), "uid"), node_uid))
			return true;
	return false;
}

/* Reading. */

static void node_removal_read(struct json_object *item, struct node_removal *ret)
{
	struct json_object *revisions = js_array(item, "revisions");
	size_t i;

	ret->profile = mem_strdup(js_str(item, "profile"));
	ret->uid = mem_strdup(js_str(item, "uid"));
	ret->revisions = mem_alloc(js_len(revisions), sizeof(char *));
	for (i = 0; i < js_len(revisions) && i < NODE_REVISIONS_MAX; i++) {
		struct json_object *revision = js_item(revisions, i);

		if (json_object_is_type(revision, json_type_string))
			ret->revisions[ret->n_revisions++] =
			    mem_strdup(json_object_get_string(revision));
	}
}

size_t node_removals_read(struct json_object *object, struct node_removal **ret)
{
	struct json_object *array = js_array(object, "status.pendingRemovals");
	size_t n = 0, i;

	*ret = mem_alloc(js_len(array), sizeof(**ret));
	for (i = 0; i < js_len(array) && n < NODE_REMOVALS_MAX; i++) {
		struct json_object *item = js_item(array, i);

		if (node_text_fits(js_str(item, "profile"), NODE_REMOVAL_PROFILE_MAX) &&
		    node_text_fits(js_str(item, "uid"), NODE_UID_MAX))
			node_removal_read(item, &(*ret)[n++]);
	}
	return n;
}

void node_removals_free(struct node_removal *removals, size_t n)
{
	size_t i, j;

	for (i = 0; i < n; i++) {
		for (j = 0; j < removals[i].n_revisions; j++)
			free(removals[i].revisions[j]);
		free(removals[i].revisions);
		free(removals[i].profile);
		free(removals[i].uid);
	}
	free(removals);
}
