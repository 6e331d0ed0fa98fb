#include "base/backoff.h"

uint64_t backoff_next(struct backoff *b, uint64_t random)
{
	double wait = (double)b->first_ms;
	unsigned int i;

	for (i = 0; i < b->tries && wait < (double)b->max_ms; i++)
		wait *= b->factor;
	if (wait > (double)b->max_ms)
		wait = (double)b->max_ms;
	b->tries++;
	return (uint64_t)(wait *
			  (1.0 + b->jitter * ((double)(random >> 11) / (double)(1ULL << 53))));
}

void backoff_reset(struct backoff *b)
{
	b->tries = 0;
}
