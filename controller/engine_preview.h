#pragma once

/*
 * What applying an AppArmorProfile would do, told without doing it.
 */

#include "controller/engine.h"

/* A manifest as a user wrote it, read as the object that it would become: an object of that name
 * lends it its uid. -EINVAL with a sentence where the API server or the compiler could never take
 * it. The caller clears *ret. */
int engine_preview_parse(struct engine *engine, struct json_object *manifest, struct profile *ret,
			 struct err *err);

/* {name, profileName, exists, revision: {now?, then}, mode: {now?, then}, text: {now?, then},
 * underWay?, problem?, desired, atOnce, paused, steps: [{nodes, soakSeconds}], orderKnown,
 * nodes: [{name, zone?, holds?, action, step?, reason?}]}.
 *
 * `action` is update, install, remove, none (it holds that revision) or wait (`reason` says why it
 * cannot be told now). Those to update or install come first, in the order in which they would be
 * told, `step` from 1, the last for those after all steps; with `orderKnown` false, for an object
 * that is still to be made, the steps' nodes depend on its uid. The caller owns the answer. */
struct json_object *engine_plan_preview(struct engine *engine, const struct profile *p,
					int64_t now_ms);
