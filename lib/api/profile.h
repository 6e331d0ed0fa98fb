#pragma once

/*
 * AppArmorProfile (hauberk.dev/v1alpha1) as the API server sends it. crds/ holds the schema, which
 * the API server has enforced before anything comes here; what is read here is read with care all
 * the same, for a schema can be replaced.
 */

#include "api/rollout_spec.h"
#include "api/selector.h"
#include "base/err.h"
#include "base/js.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROFILE_GROUP_VERSION "hauberk.dev/v1alpha1"
#define PROFILE_PATH "/apis/hauberk.dev/v1alpha1/apparmorprofiles"
#define PROFILE_FINALIZER "hauberk.dev/profile"
#define PROFILE_ADOPT_ANNOTATION                                        \
	"hauberk.dev/adopt" /* "true": take over a profile of this name \
			     */

enum { PROFILE_REVISION_SIZE = 13 }; /* 12 hexadecimal digits and the NUL */

enum profile_mode { PROFILE_ENFORCE, PROFILE_COMPLAIN };

struct profile {
	char *object; /* metadata.name */
	char *uid;
	char *resource_version;
	int64_t generation;
	int64_t created_ms;
	bool deleting;
	bool has_finalizer;
	bool adopt;

	char *name; /* the effective name: spec.profileName, or metadata.name */
	char *policy;
	size_t n_policy; /* a NUL in it is an error that policy/text reports, so it has a length */
	enum profile_mode mode;
	bool enabled;
	struct selector nodes;
	int64_t history_limit;

	bool has_rollout;            /* the user gave spec.rollout, if an empty one */
	struct rollout_spec rollout; /* the defaults where not */
	struct rollout_wish wish;
};

/* -EINVAL with a sentence where a field that the schema requires is absent or of another type. */
int profile_parse(struct json_object *obj, struct profile *ret, struct err *err);

void profile_clear(struct profile *p);

const char *profile_mode_name(enum profile_mode mode); /* "Enforce", "Complain" */
bool profile_mode_parse(const char *word, enum profile_mode *ret);
