#pragma once

/*
 * A doubly linked list whose links are embedded in its items.
 */

#include <stdbool.h>

struct list {
	struct list *prev;
	struct list *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_append(struct list *l, struct list *item)
{
	item->prev = l->prev;
	item->next = l;
	l->prev->next = item;
	l->prev = item;
}

/* Take an item out. It may be taken out again, which does nothing. */
static inline void list_remove(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

/* Walk the list; the current item may be removed or freed meanwhile. */
/* NOLINTBEGIN(bugprone-macro-parentheses): it_ is a name */
#define LIST_FOREACH(it_, l_)                                                     \
	for (struct list *it_ = (l_)->next, *it_##_next = it_->next; it_ != (l_); \
	     it_ = it_##_next, it_##_next = it_->next)
/* NOLINTEND(bugprone-macro-parentheses) */
