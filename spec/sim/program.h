/* Programs: what processes use the library for. A script has one lock at a time, by calls that
 * wait; an event loop has several tasks at once, by operations. Both stay on the shipped
 * io/client.h, and tell the judge what they ask and what they get. */
#ifndef SIM_PROGRAM_H
#define SIM_PROGRAM_H

#include "io/client.h"
#include "judge.h"
#include "world.h"

void sim_program_start(struct sim_process *process);

/* On its thread, at its very end. */
void sim_program_ends(struct sim_process *process);

/* ---- for both shapes ---- */

struct rlk_client *sim_program_client(void);
struct rlk_key sim_program_key(int lock);

/* What is drawn for an acquire. */
struct rlk_terms sim_program_terms(void);

/* What everybody asks for once nothing goes wrong any more. */
struct rlk_terms sim_program_last_terms(void);

/* So long does a holder hold, or a waiter wait, before it does something else, in microseconds. */
int64_t sim_program_pause_us(void);

/* What a holder writes to the store, if it believes in its lock. */
void sim_program_write(int tenure, struct rlk_holding *holding);

/* ---- the shapes, on their threads ---- */

void *sim_script_run(void *process);
void *sim_loop_run(void *process);

/* The process was killed. */
void sim_loop_die(struct sim_process *process);

#endif
