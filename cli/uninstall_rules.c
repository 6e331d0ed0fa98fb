#include "cli/uninstall.h"

#include "api/profile.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

struct json_object *uninstall_patch(struct json_object *obj)
{
	struct json_object *all = js_array(obj, "metadata.finalizers");
	struct json_object *others = js_new_array(), *meta, *patch;
	bool found = false;
	size_t i;

	for (i = 0; i < js_len(all); i++) {
		const char *word = json_object_get_string(js_item(all, i));

		if (str_equal(word, PROFILE_FINALIZER))
			found = true;
		else
			js_append(others, js_text(word));
	}
	if (!found) {
		json_object_put(others);
		return NULL;
	}
	meta = js_new();
	js_put(meta, "finalizers", others);
	js_put_str(meta, "resourceVersion", js_str(obj, "metadata.resourceVersion"));
	patch = js_new();
	js_put(patch, "metadata", meta);
	return patch;
}

bool uninstall_is_ours(struct json_object *obj)
{
	struct json_object *label =
	    js_get(js_object(obj, "metadata.labels"), "app.kubernetes.io/name");

	return str_equal(json_object_get_string(label), "hauberk");
}

char *uninstall_holders(struct json_object *obj)
{
	struct json_object *all = js_array(obj, "metadata.finalizers");
	struct buf out = BUF_INIT(1024);
	size_t i;

	for (i = 0; i < js_len(all); i++) {
		const char *word = json_object_get_string(js_item(all, i));

		if (!str_equal(word, PROFILE_FINALIZER))
			buf_addf(&out, "%s%s", out.len ? ", " : "", word ? word : "null");
	}
	return buf_steal(&out);
}
