#pragma once

/*
 * What an agent says of its node. Many say the same, so a report is encoded once for all of them.
 */

#include "told.h"

enum held_how {
	HELD_AS_TOLD,
	HELD_FAILED, /* the load of `item` */
	HELD_ORPHAN, /* the set does not speak of it any more */
};

/* One profile on one node. Without a gap between its members: its bytes are hashed. */
struct held {
	const struct sync_item *item;   /* what it was last told */
	const struct sync_item *loaded; /* what its kernel holds; NULL: nothing */
	uint64_t how;                   /* enum held_how */
};

struct report {
	char hash[SHA256_HEX];
	char *text; /* the JSON of a sync's `report` */
};

const struct report *report_of(struct told *told, const struct held *held, size_t n, bool sha1);

void report_free(void *report);
