/* A file that a user gives to lint: each profile that comes out has a name that may be loaded and a
 * place in the file; each problem has a sentence. */

#include "policy/manifest.h"
#include "policy/names.h"
#include "policy/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_profile(const struct manifest_profile *p)
{
	size_t line = 1, column = 1;
	struct err err;

	if (policy_text_check(p->policy, p->n_policy, NULL, &err) ||
	    (p->name && policy_name_check(p->name, &err)))
		abort();
	manifest_locate(p, &line, &column);
	if (line == 0 || column == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct manifest m;
	size_t i;

	manifest_parse((const char *)data, n, &m);
	for (i = 0; i < m.n_profiles; i++)
		check_profile(&m.profiles[i]);
	for (i = 0; i < m.n_problems; i++)
		if (!m.problems[i].message[0])
			abort();
	if (m.n_profiles > m.n_found)
		abort();
	manifest_clear(&m);
	return 0;
}
