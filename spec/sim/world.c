/* One event after the other, or one thread, whichever is due first. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "faults.h"
#include "foreign.h"
#include "history.h"
#include "judge.h"
#include "memory.h"
#include "network.h"
#include "process.h"
#include "program.h"
#include "report.h"
#include "server.h"
#include "store.h"

#define EVENTS_MAX 60000  /* of a schedule: one that has more goes round in circles */
#define SETTLE_US 5000000 /* after everybody has ended: what is on its way arrives */

struct sim_world sim;
enum sim_plant sim_plant;
struct sim_report sim_count;

const char *sim_lock_name(int lock, size_t *len)
{
    static const char *const names[SIM_LOCKS_MAX] = {"order:1", "order:2", "stock"};
    if (len)
        *len = strlen(names[lock]);
    return names[lock];
}

void sim_disturb(enum sim_fault fault, int64_t until_us)
{
    sim_count_fault(fault);
    if (until_us > sim.disturbed_until_us)
        sim.disturbed_until_us = until_us;
}

/* ---- the beginning ---- */

static void begin_links(void)
{
    for (int process = 0; process < sim.mix.processes; process++)
        for (int node = 0; node < sim.mix.nodes; node++)
            sim.links[process][node] =
                (struct sim_link){.latency_us = sim_below(sim.mix.latency_us) + 10};
}

static void begin_settings(void)
{
    static struct rlk_endpoint endpoints[SIM_NODES_MAX];
    sim.settings.endpoints = endpoints;
    sim.settings.nodes = sim.mix.nodes;
    sim.settings.timeout_ms = sim.mix.timeout_ms;
    sim.settings.drift_factor = 0.01;
    sim.settings.restart_guard_ms = sim.mix.guard_ms;
    /* "auto" knows the leases of its own client alone. */
    if (sim.mix.guard_ms > 0 && !sim.mix.mixed_ttls && !sim.mix.any_at_least)
        sim.settings.restart_guard_ms = RLK_GUARD_AUTO;
    for (int node = 0; node < sim.mix.nodes; node++) {
        struct rlk_endpoint *endpoint = &endpoints[node];
        endpoint->port = node;
        snprintf(endpoint->name, sizeof endpoint->name, "node%d", node + 1);
    }
    snprintf(sim.settings.client_name, sizeof sim.settings.client_name, "redlock");
}

static void begin(uint64_t seed, enum sim_profile profile)
{
    sim_memory_end_schedule();
    sim_network_clear();
    sim_events_clear();
    sim_foreign_clear();
    sim_history_begin();
    memset(&sim_count, 0, sizeof sim_count);
    sim.seed = seed;
    sim.profile = profile;
    sim.random.state = seed * UINT64_C(0xD1342543DE82EF95) + (uint64_t)profile;
    sim.now_us = 0;
    sim.events = sim.digest = 0;
    sim.has_healed = sim.is_over = false;
    sim.healed_us = 0;
    sim.disturbed_until_us = -1;
    sim_mix_draw(&sim.mix, profile, &sim.random);
    if (sim_plant == SIM_PLANT_CLOCKS)
        sim.mix.node_ppm = 100000;
    begin_settings();
    begin_links();
    sim_servers_begin();
    sim_processes_begin();
    sim_store_begin();
    sim_judge_begin();
    sim_faults_begin();
    for (int i = 0; i < sim.mix.processes; i++)
        sim_program_start(&sim.processes[i]);
}

/* ---- what happens ---- */

static void happen(struct sim_event event)
{
    switch ((enum sim_event_kind)event.kind) {
    case SIM_REACHES_SERVER:
        sim_network_arrive(event.subject, SIM_TO_SERVER);
        break;
    case SIM_REACHES_CLIENT:
        sim_network_arrive(event.subject, SIM_TO_CLIENT);
        break;
    case SIM_IS_NOTICED:
        sim_network_notice(event.subject);
        break;
    case SIM_FAULT_BEGINS:
        sim_fault_begins(event.subject);
        break;
    case SIM_FAULT_ENDS:
        sim_fault_ends(event.subject);
        break;
    case SIM_WRITE_ARRIVES:
        sim_store_arrive(event.subject);
        break;
    case SIM_FOREIGN_ACTS:
        sim_foreign_act();
        break;
    case SIM_HEALS:
        if (sim_plant == SIM_PLANT_CRASH)
            abort();
        sim_faults_heal();
        break;
    }
}

static void digest(uint64_t what)
{
    sim.digest = (sim.digest ^ what ^ (uint64_t)sim.now_us) * UINT64_C(0x9E3779B97F4A7C15);
    sim.digest ^= sim.digest >> 29;
}

/* False if nothing is left to happen until then. */
static bool step(int64_t until_us)
{
    int64_t thread_us, event_us = sim_events_next();
    int thread = sim_thread_next(&thread_us);
    int64_t next_us = thread_us < event_us ? thread_us : event_us;
    if (next_us > until_us || next_us == SIM_NEVER)
        return false;
    if (next_us > sim.now_us)
        sim.now_us = next_us;
    sim.events++;
    if (thread_us < event_us) {
        digest((uint64_t)thread);
        sim_thread_run(thread);
    } else {
        struct sim_event event = sim_events_take();
        digest((uint64_t)event.kind << 16 | event.subject);
        happen(event);
    }
    return true;
}

static bool are_done(void)
{
    for (int i = 0; i < sim.mix.processes; i++)
        if (sim.processes[i].is_alive && !sim.processes[i].is_done)
            return false;
    return true;
}

/* ---- the end ---- */

static void judge_end(void)
{
    bool are_all_done = are_done();
    if (!are_all_done)
        sim_judge_check(SIM_PROGRESS, false, "after %llu events not all have ended",
                        (unsigned long long)sim.events);
    if (are_all_done || sim.profile == SIM_SOUND)
        sim_judge_end();
}

static void count_schedule(void)
{
    uint64_t bucket = sim.events / SIM_EVENTS_BUCKET;
    sim_count.schedules = 1;
    sim_count.events = sim.events;
    sim_count.by_nodes[sim.mix.nodes] = 1;
    sim_count.by_events[bucket < SIM_EVENTS_BUCKETS ? bucket : SIM_EVENTS_BUCKETS - 1] = 1;
    sim_report_find(&sim_count, sim.mix.cause, sim.seed);
    sim_count.digest = sim.digest * (sim.seed | 1);
    for (int fault = 0; fault < SIM_FAULTS; fault++)
        sim_count.schedules_by_fault[fault] = sim_count.by_fault[fault] > 0;
}

/* What is left of a schedule that ended too early. */
static void clear_away(void)
{
    for (int i = 0; i < sim.mix.processes; i++)
        if (sim.mix.is_loop[i] && sim.processes[i].is_alive && !sim.processes[i].is_done)
            sim_loop_die(&sim.processes[i]);
}

void sim_world_run(uint64_t seed, enum sim_profile profile)
{
    begin(seed, profile);
    int64_t limit_us = sim.mix.faults_us + 60 * 60 * INT64_C(1000000);
    while (!sim.is_over && !are_done() && sim.events < EVENTS_MAX)
        if (!step(limit_us))
            break;
    int64_t settled_us = sim.now_us + SETTLE_US;
    while (!sim.is_over && sim.events < EVENTS_MAX && step(settled_us))
        continue;
    if (!sim.is_over)
        judge_end();
    clear_away();
    count_schedule();
}
