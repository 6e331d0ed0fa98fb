#pragma once

/*
 * What `kubectl hauberk lint` found, and how it is printed. Pure but for the printing.
 */

#include "base/js.h"

#include <stdbool.h>
#include <stddef.h>

enum { LINT_SETS_MAX = 8 };

enum lint_severity { LINT_ERROR, LINT_WARNING };

struct lint_finding {
	const char *file; /* borrowed */
	size_t line, column;
	enum lint_severity severity;
	char *message;
	unsigned int sets; /* bit i: seen with feature set i; 0: whatever the kernel */
};

struct lint_report {
	const char *sets[LINT_SETS_MAX]; /* their names, borrowed */
	size_t n_sets;
	struct lint_finding *findings;
	size_t n;
	struct json_object *profiles; /* what was compiled: an array for programs */
	size_t n_profiles;
};

void lint_report_init(struct lint_report *report);
void lint_report_deinit(struct lint_report *report);

/* One more finding; `set` is -1 where it holds whatever the kernel. The same at the same place,
 * seen with another feature set, becomes one finding. */
void lint_report_add(struct lint_report *report, const char *file, size_t line, size_t column,
		     enum lint_severity severity, const char *message, int set);

size_t lint_report_count(const struct lint_report *report, enum lint_severity severity);

/* May all be applied? Not where nothing was looked at. */
bool lint_report_is_ok(const struct lint_report *report);

/* file:line:column: error: message [6.1], as compilers print it. */
void lint_report_print(const struct lint_report *report);

/* {"ok", "profiles": [...], "findings": [...]}; the caller owns it. */
struct json_object *lint_report_json(const struct lint_report *report);
