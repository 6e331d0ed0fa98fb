#include "cli/status.h"

#include "api/profile.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/str.h"
#include "cli/cluster.h"
#include "cli/command.h"
#include "cli/profile_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct status_run {
	const char *output; /* NULL: a table */
	struct table table;
	struct json_object *array;
	size_t n, n_ready;
};

static int status_take(void *data, struct json_object *aap, struct err *err)
{
	struct status_run *run = data;
	struct status_view view;

	(void)err;
	status_view(aap, &view);
	run->n++;
	run->n_ready += view.ready;
	free(view.message);
	status_table_add(&run->table, aap);
	js_append(run->array, status_json(aap));
	return 0;
}

static int status_all(struct status_run *run, struct cluster *cluster, struct err *err)
{
	enum kube_outcome outcome;
	int r = cluster_each(cluster, PROFILE_PATH, NULL, status_take, run, &outcome, err);

	if (r == 0 && outcome == KUBE_NOT_FOUND)
		return err_set(err, -ENOENT,
			       "%s knows no AppArmorProfile: Hauberk is not installed there "
			       "(kubectl apply -k crds, then -k config/default)",
			       cluster_server(cluster));
	return r;
}

static int status_one(struct status_run *run, struct cluster *cluster, const char *name,
		      struct err *err)
{
	CLEANUP(js_putp) struct json_object *aap = NULL;
	int r = profile_read(cluster, name, &aap, err);

	return r == 0 ? status_take(run, aap, err) : r;
}

static void status_print(const struct status_run *run)
{
	CLEANUP(mem_freep) char *text = NULL;

	if (run->output) {
		puts(json_object_to_json_string_ext(
		    run->array, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
		return;
	}
	if (run->n == 0) {
		puts("There is no AppArmorProfile in this cluster.");
		return;
	}
	text = table_text(&run->table);
	fputs(text, stdout);
}

static int status_ask(struct status_run *run, const struct cluster_options *options,
		      const char *name, struct err *err)
{
	CLEANUP(cluster_closep) struct cluster *cluster = NULL;
	int r = cluster_open(options, &cluster, err);

	if (r == 0)
		r = name ? status_one(run, cluster, name, err) : status_all(run, cluster, err);
	return r;
}

int status_main(int argc, char **argv)
{
	struct cluster_options where = {0};
	struct status_run run = {0};
	const struct option_def defs[] = {
	    {"output", 'o', OPTION_TEXT, &run.output, 0, 0, "json", "for programs"},
	    CLUSTER_OPTIONS(where),
	    {0},
	};
	const struct options_spec spec = {
	    .usage = "kubectl hauberk status [NAME] [OPTIONS]",
	    .about =
		"What each node's kernel holds of each AppArmorProfile, or of the one named, and "
		"why where it\nis not what was asked for. Ends with 0 where all are Ready, with "
		"1 where one is not.",
	    .defs = defs,
	};
	struct err err;
	int n_args, r = options_parse(&spec, argc, argv, &n_args, &err);

	if (r == 1) {
		options_print_help(&spec);
		return 0;
	}
	if (r == 0 && n_args > 1)
		r = err_set(&err, -EINVAL, "one NAME at most, not %d", n_args);
	if (r == 0 && run.output && strcmp(run.output, "json") != 0)
		r = err_set(&err, -EINVAL, "--output takes json, not %.40s", run.output);
	if (r)
		return command_fail("status", &err, COMMAND_USAGE);
	status_table_init(&run.table);
	run.array = js_new_array();
	r = status_ask(&run, &where, n_args ? argv[1] : NULL, &err);
	if (r == 0)
		status_print(&run);
	table_deinit(&run.table);
	json_object_put(run.array);
	if (r)
		return command_fail("status", &err, COMMAND_NO);
	return run.n_ready == run.n ? COMMAND_OK : COMMAND_NO;
}
