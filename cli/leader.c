#include "cli/leader.h"

#include "base/mem.h"
#include "base/str.h"
#include "cli/port_forward.h"
#include "net/http_client.h"

#include <stdlib.h>
#include <string.h>

/* 5,000 nodes with a message each are 4 MB. */
enum { LEADER_ANSWER_MAX = 64 << 20, LEADER_TIMEOUT_MS = 30 * 1000 };

#define LEADER_LEASE "/apis/coordination.k8s.io/v1/namespaces/%s/leases/hauberk-controller"

struct leader {
	struct cluster *cluster;
	struct http_client *http;
	char *url;
	struct port_forward forward;
};

static int leader_find_pod(struct cluster *cluster, const char *namespace_, char **ret,
			   struct err *err)
{
	CLEANUP(mem_freep) char *path = mem_printf(LEADER_LEASE, namespace_);
	CLEANUP(cluster_answer_clear) struct cluster_answer lease = {0};
	const char *holder;

	cluster_get(cluster, path, &lease);
	if (lease.outcome == KUBE_NOT_FOUND)
		return err_set(err, -ENOENT,
			       "no controller has ever run in namespace %s: there is no Lease "
			       "hauberk-controller",
			       namespace_);
	if (lease.outcome != KUBE_OK)
		return cluster_fail(&lease, err);
	holder = js_str_or_empty(lease.obj, "spec.holderIdentity");
	if (!*holder)
		return err_set(err, -EAGAIN,
			       "no controller leads at this moment: try again, and look "
			       "at the hauberk-controller pods if that lasts");
	if (!leader_pod(holder, ret))
		return err_set(err, -EINVAL,
			       "the Lease names %.80s, which is no pod: name the leader's loopback "
			       "listener with --controller URL",
			       holder);
	return 0;
}

static int leader_check_pod(struct cluster *cluster, const char *namespace_, const char *pod,
			    struct err *err)
{
	CLEANUP(mem_freep)
	char *path = mem_printf("/api/v1/namespaces/%s/pods/%s", namespace_, pod);
	CLEANUP(cluster_answer_clear) struct cluster_answer answer = {0};

	cluster_get(cluster, path, &answer);
	if (answer.outcome == KUBE_NOT_FOUND)
		return err_set(err, -ENOENT,
			       "the leader, %s, is no pod of namespace %s, so no port can be "
			       "forwarded to it: name its loopback listener with --controller URL "
			       "or HAUBERK_CONTROLLER",
			       pod, namespace_);
	return answer.outcome == KUBE_OK ? 0 : cluster_fail(&answer, err);
}

/* What it answers is for this machine alone, and comes with no proof of who says so. */
static int leader_take_url(struct leader *l, const char *option, const char *url, struct err *err)
{
	size_t n = strlen(url);

	if (!http_url_is_loopback(url))
		return err_set(err, -EINVAL,
			       "%s has to be http:// and a loopback address of this machine, as in "
			       "http://127.0.0.1:%d, not %.200s",
			       option, LEADER_PORT, url);
	l->url = mem_strndup(url, url[n - 1] == '/' ? n - 1 : n);
	return 0;
}

/* The URL, after a port-forward where that is the way. */
static int leader_reach(struct leader *l, const struct cluster_options *where,
			const struct leader_options *options, struct err *err)
{
	const char *env = getenv("HAUBERK_CONTROLLER");
	CLEANUP(mem_freep) char *pod = NULL;
	int r;

	if (options->controller && *options->controller)
		return leader_take_url(l, "--controller", options->controller, err);
	if (!options->controller && env && *env)
		return leader_take_url(l, "HAUBERK_CONTROLLER", env, err);
	r = leader_find_pod(l->cluster, options->namespace_, &pod, err);
	if (r == 0)
		r = leader_check_pod(l->cluster, options->namespace_, pod, err);
	if (r == 0)
		r = port_forward_start(where, options->namespace_, pod, LEADER_PORT, &l->forward,
				       err);
	if (r == 0)
		l->url = mem_printf("http://127.0.0.1:%u", l->forward.port);
	return r;
}

int leader_open(struct cluster *cluster, const struct cluster_options *where,
		const struct leader_options *options, struct leader **ret, struct err *err)
{
	struct leader *l = MEM_NEW(struct leader);
	int r;

	l->cluster = cluster;
	l->http = http_client_new(cluster_loop(cluster));
	http_client_allow_loopback(l->http);
	r = leader_reach(l, where, options, err);
	if (r < 0)
		leader_close(l);
	else
		*ret = l;
	return r;
}

static void leader_on_closed(void *data)
{
	*(bool *)data = true;
}

void leader_close(struct leader *l)
{
	bool closed = false;

	if (!l)
		return;
	http_client_close(l->http, leader_on_closed, &closed);
	cluster_run_until(l->cluster, &closed);
	port_forward_stop(&l->forward);
	free(l->url);
	free(l);
}

void leader_closep(struct leader **l)
{
	leader_close(*l);
}

struct leader_call {
	struct http_response res;
	bool done;
};

static void leader_on_done(struct http_request *req, struct http_response *res)
{
	struct leader_call *call = http_request_data(req);

	call->res = *res;
	res->body = (struct buf){0};
	call->done = true;
}

static int leader_take(const struct leader *l, struct leader_call *call, struct json_object **ret,
		       struct err *err)
{
	CLEANUP(js_putp) struct json_object *obj = NULL;
	struct err unread;
	int r;

	if (call->res.error)
		return err_set(err, call->res.error, "the controller at %s: %s", l->url,
			       call->res.why);
	r = js_parse(buf_text(&call->res.body), call->res.body.len, &obj, &unread);
	if (call->res.status == 200 && r == 0) {
		*ret = STEAL(obj);
		return 0;
	}
	if (js_str(obj, "leader"))
		return err_set(err, -EAGAIN, "%s; the leader is %s",
			       js_str_or_empty(obj, "message"),
			       *js_str(obj, "leader") ? js_str(obj, "leader") : "nobody");
	if (js_str(obj, "message"))
		return err_set(err, call->res.status == 404 ? -ENOENT : -EIO, "%s",
			       js_str(obj, "message"));
	return err_set(err, -EIO, "what answers at %s (status %d) is no controller of Hauberk",
		       l->url, call->res.status);
}

int leader_ask(struct leader *l, const char *path, struct json_object *body,
	       struct json_object **ret, struct err *err)
{
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	CLEANUP(mem_freep) char *url = mem_printf("%s%s", l->url, path);
	struct leader_call call = {.done = false};
	struct http_request_spec spec = {
	    .method = body ? "POST" : "GET",
	    .url = url,
	    .headers = body ? headers : NULL,
	    .max_body = LEADER_ANSWER_MAX,
	    .timeout_ms = LEADER_TIMEOUT_MS,
	};
	int r;

	if (body)
		spec.body = js_print(body, &spec.n_body);
	http_request_start(l->http, &spec, leader_on_done, &call);
	cluster_run_until(l->cluster, &call.done);
	r = leader_take(l, &call, ret, err);
	buf_clear(&call.res.body);
	return r;
}
