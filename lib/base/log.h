#pragma once

/*
 * One JSON object a line on stderr: {"time","level","msg", fields...}.
 *
 *     log_info("profile compiled", log_s("profile", name), log_i("ms", ms));
 *
 * Text from outside may stand in any field: it is escaped, and cut at 2 KiB. Only reconcile loops,
 * request handlers and main log; everything else returns its error.
 */

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct log_field {
	const char *key;
	const char *text; /* NULL: a number */
	int64_t number;
};

static inline struct log_field log_s(const char *key, const char *text)
{
	return (struct log_field){.key = key, .text = text ? text : ""};
}

static inline struct log_field log_i(const char *key, int64_t number)
{
	return (struct log_field){.key = key, .number = number};
}

/* Lines below `level` are left out. The default is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* "debug", "info", "warn", "error"; false for another word. */
bool log_level_parse(const char *word, enum log_level *ret);

/* `fields` ends with one whose key is NULL. */
void log_write(enum log_level level, const char *msg, const struct log_field *fields);

#define log_at(level_, msg_, ...) \
	log_write((level_), (msg_), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})
#define log_debug(msg_, ...) log_at(LOG_LEVEL_DEBUG, (msg_)__VA_OPT__(, ) __VA_ARGS__)
#define log_info(msg_, ...) log_at(LOG_LEVEL_INFO, (msg_)__VA_OPT__(, ) __VA_ARGS__)
#define log_warn(msg_, ...) log_at(LOG_LEVEL_WARN, (msg_)__VA_OPT__(, ) __VA_ARGS__)
#define log_error(msg_, ...) log_at(LOG_LEVEL_ERROR, (msg_)__VA_OPT__(, ) __VA_ARGS__)
