#include "kube/token.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { TOKEN_MAX = 64 * 1024 };

static void token_replace(char **text, char *value)
{
	if (*text)
		explicit_bzero(*text, strlen(*text));
	mem_replace(text, value);
}

bool token_is_fit(const char *text)
{
	const char *s;

	for (s = text; *s; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return s > text;
}

static int token_read(struct token *token, char **ret, struct err *err)
{
	struct buf bytes = BUF_INIT(TOKEN_MAX);
	int r = file_read(token->file, &bytes, err);

	while (r == 0 && bytes.len > 0 && strchr(" \t\r\n", bytes.data[bytes.len - 1]))
		bytes.data[--bytes.len] = '\0';
	if (r == 0 && !token_is_fit(buf_text(&bytes)))
		r = err_set(err, -EINVAL, "%s holds no token", token->file);
	if (r)
		buf_clear(&bytes);
	else
		*ret = buf_steal(&bytes);
	return r;
}

int token_init(struct token *token, const char *file, const char *text, int64_t now_ms,
	       struct err *err)
{
	*token = (struct token){.looked_ms = now_ms};
	if (!file) {
		if (text && !token_is_fit(text))
			return err_set(err, -EINVAL,
				       "the token holds characters that no token has");
		token->text = mem_strdup(text);
		return 0;
	}
	token->file = mem_strdup(file);
	return token_read(token, &token->text, err);
}

bool token_look(struct token *token, int64_t now_ms)
{
	char *text = NULL;
	struct err err;

	token->looked_ms = now_ms;
	if (!token->file || token_read(token, &text, &err))
		return false;
	if (str_equal(text, token->text)) {
		token_replace(&text, NULL);
		return false;
	}
	token_replace(&token->text, text);
	return true;
}

const char *token_get(struct token *token, int64_t now_ms)
{
	if (token->file && now_ms - token->looked_ms >= TOKEN_LOOK_MS)
		token_look(token, now_ms);
	return token->text;
}

void token_clear(struct token *token)
{
	token_replace(&token->text, NULL);
	mem_replace(&token->file, NULL);
}
