#include "base/proc.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/close_range.h>

#include <cmocka.h>

struct outcome {
	struct proc proc;
	int n_done;
	struct proc_result res;
	char out[4096], err[4096];
	size_t n_out;
};

static void on_done(struct proc *proc, const struct proc_result *res)
{
	struct outcome *o = container_of(proc, struct outcome, proc);

	o->n_done++;
	o->res = *res;
	o->n_out = res->out->len;
	strncat(o->out, buf_text(res->out), sizeof(o->out) - 1);
	strncat(o->err, buf_text(res->err), sizeof(o->err) - 1);
}

static void run_spec(struct outcome *o, const struct proc_spec *spec)
{
	uv_loop_t loop;

	*o = (struct outcome){0};
	uv_loop_init(&loop);
	proc_start(&o->proc, &loop, spec, on_done);
	assert_int_equal(o->n_done, 0); /* never from inside proc_start() */
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0); /* no handle left behind */
	assert_int_equal(o->n_done, 1);
}

static void run(struct outcome *o, const char *script, uint64_t timeout_ms)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
	struct proc_spec spec = {.file = "/bin/sh",
				 .argv = argv,
				 .out_max = 4000,
				 .err_max = 4000,
				 .timeout_ms = timeout_ms};

	run_spec(o, &spec);
}

static void both_outputs_and_the_exit_code_are_collected(void **state)
{
	struct outcome o;

	(void)state;
	run(&o, "echo compiled; echo careful >&2; exit 3", 5000);
	assert_int_equal(o.res.error, 0);
	assert_int_equal(o.res.exit_code, 3);
	assert_int_equal(o.res.signal, 0);
	assert_string_equal(o.out, "compiled\n");
	assert_string_equal(o.err, "careful\n");
}

static void a_missing_program_is_reported(void **state)
{
	char *argv[] = {(char *)"parser", NULL};
	struct proc_spec spec = {.file = "/no/such/parser", .argv = argv, .timeout_ms = 5000};
	struct outcome o;

	(void)state;
	run_spec(&o, &spec);
	assert_int_equal(o.res.error, UV_ENOENT);
}

static void the_environment_is_empty_unless_given(void **state)
{
	char *argv[] = {(char *)"env", NULL};
	char *env[] = {(char *)"A=1", NULL};
	struct proc_spec spec = {
	    .file = "/usr/bin/env", .argv = argv, .out_max = 4000, .timeout_ms = 5000};
	struct outcome o;

	(void)state;
	setenv("HAUBERK_SECRET", "x", 1);
	run_spec(&o, &spec);
	assert_string_equal(o.out, "");
	spec.env = env;
	run_spec(&o, &spec);
	assert_string_equal(o.out, "A=1\n");
}

static void no_descriptor_of_ours_is_inherited(void **state)
{
	struct outcome o;

	(void)state;
	/* The shell's own listing holds the folder that ls reads, as the fourth. */
	run(&o, "ls /proc/self/fd | wc -l", 5000);
	assert_string_equal(o.out, "4\n");
}

static void the_input_reaches_the_child_whole(void **state)
{
	char *argv[] = {(char *)"sha256sum", NULL};
	CLEANUP(mem_freep) char *input = mem_alloc(1000000, 1);
	struct proc_spec spec = {.file = "/usr/bin/sha256sum",
				 .argv = argv,
				 .input = input,
				 .n_input = 1000000,
				 .out_max = 4000,
				 .timeout_ms = 5000};
	struct outcome o;

	(void)state;
	run_spec(&o, &spec);
	/* head -c 1000000 /dev/zero | sha256sum */
	assert_non_null(
	    strstr(o.out, "d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025"));
}

static void a_child_need_not_read_its_input(void **state)
{
	char *argv[] = {(char *)"true", NULL};
	CLEANUP(mem_freep) char *input = mem_alloc(1000000, 1);
	struct proc_spec spec = {.file = "/bin/true",
				 .argv = argv,
				 .input = input,
				 .n_input = 1000000,
				 .timeout_ms = 5000};
	struct outcome o;

	(void)state;
	run_spec(&o, &spec);
	assert_int_equal(o.res.exit_code, 0);
	assert_false(o.res.timed_out);
}

static void a_child_that_takes_too_long_is_killed(void **state)
{
	struct outcome o;

	(void)state;
	run(&o, "sleep 60", 50);
	assert_true(o.res.timed_out);
	assert_int_equal(o.res.signal, SIGKILL);
}

static void a_child_that_prints_too_much_is_killed(void **state)
{
	struct outcome o;

	(void)state;
	run(&o, "exec cat /dev/zero", 5000);
	assert_true(o.res.truncated);
	assert_false(o.res.timed_out);
	run(&o, "exec cat /dev/zero >&2", 5000);
	assert_true(o.res.truncated);
}

static void output_up_to_the_ceiling_is_no_fault(void **state)
{
	struct outcome o;

	(void)state;
	run(&o, "head -c 4000 /dev/zero", 5000);
	assert_false(o.res.truncated);
	assert_int_equal(o.n_out, 4000);
	run(&o, "head -c 4001 /dev/zero", 5000);
	assert_true(o.res.truncated);
}

static void a_grandchild_cannot_hold_it_open(void **state)
{
	struct outcome o;

	(void)state;
	run(&o, "sleep 60 & echo started", 50);
	assert_true(o.res.timed_out);
	assert_string_equal(o.out, "started\n");
}

static void kill_soon(uv_timer_t *timer)
{
	proc_kill(timer->data);
	uv_close((uv_handle_t *)timer, NULL);
}

static void it_can_be_killed_early(void **state)
{
	char *argv[] = {(char *)"sleep", (char *)"60", NULL};
	struct proc_spec spec = {.file = "/bin/sleep", .argv = argv, .timeout_ms = 30000};
	struct outcome o = {0};
	int64_t began_ms = clock_mono_ms();
	uv_timer_t timer;
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	uv_timer_init(&loop, &timer);
	timer.data = &o.proc;
	uv_timer_start(&timer, kill_soon, 30, 0);
	proc_start(&o.proc, &loop, &spec, on_done);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_int_equal(o.n_done, 1);
	assert_int_equal(o.res.signal, SIGKILL);
	assert_false(o.res.timed_out);
	assert_true(clock_mono_ms() - began_ms < 10000);
}

static void free_proc(struct proc *proc, const struct proc_result *res)
{
	(void)res;
	free(proc);
}

static void it_may_be_freed_in_done(void **state)
{
	char *argv[] = {(char *)"true", NULL};
	struct proc_spec spec = {.file = "/bin/true", .argv = argv, .timeout_ms = 5000};
	struct proc *proc = MEM_NEW(struct proc);
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	proc_start(proc, &loop, &spec, free_proc);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static int prepare(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	/* What the test was started with is not what is tested. */
	return close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_outputs_and_the_exit_code_are_collected),
	    cmocka_unit_test(a_missing_program_is_reported),
	    cmocka_unit_test(the_environment_is_empty_unless_given),
	    cmocka_unit_test(no_descriptor_of_ours_is_inherited),
	    cmocka_unit_test(the_input_reaches_the_child_whole),
	    cmocka_unit_test(a_child_need_not_read_its_input),
	    cmocka_unit_test(a_child_that_takes_too_long_is_killed),
	    cmocka_unit_test(a_child_that_prints_too_much_is_killed),
	    cmocka_unit_test(output_up_to_the_ceiling_is_no_fault),
	    cmocka_unit_test(a_grandchild_cannot_hold_it_open),
	    cmocka_unit_test(it_can_be_killed_early),
	    cmocka_unit_test(it_may_be_freed_in_done),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
