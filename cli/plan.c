#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/leader.h"
#include "cli/plan_read.h"
#include "cli/plan_view.h"
#include "policy/manifest.h"

#include <stdio.h>
#include <string.h>

/*
 * Each AppArmorProfile of the file is sent to the leader, which says what applying it would do.
 */

struct plan_run {
	struct cluster_options where;
	struct leader_options leader;
	const char *file, *output;
	struct json_object *objects; /* AppArmorProfiles, in order */
	struct json_object *plans;
};

static int plan_read_file(struct plan_run *run, struct err *err)
{
	struct buf bytes = BUF_INIT(MANIFEST_MAX);
	bool input = str_equal(run->file, "-");
	const char *path = input ? "/dev/stdin" : run->file;
	int r;

	run->file = input ? "(standard input)" : run->file;
	r = file_read(path, &bytes, err);
	if (r == 0)
		r = plan_read(run->file, buf_text(&bytes), bytes.len, &run->objects, err);
	buf_clear(&bytes);
	return r;
}

static int plan_ask(struct plan_run *run, struct err *err)
{
	CLEANUP(cluster_closep) struct cluster *cluster = NULL;
	CLEANUP(leader_closep) struct leader *leader = NULL;
	int r = cluster_open(&run->where, &cluster, err);
	size_t i;

	if (r == 0)
		r = leader_open(cluster, &run->where, &run->leader, &leader, err);
	for (i = 0; i < js_len(run->objects) && r == 0; i++) {
		struct json_object *plan = NULL;

		r = leader_ask(leader, "/v1/plan", js_item(run->objects, i), &plan, err);
		if (r == 0)
			js_append(run->plans, plan);
	}
	return r;
}

static void plan_print(const struct plan_run *run)
{
	size_t i;

	if (run->output) {
		puts(json_object_to_json_string_ext(
		    run->plans, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
		return;
	}
	for (i = 0; i < js_len(run->plans); i++) {
		CLEANUP(mem_freep) char *text = plan_text(js_item(run->plans, i), run->file);

		printf("%s%s", i > 0 ? "\n" : "", text);
	}
}

static int plan_all(struct plan_run *run)
{
	struct err err;
	int r = plan_read_file(run, &err);

	if (r == 0)
		r = plan_ask(run, &err);
	if (r < 0)
		return command_fail("plan", &err, COMMAND_NO);
	plan_print(run);
	return COMMAND_OK;
}

int plan_main(int argc, char **argv)
{
	struct plan_run run = {.leader = LEADER_OPTIONS_INIT};
	const struct option_def defs[] = {
	    {"filename", 'f', OPTION_TEXT, &run.file, 0, 0, "FILE",
	     "manifests with AppArmorProfiles; - reads standard input"},
	    {"output", 'o', OPTION_TEXT, &run.output, 0, 0, "json", "for programs"},
	    CLUSTER_OPTIONS(run.where),
	    LEADER_OPTIONS(run.leader),
	    {0},
	};
	const struct options_spec spec = {
	    .usage = "kubectl hauberk plan -f FILE [OPTIONS]",
	    .about = "What applying the file would do, changing nothing: the difference in the "
		     "policy, and "
		     "which\nnodes would be told of it, in which order and step. `kubectl hauberk "
		     "lint` says "
		     "whether the\ntext compiles.",
	    .defs = defs,
	};
	struct err err;
	int n_args, r = options_parse(&spec, argc, argv, &n_args, &err);

	if (r == 1) {
		options_print_help(&spec);
		return COMMAND_OK;
	}
	if (r == 0 && (n_args > 0 || !run.file))
		r = err_set(&err, -EINVAL, "a file is named with -f FILE");
	if (r == 0 && run.output && strcmp(run.output, "json") != 0)
		r = err_set(&err, -EINVAL, "--output takes json, not %.40s", run.output);
	if (r < 0)
		return command_fail("plan", &err, COMMAND_USAGE);
	run.plans = js_new_array();
	r = plan_all(&run);
	json_object_put(run.objects);
	json_object_put(run.plans);
	return r;
}
