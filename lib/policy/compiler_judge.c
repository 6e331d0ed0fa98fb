#include "policy/compiler_judge.h"

#include "base/mem.h"
#include "base/str.h"
#include "policy/sandbox.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void judge_say(struct compiler_result *ret, enum compiler_verdict verdict,
		      const char *message)
{
	ret->verdict = verdict;
	snprintf(ret->message, sizeof(ret->message), "%.*s", (int)sizeof(ret->message) - 1,
		 message);
}

/* The launcher's own line: what its exit code says, and its first words. */
static const char *judge_launcher_line(const struct proc_result *res)
{
	const char *said = buf_text(res->err);

	if (res->exit_code != SANDBOX_EXIT_USAGE && res->exit_code != SANDBOX_EXIT_UNAVAILABLE &&
	    res->exit_code != SANDBOX_EXIT_NO_PARSER)
		return NULL;
	if (!str_has_prefix(said, SANDBOX_SAYS))
		return NULL;
	return said + strlen(SANDBOX_SAYS);
}

/* Everything that is not the text's fault. */
static int judge_launch(const struct proc_result *res, const char *sandbox, struct err *err)
{
	const char *line;

	if (res->error)
		return err_set(err, res->error, "the compiler's sandbox %s cannot be started: %s",
			       sandbox, uv_strerror(res->error));
	line = res->signal ? NULL : judge_launcher_line(res);
	if (line)
		return err_set(err, -EIO, "the compiler cannot be run: %.*s",
			       (int)strcspn(line, "\n"), line);
	return 0;
}

/* Where the parser's own words begin in a line, behind the place that it speaks of. */
static const char *judge_words(const char *line, size_t n)
{
	static const char start[] = "AppArmor parser error";
	static const char at[] = " at line ";
	const char *end = line + n;
	const char *place = str_has_prefix(line, start) ? memmem(line, n, at, strlen(at)) : NULL;
	const char *colon = place ? memmem(place, (size_t)(end - place), ": ", 2) : NULL;

	return colon ? colon + 2 : line;
}

/* The parser says so in several ways. Further on in a line these words may be quoted from the text.
 */
static bool judge_is_out_of_memory(const char *said)
{
	static const char *const signs[] = {
	    "terminate called after throwing an instance of 'std::bad_alloc'",
	    "std::bad_alloc",
	    "Memory allocation",
	    "Out of memory",
	    "Error: Out of memory",
	    "Couldn't merge entries. Out of Memory",
	    "Failed to allocate memory",
	    "Could not allocate memory",
	    "Error: Could not allocate memory",
	    "cannot allocate memory",
	    "out of dynamic memory",
	    "out of memory expanding",
	};
	const char *line;
	size_t n, i;

	for (line = said; *line; line += n + (line[n] != '\0')) {
		n = strcspn(line, "\n");
		for (i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
			if (str_has_prefix(judge_words(line, n), signs[i]))
				return true;
	}
	return false;
}

static bool judge_is_crash(int signal)
{
	return signal == SIGSEGV || signal == SIGABRT || signal == SIGBUS || signal == SIGILL ||
	       signal == SIGFPE;
}

/* Ended by a signal that is no limit's. The parser is not careful about what runs when an
 * allocation has failed (30 variables that double each other end in "double free detected"), so a
 * crash may be for want of memory as well. */
static void judge_say_signal(int signal, struct compiler_result *ret)
{
	char message[sizeof(ret->message)];

	if (judge_is_crash(signal))
		snprintf(message, sizeof(message),
			 "the compiler crashed on this policy (signal %d), as it may when 256 MiB "
			 "of memory are not enough: look for variables that multiply each other, "
			 "and for paths with many wildcards",
			 signal);
	else if (signal == SIGKILL)
		snprintf(message, sizeof(message),
			 "the system ended the compiler of this policy (signal %d), probably for "
			 "want of memory where the compiler runs",
			 signal);
	else
		snprintf(message, sizeof(message), "the compiler was ended by signal %d", signal);
	judge_say(ret, COMPILER_LIMIT, message);
}

/* Which limit of ours ended the run; NULL where none did. SIGKILL comes from us only with a timeout
 * or too much output: the limit on CPU time sends SIGXCPU, a second before it. */
static const char *judge_limit(const struct proc_result *res)
{
	if (res->timed_out)
		return "the policy takes more than 10 seconds to compile; does it include "
		       "something "
		       "that never ends?";
	if (res->truncated && res->out->len > res->err->max)
		return "the compiled policy has more than 4 MiB: let it have fewer hats, child "
		       "profiles and alternatives";
	if (res->truncated)
		return "the compiler has far too much to say about this policy";
	if (res->signal == SIGXCPU)
		return "the policy takes more than 5 seconds of CPU time to compile: look for "
		       "paths "
		       "with many wildcards, above all ** and rows of ?";
	if ((res->signal ? judge_is_crash(res->signal) : res->exit_code != 0) &&
	    judge_is_out_of_memory(buf_text(res->err)))
		return "the policy takes more than 256 MiB of memory to compile: look for paths "
		       "with "
		       "many wildcards, and for variables that multiply each other";
	return NULL;
}

static void judge_parse_error(const struct parser_says *says, struct compiler_result *ret)
{
	ret->verdict = COMPILER_PARSE_ERROR;
	ret->line = says->line;
	ret->column = says->column;
	if (says->column)
		snprintf(ret->message, sizeof(ret->message), "line %zu, column %zu: %s", says->line,
			 says->column, says->message);
	else if (says->line)
		snprintf(ret->message, sizeof(ret->message), "line %zu: %s", says->line,
			 says->message);
	else
		judge_say(ret, COMPILER_PARSE_ERROR, says->message);
}

static void judge_blob(const struct compiler_judge_input *in, struct compiler_result *ret)
{
	struct buf *out = in->proc->out;
	struct err err;
	int e = policy_blob_parse(buf_text(out), out->len, &ret->blob, &err);

	if (e == 0)
		e = policy_blob_check(&ret->blob, in->name, in->mode, &err);
	if (e < 0) {
		policy_blob_clear(&ret->blob);
		judge_say(ret, COMPILER_FORBIDDEN, err.msg);
		return;
	}
	ret->verdict = COMPILER_OK;
	ret->n_bytes = out->len;
	ret->bytes = buf_steal(out);
	sha256_hex(ret->bytes, ret->n_bytes, ret->hash);
}

static void judge_output(const struct compiler_judge_input *in, struct compiler_result *ret)
{
	const struct parser_says_input said = {
	    .said = buf_text(in->proc->err),
	    .text = in->text,
	    .base_dir = in->base_dir,
	};
	struct parser_says says;

	parser_says_read(&said, &says);
	ret->warnings = STEAL(says.warnings);
	ret->n_warnings = says.n_warnings;
	says.n_warnings = 0;
	if (in->proc->exit_code != 0)
		judge_parse_error(&says, ret);
	else
		judge_blob(in, ret);
	parser_says_clear(&says);
}

void compiler_judge(const struct compiler_judge_input *in, struct compiler_result *ret)
{
	const char *limit;
	struct err err;

	if (judge_launch(in->proc, in->sandbox, &err) < 0) {
		judge_say(ret, COMPILER_INTERNAL, err.msg);
		return;
	}
	limit = judge_limit(in->proc);
	if (limit)
		judge_say(ret, COMPILER_LIMIT, limit);
	else if (in->proc->signal)
		judge_say_signal(in->proc->signal, ret);
	else
		judge_output(in, ret);
}

int compiler_judge_probe(const struct proc_result *proc, const char *sandbox, char ret_version[32],
			 char **ret_confinement, struct err *err)
{
	const char *said = buf_text(proc->err);
	const char *version;
	int r = judge_launch(proc, sandbox, err);

	if (r < 0)
		return r;
	version = strstr(buf_text(proc->out), "AppArmor parser version ");
	if (proc->signal || proc->exit_code || !version || !str_has_prefix(said, SANDBOX_SAYS))
		return err_set(err, -EIO,
			       "apparmor_parser does not say its version in the sandbox (exit code "
			       "%lld, signal %d): %.100s",
			       (long long)proc->exit_code, proc->signal, said);
	said += strlen(SANDBOX_SAYS);
	version += strlen("AppArmor parser version ");
	snprintf(ret_version, 32, "%.*s", (int)strcspn(version, " \n"), version);
	*ret_confinement = mem_strndup(said, strcspn(said, "\n"));
	return 0;
}
