#include "loader.h"

#include "base/mem.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/apparmor.h>

struct loader {
	aa_kernel_interface *kernel;
};

static const struct {
	int code;
	const char *means;
} loader_meanings[] = {
    {EPROTO, "the compiled policy is cut short or damaged"},
    {EPROTONOSUPPORT, "this kernel does not know the format of the compiled policy"},
    {ENOMEM, "the kernel has no memory left for it"},
    {EACCES, "the agent may not change policy: CAP_MAC_ADMIN and user 0 are needed, and AppArmor "
	     "must allow it"},
    {EPERM, "the agent may not change policy: apparmor's lock_policy is set, or user 0 is missing"},
    {ENAMETOOLONG, "a profile's name is too long"},
    {EEXIST, "the kernel could not make a profile's folder in apparmorfs, for one of that name is "
	     "there"},
    {EINVAL, "the kernel takes the compiled policy for malformed"},
    {ENOENT, "the kernel holds no such profile"},
    {ENOSPC, "the kernel cannot hold more"},
};

const char *loader_explain(int code)
{
	size_t i;

	for (i = 0; i < sizeof(loader_meanings) / sizeof(loader_meanings[0]); i++)
		if (loader_meanings[i].code == code)
			return loader_meanings[i].means;
	return strerror(code);
}

static int loader_fail(struct err *err, int code, const char *verb)
{
	return err_set(err, -code, "the kernel refused to %s: %s (%s)", verb, loader_explain(code),
		       strerrorname_np(code) ? strerrorname_np(code) : "?");
}

int loader_new(const struct aafs *a, struct loader **ret, struct err *err)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/features", a->dir);
	aa_kernel_interface *kernel = NULL;
	aa_features *features = NULL;
	int r;

	if (aa_features_new(&features, AT_FDCWD, path) < 0)
		return err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
	r = aa_kernel_interface_new(&kernel, features, a->dir);
	if (r < 0)
		r = err_set(err, -errno, "cannot open %s: %s", a->dir, strerror(errno));
	aa_features_unref(features);
	if (r < 0)
		return r;
	*ret = MEM_NEW(struct loader);
	(*ret)->kernel = kernel;
	return 0;
}

void loader_free(struct loader *l)
{
	if (!l)
		return;
	aa_kernel_interface_unref(l->kernel);
	free(l);
}

/* Linux 6.1 takes no bytes at all for success. */
int loader_replace(struct loader *l, const void *bytes, size_t n, struct err *err)
{
	if (n == 0)
		return err_set(err, -EINVAL, "there is no policy in 0 bytes");
	if (aa_kernel_interface_replace_policy(l->kernel, bytes, n) < 0)
		return loader_fail(err, errno, "load it");
	return 0;
}

int loader_remove(struct loader *l, const char *name, struct err *err)
{
	if (aa_kernel_interface_remove_policy(l->kernel, name) < 0)
		return loader_fail(err, errno, "remove it");
	return 0;
}
