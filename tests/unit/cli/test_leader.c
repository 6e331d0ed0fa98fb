#include "cli/leader.h"

#include "base/buf.h"
#include "base/clock.h"
#include "cli/port_forward.h"
#include "cli_test.h"
#include "net/http_server.h"
#include "unit/controller/fake_kube.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The way to the leader, with an API server in memory, a kubectl that is a shell script, and a
 * listener that answers what the test says. */

struct world {
	uv_loop_t loop;
	struct fake_kube *fake;
	struct cluster *cluster;
	struct cluster_options where;
	struct http_server *server;
	bool closed;
	int status;
	const char *body;
	char folder[64];
	char *path;
};

static void on_request(struct http_exchange *ex, void *data)
{
	struct world *w = data;
	struct buf text = BUF_INIT(4096);
	size_t n;

	if (w->body) {
		http_reply(ex, &(struct http_reply){.status = w->status,
						    .body = w->body,
						    .n_body = strlen(w->body)});
		return;
	}
	buf_addf(&text, "{\"is\":\"%s %s %s\"}", http_exchange_method(ex), http_exchange_path(ex),
		 *http_exchange_body(ex, &n) ? "with a body" : "without");
	http_reply(
	    ex, &(struct http_reply){.status = 200, .body = buf_text(&text), .n_body = text.len});
	buf_clear(&text);
}

static int set_up(void **state)
{
	struct world *w = MEM_NEW(struct world);
	struct http_server_spec spec = {.listen = "127.0.0.1:0",
					.max_body = 4096,
					.max_connections = 4,
					.header_timeout_ms = 5000,
					.body_timeout_ms = 5000,
					.idle_timeout_ms = 5000,
					.on_request = on_request,
					.data = w};
	struct err err;

	uv_loop_init(&w->loop);
	w->fake = fake_kube_new(&w->loop);
	w->cluster = cluster_new(fake_kube_client(w->fake), "https://fake", NULL, NULL);
	assert_int_equal(http_server_new(&w->loop, &spec, &w->server, &err), 0);
	w->path = mem_strdup(getenv("PATH"));
	snprintf(w->folder, sizeof(w->folder), "/tmp/hauberk-leader-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	unsetenv("HAUBERK_CONTROLLER");
	*state = w;
	return 0;
}

static void on_server_closed(void *data)
{
	*(bool *)data = true;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	CLEANUP(mem_freep) char *kubectl = mem_printf("%s/kubectl", w->folder);

	cluster_close(w->cluster);
	fake_kube_close(w->fake);
	http_server_close(w->server, 0, on_server_closed, &w->closed);
	while (!w->closed)
		uv_run(&w->loop, UV_RUN_ONCE);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	setenv("PATH", w->path, 1);
	unlink(kubectl);
	rmdir(w->folder);
	free(w->path);
	free(w);
	return 0;
}

/* A kubectl that writes its arguments down and then does as `script` says. */
static void make_kubectl(struct world *w, const char *script)
{
	CLEANUP(mem_freep) char *name = mem_printf("%s/kubectl", w->folder);
	CLEANUP(mem_freep) char *path = mem_printf("%s:%s", w->folder, w->path);
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", script);
	fclose(f);
	chmod(name, 0700);
	setenv("PATH", path, 1);
}

static void put_lease(struct world *w, const char *holder)
{
	CLEANUP(mem_freep)
	char *text = mem_printf("{'metadata':{'name':'hauberk-controller'},'spec':{"
				"'holderIdentity':'%s'}}",
				holder);

	fake_kube_put(w->fake, "/apis/coordination.k8s.io/v1/namespaces/hauberk-system/leases",
		      cli_json(text));
}

static int ask(struct world *w, const char *url, struct json_object *body, char **ret_text,
	       struct err *err)
{
	struct leader_options options = LEADER_OPTIONS_INIT;
	struct json_object *obj = NULL;
	struct leader *leader = NULL;
	int r;

	options.controller = url;
	r = leader_open(w->cluster, &w->where, &options, &leader, err);
	if (r == 0)
		r = leader_ask(leader, "/v1/nodes", body, &obj, err);
	*ret_text = r == 0 ? cli_text(obj) : NULL;
	json_object_put(obj);
	leader_close(leader);
	return r;
}

static void a_url_that_is_given_is_asked(void **state)
{
	struct world *w = *state;
	CLEANUP(mem_freep)
	char *url = mem_printf("http://127.0.0.1:%u/", http_server_port(w->server));
	CLEANUP(mem_freep) char *get = NULL, *post = NULL, *env = NULL;
	CLEANUP(js_putp) struct json_object *body = cli_json("{}");
	struct err err;

	assert_int_equal(ask(w, url, NULL, &get, &err), 0);
	assert_string_equal(get, "{'is':'GET /v1/nodes without'}");
	assert_int_equal(ask(w, url, body, &post, &err), 0);
	assert_string_equal(post, "{'is':'POST /v1/nodes with a body'}");
	setenv("HAUBERK_CONTROLLER", url, 1);
	assert_int_equal(ask(w, NULL, NULL, &env, &err), 0);
	assert_string_equal(env, get);
}

static void a_url_that_cannot_be_asked_is_named(void **state)
{
	static const char *const urls[] = {"http://10.1.2.3:8082",
					   "https://127.0.0.1:8082",
					   "127.0.0.1:8082",
					   "localhost",
					   "http://user@127.0.0.1:8082",
					   "http://127.0.0.1.example.com:8082",
					   "/"};
	struct world *w = *state;
	struct err err;
	size_t i;
	char *text;

	for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		assert_int_equal(ask(w, urls[i], NULL, &text, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "--controller has to be http:// and a loopback"));
		assert_non_null(strstr(err.msg, urls[i]));
	}
	setenv("HAUBERK_CONTROLLER", urls[0], 1);
	assert_int_equal(ask(w, NULL, NULL, &text, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "HAUBERK_CONTROLLER has to be http://"));
	assert_non_null(strstr(err.msg, urls[0]));
}

static void what_it_says_instead_becomes_a_sentence(void **state)
{
	static const struct {
		int status, r;
		const char *body, *why;
	} cases[] = {
	    {404, -ENOENT, "{\"message\":\"there is no node n9\"}", "there is no node n9"},
	    {400, -EIO, "{\"message\":\"spec.policy is missing\"}", "spec.policy is missing"},
	    {503, -EAGAIN,
	     "{\"message\":\"this replica does not lead\",\"leader\":\"pod-b@10.0.0.2:8443\"}",
	     "this replica does not lead; the leader is pod-b@10.0.0.2:8443"},
	    {503, -EAGAIN, "{\"message\":\"this replica does not lead\",\"leader\":\"\"}",
	     "this replica does not lead; the leader is nobody"},
	    {200, -EIO, "<html>", "(status 200) is no controller of Hauberk"},
	    {500, -EIO, "", "(status 500) is no controller of Hauberk"},
	};
	struct world *w = *state;
	CLEANUP(mem_freep)
	char *url = mem_printf("http://127.0.0.1:%u", http_server_port(w->server));
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err;
		char *text;

		w->status = cases[i].status;
		w->body = cases[i].body;
		assert_int_equal(ask(w, url, NULL, &text, &err), cases[i].r);
		if (!strstr(err.msg, cases[i].why))
			assert_string_equal(err.msg, cases[i].why);
	}
}

static void a_port_is_forwarded_to_the_pod_that_leads(void **state)
{
	struct world *w = *state;
	CLEANUP(mem_freep)
	char *script =
	    mem_printf("echo \"$@\" > %s/args\necho Forwarding from 127.0.0.1:%u '->' 8082\n"
		       "exec sleep 60",
		       w->folder, http_server_port(w->server));
	CLEANUP(mem_freep) char *text = NULL, *name = mem_printf("%s/args", w->folder);
	char args[200] = "";
	struct err err;
	FILE *f;

	make_kubectl(w, script);
	put_lease(w, "hauberk-controller-abc@10.0.0.2:8443");
	fake_kube_put(w->fake, "/api/v1/namespaces/hauberk-system/pods",
		      cli_json("{'metadata':{'name':'hauberk-controller-abc'}}"));
	w->where = (struct cluster_options){.kubeconfig = "some file", .context = "c"};
	if (ask(w, NULL, NULL, &text, &err))
		fail_msg("%s", err.msg);
	assert_string_equal(text, "{'is':'GET /v1/nodes without'}");
	f = fopen(name, "r");
	assert_non_null(f);
	assert_non_null(fgets(args, sizeof(args), f));
	fclose(f);
	unlink(name);
	assert_string_equal(args, "--kubeconfig some file --context c --namespace hauberk-system "
				  "port-forward --address 127.0.0.1 pod/hauberk-controller-abc "
				  ":8082\n");
}

static void what_kubectl_complains_of_is_told(void **state)
{
	struct world *w = *state;
	struct err err;
	char *text;

	make_kubectl(w, "echo 'error: pods \"x\" is forbidden' >&2\nexit 1");
	put_lease(w, "x@h:1");
	fake_kube_put(w->fake, "/api/v1/namespaces/hauberk-system/pods",
		      cli_json("{'metadata':{'name':'x'}}"));
	assert_int_equal(ask(w, NULL, NULL, &text, &err), -EIO);
	assert_non_null(strstr(err.msg, "kubectl port-forward: error: pods \"x\" is forbidden"));
}

static void a_leader_that_is_no_pod_has_to_be_named(void **state)
{
	struct world *w = *state;
	struct err err;
	char *text;

	assert_int_equal(ask(w, NULL, NULL, &text, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "no controller has ever run in namespace hauberk-system"));
	put_lease(w, "");
	assert_int_equal(ask(w, NULL, NULL, &text, &err), -EAGAIN);
	put_lease(w, "laptop@10.0.2.2:8443");
	assert_int_equal(ask(w, NULL, NULL, &text, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "the leader, laptop, is no pod of namespace "
					"hauberk-system"));
	assert_non_null(strstr(err.msg, "--controller"));
	put_lease(w, "My Laptop@10.0.2.2:8443");
	assert_int_equal(ask(w, NULL, NULL, &text, &err), -EINVAL);
}

static void the_child_ends_with_its_user(void **state)
{
	struct world *w = *state;
	struct port_forward forward;
	struct err err;
	pid_t pid;

	make_kubectl(w, "echo Forwarding from 127.0.0.1:4321 '->' 8082\nexec sleep 60");
	assert_int_equal(port_forward_start(&w->where, "hauberk-system", "x", 8082, &forward, &err),
			 0);
	assert_int_equal(forward.port, 4321);
	pid = forward.pid;
	assert_int_equal(kill(pid, 0), 0);
	port_forward_stop(&forward);
	assert_int_equal(kill(pid, 0), -1);
}

static void a_line_of_kubectl_tells_the_port(void **state)
{
	static const struct {
		const char *line;
		uint16_t port;
	} cases[] = {
	    {"Forwarding from 127.0.0.1:40123 -> 8082", 40123},
	    {"Forwarding from [::1]:40123 -> 8082", 0},
	    {"Forwarding from 127.0.0.1:99999 -> 8082", 0},
	    {"Handling connection for 40123", 0},
	    {"error: unable to forward port", 0},
	    {"", 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(leader_forwarded_port(cases[i].line), cases[i].port);
}

#define WORLD_TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(a_url_that_is_given_is_asked),
	    WORLD_TEST(a_url_that_cannot_be_asked_is_named),
	    WORLD_TEST(what_it_says_instead_becomes_a_sentence),
	    WORLD_TEST(a_port_is_forwarded_to_the_pod_that_leads),
	    WORLD_TEST(what_kubectl_complains_of_is_told),
	    WORLD_TEST(a_leader_that_is_no_pod_has_to_be_named),
	    WORLD_TEST(the_child_ends_with_its_user),
	    cmocka_unit_test(a_line_of_kubectl_tells_the_port),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
