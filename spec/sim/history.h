/* The history of a schedule, for people: a line for everything that happened. Nothing is written, or
 * even looked at, unless somebody wants to read it. */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "network.h"

extern bool sim_history_is_kept;

void sim_history_begin(void);

/* Who: "script 1", "node 2", "world". */
#define sim_history_add(who, ...) \
    (sim_history_is_kept ? sim_history_line(who, __VA_ARGS__) : (void)0)

void sim_history_line(const char *who, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* All lines, or the last so many. */
void sim_history_print(FILE *out, int last);

const char *sim_process_name(int process);
const char *sim_node_name(int node);

/* ---- what is worth a line ---- */

void sim_history_network(const char *what, int number, const struct sim_connection *connection);

#define sim_history_process(process, ...) \
    sim_history_add(sim_process_name(sim_number_of(process)), __VA_ARGS__)
void sim_history_write(int tenure, bool is_taken);

#endif
