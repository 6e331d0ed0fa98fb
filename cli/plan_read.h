#pragma once

/*
 * The AppArmorProfiles of a manifest, as `kubectl hauberk plan` sends them to the leader. Pure.
 */

#include "base/err.h"
#include "base/js.h"

#include <stddef.h>

/* `name` is the file's, for sentences: -EINVAL for what is no manifest, breaks a rule of the schema
 * or holds no AppArmorProfile of ours. *ret is an array in the file's order, the caller's. */
int plan_read(const char *name, const char *bytes, size_t n, struct json_object **ret,
	      struct err *err);
