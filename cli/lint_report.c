#include "cli/lint_report.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const lint_severities[] = {"error", "warning"};

void lint_report_init(struct lint_report *report)
{
	*report = (struct lint_report){.profiles = js_new_array()};
}

void lint_report_deinit(struct lint_report *report)
{
	size_t i;

	for (i = 0; i < report->n; i++)
		free(report->findings[i].message);
	free(report->findings);
	json_object_put(report->profiles);
	*report = (struct lint_report){0};
}

void lint_report_add(struct lint_report *report, const char *file, size_t line, size_t column,
		     enum lint_severity severity, const char *message, int set)
{
	unsigned int sets = set < 0 ? 0 : 1U << set;
	size_t i;

	for (i = 0; i < report->n; i++) {
		struct lint_finding *f = &report->findings[i];

		if (sets && f->sets && f->file == file && f->line == line && f->column == column &&
		    f->severity == severity && strcmp(f->message, message) == 0) {
			f->sets |= sets;
			return;
		}
	}
	report->findings = mem_resize(report->findings, report->n + 1, sizeof(*report->findings));
	report->findings[report->n++] = (struct lint_finding){
	    .file = file,
	    .line = line,
	    .column = column,
	    .severity = severity,
	    .message = mem_strdup(message),
	    .sets = sets,
	};
}

size_t lint_report_count(const struct lint_report *report, enum lint_severity severity)
{
	size_t i, n = 0;

	for (i = 0; i < report->n; i++)
		n += report->findings[i].severity == severity;
	return n;
}

bool lint_report_is_ok(const struct lint_report *report)
{
	return report->n_profiles > 0 && lint_report_count(report, LINT_ERROR) == 0;
}

/* What is the same on all kernels needs no mention of them. */
static bool lint_is_everywhere(const struct lint_report *report, const struct lint_finding *f)
{
	return f->sets == 0 || f->sets == (1U << report->n_sets) - 1;
}

static void lint_print(const struct lint_report *report, const struct lint_finding *f)
{
	size_t i;

	fputs(f->file, stdout);
	if (f->line)
		printf(":%zu", f->line);
	if (f->line && f->column)
		printf(":%zu", f->column);
	printf(": %s: %s", lint_severities[f->severity], f->message);
	for (i = 0; i < report->n_sets && !lint_is_everywhere(report, f); i++)
		if (f->sets & (1U << i))
			printf(" [%s]", report->sets[i]);
	putchar('\n');
}

void lint_report_print(const struct lint_report *report)
{
	size_t i;

	for (i = 0; i < report->n; i++)
		lint_print(report, &report->findings[i]);
}

static struct json_object *lint_finding_json(const struct lint_report *report,
					     const struct lint_finding *f)
{
	struct json_object *obj = js_new();
	struct json_object *sets = js_new_array();
	size_t i;

	js_put_str(obj, "file", f->file);
	if (f->line)
		js_put_i64(obj, "line", (int64_t)f->line);
	if (f->line && f->column)
		js_put_i64(obj, "column", (int64_t)f->column);
	js_put_str(obj, "severity", lint_severities[f->severity]);
	js_put_str(obj, "message", f->message);
	for (i = 0; i < report->n_sets; i++)
		if (f->sets & (1U << i))
			js_append(sets, js_text(report->sets[i]));
	js_put(obj, "features", sets);
	return obj;
}

struct json_object *lint_report_json(const struct lint_report *report)
{
	struct json_object *obj = js_new();
	struct json_object *findings = js_new_array();
	size_t i;

	for (i = 0; i < report->n; i++)
		js_append(findings, lint_finding_json(report, &report->findings[i]));
	js_put_bool(obj, "ok", lint_report_is_ok(report));
	js_put(obj, "profiles", json_object_get(report->profiles));
	js_put(obj, "findings", findings);
	return obj;
}
