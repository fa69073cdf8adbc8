/* The order number makes every pair comparable, so the heap's shape cannot be seen. */
#include "events.h"

#include <stddef.h>

#include "memory.h"

static struct sim_event *heap;
static size_t count, capacity;
static uint32_t planned;

void sim_events_clear(void)
{
    count = 0;
    planned = 0;
}

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

void sim_events_plan(int64_t at_us, enum sim_event_kind kind, unsigned subject)
{
    struct sim_event event = {at_us, planned++, (uint16_t)kind, (uint16_t)subject};
    heap = sim_memory_grow(heap, &capacity, count + 1, sizeof *heap);
    size_t at = count++;
    for (; at > 0 && is_before(&event, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = event;
}

int64_t sim_events_next(void)
{
    return count > 0 ? heap[0].at_us : INT64_MAX;
}

struct sim_event sim_events_take(void)
{
    struct sim_event first = heap[0], last = heap[--count];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < count) {
        if (child + 1 < count && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}
