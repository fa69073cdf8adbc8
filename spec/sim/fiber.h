/* Fibers: the threads of the simulated processes. Each has a stack of its own, and runs until it
 * gives way; then whoever resumed it goes on. */
#ifndef SIM_FIBER_H
#define SIM_FIBER_H

#include <stdbool.h>

#define SIM_FIBERS_MAX 64

/* They are numbered, from 0 to below SIM_FIBERS_MAX. Whatever the fiber did before is forgotten. */
void sim_fiber_start(int fiber, void (*run)(void *), void *argument);

/* Goes on where the fiber gave way, or begins. Returns when it gives way or ends. */
void sim_fiber_resume(int fiber);

bool sim_fiber_has_ended(int fiber);

/* The one that runs; -1: none does. */
int sim_fiber_current(void);

void sim_fiber_give_way(void);

#endif
