/* The store that the locks protect, and that keeps the highest fence of each: a write by a lower one
 * is refused. Writes take their time to arrive. */
#ifndef SIM_STORE_H
#define SIM_STORE_H

void sim_store_begin(void);

/* A write under the tenure's fence is on its way. */
void sim_store_send(int tenure);

void sim_store_arrive(int write);

#endif
