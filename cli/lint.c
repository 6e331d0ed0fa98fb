#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/lint_report.h"
#include "policy/compiler.h"
#include "policy/features.h"
#include "policy/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Each file is read, its profiles are compiled for each feature set, all at once on the compiler's
 * queue, and when the loop has nothing left to do the results are reported in the order of the
 * files.
 */

struct lint_set {
	const char *name;
	const char *text;
	size_t n;
	struct buf bytes; /* of a file */
};

struct lint_job {
	struct compiler_result res;
};

struct lint_file {
	const char *name; /* "-": standard input, reported as such */
	struct buf bytes;
	struct manifest manifest;
	struct lint_job *jobs; /* n_profiles times n_sets */
};

struct lint {
	const char *output, *features, *mode;
	struct compiler_options compiler_options;
	enum profile_mode bare_mode;
	struct lint_set sets[LINT_SETS_MAX];
	size_t n_sets;
	struct lint_file *files;
	size_t n_files;
	uv_loop_t loop;
	struct compiler *compiler;
	struct lint_report report;
};

static void lint_add_set(struct lint *l, const char *name, const char *text, size_t n)
{
	l->sets[l->n_sets++] = (struct lint_set){.name = name, .text = text, .n = n};
}

/* --features: a built-in set, or a file with one; without it all built-in ones. */
static int lint_choose_sets(struct lint *l, struct err *err)
{
	const struct features *f = l->features ? features_builtin(l->features) : NULL;
	struct lint_set *set = &l->sets[0];
	size_t i;

	for (i = 0; !l->features && i < LINT_SETS_MAX && (f = features_builtin_at(i)); i++)
		lint_add_set(l, f->release, f->text, f->n);
	if (!l->features)
		return 0;
	if (f) {
		lint_add_set(l, f->release, f->text, f->n);
		return 0;
	}
	set->bytes = (struct buf)BUF_INIT(FEATURES_MAX);
	if (file_read(l->features, &set->bytes, err) < 0 ||
	    features_check(buf_text(&set->bytes), set->bytes.len, err) < 0)
		return err_wrap(err, "--features takes 6.1, 6.12 or a file");
	set->name = l->features;
	set->text = buf_text(&set->bytes);
	set->n = set->bytes.len;
	l->n_sets = 1;
	return 0;
}

static void lint_on_compiled(void *data, struct compiler_result *res)
{
	struct lint_job *job = data;

	job->res = *res;
	*res = (struct compiler_result){0};
}

static void lint_start(struct lint *l, struct lint_file *file)
{
	struct manifest *m = &file->manifest;
	size_t i, s;

	file->jobs = mem_alloc(m->n_profiles * l->n_sets + 1, sizeof(*file->jobs));
	for (i = 0; i < m->n_profiles; i++) {
		struct manifest_profile *p = &m->profiles[i];

		if (!p->object)
			p->mode = l->bare_mode;
		for (s = 0; s < l->n_sets; s++) {
			const struct compiler_spec spec = {
			    .name = p->name,
			    .text = p->policy,
			    .n_text = p->n_policy,
			    .mode = p->mode,
			    .features = l->sets[s].text,
			    .n_features = l->sets[s].n,
			};

			compiler_start(l->compiler, &spec, lint_on_compiled,
				       &file->jobs[i * l->n_sets + s]);
		}
	}
}

static int lint_read(struct lint_file *file, struct err *err)
{
	bool input = strcmp(file->name, "-") == 0;
	int r;

	file->bytes = (struct buf)BUF_INIT(MANIFEST_MAX);
	r = file_read(input ? "/dev/stdin" : file->name, &file->bytes, err);
	if (input)
		file->name = "(standard input)";
	return r;
}

static int lint_read_all(struct lint *l, char **names, int n, struct err *err)
{
	int i;

	l->files = mem_alloc((size_t)n, sizeof(*l->files));
	for (i = 0; i < n; i++) {
		struct lint_file *file = &l->files[l->n_files++];

		file->name = names[i];
		if (lint_read(file, err) < 0)
			return err->code;
		manifest_parse(buf_text(&file->bytes), file->bytes.len, &file->manifest);
	}
	return 0;
}

static void lint_report_warnings(struct lint *l, const struct lint_file *file,
				 const struct manifest_profile *p,
				 const struct compiler_result *res, int set)
{
	size_t i;

	for (i = 0; i < res->n_warnings; i++) {
		size_t line = res->warnings[i].line, column = 0;
		CLEANUP(mem_freep) char *message = NULL;

		manifest_locate(p, &line, &column);
		message = p->name ? mem_printf("%s: %s", p->name, res->warnings[i].message)
				  : mem_strdup(res->warnings[i].message);
		lint_report_add(&l->report, file->name, line, column, LINT_WARNING, message, set);
	}
}

static void lint_report_result(struct lint *l, const struct lint_file *file,
			       const struct manifest_profile *p, const struct compiler_result *res,
			       int set)
{
	size_t line = res->line, column = res->column;
	CLEANUP(mem_freep) char *message = NULL;

	lint_report_warnings(l, file, p, res, set);
	if (res->verdict == COMPILER_OK)
		return;
	manifest_locate(p, &line, &column);
	/* A place within the policy that cannot be shown in the file is left in the sentence. */
	if (res->line && !p->has_lines)
		message = mem_printf("policy %s", res->message);
	else
		message = mem_strdup(manifest_without_place(res->message));
	lint_report_add(&l->report, file->name, line, column, LINT_ERROR, message, set);
}

static struct json_object *lint_result_json(const struct lint_set *set,
					    const struct compiler_result *res)
{
	struct json_object *obj = js_new();
	char hash[SHA256_HEX];

	features_hash(set->text, set->n, hash);
	js_put_str(obj, "features", set->name);
	js_put_str(obj, "featuresHash", hash);
	js_put_str(obj, "verdict", compiler_verdict_name(res->verdict));
	if (res->verdict == COMPILER_OK) {
		js_put_str(obj, "sha256", res->hash);
		js_put_i64(obj, "bytes", (int64_t)res->n_bytes);
	}
	js_put_i64(obj, "milliseconds", res->ms);
	return obj;
}

static void lint_report_profile(struct lint *l, const struct lint_file *file, size_t i)
{
	const struct manifest_profile *p = &file->manifest.profiles[i];
	const struct lint_job *jobs = &file->jobs[i * l->n_sets];
	struct json_object *obj = js_new();
	struct json_object *results = js_new_array();
	const struct policy_blob_profile *top = NULL;
	size_t s;

	for (s = 0; s < l->n_sets; s++) {
		const struct compiler_result *res = &jobs[s].res;

		lint_report_result(l, file, p, res, (int)s);
		js_append(results, lint_result_json(&l->sets[s], res));
		if (res->verdict == COMPILER_OK)
			top = policy_blob_top(&res->blob);
	}
	js_put_str(obj, "file", file->name);
	js_put_str(obj, "object", p->object);
	js_put_str(obj, "name", p->name ? p->name : top ? top->name : NULL);
	js_put_str(obj, "mode", profile_mode_name(p->mode));
	js_put(obj, "compiled", results);
	js_append(l->report.profiles, obj);
	l->report.n_profiles++;
}

static void lint_report_file(struct lint *l, const struct lint_file *file)
{
	const struct manifest *m = &file->manifest;
	size_t i;

	for (i = 0; i < m->n_problems; i++)
		lint_report_add(&l->report, file->name, m->problems[i].line, m->problems[i].column,
				LINT_ERROR, m->problems[i].message, -1);
	for (i = 0; i < m->n_profiles; i++)
		lint_report_profile(l, file, i);
	if (m->n_found == 0 && m->n_problems == 0)
		lint_report_add(&l->report, file->name, 0, 0, LINT_WARNING,
				"there is no AppArmorProfile in this file", -1);
}

static void lint_print_summary(const struct lint *l)
{
	size_t n_errors = lint_report_count(&l->report, LINT_ERROR);
	size_t n_warnings = lint_report_count(&l->report, LINT_WARNING);
	size_t i;

	printf("%zu profile%s checked for", l->report.n_profiles,
	       l->report.n_profiles == 1 ? "" : "s");
	for (i = 0; i < l->n_sets; i++)
		printf("%s %s", i ? "," : "", l->sets[i].name);
	printf(": %zu error%s, %zu warning%s\n", n_errors, n_errors == 1 ? "" : "s", n_warnings,
	       n_warnings == 1 ? "" : "s");
}

static void lint_print(const struct lint *l)
{
	CLEANUP(js_putp) struct json_object *obj = NULL;

	if (!l->output) {
		lint_report_print(&l->report);
		lint_print_summary(l);
		return;
	}
	obj = lint_report_json(&l->report);
	puts(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						     JSON_C_TO_STRING_NOSLASHESCAPE));
}

static int lint_compile(struct lint *l, struct err *err)
{
	size_t i, s;
	int r = compiler_new(&l->loop, &l->compiler_options, &l->compiler, err);

	if (r < 0)
		return r;
	for (i = 0; i < l->n_files; i++)
		lint_start(l, &l->files[i]);
	uv_run(&l->loop, UV_RUN_DEFAULT);
	for (s = 0; s < l->n_sets; s++)
		l->report.sets[l->report.n_sets++] = l->sets[s].name;
	for (i = 0; i < l->n_files; i++)
		lint_report_file(l, &l->files[i]);
	return 0;
}

static void lint_free(struct lint *l)
{
	size_t i, j;

	for (i = 0; i < l->n_files; i++) {
		struct lint_file *file = &l->files[i];

		for (j = 0; file->jobs && j < file->manifest.n_profiles * l->n_sets; j++)
			compiler_result_clear(&file->jobs[j].res);
		free(file->jobs);
		manifest_clear(&file->manifest);
		buf_clear(&file->bytes);
	}
	free(l->files);
	for (i = 0; i < l->n_sets; i++)
		buf_clear(&l->sets[i].bytes);
	compiler_free(l->compiler);
	lint_report_deinit(&l->report);
	uv_loop_close(&l->loop);
}

/* What the table of options cannot say. */
static int lint_check_options(struct lint *l, int n_args, struct err *err)
{
	if (n_args == 0)
		return err_set(err, -EINVAL, "name a file, or - for standard input; see --help");
	if (l->output && strcmp(l->output, "json") != 0)
		return err_set(err, -EINVAL, "--output takes json, not %.40s", l->output);
	if (l->mode && !profile_mode_parse(l->mode, &l->bare_mode))
		return err_set(err, -EINVAL, "--mode takes Enforce or Complain, not %.40s",
			       l->mode);
	return lint_choose_sets(l, err);
}

static int lint_run(struct lint *l, int argc, char **argv, const struct options_spec *spec)
{
	struct err err;
	int n_args, r = options_parse(spec, argc, argv, &n_args, &err);

	if (r == 1) {
		options_print_help(spec);
		return COMMAND_OK;
	}
	if (r == 0)
		r = lint_check_options(l, n_args, &err);
	if (r == 0)
		r = lint_read_all(l, argv + 1, n_args, &err);
	if (r < 0)
		return command_fail("lint", &err, COMMAND_USAGE);
	r = lint_compile(l, &err);
	if (r < 0)
		return command_fail("lint", &err, COMMAND_NO);
	lint_print(l);
	return lint_report_is_ok(&l->report) ? COMMAND_OK : COMMAND_NO;
}

int lint_main(int argc, char **argv)
{
	struct lint l = {0};
	struct compiler_options *c = &l.compiler_options;
	const struct option_def defs[] = {
	    {"features", 0, OPTION_TEXT, &l.features, 0, 0, "6.1|6.12|FILE",
	     "the kernel to compile for (default: 6.1 and 6.12)"},
	    {"mode", 0, OPTION_TEXT, &l.mode, 0, 0, "MODE",
	     "of bare AppArmor text: Enforce (default) or Complain"},
	    {"output", 'o', OPTION_TEXT, &l.output, 0, 0, "json", "for programs"},
	    {"parser", 0, OPTION_TEXT, &c->parser, 0, 0, "FILE",
	     "apparmor_parser (default: where packages put it)"},
	    {"parser-base", 0, OPTION_TEXT, &c->base_dir, 0, 0, "DIR",
	     "what includes reach (default: /etc/apparmor.d)"},
	    {"default-abi", 0, OPTION_TEXT, &c->default_abi, 0, 0, "NAME",
	     "of a text that names none (default: abi/3.0)"},
	    {"sandbox", 0, OPTION_TEXT, &c->sandbox, 0, 0, "FILE",
	     "hauberk-sandbox (default: beside this program)"},
	    {"allow-partial-sandbox", 0, OPTION_FLAG, &c->allow_partial, 0, 0, NULL,
	     "compile also where the kernel has no Landlock"},
	    {0},
	};
	const struct options_spec spec = {
	    .usage = "kubectl hauberk lint FILE... [OPTIONS]",
	    .about =
		"Check AppArmorProfile manifests (YAML or JSON), or bare AppArmor text, as the "
		"controller will: the\nsame compiler, the same sandbox, the same rules. Needs no "
		"cluster. - is standard input. Ends with\n0 where all may be applied, 1 where one "
		"may not, 2 where the command line is wrong.",
	    .defs = defs,
	};
	int code;

	uv_loop_init(&l.loop);
	lint_report_init(&l.report);
	code = lint_run(&l, argc, argv, &spec);
	lint_free(&l);
	return code;
}
