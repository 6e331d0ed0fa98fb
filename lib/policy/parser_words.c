#include "policy/parser_words.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define INCLUDE_HINT \
	"an include reaches only what is shipped with the compiler (abstractions, tunables, abi)"
#define UNDECLARED_HINT "write \"include <tunables/global>\" in front of the profile"

/* In the order in which they are tried. */
static const struct parser_words_row words_errors[] = {
    {"Could not open '*': *", "\"$1\" cannot be opened: " INCLUDE_HINT, 1, NULL},
    {"Could not open '*' in '*'", "\"$1\" cannot be opened: " INCLUDE_HINT, 1, NULL},
    {"Could not open '*'", "\"$1\" cannot be opened: " INCLUDE_HINT, 1, NULL},
    {"fstat failed for '*'*", "\"$1\" cannot be opened: " INCLUDE_HINT, 1, NULL},
    {"Could not process include directory '*' in '*'", "\"$1\" cannot be opened: " INCLUDE_HINT, 1,
     NULL},
    {"failed to find features abi '*'*", "the abi \"$1\" cannot be opened: " INCLUDE_HINT, 1, NULL},

    {"Lexer found unexpected character: '*' (0x*) in state: *", "unexpected character '$1'", 0,
     NULL},
    {"Invalid capability *.", NULL, 1, NULL},
    {"Invalid profile flag: *.", NULL, 1, NULL},
    {"Invalid network entry.", NULL, 0, NULL},
    {"expected flags= got *=", NULL, 1, NULL},
    {"deny prefix not allowed", NULL, 0, NULL},
    {"owner prefix not allowed", NULL, 0, NULL},
    {"owner prefix not allowed on * rules", "owner is not allowed on these rules", 0, NULL},
    {"owner conditional not allowed on * rules", "owner is not allowed on these rules", 0, NULL},
    {"priority prefix not allowed on * rules", "priority is not allowed on these rules", 0, NULL},
    {"priority is not allowed on rule blocks", NULL, 0, NULL},
    {"invalid priority *", NULL, 1, NULL},
    {"INVALID RLIMIT '*'", "there is no rlimit \"$1\"", 1, NULL},
    {"RLIMIT '*' invalid value * *", "rlimit $1 cannot have the value $2 $3", 2, NULL},
    {"RLIMIT '*' invalid value *", "rlimit $1 cannot have the value $2", 2, NULL},
    {"RLIMIT '* *' < minimum value of 1s", "an rlimit's time is at least 1s", 1, NULL},
    {"RLIMIT '*' out of range (-20 .. 19) *", "rlimit $1 is out of range (-20 .. 19)", 2, NULL},
    {"Invalid mode, in deny rules 'x' must not be preceded by exec qualifier 'i', 'p', or 'u'",
     NULL, 0, NULL},
    {"Invalid mode, 'x' must be preceded by exec qualifier 'i', 'p', 'c', or 'u'", NULL, 0, NULL},
    {"Invalid mode, 'x' must be preceded by exec qualifier 'i', 'p', or 'u'", NULL, 0, NULL},
    {"Invalid perms, in deny rules 'x' must not be preceded by exec qualifier 'i', 'p', or 'u'",
     NULL, 0, NULL},
    {"Invalid perms, 'x' must be preceded by exec qualifier 'i', 'p', 'c', or 'u'", NULL, 0, NULL},
    {"Invalid perms, 'x' must be preceded by exec qualifier 'i', 'p', or 'u'", NULL, 0, NULL},
    {"Exec qualifier '*' invalid, conflicting qualifier already specified", NULL, 0, NULL},
    {"Exec qualifier '*' not allowed", NULL, 0, NULL},
    {"Internal: unexpected mode character '*' in input", "unexpected permission '$1'", 0, NULL},
    {"Internal: unexpected * mode character '*' in input", "unexpected permission '$2'", 0, NULL},
    {"Internal: unexpected perms character '*' in input", "unexpected permission '$1'", 0, NULL},
    {"Internal: unexpected * perms character '*' in input", "unexpected permission '$2'", 0, NULL},
    {"mode contains *", "these permissions do not suit this kind of rule", 0, NULL},
    {"perms contains *", "these permissions do not suit this kind of rule", 0, NULL},
    {"link perms are not allowed on a named profile transition.", NULL, 0, NULL},
    {"missing an end of line character? (entry: *)",
     "a comma seems to be missing at the end of the rule \"$1\"", 1, NULL},
    {"Invalid boolean assignment for (*): * is not true or false",
     "\"$2\" is neither true nor false", 2, NULL},
    {"Variable declarations do not accept trailing commas", NULL, 0, NULL},
    {"variable * was previously declared", "the variable $1 was declared before", 1, NULL},
    {"variable * was not previously declared, but is being assigned additional values",
     "the variable $1 gets more values with += before it was declared with =", 1, NULL},
    {"Unset boolean variable * used in if-expression",
     "the boolean variable $1 is used and was never set", 1, NULL},
    {"Variable * is not a boolean variable", "the variable $1 is not a boolean one", 1, NULL},
    {"Variable * is not a set variable", "the variable $1 is not a set", 1, NULL},
    {"Failed to create alias * -> *", NULL, 1, NULL},
    {"Profile flag '*' conflicts with '*'", "the profile flags \"$1\" and \"$2\" conflict", 2,
     NULL},
    {"Profile flag * set to conflicting values: '*' and '*'",
     "a profile flag has two different values, \"$2\" and \"$3\"", 3, NULL},
    {"unknown error code specified for error='*'", "there is no error code \"$1\"", 1, NULL},
    {"unknown signal specified for kill.signal='*'", "there is no signal \"$1\"", 1, NULL},
    {"unknown signal \"*\"", "there is no signal \"$1\"", 1, NULL},
    {"unsupported * condition '**", "this condition is not supported", 0, NULL},
    {"unsupported * value '*'", "the value \"$2\" is not supported", 2, NULL},
    {"unsupported multiple 'mount options *", "mount options are given more than once", 0, NULL},
    {"profile id: invalid conditional group *=()", "\"$1=()\" does not belong there", 1, NULL},
    {"* rule: invalid conditional group *=()", "\"$2=()\" does not belong there", 2, NULL},
    {"* rule: '*' conditional *", "the condition \"$2\" does not suit this rule", 2, NULL},
    {"* rule: conditional '*' only supports a single value",
     "the condition \"$2\" takes a single value", 2, NULL},
    {"* rule: keyword 'in' is not allowed in *", "\"in\" is not allowed here", 0, NULL},
    {"* rule: invalid conditional '*'", "there is no condition \"$2\" for this rule", 2, NULL},
    {"* rule: invalid peer conditional '*'", "there is no condition \"$2\" for a peer", 2, NULL},
    {"* rule: invalid value for addr='*'", "addr cannot have the value \"$2\"", 2, NULL},
    {"* rule: invalid socket type '*'", "there is no socket type \"$2\"", 2, NULL},
    {"* rule: 'protocol' conditional is not currently supported", "protocol is not supported here",
     0, NULL},
    {"keyword \"in\" is not allowed in * rules", "\"in\" is not allowed here", 0, NULL},
    {"* conditional \"*\" only supports a single value",
     "the condition \"$2\" takes a single value", 2, NULL},
    {"* conditional \"*\" can only be specified once", "the condition \"$2\" is there twice", 2,
     NULL},
    {"invalid * conditional \"*\"", "there is no condition \"$2\" for this rule", 2, NULL},
    {"invalid mount conditional **", "there is no such mount condition", 0, NULL},
    {"invalid pivotroot conditional '*'", "there is no pivot_root condition \"$1\"", 1, NULL},
    {"mount point conditions not currently supported", NULL, 0, NULL},
    {"source and mount point cannot be used at the same time for propagation type flags", NULL, 0,
     NULL},
    {"dbus \"bind\" access cannot be used with message rule conditionals", NULL, 0, NULL},
    {"dbus \"send\" and/or \"receive\" accesses cannot be used with service rule conditionals",
     NULL, 0, NULL},
    {"mqueue invalid name '*', *",
     "\"$1\" is no message queue: it begins with a / or is a positive number", 1, NULL},
    {"mqueue type=* invalid name '*', *",
     "\"$2\" is no message queue: it begins with a / (posix) or is a positive number (sysv)", 2,
     NULL},
    {"mqueue invalid type='*'", "there is no message queue type \"$1\"", 1, NULL},
    {"network invalid ip='*'", "\"$1\" is no IP address", 1, NULL},
    {"network invalid port='*'", "\"$1\" is no port", 1, NULL},
    {"network family does not support local or peer conditionals", NULL, 0, NULL},
    {"network *accesses cannot be used with peer socket conditionals",
     "these network permissions do not go with a peer", 0, NULL},
    {"unix socket *accesses cannot be used with peer socket conditionals",
     "these permissions do not go with a peer", 0, NULL},
    {"Namespace not terminated: *", "a namespace has no end", 0, NULL},
    {"Empty namespace: *", "a namespace has no name", 0, NULL},
    {"Empty named transition profile name: *", "a transition names no profile", 0, NULL},
    {"Profile names must begin with a '/' or a namespace",
     "a profile's name must begin with a letter or digit", 0, NULL},
    {"Profile names must begin with a '/', namespace or keyword 'profile' or 'hat'.",
     "the keyword \"profile\" or \"hat\" is missing in front of a name", 0, NULL},
    {"Profile attachment must begin with a '/' or variable.", NULL, 0, NULL},
    {"Profile flag 'debug' is no longer valid.", NULL, 0, NULL},
    {"Profile flag attach_disconnected conflicts with no_attach_disconnected", NULL, 0, NULL},
    {"Profile flag chroot_attach conflicts with chroot_no_attach", NULL, 0, NULL},
    {"Profile flag chroot_relative conflicts with namespace_relative", NULL, 0, NULL},
    {"Profile flag mediate_deleted conflicts with delegate_deleted", NULL, 0, NULL},
    {"apparmor_parser: Invalid profile name '*' - bad regular expression",
     "the profile name \"$1\" cannot be read as a path", 1, NULL},
    {"Conflict 'a' and 'w' perms are mutually exclusive.", NULL, 0, NULL},
    {"Empty variable name found!", "a variable has no name", 0, NULL},
    {"Exec condition is required when unsafe or safe keywords are present", NULL, 0, NULL},
    {"Exec condition must begin with '/'.", NULL, 0, NULL},
    {"unsafe rule missing exec permissions", NULL, 0, NULL},
    {"subset can only be used with link rules.", NULL, 0, NULL},
    {"link and exec perms conflict on a file rule using ->", NULL, 0, NULL},
    {"conflicting audit prefix", NULL, 0, NULL},
    {"conflicting mode prefix", NULL, 0, NULL},
    {"conflicting owner prefix", NULL, 0, NULL},
    {"conflicting flags in the rule*", "flags of the rule conflict", 0, NULL},
    {"conflicting flag values = *", "flags of the rule conflict", 0, NULL},
    {"attach_disconnected_path value must begin with a /", NULL, 0, NULL},
    {"hat profiles can't use xattrs matches", NULL, 0, NULL},
    {"bad mount rule", NULL, 0, NULL},
    {"unsupported mount conditions*", "these mount conditions are not supported", 0, NULL},
    {"Encoding of mount rule failed", "a mount rule cannot be compiled", 0, NULL},
    {"dbus \"eavesdrop\" access can only contain a bus conditional", NULL, 0, NULL},
    {"dbus \"label\" conditional can only be used inside of the \"peer=()\" grouping", NULL, 0,
     NULL},
    {"dbus rule contains message conditionals and service conditionals", NULL, 0, NULL},
    {"The current kernel does not support stacking of named transitions: *",
     "this kernel cannot stack the profiles of a named transition", 1, NULL},
    {"profile has merged rule with conflicting x modifiers",
     "two rules give conflicting ways to execute the same path (ix, px, cx, ux …)", 0, NULL},
    {"Too many states (*", "the rules together are too complex", 0, NULL},
    {"Too many transitions (*", "the rules together are too complex", 0, NULL},
    {"syntax error", NULL, 0, NULL},

    /* These come without a line. */
    {"Found reference to variable *, but is never declared",
     "the variable @{$1} is never declared: " UNDECLARED_HINT ", or declare it there", 1, NULL},
    {"Found reference to set variable *, but declared boolean",
     "the variable @{$1} is declared as a boolean and used as a set", 1, NULL},
    {"Failed to find declaration for: *", "the variable $1 is never declared: " UNDECLARED_HINT, 1,
     NULL},
    {"Variable @{*} is referenced recursively (by @{*})",
     "the variable @{$1} refers to itself, by way of @{$2}", 1, NULL},
    {"Variable @{*} references undefined variable @{*}",
     "the variable @{$2} is never declared: " UNDECLARED_HINT ", or declare it there", 2, NULL},
    {"Referenced variable * is a boolean used in set context",
     "the boolean variable $1 is used as a set", 1, NULL},
    {"failure expanding variable *", "the variable $1 cannot be expanded", 1, NULL},
    {"'*' is already defined", "\"$1\" is already defined", 1, NULL},
    {"Multiple definitions for hat * in profile * exist,bailing out.",
     "the hat \"$1\" is defined twice", 1, NULL},
    {"Multiple definitions for profile * exist,bailing out.",
     "the profile \"$1\" is defined more than once", 1, NULL},
    {"profile *: has merged rule * with conflicting x modifiers",
     "the rules for \"$2\" give conflicting ways to execute it (ix, px, cx, ux …)", 2, NULL},
    {"Profile * has too many specified profile transitions.",
     "the profile names too many other profiles to change to", 0, NULL},
    {"apparmor_parser: Regex grouping error: Unclosed grouping or character class, expecting *",
     "a { or [ in a path is not closed", 0, NULL},
    {"apparmor_parser: Regex grouping error: Invalid close ], no matching open *",
     "a path holds a ] with no [ before it", 0, NULL},
    {"apparmor_parser: Regex grouping error: Invalid close }, no matching open *",
     "a path holds a } with no { before it", 0, NULL},
    {"apparmor_parser: Regex grouping error: Exceeded maximum nesting of {}",
     "a path nests { } too deeply", 0, NULL},
    {"apparmor_parser: Regex grouping error: Invalid number of items between {}",
     "a { } in a path needs two alternatives at least, as in {a,b}", 0, NULL},
    {"apparmor_parser: Regex error: trailing '\\' escape character", "a path ends in a \\", 0,
     NULL},
    {"apparmor_parser: Unable to parse input line '*'", "the path \"$1\" cannot be read", 1, NULL},
    {"Unknown error while parsing label: *", "the name of a profile cannot be read", 0, NULL},
};

static const struct parser_words_row words_warnings[] = {
    {"dbus rules not enforced", NULL, 0, NULL},
    {"mount rules not enforced", NULL, 0, NULL},
    {"mount rules not enforce", "mount rules not enforced", 0, NULL},
    {"ptrace rules not enforced", NULL, 0, NULL},
    {"signal rules not enforced", NULL, 0, NULL},
    {"userns rules not enforced", NULL, 0, NULL},
    {"io_uring rules not enforced", NULL, 0, NULL},
    {"mqueue rules not enforced", NULL, 0, NULL},
    {"mqueue type=posix rules not enforced", NULL, 0, NULL},
    {"mqueue type=sysv rules not enforced", NULL, 0, NULL},
    {"network rules not enforced", NULL, 0, NULL},
    {"profile * network rules not enforced", "network rules not enforced", 0, NULL},
    {"extended network unix socket rules not enforced", NULL, 0, "unix"},
    {"downgrading extended network unix socket rule to generic network rule", NULL, 0, "unix"},
    {"deny unix socket rule not enforced, can't be downgraded to generic network rule", NULL, 0,
     NULL},
    {"downgrading change_profile safe rule to unsafe due to lack of necessary kernel support", NULL,
     0, NULL},
    {"RLIMIT 'cpu' no units specified using default units of seconds", NULL, 0, NULL},
    {"RLIMIT 'rttime' no units specified using default units of microseconds", NULL, 0, NULL},
    {"Warning kernel does not support audit modifier for change_profile rule.",
     "audit is not supported on change_profile rules here", 0, NULL},
    {"Uppercase qualifiers \"RWLIMX\" are deprecated, please convert to lowercase", NULL, 0, NULL},
    {"priority levels not supported", NULL, 0, NULL},
    {"* flag not supported. Ignoring", "a profile flag is not supported here and ignored", 0, NULL},
    {"kill.signal not supported. Ignoring", "kill.signal is not supported here and ignored", 0,
     NULL},
    {"Unconfined exec qualifier (*) allows some dangerous environment variables to be passed to "
     "the unconfined process; *",
     "this way to execute a program unconfined passes dangerous environment variables to it: use "
     "Ux or Px",
     0, NULL},
    {"Character * was quotedunnecessarily, dropped preceding quote ('\\') character",
     "a character is quoted with \\ that needs no quoting", 0, NULL},
};

static const struct {
	const char *token;
	const char *words;
} words_tokens[] = {
    {"TOK_ID", "a name or path"},
    {"TOK_CONDID", "a condition"},
    {"TOK_CONDLISTID", "a list of conditions"},
    {"TOK_MODE", "permissions"},
    {"TOK_SET_VAR", "a variable"},
    {"TOK_BOOL_VAR", "a boolean variable"},
    {"TOK_VALUE", "a value"},
    {"TOK_END_OF_RULE", "a comma"},
    {"TOK_COMMA", "a comma"},
    {"TOK_OPEN", "{"},
    {"TOK_CLOSE", "}"},
    {"TOK_OPENPAREN", "("},
    {"TOK_CLOSEPAREN", ")"},
    {"TOK_EQUALS", "="},
    {"TOK_ADD_ASSIGN", "+="},
    {"TOK_ARROW", "->"},
    {"TOK_LE", "<="},
    {"TOK_CARET", "^"},
    {"TOK_COLON", ":"},
    {"TOK_ABI", "abi"},
    {"end of file", "the end of the policy"},
    {"$end", "the end of the policy"},
};

/* Is `line` an instance of `pattern`? A * takes as little as it can, the last one all that is left.
 */
static bool words_match(const char *pattern, const char *line, size_t n,
			struct parser_words_slot slots[PARSER_WORDS_SLOTS])
{
	const char *end = line + n;
	int slot = -1;

	for (;;) {
		size_t n_literal = strcspn(pattern, "*");
		bool last = pattern[n_literal] == '\0';
		const char *at = line;

		if (slot < 0) { /* the beginning is not to be searched for */
			if (n < n_literal || memcmp(line, pattern, n_literal) != 0)
				return false;
		} else if (last) {
			if ((size_t)(end - line) < n_literal ||
			    memcmp(end - n_literal, pattern, n_literal) != 0)
				return false;
			at = end - n_literal;
		} else if (n_literal > 0) {
			at = memmem(line, (size_t)(end - line), pattern, n_literal);
			if (!at)
				return false;
		}
		if (slot >= 0)
			slots[slot] = (struct parser_words_slot){line, (size_t)(at - line)};
		line = at + n_literal;
		if (last)
			return line == end;
		if (++slot == PARSER_WORDS_SLOTS)
			return false;
		pattern += n_literal + 1;
	}
}

static const struct parser_words_row *words_find(const struct parser_words_row *rows, size_t n_rows,
						 const char *line, size_t n,
						 struct parser_words_slot slots[PARSER_WORDS_SLOTS])
{
	size_t i;

	for (i = 0; i < n_rows; i++) {
		memset(slots, 0, PARSER_WORDS_SLOTS * sizeof(slots[0]));
		if (words_match(rows[i].pattern, line, n, slots))
			return &rows[i];
	}
	return NULL;
}

const struct parser_words_row *parser_words_find(const char *line, size_t n,
						 struct parser_words_slot slots[PARSER_WORDS_SLOTS])
{
	return words_find(words_errors, sizeof(words_errors) / sizeof(words_errors[0]), line, n,
			  slots);
}

const struct parser_words_row *
parser_words_find_warning(const char *line, size_t n,
			  struct parser_words_slot slots[PARSER_WORDS_SLOTS])
{
	return words_find(words_warnings, sizeof(words_warnings) / sizeof(words_warnings[0]), line,
			  n, slots);
}

bool parser_words_token(const char *token, size_t n, char *out, size_t n_out)
{
	size_t i;

	for (i = 0; i < sizeof(words_tokens) / sizeof(words_tokens[0]); i++) {
		if (strlen(words_tokens[i].token) == n &&
		    memcmp(words_tokens[i].token, token, n) == 0) {
			snprintf(out, n_out, "%s", words_tokens[i].words);
			return true;
		}
	}
	/* The rest are keywords: TOK_CAPABILITY. */
	if (n <= 4 || n - 4 >= n_out || memcmp(token, "TOK_", 4) != 0)
		return false;
	for (i = 4; i < n; i++) {
		char c = token[i];

		if (!(c >= 'A' && c <= 'Z') && c != '_')
			return false;
		out[i - 4] = (char)tolower(c);
	}
	out[n - 4] = '\0';
	return true;
}
