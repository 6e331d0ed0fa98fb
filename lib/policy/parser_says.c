#include "policy/parser_says.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "policy/parser_words.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAYS_QUOTE_MAX = 80 };

/* One line of the parser's, taken apart. */
struct says_line {
	const char *file; /* that it speaks of; NULL: none */
	size_t n_file;
	bool in_text; /* the file is the text */
	size_t line;
	const char *what;
	size_t n_what;
};

static bool says_starts(const char *line, size_t n, const char *prefix)
{
	return n >= strlen(prefix) && memcmp(line, prefix, strlen(prefix)) == 0;
}

static const char *says_find(const char *line, size_t n, const char *word)
{
	return memmem(line, n, word, strlen(word));
}

/* "AppArmor parser error for TEXT in profile FILE at line N: WHAT", or without the files. */
static bool says_split_error(const char *line, size_t n, struct says_line *ret)
{
	static const char start[] = "AppArmor parser error";
	static const char in[] = " in profile ";
	static const char at[] = " at line ";
	const char *end = line + n;
	const char *s = line + sizeof(start) - 1;
	const char *file, *place, *what;

	if (!says_starts(line, n, start))
		return false;
	/* Only file names can stand before these words, and those are ours or were in the text. */
	place = says_find(s, (size_t)(end - s), at);
	what = place ? says_find(place, (size_t)(end - place), ": ") : NULL;
	if (!what)
		return false;
	*ret = (struct says_line){.in_text = true,
				  .line = strtoul(place + sizeof(at) - 1, NULL, 10),
				  .what = what + 2,
				  .n_what = (size_t)(end - what - 2)};
	file = says_find(s, (size_t)(place - s), in);
	if (file) {
		size_t n_text = (size_t)(file - s) - strlen(" for ");

		ret->file = file + sizeof(in) - 1;
		ret->n_file = (size_t)(place - ret->file);
		ret->in_text =
		    n_text == ret->n_file && memcmp(s + strlen(" for "), ret->file, n_text) == 0;
	}
	return true;
}

/* What the text holds may be shown; what else the parser quotes came from another file. */
static bool says_is_quotable(const struct parser_says_input *in,
			     const struct parser_words_slot *slot)
{
	return slot->n > 0 && memmem(in->text, strlen(in->text), slot->at, slot->n);
}

static void says_add_slot(struct buf *out, const struct parser_says_input *in,
			  const struct parser_words_slot *slot)
{
	size_t n = slot->n > SAYS_QUOTE_MAX ? SAYS_QUOTE_MAX : slot->n;

	if (!says_is_quotable(in, slot)) {
		buf_add_str(out, "…");
		return;
	}
	buf_add(out, slot->at, n);
	if (n < slot->n)
		buf_add_str(out, "…");
}

/* Fill in a row's words. In a pattern the slots stand as *, in words as $1. */
static void says_add_words(struct buf *out, const struct parser_says_input *in,
			   const struct parser_words_row *row,
			   const struct parser_words_slot *slots)
{
	const char *s = row->words ? row->words : row->pattern;
	int next = 0;

	for (; *s; s++) {
		if (row->words && s[0] == '$' && s[1] >= '1' && s[1] <= '4')
			says_add_slot(out, in, &slots[*++s - '1']);
		else if (!row->words && *s == '*')
			says_add_slot(out, in, &slots[next++]);
		else
			buf_add(out, s, 1);
	}
}

static void says_add_token(struct buf *out, const char *token, size_t n)
{
	char words[48];

	buf_add_str(out,
		    parser_words_token(token, n, words, sizeof(words)) ? words : "something else");
}

/* "syntax error, unexpected TOK_A, expecting TOK_B or TOK_C" */
static bool says_add_syntax(struct buf *out, const char *what, size_t n)
{
	static const char start[] = "syntax error, unexpected ";
	static const char expecting[] = ", expecting ";
	const char *s = what + sizeof(start) - 1;
	const char *end = what + n;
	const char *list;

	if (!says_starts(what, n, start))
		return false;
	list = says_find(s, (size_t)(end - s), expecting);
	buf_add_str(out, "syntax error, unexpected ");
	says_add_token(out, s, (size_t)((list ? list : end) - s));
	for (s = list ? list + sizeof(expecting) - 1 : end; s < end;) {
		const char * or = says_find(s, (size_t)(end - s), " or ");
		const char *stop = or ? or : end;

		buf_add_str(out, s == list + sizeof(expecting) - 1 ? ", expecting " : " or ");
		says_add_token(out, s, (size_t)(stop - s));
		s = or ? or +4 : end;
	}
	return true;
}

/* The bounds of a line of the text; false where it has no such line. */
static bool says_line_bounds(const char *text, size_t line, const char **ret_start, size_t *ret_n)
{
	const char *s = text;

	for (; line > 1; line--) {
		s = strchr(s, '\n');
		if (!s)
			return false;
		s++;
	}
	*ret_start = s;
	*ret_n = strcspn(s, "\n");
	return true;
}

/* A line that the text does not have comes from elsewhere; the one behind its end is where it ends.
 */
static size_t says_known_line(const char *text, size_t line)
{
	const char *start;
	size_t n;

	return line > 0 && says_line_bounds(text, line, &start, &n) ? line : 0;
}

static bool says_is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* Where `word` stands in `s` as a word of its own. */
static const char *says_find_word(const char *s, size_t n, const struct parser_words_slot *word)
{
	const char *end = s + n;
	const char *at = s;

	while ((at = memmem(at, (size_t)(end - at), word->at, word->n))) {
		const char *after = at + word->n;

		if (!(at > s && says_is_word(at[-1]) && says_is_word(at[0])) &&
		    !(after < end && says_is_word(after[0]) && says_is_word(after[-1])))
			return at;
		at++;
	}
	return NULL;
}

/* From what a message quotes to the column on the line that it names, or to line and column where
 * it names none and the text has it only once or first there. */
static void says_place(struct parser_says *says, const char *text,
		       const struct parser_words_slot *word)
{
	const char *start = text;
	const char *at, *s;
	size_t n = strlen(text);

	if (word->n == 0 || (says->line > 0 && !says_line_bounds(text, says->line, &start, &n)))
		return;
	at = says_find_word(start, n, word);
	if (!at)
		return;
	if (says->line == 0) {
		says->line = 1;
		for (s = text; s < at; s++)
			says->line += *s == '\n';
	}
	for (s = at; s > text && s[-1] != '\n'; s--)
		;
	says->column = (size_t)(at - s) + 1;
}

/* A file below the base folder may be named: it is the same for everybody. */
static bool says_base_file(const struct parser_says_input *in, const struct says_line *l,
			   struct parser_words_slot *ret)
{
	size_t n = strlen(in->base_dir);
	size_t i;

	if (l->n_file <= n + 1 || memcmp(l->file, in->base_dir, n) != 0 || l->file[n] != '/')
		return false;
	*ret = (struct parser_words_slot){l->file + n + 1, l->n_file - n - 1};
	for (i = 0; i < ret->n; i++)
		if (!says_is_word(ret->at[i]) && !strchr("./-", ret->at[i]))
			return false;
	return ret->n < SAYS_QUOTE_MAX && !says_find(ret->at, ret->n, "..");
}

static bool says_add_what(struct buf *out, const struct parser_says_input *in, const char *what,
			  size_t n, struct parser_words_slot *ret_place)
{
	struct parser_words_slot slots[PARSER_WORDS_SLOTS];
	const struct parser_words_row *row;

	*ret_place = (struct parser_words_slot){0};
	if (says_add_syntax(out, what, n))
		return true;
	row = parser_words_find(what, n, slots);
	if (!row)
		return false;
	says_add_words(out, in, row, slots);
	if (row->place)
		*ret_place = slots[row->place - 1];
	return true;
}

static void says_error_in_include(const struct parser_says_input *in, const struct says_line *l,
				  struct buf *out, struct parser_says *ret)
{
	struct parser_words_slot file, unused;

	if (!says_base_file(in, l, &file)) {
		buf_add_str(
		    out,
		    "a file that it includes is no AppArmor policy, or does not belong where it "
		    "is included");
		return;
	}
	buf_addf(out, "in the included file %.*s, line %zu: ", (int)file.n, file.at, l->line);
	if (!says_add_what(out, in, l->what, l->n_what, &unused))
		buf_add_str(out, "it does not compile in this place");
	/* The text names the file, or a folder that it is in, or includes it by way of another. */
	while (file.n > 0 && ret->line == 0) {
		says_place(ret, in->text, &file);
		while (file.n > 0 && file.at[--file.n] != '/')
			;
	}
}

static void says_error(const struct parser_says_input *in, const struct says_line *l,
		       struct buf *out, struct parser_says *ret)
{
	struct parser_words_slot place;

	if (!l->in_text) {
		says_error_in_include(in, l, out, ret);
		return;
	}
	ret->line = says_known_line(in->text, l->line);
	if (!says_add_what(out, in, l->what, l->n_what, &place))
		buf_add_str(
		    out, "the parser refuses this, and says why in words that are not known here");
	says_place(ret, in->text, &place);
}

/* Errors that come without a line. A second one about the same rule may say where: "Unable to parse
 * input line". */
static bool says_error_without_line(const struct parser_says_input *in, const char *line, size_t n,
				    struct buf *out, struct parser_says *ret)
{
	struct parser_words_slot place;
	struct buf words = BUF_INIT(sizeof(ret->message) - 1);
	bool known = says_add_what(&words, in, line, n, &place);

	if (known) {
		if (out->len == 0)
			buf_add(out, buf_text(&words), words.len);
		if (ret->line == 0)
			says_place(ret, in->text, &place);
	}
	buf_clear(&words);
	return known;
}

/* Does the text have a rule that begins with this word? "network unix" is another kind of rule. */
static bool says_has_rule(const char *text, const char *rule)
{
	static const char network[] = "network ";
	const struct parser_words_slot word = {rule, strlen(rule)};
	const char *end = text + strlen(text);
	const char *at = text;

	while ((at = says_find_word(at, (size_t)(end - at), &word))) {
		size_t before = (size_t)(at - text);
		size_t n = sizeof(network) - 1;

		if (before < n || memcmp(at - n, network, n) != 0)
			return true;
		at += word.n;
	}
	return false;
}

static void says_add_warning(struct parser_says *ret, size_t line, const char *message)
{
	size_t i;

	for (i = 0; i < ret->n_warnings; i++)
		if (ret->warnings[i].line == line && strcmp(ret->warnings[i].message, message) == 0)
			return;
	if (ret->n_warnings == PARSER_SAYS_WARNINGS_MAX)
		return;
	ret->warnings = mem_resize(ret->warnings, ret->n_warnings + 1, sizeof(*ret->warnings));
	ret->warnings[ret->n_warnings++] =
	    (struct parser_says_warning){.line = line, .message = mem_strdup(message)};
}

/* "Warning from WHO (FILE line N): WHAT", the line being optional. */
static void says_warning(const struct parser_says_input *in, const char *line, size_t n,
			 struct parser_says *ret)
{
	struct parser_words_slot slots[PARSER_WORDS_SLOTS];
	const struct parser_words_row *row;
	const char *what = says_find(line, n, "): ");
	struct buf words = BUF_INIT(320);
	const char *end = line + n;

	if (!what)
		return;
	what += 3;
	/* 4.1 puts the profile before some. */
	row = parser_words_find_warning(what, (size_t)(end - what), slots);
	if (!row || (row->rule && !says_has_rule(in->text, row->rule)))
		return;
	says_add_words(&words, in, row, slots);
	says_add_warning(ret, 0, buf_text(&words));
	buf_clear(&words);
}

void parser_says_read(const struct parser_says_input *in, struct parser_says *ret)
{
	struct parser_says says = {0};
	struct buf out = BUF_INIT(sizeof(says.message) - 1);
	const char *s = in->said;
	struct says_line l;
	bool placed = false;

	while (*s) {
		size_t n = strcspn(s, "\n");

		if (says_starts(s, n, "Warning from ")) {
			says_warning(in, s, n, &says);
		} else if (!placed && out.len == 0 && says_split_error(s, n, &l)) {
			says_error(in, &l, &out, &says);
			placed = true;
		} else if (!placed) {
			says_error_without_line(in, s, n, &out, &says);
		}
		s += n + (s[n] == '\n');
	}
	if (out.len == 0)
		buf_add_str(
		    &out, "the parser refuses the policy, and gives no reason that is known here");
	snprintf(says.message, sizeof(says.message), "%s", buf_text(&out));
	str_make_printable(says.message, sizeof(says.message) - 1);
	buf_clear(&out);
	*ret = says;
}

void parser_says_clear(struct parser_says *says)
{
	size_t i;

	for (i = 0; i < says->n_warnings; i++)
		free(says->warnings[i].message);
	free(says->warnings);
	*says = (struct parser_says){0};
}
