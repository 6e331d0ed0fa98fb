/* A compiled policy as it comes out of a sandbox that may have been taken over: whatever is taken
 * lies within the bytes, one profile behind the other, and the verdict has a sentence. */

#include "policy/blob.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct policy_blob blob;
	struct err err = {0};
	size_t i, end = 0;

	if (policy_blob_parse((const char *)data, n, &blob, &err)) {
		if (!err.msg[0])
			abort();
		return 0;
	}
	for (i = 0; i < blob.n; i++) {
		const struct policy_blob_profile *p = &blob.profiles[i];

		if (p->offset < end || p->len == 0 || p->offset + p->len > n || !p->name)
			abort();
		end = p->offset + p->len;
	}
	if (end != n)
		abort();
	for (i = PROFILE_ENFORCE; i <= PROFILE_COMPLAIN; i++)
		if (policy_blob_check(&blob, NULL, (enum profile_mode)i, &err) == 0 &&
		    (!policy_blob_top(&blob) || policy_blob_top(&blob)->has_attachment))
			abort();
	policy_blob_clear(&blob);
	return 0;
}
