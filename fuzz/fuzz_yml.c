/* Manifests that a user gives to lint: whatever YAML is taken has to come back as the same JSON. */

#include "base/str.h"
#include "base/yml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int on_document(void *data, struct json_object *doc, size_t line, struct err *err)
{
	struct json_object *again = NULL;
	size_t n;
	const char *text = js_print(doc, &n);

	(void)data;
	if (line == 0 || js_parse(text, n, &again, err))
		abort();
	json_object_put(again);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct err err = {0};

	if (!str_is_utf8((const char *)data, n))
		return 0;
	if (yml_parse((const char *)data, n, on_document, NULL, &err) && !err.msg[0])
		abort();
	return 0;
}
