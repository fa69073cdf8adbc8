/* A table of slots with two lists through it, by slot numbers, since the table may move: free
 * slots, and touched ones. */
#include "core/members.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_CAPACITY 8
#define NOBODY UINT32_MAX

struct rlk_member {
    struct rlk_lock *lock; /* NULL: the slot is free */
    uint32_t generation;   /* of the slot's use; never 0, so that no tag is */
    uint32_t next;         /* touched; or the next free slot */
    uint32_t previous;     /* touched */
    bool touched;
};

void rlk_members_init(struct rlk_members *members)
{
    *members =
        (struct rlk_members){.first_free = NOBODY, .first_touched = NOBODY, .last_touched = NOBODY};
}

void rlk_members_free(struct rlk_members *members)
{
    free(members->slots);
    rlk_agenda_free(&members->agenda);
}

static uint64_t tag_of(const struct rlk_members *members, uint32_t slot)
{
    return (uint64_t)members->slots[slot].generation << 32 | slot;
}

static uint32_t slot_of(const struct rlk_members *members, const struct rlk_lock *lock)
{
    uint32_t slot = (uint32_t)lock->id;
    assert(slot < members->capacity && members->slots[slot].lock == lock);
    return slot;
}

static bool grow(struct rlk_members *members)
{
    uint32_t capacity = members->capacity ? 2 * members->capacity : FIRST_CAPACITY;
    struct rlk_member *slots = realloc(members->slots, capacity * sizeof *slots);
    if (!slots)
        return false;
    members->slots = slots;
    if (!rlk_agenda_reserve(&members->agenda, capacity))
        return false;
    for (uint32_t slot = capacity; slot-- > members->capacity;) {
        slots[slot] = (struct rlk_member){.generation = 1, .next = members->first_free};
        members->first_free = slot;
    }
    members->capacity = capacity;
    return true;
}

bool rlk_members_add(struct rlk_members *members, struct rlk_lock *lock)
{
    if (members->first_free == NOBODY && !grow(members))
        return false;
    uint32_t slot = members->first_free;
    struct rlk_member *member = &members->slots[slot];
    members->first_free = member->next;
    members->count++;
    member->lock = lock;
    lock->id = tag_of(members, slot);
    return true;
}

void rlk_members_touch(struct rlk_members *members, struct rlk_lock *lock)
{
    uint32_t slot = slot_of(members, lock);
    struct rlk_member *member = &members->slots[slot];
    if (member->touched)
        return;
    member->touched = true;
    member->next = NOBODY;
    member->previous = members->last_touched;
    if (member->previous != NOBODY)
        members->slots[member->previous].next = slot;
    else
        members->first_touched = slot;
    members->last_touched = slot;
}

static void untouch(struct rlk_members *members, struct rlk_member *member)
{
    if (member->previous != NOBODY)
        members->slots[member->previous].next = member->next;
    else
        members->first_touched = member->next;
    if (member->next != NOBODY)
        members->slots[member->next].previous = member->previous;
    else
        members->last_touched = member->previous;
    member->touched = false;
}

bool rlk_members_has_touched(const struct rlk_members *members)
{
    return members->first_touched != NOBODY;
}

struct rlk_lock *rlk_members_take_touched(struct rlk_members *members)
{
    if (members->first_touched == NOBODY)
        return NULL;
    struct rlk_member *member = &members->slots[members->first_touched];
    untouch(members, member);
    return member->lock;
}

void rlk_members_remove(struct rlk_members *members, struct rlk_lock *lock)
{
    uint32_t slot = slot_of(members, lock);
    struct rlk_member *member = &members->slots[slot];
    if (member->touched)
        untouch(members, member);
    rlk_agenda_set(&members->agenda, slot, RLK_NEVER);
    member->lock = NULL;
    if (++member->generation == 0)
        member->generation = 1;
    member->next = members->first_free;
    members->first_free = slot;
    members->count--;
}

struct rlk_lock *rlk_members_at(const struct rlk_members *members, uint32_t slot)
{
    return members->slots[slot].lock;
}

struct rlk_lock *rlk_members_find(const struct rlk_members *members, uint64_t tag)
{
    uint32_t slot = (uint32_t)tag;
    if (slot >= members->capacity || tag_of(members, slot) != tag)
        return NULL;
    return members->slots[slot].lock;
}

void rlk_members_plan(struct rlk_members *members, const struct rlk_lock *lock)
{
    rlk_agenda_set(&members->agenda, slot_of(members, lock), rlk_lock_next_time(lock));
}

int64_t rlk_members_next_time(const struct rlk_members *members)
{
    return rlk_agenda_next(&members->agenda);
}

struct rlk_lock *rlk_members_take_due(struct rlk_members *members, int64_t now_ms)
{
    uint32_t slot;
    return rlk_agenda_take(&members->agenda, now_ms, &slot) ? members->slots[slot].lock : NULL;
}
