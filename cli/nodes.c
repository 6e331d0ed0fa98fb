#include "base/clock.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/leader.h"
#include "cli/nodes_view.h"

#include <stdio.h>
#include <string.h>

struct nodes_run {
	struct cluster_options where;
	struct leader_options leader;
	const char *node, *profile, *output;
};

static int nodes_ask(const struct nodes_run *run, struct json_object **ret, struct err *err)
{
	CLEANUP(cluster_closep) struct cluster *cluster = NULL;
	CLEANUP(leader_closep) struct leader *leader = NULL;
	CLEANUP(mem_freep)
	char *path = run->profile ? mem_printf("/v1/profiles/%s", run->profile)
		     : run->node  ? mem_printf("/v1/nodes/%s", run->node)
				  : mem_strdup("/v1/nodes");
	int r = cluster_open(&run->where, &cluster, err);

	if (r == 0)
		r = leader_open(cluster, &run->where, &run->leader, &leader, err);
	return r == 0 ? leader_ask(leader, path, NULL, ret, err) : r;
}

static void nodes_print(const struct nodes_run *run, struct json_object *view)
{
	int64_t now_ms = clock_wall_ms();
	CLEANUP(mem_freep) char *heading = NULL, *text = NULL, *footing = NULL;
	struct table t;

	if (run->output) {
		puts(json_object_to_json_string_ext(view, JSON_C_TO_STRING_PRETTY |
							      JSON_C_TO_STRING_NOSLASHESCAPE));
		return;
	}
	if (run->profile)
		nodes_of_profile_table(view, now_ms, &t);
	else if (run->node)
		nodes_profiles_table(view, now_ms, &t);
	else
		nodes_table(view, now_ms, &t);
	heading = run->node ? nodes_heading(view, now_ms) : NULL;
	footing = run->node ? nodes_footing(view) : NULL;
	text = table_text(&t);
	printf("%s%s%s%s", heading ? heading : "", heading ? "\n" : "", text,
	       footing ? footing : "");
	table_deinit(&t);
}

static bool nodes_is_name(const char *name)
{
	return !name ||
	       (*name && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(name));
}

static int nodes_check(struct nodes_run *run, int n_args, char **argv, struct err *err)
{
	run->node = n_args ? argv[1] : NULL;
	if (n_args > 1)
		return err_set(err, -EINVAL, "one NODE at most, not %d", n_args);
	if (run->node && run->profile)
		return err_set(err, -EINVAL, "a NODE or --profile, not both");
	if (!nodes_is_name(run->node) || !nodes_is_name(run->profile))
		return err_set(err, -EINVAL, "%.80s is not a name",
			       run->node ? run->node : run->profile);
	if (run->output && strcmp(run->output, "json") != 0)
		return err_set(err, -EINVAL, "--output takes json, not %.40s", run->output);
	return 0;
}

int nodes_main(int argc, char **argv)
{
	struct nodes_run run = {.leader = LEADER_OPTIONS_INIT};
	const struct option_def defs[] = {
	    {"profile", 'p', OPTION_TEXT, &run.profile, 0, 0, "NAME",
	     "all nodes of this AppArmorProfile"},
	    {"output", 'o', OPTION_TEXT, &run.output, 0, 0, "json", "for programs"},
	    CLUSTER_OPTIONS(run.where),
	    LEADER_OPTIONS(run.leader),
	    {0},
	};
	const struct options_spec spec = {
	    .usage = "kubectl hauberk nodes [NODE] [OPTIONS]",
	    .about =
		"All nodes, or all profiles of one, or all nodes of a profile, however many there "
		"are. The\ncontroller's leader is asked, through kubectl port-forward to its pod "
		"where --controller\nis not given.",
	    .defs = defs,
	};
	CLEANUP(js_putp) struct json_object *view = NULL;
	struct err err;
	int n_args, r = options_parse(&spec, argc, argv, &n_args, &err);

	if (r == 1) {
		options_print_help(&spec);
		return COMMAND_OK;
	}
	if (r == 0)
		r = nodes_check(&run, n_args, argv, &err);
	if (r < 0)
		return command_fail("nodes", &err, COMMAND_USAGE);
	if (nodes_ask(&run, &view, &err) < 0)
		return command_fail("nodes", &err, COMMAND_NO);
	nodes_print(&run, view);
	return COMMAND_OK;
}
