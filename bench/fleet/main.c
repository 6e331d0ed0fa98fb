#include "fleet.h"

#include "base/buf.h"
#include "base/container_of.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/options.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/*
 * Reads the agents, starts them all at once, and prints what they have done whenever that has
 * changed. It ends when its time is over, at SIGINT or SIGTERM, and when standard input or its
 * parent is gone.
 */

enum { FLEET_SHOW_MS = 20, FLEET_DROP_MS = 1000, FLEET_SPARE_FDS = 64 };

/* A table of what is counted, in the order in which it is shown. */
#define FLEET_COUNT(name_)                                   \
	{                                                    \
#name_, offsetof(struct fleet_counts, name_) \
	}
static const struct fleet_count {
	const char *name;
	size_t offset;
} fleet_counts_table[] = {
    FLEET_COUNT(polling),      FLEET_COUNT(asked_us),      FLEET_COUNT(reports),
    FLEET_COUNT(reported_us),  FLEET_COUNT(syncs),         FLEET_COUNT(sets),
    FLEET_COUNT(loads),        FLEET_COUNT(enclosed),      FLEET_COUNT(fetches),
    FLEET_COUNT(failed_loads), FLEET_COUNT(bad_artefacts), FLEET_COUNT(turned_away),
    FLEET_COUNT(broken),
};

static void fleet_show(struct fleet *fleet)
{
	const char *comma = "{";
	size_t i;

	if (!fleet->changed)
		return;
	fleet->changed = false;
	for (i = 0; i < sizeof(fleet_counts_table) / sizeof(fleet_counts_table[0]); i++) {
		int64_t n;

		memcpy(&n, (char *)&fleet->counts + fleet_counts_table[i].offset, sizeof(n));
		printf("%s\"%s\":%lld", comma, fleet_counts_table[i].name, (long long)n);
		comma = ",";
	}
	puts("}");
	fflush(stdout);
}

static void fleet_on_show(uv_timer_t *timer)
{
	fleet_show(container_of(timer, struct fleet, show));
}

/* So many connections break each second that the share of a minute is what was asked for. */
static void fleet_on_drops(uv_timer_t *timer)
{
	struct fleet *fleet = container_of(timer, struct fleet, drops);
	size_t share = fleet->n * (size_t)fleet->options->drop_permille;
	size_t n = share / 60000 + ((size_t)random() % 60000 < share % 60000);

	for (; n > 0; n--)
		agent_drop(&fleet->agents[(size_t)random() % fleet->n]);
}

/* ---- the end ---- */

static void fleet_end(struct fleet *fleet)
{
	size_t i;

	if (fleet->ending)
		return;
	fleet->ending = true;
	fleet_show(fleet);
	for (i = 0; i < fleet->n; i++)
		agent_close(&fleet->agents[i]);
	uv_close((uv_handle_t *)&fleet->show, NULL);
	uv_close((uv_handle_t *)&fleet->drops, NULL);
	uv_close((uv_handle_t *)&fleet->end, NULL);
	uv_close((uv_handle_t *)&fleet->sigint, NULL);
	uv_close((uv_handle_t *)&fleet->sigterm, NULL);
	uv_close((uv_handle_t *)&fleet->parent, NULL);
}

static void fleet_on_end(uv_timer_t *timer)
{
	fprintf(stderr, "fleet-agents: the time is over\n");
	fleet_end(container_of(timer, struct fleet, end));
}

static void fleet_on_signal(uv_signal_t *handle, int signum)
{
	(void)signum;
	fleet_end(handle->data);
}

static void fleet_on_alloc(uv_handle_t *handle, size_t n, uv_buf_t *ret)
{
	static char bytes[64];

	(void)handle;
	(void)n;
	*ret = uv_buf_init(bytes, sizeof(bytes));
}

static void fleet_on_parent(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
	(void)bytes;
	if (n < 0)
		fleet_end(stream->data);
}

/* ---- the beginning ---- */

static void fleet_watch(struct fleet *fleet)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	uv_signal_init(&fleet->loop, &fleet->sigint);
	uv_signal_init(&fleet->loop, &fleet->sigterm);
	uv_pipe_init(&fleet->loop, &fleet->parent, 0);
	fleet->sigint.data = fleet->sigterm.data = fleet->parent.data = fleet;
	uv_signal_start(&fleet->sigint, fleet_on_signal, SIGINT);
	uv_signal_start(&fleet->sigterm, fleet_on_signal, SIGTERM);
	uv_timer_init(&fleet->loop, &fleet->show);
	uv_timer_start(&fleet->show, fleet_on_show, FLEET_SHOW_MS, FLEET_SHOW_MS);
	uv_timer_init(&fleet->loop, &fleet->drops);
	if (fleet->options->drop_permille > 0)
		uv_timer_start(&fleet->drops, fleet_on_drops, FLEET_DROP_MS, FLEET_DROP_MS);
	uv_timer_init(&fleet->loop, &fleet->end);
	uv_timer_start(&fleet->end, fleet_on_end, (uint64_t)fleet->options->seconds * 1000, 0);
	if (uv_pipe_open(&fleet->parent, 0) == 0)
		uv_read_start((uv_stream_t *)&fleet->parent, fleet_on_alloc, fleet_on_parent);
}

static size_t fleet_count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static int fleet_read_agents(struct fleet *fleet, struct err *err)
{
	CLEANUP(buf_clear) struct buf text = BUF_INIT((size_t)FLEET_MAX * 4096);
	int r = file_read(fleet->options->agents_file, &text, err);
	const char *line = buf_text(&text);
	size_t n = fleet_count_lines(line);

	if (r == 0 && n > FLEET_MAX)
		r = err_set(err, -E2BIG, "%zu agents are more than %d", n, FLEET_MAX);
	if (r < 0)
		return r;
	fleet->agents = mem_alloc(n, sizeof(*fleet->agents));
	for (; r == 0 && fleet->n < n; line = strchr(line, '\n') + 1) {
		r = agent_init(&fleet->agents[fleet->n], fleet, fleet->n, line, err);
		fleet->n += r == 0;
	}
	return r;
}

static int fleet_need_fds(size_t n, struct err *err)
{
	struct rlimit limit = {n + FLEET_SPARE_FDS, n + FLEET_SPARE_FDS}, now;

	getrlimit(RLIMIT_NOFILE, &now);
	if (now.rlim_cur >= limit.rlim_cur)
		return 0;
	if (now.rlim_max > limit.rlim_max)
		limit.rlim_max = now.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return err_set(err, -errno,
			       "%zu agents need %zu open files, and the limit cannot be raised: %s",
			       n, n + FLEET_SPARE_FDS, strerror(errno));
	return 0;
}

static int fleet_run(struct fleet *fleet, struct err *err)
{
	const struct fleet_options *o = fleet->options;
	int r = conn_peer_init(&fleet->peer, o->ca_file, o->address, o->server_name, err);
	size_t i;

	uv_loop_init(&fleet->loop);
	if (r == 0)
		r = fleet_read_agents(fleet, err);
	if (r == 0)
		r = fleet_need_fds(fleet->n, err);
	if (r < 0)
		return r; /* the process ends; there is nothing to put in order */
	fleet_watch(fleet);
	for (i = 0; i < fleet->n; i++)
		agent_start(&fleet->agents[i]);
	uv_run(&fleet->loop, UV_RUN_DEFAULT);
	for (i = 0; i < fleet->n; i++)
		agent_free(&fleet->agents[i]);
	free(fleet->agents);
	told_clear(&fleet->told);
	conn_peer_deinit(&fleet->peer);
	uv_loop_close(&fleet->loop);
	return 0;
}

int main(int argc, char **argv)
{
	static struct fleet fleet;
	struct fleet_options o = {.server_name = "hauberk-controller.hauberk-system.svc",
				  .seconds = 1800};
	const struct option_def defs[] = {
	    {"agents", 0, OPTION_TEXT, &o.agents_file, 0, 0, "FILE", "lines \"NODE TOKEN\""},
	    {"ca", 0, OPTION_TEXT, &o.ca_file, 0, 0, "FILE", "of the controller, PEM"},
	    {"address", 0, OPTION_TEXT, &o.address, 0, 0, "ADDRESS",
	     "of the controller: 127.0.0.1:PORT"},
	    {"server-name", 0, OPTION_TEXT, &o.server_name, 0, 0, "NAME",
	     "which its certificate bears"},
	    {"seconds", 0, OPTION_I64, &o.seconds, 1, 86400, "N", "then it ends (default 1800)"},
	    {"load-ms", 0, OPTION_I64, &o.load_ms, 0, 60000, "N",
	     "how long one load takes, give or take a half (default 0)"},
	    {"fail-permille", 0, OPTION_I64, &o.fail_permille, 0, 1000, "N", "loads that fail"},
	    {"drop-permille", 0, OPTION_I64, &o.drop_permille, 0, 60000, "N",
	     "connections that break each minute"},
	    {0},
	};
	const struct options_spec spec = {
	    .usage = "fleet-agents [OPTIONS]",
	    .about =
		"Agents without kernels, for bench/fleet_run. Each agent is a line of --agents.",
	    .defs = defs,
	};
	struct err err;
	int n_args, r = options_parse(&spec, argc, argv, &n_args, &err);

	if (r == 1) {
		options_print_help(&spec);
		return 0;
	}
	if (r == 0 && (n_args > 0 || !o.agents_file || !o.ca_file || !o.address))
		r = err_set(&err, -EINVAL, "--agents, --ca and --address are needed; see --help");
	fleet.options = &o;
	if (r == 0)
		r = fleet_run(&fleet, &err);
	fleet.options = NULL;
	if (r < 0)
		fprintf(stderr, "fleet-agents: %s\n", err.msg);
	return r < 0 ? 1 : 0;
}
