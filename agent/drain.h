#pragma once

/*
 * Wakes when something may have stopped running under a profile that is to be removed.
 *
 * The end of a process comes as an event of its pidfd. A process that goes over to another profile
 * without ending makes no event anywhere, so while anything is watched, and only then, a slow timer
 * wakes too.
 */

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
};

void drain_init(struct drain *d, uv_loop_t *loop, void (*wake)(void *data), void *data);

/* Watch these processes in place of those before; n is 0: none, and no timer either. Those beyond
 * DRAIN_WATCHED_MAX are not watched: they matter when these have ended. */
void drain_watch(struct drain *d, const int64_t *pids, size_t n);
