#pragma once

/*
 * The two clocks, and the forms in which Kubernetes writes a time.
 *
 * Pure code never calls these: it takes `now_ms`.
 */

#include <stdbool.h>
#include <stdint.h>

enum { CLOCK_TEXT_MAX = 32 };

int64_t clock_mono_ms(void); /* for durations; not comparable between machines or boots */
int64_t clock_mono_us(void);
int64_t clock_wall_ms(void); /* since 1970, UTC */
int64_t clock_wall_us(void);

/* The wall clock as it stood when the process first asked, plus the time that has passed since: fit
 * for showing and for deadlines, which a clock that somebody sets must not move. */
int64_t clock_steady_ms(void);

/* metav1.Time: 2006-01-02T15:04:05Z */
void clock_format(int64_t wall_ms, char out[CLOCK_TEXT_MAX]);

/* metav1.MicroTime: 2006-01-02T15:04:05.000000Z */
void clock_format_micro(int64_t wall_ms, char out[CLOCK_TEXT_MAX]);
void clock_format_us(int64_t wall_us, char out[CLOCK_TEXT_MAX]); /* the same, finer */

/* Reads both forms (RFC 3339 in UTC, or with an offset). False for anything else. */
bool clock_parse(const char *text, int64_t *ret_wall_ms);
