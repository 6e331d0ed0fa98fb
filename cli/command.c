#include "cli/command.h"

#include <stdio.h>

int command_fail(const char *command, const struct err *err, enum command_exit code)
{
	fflush(stdout);
	fprintf(stderr, "kubectl hauberk %s: %s\n", command, err->msg);
	return (int)code;
}
