#include "drain.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DRAIN_SLOW_MS = 5000, DRAIN_BLIND_MS = 1000, DRAIN_GONE_MS = 10 };

/* A look costs at most a twentieth of the time, up to looks of 1.5 s. What else the agent does in
 * the meantime counts as part of the look, which the upper bound keeps from mattering much. */
enum { DRAIN_REST_TIMES = 20, DRAIN_REST_MIN_MS = 1000, DRAIN_REST_MAX_MS = 30000 };

struct drain_watch {
	struct drain *drain;
	uv_poll_t poll;
	int fd;
};

void drain_init(struct drain *d, uv_loop_t *loop, void (*wake)(void *data), void *data)
{
	*d = (struct drain){.loop = loop, .wake = wake, .data = data};
	uv_timer_init(loop, &d->timer);
}

static void drain_on_closed(uv_handle_t *handle)
{
	struct drain_watch *w = container_of(handle, struct drain_watch, poll);

	close(w->fd);
	free(w);
}

static void drain_drop(struct drain *d)
{
	size_t i;

	for (i = 0; i < d->n; i++)
		uv_close((uv_handle_t *)&d->watches[i]->poll, drain_on_closed);
	d->n = 0;
}

static void drain_wake(struct drain *d)
{
	drain_drop(d);
	uv_timer_stop(&d->timer);
	d->is_looking = true;
	d->look_us = clock_mono_us();
	d->wake(d->data);
}

static void drain_rest(struct drain *d)
{
	int64_t now_us = clock_mono_us();
	int64_t rest_us = DRAIN_REST_TIMES * (now_us - d->look_us);

	if (!d->is_looking)
		return;
	d->is_looking = false;
	if (rest_us < DRAIN_REST_MIN_MS * 1000)
		rest_us = DRAIN_REST_MIN_MS * 1000;
	if (rest_us > DRAIN_REST_MAX_MS * 1000)
		rest_us = DRAIN_REST_MAX_MS * 1000;
	d->rest_until_us = now_us + rest_us;
}

static uint64_t drain_rest_left_ms(const struct drain *d)
{
	int64_t left_us = d->rest_until_us - clock_mono_us();

	return left_us > 0 ? (uint64_t)(left_us + 999) / 1000 : 0;
}

static void drain_on_timer(uv_timer_t *timer)
{
	drain_wake(container_of(timer, struct drain, timer));
}

/* An exit is readable for ever, so in a rest nothing more is watched: the look is due anyway. */
static void drain_on_exit(uv_poll_t *poll, int status, int events)
{
	struct drain *d = container_of(poll, struct drain_watch, poll)->drain;
	uint64_t rest_ms = drain_rest_left_ms(d);

	(void)status;
	(void)events;
	if (rest_ms == 0) {
		drain_wake(d);
		return;
	}
	drain_drop(d);
	uv_timer_start(&d->timer, drain_on_timer, rest_ms, 0);
}

/* pidfd_open(2): readable once the whole process has ended. Returns how long to wait at most before
 * the next look. */
static uint64_t drain_add(struct drain *d, int64_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	struct drain_watch *w;

	if (fd < 0)
		return errno == ESRCH ? DRAIN_GONE_MS : DRAIN_BLIND_MS;
	w = MEM_NEW(struct drain_watch);
	w->drain = d;
	w->fd = fd;
	if (uv_poll_init(d->loop, &w->poll, fd) < 0) {
		close(fd);
		free(w);
		return DRAIN_BLIND_MS;
	}
	uv_poll_start(&w->poll, UV_READABLE, drain_on_exit);
	d->watches[d->n++] = w;
	return DRAIN_SLOW_MS;
}

void drain_watch(struct drain *d, const int64_t *pids, size_t n)
{
	uint64_t wait_ms = DRAIN_SLOW_MS;
	uint64_t rest_ms;
	size_t i;

	drain_rest(d);
	drain_drop(d);
	uv_timer_stop(&d->timer);
	if (n == 0)
		return;
	for (i = 0; i < n && d->n < DRAIN_WATCHED_MAX; i++) {
		uint64_t at_most = drain_add(d, pids[i]);

		wait_ms = at_most < wait_ms ? at_most : wait_ms;
	}
	rest_ms = drain_rest_left_ms(d);
	uv_timer_start(&d->timer, drain_on_timer, wait_ms > rest_ms ? wait_ms : rest_ms, 0);
}
