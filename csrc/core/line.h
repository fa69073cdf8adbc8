/* Lines: the locks of one loop that wait for the same key, in order of arrival. Only the first of
 * a line asks the nodes; the others stand by.
 *
 *     if (wait_ms > 0 && rlk_lines_join(lines, &place, lock) && !rlk_line_is_first(&place))
 *         rlk_lock_stand_by(lock, ...);
 *     else
 *         rlk_lock_acquire(lock, ...);
 *
 *     once it has an outcome:
 *
 *     if (!rlk_line_is_first(&place))
 *         rlk_lock_copy_reasons(lock, rlk_line_first(&place)->lock);
 *     struct rlk_in_line *next = rlk_lines_leave(lines, &place);
 *     while (next && rlk_lock_share_verdict(next->lock, lock))
 *         next = rlk_lines_leave(lines, next);    (and that one has an outcome, too)
 *     if (next)
 *         rlk_lock_take_turn(next->lock, rlk_lock_was_answered(lock), now); */
#ifndef RLK_LINE_H
#define RLK_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/lock.h"

/* A lock's place in a line. The owner keeps it beside the lock, all zero at first, and both where
 * they are, with the bytes of the lock's key, until it has left. */
struct rlk_in_line {
    struct rlk_key key;
    struct rlk_lock *lock; /* NULL: it stands there for the owner, and asks nobody */
    struct rlk_line *line; /* NULL: in no line */
    struct rlk_in_line *next, *previous;
};

/* Lines by key: one small allocation for each line, while somebody stands in it, and a table that
 * has grown with their highest number. */
struct rlk_lines {
    struct rlk_line **buckets;
    size_t capacity; /* 0, or a power of two */
    size_t count;
    uint64_t secret[2];
};

/* No lines. Whoever chooses keys must not know the seed. */
void rlk_lines_init(struct rlk_lines *lines, uint64_t seed);

/* Who still stands in a line stands in none then. */
void rlk_lines_free(struct rlk_lines *lines);

/* To the end of the line for the lock's key. False, and in no line, if there is no memory. */
bool rlk_lines_join(struct rlk_lines *lines, struct rlk_in_line *place, struct rlk_lock *lock);

/* Before all others of the line for the key, and for whoever owns that. False if there is no memory. */
bool rlk_lines_head(struct rlk_lines *lines, struct rlk_in_line *place, struct rlk_key key);

/* Who becomes the first by that; NULL if nobody does. Also from no line. */
struct rlk_in_line *rlk_lines_leave(struct rlk_lines *lines, struct rlk_in_line *place);

/* The first of the line for the key; NULL if there is none. */
struct rlk_in_line *rlk_lines_first(const struct rlk_lines *lines, struct rlk_key key);

/* The first of the line in which it stands; NULL if in none. */
struct rlk_in_line *rlk_line_first(const struct rlk_in_line *place);

bool rlk_line_is_first(const struct rlk_in_line *place);

#endif
