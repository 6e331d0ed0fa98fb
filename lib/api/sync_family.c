#include "api/sync_family.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int sync_member_compare(const void *a, const void *b)
{
	return strcmp(((const struct sync_member *)a)->name, ((const struct sync_member *)b)->name);
}

void sync_family_digest(struct sync_member *members, size_t n, char out[SHA256_HEX])
{
	CLEANUP(buf_clear) struct buf text = BUF_INIT(SIZE_MAX);
	size_t i;

	qsort(members, n, sizeof(*members), sync_member_compare);
	for (i = 0; i < n; i++) {
		const struct sync_member *m = &members[i];
		const char *mode = strcmp(m->mode, "kill") == 0 ? "enforce" : m->mode;

		/* The length makes it clear where a name ends, whatever is in it. */
		buf_addf(&text, "%zu:%s %s %s\n", strlen(m->name), m->name, m->hash, mode);
	}
	sha256_hex(buf_text(&text), text.len, out);
}

static void sync_family_expect_one(const struct sync_hash *hashes, size_t n, const char *mode,
				   bool sha1, char out[SHA256_HEX])
{
	CLEANUP(mem_freep) struct sync_member *members = mem_alloc(n, sizeof(*members));
	size_t i;

	out[0] = '\0';
	for (i = 0; i < n; i++) {
		const char *hash = sha1 ? hashes[i].sha1 : hashes[i].sha256;

		if (!*hash)
			return;
		members[i] = (struct sync_member){hashes[i].name, hash, mode};
	}
	if (n > 0)
		sync_family_digest(members, n, out);
}

void sync_family_expect(const struct sync_hash *hashes, size_t n, enum profile_mode mode,
			struct sync_family *ret)
{
	const char *word = mode == PROFILE_COMPLAIN ? "complain" : "enforce";

	sync_family_expect_one(hashes, n, word, true, ret->sha1);
	sync_family_expect_one(hashes, n, word, false, ret->sha256);
}

bool sync_family_fits(const struct sync_family *family, const char *digest)
{
	return *digest &&
	       (strcmp(digest, family->sha1) == 0 || strcmp(digest, family->sha256) == 0);
}
