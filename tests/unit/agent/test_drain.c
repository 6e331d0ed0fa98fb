#include "agent_test.h"

#include "drain.h"

#include <signal.h>
#include <sys/wait.h>

/* Of the module's own clock; its timer runs on the loop's. */
static int64_t now_us;

int64_t __wrap_clock_mono_us(void);

int64_t __wrap_clock_mono_us(void)
{
	return now_us;
}

struct fixture {
	uv_loop_t loop;
	struct drain drain;
	pid_t pid; /* that is watched */
	int n_looks;
	int64_t look_us; /* how long one takes */
};

static void watch_a_child(struct fixture *f)
{
	int64_t pid;

	f->pid = fork();
	if (f->pid == 0) {
		pause();
		_exit(0);
	}
	pid = f->pid;
	drain_watch(&f->drain, &pid, 1);
}

static void end_child(struct fixture *f)
{
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	while (f->drain.n > 0)
		uv_run(&f->loop, UV_RUN_ONCE);
}

/* As in the keeper, what is watched next is told some turns of the loop later. */
static void on_wake(void *data)
{
	struct fixture *f = data;

	f->n_looks++;
	now_us += f->look_us;
}

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	now_us = (int64_t)3600 * 1000 * 1000;
	uv_loop_init(&f->loop);
	drain_init(&f->drain, &f->loop, on_wake, f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	drain_watch(&f->drain, NULL, 0);
	uv_close((uv_handle_t *)&f->drain.timer, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	free(f);
	return 0;
}

/* The loop's clock goes on while a test runs. */
static void expect_timer(const struct fixture *f, uint64_t ms)
{
	uint64_t due = uv_timer_get_due_in(&f->drain.timer);

	assert_true(uv_is_active((const uv_handle_t *)&f->drain.timer));
	assert_in_range(due, ms - 900, ms);
}

static void the_first_end_wakes_at_once(void **state)
{
	struct fixture *f = *state;

	watch_a_child(f);
	assert_int_equal(f->n_looks, 0);
	expect_timer(f, 5000);
	end_child(f);
	assert_int_equal(f->n_looks, 1);
	assert_false(uv_is_active((uv_handle_t *)&f->drain.timer));
}

static void after_a_look_an_end_waits_for_the_rest_to_be_over(void **state)
{
	struct fixture *f = *state;

	watch_a_child(f);
	end_child(f);
	watch_a_child(f);
	now_us += 10 * 1000;
	end_child(f);
	assert_int_equal(f->n_looks, 1);
	expect_timer(f, 990);
	while (f->n_looks < 2)
		uv_run(&f->loop, UV_RUN_ONCE);
}

static void the_first_end_after_a_rest_wakes_at_once(void **state)
{
	struct fixture *f = *state;

	watch_a_child(f);
	end_child(f);
	watch_a_child(f);
	now_us += 1000 * 1000;
	end_child(f);
	assert_int_equal(f->n_looks, 2);
}

static void a_slow_look_is_followed_by_a_long_rest(void **state)
{
	struct fixture *f = *state;
	int64_t gone = 0x3fffffff; /* above the greatest that there is */

	f->look_us = 400 * 1000;
	watch_a_child(f);
	end_child(f);
	/* The slow timer and a process that is gone already wait for it too. */
	watch_a_child(f);
	expect_timer(f, 8000);
	end_child(f);
	expect_timer(f, 8000);
	drain_watch(&f->drain, &gone, 1);
	expect_timer(f, 8000);
	now_us += 8000 * 1000;
	drain_watch(&f->drain, &gone, 1);
	assert_in_range(uv_timer_get_due_in(&f->drain.timer), 0, 10);
	f->look_us = 60 * 1000 * 1000;
	watch_a_child(f);
	end_child(f);
	watch_a_child(f);
	expect_timer(f, 30000);
	end_child(f);
}

/* Ten in each second, each watched as soon as it is there. */
static void children_that_come_and_go_make_one_look_a_second(void **state)
{
	struct fixture *f = *state;
	int i;

	for (i = 0; i < 50; i++) {
		watch_a_child(f);
		now_us += 100 * 1000;
		end_child(f);
	}
	assert_int_equal(f->n_looks, 5);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_first_end_wakes_at_once),
	    TEST(after_a_look_an_end_waits_for_the_rest_to_be_over),
	    TEST(the_first_end_after_a_rest_wakes_at_once),
	    TEST(a_slow_look_is_followed_by_a_long_rest),
	    TEST(children_that_come_and_go_make_one_look_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
