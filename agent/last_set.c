#include "last_set.h"

#include "base/container_of.h"
#include "base/file.h"
#include "base/js.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LAST_SET_MAX = SYNC_RESPONSE_MAX + 1024, LAST_SET_EPOCH_MAX = 32 };

/* One round of writing: touched by one thread at a time, first the loop's, then the worker's. */
struct last_set_job {
	struct last_set_writer *writer;
	uv_work_t work;
	char *dir;
	char *text; /* of set.json; NULL: it stays as it is */
	char **artefacts;
	size_t n_artefacts;
	int64_t epoch; /* 0: it stays as it is */
	int code;
	struct err err;
	struct last_set_job *then; /* at the end: the one to be written behind it */
};

void last_set_clear(struct last_set *s)
{
	sync_items_free(s->items, s->n);
	*s = (struct last_set){0};
}

static int last_set_decode(struct json_object *obj, struct last_set *ret, struct err *err)
{
	const char *hash = js_str_or_empty(obj, "setHash");
	int r;

	if (!str_is_hex(hash, SHA256_HEX - 1) || !js_array(obj, "set"))
		return err_set(err, -EINVAL, "setHash or set is missing");
	r = sync_set_decode(js_array(obj, "set"), &ret->items, &ret->n, err);
	if (r == 0)
		memcpy(ret->hash, hash, sizeof(ret->hash));
	return r;
}

static int last_set_load_set(const char *path, struct last_set *ret, struct err *err)
{
	CLEANUP(buf_clear) struct buf text = BUF_INIT(LAST_SET_MAX);
	CLEANUP(js_putp) struct json_object *obj = NULL;
	int r = file_read(path, &text, err);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = js_parse_bounded(buf_text(&text), text.len, SYNC_RESPONSE_HEAP_MAX, &obj, err);
	if (r == 0)
		r = last_set_decode(obj, ret, err);
	return r < 0 ? err_wrap(err, "%s", path) : 0;
}

static int last_set_load_epoch(const char *path, struct last_set *ret, struct err *err)
{
	CLEANUP(buf_clear) struct buf text = BUF_INIT(LAST_SET_EPOCH_MAX);
	int r = file_read(path, &text, err);

	if (r == -ENOENT)
		return 0;
	if (r == 0 && !str_to_i64(buf_text(&text), 0, INT64_MAX, &ret->epoch))
		r = err_set(err, -EINVAL, "%s holds no number", path);
	return r;
}

int last_set_load(const char *dir, struct last_set *ret, struct err *err)
{
	CLEANUP(mem_freep) char *set = mem_printf("%s/set.json", dir);
	CLEANUP(mem_freep) char *epoch = mem_printf("%s/epoch", dir);
	struct err other;
	int r;

	*ret = (struct last_set){0};
	r = last_set_load_set(set, ret, err);
	if (r == 0)
		return last_set_load_epoch(epoch, ret, err);
	/* The one is good without the other. */
	last_set_clear(ret);
	last_set_load_epoch(epoch, ret, &other);
	return r;
}

static void last_set_job_free(struct last_set_job *job)
{
	size_t i;

	if (!job)
		return;
	for (i = 0; i < job->n_artefacts; i++)
		free(job->artefacts[i]);
	free(job->artefacts);
	free(job->text);
	free(job->dir);
	free(job);
}

static struct last_set_job *last_set_next(struct last_set_writer *w)
{
	if (!w->next) {
		w->next = MEM_NEW(struct last_set_job);
		w->next->dir = mem_strdup(w->dir);
		w->next->writer = w;
	}
	return w->next;
}

static char *last_set_print(const char *hash, const struct sync_item *items, size_t n)
{
	CLEANUP(js_putp) struct json_object *obj = js_new();

	js_put_str(obj, "setHash", hash);
	js_put(obj, "set", sync_set_encode(items, n));
	return mem_strdup(js_print(obj, NULL));
}

void last_set_writer_init(struct last_set_writer *w, uv_loop_t *loop, const char *dir)
{
	*w = (struct last_set_writer){.loop = loop, .dir = mem_strdup(dir)};
	uv_timer_init(loop, &w->retry);
}

void last_set_note(struct last_set_writer *w, const char *hash, const struct sync_item *items,
		   size_t n)
{
	struct last_set_job *job;
	int64_t epoch = w->next ? w->next->epoch : 0;
	size_t i;

	last_set_job_free(STEAL(w->next));
	job = last_set_next(w);
	job->epoch = epoch;
	job->text = last_set_print(hash, items, n);
	job->artefacts = mem_alloc(n, sizeof(*job->artefacts));
	for (i = 0; i < n; i++)
		if (items[i].want == SYNC_LOADED)
			job->artefacts[job->n_artefacts++] =
			    mem_printf("%s/policies/%s", w->dir, items[i].artefact);
}

void last_set_note_epoch(struct last_set_writer *w, int64_t epoch)
{
	last_set_next(w)->epoch = epoch;
}

/* An artefact that is not there was not kept: it will be fetched. */
static void last_set_flush_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

/* In the thread. */
static void last_set_work(uv_work_t *work)
{
	struct last_set_job *job = container_of(work, struct last_set_job, work);
	CLEANUP(mem_freep) char *set = mem_printf("%s/set.json", job->dir);
	CLEANUP(mem_freep) char *epoch = mem_printf("%s/epoch", job->dir);
	CLEANUP(mem_freep) char *number = mem_printf("%lld", (long long)job->epoch);
	size_t i;

	for (i = 0; i < job->n_artefacts; i++)
		last_set_flush_file(job->artefacts[i]);
	if (job->text)
		job->code = file_write_atomic(set, job->text, strlen(job->text), 0600, &job->err);
	if (job->code == 0 && job->epoch > 0)
		job->code = file_write_atomic(epoch, number, strlen(number), 0600, &job->err);
}

/* What could not be written waits, beside what was noted meanwhile. */
static void last_set_take_back(struct last_set_writer *w, struct last_set_job *job)
{
	struct last_set_job *next = last_set_next(w);

	if (!next->text) {
		next->text = STEAL(job->text);
		next->artefacts = STEAL(job->artefacts);
		next->n_artefacts = job->n_artefacts;
		job->n_artefacts = 0;
	}
	if (next->epoch == 0)
		next->epoch = job->epoch;
}

static void last_set_on_retry(uv_timer_t *timer)
{
	last_set_flush(container_of(timer, struct last_set_writer, retry));
}

static void last_set_on_done(uv_work_t *work, int status);

static void last_set_queue(uv_loop_t *loop, struct last_set_job *job)
{
	uv_queue_work(loop, &job->work, last_set_work, last_set_on_done);
}

static void last_set_on_failure(struct last_set_writer *w, struct last_set_job *job)
{
	if (!w->in_trouble)
		log_warn("the set is not kept for the next boot: it is tried again",
			 log_s("error", job->err.msg));
	w->in_trouble = true;
	last_set_take_back(w, job);
	uv_timer_start(&w->retry, last_set_on_retry, LAST_SET_RETRY_MS, 0);
}

static void last_set_on_done(uv_work_t *work, int status)
{
	struct last_set_job *job = container_of(work, struct last_set_job, work);
	struct last_set_writer *w = job->writer;

	(void)status; /* nobody cancels it */
	if (w)
		w->running = NULL;
	else if (job->code < 0)
		log_warn("the set is not kept for the next boot", log_s("error", job->err.msg));
	if (job->then) {
		last_set_queue(work->loop, job->then);
	} else if (w && job->code < 0) {
		last_set_on_failure(w, job);
	} else if (w) {
		w->in_trouble = false;
		last_set_flush(w);
	}
	last_set_job_free(job);
}

void last_set_flush(struct last_set_writer *w)
{
	if (w->running || !w->next)
		return;
	uv_timer_stop(&w->retry);
	w->running = STEAL(w->next);
	last_set_queue(w->loop, w->running);
}

void last_set_writer_close(struct last_set_writer *w)
{
	struct last_set_job *next;

	uv_timer_stop(&w->retry);
	if (!w->running)
		last_set_flush(w);
	next = STEAL(w->next);
	if (next)
		next->writer = NULL;
	if (w->running) {
		w->running->writer = NULL;
		w->running->then = next;
	}
	w->running = NULL;
	free(STEAL(w->dir));
}
