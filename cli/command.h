#pragma once

/*
 * The commands of kubectl-hauberk, one file each; the table is in main.c.
 *
 * A command is a main() of its own: argv[0] is its name, its result the exit code.
 */

#include "base/err.h"

enum command_exit {
	COMMAND_OK = 0,
	COMMAND_NO = 1,    /* it could not be done, or the answer is no */
	COMMAND_USAGE = 2, /* wrong options or arguments */
};

int lint_main(int argc, char **argv);
int nodes_main(int argc, char **argv);
int plan_main(int argc, char **argv);
int rollout_main(int argc, char **argv);
int status_main(int argc, char **argv);
int uninstall_main(int argc, char **argv);

/* Print the error on stderr, as one line with the command's name before it. Returns `code`. */
int command_fail(const char *command, const struct err *err, enum command_exit code);
