/* JSON from agents and from the API server: what is taken is printed and taken again. */

#include "base/js.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void look_around(struct json_object *obj)
{
	js_str(obj, "metadata.name");
	js_i64(obj, "a.b", 0);
	js_bool(obj, "a", false);
	js_item(js_array(obj, "items"), 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct json_object *obj = NULL, *again = NULL;
	struct err err = {0};
	const char *text;
	size_t n_text;

	if (js_parse((const char *)data, n, &obj, &err)) {
		if (!err.msg[0])
			abort();
		return 0;
	}
	look_around(obj);
	text = js_print(obj, &n_text);
	if (strlen(text) != n_text || js_parse(text, n_text, &again, &err))
		abort();
	json_object_put(again);
	json_object_put(obj);
	return 0;
}
