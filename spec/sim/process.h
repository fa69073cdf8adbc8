/* Processes: their clocks, their threads, and how those wait. What the shipped sources ask the
 * operating system for ends here (replaced.h, system.c, stream.c). */
#ifndef SIM_PROCESS_H
#define SIM_PROCESS_H

#include "world.h"

void sim_processes_begin(void);

/* A thread of the process, which begins at once; its number, -1 if there are too many. */
int sim_thread_start(struct sim_process *process, void *(*run)(void *), void *argument);

/* What a thread waits for has come; in a moment it will notice. -1 is nobody. */
void sim_thread_wake(int thread);

/* The thread runs until it waits again. */
void sim_thread_run(int thread);

/* The next thread that is to run, and when; -1: none by itself. */
int sim_thread_next(int64_t *at_us);

/* The thread that runs waits so long by true time. */
void sim_thread_sleep(int64_t us);

/* The same, by a fault. */
void sim_thread_is_delayed(enum sim_fault fault, int64_t us);

/* Until its own clock shows that. */
void sim_thread_sleep_until(int64_t clock_us);

/* Until its descriptor is readable, or its own clock shows that. */
void sim_thread_wait(int fd, int64_t clock_us);

/* What the process's clock shows now. */
int64_t sim_clock_us(const struct sim_process *process);

/* So long in all has it, or a thread of it, been stopped until now. */
int64_t sim_process_stopped_us(const struct sim_process *process);

/* A thread of it is stopped where it was, by chance. */
bool sim_process_is_delayed(const struct sim_process *process);

/* It ends as by SIGKILL: the kernel closes its connections. */
void sim_process_kill(struct sim_process *process);

/* Its wall clock is set to something as wrong as the mix says. */
void sim_process_set_wall(struct sim_process *process);

/* Its threads have ended, and are forgotten. */
bool sim_process_has_threads(const struct sim_process *process);

#endif
