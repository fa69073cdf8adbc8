/* Each fault is drawn with its victim when it begins, since who is there to be struck depends on
 * what happened before. */
#include "faults.h"

#include "events.h"
#include "foreign.h"
#include "history.h"
#include "judge.h"
#include "memory.h"
#include "process.h"
#include "program.h"
#include "report.h"
#include "server.h"

struct planned {
    enum sim_fault fault;
    int process, node;
    int64_t until_us;
    bool has_begun;
};

static struct planned *plan;
static size_t capacity, count;

/* As long as it may be guarded after a restart. */
static int64_t guard_window_us(void)
{
    return 1010 * sim.mix.guard_ms + 3000000;
}

void sim_faults_begin(void)
{
    count = 0;
    if (sim.mix.young)
        sim.disturbed_until_us = guard_window_us(); /* they come of age one after the other */
    for (int fault = SIM_RESET; fault <= SIM_ROB; fault++)
        for (int i = 0; i < sim.mix.counts[fault]; i++) {
            plan = sim_memory_grow(plan, &capacity, count + 1, sizeof *plan);
            plan[count] = (struct planned){.fault = (enum sim_fault)fault};
            sim_events_plan(sim_below(sim.mix.faults_us), SIM_FAULT_BEGINS, (unsigned)count++);
        }
    for (int i = 0; i < sim.mix.counts[SIM_STEP]; i++) {
        plan = sim_memory_grow(plan, &capacity, count + 1, sizeof *plan);
        plan[count] = (struct planned){.fault = SIM_STEP};
        sim_events_plan(sim_below(sim.mix.faults_us), SIM_FAULT_BEGINS, (unsigned)count++);
    }
    sim_events_plan(sim.mix.faults_us, SIM_HEALS, 0);
}

/* ---- whom, and for how long ---- */

/* Of any length, from a millisecond to some leases: each doubling is as likely. */
static int64_t draw_duration_us(void)
{
    int64_t longest_us = 3000 * sim.mix.ttl_ms, us = 1000;
    int doublings = 0;
    while (us << doublings < longest_us)
        doublings++;
    us <<= sim_below(doublings + 1);
    return us / 2 + sim_below(us);
}

static struct sim_process *draw_process(void)
{
    int alive = 0;
    struct sim_process *drawn = NULL;
    for (int i = 0; i < sim.mix.processes; i++)
        if (sim.processes[i].is_alive && !sim.processes[i].is_done && sim_below(++alive) == 0)
            drawn = &sim.processes[i];
    return drawn;
}

/* Of its duration; what is over when all is healed lasts no longer. */
static void plan_end(struct planned *planned)
{
    int64_t end_us = sim.now_us + draw_duration_us();
    planned->until_us = end_us < sim.mix.faults_us ? end_us : sim.mix.faults_us;
    sim_lasts_until(&sim.disturbed_until_us, planned->until_us);
    sim_events_plan(planned->until_us, SIM_FAULT_ENDS, (unsigned)(planned - plan));
}

/* ---- links ---- */

static bool block(struct planned *planned)
{
    struct sim_process *process = draw_process();
    if (!process)
        return false;
    planned->process = sim_number_of(process);
    struct sim_link *link = &sim.links[planned->process][planned->node];
    plan_end(planned);
    if (planned->fault != SIM_MUTE)
        sim_lasts_until(&link->blocked_until_us[SIM_TO_SERVER], planned->until_us);
    if (planned->fault != SIM_DEAF)
        sim_lasts_until(&link->blocked_until_us[SIM_TO_CLIENT], planned->until_us);
    sim_lasts_until(&link->troubled_until_us, planned->until_us);
    sim_history_add("network", "%s and node %d: %s for %lld ms", sim_process_name(planned->process),
                    planned->node + 1,
                    planned->fault == SIM_PARTITION ? "nothing passes"
                    : planned->fault == SIM_DEAF    ? "no requests pass"
                                                    : "no replies pass",
                    (long long)(planned->until_us - sim.now_us) / 1000);
    return true;
}

/* ---- servers ---- */

/* Others that are down, or so young that a restart of this one too would look like a new set. */
static int count_young_others(int node)
{
    int young = 0;
    int64_t window_us = guard_window_us();
    for (int i = 0; i < sim.mix.nodes; i++)
        young += i != node &&
                 (!sim.nodes[i].is_up || sim.nodes[i].restarted_us > sim.now_us - window_us);
    return young;
}

/* The guard is for a minority. */
static bool may_restart(int node)
{
    if (sim.profile == SIM_BROKEN || sim.mix.counts[SIM_AMNESIA] == 0)
        return true;
    return count_young_others(node) + 1 < sim.mix.nodes / 2 + 1 && sim.mix.nodes > 1;
}

static void trouble(const struct planned *planned)
{
    sim_lasts_until(&sim.nodes[planned->node].troubled_until_us, planned->until_us);
}

static bool crash(struct planned *planned)
{
    struct sim_node *node = &sim.nodes[planned->node];
    if (!node->is_up || !may_restart(planned->node))
        return false;
    bool is_silent = sim_below(3) == 0;
    plan_end(planned);
    if (is_silent)
        sim.disturbed_until_us = SIM_NEVER; /* an inbox hears nothing any more, and does not know */
    trouble(planned);
    sim_server_crash(planned->node, is_silent);
    sim_history_add("world", "node %d crashes%s for %lld ms, and %s its data", planned->node + 1,
                    is_silent ? " with its machine" : "",
                    (long long)(planned->until_us - sim.now_us) / 1000,
                    planned->fault == SIM_CRASH ? "keeps" : "loses");
    return true;
}

static void end_crash(const struct planned *planned)
{
    if (sim.nodes[planned->node].is_up)
        return;
    sim_server_restart(planned->node, planned->fault == SIM_CRASH);
    sim_lasts_until(&sim.disturbed_until_us, sim.now_us + guard_window_us());
    sim_history_add("world", "node %d is back", planned->node + 1);
}

static bool hang(struct planned *planned)
{
    if (!sim.nodes[planned->node].is_up || sim.nodes[planned->node].is_hung)
        return false;
    plan_end(planned);
    trouble(planned);
    sim_server_hang(planned->node);
    sim_history_add("world", "node %d is stopped for %lld ms", planned->node + 1,
                    (long long)(planned->until_us - sim.now_us) / 1000);
    return true;
}

static void end_hang(const struct planned *planned)
{
    if (!sim.nodes[planned->node].is_hung)
        return;
    sim_history_add("world", "node %d goes on", planned->node + 1);
    sim_server_resume(planned->node);
}

static bool refuse(struct planned *planned)
{
    static const char *const refusals[] = {
        "-BUSY Redis is busy running a script.\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        "-READONLY You can't write against a read only replica.\r\n",
        "-MISCONF Redis is configured to save RDB snapshots, but cannot persist on disk.\r\n",
        "-NOREPLICAS Not enough good replicas to write.\r\n",
        "-ERR what nobody has heard of before\r\n",
    };
    struct sim_node *node = &sim.nodes[planned->node];
    if (node->refusal)
        return false;
    plan_end(planned);
    trouble(planned);
    node->refusal = refusals[sim_below(sizeof refusals / sizeof *refusals)];
    sim_history_add("world", "node %d refuses for %lld ms: %.40s", planned->node + 1,
                    (long long)(planned->until_us - sim.now_us) / 1000, node->refusal + 1);
    return true;
}

static bool flush(const struct planned *planned)
{
    sim_server_flush_scripts(planned->node);
    sim_history_add("world", "node %d forgets its scripts", planned->node + 1);
    return true;
}

/* ---- processes ---- */

static bool kill_one(void)
{
    struct sim_process *process = draw_process();
    if (!process)
        return false;
    sim_history_process(process, "is killed");
    sim_judge_process(process);
    sim_judge_died(process);
    sim_process_kill(process);
    if (sim.mix.is_loop[sim_number_of(process)])
        sim_loop_die(process);
    return true;
}

static bool pause_one(void)
{
    struct sim_process *process = draw_process();
    if (!process)
        return false;
    int64_t us = draw_duration_us();
    sim_lasts_until(&process->paused_until_us, sim.now_us + us);
    sim_lasts_until(&sim.disturbed_until_us, sim.now_us + us);
    process->stopped_us += us;
    sim_history_process(process, "is stopped for %lld ms", (long long)us / 1000);
    return true;
}

static bool starve_one(void)
{
    int64_t us = draw_duration_us();
    if (sim.thread_count == 0)
        return false;
    int number = (int)sim_below(sim.thread_count);
    struct sim_thread *thread = &sim.threads[number];
    if (!thread->is_running)
        return false;
    sim_lasts_until(&thread->starved_until_us, sim.now_us + us);
    sim_lasts_until(&sim.disturbed_until_us, sim.now_us + us);
    thread->process->stopped_us += us;
    sim_history_process(thread->process, "thread %d does not run for %lld ms", number,
                        (long long)us / 1000);
    return true;
}

static bool step_wall(void)
{
    struct sim_process *process = draw_process();
    if (!process)
        return false;
    int64_t before_us = process->wall_us;
    sim_process_set_wall(process);
    sim_history_process(process, "has its wall clock set by %lld ms",
                        (long long)(process->wall_us - before_us) / 1000);
    return true;
}

/* A clock that must not be set: a server's, or the one that counts from the start of a machine. */
static bool step_clock(void)
{
    int64_t us = sim_between(-2000, 2000) * sim.mix.ttl_ms;
    struct sim_process *process = draw_process();
    int node = (int)sim_below(sim.mix.nodes);
    if (sim_below(2) == 0 || !process) {
        sim_clock_step(&sim.nodes[node].clock, sim.now_us, us);
        sim_history_add("world", "node %d has its clock set by %lld ms", node + 1,
                        (long long)us / 1000);
    } else {
        sim_clock_step(&process->clock, sim.now_us, us);
        sim_judge_clock(process);
        sim_history_process(process, "has its clock set by %lld ms", (long long)us / 1000);
    }
    return true;
}

/* ---- beginning and end ---- */

static bool strike(struct planned *planned)
{
    planned->node = (int)sim_below(sim.mix.nodes);
    switch (planned->fault) {
    case SIM_RESET:
        return sim_network_break_one();
    case SIM_PARTITION:
    case SIM_DEAF:
    case SIM_MUTE:
        return block(planned);
    case SIM_HANG:
        return hang(planned);
    case SIM_CRASH:
    case SIM_AMNESIA:
        return crash(planned);
    case SIM_FLUSH:
        return flush(planned);
    case SIM_BUSY:
        return refuse(planned);
    case SIM_KILL:
        return kill_one();
    case SIM_PAUSE:
        return pause_one();
    case SIM_STARVE:
        return starve_one();
    case SIM_WALL_STEP:
        return step_wall();
    case SIM_TAKE:
        return sim_foreign_begin();
    case SIM_ROB:
        return sim_foreign_rob();
    case SIM_STEP:
        return step_clock();
    default:
        return false;
    }
}

void sim_fault_begins(unsigned number)
{
    if (sim.has_healed || !strike(&plan[number]))
        return;
    plan[number].has_begun = true;
    sim_lasts_until(&sim.disturbed_until_us, sim.now_us);
    sim_count_fault(plan[number].fault);
}

void sim_fault_ends(unsigned number)
{
    struct planned *planned = &plan[number];
    if (!planned->has_begun)
        return;
    planned->has_begun = false;
    if (planned->fault == SIM_HANG)
        end_hang(planned);
    else if (planned->fault == SIM_CRASH || planned->fault == SIM_AMNESIA)
        end_crash(planned);
    else if (planned->fault == SIM_BUSY)
        sim.nodes[planned->node].refusal = NULL;
}

static void wake_stopped(void)
{
    for (int i = 0; i < sim.mix.processes; i++)
        if (sim.processes[i].paused_until_us > sim.now_us)
            sim.processes[i].paused_until_us = sim.now_us;
    for (int i = 0; i < sim.thread_count; i++) {
        sim.threads[i].starved_until_us = 0;
        if (sim.threads[i].is_running && sim.threads[i].is_held_up)
            sim.wake_at_us[i] = sim.now_us;
    }
}

void sim_faults_heal(void)
{
    sim.has_healed = true;
    sim.healed_us = sim.now_us;
    sim_history_add("world", "all is well from now on");
    for (size_t i = 0; i < count; i++)
        sim_fault_ends((unsigned)i);
    sim_network_heal();
    wake_stopped();
}
