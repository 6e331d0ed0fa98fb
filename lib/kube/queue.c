#include "kube/queue.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/mem.h"
#include "kube/queue_rules.h"

#include <stdlib.h>

/*
 * The happy path:
 *
 *  - A key is added, and the timer armed for the earliest time at which there may be work.
 *  - The timer hands out keys, as many as may be worked on at once.
 *  - kube_queue_done() tells the rules, and the timer is armed again.
 *
 * What else can happen:
 *
 *  - Work ends inside `work`: the hand-out that is under way goes on with the next key.
 *  - The queue is closed inside `work`: the hand-out stops.
 */

struct kube_queue {
	uv_timer_t timer;
	struct queue_rules rules;
	struct kube_queue_spec spec;
	bool handing_out;
	bool closed;
};

static void queue_on_timer(uv_timer_t *timer);

static void queue_arm(struct kube_queue *queue)
{
	int64_t at_ms = queue_rules_next_ms(&queue->rules);
	int64_t now_ms;

	if (queue->handing_out)
		return;
	if (at_ms < 0 || queue->rules.n_active >= queue->spec.max_active) {
		uv_timer_stop(&queue->timer);
		return;
	}
	now_ms = clock_mono_ms();
	/* libuv counts from the beginning of this turn of the loop. */
	uv_update_time(queue->timer.loop);
	uv_timer_start(&queue->timer, queue_on_timer,
		       at_ms > now_ms ? (uint64_t)(at_ms - now_ms) : 0, 0);
}

static void queue_on_timer(uv_timer_t *timer)
{
	struct kube_queue *queue = container_of(timer, struct kube_queue, timer);
	const char *key;

	queue->handing_out = true;
	while (!queue->closed && queue->rules.n_active < queue->spec.max_active &&
	       (key = queue_rules_take(&queue->rules, clock_mono_ms())))
		queue->spec.work(queue->spec.data, key);
	queue->handing_out = false;
	if (!queue->closed)
		queue_arm(queue);
}

struct kube_queue *kube_queue_new(uv_loop_t *loop, const struct kube_queue_spec *spec)
{
	struct kube_queue *queue = MEM_NEW(struct kube_queue);

	queue->spec = *spec;
	queue_rules_init(&queue->rules);
	uv_timer_init(loop, &queue->timer);
	return queue;
}

void kube_queue_add(struct kube_queue *queue, const char *key)
{
	queue_rules_add(&queue->rules, key);
	queue_arm(queue);
}

void kube_queue_add_after(struct kube_queue *queue, const char *key, uint64_t ms)
{
	queue_rules_add_after(&queue->rules, key, clock_mono_ms() + (int64_t)ms);
	queue_arm(queue);
}

void kube_queue_done(struct kube_queue *queue, const char *key, bool ok)
{
	queue_rules_done(&queue->rules, key, ok, clock_mono_ms());
	queue_arm(queue);
}

size_t kube_queue_len(const struct kube_queue *queue)
{
	return queue_rules_len(&queue->rules);
}

size_t kube_queue_active(const struct kube_queue *queue)
{
	return queue->rules.n_active;
}

static void queue_free(uv_handle_t *timer)
{
	struct kube_queue *queue = container_of(timer, struct kube_queue, timer);

	queue_rules_clear(&queue->rules);
	free(queue);
}

void kube_queue_close(struct kube_queue *queue)
{
	queue->closed = true;
	uv_close((uv_handle_t *)&queue->timer, queue_free);
}
