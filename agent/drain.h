#pragma once

/*
 * Wakes when something may have stopped running under a profile that is to be removed.
 *
 * The end of a process comes as an event of its pidfd. A process that goes over to another profile
 * without ending makes no event anywhere, so while anything is watched, and only then, a slow timer
 * wakes too.
 *
 * Whoever is woken looks at all tasks of the node, and a pod can start and end processes as often
 * as it likes. So each look is followed by a rest that is many times as long, in which an end is
 * noted and nothing else; the first one after it wakes at once.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum { DRAIN_WATCHED_MAX = 64 };

struct drain_watch;

struct drain {
	uv_loop_t *loop;
	uv_timer_t timer;
	struct drain_watch *watches[DRAIN_WATCHED_MAX];
	size_t n;
	void (*wake)(void *data);
	void *data;
	bool is_looking;       /* woken, and not told what to watch since */
	int64_t look_us;       /* when it woke last */
	int64_t rest_until_us; /* no look before */
};

void drain_init(struct drain *d, uv_loop_t *loop, void (*wake)(void *data), void *data);

/* Watch these processes in place of those before; n is 0: none, and no timer either. Those beyond
 * DRAIN_WATCHED_MAX are not watched: they matter when these have ended. The first call after `wake`
 * says that the look is done, and its time is how long that took. */
void drain_watch(struct drain *d, const int64_t *pids, size_t n);
