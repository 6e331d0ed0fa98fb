#pragma once

/*
 * Command line options from a table; --help is made from the same table.
 *
 * --name=value and --name value both work, and single-letter options as -o value. Options and
 * arguments may be mixed; "--" ends the options.
 */

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum option_kind {
	OPTION_TEXT, /* target: const char ** */
	OPTION_I64,  /* target: int64_t *, between min and max */
	OPTION_FLAG, /* target: bool *, set to true */
};

struct option_def {
	const char *name; /* without dashes; NULL ends the table */
	char letter;      /* 0: none */
	enum option_kind kind;
	void *target;
	int64_t min, max;
	const char *arg; /* its word in --help, such as "FILE" */
	const char *help;
};

struct options_spec {
	const char *usage; /* "hauberk-agent [OPTIONS]" */
	const char *about; /* a paragraph or more, lines already broken */
	const struct option_def *defs;
};

/* Read argv into the targets. What is no option is moved to the front of argv[1..], and *ret_n_args
 * says how many there are. -EINVAL with a sentence that names the option for anything wrong; 1 when
 * help was asked for (--help, -h) and the caller should print it and end with 0. */
int options_parse(const struct options_spec *spec, int argc, char **argv, int *ret_n_args,
		  struct err *err);

void options_print_help(const struct options_spec *spec);
