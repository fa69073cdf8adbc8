/* The table of what is judged. */
#include "invariants.h"

const struct sim_invariant_text sim_invariants[SIM_INVARIANTS] = {
    [SIM_ONE_HOLDER] = {"one holder", "two tenures of a lock are never believed in at once"},
    [SIM_BACKED] = {"backed", "while a tenure is believed in, its token stands on a majority, "
                              "and no shorter than its owner believes"},
    [SIM_FENCE_RISES] = {"fence rises", "each grant has a higher fence than every earlier one",
                         true},
    [SIM_FENCE_KEPT] = {"fence kept", "the fence that a node remembers never falls", true},
    [SIM_TOKEN_FRESH] = {"token fresh", "no token is used for a second attempt", true},
    [SIM_SOLE_EXTENSION] = {"sole extension", "what is extended has no newer owner"},
    [SIM_NOT_REVIVED] = {"not revived", "what a program saw lost it never sees held again"},
    [SIM_LOSS_TRUE] = {"loss true", "what is reported lost has run out, or stands on no majority"},
    [SIM_LOSS_ONCE] = {"loss once", "the end of what is watched is told exactly once", true},
    [SIM_VERDICT_TRUE] = {"verdict true", "a release says lost if the lease had run out, "
                                          "an extension that it is extended if it is held"},
    [SIM_RELEASED] = {"released", "after a release that was confirmed no majority bears its token"},
    [SIM_STAYS_RELEASED] = {"stays released", "a token that was taken off a node never comes back, "
                                              "but by a connection that was given up"},
    [SIM_NO_ORPHAN] = {"no orphan", "once all is well and all are done, no key bears a token, "
                                    "but by a connection that was given up"},
    [SIM_LEASE_BOUNDED] = {"lease bounded", "every token stands with a ttl, no longer than asked"},
    [SIM_RENEWAL_STOPS] = {"renewal stops", "nothing is renewed that was let go, lost, or held "
                                            "past max_hold"},
    [SIM_FAIR_ORDER] = {"fair order", "who comes later, and is fair, does not come before a waiter "
                                      "in the queue of a majority that nothing has befallen"},
    [SIM_LINE_ORDER] = {"line order",
                        "waiters of one client get a lock in the order in which they "
                        "asked",
                        true},
    [SIM_ONE_WOKEN] = {"one woken", "a command wakes one waiter at most", true},
    [SIM_PROMPT] = {"prompt", "where nothing goes wrong, who stands in queues has the lock moments "
                              "after its release"},
    [SIM_QUEUE_CLEAN] = {"queue clean", "queues and claims go away by themselves, within 30 s and "
                                        "1 s"},
    [SIM_IN_TIME] = {"in time", "every call ends within its wait and a few timeouts"},
    [SIM_PROGRESS] = {"progress", "once all is well everybody gets every lock, within the bound"},
    [SIM_NO_SPIN] = {"no spin", "no thread looks for ever without waiting", true},
    [SIM_STORE_SAFE] = {"store safe", "no write is taken behind one of a newer owner", true},
    [SIM_FOREIGN_APART] = {"foreign apart", "what another library holds is not acquired"},
    [SIM_NO_CRASH] = {"no crash", "no assertion fails, and nothing crashes", true},
};
