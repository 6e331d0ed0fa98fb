/* What tasks.c and aafs.c read of names that others chose: labels, cgroups, folders. */

#include "aafs.h"
#include "base/mem.h"
#include "tasks.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void on_component(void *data, char *name)
{
	size_t *left = data;
	size_t len = strlen(name);

	if (len > *left)
		abort();
	*left -= len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(mem_freep) char *text = mem_strndup((const char *)data, n);
	char uid[TASKS_POD_UID_SIZE];
	char name[64];
	size_t left = strlen(text);

	if (tasks_pod_uid(text, uid) && strlen(uid) != 32 && strlen(uid) != 36)
		abort();
	if (aafs_folder_name(text, name, sizeof(name)) && strncmp(text, name, strlen(name)) != 0)
		abort();
	tasks_split_label(text, on_component, &left);
	return 0;
}
