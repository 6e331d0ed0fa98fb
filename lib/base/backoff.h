#pragma once

/*
 * How long to wait before the next try. Pure: the caller brings the random number.
 */

#include <stdint.h>

struct backoff {
	uint64_t first_ms;
	uint64_t max_ms;
	double factor;
	double jitter; /* a wait of w becomes w to w * (1 + jitter) */
	unsigned int tries;
};

/* The wait before the next try, and one try more. `random` is any 64 random bits. */
uint64_t backoff_next(struct backoff *b, uint64_t random);

/* It worked: start over. */
void backoff_reset(struct backoff *b);
