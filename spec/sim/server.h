/* Servers: what reaches them, what they answer, and what happens to them. What they do with a
 * command is in redis.h. */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "network.h"

void sim_servers_begin(void);

void sim_server_receive(struct sim_connection *connection, const struct sim_segment *segment);

/* It is stopped, and goes on: then what has arrived is read. */
void sim_server_hang(int node);
void sim_server_resume(int node);

/* Its process ends; nobody says so if it is silent. */
void sim_server_crash(int node, bool is_silent);
void sim_server_restart(int node, bool keeps_data);

void sim_server_flush_scripts(int node);

int64_t sim_server_clock_ms(const struct sim_node *node);

#endif
