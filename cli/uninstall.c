#include "cli/uninstall.h"

#include "api/profile.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/str.h"
#include "cli/cluster.h"
#include "cli/command.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Takes Hauberk out of a cluster and leaves every node's kernel as it is. One step after the other,
 * each of which may find its work done already, so that it can be run again after anything:
 *
 *  1. The controller's Deployment goes, then the agents' DaemonSet, pods first.
 *  2. The AppArmorProfile definition goes. The API server marks it Terminating before it deletes
 * the first object, so a controller that runs elsewhere takes these deletions for what they are and
 *     unloads nothing.
 *  3. Our finalizer comes off each object, until the definition is gone.
 *  4. The AppArmorNode definition, the rights, and the namespace go.
 *
 * With --keep-crds the objects stay, so step 2 is left out, and the rights go before step 3, lest a
 * controller elsewhere put its finalizer on again.
 *
 * Agents remove a profile only when a controller says so, so that it does not matter if one
 * outlives the controller.
 */

#define UNINSTALL_CRD "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define UNINSTALL_LABEL "app.kubernetes.io/name=hauberk"

enum {
	UNINSTALL_POLL_MS = 300,
	UNINSTALL_SILENT_MS = 3000,
	UNINSTALL_PODS_MS = 60 * 1000, /* a node that is down never confirms that its pod ended */
	UNINSTALL_OBJECTS_MS = 120 * 1000, /* for the API server to delete all objects */
	UNINSTALL_QUIET_MS = 1000,         /* with no finalizer put on again */
	UNINSTALL_OBJECTS_SHOWN = 5,
};

struct uninstall {
	struct cluster_options where;
	const char *namespace_;
	bool keep_crds, dry_run, yes;

	struct cluster *cluster;
	size_t n_seen, n_freed; /* of one pass over the profiles */
	size_t n_held;
	struct buf held; /* objects that somebody else's finalizer holds */
};

static void uninstall_say(const struct uninstall *u, const char *verb, const char *what)
{
	printf("%s %s%s\n", verb, what, u->dry_run ? " (dry run)" : "");
	fflush(stdout);
}

/* Ask for an object's deletion. *ret_found is false where it is gone already. */
static int uninstall_delete(struct uninstall *u, const char *path, const char *what,
			    bool *ret_found, struct err *err)
{
	CLEANUP(cluster_answer_clear) struct cluster_answer answer = {0};
	CLEANUP(js_putp) struct json_object *options = js_new();

	/* What depends on it goes first: a DaemonSet is gone when its pods are. */
	js_put_str(options, "propagationPolicy", "Foreground");
	if (u->dry_run)
		cluster_get(u->cluster, path, &answer);
	else
		cluster_request(
		    u->cluster,
		    &(struct kube_request_spec){.method = "DELETE", .path = path, .body = options},
		    &answer);
	*ret_found = answer.outcome == KUBE_OK;
	if (answer.outcome == KUBE_OK)
		uninstall_say(u, "deleting", what);
	else if (answer.outcome != KUBE_NOT_FOUND)
		return cluster_fail(&answer, err);
	return 0;
}

/* *ret_gone is false where it is still there after `limit_ms`. */
static int uninstall_wait_gone(struct uninstall *u, const char *path, int64_t limit_ms,
			       bool *ret_gone, struct err *err)
{
	int64_t began = clock_mono_ms();
	bool said = false;

	*ret_gone = false;
	while (!*ret_gone) {
		CLEANUP(cluster_answer_clear) struct cluster_answer answer = {0};

		cluster_get(u->cluster, path, &answer);
		if (answer.outcome == KUBE_NOT_FOUND)
			*ret_gone = true;
		else if (answer.outcome != KUBE_OK)
			return cluster_fail(&answer, err);
		else if (clock_mono_ms() - began > limit_ms)
			return 0;
		else
			cluster_wait(u->cluster, UNINSTALL_POLL_MS);
		if (!*ret_gone && !said && clock_mono_ms() - began > UNINSTALL_SILENT_MS) {
			uninstall_say(u, "  waiting", "until it is gone");
			said = true;
		}
	}
	return 0;
}

static int uninstall_workload(struct uninstall *u, const char *plural, const char *name,
			      const char *what, struct err *err)
{
	CLEANUP(mem_freep)
	char *path = mem_printf("/apis/apps/v1/namespaces/%s/%s/%s", u->namespace_, plural, name);
	bool found, gone = true;
	int r = uninstall_delete(u, path, what, &found, err);

	if (r || !found || u->dry_run)
		return r;
	r = uninstall_wait_gone(u, path, UNINSTALL_PODS_MS, &gone, err);
	if (r == 0 && !gone)
		printf("  some of its pods have not ended after %d s, as on a node that is down; "
		       "going on, for agents remove nothing unless a controller tells them\n",
		       UNINSTALL_PODS_MS / 1000);
	return r;
}

static int uninstall_controller(struct uninstall *u, struct err *err)
{
	return uninstall_workload(u, "deployments", "hauberk-controller",
				  "Deployment hauberk-controller", err);
}

static int uninstall_agents(struct uninstall *u, struct err *err)
{
	return uninstall_workload(u, "daemonsets", "hauberk-agent", "DaemonSet hauberk-agent", err);
}

static int uninstall_definition(struct uninstall *u, struct err *err)
{
	bool found;

	return uninstall_delete(
	    u, UNINSTALL_CRD "/apparmorprofiles.hauberk.dev",
	    "CustomResourceDefinition apparmorprofiles.hauberk.dev, and with it every "
	    "AppArmorProfile",
	    &found, err);
}

/* Finalizers. */

static int uninstall_free(void *data, struct json_object *obj, struct err *err)
{
	struct uninstall *u = data;
	CLEANUP(js_putp) struct json_object *patch = uninstall_patch(obj);
	CLEANUP(mem_freep) char *others = uninstall_holders(obj);
	const char *name = js_str_or_empty(obj, "metadata.name");
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", PROFILE_PATH, name);
	CLEANUP(mem_freep) char *what = mem_printf("our finalizer off AppArmorProfile %s", name);
	CLEANUP(cluster_answer_clear) struct cluster_answer answer = {0};

	u->n_seen++;
	if (*others && u->n_held++ < UNINSTALL_OBJECTS_SHOWN)
		buf_addf(&u->held, "%s%s (%s)", u->held.len ? "; " : "", name, others);
	if (!patch)
		return 0;
	u->n_freed++;
	if (u->dry_run) {
		uninstall_say(u, "taking", what);
		return 0;
	}
	cluster_request(u->cluster,
			&(struct kube_request_spec){.method = "PATCH",
						    .path = path,
						    .body = patch,
						    .content_type = "application/merge-patch+json"},
			&answer);
	/* Gone or changed meanwhile: the next pass sees it as it is. */
	if (answer.outcome == KUBE_NOT_FOUND || answer.outcome == KUBE_CONFLICT)
		return 0;
	if (answer.outcome != KUBE_OK)
		return cluster_fail(&answer, err);
	uninstall_say(u, "taking", what);
	return 0;
}

/* One pass over all profiles. *ret_defined is false where their definition is gone. */
static int uninstall_pass(struct uninstall *u, bool *ret_defined, struct err *err)
{
	enum kube_outcome outcome;
	int r;

	u->n_seen = u->n_freed = u->n_held = 0;
	buf_clear(&u->held);
	r = cluster_each(u->cluster, PROFILE_PATH, NULL, uninstall_free, u, &outcome, err);
	*ret_defined = outcome != KUBE_NOT_FOUND;
	return r;
}

/* The objects stay: free them until nobody puts the finalizer on again. */
static int uninstall_free_kept(struct uninstall *u, int64_t until, struct err *err)
{
	bool defined;
	int r;

	while ((r = uninstall_pass(u, &defined, err)) == 0 && u->n_freed > 0 && !u->dry_run) {
		if (clock_mono_ms() > until)
			return err_set(
			    err, -EBUSY,
			    "something puts the finalizer %s on again: a controller runs "
			    "outside of namespace %s; stop it and run this again",
			    PROFILE_FINALIZER, u->namespace_);
		cluster_wait(u->cluster, UNINSTALL_QUIET_MS);
	}
	return r;
}

/* The objects go: free them until the definition is gone. */
static int uninstall_free_deleted(struct uninstall *u, int64_t until, struct err *err)
{
	int64_t began = clock_mono_ms();
	bool defined = true, gone = false, said = false;
	int r = 0;

	while (r == 0 && !gone) {
		r = uninstall_pass(u, &defined, err);
		if (u->dry_run || r)
			return r;
		if (clock_mono_ms() > until)
			return err_set(err, -ETIMEDOUT,
				       "%zu AppArmorProfiles are still there after %d s%s%.300s",
				       u->n_seen, UNINSTALL_OBJECTS_MS / 1000,
				       u->n_held ? ", held by finalizers that are not Hauberk's: "
						 : "",
				       buf_text(&u->held));
		if (u->n_held > 0 && !said && clock_mono_ms() - began > UNINSTALL_SILENT_MS) {
			printf("  waiting for whoever holds %s\n", buf_text(&u->held));
			said = true;
		}
		r = uninstall_wait_gone(u, UNINSTALL_CRD "/apparmorprofiles.hauberk.dev",
					UNINSTALL_POLL_MS, &gone, err);
	}
	return r;
}

static int uninstall_finalizers(struct uninstall *u, struct err *err)
{
	int64_t until = clock_mono_ms() + UNINSTALL_OBJECTS_MS;

	return u->keep_crds ? uninstall_free_kept(u, until, err)
			    : uninstall_free_deleted(u, until, err);
}

static int uninstall_nodes(struct uninstall *u, struct err *err)
{
	const char *path = UNINSTALL_CRD "/apparmornodes.hauberk.dev";
	bool found, gone;
	int r = uninstall_delete(u, path, "CustomResourceDefinition apparmornodes.hauberk.dev",
				 &found, err);

	if (r || !found || u->dry_run)
		return r;
	r = uninstall_wait_gone(u, path, UNINSTALL_OBJECTS_MS, &gone, err);
	if (r == 0 && !gone)
		return err_set(err, -ETIMEDOUT,
			       "apparmornodes.hauberk.dev is still there after %d s",
			       UNINSTALL_OBJECTS_MS / 1000);
	return r;
}

/* What is cluster-scoped or stands in another namespace than ours. */

struct uninstall_kind {
	const char *kind;
	const char *path;
};

static const struct uninstall_kind uninstall_kinds[] = {
    {"ClusterRoleBinding", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"},
    {"ClusterRole", "/apis/rbac.authorization.k8s.io/v1/clusterroles"},
    {"RoleBinding default", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"},
    {"Role default", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"},
    {"FlowSchema", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"},
};

struct uninstall_collection {
	struct uninstall *u;
	const struct uninstall_kind *kind;
};

static int uninstall_item(void *data, struct json_object *obj, struct err *err)
{
	struct uninstall_collection *c = data;
	const char *name = js_str_or_empty(obj, "metadata.name");
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", c->kind->path, name);
	CLEANUP(mem_freep) char *what = mem_printf("%s %s", c->kind->kind, name);
	bool found;

	/* A name of ours as well, for here are everybody's. */
	if (!uninstall_is_ours(obj) || !str_has_prefix(name, "hauberk-"))
		return 0;
	return uninstall_delete(c->u, path, what, &found, err);
}

static int uninstall_rights(struct uninstall *u, struct err *err)
{
	enum kube_outcome outcome;
	size_t i;
	int r = 0;

	for (i = 0; i < sizeof(uninstall_kinds) / sizeof(*uninstall_kinds) && r == 0; i++) {
		struct uninstall_collection c = {u, &uninstall_kinds[i]};

		r = cluster_each(u->cluster, c.kind->path, UNINSTALL_LABEL, uninstall_item, &c,
				 &outcome, err);
	}
	return r;
}

static int uninstall_namespace(struct uninstall *u, struct err *err)
{
	CLEANUP(cluster_answer_clear) struct cluster_answer answer = {0};
	CLEANUP(mem_freep) char *path = mem_printf("/api/v1/namespaces/%s", u->namespace_);
	CLEANUP(mem_freep) char *what = mem_printf("Namespace %s", u->namespace_);
	bool found, gone;
	int r;

	cluster_get(u->cluster, path, &answer);
	if (answer.outcome == KUBE_NOT_FOUND)
		return 0;
	if (answer.outcome != KUBE_OK)
		return cluster_fail(&answer, err);
	if (!uninstall_is_ours(answer.obj)) {
		printf("leaving %s: it does not bear the label %s\n", what, UNINSTALL_LABEL);
		return 0;
	}
	r = uninstall_delete(u, path, what, &found, err);
	if (r || !found || u->dry_run)
		return r;
	r = uninstall_wait_gone(u, path, UNINSTALL_PODS_MS, &gone, err);
	if (r == 0 && !gone)
		printf("  Kubernetes has not done with it after %d s; `kubectl get namespace %s -o "
		       "yaml` "
		       "says what it waits for\n",
		       UNINSTALL_PODS_MS / 1000, u->namespace_);
	return r;
}

enum uninstall_when { UNINSTALL_ALWAYS, UNINSTALL_KEEPING, UNINSTALL_ALL };

struct uninstall_step {
	enum uninstall_when when;
	int (*run)(struct uninstall *u, struct err *err);
};

static const struct uninstall_step uninstall_steps[] = {
    {UNINSTALL_ALWAYS, uninstall_controller}, {UNINSTALL_ALWAYS, uninstall_agents},
    {UNINSTALL_KEEPING, uninstall_rights},    {UNINSTALL_ALL, uninstall_definition},
    {UNINSTALL_ALWAYS, uninstall_finalizers}, {UNINSTALL_ALL, uninstall_nodes},
    {UNINSTALL_ALL, uninstall_rights},        {UNINSTALL_ALWAYS, uninstall_namespace},
};

static int uninstall_run(struct uninstall *u, struct err *err)
{
	enum uninstall_when other = u->keep_crds ? UNINSTALL_ALL : UNINSTALL_KEEPING;
	size_t i;
	int r = 0;

	for (i = 0; i < sizeof(uninstall_steps) / sizeof(*uninstall_steps) && r == 0; i++)
		if (uninstall_steps[i].when != other)
			r = uninstall_steps[i].run(u, err);
	return r;
}

static bool uninstall_confirm(const struct uninstall *u)
{
	char line[16];

	printf("This removes Hauberk from %s: controller, agents, rights, namespace %s%s.\n"
	       "No profile is unloaded: what runs confined stays confined until its node starts "
	       "anew.\n"
	       "Go on? [y/N] ",
	       cluster_server(u->cluster), u->namespace_,
	       u->keep_crds ? "; AppArmorProfile objects stay"
			    : ", and every AppArmorProfile object");
	fflush(stdout);
	return fgets(line, sizeof(line), stdin) &&
	       (strcmp(line, "y\n") == 0 || strcmp(line, "yes\n") == 0);
}

static void uninstall_on_interrupt(int number)
{
	static const char text[] = "\ninterrupted: run it again to go on where it stopped\n";
	ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)n;
	(void)number;
	_exit(130);
}

static int uninstall_all(struct uninstall *u, struct err *err)
{
	CLEANUP(cluster_closep) struct cluster *cluster = NULL;
	int r = cluster_open(&u->where, &cluster, err);

	u->cluster = cluster;
	if (r == 0 && !u->yes && !u->dry_run && !uninstall_confirm(u))
		r = err_set(err, -ECANCELED, "nothing was changed");
	if (r == 0)
		r = uninstall_run(u, err);
	buf_clear(&u->held);
	return r;
}

int uninstall_main(int argc, char **argv)
{
	struct uninstall u = {.namespace_ = "hauberk-system", .held = BUF_INIT(4096)};
	const struct option_def defs[] = {
	    {"yes", 'y', OPTION_FLAG, &u.yes, 0, 0, NULL, "do not ask"},
	    {"dry-run", 0, OPTION_FLAG, &u.dry_run, 0, 0, NULL,
	     "say what would be done, and change nothing"},
	    {"keep-crds", 0, OPTION_FLAG, &u.keep_crds, 0, 0, NULL,
	     "leave the definitions and the AppArmorProfile objects"},
	    {"namespace", 'n', OPTION_TEXT, &u.namespace_, 0, 0, "NAME",
	     "where Hauberk is installed (default hauberk-system)"},
	    CLUSTER_OPTIONS(u.where),
	    {0},
	};
	const struct options_spec spec = {
	    .usage = "kubectl hauberk uninstall [OPTIONS]",
	    .about =
		"Takes Hauberk out of the cluster and leaves every node's kernel as it is: no "
		"profile is "
		"unloaded,\nno object is left that cannot be deleted. Can be run again after an "
		"interruption.",
	    .defs = defs,
	};
	struct err err;
	int n_args, r = options_parse(&spec, argc, argv, &n_args, &err);

	if (r == 1) {
		options_print_help(&spec);
		return 0;
	}
	if (r == 0 && n_args > 0)
		r = err_set(&err, -EINVAL, "%.80s is not an option; see --help", argv[1]);
	if (r == 0 && !u.yes && !u.dry_run && !isatty(STDIN_FILENO))
		r = err_set(&err, -EINVAL,
			    "nobody is there to confirm it: give --yes, or --dry-run to see what "
			    "would be done");
	if (r)
		return command_fail("uninstall", &err, COMMAND_USAGE);
	signal(SIGINT, uninstall_on_interrupt);
	r = uninstall_all(&u, &err);
	if (r)
		return command_fail("uninstall", &err, COMMAND_NO);
	if (u.dry_run)
		puts("Nothing was changed (dry run).");
	else
		puts("Hauberk is gone. Profiles stay loaded on each node until it starts anew, and "
		     "/var/lib/hauberk stays there.");
	return COMMAND_OK;
}
