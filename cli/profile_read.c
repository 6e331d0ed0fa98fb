#include "cli/profile_read.h"

#include "api/profile.h"
#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

enum { PROFILE_READ_WAIT_MS = 10 * 1000, PROFILE_READ_POLL_MS = 200 };

int profile_read(struct cluster *cluster, const char *name, struct json_object **ret,
		 struct err *err)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", PROFILE_PATH, name);
	CLEANUP(cluster_answer_clear) struct cluster_answer answer = {0};

	if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(name))
		return err_set(err, -EINVAL, "%.80s is not a name that an AppArmorProfile can have",
			       name);
	cluster_get(cluster, path, &answer);
	if (answer.outcome == KUBE_NOT_FOUND)
		return err_set(err, -ENOENT,
			       "there is no AppArmorProfile %s; `kubectl get aap` lists those that "
			       "there are",
			       name);
	if (answer.outcome != KUBE_OK)
		return cluster_fail(&answer, err);
	*ret = json_object_get(answer.obj);
	return 0;
}

int profile_read_seen(struct cluster *cluster, const char *name, struct json_object **ret,
		      struct err *err)
{
	int64_t until = clock_mono_ms() + PROFILE_READ_WAIT_MS;

	for (;;) {
		CLEANUP(js_putp) struct json_object *obj = NULL;
		int r = profile_read(cluster, name, &obj, err);

		if (r < 0)
			return r;
		if (js_i64(obj, "status.observedGeneration", -1) >=
		    js_i64(obj, "metadata.generation", 0)) {
			*ret = STEAL(obj);
			return 0;
		}
		if (clock_mono_ms() > until)
			return err_set(err, -EAGAIN,
				       "the controller has not seen the newest change of %s for %d "
				       "s: is it running?",
				       name, PROFILE_READ_WAIT_MS / 1000);
		cluster_wait(cluster, PROFILE_READ_POLL_MS);
	}
}
