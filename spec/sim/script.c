/* A script: one call after the other, each of which waits. The watchdog is the engine's thread. */
#include <stddef.h>

#include "history.h"
#include "process.h"
#include "program.h"
#include "report.h"

struct script {
    struct sim_process *process;
    struct rlk_client *client;
    struct rlk_holding *holding;
    int wait, tenure;
};

static void rest(const struct script *script, int64_t us)
{
    sim_thread_sleep_until(sim_clock_us(script->process) + us);
}

/* False if it was not had. */
static bool acquire(struct script *script, int lock, struct rlk_terms terms)
{
    script->wait = sim_judge_asks(script->process, lock, &terms);
    enum rlk_outcome outcome =
        rlk_client_acquire(script->client, sim_program_key(lock), &terms, &script->holding);
    sim_judge_answered(script->wait, outcome, script->holding);
    if (outcome != RLK_ACQUIRED)
        return false;
    script->tenure = sim_judge_granted(script->wait, script->holding);
    return true;
}

static void extend(struct script *script)
{
    int64_t ttl_ms = sim.mix.ttl_ms / 2 + sim_below(sim.mix.ttl_ms / 2) + 1;
    sim_judge_extends(script->tenure, ttl_ms);
    enum rlk_outcome outcome = rlk_client_extend(script->client, script->holding, ttl_ms);
    sim_judge_extended(script->tenure, outcome);
}

static void forget(struct script *script)
{
    sim_judge_forgets(script->tenure);
    rlk_client_forget(script->client, script->holding);
    sim_judge_has_forgotten(script->tenure);
    script->holding = NULL;
}

/* Most wait for it; some let go, as a collector does. */
static void release(struct script *script)
{
    if (sim_strikes(SIM_FORGET)) {
        sim_count_fault(SIM_FORGET);
        sim_judge_drops(script->tenure);
        forget(script);
        return;
    }
    sim_judge_releases(script->tenure, false);
    enum rlk_outcome outcome = rlk_client_release(script->client, script->holding);
    sim_judge_released(script->tenure, outcome);
    forget(script);
}

static void hold(struct script *script)
{
    for (int64_t steps = sim_below(3); steps >= 0; steps--) {
        sim_program_write(script->tenure, script->holding);
        rest(script, sim_program_pause_us());
        if (sim_below(4) == 0)
            extend(script);
    }
    sim_program_write(script->tenure, script->holding);
}

static void close_client(struct script *script)
{
    sim_judge_closes(script->process);
    rlk_client_close(script->client, sim.mix.timeout_ms);
    sim_judge_has_closed(script->process);
}

/* A client that is closed with a lock in its hands, and a new one. */
static void reopen(struct script *script)
{
    sim_count_fault(SIM_CLOSE);
    if (script->holding)
        sim_judge_forgets(script->tenure);
    close_client(script);
    rlk_client_free(script->client);
    if (script->holding)
        sim_judge_has_forgotten(script->tenure);
    script->holding = NULL;
    script->client = sim_program_client();
}

static void go_round(struct script *script)
{
    rest(script, sim_program_pause_us());
    int lock = (int)sim_below(sim.mix.locks);
    if (!acquire(script, lock, sim_program_terms()))
        return;
    hold(script);
    if (sim_strikes(SIM_CLOSE))
        reopen(script);
    else
        release(script);
}

/* Now that all is well, everybody gets every lock. */
static void finish(struct script *script)
{
    for (int lock = 0; lock < sim.mix.locks; lock++) {
        while (!acquire(script, lock, sim_program_last_terms())) {
            sim_judge_asks_again(script->wait);
            rest(script, 1000 + sim_below(50000));
        }
        sim_program_write(script->tenure, script->holding);
        rest(script, sim_below(5000));
        release(script);
    }
}

void *sim_script_run(void *process)
{
    struct script script = {.process = process, .client = sim_program_client()};
    for (int round = 0; round < sim.mix.rounds && !sim.has_healed; round++)
        go_round(&script);
    while (!sim.has_healed)
        sim_thread_sleep(sim.mix.faults_us + 1 + sim_below(1000) - sim.now_us);
    finish(&script);
    close_client(&script);
    rlk_client_free(script.client);
    sim_program_ends(script.process);
    return NULL;
}
