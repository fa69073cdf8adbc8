/* What is going to happen, in the order of its moments; of one moment, in the order in which it was
 * planned. A binary heap. */
#ifndef SIM_EVENTS_H
#define SIM_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

enum sim_event_kind {
    SIM_REACHES_SERVER, /* the next bytes of a connection; subject: its number */
    SIM_REACHES_CLIENT,
    SIM_IS_NOTICED,   /* by the kernel's keepalive: nobody is at a connection's other end */
    SIM_FAULT_BEGINS, /* subject: its number in the plan */
    SIM_FAULT_ENDS,
    SIM_WRITE_ARRIVES, /* at the store; subject: the write's number */
    SIM_FOREIGN_ACTS,  /* subject: the foreign client */
    SIM_HEALS,
};

struct sim_event {
    int64_t at_us;
    uint32_t order; /* among those of one moment */
    uint16_t kind;
    uint16_t subject;
};

void sim_events_clear(void);
void sim_events_plan(int64_t at_us, enum sim_event_kind kind, unsigned subject);

/* INT64_MAX if there is none. */
int64_t sim_events_next(void);

/* There is one. */
struct sim_event sim_events_take(void);

#endif
