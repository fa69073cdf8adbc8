/* Each segment that is under way has one planned event; the k-th event that comes to pass delivers
 * the k-th segment, whatever held up the events before it. So nothing overtakes. */
#include "network.h"

#include <string.h>

#include "events.h"
#include "history.h"
#include "memory.h"
#include "process.h"
#include "redis.h"
#include "report.h"
#include "server.h"

#define CUT_WITHIN 900        /* bytes of a connection's life */
#define KEEPALIVE_US 25000000 /* as io/stream.c sets it: 10 s, and three probes of 5 s */

static struct sim_connection connections[SIM_CONNECTIONS_MAX];
static int used_count;

static struct sim_pipe *pipe_of(struct sim_connection *connection, enum sim_way way)
{
    return &connection->pipes[way];
}

static int number_of(const struct sim_connection *connection)
{
    return (int)(connection - connections);
}

struct sim_connection *sim_connection(int number)
{
    return &connections[number];
}

int sim_connection_count(void)
{
    return used_count;
}

void sim_network_clear(void)
{
    for (int i = 0; i < used_count; i++) {
        if (connections[i].is_used && connections[i].session)
            sim_session_close(connections[i].session);
        connections[i].is_used = false;
    }
    used_count = 0;
}

/* ---- how long it takes ---- */

static struct sim_link *link_of(const struct sim_connection *connection)
{
    return &sim.links[connection->process][connection->node];
}

/* A fault of the connection; once all is well, what was held up comes. */
static void trouble(const struct sim_connection *connection, enum sim_fault fault, int64_t until_us)
{
    sim_disturb(fault, until_us);
    sim_lasts_until(&link_of(connection)->troubled_until_us,
                    until_us < sim.mix.faults_us ? until_us : sim.mix.faults_us);
}

static int64_t draw_delay(const struct sim_connection *connection)
{
    int64_t delay = link_of(connection)->latency_us + sim_below(sim.mix.jitter_us + 1);
    if (!sim_strikes(SIM_SLOW))
        return delay;
    delay += sim_below(2 * sim.mix.timeout_ms * 1000);
    trouble(connection, SIM_SLOW, sim.now_us + delay);
    return delay;
}

static void plan_arrival(struct sim_connection *connection, enum sim_way way, int64_t at_us)
{
    enum sim_event_kind kind = way == SIM_TO_SERVER ? SIM_REACHES_SERVER : SIM_REACHES_CLIENT;
    connection->events++;
    sim_events_plan(at_us, kind, (unsigned)number_of(connection));
}

static int64_t turn_of_sender(enum sim_way way)
{
    int thread = sim_fiber_current();
    return way == SIM_TO_SERVER && thread >= 0 ? sim.threads[thread].turn_us : sim.now_us;
}

static void send_segment(struct sim_connection *connection, enum sim_way way,
                         enum sim_segment_kind kind)
{
    struct sim_pipe *pipe = pipe_of(connection, way);
    int64_t at_us = sim.now_us + draw_delay(connection);
    if (at_us <= pipe->last_us)
        at_us = pipe->last_us + 1;
    pipe->last_us = at_us;
    pipe->segments = sim_memory_grow(pipe->segments, &pipe->segments_capacity, pipe->next + 1,
                                     sizeof *pipe->segments);
    pipe->segments[pipe->next++] =
        (struct sim_segment){turn_of_sender(way), at_us, pipe->sent, kind};
    plan_arrival(connection, way, at_us);
}

/* ---- life ---- */

static void reset_pipe(struct sim_pipe *pipe)
{
    struct sim_pipe fresh = {
        .bytes = pipe->bytes,
        .capacity = pipe->capacity,
        .segments = pipe->segments,
        .segments_capacity = pipe->segments_capacity,
        .room = SIM_NEVER,
    };
    *pipe = fresh;
}

static void draw_cuts(struct sim_connection *connection)
{
    if (sim_strikes(SIM_CUT_REQUEST))
        connection->pipes[SIM_TO_SERVER].room = sim_below(CUT_WITHIN);
    if (sim_strikes(SIM_CUT_REPLY))
        connection->pipes[SIM_TO_CLIENT].room = sim_below(CUT_WITHIN);
    connection->is_half_open = sim_strikes(SIM_HALF_OPEN);
}

static int free_number(void)
{
    for (int i = 0; i < used_count; i++)
        if (!connections[i].is_used)
            return i;
    return used_count < SIM_CONNECTIONS_MAX ? used_count++ : -1;
}

int sim_network_dial(struct sim_process *process, int node)
{
    int number = free_number();
    if (number < 0)
        return -1;
    struct sim_connection *connection = &connections[number];
    reset_pipe(&connection->pipes[SIM_TO_SERVER]);
    reset_pipe(&connection->pipes[SIM_TO_CLIENT]);
    struct sim_connection fresh = {
        .is_used = true,
        .process = (uint16_t)sim_number_of(process),
        .node = (uint16_t)node,
        .poller = -1,
        .unread_turn_us = SIM_NEVER,
        .pipes = {connection->pipes[SIM_TO_SERVER], connection->pipes[SIM_TO_CLIENT]},
    };
    *connection = fresh;
    draw_cuts(connection);
    sim_history_network("dialed", number, connection);
    if (sim_strikes(SIM_DIAL_HANGS)) {
        trouble(connection, SIM_DIAL_HANGS, sim.now_us + 1000 * sim.mix.timeout_ms);
        connection->pipes[SIM_TO_SERVER].is_cut = true;
    } else {
        send_segment(connection, SIM_TO_SERVER, SIM_OPENING);
    }
    return number;
}

static void free_if_over(struct sim_connection *connection)
{
    if (connection->is_closed && !connection->session && connection->events == 0)
        connection->is_used = false;
}

/* ---- sending ---- */

static void append(struct sim_pipe *pipe, const char *bytes, size_t len)
{
    pipe->bytes = sim_memory_grow(pipe->bytes, &pipe->capacity, pipe->sent + len, 1);
    memcpy(pipe->bytes + pipe->sent, bytes, len);
    pipe->sent += (uint32_t)len;
}

/* In one piece, or in two. */
static void send_bytes(struct sim_connection *connection, enum sim_way way, const char *bytes,
                       size_t len)
{
    struct sim_pipe *pipe = pipe_of(connection, way);
    if (len > 1 && sim_strikes(SIM_SPLIT)) {
        size_t head = 1 + (size_t)sim_below((int64_t)len - 1);
        sim_count_fault(SIM_SPLIT);
        append(pipe, bytes, head);
        send_segment(connection, way, SIM_BYTES);
        bytes += head;
        len -= head;
    }
    append(pipe, bytes, len);
    send_segment(connection, way, SIM_BYTES);
}

static enum sim_way other(enum sim_way way)
{
    return way == SIM_TO_SERVER ? SIM_TO_CLIENT : SIM_TO_SERVER;
}

static void vanish(struct sim_connection *connection)
{
    link_of(connection)->has_lost = true;
    connection->events++;
    sim_events_plan(sim.now_us + KEEPALIVE_US, SIM_IS_NOTICED, (unsigned)number_of(connection));
}

/* Nothing gets through any more, either way; both ends hear of it, or one does not. */
static void cut(struct sim_connection *connection, enum sim_way way)
{
    struct sim_pipe *there = pipe_of(connection, way), *back = pipe_of(connection, other(way));
    sim_history_network(way == SIM_TO_SERVER ? "dies in a request" : "dies in a reply",
                        number_of(connection), connection);
    trouble(connection, way == SIM_TO_SERVER ? SIM_CUT_REQUEST : SIM_CUT_REPLY, sim.now_us);
    if (connection->is_half_open && way == SIM_TO_CLIENT)
        vanish(connection);
    if (connection->is_half_open)
        link_of(connection)->has_lost = true;
    if (connection->is_half_open)
        sim_disturb(SIM_HALF_OPEN, SIM_NEVER); /* who waits to be woken there may wait for ever */
    else
        send_segment(connection, way, SIM_BREAK);
    send_segment(connection, other(way), SIM_BREAK);
    there->is_cut = back->is_cut = true;
}

static void stall(struct sim_connection *connection, enum sim_way way)
{
    if (!sim_strikes(SIM_STALL))
        return;
    int64_t until_us = sim.now_us + sim_below(6 * sim.mix.timeout_ms * 1000);
    trouble(connection, SIM_STALL, until_us);
    connection->stalled_until_us[way] = until_us;
}

static void transmit(struct sim_connection *connection, enum sim_way way, const char *bytes,
                     size_t len)
{
    struct sim_pipe *pipe = pipe_of(connection, way);
    if (pipe->is_cut || len == 0)
        return;
    stall(connection, way);
    bool dies = (int64_t)len > pipe->room;
    size_t through = dies ? (size_t)pipe->room : len;
    if (pipe->room != SIM_NEVER)
        pipe->room -= (int64_t)through;
    if (through > 0)
        send_bytes(connection, way, bytes, through);
    if (dies)
        cut(connection, way);
}

size_t sim_network_write(struct sim_connection *connection, const char *bytes, size_t len)
{
    if (len > 1 && sim_strikes(SIM_SPLIT)) {
        len = 1 + (size_t)sim_below((int64_t)len - 1);
        connection->was_short = true;
    }
    transmit(connection, SIM_TO_SERVER, bytes, len);
    return len;
}

void sim_network_reply(struct sim_connection *connection, const char *bytes, size_t len)
{
    transmit(connection, SIM_TO_CLIENT, bytes, len);
}

void sim_network_accept(struct sim_connection *connection)
{
    if (!connection->pipes[SIM_TO_CLIENT].is_cut)
        send_segment(connection, SIM_TO_CLIENT, SIM_OPENING);
}

void sim_network_break(struct sim_connection *connection)
{
    send_segment(connection, SIM_TO_CLIENT, SIM_BREAK);
    connection->pipes[SIM_TO_CLIENT].is_cut = true;
}

void sim_network_settle(struct sim_connection *connection)
{
    free_if_over(connection);
}

size_t sim_network_read(struct sim_connection *connection, char *bytes, size_t size)
{
    struct sim_pipe *pipe = pipe_of(connection, SIM_TO_CLIENT);
    size_t len = pipe->arrived - pipe->read;
    if (len > size)
        len = size;
    memcpy(bytes, pipe->bytes + pipe->read, len);
    pipe->read += (uint32_t)len;
    return len;
}

bool sim_network_has_unread(const struct sim_connection *connection)
{
    return connection->pipes[SIM_TO_CLIENT].arrived > connection->pipes[SIM_TO_CLIENT].read;
}

/* With bytes unread, the other end is reset. */
void sim_network_close(struct sim_connection *connection)
{
    bool breaks = sim_network_has_unread(connection);
    sim_history_network(breaks ? "closed with bytes unread" : "closed", number_of(connection),
                        connection);
    connection->is_closed = true;
    connection->closed_us = sim.now_us;
    connection->poller = -1;
    if (!connection->pipes[SIM_TO_SERVER].is_cut)
        send_segment(connection, SIM_TO_SERVER, breaks ? SIM_BREAK : SIM_END);
    free_if_over(connection);
}

/* ---- arriving ---- */

static int64_t blocked_until(const struct sim_connection *connection, enum sim_way way)
{
    int64_t link_us = link_of(connection)->blocked_until_us[way];
    int64_t own_us = connection->stalled_until_us[way];
    return link_us > own_us ? link_us : own_us;
}

static void reach_client(struct sim_connection *connection, const struct sim_segment *segment)
{
    struct sim_pipe *pipe = pipe_of(connection, SIM_TO_CLIENT);
    if (connection->is_closed) {
        if (segment->kind == SIM_BYTES && !pipe->has_ended && !pipe->is_cut)
            send_segment(connection, SIM_TO_SERVER, SIM_BREAK);
        pipe->has_ended = true;
        return;
    }
    pipe->arrived = segment->end;
    if (segment->kind == SIM_OPENING)
        connection->is_open = true;
    else if (segment->kind == SIM_BREAK) {
        connection->is_broken = true;
        sim_history_network(connection->is_open ? "is broken" : "is refused", number_of(connection),
                            connection);
    }
    if (segment->kind == SIM_END || segment->kind == SIM_BREAK)
        pipe->has_ended = true;
    sim_thread_wake(connection->poller);
}

void sim_network_arrive(int number, enum sim_way way)
{
    struct sim_connection *connection = &connections[number];
    struct sim_pipe *pipe = pipe_of(connection, way);
    int64_t until_us = blocked_until(connection, way);
    connection->events--;
    if (sim.now_us < until_us) {
        plan_arrival(connection, way, until_us + draw_delay(connection));
        return;
    }
    if (pipe->first == pipe->next) /* they were lost */
        return;
    struct sim_segment segment = pipe->segments[pipe->first++];
    if (pipe->first == pipe->next)
        pipe->first = pipe->next = 0;
    if (way == SIM_TO_SERVER)
        sim_server_receive(connection, &segment);
    else
        reach_client(connection, &segment);
    free_if_over(connection);
}

void sim_network_notice(int number)
{
    struct sim_connection *connection = &connections[number];
    connection->events--;
    if (!connection->is_closed && !connection->is_broken) {
        connection->is_broken = true;
        sim_history_network("is found dead", number, connection);
        sim_thread_wake(connection->poller);
    }
    free_if_over(connection);
}

/* ---- what the world does to it ---- */

/* What is under way is lost, and the receiver hears of the end. */
static void lose_rest(struct sim_connection *connection, enum sim_way way)
{
    struct sim_pipe *pipe = pipe_of(connection, way);
    if (pipe->is_cut)
        return;
    if (sim_below(2) == 0) {
        pipe->sent = pipe->arrived;
        pipe->first = pipe->next = 0;
    }
    send_segment(connection, way, SIM_BREAK);
    pipe->is_cut = true;
}

bool sim_network_break_one(void)
{
    int open = 0;
    struct sim_connection *chosen = NULL;
    for (int i = 0; i < used_count; i++) {
        struct sim_connection *connection = &connections[i];
        bool is_open = connection->is_used && connection->is_open && !connection->is_closed;
        if (is_open && !connection->pipes[0].is_cut && sim_below(++open) == 0)
            chosen = connection;
    }
    if (!chosen)
        return false;
    sim_lasts_until(&link_of(chosen)->troubled_until_us, sim.now_us);
    lose_rest(chosen, SIM_TO_SERVER);
    lose_rest(chosen, SIM_TO_CLIENT);
    sim_history_network("reset", number_of(chosen), chosen);
    return true;
}

void sim_network_lose_server(int node, bool is_silent)
{
    for (int i = 0; i < used_count; i++) {
        struct sim_connection *connection = &connections[i];
        if (!connection->is_used || connection->node != node || connection->server_is_gone)
            continue;
        if (connection->session)
            sim_session_close(connection->session);
        connection->session = NULL;
        connection->server_is_gone = true;
        if (is_silent)
            vanish(connection);
        else if (!connection->pipes[SIM_TO_CLIENT].is_cut)
            send_segment(connection, SIM_TO_CLIENT, SIM_BREAK);
        free_if_over(connection);
    }
}

/* What was held up comes now, and not when it would have come. */
static void let_through(struct sim_connection *connection, enum sim_way way)
{
    struct sim_pipe *pipe = pipe_of(connection, way);
    connection->stalled_until_us[way] = 0;
    pipe->room = SIM_NEVER;
    pipe->last_us = sim.now_us;
    for (uint32_t left = pipe->next - pipe->first; connection->is_used && left > 0; left--) {
        pipe->last_us += 1 + sim_below(sim.mix.latency_us);
        plan_arrival(connection, way, pipe->last_us);
    }
}

void sim_network_heal(void)
{
    for (int process = 0; process < SIM_PROCESSES_MAX; process++)
        for (int node = 0; node < SIM_NODES_MAX; node++)
            memset(sim.links[process][node].blocked_until_us, 0, 2 * sizeof(int64_t));
    for (int i = 0; i < used_count; i++) {
        let_through(&connections[i], SIM_TO_SERVER);
        let_through(&connections[i], SIM_TO_CLIENT);
    }
}
