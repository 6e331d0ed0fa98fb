#pragma once

/*
 * What this agent loaded into this node's kernel, on disk, so that an agent that comes after it
 * knows which profiles are its own.
 *
 * A version is noted as `next` before it is loaded, and becomes `held` when it has been read back.
 * An agent that dies in between finds either in the kernel, and both are known here. Whatever
 * matters in a record matters until the next boot only, for then the kernel is empty; so the file
 * is exchanged in one step but not flushed, which survives the death of an agent, and after a power
 * loss an unreadable file means as much as none.
 */

#include "api/sync_msg.h"
#include "base/err.h"
#include "base/map.h"

#include <stdbool.h>
#include <stddef.h>

enum { RECORD_BOOT_ID_SIZE = 37, RECORD_MAX_BYTES = 16 << 20, RECORD_ENTRIES_MAX = 4096 };

/* One policy for a name, as it was told: revision "" is none. */
struct record_version {
	char revision[PROFILE_REVISION_SIZE];
	enum profile_mode mode;
	struct sync_hash *hashes; /* which the kernel shows for it, the profile first */
	size_t n_hashes;
};

struct record_entry {
	char *name;
	char *uid;                         /* of the AppArmorProfile it was loaded for */
	char boot_id[RECORD_BOOT_ID_SIZE]; /* in which `held` was loaded */
	struct record_version held;
	struct record_version next;
	char **children; /* names of all children that versions of this boot brought along */
	size_t n_children;
	char *text; /* as it is written; NULL: to be made again */
};

struct record {
	char *path;
	struct map entries; /* name -> struct record_entry */
	bool is_dirty;      /* something is not on disk yet */
};

/* An empty record that will be kept at `path`. */
void record_init(struct record *r, const char *path);
void record_deinit(struct record *r);

/* Read the file; a missing one is empty. -EINVAL with a sentence for one that is damaged; the
 * record is empty then. */
int record_load(struct record *r, struct err *err);

/* Write it when it is dirty. -errno with a sentence. */
int record_save(struct record *r, struct err *err);

/* Pure: the entries from a file's text. */
int record_decode(struct record *r, const char *text, size_t n, struct err *err);

struct record_entry *record_get(const struct record *r, const char *name);

/* Note that the item's version is about to be loaded. False when that was noted before. */
bool record_intend(struct record *r, const struct sync_item *item);

/* The kernel holds in this boot what was about to be loaded last: it is `held`, and another version
 * may be noted without the name being lost. */
void record_settle(struct record *r, const char *name, const char *boot_id);

/* The kernel holds the item's version, in this boot: it was loaded, or found there. */
void record_confirm(struct record *r, const struct sync_item *item, const char *boot_id);

/* The name is no longer ours. */
void record_forget(struct record *r, const char *name);

/* The kernel holds no children but the item's. */
void record_drop_leftovers(struct record *r, const struct sync_item *item);
