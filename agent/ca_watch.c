#include "ca_watch.h"

#include "base/container_of.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>

enum { CA_WATCH_MAX = 1 << 20, CA_WATCH_AGAIN_MS = 5000 };

static void ca_watch_read(struct ca_watch *w)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/ca.crt", w->dir);
	CLEANUP(buf_clear) struct buf pem = BUF_INIT(CA_WATCH_MAX);
	struct err err;
	int r = file_read(path, &pem, &err);

	/* It comes when it comes; and while the link is exchanged it may be gone for a moment. */
	if (r == -ENOENT)
		return;
	if (r < 0) {
		log_warn("cannot read the CA", log_s("error", err.msg));
		return;
	}
	if (pem.len == 0 || str_equal(w->pem, buf_text(&pem)))
		return;
	mem_replace(&w->pem, buf_steal(&pem));
	w->changed(w->data, w->pem);
}

static void ca_watch_on_event(uv_fs_event_t *event, const char *name, int events, int status)
{
	(void)name;
	(void)events;
	(void)status;
	ca_watch_read(container_of(event, struct ca_watch, event));
}

/* Watch first and read then, so that nothing falls in between. */
static void ca_watch_begin(uv_timer_t *timer)
{
	struct ca_watch *w = container_of(timer, struct ca_watch, again);
	int r = uv_fs_event_start(&w->event, ca_watch_on_event, w->dir, 0);

	if (r < 0) {
		log_warn("cannot watch the folder of the CA", log_s("path", w->dir),
			 log_s("error", uv_strerror(r)));
		uv_timer_start(timer, ca_watch_begin, CA_WATCH_AGAIN_MS, 0);
		return;
	}
	ca_watch_read(w);
	if (!w->pem)
		log_info("waiting for the CA", log_s("path", w->dir));
}

void ca_watch_start(struct ca_watch *w, uv_loop_t *loop, const char *dir,
		    void (*changed)(void *data, const char *pem), void *data)
{
	*w = (struct ca_watch){.dir = mem_strdup(dir), .changed = changed, .data = data};
	uv_fs_event_init(loop, &w->event);
	uv_timer_init(loop, &w->again);
	uv_timer_start(&w->again, ca_watch_begin, 0, 0);
}

static void ca_watch_on_closed(uv_handle_t *handle)
{
	struct ca_watch *w = handle->data;

	if (--w->n_handles > 0)
		return;
	free(w->dir);
	free(w->pem);
}

static void ca_watch_close_handle(struct ca_watch *w, uv_handle_t *handle)
{
	handle->data = w;
	w->n_handles++;
	uv_close(handle, ca_watch_on_closed);
}

void ca_watch_close(struct ca_watch *w)
{
	ca_watch_close_handle(w, (uv_handle_t *)&w->event);
	ca_watch_close_handle(w, (uv_handle_t *)&w->again);
}
