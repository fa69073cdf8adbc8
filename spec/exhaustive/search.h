/* Everything that can happen in a scene, in the order of how many steps it takes: so what breaks
 * an invariant is as short as can be. */
#ifndef EXHAUSTIVE_SEARCH_H
#define EXHAUSTIVE_SEARCH_H

#include <stdio.h>

#include "exhaustive/judge.h"

struct search_limits {
    uint32_t worlds; /* at most so many, or the search is not complete */
    uint32_t checks; /* worlds that were taken for another and are tried out nevertheless */
};

struct search_result {
    bool complete;
    enum invariant broken;
    uint32_t worlds;  /* that differ */
    uint64_t steps;   /* from one to another */
    uint64_t beyond;  /* that lead out of the scene */
    uint32_t depth;   /* steps to the furthest */
    uint32_t checked; /* and of them went on differently: */
    uint32_t differ;
};

/* Writes to out how the invariant that breaks comes to break, step by step. */
struct search_result search(const struct scene *scene, struct search_limits limits, FILE *out);

#endif
