#pragma once

/*
 * How often something may be written: a few times at once, and then once each interval. Pure; a
 * token bucket, kept as the one number that it comes to. Zeroed it is full.
 */

#include <stdint.h>

struct write_rate {
	int64_t full_ms; /* when the bucket is full again */
};

/* When the next write may be. `burst` is at least 1. */
int64_t write_rate_due(const struct write_rate *rate, int64_t burst, int64_t interval_ms);

/* One is made. */
void write_rate_take(struct write_rate *rate, int64_t interval_ms, int64_t now_ms);

/* What comes now has another cause. */
void write_rate_reset(struct write_rate *rate);
