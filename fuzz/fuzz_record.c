/* The agent's record, as it comes from a disk. It is read as a whole or not at
 * all. */

#include "record.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct record r;
	struct err err;
	const char *name;
	void *value;
	size_t it = 0;

	record_init(&r, "/dev/null/record");
	if (record_decode(&r, (const char *)data, n, &err) < 0 && r.entries.n > 0)
		abort();
	while (map_next(&r.entries, &it, &name, &value)) {
		const struct record_entry *e = value;

		if (record_get(&r, name) != e || e->held.n_hashes > SYNC_HASHES_MAX)
			abort();
	}
	record_deinit(&r);
	return 0;
}
