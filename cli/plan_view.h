#pragma once

/*
 * What the leader says that applying an object would do, in words. Pure.
 */

#include "base/js.h"

/* `file` is named in the difference. The caller frees it. */
char *plan_text(struct json_object *plan, const char *file);
