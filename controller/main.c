#include "base/log.h"
#include "base/options.h"
#include "controller/controller.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *main_env(const char *name, const char *dflt)
{
	const char *value = getenv(name);

	return value && *value ? value : dflt;
}

int main(int argc, char **argv)
{
	char host[256] = "hauberk-controller";
	struct controller_options o = {
	    .namespace_ = main_env("POD_NAMESPACE", NULL),
	    .listen = "0.0.0.0:8443",
	    .view_listen = "127.0.0.1:8082",
	    .data_dir = "/var/lib/hauberk-controller",
	    .artefacts_max_mib = 256,
	    .max_connections = 20000,
	    .max_connections_per_address = 64,
	};
	const char *level = "info";
	bool version = false;
	const struct option_def defs[] = {
	    {"kubeconfig", 0, OPTION_TEXT, &o.kubeconfig, 0, 0, "FILE",
	     "how to reach the API server (default: as kubectl; in a pod its service account)"},
	    {"context", 0, OPTION_TEXT, &o.context, 0, 0, "NAME", "a context of the kubeconfig"},
	    {"namespace", 'n', OPTION_TEXT, &o.namespace_, 0, 0, "NAME",
	     "where its own objects live (default: $POD_NAMESPACE, or the context's)"},
	    {"identity", 0, OPTION_TEXT, &o.identity, 0, 0, "NAME",
	     "of this replica, in the Lease (default: $POD_NAME, or the host's name)"},
	    {"listen", 0, OPTION_TEXT, &o.listen, 0, 0, "ADDRESS",
	     "where agents are served (default 0.0.0.0:8443)"},
	    {"advertise", 0, OPTION_TEXT, &o.advertise, 0, 0, "ADDRESS",
	     "where agents reach this replica (default: $POD_IP with the port of --listen)"},
	    {"local-listen", 0, OPTION_TEXT, &o.local_listen, 0, 0, "ADDRESS",
	     "a loopback address for /healthz and /readyz (default: none)"},
	    {"view-listen", 0, OPTION_TEXT, &o.view_listen, 0, 0, "ADDRESS",
	     "a loopback address for kubectl hauberk (default 127.0.0.1:8082; empty: none)"},
	    {"data-dir", 0, OPTION_TEXT, &o.data_dir, 0, 0, "DIR",
	     "compiled policy; may be lost (default /var/lib/hauberk-controller)"},
	    {"artefacts-max", 0, OPTION_I64, &o.artefacts_max_mib, 8, 1 << 20, "MIB",
	     "how much of it is kept (default 256)"},
	    {"max-connections", 0, OPTION_I64, &o.max_connections, 16, 1000000, "N",
	     "of agents (default 20000)"},
	    {"max-connections-per-address", 0, OPTION_I64, &o.max_connections_per_address, 0,
	     1000000, "N",
	     "of them from one address, which is one node's as a rule; 0: no such limit (default "
	     "64)"},
	    {"parser", 0, OPTION_TEXT, &o.parser, 0, 0, "FILE",
	     "apparmor_parser (default: the distribution's)"},
	    {"parser-base", 0, OPTION_TEXT, &o.parser_base, 0, 0, "DIR",
	     "abstractions, tunables and abi (default /etc/apparmor.d)"},
	    {"default-abi", 0, OPTION_TEXT, &o.default_abi, 0, 0, "NAME",
	     "for a text that names none (default abi/3.0)"},
	    {"sandbox", 0, OPTION_TEXT, &o.sandbox, 0, 0, "FILE",
	     "hauberk-sandbox (default: beside this program, or in libexec)"},
	    {"allow-unsandboxed-compile", 0, OPTION_FLAG, &o.allow_unsandboxed, 0, 0, NULL,
	     "compile even where the kernel cannot give the whole sandbox"},
	    {"log-level", 0, OPTION_TEXT, &level, 0, 0, "WORD", "debug, info, warn or error"},
	    {"version", 0, OPTION_FLAG, &version, 0, 0, NULL, "print the version and end"},
	    {0},
	};
	const struct options_spec spec = {
	    .usage = "hauberk-controller [OPTIONS]",
	    .about = "Watches AppArmorProfile objects, compiles them, serves the agents of all "
		     "nodes and "
		     "writes\nstatus. SIGTERM ends it in order.",
	    .defs = defs,
	};
	enum log_level log_level = LOG_LEVEL_INFO;
	struct err err;
	int n_args, r = options_parse(&spec, argc, argv, &n_args, &err);
	static char advertise[300];

	if (r == 1) {
		options_print_help(&spec);
		return 0;
	}
	if (r == 0 && n_args > 0)
		r = err_set(&err, -EINVAL, "%s is not an option; see --help", argv[1]);
	if (r == 0 && !log_level_parse(level, &log_level))
		r = err_set(&err, -EINVAL, "--log-level takes debug, info, warn or error, not %s",
			    level);
	if (r < 0) {
		fprintf(stderr, "hauberk-controller: %s\n", err.msg);
		return 2;
	}
	if (version) {
		puts("hauberk-controller " HAUBERK_VERSION);
		return 0;
	}
	log_set_level(log_level);
	gethostname(host, sizeof(host) - 1);
	if (!o.identity)
		o.identity = main_env("POD_NAME", host);
	if (!o.advertise) {
		const char *port = o.listen + __builtin_strlen(o.listen);

		while (port > o.listen && *port != ':')
			port--;
		snprintf(advertise, sizeof(advertise), "%s%s", main_env("POD_IP", "127.0.0.1"),
			 port);
		o.advertise = advertise;
	}
	r = controller_run(&o, &err);
	if (r < 0)
		log_error("the controller cannot go on", log_s("why", err.msg));
	return r < 0 ? 1 : 0;
}
