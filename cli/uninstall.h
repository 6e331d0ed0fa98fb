#pragma once

/*
 * What `kubectl hauberk uninstall` decides. Pure.
 */

#include "base/js.h"

#include <stdbool.h>

/* The merge patch that takes our finalizer off an object and leaves those of others, valid for the
 * object as it was read; NULL where it does not bear ours. The caller owns it. */
struct json_object *uninstall_patch(struct json_object *obj);

/* True for an object that came with Hauberk's manifests: it bears the label
 * app.kubernetes.io/name=hauberk. */
bool uninstall_is_ours(struct json_object *obj);

/* What keeps an object that is being deleted: the finalizers of others, joined by ", ". The caller
 * frees it; "" for none. */
char *uninstall_holders(struct json_object *obj);
