#include "agent.h"

#include "base/buf.h"
#include "base/container_of.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha.h"
#include "ca_watch.h"
#include "fetch.h"
#include "keeper.h"
#include "kernel.h"
#include "last_set.h"
#include "net/http_client.h"
#include "record.h"
#include "sync_client.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/utsname.h>
#include <unistd.h>

/*
 * The happy path:
 *
 *  - agent_new() takes the lock, looks at the kernel, and tells the keeper the set that was
 * accepted last, so that a node that boots does not wait for the controller.
 *  - When the CA is there the first sync goes out, with the report.
 *  - A response with a set goes to the keeper. When it has nothing left to do the next sync goes
 *    out and tells; a quarter of a second after the first change too where something has come to an
 *    end by then, and in any case after two seconds, for the set may have changed meanwhile.
 *  - A moment later the disk is brought up to date and memory given back.
 *  - A response without a set is answered by the next sync at once: that is the long-poll.
 *
 * What else can happen:
 *
 *  - Something changes while a poll is held: policy was changed by somebody else, a task ended, a
 *    retry worked. Where the report became another one, the poll is given up for a new one; for
 *    details alone, such as which processes hold a profile, not at each change.
 *  - The CA changes: it is used from the next request on, and a wait after a failure ends.
 *  - The kernel has no AppArmor: the keeper is told so, and reports it.
 */

enum {
	AGENT_REPORT_MS = 250,
	AGENT_PATIENCE_MS = 2000,
	AGENT_SETTLE_MS = 100,
	AGENT_DETAILS_MS = 10 * 1000, /* between two polls that tell nothing but details */
};

struct agent {
	uv_loop_t *loop;
	const struct agent_options *options;
	int lock;
	int n_closing;
	char *kernel_release;
	char *features; /* text; "" where AppArmor is off */
	int64_t epoch;
	struct kernel_node kernel;
	struct keeper *keeper;
	struct fetch_http fetch;
	struct http_client *http;
	struct sync_client *sync; /* NULL until there is a CA */
	struct ca_watch ca;
	struct last_set_writer writer;
	uv_poll_t revision;
	uv_timer_t report;  /* runs while something waits to be reported */
	uv_timer_t details; /* runs while nothing but details waits to be */
	uv_timer_t settle;
	uint64_t told_ms; /* when the last report was made, by the loop's clock */
	bool has_kernel;
	bool set_is_new; /* it is not noted for the disk yet */
	bool is_patient; /* `report` fired once, and nothing had come to an end */
	char boot_id[RECORD_BOOT_ID_SIZE];
	char features_hash[SHA256_HEX];
	char set_hash[SHA256_HEX];   /* of the set last accepted */
	char told_ended[SHA256_HEX]; /* of what was not pending in the report last made */
};

/* ---- speaking ---- */

/* A hash of what is not under way any more. */
static void agent_hash_ended(const struct sync_report *report, char out[SHA256_HEX])
{
	CLEANUP(buf_clear) struct buf text = BUF_INIT(SIZE_MAX);
	size_t i;

	for (i = 0; i < report->n; i++)
		if (report->items[i].state != SYNC_STATE_PENDING)
			buf_addf(&text, "%s %d %d %s\n", report->items[i].name,
				 (int)report->items[i].state, (int)report->items[i].reason,
				 report->items[i].revision);
	sha256_hex(buf_text(&text), text.len, out);
}

enum agent_news {
	AGENT_NEWS_NONE,    /* the report is the one last made */
	AGENT_NEWS_DETAILS, /* what is pending, in what words, and who holds what */
	AGENT_NEWS_ENDED,   /* something has come to an end */
};

static enum agent_news agent_news(const struct agent *a)
{
	struct sync_report report;
	const char *told = a->sync ? sync_client_told_report(a->sync) : "";
	char hash[SHA256_HEX], ended[SHA256_HEX];

	keeper_report(a->keeper, &report);
	sync_report_hash(&report, hash);
	agent_hash_ended(&report, ended);
	sync_report_clear(&report);
	if (strcmp(ended, a->told_ended) != 0)
		return AGENT_NEWS_ENDED;
	return strcmp(hash, told) != 0 ? AGENT_NEWS_DETAILS : AGENT_NEWS_NONE;
}

static void agent_on_details_timer(uv_timer_t *timer);

/* A new poll costs both sides the connection of the one that is held: details wait for others. */
static void agent_give_up_poll(struct agent *a)
{
	uint64_t due_ms = a->told_ms + AGENT_DETAILS_MS, now_ms = uv_now(a->loop);
	enum agent_news news = agent_news(a);

	if (news == AGENT_NEWS_ENDED || (news == AGENT_NEWS_DETAILS && now_ms >= due_ms))
		sync_client_go(a->sync);
	else if (news == AGENT_NEWS_DETAILS)
		uv_timer_start(&a->details, agent_on_details_timer, due_ms - now_ms, 0);
}

static void agent_speak(struct agent *a)
{
	uv_timer_stop(&a->report);
	uv_timer_stop(&a->details);
	a->is_patient = false;
	if (a->sync && sync_client_is_polling(a->sync))
		agent_give_up_poll(a);
	else if (a->sync)
		sync_client_go(a->sync);
}

static void agent_on_details_timer(uv_timer_t *timer)
{
	agent_speak(container_of(timer, struct agent, details));
}

static void agent_settle(struct agent *a);

/* That something is still under way is no news to the controller, and where a fetch is one of these
 * things, telling it takes a second connection. */
static void agent_on_report_timer(uv_timer_t *timer)
{
	struct agent *a = container_of(timer, struct agent, report);

	if (a->is_patient) {
		/* What is under way may take long, and the set is to outlast a reboot meanwhile. */
		agent_settle(a);
		return;
	}
	if (agent_news(a) == AGENT_NEWS_ENDED) {
		agent_speak(a);
		return;
	}
	a->is_patient = true;
	uv_timer_start(timer, agent_on_report_timer, AGENT_PATIENCE_MS - AGENT_REPORT_MS, 0);
}

static void agent_note_set(struct agent *a)
{
	CLEANUP(mem_freep) struct sync_item *items = NULL;
	size_t n;

	if (!a->set_is_new)
		return;
	a->set_is_new = false;
	items = keeper_items(a->keeper, &n);
	last_set_note(&a->writer, a->set_hash, items, n);
}

/* Memory that a large set took goes back, and what the next boot wants goes to disk. */
static void agent_on_settle_timer(uv_timer_t *timer)
{
	struct agent *a = container_of(timer, struct agent, settle);

	agent_note_set(a);
	last_set_flush(&a->writer);
	malloc_trim(0);
}

static void agent_settle(struct agent *a)
{
	agent_speak(a);
	if (!uv_is_active((uv_handle_t *)&a->settle))
		uv_timer_start(&a->settle, agent_on_settle_timer, AGENT_SETTLE_MS, 0);
}

static void agent_on_changed(void *data)
{
	struct agent *a = data;

	if (!a->keeper)
		return;
	if (!keeper_is_busy(a->keeper))
		agent_settle(a);
	else if (!uv_is_active((uv_handle_t *)&a->report))
		uv_timer_start(&a->report, agent_on_report_timer, AGENT_REPORT_MS, 0);
}

static void agent_fill(void *data, struct sync_request *req)
{
	struct agent *a = data;

	req->agent_version = mem_strdup(HAUBERK_VERSION);
	req->kernel_release = mem_strdup(a->kernel_release);
	req->boot_id = mem_strdup(a->boot_id);
	req->features_text = *a->features ? mem_strdup(a->features) : NULL;
	memcpy(req->features, a->features_hash, sizeof(req->features));
	memcpy(req->set_hash, a->set_hash, sizeof(req->set_hash));
	keeper_report(a->keeper, &req->report);
	sync_report_hash(&req->report, req->report_hash);
	agent_hash_ended(&req->report, a->told_ended);
	a->told_ms = uv_now(a->loop);
}

/* ---- being told ---- */

/* What the controller cannot tell at present stays as it was told. */
static void agent_keep_former(struct agent *a, struct sync_response *res)
{
	size_t n;
	CLEANUP(mem_freep) struct sync_item *former = keeper_items(a->keeper, &n);

	sync_response_keep(res, former, n);
}

static void agent_take_set(struct agent *a, struct sync_response *res)
{
	log_info("set received", log_i("profiles", (int64_t)res->n),
		 log_i("kept", (int64_t)res->n_keep), log_i("epoch", res->epoch),
		 log_s("hash", res->set_hash));
	agent_keep_former(a, res);
	memcpy(a->set_hash, res->set_hash, sizeof(a->set_hash));
	a->set_is_new = true;
	keeper_offer(a->keeper, STEAL(res->enclosed), res->n_enclosed);
	res->n_enclosed = 0;
	keeper_tell(a->keeper, STEAL(res->items), res->n, false);
	res->n = 0;
}

static void agent_on_response(void *data, struct sync_response *res)
{
	struct agent *a = data;

	if (res->epoch != a->epoch) {
		a->epoch = res->epoch;
		last_set_note_epoch(&a->writer, a->epoch);
	}
	if (res->has_set) {
		agent_take_set(a, res);
		return;
	}
	keeper_confirm(a->keeper);
	if (!sync_client_is_polling(a->sync))
		agent_on_changed(a);
}

static void agent_on_ca(void *data, const char *pem)
{
	struct agent *a = data;
	struct err err;

	if (http_client_set_tls(a->http, &(struct http_tls){.ca_pem = pem}, &err) < 0) {
		log_error("cannot use the CA", log_s("error", err.msg));
		return;
	}
	log_info("CA read", log_s("path", a->options->ca_dir));
	if (!a->sync)
		a->sync = sync_client_new(&(struct sync_client_spec){
		    .loop = a->loop,
		    .http = a->http,
		    .url = a->options->url,
		    .address = a->options->address,
		    .token_file = a->options->token_file,
		    .epoch = a->epoch,
		    .fill = agent_fill,
		    .on_response = agent_on_response,
		    .data = a,
		});
	sync_client_retry(a->sync);
}

static void agent_on_revision(uv_poll_t *poll, int status, int events)
{
	struct agent *a = container_of(poll, struct agent, revision);

	(void)events;
	if (status < 0) {
		log_error("cannot watch the kernel's policy", log_s("error", uv_strerror(status)));
		uv_poll_stop(poll);
		return;
	}
	keeper_look(a->keeper);
}

/* ---- beginning ---- */

static int agent_lock(struct agent *a, struct err *err)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/lock", a->options->state_dir);

	if (file_make_dirs(a->options->state_dir, err) < 0)
		return err->code;
	a->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (a->lock < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	if (flock(a->lock, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, -EBUSY, "another hauberk-agent runs on this node: it holds %s",
			       path);
	return 0;
}

static int agent_read_node(struct agent *a, struct err *err)
{
	CLEANUP(mem_freep)
	char *path = mem_printf("%s/sys/kernel/random/boot_id", a->options->proc);
	CLEANUP(buf_clear) struct buf text = BUF_INIT(256);
	struct utsname uts;
	int r = file_read(path, &text, err);

	if (r < 0)
		return r;
	snprintf(a->boot_id, sizeof(a->boot_id), "%.*s", (int)strcspn(buf_text(&text), "\n"),
		 buf_text(&text));
	uname(&uts);
	a->kernel_release = mem_strdup(uts.release);
	return 0;
}

/* What cannot be done with this kernel is the controller's to know, not a reason to end. */
static void agent_open_kernel(struct agent *a, struct err *off)
{
	int r = kernel_node_init(&a->kernel, a->options->securityfs, a->options->sysfs,
				 a->options->proc, off);

	if (r == 0)
		r = aafs_features(&a->kernel.aafs, &a->features, off);
	a->has_kernel = r == 0;
	if (!a->has_kernel) {
		a->features = mem_strdup("");
		log_warn("this node cannot be given policy", log_s("reason", off->msg));
		return;
	}
	sha256_hex(a->features, strlen(a->features), a->features_hash);
}

static int agent_open_keeper(struct agent *a, const char *off_reason, struct err *err)
{
	fetch_http_init(&a->fetch, a->http, a->options->url, a->options->token_file);
	return keeper_new(
	    &(struct keeper_spec){
		.loop = a->loop,
		.state_dir = a->options->state_dir,
		.boot_id = a->boot_id,
		.kernel = a->has_kernel ? &a->kernel.ops : NULL,
		.off_reason = off_reason,
		.fetcher = &a->fetch.ops,
		.cache_max_bytes = a->options->cache_max_bytes,
		.changed = agent_on_changed,
		.data = a,
	    },
	    &a->keeper, err);
}

static void agent_tell_last_set(struct agent *a)
{
	struct last_set set;
	struct err err;

	if (last_set_load(a->options->state_dir, &set, &err) < 0)
		log_warn("the last set is not known", log_s("error", err.msg));
	a->epoch = set.epoch;
	memcpy(a->set_hash, set.hash, sizeof(a->set_hash));
	log_info("starting", log_s("version", HAUBERK_VERSION), log_s("boot", a->boot_id),
		 log_s("kernel", a->kernel_release), log_i("profiles", (int64_t)set.n),
		 log_i("epoch", set.epoch));
	keeper_tell(a->keeper, STEAL(set.items), set.n, true);
}

static void agent_watch(struct agent *a)
{
	uv_timer_init(a->loop, &a->report);
	uv_timer_init(a->loop, &a->details);
	uv_timer_init(a->loop, &a->settle);
	ca_watch_start(&a->ca, a->loop, a->options->ca_dir, agent_on_ca, a);
	if (!a->has_kernel)
		return;
	uv_poll_init(a->loop, &a->revision, a->kernel.revision_fd);
	uv_poll_start(&a->revision, UV_READABLE, agent_on_revision);
}

static void agent_free(struct agent *a)
{
	kernel_node_deinit(&a->kernel);
	if (a->lock >= 0)
		close(a->lock);
	free(a->features);
	free(a->kernel_release);
	free(a);
}

int agent_new(uv_loop_t *loop, const struct agent_options *options, struct agent **ret,
	      struct err *err)
{
	struct agent *a = MEM_NEW(struct agent);
	struct err off = {0};
	int r;

	*a = (struct agent){
	    .loop = loop, .options = options, .lock = -1, .kernel = {.revision_fd = -1}};
	r = agent_lock(a, err);
	if (r == 0)
		r = agent_read_node(a, err);
	if (r < 0) {
		agent_free(a);
		return r;
	}
	agent_open_kernel(a, &off);
	a->http = http_client_new(loop);
	last_set_writer_init(&a->writer, loop, options->state_dir);
	agent_watch(a);
	*ret = a;
	r = agent_open_keeper(a, off.msg, err);
	if (r == 0)
		agent_tell_last_set(a);
	return r;
}

/* ---- end ---- */

static void agent_one_closed(struct agent *a)
{
	if (--a->n_closing == 0)
		agent_free(a);
}

static void agent_on_handle_closed(uv_handle_t *handle)
{
	agent_one_closed(handle->data);
}

static void agent_on_http_closed(void *data)
{
	agent_one_closed(data);
}

static void agent_close_handle(struct agent *a, uv_handle_t *handle)
{
	handle->data = a;
	a->n_closing++;
	uv_close(handle, agent_on_handle_closed);
}

void agent_close(struct agent *a)
{
	if (!a)
		return;
	sync_client_close(STEAL(a->sync));
	if (a->keeper)
		agent_note_set(a);
	keeper_close(STEAL(a->keeper));
	last_set_writer_close(&a->writer);
	ca_watch_close(&a->ca);
	a->n_closing = 1;
	http_client_close(a->http, agent_on_http_closed, a);
	agent_close_handle(a, (uv_handle_t *)&a->report);
	agent_close_handle(a, (uv_handle_t *)&a->details);
	agent_close_handle(a, (uv_handle_t *)&a->settle);
	agent_close_handle(a, (uv_handle_t *)&a->writer.retry);
	if (a->has_kernel)
		agent_close_handle(a, (uv_handle_t *)&a->revision);
}
