#pragma once

/*
 * What is to be done about one profile: from what the controller said, what we remember having
 * loaded and what the kernel holds. Pure.
 *
 * Two rules decide. A profile is removed when its removal was told, never because it was not
 * mentioned. And one that is not ours is neither replaced nor removed; ours is what we loaded in
 * this boot, or what has the very hash of something that we loaded.
 */

#include "aafs.h"
#include "api/sync_msg.h"
#include "record.h"

#include <stdbool.h>
#include <stddef.h>

enum desired_action {
	DESIRED_NOTHING,  /* it concerns us no more: forget it */
	DESIRED_WAIT,     /* to be decided when the controller has been heard */
	DESIRED_KEEP,     /* the kernel holds exactly what is wanted */
	DESIRED_LOAD,     /* load what is wanted, in place of what is there */
	DESIRED_CONFLICT, /* wanted, but the kernel holds one that is not ours */
	DESIRED_REMOVE,   /* ours, and its removal was told: remove once no task runs under it */
	DESIRED_GONE,     /* its removal was told, and the kernel holds none of ours */
	DESIRED_ORPHAN,   /* ours, and nobody said anything about it: kept */
};

struct desired_facts {
	const struct sync_item *item; /* what was told; NULL: the set does not mention it */
	bool set_is_old; /* the set is from before this process and nobody has confirmed it yet */
	const struct record_entry *entry; /* what we remember; NULL: nothing */
	const struct aafs_tree *kernel;   /* n is 0: the kernel holds none of this name */
	const char *boot_id;
};

struct desired {
	enum desired_action action;
	bool is_ours;
	/* The revision of ours that the kernel holds, "" for none or one that somebody changed. */
	char revision[PROFILE_REVISION_SIZE];
};

struct desired desired_decide(const struct desired_facts *facts);

/* True when the tree has each profile of `hashes` with its hash, and all of these in a mode that
 * fits: for Enforce the kernel says enforce or kill, for Complain complain. Further children do not
 * matter. `why`, where not NULL, gets a sentence about the first difference. */
bool desired_fits(const struct aafs_tree *tree, const struct sync_hash *hashes, size_t n_hashes,
		  enum profile_mode mode, struct err *why);

/* True when the kernel holds what was noted last as about to be loaded. */
bool desired_holds_next(const struct desired_facts *facts);

/* The i-th child in the tree that came with a version of ours and is not part of the item, or NULL.
 * The kernel leaves those of an earlier version loaded. */
const char *desired_leftover(const struct desired_facts *facts, size_t i);
