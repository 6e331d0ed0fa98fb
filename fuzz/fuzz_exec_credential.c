/* What a credential plugin prints: whatever is taken can be sent, and a refusal says why. */

#include "kube/exec_credential.h"

#include "kube/token.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct kube_config config = {0};
	struct err err = {0};

	if (exec_credential_parse((const char *)data, n, KUBECONFIG_EXEC_V1, &config, &err)) {
		if (!err.msg[0] || config.token || config.cert_pem || config.key_pem)
			abort();
		return 0;
	}
	if (!config.cert_pem != !config.key_pem || (!config.token && !config.cert_pem) ||
	    (config.token && !token_is_fit(config.token)))
		abort();
	kube_config_clear(&config);
	return 0;
}
