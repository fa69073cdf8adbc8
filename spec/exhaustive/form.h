/* Which worlds are the same for all that may still happen. */
#ifndef EXHAUSTIVE_FORM_H
#define EXHAUSTIVE_FORM_H

#include "exhaustive/world.h"

/* Equal for worlds that differ only in what nobody will look at any more, in the order of their
 * nodes, or in which client is which; but for a collision of 64 bits, different for all others. */
uint64_t world_form(const struct world *world);

#endif
