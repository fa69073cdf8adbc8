/* Sums, and the table that is made of them. */
#include "report.h"

#include <inttypes.h>
#include <stddef.h>

void sim_report_add(struct sim_report *total, const struct sim_report *part)
{
    int64_t longest_us = total->longest_wait_us > part->longest_wait_us ? total->longest_wait_us
                                                                        : part->longest_wait_us;
    uint64_t *to = &total->schedules;
    const uint64_t *from = &part->schedules;
    size_t numbers = offsetof(struct sim_report, by_events) / sizeof(uint64_t);
    for (size_t i = 0; i < numbers; i++)
        to[i] += from[i];
    for (size_t i = 0; i < SIM_EVENTS_BUCKETS; i++)
        total->by_events[i] += part->by_events[i];
    total->digest ^= part->digest;
    total->longest_wait_us = longest_us;
}

uint64_t sim_report_median_events(const struct sim_report *report)
{
    uint64_t before = 0;
    for (size_t i = 0; i < SIM_EVENTS_BUCKETS; i++) {
        before += report->by_events[i];
        if (2 * before >= report->schedules)
            return i * SIM_EVENTS_BUCKET + SIM_EVENTS_BUCKET / 2;
    }
    return 0;
}

static void print_total(const struct sim_report *report, double seconds, int jobs)
{
    const struct {
        const char *name;
        uint64_t number;
    } rows[] = {
        {"schedules", report->schedules},
        {"events", report->events},
        {"asked", report->waits},
        {"granted", report->grants},
        {"extended", report->extensions},
        {"lost", report->losses},
        {"released", report->releases},
        {"woken", report->wakes},
        {"writes", report->writes},
        {"of them refused", report->refused_writes},
        {"double holders", report->double_holders},
        {"schedules with those", report->schedules_with_double_holders},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        printf("  %-22s %14" PRIu64 "\n", rows[i].name, rows[i].number);
    printf("  %-22s %14" PRIu64 "\n", "events, median", sim_report_median_events(report));
    printf("  %-22s %14.3f s\n", "longest wait, healed", (double)report->longest_wait_us / 1e6);
    printf("  %-22s", "schedules by nodes");
    for (int nodes = 1; nodes <= SIM_NODES_MAX; nodes++)
        printf(" %d: %" PRIu64, nodes, report->by_nodes[nodes]);
    printf("\n  %-22s %14.0f\n", "schedules/s and core",
           (double)report->schedules / (seconds * jobs));
    printf("  %-22s %14.0f ns\n", "an event", seconds * jobs * 1e9 / (double)report->events);
}

void sim_report_print(const struct sim_report *report, enum sim_profile profile, double seconds,
                      int jobs)
{
    print_total(report, seconds, jobs);
    printf("\n  %-44s %12s %12s\n", "fault", "struck", "schedules");
    for (int fault = 0; fault < SIM_FAULTS; fault++)
        if (report->by_fault[fault] > 0)
            printf("  %-44s %12" PRIu64 " %12" PRIu64 "\n", sim_fault_names[fault],
                   report->by_fault[fault], report->schedules_by_fault[fault]);
    printf("\n  %-16s %12s  %s\n", "invariant", "checked", "");
    for (int i = 0; i < SIM_INVARIANTS; i++)
        if (profile == SIM_SOUND || sim_invariants[i].holds_always)
            printf("  %-16s %12" PRIu64 "  %s\n", sim_invariants[i].name, report->checks[i],
                   sim_invariants[i].sentence);
}
