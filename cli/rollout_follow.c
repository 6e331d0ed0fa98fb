#include "api/profile.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/profile_read.h"
#include "cli/rollout.h"
#include "kube/informer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * The object is read once, so that what cannot be read is told at once. With --watch an informer
 * follows it then; each change is judged and shown, and the first verdict that is final ends it. On
 * a terminal the bar is drawn again each second as well, for the time that a soak has left.
 */

enum { FOLLOW_TICK_MS = 1000, FOLLOW_WIDTH = 80 };

struct follow {
	const struct rollout_follow_spec *spec;
	struct json_object *aap;
	char *line;    /* shown last; NULL: none */
	bool drawn;    /* a bar stands in the line of the cursor */
	char *trouble; /* told last */
	enum rollout_verdict verdict;
	char *why;
	bool found; /* by the informer */
	bool done, timed_out;
	int n_timers;
};

static size_t follow_width(FILE *out)
{
	struct winsize size = {0};

	if (ioctl(fileno(out), TIOCGWINSZ, &size) < 0 || size.ws_col < 2)
		return FOLLOW_WIDTH;
	return (size_t)size.ws_col - 1; /* a full line would wrap */
}

static void follow_draw(struct follow *f)
{
	struct rollout_seen seen;
	CLEANUP(mem_freep) char *bar = NULL;

	rollout_see(f->aap, clock_wall_ms(), &seen);
	bar = rollout_bar(&seen, follow_width(f->spec->out));
	fprintf(f->spec->out, "\r%s\x1b[K", bar);
	fflush(f->spec->out);
	f->drawn = true;
}

static void follow_end_bar(struct follow *f)
{
	if (f->drawn)
		fputc('\n', f->spec->out);
	f->drawn = false;
}

static void follow_print(struct follow *f)
{
	struct rollout_seen seen;
	char *line;

	rollout_see(f->aap, clock_wall_ms(), &seen);
	line = rollout_line(&seen);
	if (!str_equal(line, f->line)) {
		fprintf(f->spec->out, "%s: %s\n", seen.name, line);
		fflush(f->spec->out);
	}
	mem_replace(&f->line, line);
}

static void follow_take(struct follow *f, struct json_object *aap)
{
	if (f->done)
		return;
	json_object_put(f->aap);
	f->aap = json_object_get(aap);
	free(f->why);
	f->verdict = rollout_judge(aap, &f->why);
	f->done = f->verdict != ROLLOUT_GOING;
	if (f->spec->terminal && f->spec->watch)
		follow_draw(f);
	else
		follow_print(f);
}

static void follow_on_add(void *data, struct json_object *aap)
{
	struct follow *f = data;

	f->found = true;
	follow_take(f, aap);
}

static void follow_on_update(void *data, struct json_object *old, struct json_object *aap)
{
	(void)old;
	follow_take(data, aap);
}

static void follow_lose(struct follow *f)
{
	mem_replace(&f->why, mem_strdup("it was deleted"));
	f->verdict = ROLLOUT_FAILED;
	f->done = true;
}

static void follow_on_delete(void *data, struct json_object *aap)
{
	(void)aap;
	follow_lose(data);
}

static void follow_on_synced(void *data)
{
	struct follow *f = data;

	if (!f->found)
		follow_lose(f);
}

static void follow_on_trouble(void *data, const char *why)
{
	struct follow *f = data;

	if (str_equal(why, f->trouble))
		return;
	follow_end_bar(f);
	fprintf(stderr, "%s: the API server cannot be followed, and is tried again: %s\n",
		f->spec->name, why);
	mem_replace(&f->trouble, mem_strdup(why));
}

static void follow_on_tick(uv_timer_t *timer)
{
	struct follow *f = timer->data;

	if (f->spec->terminal && !f->done)
		follow_draw(f);
}

static void follow_on_timeout(uv_timer_t *timer)
{
	struct follow *f = timer->data;

	f->timed_out = !f->done;
	f->done = true;
}

static void follow_on_timer_closed(uv_handle_t *timer)
{
	((struct follow *)timer->data)->n_timers--;
}

static void follow_start_timer(struct follow *f, uv_loop_t *loop, uv_timer_t *timer, uv_timer_cb cb,
			       int64_t ms, int64_t repeat_ms)
{
	uv_timer_init(loop, timer);
	timer->data = f;
	f->n_timers++;
	if (ms > 0)
		uv_timer_start(timer, cb, (uint64_t)ms, (uint64_t)repeat_ms);
}

static void follow_watch(struct follow *f, struct cluster *cluster)
{
	CLEANUP(mem_freep) char *selector = mem_printf("metadata.name=%s", f->spec->name);
	struct kube_informer_spec spec = {
	    .path = PROFILE_PATH,
	    .field_selector = selector,
	    .on_add = follow_on_add,
	    .on_update = follow_on_update,
	    .on_delete = follow_on_delete,
	    .on_synced = follow_on_synced,
	    .on_trouble = follow_on_trouble,
	    .data = f,
	};
	uv_loop_t *loop = cluster_loop(cluster);
	struct kube_informer *informer = kube_informer_start(cluster_client(cluster), &spec);
	uv_timer_t tick, timeout;

	follow_start_timer(f, loop, &tick, follow_on_tick, FOLLOW_TICK_MS, FOLLOW_TICK_MS);
	follow_start_timer(f, loop, &timeout, follow_on_timeout, f->spec->timeout_ms, 0);
	cluster_run_until(cluster, &f->done);
	kube_informer_close(informer);
	uv_close((uv_handle_t *)&tick, follow_on_timer_closed);
	uv_close((uv_handle_t *)&timeout, follow_on_timer_closed);
	while (f->n_timers > 0)
		uv_run(loop, UV_RUN_ONCE);
}

int rollout_follow(struct cluster *cluster, const struct rollout_follow_spec *spec,
		   enum rollout_verdict *ret, char **ret_why, struct err *err)
{
	struct follow f = {.spec = spec};
	struct json_object *aap = NULL;
	int r = profile_read(cluster, spec->name, &aap, err);

	if (r < 0)
		return r;
	follow_take(&f, aap);
	if (spec->watch && !f.done)
		follow_watch(&f, cluster);
	follow_end_bar(&f);
	if (f.timed_out)
		r = err_set(err, -ETIMEDOUT,
			    "%s: the rollout is not over after %lld s, and goes on without an "
			    "onlooker",
			    spec->name, (long long)spec->timeout_ms / 1000);
	*ret = f.verdict;
	*ret_why = f.why;
	json_object_put(aap);
	json_object_put(f.aap);
	free(f.line);
	free(f.trouble);
	return r;
}

bool rollout_duration(const char *text, int64_t *ret_ms)
{
	int64_t ms = 0, n;

	if (str_to_i64(text, 0, INT32_MAX, &n)) {
		*ret_ms = n * 1000;
		return true;
	}
	while (*text) {
		size_t digits = strspn(text, "0123456789");
		CLEANUP(mem_freep) char *number = mem_strndup(text, digits);
		const char *unit = text[digits] ? strchr("smh", text[digits]) : NULL;

		if (!unit || !str_to_i64(number, 0, INT32_MAX, &n))
			return false;
		ms += n * 1000 * (*unit == 's' ? 1 : *unit == 'm' ? 60 : 3600);
		text += digits + 1;
	}
	*ret_ms = ms;
	return ms > 0;
}
