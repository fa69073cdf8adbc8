/* The program's heap: lasting memory, and memory of a schedule. What the simulated processes
 * allocate is of their schedule, and gone with it: one that is killed in the middle of a call
 * leaves nothing behind. */
#ifndef SIM_MEMORY_H
#define SIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* From here on malloc() and its like take from the schedule's memory, or from lasting memory.
 * Returns what it was before. */
bool sim_memory_use_schedules(bool of_schedule);

/* Everything of the schedule is free at once. */
void sim_memory_end_schedule(void);

/* Grows an array of lasting memory to hold so many elements at least; ends the program if there is
 * no memory. *capacity counts elements. */
void *sim_memory_grow(void *array, size_t *capacity, size_t needed, size_t element_size);

#endif
