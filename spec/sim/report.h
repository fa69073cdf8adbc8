/* What schedules come to, counted: for one, and for many together. */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include <stdint.h>

#include "invariants.h"
#include "mix.h"

#define SIM_EVENTS_BUCKETS 4096
#define SIM_EVENTS_BUCKET 8 /* events */
#define SIM_SEEDS_SHOWN 3

/* Numbers that add up. */
struct sim_report {
    uint64_t schedules, events;
    uint64_t grants, passed_on, losses, releases, extensions, renewals, waits, wakes, writes,
        refused_writes;
    uint64_t double_holders, stale_writes;   /* that the store took */
    uint64_t by_fault[SIM_FAULTS];           /* how often it struck */
    uint64_t schedules_by_fault[SIM_FAULTS]; /* in how many */
    uint64_t checks[SIM_INVARIANTS];
    uint64_t by_nodes[SIM_NODES_MAX + 1];
    uint32_t by_events[SIM_EVENTS_BUCKETS]; /* schedules by their length; the last: or more */
    uint64_t digest;
    int64_t longest_wait_us; /* after the healing */
    struct sim_finding {
        uint64_t schedules, with_double_holders, double_holders, refused_writes, stale_writes;
        uint64_t seeds[SIM_SEEDS_SHOWN]; /* with double holders, the lowest; 0: none */
    } findings[SIM_CAUSES];
};

/* Of the schedule that runs. */
extern struct sim_report sim_count;

static inline void sim_count_fault(enum sim_fault fault)
{
    sim_count.by_fault[fault]++;
}

/* Notes what came of the schedule with this seed, which the report is of. */
void sim_report_find(struct sim_report *report, enum sim_cause cause, uint64_t seed);

void sim_report_add(struct sim_report *total, const struct sim_report *part);
uint64_t sim_report_median_events(const struct sim_report *report);

/* As a table: so many seconds of the clock did it take, and so many of processors. */
void sim_report_print(const struct sim_report *report, enum sim_profile profile, double took,
                      double worked);

#endif
