#pragma once

/*
 * The files that lint reads: YAML or JSON manifests, with AppArmorProfile objects among others, or
 * bare AppArmor text. Pure.
 *
 * A manifest is checked as the schema in crds/ checks it, so that what lint accepts the API server
 * accepts.
 */

#include "api/profile.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { MANIFEST_MAX = 8 << 20 };

/* One thing that is wrong, with its place in the file, from 1; 0: not known. */
struct manifest_problem {
	size_t line, column;
	char *message;
};

/* One policy to compile. */
struct manifest_profile {
	char *object; /* metadata.name; NULL for bare text */
	char *name;   /* the effective name; NULL for bare text: whatever it defines */
	char *policy;
	size_t n_policy;
	enum profile_mode mode;
	size_t line; /* of the document; 1 for bare text */
	/* Where the policy's first line is in the file, and by how much it is indented there; 0 and
	 * 0 where the policy is no literal block scalar, so that lines cannot be told. */
	size_t policy_line, policy_indent;
};

struct manifest {
	struct manifest_profile *profiles;
	size_t n_profiles;
	struct manifest_problem *problems;
	size_t n_problems;
	size_t n_other; /* documents of other kinds, which were passed over */
};

/* Read a file's bytes. What is wrong with them becomes a problem, never a failure, so that one run
 * tells all. */
void manifest_parse(const char *bytes, size_t n, struct manifest *ret);

void manifest_clear(struct manifest *m);
