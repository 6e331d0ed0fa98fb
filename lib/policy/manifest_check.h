#pragma once

/*
 * An AppArmorProfile held against its schema, as the API server would do it. Pure.
 */

#include "base/js.h"

/* Called once for each thing that is wrong. `path` is where ("spec.mode"). */
typedef void (*manifest_check_fn)(void *data, const char *path, const char *message);

/* `doc` is an object whose kind is AppArmorProfile. Its policy text is not looked at. */
void manifest_check(struct json_object *doc, manifest_check_fn fn, void *data);
