#pragma once

/*
 * SHA-1 and SHA-256, as the kernel and Hauberk's artefacts use them.
 */

#include <stddef.h>

enum { SHA1_HEX = 41, SHA256_HEX = 65 }; /* with the NUL */

enum sha_kind { SHA_1, SHA_256 };

struct sha_part {
	const void *bytes;
	size_t n;
};

/* The digest of the parts, one after the other, in lower-case hexadecimal. `out` has SHA1_HEX or
 * SHA256_HEX bytes. */
void sha_hex(enum sha_kind kind, const struct sha_part *parts, size_t n_parts, char *out);

/* SHA-256 of one piece. */
void sha256_hex(const void *bytes, size_t n, char out[SHA256_HEX]);
