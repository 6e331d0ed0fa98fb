#include "kube/query.h"

#include <string.h>

static const char query_plain[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

void kube_query_add(struct buf *query, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	buf_addf(query, "%s%s=", query->len > 0 ? "&" : "", key);
	for (; *value; value++) {
		if (strchr(query_plain, *value))
			buf_add(query, value, 1);
		else
			buf_addf(query, "%%%02X", (unsigned int)(unsigned char)*value);
	}
}
