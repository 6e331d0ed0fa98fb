/* A feature set as an agent sends it: what is taken is short, printable and as many closing as
 * opening braces. */

#include "policy/features.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct err err = {0};
	size_t i;
	int depth = 0;

	if (features_check((const char *)data, n, &err)) {
		if (!err.msg[0])
			abort();
		return 0;
	}
	for (i = 0; i < n; i++) {
		depth += (data[i] == '{') - (data[i] == '}');
		if (depth < 0 || data[i] > '~' || (data[i] < ' ' && data[i] != '\n'))
			abort();
	}
	if (n > FEATURES_MAX || depth != 0)
		abort();
	return 0;
}
