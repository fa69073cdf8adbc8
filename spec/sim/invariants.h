/* What must hold, by name. */
#ifndef SIM_INVARIANTS_H
#define SIM_INVARIANTS_H

#include <stdbool.h>

enum sim_invariant {
    SIM_ONE_HOLDER,
    SIM_BACKED,
    SIM_FENCE_RISES,
    SIM_FENCE_KEPT,
    SIM_TOKEN_FRESH,
    SIM_SOLE_EXTENSION,
    SIM_NOT_REVIVED,
    SIM_LOSS_TRUE,
    SIM_LOSS_ONCE,
    SIM_VERDICT_TRUE,
    SIM_RELEASED,
    SIM_AT_LEAST,
    SIM_KEPT,
    SIM_STAYS_RELEASED,
    SIM_NO_ORPHAN,
    SIM_LEASE_BOUNDED,
    SIM_RENEWED,
    SIM_RENEWAL_STOPS,
    SIM_FAIR_ORDER,
    SIM_LINE_ORDER,
    SIM_COHORT_BOUNDED,
    SIM_ONE_WOKEN,
    SIM_PROMPT,
    SIM_QUEUE_CLEAN,
    SIM_IN_TIME,
    SIM_PROGRESS,
    SIM_NO_SPIN,
    SIM_STORE_SAFE,
    SIM_FOREIGN_APART,
    SIM_NO_CRASH,
    SIM_INVARIANTS
};

struct sim_invariant_text {
    const char *name, *sentence;
    bool holds_always; /* also where what the library assumes does not hold */
};

extern const struct sim_invariant_text sim_invariants[SIM_INVARIANTS];

#endif
