#include "cli/command.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

struct main_command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};

static const struct main_command main_commands[] = {
    {"lint", "check profiles as the controller will, without a cluster", lint_main},
    {"nodes", "all nodes, or all that one node holds, however many", nodes_main},
    {"plan", "what applying a file would do, without doing it", plan_main},
    {"rollout", "follow, pause, promote, abort or undo a rollout", rollout_main},
    {"status", "what each node holds of each profile, and why", status_main},
    {"uninstall", "take Hauberk out of the cluster and unload nothing", uninstall_main},
    {0},
};

static void main_help(FILE *out)
{
	const struct main_command *c;

	fputs("kubectl hauberk COMMAND [OPTIONS]\n\ncommands:\n", out);
	for (c = main_commands; c->name; c++)
		fprintf(out, "  %-12s%s\n", c->name, c->summary);
	fputs("\n`kubectl hauberk COMMAND --help` says more; --version prints the version.\n", out);
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "--help";
	const struct main_command *c;

	signal(SIGPIPE, SIG_IGN);
	if (strcmp(word, "--version") == 0) {
		puts(HAUBERK_VERSION);
		return COMMAND_OK;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
		main_help(stdout);
		return argc > 1 ? COMMAND_OK : COMMAND_USAGE;
	}
	for (c = main_commands; c->name; c++)
		if (strcmp(word, c->name) == 0)
			return c->run(argc - 1, argv + 1);
	fprintf(stderr, "kubectl hauberk: there is no command %.40s\n\n", word);
	main_help(stderr);
	return COMMAND_USAGE;
}
