#include "base/options.h"

#include "base/str.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct option_def *options_find(const struct option_def *defs, const char *name,
					     size_t n)
{
	for (; defs->name; defs++)
		if (strlen(defs->name) == n && strncmp(defs->name, name, n) == 0)
			return defs;
	return NULL;
}

static const struct option_def *options_find_letter(const struct option_def *defs, char letter)
{
	for (; defs->name; defs++)
		if (defs->letter && defs->letter == letter)
			return defs;
	return NULL;
}

static int options_set(const struct option_def *def, const char *value, struct err *err)
{
	switch (def->kind) {
	case OPTION_FLAG:
		*(bool *)def->target = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)def->target = value;
		return 0;
	case OPTION_I64:
		if (str_to_i64(value, def->min, def->max, def->target))
			return 0;
		break;
	}
	return err_set(err, -EINVAL, "--%s takes a whole number from %lld to %lld, not \"%.40s\"",
		       def->name, (long long)def->min, (long long)def->max, value);
}

/* One option, argv[*i], which may take argv[*i + 1] as its value. */
static int options_take(const struct options_spec *spec, int argc, char **argv, int *i,
			struct err *err)
{
	const char *word = argv[*i];
	const struct option_def *def;
	const char *value = NULL;

	if (word[1] == '-') {
		const char *equals = strchr(word, '=');
		size_t n = equals ? (size_t)(equals - word) : strlen(word);

		def = options_find(spec->defs, word + 2, n - 2);
		value = equals ? equals + 1 : NULL;
	} else {
		def = options_find_letter(spec->defs, word[1]);
		value = word[1] && word[2] ? word + 2 : NULL;
	}
	if (!def)
		return err_set(err, -EINVAL, "there is no option %.60s; see --help", word);
	if (def->kind == OPTION_FLAG) {
		if (value)
			return err_set(err, -EINVAL, "--%s takes no value", def->name);
	} else if (!value) {
		if (*i + 1 >= argc)
			return err_set(err, -EINVAL, "--%s needs a value (%s)", def->name,
				       def->arg);
		value = argv[++*i];
	}
	return options_set(def, value, err);
}

int options_parse(const struct options_spec *spec, int argc, char **argv, int *ret_n_args,
		  struct err *err)
{
	bool only_args = false;
	int n = 0;
	int i, r;

	for (i = 1; i < argc; i++) {
		if (only_args || argv[i][0] != '-' || argv[i][1] == '\0') {
			argv[1 + n++] = argv[i];
		} else if (strcmp(argv[i], "--") == 0) {
			only_args = true;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			return 1;
		} else {
			r = options_take(spec, argc, argv, &i, err);
			if (r < 0)
				return r;
		}
	}
	*ret_n_args = n;
	return 0;
}

void options_print_help(const struct options_spec *spec)
{
	const struct option_def *d;
	char left[80];

	printf("usage: %s\n\n%s\n\noptions:\n", spec->usage, spec->about);
	for (d = spec->defs; d->name; d++) {
		char letter[8] = "";

		if (d->letter)
			snprintf(letter, sizeof(letter), "-%c, ", d->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, d->name, d->arg ? " " : "",
			 d->arg ? d->arg : "");
		printf("  %-34s %s\n", left, d->help);
	}
	printf("  %-34s %s\n", "-h, --help", "print this and end");
}
