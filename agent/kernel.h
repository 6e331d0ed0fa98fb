#pragma once

/*
 * The node's kernel as the keeper sees it: a table of operations, so that tests can put a kernel of
 * their own in its place and let its n-th operation fail.
 */

#include "aafs.h"
#include "base/err.h"
#include "base/map.h"

#include <stddef.h>
#include <stdint.h>

struct kernel {
	void *data;
	/* As aafs_scan(), loader_replace(), loader_remove() and tasks_scan(); the revision is told
	 * whether or not it changed. */
	int (*scan)(void *data, aafs_wanted_fn wanted, aafs_found_fn found, void *ctx,
		    struct err *err);
	int (*revision)(void *data, int64_t *value, struct err *err);
	int (*replace)(void *data, const void *bytes, size_t n, struct err *err);
	int (*remove)(void *data, const char *name, struct err *err);
	int (*tasks)(void *data, const struct map *uses, struct err *err);
};

/* The real one. */
struct kernel_node {
	struct kernel ops;
	struct aafs aafs;
	struct loader *loader;
	char *proc;
	int revision_fd;
	int64_t revision; /* as last read: a number is told once */
};

/* `securityfs`, `sysfs` and `proc` are where these file systems are mounted. -errno with a sentence
 * that says why this kernel cannot be given policy; the object is to be freed all the same. */
int kernel_node_init(struct kernel_node *node, const char *securityfs, const char *sysfs,
		     const char *proc, struct err *err);
void kernel_node_deinit(struct kernel_node *node);
