#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_check(void *ptr)
{
	if (!ptr) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return ptr;
}

void *mem_alloc(size_t n, size_t size)
{
	return mem_check(calloc(n ? n : 1, size));
}

void *mem_resize(void *ptr, size_t n, size_t size)
{
	return mem_check(reallocarray(ptr, n ? n : 1, size));
}

char *mem_strdup(const char *text)
{
	return text ? mem_check(strdup(text)) : NULL;
}

char *mem_strndup(const char *text, size_t n)
{
	char *copy = mem_alloc(n + 1, 1);

	if (n > 0)
		memcpy(copy, text, n);
	return copy;
}

char *mem_printf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	return mem_check(n < 0 ? NULL : text);
}

void mem_freep(void *ptr_to_ptr)
{
	free(*(void **)ptr_to_ptr);
}

void mem_replace(char **ptr, char *value)
{
	free(*ptr);
	*ptr = value;
}
