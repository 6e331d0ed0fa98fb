#include "cli/rollout.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/leader.h"
#include "cli/profile_read.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rollout_run {
	const struct rollout_command *command;
	struct cluster_options where;
	struct leader_options leader;
	const char *name;
	const char *timeout, *revision, *to_revision;
	bool watch;
	int64_t timeout_ms;
};

enum {
	ROLLOUT_TAKES_WATCH = 1,
	ROLLOUT_TAKES_REVISION = 2,
	ROLLOUT_TAKES_TO = 4,
	ROLLOUT_TAKES_NAMESPACE = 8,
	ROLLOUT_TAKES_CONTROLLER = 16,
	ROLLOUT_OPTIONS_MAX = 12,
};

struct rollout_command {
	const char *name;
	const char *usage; /* behind "kubectl hauberk rollout " */
	const char *summary;
	const char *about;
	unsigned int takes; /* options beside those of all commands */
	int (*run)(struct rollout_run *run, struct cluster *cluster, struct err *err);
};

/* One line on stdout, which is what a verb has to say. */
static void rollout_say(char *said)
{
	puts(said);
	free(said);
}

static int rollout_run_verb(struct rollout_run *run, struct cluster *cluster, struct err *err)
{
	const struct rollout_verb *verb = rollout_verbs;
	char *said = NULL;
	int r;

	while (strcmp(verb->name, run->command->name) != 0)
		verb++;
	r = rollout_steer(cluster, verb, run->name, &said, err);
	if (r == 0)
		rollout_say(said);
	return r;
}

static int rollout_run_undo(struct rollout_run *run, struct cluster *cluster, struct err *err)
{
	char *said = NULL;
	int r =
	    rollout_undo(cluster, run->leader.namespace_, run->name, run->to_revision, &said, err);

	if (r == 0)
		rollout_say(said);
	return r;
}

/* Ctrl-C ends the looking on, with the cursor on a line of its own. */
static void rollout_on_interrupt(int number)
{
	ssize_t n = write(STDOUT_FILENO, "\n", 1);

	(void)n;
	_exit(128 + number);
}

static int rollout_run_status(struct rollout_run *run, struct cluster *cluster, struct err *err)
{
	const struct rollout_follow_spec spec = {
	    .name = run->name,
	    .watch = run->watch,
	    .timeout_ms = run->timeout_ms,
	    .out = stdout,
	    .terminal = isatty(STDOUT_FILENO) == 1,
	};
	CLEANUP(mem_freep) char *why = NULL;
	enum rollout_verdict verdict;
	int r;

	if (spec.terminal && spec.watch)
		signal(SIGINT, rollout_on_interrupt);
	r = rollout_follow(cluster, &spec, &verdict, &why, err);
	if (r < 0)
		return r;
	if (verdict == ROLLOUT_FAILED)
		return err_set(err, -EPROTO, "%s: the rollout has failed: %s", run->name, why);
	if (verdict == ROLLOUT_COMPLETE)
		printf("%s: the rollout is complete: %s\n", run->name, why);
	return 0;
}

/* Nodes as status lists them, where it lists all; else the leader knows. NULL: nobody does. */
static struct json_object *rollout_nodes(struct rollout_run *run, struct cluster *cluster,
					 struct json_object *aap, const char **ret_key)
{
	CLEANUP(leader_closep) struct leader *leader = NULL;
	CLEANUP(js_putp) struct json_object *view = NULL;
	CLEANUP(mem_freep) char *path = mem_printf("/v1/profiles/%s", run->name);
	struct err err;
	int r;

	*ret_key = "revision";
	if (js_i64(aap, "status.nodesOmitted", 0) == 0)
		return json_object_get(js_array(aap, "status.nodes"));
	*ret_key = "holds";
	r = leader_open(cluster, &run->where, &run->leader, &leader, &err);
	if (r == 0)
		r = leader_ask(leader, path, NULL, &view, &err);
	if (r < 0)
		fprintf(stderr, "How many nodes hold each is not known: %s\n", err.msg);
	return json_object_get(js_array(view, "nodes"));
}

static int rollout_print_revision(const struct revisions *all, const char *word, struct err *err)
{
	const struct revision_seen *rev;
	char age[16];
	int r = revisions_find(all, word, &rev, err);

	if (r < 0)
		return r;
	revision_age(clock_wall_ms() - rev->created_ms, age);
	printf("revision %" PRId64 " (%s), %s, first recorded %s ago\n\n%s", rev->number, rev->id,
	       rev->mode, age, rev->policy);
	return 0;
}

static int rollout_run_history(struct rollout_run *run, struct cluster *cluster, struct err *err)
{
	CLEANUP(js_putp) struct json_object *aap = NULL, *nodes = NULL;
	CLEANUP(revisions_clear) struct revisions all = {0};
	CLEANUP(mem_freep) char *text = NULL;
	struct table table;
	const char *key;
	int r = profile_read(cluster, run->name, &aap, err);

	if (r == 0)
		r = rollout_revisions(cluster, run->leader.namespace_, aap, &all, err);
	if (r < 0)
		return r;
	if (run->revision)
		return rollout_print_revision(&all, run->revision, err);
	if (all.n == 0) {
		printf("%s: no revision has been accepted yet.\n", run->name);
		return 0;
	}
	nodes = rollout_nodes(run, cluster, aap, &key);
	revisions_table(&all, aap, nodes, key, clock_wall_ms(), &table);
	text = table_text(&table);
	fputs(text, stdout);
	table_deinit(&table);
	return 0;
}

static const struct rollout_command rollout_commands[] = {
    {"status", "status NAME [-w] [--timeout TIME]", "how far the rollout is, or until it is over",
     "How far the rollout is; with -w until it is over, on a terminal as a bar. Ends with 0 where "
     "it is\ncomplete or goes on, with 1 where it has failed: rolled back, stopped at maxFailed, "
     "past its\nprogress deadline, refused, or in conflict about its name. A pause is waited out.",
     ROLLOUT_TAKES_WATCH, rollout_run_status},
    {"history", "history NAME [--revision N]", "the revisions that are kept",
     "The revisions that are kept, and how many nodes hold each; with --revision one of them.",
     ROLLOUT_TAKES_REVISION | ROLLOUT_TAKES_NAMESPACE | ROLLOUT_TAKES_CONTROLLER,
     rollout_run_history},
    {"undo", "undo NAME [--to-revision N]", "edit spec back to a former revision",
     "Edits spec.policy and spec.mode back to the revision before, or to the one given. A Git\n"
     "repository that applies the object will undo that: change it there as well.",
     ROLLOUT_TAKES_TO | ROLLOUT_TAKES_NAMESPACE, rollout_run_undo},
    {"pause", "pause NAME", "tell no further node",
     "No further node is told of the revision that is being rolled out, until resume. The next\n"
     "revision is not concerned. An annotation does it: spec is not touched.",
     0, rollout_run_verb},
    {"resume", "resume NAME", "go on after a pause",
     "Goes on after pause, and in spite of spec.rollout.paused for this revision.", 0,
     rollout_run_verb},
    {"promote", "promote NAME", "end the wait at a step",
     "Ends the wait at the step that is filled.", 0, rollout_run_verb},
    {"abort", "abort NAME", "take all nodes back to the last complete revision",
     "Takes every node that was told of the revision back to the last complete one. It is not "
     "tried\nagain until spec changes or somebody says restart.",
     0, rollout_run_verb},
    {"restart", "restart NAME", "start the rollout over",
     "Starts the rollout over, from its first step: after abort, a roll-back or a stop for "
     "failures.",
     0, rollout_run_verb},
    {0},
};

static void rollout_help(FILE *out)
{
	const struct rollout_command *c;

	fputs("kubectl hauberk rollout COMMAND NAME [OPTIONS]\n\nHow a new revision of an "
	      "AppArmorProfile reaches the nodes.\n\ncommands:\n",
	      out);
	for (c = rollout_commands; c->name; c++)
		fprintf(out, "  %-10s%s\n", c->name, c->summary);
	fputs("\n`kubectl hauberk rollout COMMAND --help` says more.\n", out);
}

static int rollout_check(struct rollout_run *run, int n_args, char **argv, struct err *err)
{
	if (n_args != 1)
		return err_set(err, -EINVAL, "one NAME of an AppArmorProfile, not %d", n_args);
	run->name = argv[1];
	if (run->timeout && !rollout_duration(run->timeout, &run->timeout_ms))
		return err_set(err, -EINVAL, "--timeout takes a time such as 90s or 5m, not %.40s",
			       run->timeout);
	return 0;
}

static int rollout_ask(struct rollout_run *run, struct err *err)
{
	CLEANUP(cluster_closep) struct cluster *cluster = NULL;
	int r = cluster_open(&run->where, &cluster, err);

	return r == 0 ? run->command->run(run, cluster, err) : r;
}

/* The options that this command takes, ended. */
static void rollout_options(struct rollout_run *run, struct option_def *defs)
{
	const struct option_def of_all[] = {CLUSTER_OPTIONS(run->where)};
	const struct option_def leader[] = {LEADER_OPTIONS(run->leader)};
	const struct option_def own[] = {
	    {"watch", 'w', OPTION_FLAG, &run->watch, 0, 0, NULL, "until the rollout is over"},
	    {"timeout", 0, OPTION_TEXT, &run->timeout, 0, 0, "TIME",
	     "with -w: give up after, such as 5m"},
	    {"revision", 0, OPTION_TEXT, &run->revision, 0, 0, "N", "its text: a number, or an id"},
	    {"to-revision", 0, OPTION_TEXT, &run->to_revision, 0, 0, "N",
	     "a number, or an id, of history"},
	    leader[1],
	    leader[0],
	};
	static const unsigned int takes[] = {ROLLOUT_TAKES_WATCH,     ROLLOUT_TAKES_WATCH,
					     ROLLOUT_TAKES_REVISION,  ROLLOUT_TAKES_TO,
					     ROLLOUT_TAKES_NAMESPACE, ROLLOUT_TAKES_CONTROLLER};
	size_t n = 0, i;

	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (run->command->takes & takes[i])
			defs[n++] = own[i];
	for (i = 0; i < sizeof(of_all) / sizeof(of_all[0]); i++)
		defs[n++] = of_all[i];
	defs[n] = (struct option_def){0};
}

static int rollout_run_command(const struct rollout_command *command, int argc, char **argv)
{
	struct rollout_run run = {.command = command, .leader = LEADER_OPTIONS_INIT};
	struct option_def defs[ROLLOUT_OPTIONS_MAX];
	CLEANUP(mem_freep) char *usage = mem_printf("kubectl hauberk rollout %s", command->usage);
	CLEANUP(mem_freep) char *what = mem_printf("rollout %s", command->name);
	const struct options_spec spec = {.usage = usage, .about = command->about, .defs = defs};
	struct err err;
	int n_args, r;

	rollout_options(&run, defs);
	r = options_parse(&spec, argc, argv, &n_args, &err);
	if (r == 1) {
		options_print_help(&spec);
		return COMMAND_OK;
	}
	if (r == 0)
		r = rollout_check(&run, n_args, argv, &err);
	if (r < 0)
		return command_fail(what, &err, COMMAND_USAGE);
	return rollout_ask(&run, &err) < 0 ? command_fail(what, &err, COMMAND_NO) : COMMAND_OK;
}

int rollout_main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "--help";
	const struct rollout_command *c;

	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		rollout_help(stdout);
		return argc > 1 ? COMMAND_OK : COMMAND_USAGE;
	}
	for (c = rollout_commands; c->name; c++)
		if (strcmp(word, c->name) == 0)
			return rollout_run_command(c, argc - 1, argv + 1);
	fprintf(stderr, "kubectl hauberk rollout: there is no command %.40s\n\n", word);
	rollout_help(stderr);
	return COMMAND_USAGE;
}
