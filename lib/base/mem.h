#pragma once

/*
 * Allocation that cannot fail, and locals that clean up after themselves.
 *
 * Running out of memory ends the process with a line on stderr: what a peer can make us allocate
 * has a ceiling elsewhere, so there is no caller who could do better.
 *
 *     CLEANUP(mem_freep) char *name = mem_strdup(text);
 *     ...
 *     *ret_name = STEAL(name);
 */

#include <stddef.h>

#define CLEANUP(fn_) __attribute__((cleanup(fn_)))

/* The value of a pointer variable, which is NULL afterwards: ownership leaves the scope. */
#define STEAL(ptr_)                                    \
	__extension__({                                \
		__typeof__(ptr_) steal_value = (ptr_); \
		(ptr_) = NULL;                         \
		steal_value;                           \
	})

/* Zeroed memory for `n` objects of `size` bytes. Never NULL. Free with free(). */
void *mem_alloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));

#define MEM_NEW(type_) ((type_ *)mem_alloc(1, sizeof(type_)))

/* realloc() that cannot fail; what it adds is not zeroed. */
void *mem_resize(void *ptr, size_t n, size_t size) __attribute__((returns_nonnull));

/* A copy of `text`, NULL for NULL. */
char *mem_strdup(const char *text);

/* A copy of the first `n` bytes of `text`, NUL-terminated. */
char *mem_strndup(const char *text, size_t n) __attribute__((returns_nonnull));

char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* For CLEANUP() on any pointer that free() takes. */
void mem_freep(void *ptr_to_ptr);

/* free(*ptr) and put `value`, which it takes over, in its place. */
void mem_replace(char **ptr, char *value);
