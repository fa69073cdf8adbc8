/* Which of many is due next: a heap of moments, one for each numbered slot. */
#ifndef RLK_AGENDA_H
#define RLK_AGENDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rlk_appointment {
    int64_t at_ms;
    uint32_t slot;
};

struct rlk_agenda {
    struct rlk_appointment *heap; /* earliest first */
    size_t count;
    uint32_t *places; /* where a slot stands in the heap, plus 1; 0: nowhere */
    size_t capacity;
};

/* Room for slots below this number. False, and nothing changed, if there is no memory. */
bool rlk_agenda_reserve(struct rlk_agenda *agenda, size_t slots);

/* Sets or moves the slot's moment; RLK_NEVER takes it off. */
void rlk_agenda_set(struct rlk_agenda *agenda, uint32_t slot, int64_t at_ms);

/* RLK_NEVER if nothing is planned. */
int64_t rlk_agenda_next(const struct rlk_agenda *agenda);

/* Takes off a slot whose moment is now_ms or earlier. False if there is none. */
bool rlk_agenda_take(struct rlk_agenda *agenda, int64_t now_ms, uint32_t *slot);

void rlk_agenda_free(struct rlk_agenda *agenda);

#endif
