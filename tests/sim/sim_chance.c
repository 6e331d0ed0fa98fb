#include "sim.h"

/* splitmix64 */
static uint64_t sim_scramble(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint64_t sim_mix(uint64_t a, uint64_t b)
{
	return sim_scramble(a * 0x9e3779b97f4a7c15ULL + b + 0x632be59bd9b4e019ULL);
}

uint64_t sim_mix_text(uint64_t a, const char *text)
{
	while (*text)
		a = (a ^ (unsigned char)*text++) * 0x100000001b3ULL;
	return sim_mix(a, 1);
}

uint64_t sim_draw(struct sim_chance *c)
{
	c->state += 0x9e3779b97f4a7c15ULL;
	return sim_scramble(c->state);
}

int64_t sim_between(struct sim_chance *c, int64_t min, int64_t max)
{
	return min + (int64_t)(sim_draw(c) % (uint64_t)(max - min + 1));
}

bool sim_once_in(struct sim_chance *c, int64_t n)
{
	return n > 0 && sim_draw(c) % (uint64_t)n == 0;
}

bool sim_percent(struct sim_chance *c, int64_t percent)
{
	return sim_between(c, 0, 99) < percent;
}

int64_t sim_delay(struct sim_chance *c, int64_t usual_ms, int64_t long_ms)
{
	return sim_once_in(c, 50) ? sim_between(c, usual_ms, long_ms) : sim_between(c, 1, usual_ms);
}
