/* Sums, and the table that is made of them. */
#include "report.h"

#include <inttypes.h>
#include <stddef.h>

/* Jobs take seeds in order, but not one after the other. */
static void add_seed(struct sim_finding *finding, uint64_t seed)
{
    for (int i = 0; i < SIM_SEEDS_SHOWN && seed > 0; i++)
        if (finding->seeds[i] == 0 || seed < finding->seeds[i]) {
            uint64_t next = finding->seeds[i];
            finding->seeds[i] = seed;
            seed = next;
        }
}

void sim_report_find(struct sim_report *report, enum sim_cause cause, uint64_t seed)
{
    struct sim_finding *finding = &report->findings[cause];
    finding->schedules = 1;
    finding->double_holders = report->double_holders;
    finding->with_double_holders = report->double_holders > 0;
    finding->refused_writes = report->refused_writes;
    finding->stale_writes = report->stale_writes;
    if (report->double_holders > 0)
        add_seed(finding, seed);
}

static void add_finding(struct sim_finding *total, const struct sim_finding *part)
{
    total->schedules += part->schedules;
    total->double_holders += part->double_holders;
    total->with_double_holders += part->with_double_holders;
    total->refused_writes += part->refused_writes;
    total->stale_writes += part->stale_writes;
    for (int i = 0; i < SIM_SEEDS_SHOWN; i++)
        add_seed(total, part->seeds[i]);
}

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
    for (int i = 0; i < SIM_CAUSES; i++)
        add_finding(&total->findings[i], &part->findings[i]);
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

static void print_total(const struct sim_report *report, double took, double worked)
{
    const struct {
        const char *name;
        uint64_t number;
    } rows[] = {
        {"schedules", report->schedules},
        {"events", report->events},
        {"asked", report->waits},
        {"granted", report->grants},
        {"of them passed on", report->passed_on},
        {"extended", report->extensions},
        {"lost", report->losses},
        {"released", report->releases},
        {"woken", report->wakes},
        {"writes", report->writes},
        {"of them refused", report->refused_writes},
        {"double holders", report->double_holders},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        printf("  %-22s %14" PRIu64 "\n", rows[i].name, rows[i].number);
    printf("  %-22s %14" PRIu64 "\n", "events, median", sim_report_median_events(report));
    printf("  %-22s %14.3f s\n", "longest wait, healed", (double)report->longest_wait_us / 1e6);
    printf("  %-22s", "schedules by nodes");
    for (int nodes = 1; nodes <= SIM_NODES_MAX; nodes++)
        printf(" %d: %" PRIu64, nodes, report->by_nodes[nodes]);
    printf("\n  %-22s %14.1f s by the clock, %.1f s of processors\n", "took", took, worked);
    printf("  %-22s %14.0f\n", "schedules/s and core", (double)report->schedules / worked);
    printf("  %-22s %14.3f us\n", "an event", worked * 1e6 / (double)report->events);
}

/* What came of assumptions that did not hold. */
static void print_findings(const struct sim_report *report)
{
    printf("\n  %-36s %10s %10s %10s %10s %10s  %s\n", "broken", "schedules", "with two",
           "two hold", "refused", "stale", "seeds with two holders");
    for (int cause = 0; cause < SIM_CAUSES; cause++) {
        const struct sim_finding *finding = &report->findings[cause];
        printf("  %-36s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " ",
               sim_cause_names[cause], finding->schedules, finding->with_double_holders,
               finding->double_holders, finding->refused_writes, finding->stale_writes);
        for (int i = 0; i < SIM_SEEDS_SHOWN && finding->seeds[i] > 0; i++)
            printf(" %" PRIu64, finding->seeds[i]);
        printf("\n");
    }
}

void sim_report_print(const struct sim_report *report, enum sim_profile profile, double took,
                      double worked)
{
    print_total(report, took, worked);
    printf("\n  %-44s %12s %12s\n", "fault", "struck", "schedules");
    for (int fault = 0; fault < SIM_FAULTS; fault++)
        if (report->by_fault[fault] > 0)
            printf("  %-44s %12" PRIu64 " %12" PRIu64 "\n", sim_fault_names[fault],
                   report->by_fault[fault], report->schedules_by_fault[fault]);
    if (profile == SIM_BROKEN)
        print_findings(report);
    printf("\n  %-16s %12s  %s\n", "invariant", "checked", "");
    for (int i = 0; i < SIM_INVARIANTS; i++)
        if (profile == SIM_SOUND || sim_invariants[i].holds_always)
            printf("  %-16s %12" PRIu64 "  %s\n", sim_invariants[i].name, report->checks[i],
                   sim_invariants[i].sentence);
}
