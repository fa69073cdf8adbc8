/* Lists through what is in them: each element embeds a link for each list that it may be in. */
#ifndef RLK_LIST_H
#define RLK_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Of an element: both NULL while it is in no list. Of a list: its last and its first. */
struct rlk_link {
    struct rlk_link *previous, *next;
};

#define rlk_owner(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void rlk_list_init(struct rlk_link *list)
{
    list->previous = list->next = list;
}

static inline bool rlk_list_is_empty(const struct rlk_link *list)
{
    return list->next == list;
}

static inline bool rlk_is_linked(const struct rlk_link *link)
{
    return link->next != NULL;
}

static inline void rlk_list_append(struct rlk_link *list, struct rlk_link *link)
{
    link->previous = list->previous;
    link->next = list;
    list->previous->next = link;
    list->previous = link;
}

/* Out of the list that it is in, if any. */
static inline void rlk_unlink(struct rlk_link *link)
{
    if (!rlk_is_linked(link))
        return;
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link->previous = link->next = NULL;
}

/* NULL if it is empty. */
static inline struct rlk_link *rlk_list_first(const struct rlk_link *list)
{
    return rlk_list_is_empty(list) ? NULL : list->next;
}

static inline struct rlk_link *rlk_list_take_first(struct rlk_link *list)
{
    struct rlk_link *first = rlk_list_first(list);
    if (first)
        rlk_unlink(first);
    return first;
}

/* All that is in one list goes to the end of the other. */
static inline void rlk_list_move(struct rlk_link *from, struct rlk_link *to)
{
    if (rlk_list_is_empty(from))
        return;
    from->next->previous = to->previous;
    to->previous->next = from->next;
    from->previous->next = to;
    to->previous = from->previous;
    rlk_list_init(from);
}

#endif
