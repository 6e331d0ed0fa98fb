#pragma once

/*
 * What came of a run of the parser: from exit code, signal and output to a result. Pure.
 */

#include "base/proc.h"
#include "policy/compiler.h"

struct compiler_judge_input {
	const struct proc_result *proc;
	const char *name; /* that the profile must have; NULL: any allowed one */
	const char *text; /* NUL-terminated */
	enum profile_mode mode;
	const char *base_dir;
	const char *sandbox; /* the launcher's path, for a message */
};

/* Fill in `ret`, which is zeroed. Takes the memory of the run's output when the verdict is
 * COMPILER_OK. */
void compiler_judge(const struct compiler_judge_input *in, struct compiler_result *ret);

/* The same for the first run, `--version` with the launcher told to say what holds. The caller
 * frees *ret_confinement. */
int compiler_judge_probe(const struct proc_result *proc, const char *sandbox, char ret_version[32],
			 char **ret_confinement, struct err *err);
