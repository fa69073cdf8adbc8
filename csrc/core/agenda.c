/* A binary heap whose entries know their slot, beside a table of where each slot stands. */
#include "core/agenda.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/request.h"

bool rlk_agenda_reserve(struct rlk_agenda *agenda, size_t slots)
{
    if (slots <= agenda->capacity)
        return true;
    struct rlk_appointment *heap = realloc(agenda->heap, slots * sizeof *heap);
    if (!heap)
        return false;
    agenda->heap = heap;
    uint32_t *places = realloc(agenda->places, slots * sizeof *places);
    if (!places)
        return false;
    memset(places + agenda->capacity, 0, (slots - agenda->capacity) * sizeof *places);
    agenda->places = places;
    agenda->capacity = slots;
    return true;
}

static void put(struct rlk_agenda *agenda, size_t place, struct rlk_appointment appointment)
{
    agenda->heap[place] = appointment;
    agenda->places[appointment.slot] = (uint32_t)place + 1;
}

static void sift_up(struct rlk_agenda *agenda, size_t place, struct rlk_appointment appointment)
{
    while (place > 0) {
        size_t parent = (place - 1) / 2;
        if (agenda->heap[parent].at_ms <= appointment.at_ms)
            break;
        put(agenda, place, agenda->heap[parent]);
        place = parent;
    }
    put(agenda, place, appointment);
}

static void sift_down(struct rlk_agenda *agenda, size_t place, struct rlk_appointment appointment)
{
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= agenda->count)
            break;
        if (child + 1 < agenda->count && agenda->heap[child + 1].at_ms < agenda->heap[child].at_ms)
            child++;
        if (appointment.at_ms <= agenda->heap[child].at_ms)
            break;
        put(agenda, place, agenda->heap[child]);
        place = child;
    }
    put(agenda, place, appointment);
}

static void settle(struct rlk_agenda *agenda, size_t place, struct rlk_appointment appointment)
{
    if (place > 0 && agenda->heap[(place - 1) / 2].at_ms > appointment.at_ms)
        sift_up(agenda, place, appointment);
    else
        sift_down(agenda, place, appointment);
}

static void take_off(struct rlk_agenda *agenda, uint32_t slot)
{
    size_t place = agenda->places[slot] - 1;
    struct rlk_appointment last = agenda->heap[--agenda->count];
    agenda->places[slot] = 0;
    if (last.slot != slot)
        settle(agenda, place, last);
}

void rlk_agenda_set(struct rlk_agenda *agenda, uint32_t slot, int64_t at_ms)
{
    assert(slot < agenda->capacity);
    size_t place = agenda->places[slot];
    struct rlk_appointment appointment = {at_ms, slot};
    if (at_ms == RLK_NEVER) {
        if (place)
            take_off(agenda, slot);
    } else if (place) {
        settle(agenda, place - 1, appointment);
    } else {
        sift_up(agenda, agenda->count++, appointment);
    }
}

int64_t rlk_agenda_next(const struct rlk_agenda *agenda)
{
    return agenda->count ? agenda->heap[0].at_ms : RLK_NEVER;
}

bool rlk_agenda_take(struct rlk_agenda *agenda, int64_t now_ms, uint32_t *slot)
{
    if (rlk_agenda_next(agenda) > now_ms || agenda->count == 0)
        return false;
    *slot = agenda->heap[0].slot;
    take_off(agenda, *slot);
    return true;
}

void rlk_agenda_free(struct rlk_agenda *agenda)
{
    free(agenda->heap);
    free(agenda->places);
    *agenda = (struct rlk_agenda){0};
}
