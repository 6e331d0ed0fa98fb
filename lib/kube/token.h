#pragma once

/*
 * The bearer token: a fixed one, or that of a file which somebody else renews.
 *
 * The kubelet replaces a projected token when 80 % of its life have passed, so a look once a minute
 * is soon enough.
 */

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { TOKEN_LOOK_MS = 60 * 1000 };

struct token {
	char *file; /* NULL: `text` stays as it is */
	char *text; /* NULL: none */
	int64_t looked_ms;
};

/* True for printable ASCII, at least one character: a header takes nothing else, for it would end
 * the header or the request. */
bool token_is_fit(const char *text);

/* Both may be NULL; the file wins. An error where there is a file and it cannot be read. */
int token_init(struct token *token, const char *file, const char *text, int64_t now_ms,
	       struct err *err);

/* The token as of now, NULL where there is none. A file that cannot be read leaves the old one. */
const char *token_get(struct token *token, int64_t now_ms);

/* Look at the file now. True where the token is another than before. */
bool token_look(struct token *token, int64_t now_ms);

void token_clear(struct token *token);
