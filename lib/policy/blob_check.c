#include "policy/blob.h"

#include "base/str.h"
#include "policy/names.h"

#include <stdio.h>
#include <string.h>

enum { CHECK_SHOWN = 72 };

/* A name as it may stand in a message. */
static const char *check_shown(const char *name, char out[CHECK_SHOWN])
{
	snprintf(out, CHECK_SHOWN, "%s", name);
	if (strlen(name) >= CHECK_SHOWN)
		memcpy(out + CHECK_SHOWN - 4, "...", 4);
	str_make_printable(out, CHECK_SHOWN - 1);
	return out;
}

static bool check_is_printable(const char *name)
{
	const unsigned char *s;

	for (s = (const unsigned char *)name; *s; s++)
		if (*s < 0x20 || *s == 0x7f)
			return false;
	return str_is_utf8(name, strlen(name));
}

static int check_top_count(const struct policy_blob *blob, struct err *err)
{
	const struct policy_blob_profile *top = policy_blob_top(blob);
	char a[CHECK_SHOWN], b[CHECK_SHOWN];
	const struct policy_blob_profile *p;

	if (!top)
		return err_set(err, -EPERM,
			       blob->n == 0
				   ? "the policy defines no profile: it is empty, or there "
				     "are only comments in it"
				   : "the policy defines children and no profile that they "
				     "belong to");
	for (p = top + 1; p < blob->profiles + blob->n; p++)
		if (!p->is_child)
			return err_set(
			    err, -EPERM,
			    "the policy defines more than one profile, \"%s\" and \"%s\" "
			    "among them: one object holds one; hats and child profiles "
			    "stand inside it",
			    check_shown(top->name, a), check_shown(p->name, b));
	return 0;
}

/* What would make the profile reach beyond the processes that ask for it by name. */
static int check_reach(const struct policy_blob *blob, const struct policy_blob_profile *top,
		       struct err *err)
{
	char shown[CHECK_SHOWN];
	size_t i;

	for (i = 0; i < blob->n; i++) {
		const struct policy_blob_profile *p = &blob->profiles[i];

		if (p->ns)
			return err_set(
			    err, -EPERM,
			    "the policy puts its profile into the namespace \"%s\": leave "
			    "the namespace out",
			    check_shown(p->ns, shown));
		if (p->has_rename)
			return err_set(err, -EPERM,
				       "the policy renames another profile, which is not allowed");
	}
	if (top->name[0] == '/')
		return err_set(
		    err, -EPERM,
		    "the profile's name \"%s\" is a path, so it would confine that program "
		    "everywhere on the node: write \"profile NAME\" with no path",
		    check_shown(top->name, shown));
	if (top->has_attachment)
		return err_set(err, -EPERM,
			       "the profile \"%s\" has an attachment, so it would confine programs "
			       "everywhere on the node: leave out the path behind its name",
			       check_shown(top->name, shown));
	return 0;
}

static int check_top_name(const struct policy_blob_profile *top, const char *name, struct err *err)
{
	char a[CHECK_SHOWN], b[CHECK_SHOWN];
	struct err inner;

	if (name && strcmp(top->name, name) != 0)
		return err_set(
		    err, -EPERM,
		    "the policy defines the profile \"%s\", and this object is for \"%s\": "
		    "let both be the same",
		    check_shown(top->name, a), check_shown(name, b));
	if (policy_name_check(top->name, &inner) < 0)
		return err_set(err, -EPERM, "%s", inner.msg);
	return 0;
}

static const struct policy_blob_profile *check_find(const struct policy_blob *blob,
						    const char *name, size_t n, size_t before)
{
	size_t i;

	for (i = 0; i < before; i++) {
		const char *other = blob->profiles[i].name;

		if (strlen(other) == n && memcmp(other, name, n) == 0)
			return &blob->profiles[i];
	}
	return NULL;
}

static const char *check_last_separator(const char *name)
{
	const char *last = NULL;
	const char *s;

	for (s = strstr(name, "//"); s; s = strstr(s + 2, "//"))
		last = s;
	return last;
}

/* The kernel takes off what is space at the end of a whole name (basename() in
 * security/apparmor/include/lib.h), and goes by bytes of Latin-1, where 0xa0 is a space too
 * (lib/ctype.c): the last byte of "à" and of one letter in 64 of other scripts. It would hold the
 * profile under a name that nobody wrote. A child's name begins behind its parent's, so what it
 * begins with stays; control characters are refused anyhow. */
static bool check_ends_in_space(const char *name)
{
	unsigned char last = (unsigned char)name[strlen(name) - 1];

	return last == ' ' || last == 0xa0;
}

/* A child lives in a folder of its parent's in apparmorfs, under its last component; the kernel
 * refuses one whose parent it does not know, and reads & at the start of a component as a stack of
 * labels. A child's attachment is harmless and of use: it is looked at only when its parent
 * executes something (find_attach() in security/apparmor/domain.c is given the parent's list). */
static int check_child(const struct policy_blob *blob, size_t i, struct err *err)
{
	const char *name = blob->profiles[i].name;
	const char *last = check_last_separator(name);
	char shown[CHECK_SHOWN];

	check_shown(name, shown);
	if (!check_is_printable(name))
		return err_set(
		    err, -EPERM,
		    "the name of the child profile \"%s\" holds a control character or is "
		    "not valid UTF-8",
		    shown);
	if (strlen(name) > POLICY_BLOB_NAME_MAX || strlen(last + 2) > POLICY_NAME_MAX)
		return err_set(err, -EPERM,
			       "the name of the child profile \"%s\" is too long: %d bytes are "
			       "allowed, and %d with its parents' names",
			       shown, POLICY_NAME_MAX, POLICY_BLOB_NAME_MAX);
	if (strstr(name, "//&") || last[2] == '\0' || last[2] == ':')
		return err_set(err, -EPERM,
			       "the child profile \"%s\" has a name that the kernel would read as "
			       "something else: begin it with a letter, a digit or /",
			       shown);
	if (check_ends_in_space(name))
		return err_set(
		    err, -EPERM,
		    "the name of the child profile \"%s\" ends in a space, or in a letter "
		    "such as \"à\" whose last byte the kernel takes for one and cuts off: let "
		    "it end in another character",
		    shown);
	if (!check_find(blob, name, (size_t)(last - name), i))
		return err_set(
		    err, -EPERM,
		    "the policy defines the child profile \"%s\" and not its parent: does "
		    "it stand inside a child profile, which this compiler does not support?",
		    shown);
	if (check_find(blob, name, strlen(name), i))
		return err_set(err, -EPERM, "the policy defines the child profile \"%s\" twice",
			       shown);
	return 0;
}

static int check_mode(const struct policy_blob_profile *p, enum profile_mode mode, struct err *err)
{
	bool forced = (p->version & POLICY_BLOB_FORCE_COMPLAIN) != 0;
	char shown[CHECK_SHOWN];

	check_shown(p->name, shown);
	if (p->mode == POLICY_BLOB_UNCONFINED)
		return err_set(err, -EPERM,
			       "the text makes \"%s\" unconfined (flags=(unconfined) or "
			       "flags=(default_allow)), which confines nothing: take the flag out",
			       shown);
	if (p->mode == POLICY_BLOB_PROMPT)
		return err_set(
		    err, -EPERM,
		    "the text says flags=(prompt) for \"%s\", and nobody on a node can be "
		    "asked: take the flag out",
		    shown);
	if (p->mode > POLICY_BLOB_PROMPT)
		return err_set(err, -EPERM, "\"%s\" has a mode that is not known here", shown);
	if (mode == PROFILE_COMPLAIN && !forced)
		return err_set(err, -EPERM, "\"%s\" was not compiled for complain mode", shown);
	if (mode == PROFILE_ENFORCE && (forced || p->mode == POLICY_BLOB_COMPLAIN))
		return err_set(
		    err, -EPERM,
		    "the text says complain for \"%s\" (flags=(complain)): set spec.mode "
		    "to Complain and take the flag out, so that what is seen is what is "
		    "enforced",
		    shown);
	return 0;
}

int policy_blob_check(const struct policy_blob *blob, const char *name, enum profile_mode mode,
		      struct err *err)
{
	const struct policy_blob_profile *top = policy_blob_top(blob);
	size_t i;
	int e = check_top_count(blob, err);

	if (e == 0)
		e = check_reach(blob, top, err);
	if (e == 0)
		e = check_top_name(top, name, err);
	for (i = 0; i < blob->n && e == 0; i++)
		if (blob->profiles[i].is_child)
			e = check_child(blob, i, err);
	for (i = 0; i < blob->n && e == 0; i++)
		e = check_mode(&blob->profiles[i], mode, err);
	return e;
}
