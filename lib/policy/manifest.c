#include "policy/manifest.h"

#include "base/js.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/yml.h"
#include "policy/manifest_check.h"
#include "policy/manifest_place.h"
#include "policy/names.h"
#include "policy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct manifest_reader {
	const char *text;
	size_t n;
	struct manifest *m;
	size_t document;    /* from 0 */
	const char *prefix; /* of a path: "" or "items.3." */
};

static void manifest_add_problem(struct manifest *m, size_t line, size_t column,
				 const char *message)
{
	if (m->n_problems == MANIFEST_PROBLEMS_MAX)
		return;
	m->problems = mem_resize(m->problems, m->n_problems + 1, sizeof(*m->problems));
	m->problems[m->n_problems++] = (struct manifest_problem){
	    .line = line, .column = column, .message = mem_strdup(message)};
}

static void manifest_place(const struct manifest_reader *r, const char *path,
			   struct manifest_place *ret)
{
	CLEANUP(mem_freep) char *whole = mem_printf("%s%s", r->prefix, path);

	manifest_place_find(r->text, r->n, r->document, whole, ret);
}

static void manifest_on_problem(void *data, const char *path, const char *message)
{
	struct manifest_reader *r = data;
	struct manifest_place place = {0};

	if (r->m->n_problems < MANIFEST_PROBLEMS_MAX)
		manifest_place(r, path, &place);
	manifest_add_problem(r->m, place.line, place.column, message);
}

/* The start and the length of a line, counted from 1; NULL behind the end. */
static const char *manifest_line(const char *text, size_t n, size_t line, size_t *ret_n)
{
	const char *end = text + n;
	const char *stop;

	for (; line > 1; line--) {
		text = memchr(text, '\n', (size_t)(end - text));
		if (!text)
			return NULL;
		text++;
	}
	stop = memchr(text, '\n', (size_t)(end - text));
	*ret_n = (size_t)((stop ? stop : end) - text);
	return text;
}

/* A literal block scalar begins on the line below its |, each line with the same indentation in
 * front. What that is shows the first line that is not blank; it is believed only if the rest of
 * the line is the same. */
static void manifest_find_lines(const struct manifest_reader *r, struct manifest_profile *p)
{
	size_t blank = strspn(p->policy, "\n");
	size_t n_first = strcspn(p->policy + blank, "\n");
	size_t n_line;
	const char *line;

	p->policy_line = p->line + 1;
	line = manifest_line(r->text, r->n, p->policy_line + blank, &n_line);
	if (!line || n_line < n_first ||
	    memcmp(line + n_line - n_first, p->policy + blank, n_first) != 0)
		return;
	p->policy_indent = n_line - n_first;
	p->has_lines = true;
}

static bool manifest_check_text(struct manifest_reader *r, const struct manifest_profile *p)
{
	size_t line, column = 0;
	struct err err;

	if (policy_text_check(p->policy, p->n_policy, &line, &err) == 0)
		return true;
	manifest_locate(p, &line, &column);
	manifest_add_problem(r->m, line, column, manifest_without_place(err.msg));
	return false;
}

static void manifest_check_unique(struct manifest_reader *r, const struct manifest_profile *p)
{
	char message[400];
	size_t i;

	for (i = 0; i < r->m->n_profiles; i++) {
		if (!str_equal(r->m->profiles[i].name, p->name))
			continue;
		snprintf(
		    message, sizeof(message),
		    "two objects of this file claim the profile name \"%.200s\": the older would "
		    "hold it, the newer say NameConflict",
		    p->name);
		manifest_on_problem(r, "metadata.name", message);
		return;
	}
}

static void manifest_add_profile(struct manifest_reader *r, struct json_object *doc)
{
	struct json_object *policy = js_at(doc, "spec.policy");
	const char *name = js_str(doc, "spec.profileName");
	struct manifest_profile p = {0};
	struct manifest_place place;
	struct err unused;

	manifest_place(r, "spec.policy", &place);
	p.line = place.line;
	p.column = place.column;
	p.object = mem_strdup(js_str(doc, "metadata.name"));
	p.name = mem_strdup(name ? name : p.object);
	p.n_policy = (size_t)json_object_get_string_len(policy);
	p.policy = mem_strndup(json_object_get_string(policy), p.n_policy);
	profile_mode_parse(js_str(doc, "spec.mode"), &p.mode);
	if (place.is_literal)
		manifest_find_lines(r, &p);
	manifest_check_unique(r, &p);
	/* Whatever else is wrong with the object, the policy may be looked at, so that one run
	 * tells all. */
	if (!manifest_check_text(r, &p) || !p.name || policy_name_check(p.name, &unused) < 0) {
		free(p.object);
		free(p.name);
		free(p.policy);
		return;
	}
	r->m->profiles = mem_resize(r->m->profiles, r->m->n_profiles + 1, sizeof(*r->m->profiles));
	r->m->profiles[r->m->n_profiles++] = p;
}

/* An apiVersion without a group is more likely forgotten than somebody else's. */
bool manifest_is_profile(struct json_object *obj)
{
	const char *version = js_str_or_empty(obj, "apiVersion");

	return str_equal(js_str(obj, "kind"), "AppArmorProfile") &&
	       (!strchr(version, '/') || str_has_prefix(version, "hauberk.dev/"));
}

static void manifest_take_object(struct manifest_reader *r, struct json_object *doc)
{
	if (!manifest_is_profile(doc)) {
		r->m->n_other++;
		return;
	}
	r->m->n_found++;
	manifest_check(doc, manifest_on_problem, r);
	if (json_object_is_type(js_at(doc, "spec.policy"), json_type_string))
		manifest_add_profile(r, doc);
}

/* kubectl get -o yaml of several objects gives a List. */
static bool manifest_is_list(struct json_object *doc)
{
	const char *kind = js_str_or_empty(doc, "kind");
	size_t n = strlen(kind);

	return n >= 4 && strcmp(kind + n - 4, "List") == 0 && js_array(doc, "items");
}

static int manifest_on_document(void *data, struct json_object *doc, size_t line, struct err *err)
{
	struct manifest_reader *r = data;
	struct json_object *items = js_array(doc, "items");
	size_t i;

	(void)line;
	(void)err;
	if (manifest_is_list(doc)) {
		for (i = 0; i < js_len(items); i++) {
			CLEANUP(mem_freep) char *prefix = mem_printf("items.%zu.", i);

			r->prefix = prefix;
			manifest_take_object(r, js_item(items, i));
			r->prefix = "";
		}
	} else {
		manifest_take_object(r, doc);
	}
	r->document++;
	return 0;
}

static const char *manifest_skip_blank(const char *s, const char *end)
{
	while (s < end) {
		while (s < end && strchr(" \t\r\n", *s) && *s)
			s++;
		if (s == end || *s != '#' || (end - s > 8 && memcmp(s, "#include", 8) == 0))
			return s;
		s = memchr(s, '\n', (size_t)(end - s));
		if (!s)
			return end;
	}
	return s;
}

/* A manifest begins with a document's mark or with one of an object's fields; AppArmor text never
 * does. */
static bool manifest_is_manifest(const char *bytes, size_t n)
{
	static const char *const starts[] = {
	    "---",       "{",     "%YAML",           "apiVersion:", "kind:",
	    "metadata:", "spec:", "\"apiVersion\":", "\"kind\":",   "items:"};
	const char *end = bytes + n;
	const char *s = manifest_skip_blank(bytes, end);
	size_t i;

	for (i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		size_t len = strlen(starts[i]);

		if ((size_t)(end - s) >= len && memcmp(s, starts[i], len) == 0)
			return true;
	}
	return false;
}

static void manifest_take_bare(struct manifest_reader *r)
{
	struct manifest_profile p = {
	    .policy = mem_strndup(r->text, r->n),
	    .n_policy = r->n,
	    .line = 1,
	    .column = 1,
	    .has_lines = true,
	    .policy_line = 1,
	};

	r->m->n_found = 1;
	if (!manifest_check_text(r, &p)) {
		free(p.policy);
		return;
	}
	r->m->profiles = MEM_NEW(struct manifest_profile);
	r->m->profiles[0] = p;
	r->m->n_profiles = 1;
}

static size_t manifest_line_not_utf8(const char *bytes, size_t n)
{
	const char *line;
	size_t i, n_line;

	for (i = 1; (line = manifest_line(bytes, n, i, &n_line)); i++)
		if (!str_is_utf8(line, n_line))
			return i;
	return 0;
}

/* yml_parse() puts the place into its sentence: "line 3, column 5: …". */
static void manifest_take_yml_error(struct manifest *m, const struct err *err)
{
	static const char line_word[] = "line ", column_word[] = ", column ";
	size_t line = 0, column = 0;
	char *end;

	if (str_has_prefix(err->msg, line_word)) {
		line = strtoul(err->msg + sizeof(line_word) - 1, &end, 10);
		if (str_has_prefix(end, column_word))
			column = strtoul(end + sizeof(column_word) - 1, NULL, 10);
	}
	manifest_add_problem(m, line, column, manifest_without_place(err->msg));
}

void manifest_parse(const char *bytes, size_t n, struct manifest *ret)
{
	struct manifest m = {0};
	struct manifest_reader r = {.text = bytes, .n = n, .m = &m, .prefix = ""};
	struct err err;

	if (!manifest_is_manifest(bytes, n))
		manifest_take_bare(&r);
	else if (!str_is_utf8(bytes, n))
		manifest_add_problem(&m, manifest_line_not_utf8(bytes, n), 0,
				     "the file is not valid UTF-8");
	else if (yml_parse(bytes, n, manifest_on_document, &r, &err) < 0)
		manifest_take_yml_error(&m, &err);
	*ret = m;
}

void manifest_locate(const struct manifest_profile *p, size_t *line, size_t *column)
{
	if (*line > 0 && p->has_lines) {
		*line += p->policy_line - 1;
		*column += *column ? p->policy_indent : 0;
	} else {
		*line = p->line;
		*column = p->column;
	}
}

const char *manifest_without_place(const char *message)
{
	static const char *const words[] = {"line ", ", column "};
	const char *s = message;
	size_t i;

	for (i = 0; i < 2 && str_has_prefix(s, words[i]); i++) {
		size_t n = strspn(s + strlen(words[i]), "0123456789");

		s += strlen(words[i]) + n;
		if (n == 0)
			return message;
	}
	return i > 0 && str_has_prefix(s, ": ") ? s + 2 : message;
}

void manifest_clear(struct manifest *m)
{
	size_t i;

	for (i = 0; i < m->n_profiles; i++) {
		free(m->profiles[i].object);
		free(m->profiles[i].name);
		free(m->profiles[i].policy);
	}
	for (i = 0; i < m->n_problems; i++)
		free(m->problems[i].message);
	free(m->profiles);
	free(m->problems);
	*m = (struct manifest){0};
}
