#include "kernel.h"

#include "base/mem.h"
#include "loader.h"
#include "tasks.h"

#include <stdlib.h>
#include <unistd.h>

static int kernel_scan(void *data, aafs_wanted_fn wanted, aafs_found_fn found, void *ctx,
		       struct err *err)
{
	struct kernel_node *node = data;

	return aafs_scan(&node->aafs, wanted, found, ctx, err);
}

static int kernel_revision(void *data, int64_t *value, struct err *err)
{
	struct kernel_node *node = data;
	int r = aafs_revision_read(node->revision_fd, &node->revision, err);

	*value = node->revision;
	return r;
}

static int kernel_replace(void *data, const void *bytes, size_t n, struct err *err)
{
	struct kernel_node *node = data;

	return loader_replace(node->loader, bytes, n, err);
}

static int kernel_remove(void *data, const char *name, struct err *err)
{
	struct kernel_node *node = data;

	return loader_remove(node->loader, name, err);
}

static int kernel_tasks(void *data, const struct map *uses, struct err *err)
{
	struct kernel_node *node = data;

	return tasks_scan(node->proc, uses, err);
}

int kernel_node_init(struct kernel_node *node, const char *securityfs, const char *sysfs,
		     const char *proc, struct err *err)
{
	int r;

	*node = (struct kernel_node){
	    .ops = {.data = node,
		    .scan = kernel_scan,
		    .revision = kernel_revision,
		    .replace = kernel_replace,
		    .remove = kernel_remove,
		    .tasks = kernel_tasks},
	    .proc = mem_strdup(proc),
	    .revision_fd = -1,
	};
	aafs_init(&node->aafs, securityfs);
	r = aafs_check(&node->aafs, err);
	if (r == 0)
		r = aafs_check_hashes(sysfs, err);
	if (r == 0)
		r = aafs_revision_open(&node->aafs, &node->revision_fd, err);
	if (r == 0)
		r = loader_new(&node->aafs, &node->loader, err);
	return r;
}

void kernel_node_deinit(struct kernel_node *node)
{
	if (node->revision_fd >= 0)
		close(node->revision_fd);
	loader_free(node->loader);
	aafs_deinit(&node->aafs);
	free(node->proc);
	*node = (struct kernel_node){.revision_fd = -1};
}
