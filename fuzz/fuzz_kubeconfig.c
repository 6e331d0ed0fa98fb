/* A kubeconfig that a user names: whatever is taken has a server with TLS and an authority. */

#include "kube/kubeconfig.h"

#include "base/str.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct err err = {0};
	struct kubeconfig kc;

	if (kubeconfig_parse((const char *)data, n, NULL, &kc, &err)) {
		if (!err.msg[0])
			abort();
		return 0;
	}
	if (!str_has_prefix(kc.server, "https://") || (!kc.ca_data && !kc.ca_file))
		abort();
	kubeconfig_clear(&kc);
	return 0;
}
