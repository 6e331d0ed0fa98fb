#include "policy/names.h"

#include "base/str.h"

#include <stddef.h>
#include <string.h>

struct names_reserved {
	const char *text;
	bool is_prefix;
};

/* Who loads a profile of such a name itself: replacing it would change what other software relies
 * on, and removing it would unconfine what that software runs. The rule in crds/ has the same list.
 */
static const struct names_reserved names_reserved[] = {
    /* what the kernel means by itself */
    {"unconfined", false},
    {"kernel_t", false},
    /* container engines */
    {"docker-default", false},
    {"crun-default", false},
    {"nerdctl-default", false},
    {"buildkit-default", false},
    {"cri-containerd.", true},
    {"crio-default", true},
    {"containers-default-", true},
    {"runc", false},
    {"crun", false},
    {"podman", false},
    {"buildah", false},
    /* the operating system's own sandboxes and virtual machines */
    {"snap.", true},
    {"snap-update-ns.", true},
    {"snap-confine", false},
    {"lxc-", true},
    {"lxc_", true},
    {"lxd-", true},
    {"lxd_", true},
    {"incus-", true},
    {"incus_", true},
    {"libvirt-", true},
    {"libvirtd", false},
    {"virtqemud", false},
    {"virtxend", false},
    {"virt-aa-helper", false},
};

static bool names_is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool names_is_inner(char c)
{
	return names_is_alnum(c) || c == '.' || c == '_' || c == '-';
}

bool policy_name_is_valid(const char *name)
{
	size_t i;

	if (!names_is_alnum(name[0]))
		return false;
	for (i = 1; name[i]; i++)
		if (i >= POLICY_NAME_MAX || !names_is_inner(name[i]))
			return false;
	return true;
}

bool policy_name_is_reserved(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(names_reserved) / sizeof(names_reserved[0]); i++) {
		const struct names_reserved *r = &names_reserved[i];

		if (r->is_prefix ? str_has_prefix(name, r->text) : strcmp(name, r->text) == 0)
			return true;
	}
	return false;
}

int policy_name_check(const char *name, struct err *err)
{
	char shown[64];

	if (strlen(name) > POLICY_NAME_MAX)
		return err_set(
		    err, -EINVAL,
		    "the profile name has %zu bytes and may have %d: choose a shorter one",
		    strlen(name), POLICY_NAME_MAX);
	strncpy(shown, name, sizeof(shown) - 1);
	shown[sizeof(shown) - 1] = '\0';
	str_make_printable(shown, sizeof(shown) - 4);
	if (!policy_name_is_valid(name))
		return err_set(
		    err, -EINVAL,
		    "\"%s\" is not a profile name that Hauberk loads: use 1 to %d of the "
		    "characters A-Z a-z 0-9 . _ - with a letter or digit first",
		    shown, POLICY_NAME_MAX);
	if (policy_name_is_reserved(name))
		return err_set(err, -EINVAL,
			       "the profile name \"%s\" is reserved, for the kernel, a container "
			       "runtime or the operating system loads a profile of that name "
			       "itself: choose another name",
			       shown);
	return 0;
}
