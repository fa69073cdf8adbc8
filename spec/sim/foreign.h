/* Another library, with plain commands: it takes a lock node by node, holds it for a while, and
 * gives it back. And somebody who deletes keys. */
#ifndef SIM_FOREIGN_H
#define SIM_FOREIGN_H

#include <stdbool.h>

void sim_foreign_clear(void);

/* False if one is at it. */
bool sim_foreign_begin(void);

/* Its next step is due. */
void sim_foreign_act(void);

/* A lock's key is deleted on some of the nodes. */
bool sim_foreign_rob(void);

#endif
