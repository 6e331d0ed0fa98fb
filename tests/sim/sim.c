#include "sim.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * sim --seeds N [--from FIRST] [--jobs J]   runs many, and says which failed
 * sim --seed N [--verbose]                  one alone, with all that happened in it
 *
 * Seeds run in child processes, a few in each: maps have another order in each process, so that a
 * twin of some of them, run elsewhere, shows whether the same inputs give the same plan. Each seed
 * is run as it comes; every tenth, beside, as a quiet rollout, once undisturbed and once with the
 * controller killed in it.
 */

enum { SIM_BATCH = 50, SIM_TWIN_EVERY = 10, SIM_CALM_EVERY = 10 };

struct sim_args {
	uint64_t from, seeds, seed;
	bool one, verbose;
	int jobs;
};

static bool sim_report(const struct sim *s, bool calm)
{
	printf("seed %llu%s: %s does not hold after %.3f s: %s\n  tests/sim/sim --seed %llu "
	       "--verbose\n",
	       (unsigned long long)s->seed, calm ? " (quiet)" : "", s->invariant,
	       (double)(s->now_ms - s->start_ms) / 1000, s->why, (unsigned long long)s->seed);
	fflush(stdout);
	return false;
}

static bool sim_run_rough(uint64_t seed, bool verbose, uint64_t *ret_trace)
{
	struct sim_config config = sim_config_of(seed);
	struct sim *s = MEM_NEW(struct sim);
	bool ok = sim_run(s, seed, &config, verbose);

	*ret_trace = s->trace;
	if (!ok)
		sim_report(s, false);
	else if (verbose)
		printf("%d nodes, %lld events, %lld runs, %lld told, %lld status writes, %lld "
		       "kills\n",
		       s->n_nodes, (long long)s->events, (long long)s->runs, (long long)s->n_told,
		       (long long)s->n_status, (long long)s->n_kills);
	sim_clear(s);
	free(s);
	return ok;
}

/* At most 10 writes for a rollout, 3 more a step, what a new leader has to say, and where nodes
 * take their time, one in 10 s. */
static void a_rollout_costs_few_writes(struct sim *s)
{
	const struct sim_object *o = &s->objects[0];
	int64_t steps = o->spec.has_rollout ? (int64_t)o->spec.rollout.n_steps : 0;
	int64_t slow_s = o->spec.has_rollout ? o->spec.rollout.min_ready_s * s->n_nodes : 0;
	int64_t max = 10 + 3 * steps + 3 * s->n_kills + slow_s / 10;

	if (o->writes - o->writes_before <= max)
		return;
	s->invariant = __func__;
	snprintf(s->why, sizeof(s->why), "%lld writes with %lld steps",
		 (long long)(o->writes - o->writes_before), (long long)steps);
}

static bool sim_run_quiet(uint64_t seed, bool verbose, bool killed, char *ret_outcome, size_t n)
{
	struct sim_config config = sim_config_calm(seed);
	struct sim *s = MEM_NEW(struct sim);
	bool ok;

	if (!killed)
		config.kill_ms = 0;
	ok = sim_run(s, seed, &config, verbose);
	if (ok)
		a_rollout_costs_few_writes(s);
	snprintf(ret_outcome, n, "%s", s->outcome[0]);
	ok = ok && !s->invariant;
	if (!ok)
		sim_report(s, true);
	sim_clear(s);
	free(s);
	return ok;
}

/* Killed or not, it comes to the same end. */
static bool a_kill_changes_nothing(uint64_t seed, bool verbose)
{
	char undisturbed[160], killed[160];

	if (!sim_run_quiet(seed, verbose, false, undisturbed, sizeof(undisturbed)) ||
	    !sim_run_quiet(seed, verbose, true, killed, sizeof(killed)))
		return false;
	if (strcmp(undisturbed, killed) == 0)
		return true;
	printf("seed %llu (quiet): %s does not hold: \"%s\", with a kill \"%s\"\n  tests/sim/sim "
	       "--seed %llu --verbose\n",
	       (unsigned long long)seed, __func__, undisturbed, killed, (unsigned long long)seed);
	return false;
}

static bool sim_run_seed(uint64_t seed, bool verbose, uint64_t *ret_trace)
{
	bool ok = sim_run_rough(seed, verbose, ret_trace);

	if (seed % SIM_CALM_EVERY == 0 || verbose)
		ok = a_kill_changes_nothing(seed, verbose) && ok;
	return ok;
}

/* In a process of its own: maps have another order there. Returns its trace, 0 for none. */
static uint64_t sim_twin_trace(uint64_t seed)
{
	uint64_t trace = 0;
	int ends[2];
	pid_t pid;

	if (pipe(ends) < 0)
		abort();
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(1);
		sim_run_rough(seed, false, &trace);
		_exit(write(ends[1], &trace, sizeof(trace)) == (ssize_t)sizeof(trace) ? 0 : 1);
	}
	close(ends[1]);
	if (read(ends[0], &trace, sizeof(trace)) != (ssize_t)sizeof(trace))
		trace = 0;
	close(ends[0]);
	waitpid(pid, NULL, 0);
	return trace;
}

/* The twin first: a process that has made a map passes its order on. */
static bool the_same_inputs_give_the_same_plan(uint64_t seed)
{
	uint64_t a = sim_twin_trace(seed), b = sim_twin_trace(seed);

	if (a == b)
		return true;
	printf("seed %llu: %s does not hold: two runs differ\n  tests/sim/sim --seed %llu "
	       "--verbose\n",
	       (unsigned long long)seed, __func__, (unsigned long long)seed);
	return false;
}

static int sim_batch(uint64_t from, uint64_t to)
{
	uint64_t seed, trace;
	int failed = 0;

	for (seed = from; seed < to; seed++)
		if (seed % SIM_TWIN_EVERY == 5)
			failed += !the_same_inputs_give_the_same_plan(seed);
	for (seed = from; seed < to; seed++)
		failed += !sim_run_seed(seed, false, &trace);
	fflush(stdout);
	return failed > 0 ? 1 : 0;
}

static bool sim_wait_one(int *running)
{
	int status = 0;

	if (wait(&status) < 0)
		return true;
	(*running)--;
	if (WIFSIGNALED(status))
		printf("a batch ended by signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool sim_run_many(const struct sim_args *args)
{
	uint64_t seed, end = args->from + args->seeds;
	int running = 0;
	bool ok = true;

	for (seed = args->from; seed < end; seed += SIM_BATCH) {
		uint64_t to = seed + SIM_BATCH < end ? seed + SIM_BATCH : end;
		pid_t pid;

		if (running == args->jobs)
			ok = sim_wait_one(&running) && ok;
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			_exit(sim_batch(seed, to));
		running++;
	}
	while (running > 0)
		ok = sim_wait_one(&running) && ok;
	return ok;
}

static bool sim_read_args(int argc, char **argv, struct sim_args *args)
{
	int i;

	*args = (struct sim_args){.seeds = 100, .from = 1, .jobs = 2};
	for (i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (strcmp(argv[i], "--verbose") == 0)
			args->verbose = true;
		else if (more && strcmp(argv[i], "--seeds") == 0)
			args->seeds = strtoull(argv[++i], NULL, 10);
		else if (more && strcmp(argv[i], "--from") == 0)
			args->from = strtoull(argv[++i], NULL, 10);
		else if (more && strcmp(argv[i], "--jobs") == 0)
			args->jobs = (int)strtol(argv[++i], NULL, 10);
		else if (more && strcmp(argv[i], "--seed") == 0)
			args->seed = strtoull(argv[++i], NULL, 10), args->one = true;
		else
			return false;
	}
	return args->jobs > 0;
}

int main(int argc, char **argv)
{
	struct timespec start, end;
	struct sim_args args;
	uint64_t trace;
	bool ok;

	if (!sim_read_args(argc, argv, &args)) {
		fprintf(stderr, "usage: sim --seeds N [--from FIRST] [--jobs J] | --seed N "
				"[--verbose]\n");
		return 2;
	}
	if (args.one)
		return sim_run_seed(args.seed, args.verbose, &trace) ? 0 : 1;
	clock_gettime(CLOCK_MONOTONIC, &start);
	ok = sim_run_many(&args);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%llu seeds from %llu: %s, in %lld s\n", (unsigned long long)args.seeds,
	       (unsigned long long)args.from, ok ? "all hold" : "some failed",
	       (long long)(end.tv_sec - start.tv_sec));
	return ok ? 0 : 1;
}
