/* What a server does with a request: what the shipped scripts do. */
#ifndef EXHAUSTIVE_NODES_H
#define EXHAUSTIVE_NODES_H

#include "exhaustive/world.h"

/* Runs the request, and fills in its answer. */
void node_run(struct world *world, int node, struct message *message);

/* What has expired is gone. */
void node_tick(struct world *world, int node);

/* How many different calls of scripts there were so far. */
uint32_t node_calls(void);

#endif
