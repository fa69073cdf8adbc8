/* What must hold, whatever happens. What does not is remembered until it is asked for. */
#ifndef EXHAUSTIVE_JUDGE_H
#define EXHAUSTIVE_JUDGE_H

#include "exhaustive/world.h"

const char *invariant_name(enum invariant invariant);

/* The worst that broke since it was asked last. */
enum invariant judge_verdict(void);

void judge_note(enum invariant broken);

/* After each input to a client's machine, with what it was before. */
void judge_input(const struct world *world, int client, const struct rlk_lock *before);

/* A client asks a node. */
void judge_request(const struct world *world, int client, int node,
                   const struct rlk_request *request);

/* A node has run a request. */
void judge_run(const struct world *world, int node, const struct node *before,
               const struct message *message);

/* At rest between two actions. */
void judge_world(const struct world *world);

#endif
