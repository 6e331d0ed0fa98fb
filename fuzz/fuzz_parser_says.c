/* What the parser prints, which quotes what the text makes it read: nothing but known words and the
 * text's own comes out. The input is the text, a NUL, and what was said. */

#include "base/mem.h"
#include "policy/parser_says.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(mem_freep) char *text = mem_strndup((const char *)data, n);
	size_t n_text = strlen(text);
	const char *said = n_text < n ? text + n_text + 1 : "";
	const struct parser_says_input in = {
	    .said = said, .text = text, .base_dir = "/etc/apparmor.d"};
	struct parser_says says;

	parser_says_read(&in, &says);
	if (!says.message[0] || strchr(says.message, '\n') || (says.column && !says.line))
		abort();
	if (!memmem(text, n_text, "CANARY", 6) && strstr(says.message, "CANARY"))
		abort();
	parser_says_clear(&says);
	return 0;
}
