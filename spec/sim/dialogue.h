/* What goes over the wire, for people: each request with its arguments cut to what tells them apart,
 * each answer as what it means. */
#ifndef SIM_DIALOGUE_H
#define SIM_DIALOGUE_H

#include "network.h"

/* What the server has just read. */
void sim_dialogue_requests(struct sim_connection *connection);

/* What it has just answered, or told. */
void sim_dialogue_reply(const struct sim_connection *connection, const char *bytes, size_t len);

/* The next command, of this length, is answered by an error without having been read. */
void sim_dialogue_refusal(struct sim_connection *connection, size_t len, const char *error);

#endif
