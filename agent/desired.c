#include "desired.h"

#include <string.h>

static const struct aafs_profile *desired_find(const struct aafs_tree *tree, const char *name)
{
	size_t i;

	for (i = 0; i < tree->n; i++)
		if (strcmp(tree->items[i].name, name) == 0)
			return &tree->items[i];
	return NULL;
}

static bool desired_hash_fits(const struct aafs_profile *p, const struct sync_hash *h)
{
	if (*p->sha256)
		return strcmp(p->sha256, h->sha256) == 0;
	return *p->sha1 && strcmp(p->sha1, h->sha1) == 0;
}

/* Compiled with -C, kill becomes complain too. */
static bool desired_mode_fits(const struct aafs_profile *p, enum profile_mode mode)
{
	if (mode == PROFILE_COMPLAIN)
		return strcmp(p->mode, "complain") == 0;
	return strcmp(p->mode, "enforce") == 0 || strcmp(p->mode, "kill") == 0;
}

static bool desired_profile_fits(const struct aafs_tree *tree, const struct sync_hash *h,
				 enum profile_mode mode, struct err *why)
{
	const struct aafs_profile *p = desired_find(tree, h->name);

	if (!p)
		err_set(why, -ENOENT, "the kernel holds no profile %s", h->name);
	else if (!*p->sha1 && !*p->sha256)
		err_set(why, -ENOTSUP,
			"the kernel tells no hash of %s: it was built without "
			"CONFIG_SECURITY_APPARMOR_HASH or started with apparmor.hash_policy=0",
			h->name);
	else if (!desired_hash_fits(p, h))
		err_set(why, -EBADMSG, "the kernel's hash of %s is %s, not %s", h->name,
			*p->sha256 ? p->sha256 : p->sha1, *p->sha256 ? h->sha256 : h->sha1);
	else if (!desired_mode_fits(p, mode))
		err_set(why, -EBADMSG, "the kernel says that %s is in %s mode", h->name, p->mode);
	else
		return true;
	return false;
}

bool desired_fits(const struct aafs_tree *tree, const struct sync_hash *hashes, size_t n_hashes,
		  enum profile_mode mode, struct err *why)
{
	struct err ignored;
	size_t i;

	for (i = 0; i < n_hashes; i++)
		if (!desired_profile_fits(tree, &hashes[i], mode, why ? why : &ignored))
			return false;
	return n_hashes > 0;
}

static bool desired_version_fits(const struct aafs_tree *tree, const struct record_version *v)
{
	return desired_fits(tree, v->hashes, v->n_hashes, v->mode, NULL);
}

static bool desired_top_is(const struct aafs_tree *tree, const struct record_version *v)
{
	return tree->n > 0 && v->n_hashes > 0 && desired_hash_fits(&tree->items[0], &v->hashes[0]);
}

static bool desired_is_ours(const struct desired_facts *f)
{
	if (!f->entry || f->kernel->n == 0)
		return false;
	if (f->entry->held.n_hashes > 0 && strcmp(f->entry->boot_id, f->boot_id) == 0)
		return true;
	return desired_top_is(f->kernel, &f->entry->held) ||
	       desired_top_is(f->kernel, &f->entry->next);
}

bool desired_holds_next(const struct desired_facts *f)
{
	return f->entry && desired_top_is(f->kernel, &f->entry->next);
}

static bool desired_is_as_told(const struct desired_facts *f)
{
	const struct sync_item *item = f->item;

	return item && item->want == SYNC_LOADED &&
	       desired_fits(f->kernel, item->hashes, item->n_hashes, item->mode, NULL);
}

static const char *desired_revision(const struct desired_facts *f)
{
	if (desired_is_as_told(f))
		return f->item->revision;
	if (!desired_is_ours(f))
		return "";
	if (desired_version_fits(f->kernel, &f->entry->held))
		return f->entry->held.revision;
	if (desired_version_fits(f->kernel, &f->entry->next))
		return f->entry->next.revision;
	return "";
}

/* Loading one that is exactly the wanted one would change nothing, whoever loaded it. */
static enum desired_action desired_when_wanted(const struct desired_facts *f, bool is_ours)
{
	if (desired_is_as_told(f))
		return DESIRED_KEEP;
	if (f->kernel->n == 0 || is_ours || f->item->adopt)
		return DESIRED_LOAD;
	return DESIRED_CONFLICT;
}

static enum desired_action desired_when_absent(const struct desired_facts *f, bool is_ours)
{
	if (f->set_is_old)
		return DESIRED_WAIT;
	return is_ours ? DESIRED_REMOVE : DESIRED_GONE;
}

static enum desired_action desired_when_untold(const struct desired_facts *f, bool is_ours)
{
	if (is_ours)
		return DESIRED_ORPHAN;
	return f->set_is_old ? DESIRED_WAIT : DESIRED_NOTHING;
}

struct desired desired_decide(const struct desired_facts *f)
{
	struct desired d = {.is_ours = desired_is_ours(f)};

	memcpy(d.revision, desired_revision(f), strlen(desired_revision(f)) + 1);
	if (!f->item)
		d.action = desired_when_untold(f, d.is_ours);
	else if (f->item->want == SYNC_LOADED)
		d.action = desired_when_wanted(f, d.is_ours);
	else
		d.action = desired_when_absent(f, d.is_ours);
	return d;
}

static bool desired_is_wanted(const struct sync_item *item, const char *name)
{
	size_t i;

	for (i = 0; i < item->n_hashes; i++)
		if (strcmp(item->hashes[i].name, name) == 0)
			return true;
	return false;
}

const char *desired_leftover(const struct desired_facts *f, size_t i)
{
	size_t k;

	if (!f->entry || !desired_is_as_told(f))
		return NULL;
	for (k = 0; k < f->entry->n_children; k++) {
		const char *child = f->entry->children[k];

		if (!desired_is_wanted(f->item, child) && desired_find(f->kernel, child) &&
		    i-- == 0)
			return child;
	}
	return NULL;
}
