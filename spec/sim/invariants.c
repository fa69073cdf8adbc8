/* The table of what is judged. */
#include "invariants.h"

const struct sim_invariant_text sim_invariants[SIM_INVARIANTS] = {
    [SIM_ONE_HOLDER] = {.name = "one holder",
                        .sentence = "two tenures of a lock are never believed in at once"},
    [SIM_BACKED] = {.name = "backed",
                    .sentence = "while a tenure is believed in, its token stands on a majority, "
                                "and no shorter than its owner believes"},
    [SIM_FENCE_RISES] = {.name = "fence rises",
                         .sentence = "each grant has a higher fence than every earlier one",
                         .holds_always = true},
    [SIM_FENCE_KEPT] = {.name = "fence kept",
                        .sentence = "the fence that a node remembers never falls",
                        .holds_always = true},
    [SIM_TOKEN_FRESH] = {.name = "token fresh",
                         .sentence = "no token is used for a second attempt",
                         .holds_always = true},
    [SIM_SOLE_EXTENSION] = {.name = "sole extension",
                            .sentence = "what is extended has no newer owner"},
    [SIM_NOT_REVIVED] = {.name = "not revived",
                         .sentence = "what a program saw lost it never sees held again"},
    [SIM_LOSS_TRUE] = {.name = "loss true",
                       .sentence = "what is reported lost has run out, or stands on no majority"},
    [SIM_LOSS_ONCE] = {.name = "loss once",
                       .sentence = "the end of what is watched is told exactly once",
                       .holds_always = true},
    [SIM_VERDICT_TRUE] = {.name = "verdict true",
                          .sentence =
                              "what is acquired, extended or called held is held; a release says "
                              "lost if the lease had run out; unavailable is told if nodes were"},
    [SIM_RELEASED] = {.name = "released",
                      .sentence = "after a release that was confirmed no majority bears its token"},
    [SIM_AT_LEAST] = {.name = "at least",
                      .sentence = "nobody is granted a lock before the time that its last owner "
                                  "asked for, though that one has released it, or is dead"},
    [SIM_KEPT] = {.name = "kept",
                  .sentence = "what is released before that time stands no longer than until then, "
                              "by the node's clock and from when it is told"},
    [SIM_STAYS_RELEASED] = {.name = "stays released",
                            .sentence =
                                "a token that was taken off a node never comes back, but by a "
                                "connection that was given up"},
    [SIM_NO_ORPHAN] = {.name = "no orphan",
                       .sentence =
                           "once all is well and all are done, no key bears a token, but by a "
                           "connection that was given up"},
    [SIM_LEASE_BOUNDED] = {.name = "lease bounded",
                           .sentence = "every token stands with a ttl, no longer than asked, also "
                                       "by who received it"},
    [SIM_RENEWED] = {.name = "renewed",
                     .sentence = "where nothing goes wrong, what the watchdog renews is not lost"},
    [SIM_RENEWAL_STOPS] = {.name = "renewal stops",
                           .sentence =
                               "nothing is renewed that was let go, lost, or held past max_hold"},
    [SIM_FAIR_ORDER] = {.name = "fair order",
                        .sentence =
                            "who comes later, and is fair or follows a release of its own "
                            "process, does not come before a waiter in the queue of a majority "
                            "that nothing has befallen"},
    [SIM_LINE_ORDER] = {.name = "line order",
                        .sentence =
                            "waiters of one client get a lock in the order in which they asked",
                        .holds_always = true},
    [SIM_COHORT_BOUNDED] = {.name = "cohort bounded",
                            .sentence = "a lease is passed on within one client alone, for 100 ms, "
                                        "and to those who wanted as long a one",
                            .holds_always = true},
    [SIM_ONE_WOKEN] = {.name = "one woken",
                       .sentence = "a command wakes one waiter at most",
                       .holds_always = true},
    [SIM_PROMPT] = {.name = "prompt",
                    .sentence = "where nothing goes wrong, who waits soon stands in queues, and "
                                "has the lock moments after its release, or its end"},
    [SIM_QUEUE_CLEAN] = {.name = "queue clean",
                         .sentence =
                             "queues and claims go away by themselves, within 30 s and 1 s"},
    [SIM_IN_TIME] = {.name = "in time",
                     .sentence = "every call ends within its wait and a few timeouts"},
    [SIM_PROGRESS] = {.name = "progress",
                      .sentence = "once all is well everybody gets every lock, within the bound"},
    [SIM_NO_SPIN] = {.name = "no spin",
                     .sentence = "no thread looks for ever without waiting",
                     .holds_always = true},
    [SIM_STORE_SAFE] = {.name = "store safe",
                        .sentence = "no write is taken behind one of a newer owner",
                        .holds_always = true},
    [SIM_FOREIGN_APART] = {.name = "foreign apart",
                           .sentence = "what another library holds is not acquired"},
    [SIM_NO_CRASH] = {.name = "no crash",
                      .sentence = "no assertion fails, and nothing crashes",
                      .holds_always = true},
};
