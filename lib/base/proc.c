#include "base/proc.h"

#include "base/container_of.h"

#include <signal.h>

/*
 * The happy path:
 *
 *  - proc_start() spawns the child on three pipes, starts to write its input and arms the timer.
 *  - The input is written and that pipe shut; the child exits and both of its outputs end, in any
 *    order.
 *  - All handles are closed; the last close callback calls `done`.
 *
 * What else can happen:
 *
 *  - The child cannot be spawned: the handles are closed and `done` gets the error.
 *  - The child exits without having read its input: the write fails with EPIPE, which ends it as
 * well.
 *  - The timer fires, or an output outgrows its buffer: we kill the child's process group and stop
 *    reading and writing; the path continues with its exit.
 */

static void proc_on_closed(uv_handle_t *handle)
{
	struct proc *proc = handle->data;
	struct proc_result res;
	struct buf out, err;

	if (--proc->n_open > 0)
		return;

	/* `done` may free the proc, so what it reads must not live there. */
	out = proc->out.buf;
	err = proc->err.buf;
	res = proc->res;
	res.out = &out;
	res.err = &err;
	proc->done(proc, &res);
	buf_clear(&out);
	buf_clear(&err);
}

static void proc_close_pipe(struct proc *proc, uv_pipe_t *pipe)
{
	(void)proc;
	if (!uv_is_closing((uv_handle_t *)pipe))
		uv_close((uv_handle_t *)pipe, proc_on_closed);
}

static void proc_close_if_over(struct proc *proc)
{
	if (proc->running || proc->out.open || proc->err.open || proc->writing)
		return;
	uv_close((uv_handle_t *)&proc->timer, proc_on_closed);
	uv_close((uv_handle_t *)&proc->process, proc_on_closed);
	proc_close_pipe(proc, &proc->in);
	proc_close_pipe(proc, &proc->out.pipe);
	proc_close_pipe(proc, &proc->err.pipe);
}

static void proc_stop_reading(struct proc_stream *s)
{
	uv_read_stop((uv_stream_t *)&s->pipe);
	s->open = false;
}

/* The child is beyond its limits: end it, and wait for nothing but its exit. */
static void proc_give_up(struct proc *proc)
{
	proc_kill(proc);
	proc_stop_reading(&proc->out);
	proc_stop_reading(&proc->err);
	/* Closing the pipe cancels the write; its callback clears `writing`. */
	proc_close_pipe(proc, &proc->in);
	proc_close_if_over(proc);
}

static void proc_on_exit(uv_process_t *process, int64_t exit_code, int signal)
{
	struct proc *proc = container_of(process, struct proc, process);

	proc->res.exit_code = exit_code;
	proc->res.signal = signal;
	proc->running = false;
	/* A grandchild may hold the other end open; nobody is left who should read it. */
	if (proc->writing)
		proc_close_pipe(proc, &proc->in);
	proc_close_if_over(proc);
}

static void proc_on_timeout(uv_timer_t *timer)
{
	struct proc *proc = container_of(timer, struct proc, timer);

	proc->res.timed_out = true;
	proc_give_up(proc);
}

static void proc_on_written(uv_write_t *write, int status)
{
	struct proc *proc = container_of(write, struct proc, write);

	(void)status; /* a child that does not want its input says so by its exit code */
	proc->writing = false;
	proc_close_pipe(proc, &proc->in);
	proc_close_if_over(proc);
}

static void proc_on_alloc(uv_handle_t *pipe, size_t hint, uv_buf_t *out)
{
	static char chunk[65536];

	(void)pipe;
	(void)hint;
	*out = uv_buf_init(chunk, sizeof(chunk));
}

static void proc_on_output(uv_stream_t *pipe, ssize_t n, const uv_buf_t *chunk)
{
	struct proc *proc = pipe->data;
	struct proc_stream *s = pipe == (uv_stream_t *)&proc->out.pipe ? &proc->out : &proc->err;

	if (n < 0) {
		proc_stop_reading(s);
		proc_close_if_over(proc);
	} else if (!buf_add(&s->buf, chunk->base, (size_t)n)) {
		proc->res.truncated = true;
		proc_give_up(proc);
	}
}

static int proc_spawn(struct proc *proc, uv_loop_t *loop, const struct proc_spec *spec)
{
	static char *no_env[] = {NULL};
	uv_stdio_container_t stdio[3] = {
	    {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&proc->in},
	    {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
	     .data.stream = (uv_stream_t *)&proc->out.pipe},
	    {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
	     .data.stream = (uv_stream_t *)&proc->err.pipe},
	};
	uv_process_options_t options = {
	    .file = spec->file,
	    .args = spec->argv,
	    .env = spec->env ? spec->env : no_env,
	    .exit_cb = proc_on_exit,
	    .flags = UV_PROCESS_DETACHED,
	    .stdio = stdio,
	    .stdio_count = 3,
	};

	return uv_spawn(loop, &proc->process, &options);
}

static void proc_start_io(struct proc *proc, const struct proc_spec *spec)
{
	uv_buf_t input = uv_buf_init((char *)spec->input, (unsigned int)spec->n_input);

	proc->running = true;
	proc->out.open = proc->err.open = true;
	uv_read_start((uv_stream_t *)&proc->out.pipe, proc_on_alloc, proc_on_output);
	uv_read_start((uv_stream_t *)&proc->err.pipe, proc_on_alloc, proc_on_output);
	uv_timer_start(&proc->timer, proc_on_timeout, spec->timeout_ms, 0);
	if (spec->n_input > 0 &&
	    uv_write(&proc->write, (uv_stream_t *)&proc->in, &input, 1, proc_on_written) == 0)
		proc->writing = true;
	else
		proc_close_pipe(proc, &proc->in);
}

void proc_start(struct proc *proc, uv_loop_t *loop, const struct proc_spec *spec, proc_done_fn done)
{
	*proc = (struct proc){.done = done, .n_open = 5};
	proc->out.buf.max = spec->out_max;
	proc->err.buf.max = spec->err_max;

	uv_timer_init(loop, &proc->timer);
	uv_pipe_init(loop, &proc->in, 0);
	uv_pipe_init(loop, &proc->out.pipe, 0);
	uv_pipe_init(loop, &proc->err.pipe, 0);
	proc->res.error = proc_spawn(proc, loop, spec);

	/* uv_spawn() initialises the process handle even when it fails. */
	proc->process.data = proc;
	proc->timer.data = proc;
	proc->in.data = proc->out.pipe.data = proc->err.pipe.data = proc;

	if (proc->res.error)
		proc_close_if_over(proc);
	else
		proc_start_io(proc, spec);
}

void proc_kill(struct proc *proc)
{
	if (proc->running)
		uv_kill(-uv_process_get_pid(&proc->process), SIGKILL);
}
