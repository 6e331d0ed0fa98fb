#include "api/profile.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static const char *const profile_modes[] = {"Enforce", "Complain"};

const char *profile_mode_name(enum profile_mode mode)
{
	return profile_modes[mode];
}

bool profile_mode_parse(const char *word, enum profile_mode *ret)
{
	int i;

	for (i = PROFILE_ENFORCE; i <= PROFILE_COMPLAIN; i++) {
		if (word && strcmp(word, profile_modes[i]) == 0) {
			*ret = (enum profile_mode)i;
			return true;
		}
	}
	return false;
}

static bool profile_lists_finalizer(struct json_object *obj)
{
	struct json_object *list = js_array(obj, "metadata.finalizers");
	size_t i;

	for (i = 0; i < js_len(list); i++) {
		struct json_object *item = js_item(list, i);

		if (json_object_is_type(item, json_type_string) &&
		    strcmp(json_object_get_string(item), PROFILE_FINALIZER) == 0)
			return true;
	}
	return false;
}

static void profile_parse_metadata(struct json_object *obj, struct profile *p)
{
	struct json_object *annotations = js_object(obj, "metadata.annotations");
	struct json_object *adopt = js_get(annotations, PROFILE_ADOPT_ANNOTATION);

	p->object = mem_strdup(js_str(obj, "metadata.name"));
	p->uid = mem_strdup(js_str(obj, "metadata.uid"));
	p->resource_version = mem_strdup(js_str(obj, "metadata.resourceVersion"));
	p->generation = js_i64(obj, "metadata.generation", 0);
	clock_parse(js_str(obj, "metadata.creationTimestamp"), &p->created_ms);
	p->deleting = js_str(obj, "metadata.deletionTimestamp") != NULL;
	p->has_finalizer = profile_lists_finalizer(obj);
	p->adopt = json_object_is_type(adopt, json_type_string) &&
		   strcmp(json_object_get_string(adopt), "true") == 0;
	rollout_wish_parse(annotations, &p->wish);
}

static int profile_parse_spec(struct json_object *obj, struct profile *p, struct err *err)
{
	struct json_object *policy = js_at(obj, "spec.policy");
	const char *name = js_str(obj, "spec.profileName");
	const char *mode = js_str(obj, "spec.mode");
	const char *state = js_str(obj, "spec.state");

	if (!json_object_is_type(policy, json_type_string))
		return err_set(err, -EINVAL, "spec.policy is missing");
	p->n_policy = (size_t)json_object_get_string_len(policy);
	p->policy = mem_strndup(json_object_get_string(policy), p->n_policy);
	p->name = mem_strdup(name ? name : p->object);
	if (mode && !profile_mode_parse(mode, &p->mode))
		return err_set(err, -EINVAL, "spec.mode \"%.40s\" is not known", mode);
	if (state && strcmp(state, "Enabled") != 0 && strcmp(state, "Disabled") != 0)
		return err_set(err, -EINVAL, "spec.state \"%.40s\" is not known", state);
	p->enabled = !str_equal(state, "Disabled");
	p->history_limit = js_i64(obj, "spec.revisionHistoryLimit", 10);
	p->has_rollout = js_at(obj, "spec.rollout") != NULL;
	if (rollout_spec_parse(js_at(obj, "spec.rollout"), &p->rollout, err) < 0)
		return err->code;
	return selector_parse(js_object(obj, "spec.nodeSelector"), &p->nodes, err);
}

int profile_parse(struct json_object *obj, struct profile *ret, struct err *err)
{
	struct profile p = {0};
	int r;

	profile_parse_metadata(obj, &p);
	if (!p.object || !p.uid || !p.resource_version)
		r = err_set(err, -EINVAL, "the object has no name, uid or resourceVersion");
	else
		r = profile_parse_spec(obj, &p, err);
	if (r < 0) {
		profile_clear(&p);
		return r;
	}
	*ret = p;
	return 0;
}

void profile_clear(struct profile *p)
{
	free(p->object);
	free(p->uid);
	free(p->resource_version);
	free(p->name);
	free(p->policy);
	selector_clear(&p->nodes);
	rollout_wish_clear(&p->wish);
	*p = (struct profile){0};
}
