/* Worlds and what happens in them, for people. */
#ifndef EXHAUSTIVE_TELL_H
#define EXHAUSTIVE_TELL_H

#include <stdio.h>

#include "exhaustive/world.h"

/* A line without its end; from the worlds before and after. */
void tell_action(const struct world *before, const struct world *after, struct action action,
                 char *text, size_t size);

/* How things stand, in a few lines. */
void tell_world(const struct world *world, FILE *out);

#endif
