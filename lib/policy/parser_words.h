#pragma once

/*
 * The messages of apparmor_parser 3.0 and 4.1, and the names of its tokens. Pure tables.
 */

#include <stdbool.h>
#include <stddef.h>

enum { PARSER_WORDS_SLOTS = 4 };

struct parser_words_slot {
	const char *at;
	size_t n;
};

struct parser_words_row {
	const char *pattern; /* * stands for what the parser quotes */
	const char *words; /* ours, with $1 to $4 for what was quoted; NULL: the pattern is fine */
	int place;         /* the slot that tells where in the text it is; 0: none */
	/* Of a warning: it is worth telling only if the text itself has a rule that begins with
	 * this word. abstractions/base alone gives rise to it in every profile. NULL: always. */
	const char *rule;
};

/* The row whose pattern `line` is an instance of, with what it quotes; NULL where there is none. */
const struct parser_words_row *
parser_words_find(const char *line, size_t n, struct parser_words_slot slots[PARSER_WORDS_SLOTS]);

/* The same for warnings. */
const struct parser_words_row *
parser_words_find_warning(const char *line, size_t n,
			  struct parser_words_slot slots[PARSER_WORDS_SLOTS]);

/* What a token of the parser's grammar is called by people: "TOK_CLOSE" is "}". False for what is
 * no token. */
bool parser_words_token(const char *token, size_t n, char *out, size_t n_out);
