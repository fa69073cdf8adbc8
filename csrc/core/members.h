/* The locks that take part in a loop. Each has a slot; its tag (slot and generation) is what
 * requests carry, so that an answer to a lock that has gone finds nobody. Members that were
 * "touched" are those whose wishes are to be looked at; and each may have a moment at which its
 * time comes. */
#ifndef RLK_MEMBERS_H
#define RLK_MEMBERS_H

#include "core/agenda.h"
#include "core/lock.h"

struct rlk_member;

struct rlk_members {
    struct rlk_member *slots;
    uint32_t capacity, count;
    uint32_t first_free, first_touched, last_touched;
    struct rlk_agenda agenda;
};

void rlk_members_init(struct rlk_members *members);
void rlk_members_free(struct rlk_members *members);

/* Gives the lock its tag, as its id. False if there is no memory. */
bool rlk_members_add(struct rlk_members *members, struct rlk_lock *lock);
void rlk_members_remove(struct rlk_members *members, struct rlk_lock *lock);

/* NULL if the lock with this tag has gone. */
struct rlk_lock *rlk_members_find(const struct rlk_members *members, uint64_t tag);

/* For going through all: the lock in a slot below capacity; NULL if it is free. */
struct rlk_lock *rlk_members_at(const struct rlk_members *members, uint32_t slot);

void rlk_members_touch(struct rlk_members *members, struct rlk_lock *lock);

bool rlk_members_has_touched(const struct rlk_members *members);

/* The one that was touched first, touched no more; NULL if there is none. */
struct rlk_lock *rlk_members_take_touched(struct rlk_members *members);

/* Plans the lock's next moment anew. */
void rlk_members_plan(struct rlk_members *members, const struct rlk_lock *lock);
int64_t rlk_members_next_time(const struct rlk_members *members);

/* The next one whose moment has come, its plan taken off; NULL if there is none. */
struct rlk_lock *rlk_members_take_due(struct rlk_members *members, int64_t now_ms);

#endif
