#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_mono_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
	return clock_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

int64_t clock_steady_ms(void)
{
	static int64_t offset;

	if (offset == 0)
		offset = clock_wall_ms() - clock_mono_ms();
	return offset + clock_mono_ms();
}

static size_t clock_format_seconds(int64_t wall_ms, char out[CLOCK_TEXT_MAX])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	return strftime(out, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
}

void clock_format(int64_t wall_ms, char out[CLOCK_TEXT_MAX])
{
	size_t n = clock_format_seconds(wall_ms, out);

	snprintf(out + n, CLOCK_TEXT_MAX - n, "Z");
}

void clock_format_micro(int64_t wall_ms, char out[CLOCK_TEXT_MAX])
{
	clock_format_us(wall_ms * 1000, out);
}

void clock_format_us(int64_t wall_us, char out[CLOCK_TEXT_MAX])
{
	size_t n = clock_format_seconds(wall_us / 1000, out);

	snprintf(out + n, CLOCK_TEXT_MAX - n, ".%06uZ", (unsigned int)(wall_us % 1000000));
}

/* What follows the seconds: "Z", "+02:00" or "-02:00". */
static bool clock_parse_zone(const char *text, int64_t *ret_offset_s)
{
	unsigned int hours, minutes;
	int n = 0;

	if (strcmp(text, "Z") == 0) {
		*ret_offset_s = 0;
		return true;
	}
	if ((*text != '+' && *text != '-') ||
	    sscanf(text + 1, "%2u:%2u%n", &hours, &minutes, &n) != 2 || text[1 + n] || hours > 23 ||
	    minutes > 59)
		return false;
	*ret_offset_s = (int64_t)(hours * 3600 + minutes * 60) * (*text == '+' ? 1 : -1);
	return true;
}

bool clock_parse(const char *text, int64_t *ret_wall_ms)
{
	struct tm tm = {0};
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int64_t ms = 0, offset_s;
	int scale = 100;

	if (!rest)
		return false;
	if (*rest == '.')
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
			ms += (*rest - '0') * scale;
	if (!clock_parse_zone(rest, &offset_s))
		return false;
	*ret_wall_ms = ((int64_t)timegm(&tm) - offset_s) * 1000 + ms;
	return true;
}
