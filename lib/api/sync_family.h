#pragma once

/*
 * One digest for a profile and all its children, as a kernel holds them: for a family of hundreds,
 * a report need not repeat what its reader knows already.
 *
 * It is the SHA-256 over each member's name, hash and mode, in the order of the names. An agent
 * makes it of what it read back, the controller of what the compiler promised.
 */

#include "api/sync_msg.h"

#include <stdbool.h>
#include <stddef.h>

struct sync_member {
	const char *name;
	const char *hash; /* whichever its kernel has */
	const char *mode; /* as the kernel says */
};

/* Brings the members in the order of their names. "enforce" and "kill" are one mode here, as they
 * are to a profile that is to be enforced. */
void sync_family_digest(struct sync_member *members, size_t n, char out[SHA256_HEX]);

/* One for each of the two hashes that a kernel may have; "" where a member's is not known. */
struct sync_family {
	char sha1[SHA256_HEX];
	char sha256[SHA256_HEX];
};

void sync_family_expect(const struct sync_hash *hashes, size_t n, enum profile_mode mode,
			struct sync_family *ret);

bool sync_family_fits(const struct sync_family *family, const char *digest);
