#include "cli/plan_read.h"

#include "base/mem.h"
#include "base/yml.h"
#include "policy/manifest.h"

/*
 * The file is first read as lint reads it, so that what is wrong with it is told with its line;
 * then the objects are taken out of it.
 */

static int plan_take(void *data, struct json_object *doc, size_t line, struct err *err)
{
	struct json_object *objects = data, *items = js_array(doc, "items"), *object;
	size_t i;

	if (items) {
		for (i = 0; i < js_len(items); i++)
			plan_take(data, js_item(items, i), line, err);
		return 0;
	}
	if (!manifest_is_profile(doc))
		return 0;
	object = js_new();
	js_put_str(object, "apiVersion", js_str(doc, "apiVersion"));
	js_put_str(object, "kind", js_str(doc, "kind"));
	js_put(object, "metadata", js_new());
	js_put_str(js_object(object, "metadata"), "name", js_str(doc, "metadata.name"));
	js_put(object, "spec", json_object_get(js_object(doc, "spec")));
	js_append(objects, object);
	return 0;
}

static int plan_check(const char *name, const char *bytes, size_t n, struct err *err)
{
	CLEANUP(manifest_clear) struct manifest m = {0};
	int r = 0;

	manifest_parse(bytes, n, &m);
	if (m.n_problems > 0)
		r = err_set(err, -EINVAL, "%s:%zu:%zu: %.400s", name, m.problems[0].line,
			    m.problems[0].column, m.problems[0].message);
	return r;
}

int plan_read(const char *name, const char *bytes, size_t n, struct json_object **ret,
	      struct err *err)
{
	CLEANUP(js_putp) struct json_object *objects = js_new_array();
	int r = plan_check(name, bytes, n, err);

	if (r < 0)
		return r;
	/* Bare text of a profile is no YAML, in most cases. */
	if (yml_parse(bytes, n, plan_take, objects, err) < 0)
		return err_wrap(err, "%s is no manifest, and plan takes manifests only", name);
	if (js_len(objects) == 0)
		return err_set(err, -EINVAL,
			       "%s holds no AppArmorProfile: plan takes manifests that do", name);
	*ret = STEAL(objects);
	return 0;
}
