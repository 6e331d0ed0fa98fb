#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOG_TEXT_MAX = 2048 };

static enum log_level log_threshold = LOG_LEVEL_INFO;

static const char *const log_level_words[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level level)
{
	log_threshold = level;
}

bool log_level_parse(const char *word, enum log_level *ret)
{
	int i;

	for (i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_ERROR; i++) {
		if (strcmp(word, log_level_words[i]) == 0) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static void log_add_text(struct buf *line, const char *text)
{
	CLEANUP(mem_freep) char *copy = mem_strndup(text, strnlen(text, LOG_TEXT_MAX + 1));
	const char *s;

	str_make_printable(copy, LOG_TEXT_MAX);
	buf_add(line, "\"", 1);
	for (s = copy; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_add(line, "\\", 1);
		buf_add(line, s, 1);
	}
	buf_add(line, "\"", 1);
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
	struct buf line = BUF_INIT(64 * 1024);
	char time[CLOCK_TEXT_MAX];
	ssize_t ignored;

	if (level < log_threshold)
		return;
	clock_format_us(clock_wall_us(), time);
	buf_addf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", time, log_level_words[level]);
	log_add_text(&line, msg);
	for (; fields->key; fields++) {
		buf_addf(&line, ",\"%s\":", fields->key);
		if (fields->text)
			log_add_text(&line, fields->text);
		else
			buf_addf(&line, "%lld", (long long)fields->number);
	}
	buf_add(&line, "}\n", 2);
	/* One write, so that lines of two processes on one pipe do not mix. */
	ignored = write(STDERR_FILENO, line.data, line.len);
	(void)ignored;
	buf_clear(&line);
}
