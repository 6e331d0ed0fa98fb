#pragma once

/*
 * One AppArmorProfile, by the name that a user typed.
 */

#include "cli/cluster.h"

/* -EINVAL for what can be no name, -ENOENT with a hint where there is none. The caller owns *ret.
 */
int profile_read(struct cluster *cluster, const char *name, struct json_object **ret,
		 struct err *err);

/* The same once the controller has seen the newest change, which it is given a few seconds for:
 * what its status says of a rollout is about the spec that the user sees. -EAGAIN where it does
 * not. */
int profile_read_seen(struct cluster *cluster, const char *name, struct json_object **ret,
		      struct err *err);
