#pragma once

/*
 * What apparmor_parser writes on stderr, put into words that may be shown to whoever wrote the
 * text. Pure.
 *
 * The parser quotes what it reads, and an include reads other files. So a message is shown only if
 * it is one of those known here, and what it quotes only if the text itself holds it; an errno
 * never is.
 */

#include <stddef.h>

enum { PARSER_SAYS_WARNINGS_MAX = 32 };

struct parser_says_input {
	const char *said; /* stderr, NUL-terminated */
	const char *text; /* the policy, NUL-terminated */
	const char *base_dir;
};

struct parser_says_warning {
	size_t line; /* in the text; 0: none */
	char *message;
};

struct parser_says {
	char message[400];   /* of the first error, without its place; never empty */
	size_t line, column; /* in the text, from 1; 0: not known */
	struct parser_says_warning *warnings;
	size_t n_warnings;
};

/* `ret->message` is about the first error; where there is none, it says that the parser gave no
 * reason. The caller clears *ret. */
void parser_says_read(const struct parser_says_input *in, struct parser_says *ret);

void parser_says_clear(struct parser_says *says);
