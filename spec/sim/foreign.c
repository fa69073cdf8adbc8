/* What it sends is run at once, by a session that lasts for one command; it knows the servers that
 * can be reached, and counts a majority of all. */
#include "foreign.h"

#include <stdio.h>
#include <string.h>

#include "events.h"
#include "history.h"
#include "judge.h"
#include "redis.h"
#include "server.h"

#define STEP_US 700
#define RELEASE "if redis.call('GET',KEYS[1])==ARGV[1]then return redis.call('DEL',KEYS[1])end"

static struct {
    bool is_at_it;
    int lock, step, granted;
    int64_t asked_us, ttl_ms;
    char token[RLK_TOKEN_SIZE];
} foreign;

void sim_foreign_clear(void)
{
    foreign.is_at_it = false;
}

/* True if the reply is not nil and not 0. */
static bool run(int node, const char *command, int len)
{
    struct sim_redis *redis = sim.nodes[node].redis;
    if (!sim.nodes[node].is_up || sim.nodes[node].is_hung)
        return false;
    size_t reply_len;
    struct sim_session *session = sim_redis_accept(redis);
    sim_session_receive(session, command, (size_t)len, sim_server_clock_ms(&sim.nodes[node]));
    const char *reply = sim_session_output(session, &reply_len);
    bool is_done = reply_len > 1 && (*reply == '+' || (*reply == ':' && reply[1] != '0'));
    sim_session_sent(session, reply_len);
    sim_session_close(session);
    return is_done;
}

static bool set(int node)
{
    char command[256], ttl[24];
    size_t len;
    const char *name = sim_lock_name(foreign.lock, &len);
    int ttl_len = snprintf(ttl, sizeof ttl, "%lld", (long long)foreign.ttl_ms);
    int size = snprintf(command, sizeof command,
                        "*6\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n$2\r\nNX\r\n$2\r\nPX\r\n"
                        "$%d\r\n%s\r\n",
                        len, name, strlen(foreign.token), foreign.token, ttl_len, ttl);
    bool is_set = run(node, command, size);
    sim_history_add("foreign", "SET %s %.4s NX PX %s on node %d: %s", name, foreign.token, ttl,
                    node + 1, is_set ? "OK" : "no");
    return is_set;
}

static bool delete_own(int node)
{
    char command[256];
    size_t len;
    const char *name = sim_lock_name(foreign.lock, &len);
    int size = snprintf(command, sizeof command,
                        "*4\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n$1\r\n1\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
                        strlen(RELEASE), RELEASE, len, name, strlen(foreign.token), foreign.token);
    return run(node, command, size);
}

static void act_again(int64_t in_us)
{
    sim_events_plan(sim.now_us + in_us, SIM_FOREIGN_ACTS, 0);
}

bool sim_foreign_begin(void)
{
    if (foreign.is_at_it)
        return false;
    foreign.is_at_it = true;
    foreign.lock = (int)sim_below(sim.mix.locks);
    foreign.step = foreign.granted = 0;
    foreign.asked_us = sim.now_us;
    foreign.ttl_ms = 1 + sim_below(sim.mix.ttl_ms);
    snprintf(foreign.token, sizeof foreign.token, "foreign-%020llu",
             (unsigned long long)sim_random_next(&sim.random));
    sim_judge_foreign_asks(foreign.lock, foreign.token);
    act_again(0);
    return true;
}

/* By true time: its own clock is right. */
static void take(void)
{
    int64_t until_us = foreign.asked_us + foreign.ttl_ms * 990 - 2000;
    bool owns = 2 * foreign.granted > sim.mix.nodes && sim.now_us < until_us;
    if (owns) {
        sim_history_add("foreign", "owns %s", sim_lock_name(foreign.lock, NULL));
        sim_judge_foreign_owns(foreign.lock, until_us);
    }
    act_again(owns ? sim_below(until_us - sim.now_us) : STEP_US);
}

/* First the keys are set, one node after the other, then they are deleted. */
void sim_foreign_act(void)
{
    int nodes = sim.mix.nodes, step = foreign.step++;
    if (step < nodes) {
        foreign.granted += set(step);
        sim_judge_foreign_wrote(step, foreign.lock, false);
        if (step == nodes - 1)
            take();
        else
            act_again(sim_below(STEP_US));
        return;
    }
    if (step == nodes)
        sim_judge_foreign_ends();
    delete_own(step - nodes);
    sim_judge_foreign_wrote(step - nodes, foreign.lock, false);
    foreign.is_at_it = step < 2 * nodes - 1;
    if (foreign.is_at_it)
        act_again(sim_below(STEP_US));
}

bool sim_foreign_rob(void)
{
    char command[128];
    size_t len;
    int lock = (int)sim_below(sim.mix.locks);
    const char *name = sim_lock_name(lock, &len);
    int size = snprintf(command, sizeof command, "*2\r\n$3\r\nDEL\r\n$%zu\r\n%s\r\n", len, name);
    bool everywhere = sim_below(2) == 0;
    for (int node = 0; node < sim.mix.nodes; node++)
        if (everywhere || sim_below(2) == 0) {
            bool is_gone = run(node, command, size);
            sim_history_add("foreign", "DEL %s on node %d: %d", name, node + 1, is_gone);
            sim_judge_foreign_wrote(node, lock, is_gone);
        }
    return true;
}
