#pragma once

/*
 * Who runs under a profile, read from /proc.
 *
 * A label is one profile or a stack of them joined by "//&". A profile is in use when a component
 * of some task's label is its name or begins with its name and "//": its children, its hats and the
 * "//null-..." profiles that complain mode makes. Each thread has a label of its own. A zombie runs
 * no more code, so it holds nothing.
 * Source: proc_pid_attr(5); security/apparmor/label.c in the kernel.
 */

#include "api/sync_msg.h"
#include "base/err.h"
#include "base/map.h"

#include <stdbool.h>
#include <stddef.h>

enum { TASKS_POD_UID_SIZE = 37 };

/* What was found for one name. */
struct tasks_use {
	struct sync_holder holders[SYNC_HOLDERS_MAX]; /* the first few processes */
	size_t n_holders;
	size_t n; /* processes in all */
	int64_t last_pid;
};

/* Look at all tasks; `uses` maps names to struct tasks_use, zeroed by the caller. -EPERM where this
 * is not the host's /proc, so that tasks might be overlooked; -errno with a sentence where labels
 * cannot be read. After an error nothing may be taken for unused. */
int tasks_scan(const char *proc, const struct map *uses, struct err *err);

void tasks_use_clear(struct tasks_use *use);

/* Pure: for the text of attr/current, "web//&other (enforce)\n", calls `component` for each
 * component of the label, mode taken off. `text` is changed. */
void tasks_split_label(char *text, void (*component)(void *data, char *name), void *data);

/* Pure: the pod's uid in the text of /proc/PID/cgroup; false where the task is no pod's. The
 * systemd driver writes '_' for '-'; a static pod's uid is 32 digits. */
bool tasks_pod_uid(const char *cgroup, char ret[TASKS_POD_UID_SIZE]);
