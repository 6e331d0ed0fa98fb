#include "policy/compiler.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/proc.h"
#include "policy/base_dir.h"
#include "policy/compiler_judge.h"
#include "policy/features.h"
#include "policy/names.h"
#include "policy/sandbox.h"
#include "policy/text.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The happy path of a job:
 *
 *  - compiler_start() copies the spec, checks it and defers (a timer that fires at once), since
 *    nothing may be reported from inside that call.
 *  - It waits in the queue until there is a place.
 *  - The launcher runs with the feature set and the text as its input; compiler_judge() makes the
 *    result of what came out.
 *  - The next job is started, then `done` is called.
 *
 * What else can happen:
 *
 *  - The spec is refused, or the job is cancelled before it runs: from deferred straight to `done`.
 *  - Cancelled while it runs: the child is killed, `done` follows its exit.
 */

enum { COMPILER_ARGS_MAX = 40, COMPILER_STDERR_MAX = 65536 };

struct compiler {
	uv_loop_t *loop;
	char *parser, *base_dir, *sandbox, *default_abi;
	bool allow_partial;
	size_t max_parallel;
	char *id;
	char *confinement;
	struct list waiting, running;
	size_t n_running;
};

enum compiler_state { COMPILER_DEFERRED, COMPILER_WAITING, COMPILER_RUNNING };

struct compiler_job {
	struct compiler *compiler;
	struct list link; /* in the queue of its state; alone while deferred */
	enum compiler_state state;
	uv_timer_t timer;
	struct proc proc;
	char *name; /* NULL: any */
	char *input;
	size_t n_features, n_text;
	enum profile_mode mode;
	bool decided; /* before it ran */
	int64_t started_ms;
	compiler_done_fn done;
	void *data;
	struct compiler_result res;
};

/* What the launcher needs to know before the parser's own arguments. */
static size_t compiler_args_head(const struct compiler *c, size_t n_features, char n_text[24],
				 const char **argv)
{
	size_t n = 0;

	snprintf(n_text, 24, "%zu", n_features);
	argv[n++] = "hauberk-sandbox";
	if (c->allow_partial)
		argv[n++] = "--allow-partial";
	argv[n++] = "--parser";
	argv[n++] = c->parser;
	argv[n++] = "--base";
	argv[n++] = c->base_dir;
	argv[n++] = "--features";
	argv[n++] = n_text;
	return n;
}

static void compiler_args(const struct compiler_job *job, char n_text[24], char abi[PATH_MAX],
			  const char **argv)
{
	const struct compiler *c = job->compiler;
	size_t n = compiler_args_head(c, job->n_features, n_text, argv);
	size_t i;
	/* No configuration file, for distributions pin a feature set there; no worker, which would
	 * outlive its parent; no kernel, no cache. The feature set is what the kernel can do, the
	 * abi what a text that names none was written for: `-M` would override a text's own. */
	const char *const args[] = {
	    "--",
	    "--config-file",
	    "/dev/null",
	    "-j0",
	    "-QKTS",
	    "--kernel-features",
	    SANDBOX_FEATURES,
	    "--policy-features",
	    abi,
	    "-b",
	    c->base_dir,
	    "--warn=rule-not-enforced",
	    "--warn=rule-downgraded",
	};

	snprintf(abi, PATH_MAX, "%s/%s", c->base_dir, c->default_abi);
	for (i = 0; i < sizeof(args) / sizeof(args[0]); i++)
		argv[n++] = args[i];
	if (job->mode == PROFILE_COMPLAIN)
		argv[n++] = "-C";
	argv[n++] = SANDBOX_TEXT;
	argv[n] = NULL;
}

static void compiler_pump(struct compiler *c);

static void compiler_job_free(struct compiler_job *job)
{
	compiler_result_clear(&job->res);
	free(job->name);
	free(job->input);
	free(job);
}

/* The last thing that happens to a job; the compiler may be gone afterwards. */
static void compiler_finish(struct compiler_job *job)
{
	compiler_pump(job->compiler);
	job->done(job->data, &job->res);
	compiler_job_free(job);
}

static void compiler_on_exit(struct proc *proc, const struct proc_result *res)
{
	struct compiler_job *job = container_of(proc, struct compiler_job, proc);
	const struct compiler_judge_input in = {
	    .proc = res,
	    .name = job->name,
	    .text = job->input + job->n_features,
	    .mode = job->mode,
	    .base_dir = job->compiler->base_dir,
	    .sandbox = job->compiler->sandbox,
	};

	list_remove(&job->link);
	job->compiler->n_running--;
	if (job->res.verdict != COMPILER_CANCELLED)
		compiler_judge(&in, &job->res);
	job->res.ms = clock_mono_ms() - job->started_ms;
	compiler_finish(job);
}

static void compiler_run(struct compiler_job *job)
{
	struct compiler *c = job->compiler;
	const char *argv[COMPILER_ARGS_MAX];
	char n_text[24], abi[PATH_MAX];
	struct proc_spec spec = {
	    .file = c->sandbox,
	    .argv = (char **)argv,
	    .input = job->input,
	    .n_input = job->n_features + job->n_text,
	    .out_max = POLICY_BLOB_MAX,
	    .err_max = COMPILER_STDERR_MAX,
	    .timeout_ms = COMPILER_WALL_MS,
	};

	compiler_args(job, n_text, abi, argv);
	list_remove(&job->link);
	list_append(&c->running, &job->link);
	c->n_running++;
	job->state = COMPILER_RUNNING;
	job->started_ms = clock_mono_ms();
	proc_start(&job->proc, c->loop, &spec, compiler_on_exit);
}

/* One name may have half of the places: two jobs that take all the time they may, for the same text
 * on two kernels, must not hold up the others. */
static bool compiler_may_run(const struct compiler *c, const struct compiler_job *job)
{
	size_t n = 0;

	LIST_FOREACH(item, &c->running) {
		const struct compiler_job *other = container_of(item, struct compiler_job, link);

		n += job->name && other->name && strcmp(job->name, other->name) == 0;
	}
	return n < (c->max_parallel + 1) / 2;
}

static void compiler_pump(struct compiler *c)
{
	LIST_FOREACH(item, &c->waiting) {
		struct compiler_job *job = container_of(item, struct compiler_job, link);

		if (c->n_running >= c->max_parallel)
			return;
		if (compiler_may_run(c, job))
			compiler_run(job);
	}
}

static void compiler_on_deferred(uv_handle_t *handle)
{
	struct compiler_job *job = handle->data;

	if (job->decided) {
		compiler_finish(job);
		return;
	}
	job->state = COMPILER_WAITING;
	list_append(&job->compiler->waiting, &job->link);
	compiler_pump(job->compiler);
}

static void compiler_on_timer(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, compiler_on_deferred);
}

/* Go on from the loop. */
static void compiler_defer(struct compiler_job *job)
{
	job->state = COMPILER_DEFERRED;
	uv_timer_init(job->compiler->loop, &job->timer);
	job->timer.data = job;
	uv_timer_start(&job->timer, compiler_on_timer, 0, 0);
}

static void compiler_refuse(struct compiler_job *job, enum compiler_verdict verdict,
			    const struct err *err)
{
	job->decided = true;
	job->res.verdict = verdict;
	snprintf(job->res.message, sizeof(job->res.message), "%.*s",
		 (int)sizeof(job->res.message) - 1, err->msg);
}

/* What needs no parser to be refused. */
static void compiler_check(struct compiler_job *job, const struct compiler_spec *spec)
{
	struct err err;

	if (policy_text_check(spec->text, spec->n_text, &job->res.line, &err) < 0)
		compiler_refuse(job, COMPILER_PARSE_ERROR, &err);
	else if (spec->name && policy_name_check(spec->name, &err) < 0)
		compiler_refuse(job, COMPILER_FORBIDDEN, &err);
	else if (features_check(spec->features, spec->n_features, &err) < 0)
		compiler_refuse(job, COMPILER_INTERNAL, &err);
}

struct compiler_job *compiler_start(struct compiler *c, const struct compiler_spec *spec,
				    compiler_done_fn done, void *data)
{
	struct compiler_job *job = MEM_NEW(struct compiler_job);

	job->compiler = c;
	list_init(&job->link);
	job->mode = spec->mode;
	job->done = done;
	job->data = data;
	job->name = mem_strdup(spec->name);
	compiler_check(job, spec);
	if (!job->decided) {
		job->n_features = spec->n_features;
		job->n_text = spec->n_text;
		job->input = mem_alloc(spec->n_features + spec->n_text + 1, 1);
		memcpy(job->input, spec->features, spec->n_features);
		memcpy(job->input + spec->n_features, spec->text, spec->n_text);
	}
	compiler_defer(job);
	return job;
}

void compiler_cancel(struct compiler_job *job)
{
	struct err err;

	err_set(&err, -ECANCELED, "the compilation was cancelled");
	compiler_refuse(job, COMPILER_CANCELLED, &err);
	if (job->state == COMPILER_RUNNING) {
		proc_kill(&job->proc);
	} else if (job->state == COMPILER_WAITING) {
		list_remove(&job->link);
		compiler_defer(job);
	}
}

const char *compiler_verdict_name(enum compiler_verdict verdict)
{
	static const char *const names[] = {
	    [COMPILER_OK] = "Compiled",
	    [COMPILER_PARSE_ERROR] = "ParseError",
	    [COMPILER_FORBIDDEN] = "ForbiddenPolicy",
	    [COMPILER_LIMIT] = "LimitExceeded",
	    [COMPILER_INTERNAL] = "InternalError",
	    [COMPILER_CANCELLED] = "Cancelled",
	};

	return names[verdict];
}

void compiler_result_clear(struct compiler_result *res)
{
	size_t i;

	free(res->bytes);
	policy_blob_clear(&res->blob);
	for (i = 0; i < res->n_warnings; i++)
		free(res->warnings[i].message);
	free(res->warnings);
	*res = (struct compiler_result){0};
}

/* The first run, which learns the parser's version and whether the sandbox can be had. */
struct compiler_probe {
	struct compiler *compiler;
	struct proc proc;
	struct err *err;
	int r;
};

static void compiler_on_probed(struct proc *proc, const struct proc_result *res)
{
	struct compiler_probe *probe = container_of(proc, struct compiler_probe, proc);
	struct compiler *c = probe->compiler;
	char version[32];

	probe->r = compiler_judge_probe(res, c->sandbox, version, &c->confinement, probe->err);
	if (probe->r == 0)
		c->id = mem_strdup(version);
}

static int compiler_probe(struct compiler *c, struct err *err)
{
	struct compiler_probe probe = {.compiler = c, .err = err};
	const char *argv[COMPILER_ARGS_MAX];
	char n_text[24];
	size_t n = compiler_args_head(c, 0, n_text, argv);
	struct proc_spec spec = {
	    .file = c->sandbox,
	    .argv = (char **)argv,
	    .out_max = 4096,
	    .err_max = 4096,
	    .timeout_ms = COMPILER_WALL_MS,
	};
	uv_loop_t loop;
	int r;

	argv[n++] = "--say";
	argv[n++] = "--";
	argv[n++] = "--version";
	argv[n] = NULL;
	r = uv_loop_init(&loop);
	if (r < 0)
		return err_set(err, r, "no loop to try the parser on: %s", uv_strerror(r));
	proc_start(&probe.proc, &loop, &spec, compiler_on_probed);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	return probe.r;
}

/* version, default abi, digest of the base folder: each changes the bytes that come out. */
static int compiler_make_id(struct compiler *c, struct err *err)
{
	char digest[SHA256_HEX];
	int r = base_dir_digest(c->base_dir, digest, err);

	if (r < 0)
		return r;
	mem_replace(&c->id, mem_printf("%s %s %.16s", c->id, c->default_abi, digest));
	return 0;
}

static char *compiler_find(const char *given, const char *const *places, int mode)
{
	if (given)
		return mem_strdup(given);
	for (; *places; places++)
		if (access(*places, mode) == 0)
			return mem_strdup(*places);
	return NULL;
}

/* Beside the program that runs, or where the packages put it. */
static char *compiler_find_sandbox(const char *given)
{
	char self[PATH_MAX - 32], beside[PATH_MAX];
	const char *const places[] = {beside, "/usr/libexec/hauberk/hauberk-sandbox",
				      "/usr/local/libexec/hauberk/hauberk-sandbox", NULL};
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	snprintf(beside, sizeof(beside), "%.*s/hauberk-sandbox", slash ? (int)(slash - self) : 0,
		 self);
	return compiler_find(given, places, X_OK);
}

/* Four, also where there are fewer cores: one name may have half of them, and a cluster with two
 * kinds of kernel wants its two builds side by side. */
static size_t compiler_places(int64_t max_parallel)
{
	return max_parallel > 0 ? (size_t)max_parallel : 4;
}

static int compiler_find_all(struct compiler *c, const struct compiler_options *o, struct err *err)
{
	static const char *const parsers[] = {"/usr/sbin/apparmor_parser", "/sbin/apparmor_parser",
					      "/usr/bin/apparmor_parser", NULL};
	CLEANUP(mem_freep) char *abi = NULL;

	c->parser = compiler_find(o->parser, parsers, X_OK);
	c->sandbox = compiler_find_sandbox(o->sandbox);
	c->base_dir = realpath(o->base_dir ? o->base_dir : "/etc/apparmor.d", NULL);
	c->default_abi = mem_strdup(o->default_abi ? o->default_abi : "abi/3.0");
	if (!c->parser || access(c->parser, X_OK))
		return err_set(err, -ENOENT,
			       "apparmor_parser is not there%s%s: install the package apparmor",
			       c->parser ? ": " : "", c->parser ? c->parser : "");
	if (!c->sandbox || access(c->sandbox, X_OK))
		return err_set(err, -ENOENT, "hauberk-sandbox is not there%s%s",
			       c->sandbox ? ": " : " (it belongs beside this program)",
			       c->sandbox ? c->sandbox : "");
	if (!c->base_dir)
		return err_set(err, -errno, "the folder with the abstractions %s: %s",
			       o->base_dir ? o->base_dir : "/etc/apparmor.d", strerror(errno));
	abi = mem_printf("%s/%s", c->base_dir, c->default_abi);
	if (access(abi, R_OK))
		return err_set(err, -errno, "the default abi %s: %s", abi, strerror(errno));
	return 0;
}

int compiler_new(uv_loop_t *loop, const struct compiler_options *options, struct compiler **ret,
		 struct err *err)
{
	struct compiler *c = MEM_NEW(struct compiler);
	int r;

	c->loop = loop;
	c->allow_partial = options->allow_partial;
	c->max_parallel = compiler_places(options->max_parallel);
	list_init(&c->waiting);
	list_init(&c->running);
	r = compiler_find_all(c, options, err);
	if (r == 0)
		r = compiler_probe(c, err);
	if (r == 0)
		r = compiler_make_id(c, err);
	if (r < 0) {
		compiler_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

const char *compiler_id(const struct compiler *c)
{
	return c->id;
}

const char *compiler_sandbox(const struct compiler *c)
{
	return c->confinement;
}

void compiler_free(struct compiler *c)
{
	if (!c)
		return;
	free(c->parser);
	free(c->base_dir);
	free(c->sandbox);
	free(c->default_abi);
	free(c->id);
	free(c->confinement);
	free(c);
}
