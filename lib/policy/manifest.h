#pragma once

/*
 * The files that lint reads: YAML or JSON manifests, with AppArmorProfile objects among others, or
 * bare AppArmor text. Pure.
 *
 * A manifest is checked as the schema in crds/ checks it, so that what lint accepts the API server
 * accepts.
 */

#include "api/profile.h"
#include "base/js.h"

#include <stdbool.h>
#include <stddef.h>

enum { MANIFEST_MAX = 8 << 20, MANIFEST_PROBLEMS_MAX = 256 };

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
	size_t line, column; /* where the policy begins in the file */
	/* True where line N of the policy is line policy_line + N - 1 of the file, policy_indent
	 * bytes further right. Else the policy is a quoted or folded scalar, and its lines are not
	 * the file's. */
	bool has_lines;
	size_t policy_line, policy_indent;
};

struct manifest {
	struct manifest_profile *profiles; /* those that are worth compiling */
	size_t n_profiles;
	struct manifest_problem *problems;
	size_t n_problems;
	size_t n_found; /* AppArmorProfile objects, or 1 for bare text */
	size_t n_other; /* objects of other kinds, which were passed over */
};

/* Read a file's bytes, at most MANIFEST_MAX. What is wrong with them becomes a problem, never a
 * failure, so that one run tells all. */
void manifest_parse(const char *bytes, size_t n, struct manifest *ret);

/* Is an object in a file an AppArmorProfile of ours, be it a good one or not? Another project's
 * kind of the same name is not. */
bool manifest_is_profile(struct json_object *obj);

/* Where a line and column of a profile's policy are in its file. A column of 0 stays 0. */
void manifest_locate(const struct manifest_profile *p, size_t *line, size_t *column);

/* A message without the "line 3, column 5: " that it may begin with, for which the caller has a
 * better place. */
const char *manifest_without_place(const char *message);

void manifest_clear(struct manifest *m);
