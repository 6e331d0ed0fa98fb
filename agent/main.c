#include "agent.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * hauberk-agent: reads its options, runs the loop until SIGTERM or SIGINT.
 */

enum { MAIN_CACHE_MIB = 256 };

struct main_args {
	const char *controller_name;
	const char *namespace;
	int64_t controller_port;
	int64_t cache_mib;
	const char *log_level;
	bool version;
	struct agent_options agent;
};

struct main_run {
	struct agent *agent;
	uv_signal_t term, interrupt;
};

/* One heap, which gives back what it does not need: a node has better uses for it. */
static void main_tune_memory(void)
{
	enum { LARGE = 64 * 1024, PAD = 16 * 1024 };

	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, LARGE);
	mallopt(M_TRIM_THRESHOLD, LARGE);
	mallopt(M_TOP_PAD, PAD);
	/* One thread for the disk is enough; libuv's four would only be four stacks. */
	setenv("UV_THREADPOOL_SIZE", "1", 1);
}

/* Debian's libcurl brings GnuTLS along for protocols that are never used here, and its
 * initialisation at start would cost 0.8 MB. GnuTLS asks this function, as gnutls/gnutls.h has it
 * under GNUTLS_SKIP_GLOBAL_INIT; where there is no GnuTLS, nobody asks. */
int _gnutls_global_init_skip(void); // NOLINT(bugprone-reserved-identifier)

__attribute__((visibility("default"))) int
_gnutls_global_init_skip(void) // NOLINT(bugprone-reserved-identifier)
{
	return 1;
}

static void main_stop(struct main_run *run)
{
	agent_close(STEAL(run->agent));
	uv_close((uv_handle_t *)&run->term, NULL);
	uv_close((uv_handle_t *)&run->interrupt, NULL);
}

static void main_on_signal(uv_signal_t *signal, int number)
{
	log_info("stopping; what is loaded stays loaded", log_i("signal", number));
	main_stop(signal->data);
}

static void main_watch_signal(struct main_run *run, uv_loop_t *loop, uv_signal_t *signal,
			      int number)
{
	uv_signal_init(loop, signal);
	signal->data = run;
	uv_signal_start(signal, main_on_signal, number);
}

static int main_run_agent(const struct agent_options *options)
{
	struct main_run run = {0};
	uv_loop_t loop;
	struct err err;
	int r;

	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&loop);
	main_watch_signal(&run, &loop, &run.term, SIGTERM);
	main_watch_signal(&run, &loop, &run.interrupt, SIGINT);
	r = agent_new(&loop, options, &run.agent, &err);
	if (r < 0) {
		log_error("cannot start", log_s("error", err.msg));
		main_stop(&run);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int main_parse(int argc, char **argv, struct main_args *args, struct err *err)
{
	const struct option_def defs[] = {
	    {"controller-name", 0, OPTION_TEXT, &args->controller_name, 0, 0, "NAME",
	     "the name in the controller's certificate\n"
	     "(default: hauberk-controller.NAMESPACE.svc)"},
	    {"controller-port", 0, OPTION_I64, &args->controller_port, 1, 65535, "PORT",
	     "its port (default: 443)"},
	    {"controller-address", 0, OPTION_TEXT, &args->agent.address, 0, 0, "HOST:PORT",
	     "connect there, and verify the name all the same"},
	    {"namespace", 0, OPTION_TEXT, &args->namespace, 0, 0, "NAMESPACE",
	     "the controller's (default: $POD_NAMESPACE, hauberk-system)"},
	    {"token-file", 0, OPTION_TEXT, &args->agent.token_file, 0, 0, "FILE",
	     "service account token, read for each request"},
	    {"ca-dir", 0, OPTION_TEXT, &args->agent.ca_dir, 0, 0, "DIR",
	     "holds ca.crt, now or later"},
	    {"state-dir", 0, OPTION_TEXT, &args->agent.state_dir, 0, 0, "DIR",
	     "what was loaded, and the last accepted set"},
	    {"cache-size", 0, OPTION_I64, &args->cache_mib, 1, 65536, "MIB",
	     "for compiled policies on disk (default: 256)"},
	    {"securityfs", 0, OPTION_TEXT, &args->agent.securityfs, 0, 0, "DIR",
	     "where it is mounted"},
	    {"sysfs", 0, OPTION_TEXT, &args->agent.sysfs, 0, 0, "DIR", "where it is mounted"},
	    {"proc", 0, OPTION_TEXT, &args->agent.proc, 0, 0, "DIR", "the host's"},
	    {"log-level", 0, OPTION_TEXT, &args->log_level, 0, 0, "LEVEL",
	     "debug, info, warn or error (default: info)"},
	    {"version", 0, OPTION_FLAG, &args->version, 0, 0, NULL, "print the version"},
	    {0},
	};
	const struct options_spec spec = {
	    .usage = "hauberk-agent [OPTIONS]",
	    .about = "Loads the AppArmor profiles that the controller assigns to this node, and "
		     "reports what the kernel holds.",
	    .defs = defs,
	};
	int n_args = 0;
	int r = options_parse(&spec, argc, argv, &n_args, err);

	if (r == 1)
		options_print_help(&spec);
	if (r == 0 && n_args > 0)
		r = err_set(err, -EINVAL, "%s is no option; see --help", argv[1]);
	return r;
}

/* The name, the URL and the rest that follow from the options. The caller frees *ret_url. */
static int main_complete(struct main_args *args, char **ret_url, struct err *err)
{
	CLEANUP(mem_freep) char *name = NULL;
	enum log_level level;

	if (!log_level_parse(args->log_level, &level))
		return err_set(err, -EINVAL, "--log-level takes debug, info, warn or error");
	log_set_level(level);
	if (!args->namespace)
		args->namespace = getenv("POD_NAMESPACE");
	if (!args->namespace || !*args->namespace)
		args->namespace = "hauberk-system";
	name = args->controller_name ? mem_strdup(args->controller_name)
				     : mem_printf("hauberk-controller.%s.svc", args->namespace);
	*ret_url = mem_printf("https://%s:%lld", name, (long long)args->controller_port);
	args->agent.url = *ret_url;
	args->agent.cache_max_bytes = args->cache_mib << 20;
	return 0;
}

int main(int argc, char **argv)
{
	struct main_args args = {
	    .controller_port = 443,
	    .cache_mib = MAIN_CACHE_MIB,
	    .log_level = "info",
	    .agent = {.token_file = "/var/run/secrets/hauberk/token",
		      .ca_dir = "/var/run/hauberk/ca",
		      .state_dir = "/var/lib/hauberk",
		      .securityfs = "/sys/kernel/security",
		      .sysfs = "/sys",
		      .proc = "/proc"},
	};
	CLEANUP(mem_freep) char *url = NULL;
	struct err err;
	int r;

	main_tune_memory();
	r = main_parse(argc, argv, &args, &err);
	if (r == 1)
		return EXIT_SUCCESS;
	if (r == 0 && args.version) {
		puts("hauberk-agent " HAUBERK_VERSION);
		return EXIT_SUCCESS;
	}
	if (r == 0)
		r = main_complete(&args, &url, &err);
	if (r < 0) {
		fprintf(stderr, "hauberk-agent: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	return main_run_agent(&args.agent);
}
