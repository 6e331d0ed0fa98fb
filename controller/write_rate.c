#include "controller/write_rate.h"

int64_t write_rate_due(const struct write_rate *rate, int64_t burst, int64_t interval_ms)
{
	return rate->full_ms - (burst - 1) * interval_ms;
}

void write_rate_take(struct write_rate *rate, int64_t interval_ms, int64_t now_ms)
{
	rate->full_ms = (rate->full_ms > now_ms ? rate->full_ms : now_ms) + interval_ms;
}

void write_rate_reset(struct write_rate *rate)
{
	rate->full_ms = 0;
}
