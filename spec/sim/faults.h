/* Faults that are planned: when each begins, whom it strikes, and when it ends. Those that come by
 * chance are where they strike. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

/* Plans what the mix says, and the healing. */
void sim_faults_begin(void);

void sim_fault_begins(unsigned number);
void sim_fault_ends(unsigned number);

/* All of them are over, and everybody is well. */
void sim_faults_heal(void);

#endif
