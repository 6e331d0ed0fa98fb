#include "token.h"

#include "base/file.h"
#include "base/mem.h"

#include <string.h>

enum { TOKEN_MAX = 16 * 1024 };

int token_header(const char *path, char **ret, struct err *err)
{
	CLEANUP(buf_clear) struct buf text = BUF_INIT(TOKEN_MAX);
	size_t n;
	int r = file_read(path, &text, err);

	if (r < 0)
		return r;
	n = strcspn(buf_text(&text), " \t\r\n");
	if (n == 0 || n != strlen(buf_text(&text)) - strspn(buf_text(&text) + n, " \t\r\n"))
		return err_set(err, -EINVAL, "%s does not hold one token", path);
	*ret = mem_printf("Authorization: Bearer %.*s", (int)n, buf_text(&text));
	return 0;
}
