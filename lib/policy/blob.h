#pragma once

/*
 * The compiled policy, read back before anyone may load it. Pure.
 *
 * It is the one authority on what a text defines: names with their variables expanded, attachments,
 * namespaces, modes. The format is a stream of tagged values, little-endian, without a checksum:
 *
 *     "version" u32, [ "namespace" string ], struct "profile" { name, ... }      once a profile
 *
 * where hats and children are profiles of their own, named parent//child.
 * Source: security/apparmor/policy_unpack.c in the kernel. Everything is bounds-checked; a
 * profile's body behind its flags is only checked to be well-formed.
 */

#include "api/profile.h"
#include "base/err.h"
#include "base/sha.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	POLICY_BLOB_MAX = 4 << 20,          /* bytes of a compiled policy */
	POLICY_BLOB_PROFILES_MAX = 512,     /* a profile, its hats and its children */
	POLICY_BLOB_NAME_MAX = 252,         /* of a whole name, parent//child */
	POLICY_BLOB_FORCE_COMPLAIN = 0x800, /* in the version word: compiled with -C */
};

/* What the flags of one profile say, before the version word is taken into account. */
enum policy_blob_mode {
	POLICY_BLOB_ENFORCE = 0,
	POLICY_BLOB_COMPLAIN = 1,
	POLICY_BLOB_KILL = 2,
	POLICY_BLOB_UNCONFINED = 3, /* default_allow compiles to it too */
	POLICY_BLOB_PROMPT = 4,
};

struct policy_blob_profile {
	char *name;       /* whole: "web", "web//child" */
	char *ns;         /* the namespace in front of it; NULL: none */
	uint32_t version; /* the version word that holds for it */
	uint32_t mode;    /* enum policy_blob_mode, or a number not known here */
	bool is_child;    /* its name holds // */
	bool is_hat;
	bool has_attachment;
	bool has_rename;
	size_t offset, len; /* of its section: what the kernel hashes */
	/* The kernel's own hash, ahead: of the version word (LE32) and the section. One of the two
	 * is in …/policy/profiles/NAME/{sha1,sha256}: sha1 on 6.1, sha256 on 6.12. */
	char sha1[SHA1_HEX];
	char sha256[SHA256_HEX];
};

struct policy_blob {
	struct policy_blob_profile
	    *profiles; /* in the order of the blob: the top-level one first */
	size_t n;
};

/* Walk a blob. -EINVAL with a sentence for bytes that are no such stream or go beyond a ceiling. No
 * bytes at all are a blob of no profiles. The caller clears *ret. */
int policy_blob_parse(const char *bytes, size_t n, struct policy_blob *ret, struct err *err);

/* The verdict on what was walked, given the name that the profile must have (NULL: any that
 * policy_name_check() allows) and the mode that the spec asks for: exactly one top-level profile,
 * that name, no namespace, no attachment, children bounded, named in printable bytes and with a
 * parent, and the mode:
 *
 *  - Enforce: every profile is enforce or kill;
 *  - Complain: compiled with -C, which is what the kernel goes by.
 *
 * unconfined, prompt and what is not known here are refused in both. -EPERM with a sentence for
 * people otherwise. */
int policy_blob_check(const struct policy_blob *blob, const char *name, enum profile_mode mode,
		      struct err *err);

/* The top-level profile; NULL where there is none. */
const struct policy_blob_profile *policy_blob_top(const struct policy_blob *blob);

void policy_blob_clear(struct policy_blob *blob);
