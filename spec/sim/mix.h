/* The mix of a schedule: who takes part, how far off their clocks are, and what goes wrong how
 * often. Drawn from the seed. */
#ifndef SIM_MIX_H
#define SIM_MIX_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "random.h"

#define SIM_NODES_MAX 5
#define SIM_PROCESSES_MAX 6
#define SIM_LOCKS_MAX 3
#define SIM_TASKS_MAX 5

/* What may go wrong. Each is counted where it happens. */
enum sim_fault {
    /* by chance, whenever something is sent or dialed */
    SIM_SLOW,        /* bytes take long */
    SIM_SPLIT,       /* bytes arrive in pieces */
    SIM_STALL,       /* a connection stands still for a while, one way */
    SIM_CUT_REQUEST, /* a connection dies, in the middle of what goes to the server */
    SIM_CUT_REPLY,   /* or to the client */
    SIM_HALF_OPEN,   /* and one end is not told */
    SIM_REFUSE,      /* a dial is refused */
    SIM_DIAL_HANGS,  /* or gets no answer */
    SIM_PREEMPT,     /* a thread is stopped between the look at the clock and the deed */
    SIM_LATE,        /* what a connection brings is run after its client gave it up */
    SIM_CONTEND,     /* another thread is faster at a mutex */

    /* planned: the first moment of each is drawn with the mix */
    SIM_RESET,     /* an open connection is reset */
    SIM_PARTITION, /* a process and a node do not reach each other */
    SIM_DEAF,      /* what the process sends does not arrive; replies do */
    SIM_MUTE,      /* what the node sends does not arrive; requests do */
    SIM_HANG,      /* a server is stopped */
    SIM_CRASH,     /* it ends, and comes back with its data */
    SIM_AMNESIA,   /* or without */
    SIM_FLUSH,     /* it forgets the scripts */
    SIM_BUSY,      /* it answers that it is busy, loading, full or a replica */
    SIM_KILL,      /* a process ends */
    SIM_PAUSE,     /* it is stopped */
    SIM_STARVE,    /* one of its threads is */
    SIM_WALL_STEP, /* its wall clock is set */
    SIM_TAKE,      /* another library takes a lock */
    SIM_ROB,       /* somebody deletes a lock's key */

    /* what programs do */
    SIM_FORGET,       /* a lock is let go without waiting */
    SIM_ABANDON,      /* a wait is given up */
    SIM_REQUEST_ENDS, /* what a wait or a lock is bound to ends */
    SIM_CLOSE,        /* the client is closed with things under way */

    /* outside of what the library promises */
    SIM_STEP,   /* a clock that must not be set is set */
    SIM_DAWDLE, /* a process is stopped between the look at the lock and the write */

    SIM_FAULTS
};

/* Which assumption of the library does not hold. */
enum sim_cause {
    SIM_NOTHING, /* all of them do; but processes may be stopped before they write */
    SIM_RATES,   /* clocks run further apart than drift_factor */
    SIM_STEPS,   /* clocks are set: a server's, or the one that counts from the start */
    SIM_RATES_AND_STEPS,
    SIM_FORGETTING,        /* servers lose their data, and there is no guard */
    SIM_FORGETTING_FENCES, /* and wall clocks are wrong, so that even fences may fall */
    SIM_CAUSES
};

extern const char *const sim_cause_names[SIM_CAUSES];

extern const char *const sim_fault_names[SIM_FAULTS];

enum sim_profile { SIM_SOUND, SIM_BROKEN, SIM_PROFILES };

struct sim_mix {
    int nodes, processes, locks;
    bool is_loop[SIM_PROCESSES_MAX]; /* the shape of a process; else a script */
    int tasks[SIM_PROCESSES_MAX];    /* of an event loop */
    int rounds;                      /* of each program or task, before it heals */
    int64_t in_step_us;              /* tasks move at multiples of it; 0: when they please */
    int64_t faults_us;               /* so long do things go wrong */
    int64_t timeout_ms, ttl_ms, guard_ms;
    int64_t latency_us, jitter_us;
    int64_t client_ppm, node_ppm; /* clocks run so far off, to either side */
    int64_t wall_us;              /* and wall clocks are so far off */
    enum sim_cause cause;
    bool all_fair, any_fair, mixed_ttls, young, eager_waits, any_at_least, any_cohort,
        any_haste; /* in a cohort: owners let go while an extension is under way, or by calls that block */
    int renew_percent, bound_percent;
    uint32_t rates[SIM_FAULTS]; /* by chance: in a million */
    int counts[SIM_FAULTS];     /* planned: how many */
};

void sim_mix_draw(struct sim_mix *mix, enum sim_profile profile, struct sim_random *random);
void sim_mix_print(const struct sim_mix *mix, FILE *out);

#endif
