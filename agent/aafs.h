#pragma once

/*
 * What the kernel says of its policy, read from apparmorfs.
 *
 * A profile is the folder policy/profiles/NAME.N, with its children as folders below it. The
 * folder's name is mangled, so it only narrows the search and the file `name` decides. Everything
 * read here may have been loaded by somebody else, so sizes, depth and number are bounded, and a
 * folder may vanish while it is read.
 * Source: security/apparmor/apparmorfs.c in the kernel.
 */

#include "base/err.h"
#include "base/sha.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	AAFS_NAME_MAX = 4096,
	AAFS_MODE_MAX = 32,
	AAFS_PROFILES_MAX = 1024, /* of one tree */
	AAFS_FEATURES_MAX = 8192,
};

/* One profile as read back. The kernel has one hash or the other, or none at all where it was
 * built or started without; "" is none. */
struct aafs_profile {
	char *name; /* whole: "web//child" */
	char mode[AAFS_MODE_MAX];
	char sha1[SHA1_HEX];
	char sha256[SHA256_HEX];
};

/* A top-level profile and all its children, parents first. n is 0 where the kernel holds none. */
struct aafs_tree {
	struct aafs_profile *items;
	size_t n;
};

/* The apparmor folder below securityfs ("/sys/kernel/security"). Makes the path and opens nothing.
 */
struct aafs {
	char *dir;
};

void aafs_init(struct aafs *a, const char *securityfs);
void aafs_deinit(struct aafs *a);

/* 0, or -ENOENT and the like with a sentence that says why this kernel cannot be given policy. */
int aafs_check(const struct aafs *a, struct err *err);

/* -ENOTSUP with a sentence where the kernel keeps no hash of the policy it is given, so that
 * nothing could be read back; 0 too where that cannot be told. `sysfs` is "/sys". */
int aafs_check_hashes(const char *sysfs, struct err *err);

/* The feature set as text, in the form that apparmor_parser takes (libapparmor makes it). The
 * caller owns it. */
int aafs_features(const struct aafs *a, char **ret, struct err *err);

typedef bool (*aafs_wanted_fn)(void *data, const char *name);
typedef void (*aafs_found_fn)(void *data, struct aafs_tree *tree);

/* Read the top-level profiles whose names are wanted. `wanted` is asked of each folder's name
 * without its number, and again of the real name; so it must be true of a name as the kernel
 * mangles it, which for names made of letters, digits and "._-" is the name itself. `found` may
 * take the tree over by zeroing it. Those that vanish meanwhile are passed over; where one cannot
 * be read for another reason that is the error, and nothing may be taken for absent. */
int aafs_scan(const struct aafs *a, aafs_wanted_fn wanted, aafs_found_fn found, void *data,
	      struct err *err);

void aafs_tree_clear(struct aafs_tree *tree);

/* The name that a folder's name stands for: without ".N" at its end. False where it has none. Pure.
 */
bool aafs_folder_name(const char *folder, char *ret, size_t n);

/* The counter that any change of policy moves on. The descriptor polls readable until the change is
 * read. -errno with a sentence. */
int aafs_revision_open(const struct aafs *a, int *ret_fd, struct err *err);

/* The number now. Where it did not change since this descriptor was read before, *value is left
 * alone; 0 stands for a kernel that has never been given policy. */
int aafs_revision_read(int fd, int64_t *value, struct err *err);
