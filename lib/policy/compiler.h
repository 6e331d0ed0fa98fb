#pragma once

/*
 * Policy text to what the kernel loads: apparmor_parser in a sandboxed child, its output walked and
 * judged.
 *
 * The text is hostile. The child can open nothing but the parser, its libraries and the base folder
 * (sandbox.h), and what it says is put into known words before anybody sees it (parser_says.h).
 * Jobs wait in one queue and run `max_parallel` at a time; each ends within COMPILER_WALL_MS, and
 * those for one name never take all places, so that no text delays another for long.
 */

#include "api/profile.h"
#include "base/err.h"
#include "policy/blob.h"
#include "policy/parser_says.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum { COMPILER_WALL_MS = 10000 };

struct compiler;
struct compiler_job;

struct compiler_options {
	const char *parser;      /* NULL: apparmor_parser, where distributions put it */
	const char *base_dir;    /* NULL: /etc/apparmor.d */
	const char *sandbox;     /* the launcher; NULL: hauberk-sandbox, beside this program */
	const char *default_abi; /* for a text that names no abi, below base_dir; NULL: abi/3.0 */
	int64_t max_parallel;    /* 0: four */
	bool allow_partial;      /* compile also where the kernel cannot give the whole sandbox */
};

enum compiler_verdict {
	COMPILER_OK,
	COMPILER_PARSE_ERROR, /* the text is wrong: the message says where */
	COMPILER_FORBIDDEN,   /* it compiles to something that may not be loaded */
	COMPILER_LIMIT,       /* it takes more time, memory or output than a text may, or the
				 parser crashes on it */
	COMPILER_INTERNAL,    /* not the text's fault: no parser, no sandbox. Worth another try */
	COMPILER_CANCELLED,   /* compiler_cancel() */
};

struct compiler_result {
	enum compiler_verdict verdict;
	/* For all but COMPILER_OK: one sentence that starts with "line N: " where there is a line,
	 * fit to be shown to whoever wrote the text. Holds no byte of any other file. */
	char message[480];
	size_t line, column; /* in the text, from 1; 0: none. The message has them too */

	/* For COMPILER_OK. Gone after `done`, unless it takes them with STEAL() or by zeroing the
	 * struct. */
	char *bytes;
	size_t n_bytes;
	char hash[SHA256_HEX]; /* of the bytes: the artefact's name */
	struct policy_blob blob;
	/* Rules that this kernel does not enforce, and the like. */
	struct parser_says_warning *warnings;
	size_t n_warnings;
	int64_t ms; /* that the child took, without the wait in the queue */
};

typedef void (*compiler_done_fn)(void *data, struct compiler_result *res);

struct compiler_spec {
	const char *name; /* the profile that the text must define; NULL: any allowed name */
	const char *text;
	size_t n_text;
	enum profile_mode mode;
	const char *features; /* the kernel's feature set: features.h */
	size_t n_features;
};

/* Find parser, launcher and base folder, and make the id. Runs the parser once to learn its
 * version, so it blocks for some milliseconds. Errors: a sentence that says what is missing or that
 * the kernel cannot give the sandbox. */
int compiler_new(uv_loop_t *loop, const struct compiler_options *options, struct compiler **ret,
		 struct err *err);

/* What revisions depend on: the parser's version and a digest of the base folder. */
const char *compiler_id(const struct compiler *c);

/* What holds the child, in a few words for a log: "landlock 7, seccomp". */
const char *compiler_sandbox(const struct compiler *c);

/* Compile. Everything in `spec` is copied. `done` comes exactly once, from the loop and never from
 * inside this call. The job may be cancelled until `done` has been called. */
struct compiler_job *compiler_start(struct compiler *c, const struct compiler_spec *spec,
				    compiler_done_fn done, void *data);

/* End a job early; `done` follows with COMPILER_CANCELLED. */
void compiler_cancel(struct compiler_job *job);

/* "Compiled", "ParseError", "ForbiddenPolicy" … as conditions and lint's JSON name a verdict. */
const char *compiler_verdict_name(enum compiler_verdict verdict);

/* No job may be under way. Takes NULL; holds nothing of the loop. */
void compiler_free(struct compiler *c);

void compiler_result_clear(struct compiler_result *res);
