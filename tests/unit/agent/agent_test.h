#pragma once

/*
 * What the agent's tests share: a folder that goes away, files in it, and items of a set.
 */

#include "api/sync_msg.h"
#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* For setup and teardown: *state is the path of a new folder. */
static inline int dir_setup(void **state)
{
	char *dir = mem_strdup("/tmp/hauberk-test-XXXXXX");

	assert_non_null(mkdtemp(dir));
	*state = dir;
	return 0;
}

static inline int dir_teardown(void **state)
{
	CLEANUP(mem_freep) char *dir = *state;
	CLEANUP(mem_freep) char *command = mem_printf("rm -rf %s", dir);

	return system(command); // NOLINT(cert-env33-c): our own folder
}

/* A file of text, and the folders above it. */
static inline void put_file(const char *dir, const char *name, const char *text)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/%s", dir, name);
	CLEANUP(mem_freep) char *parent = mem_strdup(path);
	struct err err;

	*strrchr(parent, '/') = '\0';
	assert_int_equal(file_make_dirs(parent, &err), 0);
	assert_int_equal(file_replace(path, text, strlen(text), 0600, &err), 0);
}

/* Hashes that are told apart by one letter. */
static inline void fill_hash(char *hash, size_t size, char digit)
{
	memset(hash, digit, size - 1);
	hash[size - 1] = '\0';
}

static inline struct sync_hash make_hash(const char *name, char digit)
{
	struct sync_hash h = {.name = mem_strdup(name)};

	fill_hash(h.sha1, sizeof(h.sha1), digit);
	fill_hash(h.sha256, sizeof(h.sha256), digit);
	return h;
}

/* An item whose revision, artefact and hash consist of one digit; `child` may be NULL. */
static inline struct sync_item make_item(const char *name, char digit, const char *child)
{
	struct sync_item item = {.name = mem_strdup(name),
				 .uid = mem_strdup("uid-1"),
				 .want = SYNC_LOADED,
				 .mode = PROFILE_ENFORCE,
				 .artefact_size = 1};

	fill_hash(item.revision, sizeof(item.revision), digit);
	fill_hash(item.artefact, sizeof(item.artefact), digit);
	item.hashes = mem_alloc(2, sizeof(*item.hashes));
	item.hashes[item.n_hashes++] = make_hash(name, digit);
	if (child)
		item.hashes[item.n_hashes++] = make_hash(child, digit);
	return item;
}

static inline struct sync_item make_absent(const char *name)
{
	return (struct sync_item){
	    .name = mem_strdup(name), .uid = mem_strdup("uid-1"), .want = SYNC_ABSENT};
}
