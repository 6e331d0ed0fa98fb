#pragma once

/*
 * Run one short-lived child process: feed it, collect what it prints, end it in time.
 *
 * The child gets an environment of its own, three pipes, and leads a process group, so that
 * what it starts ends with it. The process that uses this ignores SIGPIPE.
 */

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct proc;

struct proc_spec {
	const char *file;
	char **argv;       /* NULL-terminated, argv[0] included */
	char **env;        /* NULL-terminated; NULL: an empty environment */
	const char *input; /* for its standard input; stays the caller's, until `done` */
	size_t n_input;
	size_t out_max; /* a child that prints more is ended */
	size_t err_max;
	uint64_t timeout_ms;
};

struct proc_result {
	int error;         /* 0, or why the child could not be started (UV_E*) */
	int64_t exit_code; /* meaningful when error is 0 and signal is 0 */
	int signal;
	bool timed_out;
	bool truncated;  /* it printed more than it may, on either stream */
	struct buf *out; /* what it wrote to stdout and stderr; gone after `done` */
	struct buf *err;
};

typedef void (*proc_done_fn)(struct proc *proc, const struct proc_result *res);

struct proc_stream {
	uv_pipe_t pipe;
	struct buf buf;
	bool open; /* its output has not ended */
};

/* Embed in the object that wants the child run; the fields are private. */
struct proc {
	uv_process_t process;
	uv_timer_t timer;
	uv_pipe_t in;
	uv_write_t write;
	struct proc_stream out, err;
	struct proc_result res;
	proc_done_fn done;
	bool running; /* the child has not exited */
	bool writing; /* its input is not all written */
	int n_open;   /* handles whose close callback is still to come */
};

/* Start the child. `done` is called exactly once, always from the loop and never from inside
 * proc_start(), also when the child could not be started. After it `proc` may be freed or started
 * again. */
void proc_start(struct proc *proc, uv_loop_t *loop, const struct proc_spec *spec,
		proc_done_fn done);

/* End the child, and what it started, early; `done` follows as usual. Valid until `done` is called.
 */
void proc_kill(struct proc *proc);
