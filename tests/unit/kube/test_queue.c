#include "kube/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct bench {
	uv_loop_t loop;
	struct kube_queue *queue;
	char trace[256];
	char held[8][8]; /* keys whose work has not ended */
	unsigned int n_held, most_held;
	bool later;          /* work ends later, not at once */
	unsigned int n_fail; /* the first so many fail */
	bool close_inside;
};

static void work(void *data, const char *key)
{
	struct bench *b = data;

	strncat(b->trace, key, sizeof(b->trace) - strlen(b->trace) - 1);
	if (b->close_inside) {
		kube_queue_close(b->queue);
		b->queue = NULL;
		return;
	}
	if (b->later) {
		snprintf(b->held[b->n_held++], sizeof(b->held[0]), "%s", key);
		b->most_held = b->n_held > b->most_held ? b->n_held : b->most_held;
		return;
	}
	kube_queue_done(b->queue, key, b->n_fail == 0);
	if (b->n_fail > 0)
		b->n_fail--;
}

static void set_up(struct bench *b, unsigned int max_active)
{
	struct kube_queue_spec spec = {.max_active = max_active, .work = work, .data = b};

	*b = (struct bench){0};
	uv_loop_init(&b->loop);
	b->queue = kube_queue_new(&b->loop, &spec);
}

static void tear_down(struct bench *b)
{
	if (b->queue)
		kube_queue_close(b->queue);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
}

static void work_comes_from_the_loop_only(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b, 1);
	kube_queue_add(b.queue, "a");
	kube_queue_add(b.queue, "b");
	assert_string_equal(b.trace, "");
	uv_run(&b.loop, UV_RUN_DEFAULT);
	assert_string_equal(b.trace, "ab");
	tear_down(&b);
}

static void no_more_keys_are_worked_on_at_once_than_allowed(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b, 2);
	b.later = true;
	kube_queue_add(b.queue, "a");
	kube_queue_add(b.queue, "b");
	kube_queue_add(b.queue, "c");
	uv_run(&b.loop, UV_RUN_DEFAULT);
	assert_string_equal(b.trace, "ab");
	assert_int_equal(kube_queue_active(b.queue), 2);
	assert_int_equal(kube_queue_len(b.queue), 3);
	kube_queue_done(b.queue, b.held[0], true);
	uv_run(&b.loop, UV_RUN_DEFAULT);
	assert_string_equal(b.trace, "abc");
	kube_queue_done(b.queue, b.held[1], true);
	kube_queue_done(b.queue, b.held[2], true);
	uv_run(&b.loop, UV_RUN_DEFAULT);
	assert_int_equal(kube_queue_len(b.queue), 0);
	tear_down(&b);
}

static void what_failed_comes_again_by_itself(void **state)
{
	struct bench b;
	uint64_t began_ms;

	(void)state;
	set_up(&b, 1);
	b.n_fail = 3;
	began_ms = uv_now(&b.loop);
	kube_queue_add(b.queue, "a");
	uv_run(&b.loop, UV_RUN_DEFAULT);
	assert_string_equal(b.trace, "aaaa");
	assert_true(uv_now(&b.loop) - began_ms >= 5 + 10 + 20 - 3);
	tear_down(&b);
}

static void a_delay_is_kept(void **state)
{
	struct bench b;
	uint64_t began_ms;

	(void)state;
	set_up(&b, 1);
	began_ms = uv_now(&b.loop);
	kube_queue_add_after(b.queue, "late", 60);
	kube_queue_add_after(b.queue, "soon", 20);
	uv_run(&b.loop, UV_RUN_DEFAULT);
	assert_string_equal(b.trace, "soonlate");
	assert_true(uv_now(&b.loop) - began_ms >= 59);
	tear_down(&b);
}

static void the_queue_may_be_closed_inside_work(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b, 4);
	b.close_inside = true;
	kube_queue_add(b.queue, "a");
	kube_queue_add(b.queue, "b");
	uv_run(&b.loop, UV_RUN_DEFAULT);
	assert_string_equal(b.trace, "a");
	tear_down(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(work_comes_from_the_loop_only),
	    cmocka_unit_test(no_more_keys_are_worked_on_at_once_than_allowed),
	    cmocka_unit_test(what_failed_comes_again_by_itself),
	    cmocka_unit_test(a_delay_is_kept),
	    cmocka_unit_test(the_queue_may_be_closed_inside_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
