#include "base/mem.h"
#include "base/str.h"
#include "cli/leader.h"

#include <string.h>

bool leader_pod(const char *identity, char **ret)
{
	size_t n = strcspn(identity, "@");

	if (n == 0 || n > 253 || strspn(identity, "abcdefghijklmnopqrstuvwxyz0123456789.-") < n)
		return false;
	*ret = mem_strndup(identity, n);
	return true;
}

uint16_t leader_forwarded_port(const char *line)
{
	static const char start[] = "Forwarding from 127.0.0.1:";
	CLEANUP(mem_freep) char *digits = NULL;
	int64_t port = 0;

	if (!str_has_prefix(line, start))
		return 0;
	line += sizeof(start) - 1;
	digits = mem_strndup(line, strspn(line, "0123456789"));
	return str_to_i64(digits, 1, UINT16_MAX, &port) ? (uint16_t)port : 0;
}
