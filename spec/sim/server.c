/* A server that is stopped still has a kernel, which accepts connections and takes bytes. One that
 * is told to refuse answers every script with an error. */
#include "server.h"

#include <string.h>

#include "dialogue.h"
#include "judge.h"
#include "redis.h"
#include "report.h"
#include "resp.h"

#define OLD_MS (24 * 3600 * 1000)

int64_t sim_server_clock_ms(const struct sim_node *node)
{
    return sim_clock_read(&node->clock, sim.now_us) / 1000;
}

static void begin(int number, bool is_young)
{
    struct sim_node *node = &sim.nodes[number];
    struct sim_redis *redis = node->redis ? node->redis : sim_redis_new();
    int64_t age_ms = is_young ? sim_below(500) : OLD_MS;
    *node = (struct sim_node){.redis = redis, .is_up = true, .forgot_us = INT64_MIN};
    node->clock.rate_ppm = sim_between(-sim.mix.node_ppm, sim.mix.node_ppm);
    node->clock.base_us = (1000000 + sim_below(1000000)) * 1000;
    node->restarted_us = -age_ms * 1000;
    sim_redis_restart(redis, false, sim_server_clock_ms(node) - age_ms);
}

void sim_servers_begin(void)
{
    for (int node = 0; node < sim.mix.nodes; node++)
        begin(node, sim.mix.young);
}

/* ---- answers ---- */

static struct sim_connection *connection_of(int node, const struct sim_session *session)
{
    for (int i = 0; i < sim_connection_count(); i++) {
        struct sim_connection *connection = sim_connection(i);
        if (connection->is_used && connection->session == session && connection->node == node)
            return connection;
    }
    return NULL;
}

static void answer(struct sim_connection *connection, struct sim_session *session)
{
    size_t len;
    const char *bytes = sim_session_output(session, &len);
    if (len == 0)
        return;
    if (connection)
        sim_network_reply(connection, bytes, len);
    sim_dialogue_reply(connection, bytes, len);
    sim_session_sent(session, len);
}

/* What its commands told others. */
static void answer_others(int node)
{
    struct sim_session *session;
    while ((session = sim_redis_next_output(sim.nodes[node].redis)) != NULL) {
        struct sim_connection *connection = connection_of(node, session);
        size_t len;
        const char *bytes = sim_session_output(session, &len);
        if (connection)
            sim_judge_message(connection, bytes, len);
        answer(connection, session);
    }
}

/* ---- bytes ---- */

/* The next whole command; 0: there is none. */
static size_t refuse_or_pass(struct sim_connection *connection, const char *bytes, size_t len,
                             int64_t now_ms)
{
    const char *refusal = sim.nodes[connection->node].refusal;
    size_t command = sim_resp_command_len(bytes, len);
    if (command == 0)
        return 0;
    if (refusal && sim_resp_is_script(bytes, command)) {
        answer(connection, connection->session);
        sim_dialogue_refusal(connection, command, refusal);
        sim_network_reply(connection, refusal, strlen(refusal));
        sim_disturb(SIM_BUSY, sim.now_us);
        sim_judge_refused(connection->node, refusal);
    } else {
        sim_session_receive(connection->session, bytes, command, now_ms);
    }
    return command;
}

static void read_one_by_one(struct sim_connection *connection, int64_t now_ms)
{
    struct sim_pipe *pipe = &connection->pipes[SIM_TO_SERVER];
    size_t command;
    do {
        command = refuse_or_pass(connection, pipe->bytes + pipe->read, pipe->arrived - pipe->read,
                                 now_ms);
        pipe->read += (uint32_t)command;
    } while (command > 0);
}

static void read_all(struct sim_connection *connection, int64_t now_ms)
{
    struct sim_pipe *pipe = &connection->pipes[SIM_TO_SERVER];
    sim_session_receive(connection->session, pipe->bytes + pipe->read, pipe->arrived - pipe->read,
                        now_ms);
    pipe->read = pipe->arrived;
}

static void read_arrived(struct sim_connection *connection)
{
    struct sim_pipe *pipe = &connection->pipes[SIM_TO_SERVER];
    if (!connection->session || pipe->read == pipe->arrived)
        return;
    int64_t now_ms = sim_server_clock_ms(&sim.nodes[connection->node]);
    connection->judged = pipe->read;
    if (connection->is_closed)
        sim_count_fault(SIM_LATE);
    if (sim.mix.counts[SIM_BUSY] > 0)
        read_one_by_one(connection, now_ms);
    else
        read_all(connection, now_ms);
    sim_dialogue_requests(connection);
    answer(connection, connection->session);
    answer_others(connection->node);
    sim_judge_commands(connection);
    connection->unread_turn_us = SIM_NEVER;
}

static void leave(struct sim_connection *connection)
{
    if (connection->session)
        sim_session_close(connection->session);
    connection->session = NULL;
    connection->server_is_gone = true;
}

/* ---- segments ---- */

static void break_off(struct sim_connection *connection)
{
    struct sim_pipe *back = &connection->pipes[SIM_TO_CLIENT];
    if (back->is_cut)
        return;
    sim_network_break(connection);
}

static void take_segment(struct sim_connection *connection, const struct sim_segment *segment)
{
    struct sim_pipe *pipe = &connection->pipes[SIM_TO_SERVER];
    struct sim_node *node = &sim.nodes[connection->node];
    if (segment->turn_us < connection->unread_turn_us)
        connection->unread_turn_us = segment->turn_us;
    pipe->arrived = segment->end;
    if (segment->kind == SIM_BREAK)
        pipe->read = pipe->arrived; /* unread, it is gone */
    pipe->has_ended = segment->kind == SIM_END;
    if (!node->is_hung)
        read_arrived(connection);
    if (segment->kind == SIM_BREAK || (segment->kind == SIM_END && !node->is_hung))
        leave(connection);
}

static void accept_dial(struct sim_connection *connection)
{
    if (sim_strikes(SIM_REFUSE)) {
        sim_disturb(SIM_REFUSE, sim.now_us);
        sim_lasts_until(&sim.links[connection->process][connection->node].troubled_until_us,
                        sim.now_us);
        connection->server_is_gone = true;
        break_off(connection);
        return;
    }
    connection->session = sim_redis_accept(sim.nodes[connection->node].redis);
    sim_network_accept(connection);
}

void sim_server_receive(struct sim_connection *connection, const struct sim_segment *segment)
{
    struct sim_node *node = &sim.nodes[connection->node];
    if (connection->server_is_gone || !node->is_up) {
        connection->server_is_gone = true;
        if (node->is_up || !node->is_silent)
            break_off(connection);
    } else if (segment->kind == SIM_OPENING) {
        accept_dial(connection);
    } else {
        take_segment(connection, segment);
    }
}

/* ---- what happens to servers ---- */

void sim_server_hang(int node)
{
    sim.nodes[node].is_hung = true;
}

void sim_server_resume(int node)
{
    sim.nodes[node].is_hung = false;
    for (int i = 0; i < sim_connection_count(); i++) {
        struct sim_connection *connection = sim_connection(i);
        if (!connection->is_used || connection->node != node || !connection->session)
            continue;
        read_arrived(connection);
        if (connection->pipes[SIM_TO_SERVER].has_ended)
            leave(connection);
        sim_network_settle(connection);
    }
}

void sim_server_crash(int node, bool is_silent)
{
    sim.nodes[node].is_up = false;
    sim.nodes[node].is_hung = false;
    sim.nodes[node].is_silent = is_silent;
    sim_network_lose_server(node, is_silent);
}

void sim_server_restart(int number, bool keeps_data)
{
    struct sim_node *node = &sim.nodes[number];
    if (node->is_up)
        sim_server_crash(number, false);
    node->is_up = true;
    node->restarted_us = sim.now_us;
    if (!keeps_data)
        node->forgot_us = sim.now_us;
    sim_redis_restart(node->redis, keeps_data, sim_server_clock_ms(node));
    sim_judge_node(number);
}

void sim_server_flush_scripts(int node)
{
    sim.nodes[node].was_flushed = true;
    sim_redis_flush_scripts(sim.nodes[node].redis);
}
