#pragma once

/*
 * What the verbs that steer a rollout write, and whether they make sense now. Pure.
 *
 * Each is a merge patch of annotations, which name the revision that they are about and mean
 * nothing for any other; spec, which may come from Git, is left alone.
 */

#include "base/err.h"
#include "base/js.h"
#include "cli/rollout_seen.h"

#include <stdint.h>

struct rollout_order {
	struct json_object *patch; /* valid for the object as it was read */
	char *said;                /* what was done, and what follows */
};

/* One verb. -EPERM with a sentence where there is nothing to do or it cannot be done; the caller
 * clears *ret. */
struct rollout_verb {
	const char *name;
	int (*decide)(const struct rollout_seen *seen, int64_t now_ms, struct json_object *notes,
		      char **ret_said, struct err *err);
};

extern const struct rollout_verb rollout_verbs[]; /* ends with a NULL name */

int rollout_order(const struct rollout_verb *verb, struct json_object *aap, int64_t now_ms,
		  struct rollout_order *ret, struct err *err);

void rollout_order_clear(struct rollout_order *order);
