/* What stands on the servers. After every command the judge looks at the keys of each lock there,
 * and remembers them; so it sees tokens come, last longer, and go. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "history.h"
#include "judge_rooms.h"
#include "memory.h"
#include "process.h"
#include "redis.h"
#include "report.h"
#include "server.h"

#define TOKEN_LEN (RLK_TOKEN_SIZE - 1)
#define TABLE_SIZE 4096 /* a power of two, well above what a schedule draws */
#define NOBODY (-1)
#define QUEUE_TTL_MS 30000
#define CLAIM_TTL_MS 1000
#define HEARD_WITHIN_US 1000 /* threads are woken within less */

typedef uint8_t node_set;

struct token {
    char bytes[TOKEN_LEN];
    int64_t ballot;     /* 0: not known yet */
    int tenure;         /* NOBODY: not granted, or not yet */
    int process;        /* that asked for it; NOBODY: none of ours */
    bool is_foreign;    /* another library's */
    node_set gone;      /* nodes that it was taken off */
    node_set robbed;    /* by somebody else's hand */
    node_set late;      /* nodes to which it came by a connection that was given up */
    node_set refused;   /* nodes that may have refused to release it */
    node_set cut_off;   /* nodes that were out of reach, or busy, while its client was closed */
    node_set prolonged; /* by what its owner had sent before its end, and not cut short since */
    int64_t busy_us;    /* when a node last was too busy to */
};

/* A key as it was when last looked at. */
struct seen {
    int token;
    int64_t expires_ms; /* by the node's clock */
    int64_t expires_us; /* true */
    int64_t fence;
    int64_t gone_us;        /* true, when the token was taken off */
    uint64_t newest_waiter; /* in the queue, by number */
};

struct key {
    char bytes[64];
    size_t len;
};

static struct token *tokens;
static size_t tokens_capacity;
static int token_count;
static uint32_t table[TABLE_SIZE]; /* the schedule's number above the token's, plus 1 */
static uint32_t schedule;
static struct seen seen[SIM_NODES_MAX][SIM_LOCKS_MAX];
static struct span last_free[SIM_LOCKS_MAX]; /* until it was had again */
static struct key keys[SIM_LOCKS_MAX][4];
enum { LOCK, FENCE, QUEUE, CLAIM };

/* What another library believes to own. One at a time: they do not compete. */
static struct {
    int token; /* NOBODY: none */
    int lock;
    int64_t until_us;
} foreign;

static node_set bit(int node)
{
    return (node_set)(1 << node);
}

static void name_keys(int lock)
{
    static const char *const sides[] = {"", "fence", "queue", "claim"};
    size_t len;
    const char *name = sim_lock_name(lock, &len);
    for (int side = 0; side < 4; side++) {
        struct key *key = &keys[lock][side];
        const char *form = side == LOCK ? "%s" : "{%s}:%s";
        key->len = (size_t)snprintf(key->bytes, sizeof key->bytes, form, name, sides[side]);
    }
}

void sim_tokens_begin(void)
{
    token_count = 0;
    foreign.token = NOBODY;
    if (++schedule == 1 << 18) {
        memset(table, 0, sizeof table);
        schedule = 1;
    }
    for (int node = 0; node < SIM_NODES_MAX; node++)
        for (int lock = 0; lock < SIM_LOCKS_MAX; lock++)
            seen[node][lock] = (struct seen){.token = NOBODY};
    memset(last_free, 0, sizeof last_free);
    for (int lock = 0; lock < SIM_LOCKS_MAX && !keys[lock][LOCK].len; lock++)
        name_keys(lock);
}

/* ---- tokens ---- */

static uint32_t hash_of(const char *bytes)
{
    uint64_t head;
    memcpy(&head, bytes, sizeof head);
    return (uint32_t)((head * UINT64_C(0x9E3779B97F4A7C15)) >> 40);
}

static int find(const char *bytes)
{
    for (uint32_t slot = hash_of(bytes);; slot++) {
        uint32_t *entry = &table[slot % TABLE_SIZE];
        if (*entry >> 13 != schedule) {
            tokens =
                sim_memory_grow(tokens, &tokens_capacity, (size_t)token_count + 1, sizeof *tokens);
            tokens[token_count] = (struct token){.tenure = NOBODY, .process = NOBODY};
            memcpy(tokens[token_count].bytes, bytes, TOKEN_LEN);
            *entry = schedule << 13 | (uint32_t)token_count;
            return token_count++;
        }
        int token = (int)(*entry & 0x1fff);
        if (memcmp(tokens[token].bytes, bytes, TOKEN_LEN) == 0)
            return token;
    }
}

/* Not every owner before has been heard of: who waits no longer passes it on unseen. */
static void judge_succession(const struct tenure *last, const struct tenure *next)
{
    sim_judge_check(SIM_TOKEN_FRESH, next->was_passed_on && last->fence < next->fence,
                    "token %.4s is granted twice", next->name);
    bool is_theirs = last->process == next->process && last->lock == next->lock &&
                     last->is_in_cohort && last->has_ended && last->ttl_ms == next->ttl_ms &&
                     last->fence / RLK_FENCE_BLOCK == next->fence / RLK_FENCE_BLOCK;
    bool is_in_time = next->asked_ms < last->first_asked_ms + 100;
    sim_judge_check(SIM_COHORT_BOUNDED, is_theirs && is_in_time,
                    "%s passes %s on to %s with fence %" PRId64 ", %" PRId64 " ms after its lease",
                    sim_process_name(sim_number_of(last->process)), sim_lock_name(last->lock, NULL),
                    sim_process_name(sim_number_of(next->process)), next->fence,
                    next->asked_ms - last->first_asked_ms);
}

static bool stands(int token, int node, int lock, int64_t until_us);
static void judge_ttl(int node, int lock);

int sim_token_of(const char *bytes, int number)
{
    int token = find(bytes);
    struct tenure *tenure = sim_tenure(number);
    const struct tenure *last =
        tokens[token].tenure == NOBODY ? NULL : sim_tenure(tokens[token].tenure);
    if (last)
        judge_succession(last, tenure);
    tenure->first_asked_ms = last ? last->first_asked_ms : tenure->asked_ms;
    if (last)
        tenure->lease_us = last->lease_us;
    tokens[token].tenure = number;
    for (int node = 0; node < sim.mix.nodes && tenure->was_passed_on; node++)
        if (stands(token, node, tenure->lock, sim.now_us))
            judge_ttl(node, tenure->lock);
    return token;
}

bool sim_token_is_robbed(int token)
{
    return tokens[token].robbed != 0;
}

static bool stands(int token, int node, int lock, int64_t until_us)
{
    const struct seen *key = &seen[node][lock];
    return key->token == token && until_us <= key->expires_us;
}

int sim_token_standing(int token, int lock)
{
    int count = 0;
    for (int node = 0; node < sim.mix.nodes; node++)
        count += stands(token, node, lock, sim.now_us + 1);
    return count;
}

int sim_token_standing_at(int token, int lock, int64_t when_us)
{
    int count = 0;
    for (int node = 0; node < sim.mix.nodes; node++)
        count += !(tokens[token].prolonged & bit(node)) && stands(token, node, lock, when_us);
    return count;
}

/* Since when nothing stands there; SIM_NEVER: something does. */
static int64_t free_at_since(int node, int lock)
{
    const struct seen *key = &seen[node][lock];
    if (key->token == NOBODY)
        return key->gone_us;
    return key->expires_us <= sim.now_us ? key->expires_us : SIM_NEVER;
}

/* The same of a majority, all the time. */
static int64_t free_since(int lock)
{
    int64_t latest_us = SIM_NEVER;
    for (int node = 0; node < sim.mix.nodes; node++) {
        int64_t since_us = free_at_since(node, lock);
        int earlier = 0;
        for (int other = 0; other < sim.mix.nodes; other++)
            earlier += free_at_since(other, lock) <= since_us;
        if (2 * earlier > sim.mix.nodes && since_us < latest_us)
            latest_us = since_us;
    }
    return latest_us;
}

struct span sim_lock_was_free(int lock)
{
    int64_t since_us = free_since(lock);
    return since_us == SIM_NEVER ? last_free[lock] : (struct span){since_us, sim.now_us};
}

/* By the margin that is added, and by a node's clock that runs slower than its owner's. */
int64_t sim_longest_keep_us(int64_t keep_us)
{
    return keep_us + keep_us / 25 + 6000;
}

/* A node that has lost its data since, or been robbed, may have borne it. */
void sim_judge_backing(int number)
{
    const struct tenure *tenure = sim_tenure(number);
    int backing = 0;
    int64_t until_us = sim_is_believed(tenure) ? tenure->deadline_us : 0;
    if (sim_is_kept(tenure) && tenure->kept_until_us > until_us)
        until_us = tenure->kept_until_us;
    if (sim.profile == SIM_BROKEN || until_us == 0)
        return;
    for (int node = 0; node < sim.mix.nodes; node++)
        backing += sim.nodes[node].forgot_us >= tenure->lease_us ||
                   (tokens[tenure->token].robbed & bit(node)) ||
                   stands(tenure->token, node, tenure->lock, until_us);
    sim_judge_check(SIM_BACKED, 2 * backing > sim.mix.nodes,
                    "%s believes in %s for %lld us more, as do only %d of %d nodes",
                    sim_process_name(sim_number_of(tenure->process)),
                    sim_lock_name(tenure->lock, NULL), (long long)(until_us - sim.now_us), backing,
                    sim.mix.nodes);
}

/* ---- what has changed under a key ---- */

/* Behind it may stand whose it is. */
static int64_t read_ballot(const char *bytes, size_t len)
{
    int64_t number = 0;
    for (size_t i = 0; i < len && bytes[i] != ' '; i++)
        number = 10 * number + (bytes[i] - '0');
    return number;
}

static struct sim_value look(int node, int lock, int side)
{
    const struct key *key = &keys[lock][side];
    return sim_redis_look(sim.nodes[node].redis, key->bytes, key->len,
                          sim_server_clock_ms(&sim.nodes[node]));
}

static void judge_fence(int node, int lock)
{
    struct sim_value value = look(node, lock, FENCE);
    int64_t fence = value.exists ? read_ballot(value.bytes, value.len) : 0;
    sim_judge_check(SIM_FENCE_KEPT, fence >= seen[node][lock].fence,
                    "node %d remembers %" PRId64 " of %s, and had %" PRId64, node + 1, fence,
                    sim_lock_name(lock, NULL), seen[node][lock].fence);
    seen[node][lock].fence = fence;
}

/* What is known to be broken nobody sends through any more, also if the program, which is busy
 * elsewhere, has not come to closing it. */
static bool is_given_up(const struct sim_connection *connection)
{
    return !connection || connection->is_closed || connection->is_broken;
}

static void on_arrival(int node, int lock, int number, const struct sim_connection *connection)
{
    struct token *token = &tokens[number];
    int64_t ballot = seen[node][lock].fence / RLK_FENCE_BLOCK * RLK_FENCE_BLOCK;
    if (is_given_up(connection))
        token->late |= bit(node);
    if (connection)
        token->process = connection->process;
    if (token->is_foreign)
        return;
    sim_judge_check(SIM_TOKEN_FRESH, token->ballot == 0 || token->ballot == ballot,
                    "token %.4s comes with ballot %" PRId64 ", after %" PRId64, token->bytes,
                    ballot, token->ballot);
    token->ballot = ballot;
    sim_judge_check(SIM_STAYS_RELEASED, !(token->gone & bit(node)) || (token->late & bit(node)),
                    "token %.4s is back on node %d", token->bytes, node + 1);
}

static void on_departure(int node, const struct seen *before)
{
    if (before->token != NOBODY && sim.now_us < before->expires_us)
        tokens[before->token].gone |= bit(node);
}

/* It lasts longer than it did. Who sent that has still to be its owner, when he began the turn in
 * which he sent it; and what has been let go since was so in an earlier turn. */
static void on_extension(int node, int lock, int number, const struct sim_connection *connection)
{
    struct token *token = &tokens[number];
    if (is_given_up(connection))
        token->late |= bit(node);
    if (token->tenure == NOBODY)
        return;
    const struct tenure *tenure = sim_tenure(token->tenure);
    if (tenure->has_ended)
        token->prolonged |= bit(node);
    if (!connection || connection->was_short || tenure->extends_unheard ||
        sim_may_be_passed_on(tenure))
        return;
    int64_t turn_us = connection->unread_turn_us;
    sim_judge_check(SIM_RENEWAL_STOPS, turn_us <= tenure->ended_us,
                    "%s renews %s %lld us after its end",
                    sim_process_name(sim_number_of(tenure->process)), sim_lock_name(lock, NULL),
                    (long long)(turn_us - tenure->ended_us));
    if (tenure->was_extended || tenure->max_hold_ms > 1000000000)
        return;
    int64_t last_us = tenure->asked_us + (tenure->max_hold_ms + sim.mix.timeout_ms + 50) * 1010;
    sim_judge_check(SIM_RENEWAL_STOPS, turn_us <= last_us, "%s renews %s %lld us past max_hold",
                    sim_process_name(sim_number_of(tenure->process)), sim_lock_name(lock, NULL),
                    (long long)(turn_us - last_us));
}

/* Who received it asked for no more than that. */
static int64_t longest_ttl_ms(int token)
{
    const struct tenure *tenure =
        token == NOBODY || tokens[token].tenure == NOBODY ? NULL : sim_tenure(tokens[token].tenure);
    bool is_received = tenure && tenure->was_passed_on && !tenure->was_extended;
    return is_received ? tenure->ttl_ms : sim.mix.ttl_ms;
}

static void judge_ttl(int node, int lock)
{
    int64_t expires_ms = seen[node][lock].expires_ms;
    int64_t left_ms =
        expires_ms == INT64_MAX ? INT64_MAX : expires_ms - sim_server_clock_ms(&sim.nodes[node]);
    sim_judge_check(SIM_LEASE_BOUNDED, left_ms <= longest_ttl_ms(seen[node][lock].token),
                    "%s stands on node %d for %lld ms", sim_lock_name(lock, NULL), node + 1,
                    (long long)left_ms);
}

static void judge_believer(int lock)
{
    for (int node = 0; node < sim.mix.nodes; node++) {
        int token = seen[node][lock].token;
        int tenure = token == NOBODY ? NOBODY : tokens[token].tenure;
        if (tenure != NOBODY &&
            (sim_is_believed(sim_tenure(tenure)) || sim_is_kept(sim_tenure(tenure)))) {
            sim_judge_backing(tenure);
            return;
        }
    }
}

static void judge_key(int node, int lock, const struct sim_connection *connection)
{
    struct seen *key = &seen[node][lock], before = *key;
    struct sim_value value = look(node, lock, LOCK);
    bool is_same = value.exists && before.token != NOBODY && value.len == TOKEN_LEN &&
                   memcmp(value.bytes, tokens[before.token].bytes, TOKEN_LEN) == 0;
    if (is_same ? value.expires_at_ms == before.expires_ms
                : !value.exists && before.token == NOBODY)
        return;
    int64_t free_since_us = free_since(lock);
    if (value.exists) {
        key->expires_ms = value.expires_at_ms;
        key->expires_us = value.expires_at_ms == INT64_MAX
                              ? SIM_NEVER
                              : sim_clock_when(&sim.nodes[node].clock, value.expires_at_ms * 1000);
    }
    if (!is_same) {
        key->token = value.exists && value.len == TOKEN_LEN ? find(value.bytes) : NOBODY;
        key->gone_us = before.expires_us < sim.now_us ? before.expires_us : sim.now_us;
        on_departure(node, &before);
        judge_fence(node, lock);
        if (key->token != NOBODY)
            on_arrival(node, lock, key->token, connection);
    } else if (key->expires_us > before.expires_us) {
        on_extension(node, lock, key->token, connection);
    } else {
        tokens[key->token].prolonged &= (node_set)~bit(node);
    }
    if (value.exists)
        judge_ttl(node, lock);
    if (free_since_us != SIM_NEVER && free_since(lock) == SIM_NEVER)
        last_free[lock] = (struct span){free_since_us, sim.now_us};
    judge_believer(lock);
}

/* ---- queues ---- */

static void judge_queue(int node, int lock, const struct sim_connection *connection)
{
    struct sim_value queue = look(node, lock, QUEUE);
    if (!queue.exists)
        return;
    if (queue.newest > seen[node][lock].newest_waiter && !is_given_up(connection))
        sim_waits_joined(connection, lock);
    seen[node][lock].newest_waiter = queue.newest;
    int64_t now_ms = sim_server_clock_ms(&sim.nodes[node]);
    sim_judge_check(SIM_QUEUE_CLEAN, queue.expires_at_ms - now_ms <= QUEUE_TTL_MS,
                    "the queue of %s lasts for ever on node %d", sim_lock_name(lock, NULL),
                    node + 1);
    struct sim_value claim = look(node, lock, CLAIM);
    if (claim.exists)
        sim_judge_check(SIM_QUEUE_CLEAN, claim.expires_at_ms - now_ms <= CLAIM_TTL_MS,
                        "the claim of %s lasts for ever on node %d", sim_lock_name(lock, NULL),
                        node + 1);
}

void sim_judge_refused(int node, const char *error)
{
    bool is_told_again = strncmp(error, "-BUSY", 5) == 0 || strncmp(error, "-LOADING", 8) == 0;
    for (int lock = 0; lock < sim.mix.locks; lock++) {
        struct token *token = &tokens[seen[node][lock].token];
        if (seen[node][lock].token == NOBODY)
            continue;
        if (is_told_again)
            token->busy_us = sim.now_us;
        else
            token->refused |= bit(node);
    }
}

void sim_judge_commands(struct sim_connection *connection)
{
    sim_waits_told(connection);
    for (int lock = 0; lock < sim.mix.locks; lock++) {
        judge_key(connection->node, lock, connection);
        judge_queue(connection->node, lock, connection);
    }
}

void sim_judge_closes(struct sim_process *process)
{
    process->closing_us = sim.now_us;
    process->stopped_before_us = sim_process_stopped_us(process);
}

static bool was_in_reach(const struct sim_process *process, int node)
{
    int64_t since_us = process->closing_us;
    return sim.links[sim_number_of(process)][node].troubled_until_us < since_us &&
           sim.nodes[node].troubled_until_us < since_us &&
           sim_process_stopped_us(process) == process->stopped_before_us;
}

/* When its client was being closed, or so shortly before that it had not heard of it: what it heard
 * of earlier, it was to tell again. */
static bool was_busy(const struct token *token, const struct sim_process *process)
{
    int64_t answer_us = 2 * (sim.mix.latency_us + sim.mix.jitter_us) + HEARD_WITHIN_US;
    return token->busy_us > 0 && token->busy_us + answer_us > process->closing_us;
}

void sim_judge_has_closed(struct sim_process *process)
{
    for (int node = 0; node < sim.mix.nodes; node++)
        for (int lock = 0; lock < sim.mix.locks; lock++) {
            int token = seen[node][lock].token;
            if (token == NOBODY || tokens[token].process != sim_number_of(process))
                continue;
            if (!was_in_reach(process, node) || was_busy(&tokens[token], process))
                tokens[token].cut_off |= bit(node);
        }
}

/* What it has forgotten nobody took off. */
void sim_judge_node(int node)
{
    for (int lock = 0; lock < sim.mix.locks; lock++) {
        if (sim.nodes[node].forgot_us == sim.now_us)
            seen[node][lock] = (struct seen){.token = NOBODY};
        judge_key(node, lock, NULL);
    }
}

/* ---- others ---- */

void sim_judge_foreign_asks(int lock, const char *token)
{
    foreign.token = find(token);
    foreign.lock = lock;
    foreign.until_us = 0;
    tokens[foreign.token].is_foreign = true;
}

void sim_judge_foreign_ends(void)
{
    foreign.until_us = 0;
}

void sim_judge_foreign_owns(int lock, int64_t until_us)
{
    struct tenure *owner;
    foreign.until_us = until_us;
    bool is_owned = sim_judge_is_owned(lock, &owner) && !sim_token_is_robbed(owner->token);
    sim_judge_check(SIM_FOREIGN_APART, !is_owned || sim_token_is_robbed(foreign.token),
                    "another library takes %s, which %s owns", sim_lock_name(lock, NULL),
                    sim_process_name(sim_number_of(owner->process)));
}

void sim_judge_against_foreign(const struct tenure *tenure)
{
    if (foreign.token == NOBODY || foreign.lock != tenure->lock)
        return;
    sim_judge_check(SIM_FOREIGN_APART,
                    sim.now_us >= foreign.until_us || sim_token_is_robbed(foreign.token) ||
                        sim_token_is_robbed(tenure->token),
                    "%s acquires %s, which another library owns",
                    sim_process_name(sim_number_of(tenure->process)),
                    sim_lock_name(tenure->lock, NULL));
}

void sim_judge_foreign_wrote(int node, int lock, bool is_robbed)
{
    if (is_robbed && seen[node][lock].token != NOBODY)
        tokens[seen[node][lock].token].robbed |= bit(node);
    judge_key(node, lock, NULL);
}

/* ---- the end ---- */

/* Its owner wanted it to stand for a while, which began anew where the release was late, or where a
 * renewal came behind it. */
static bool is_to_stand(const struct token *token, int node)
{
    const struct tenure *tenure = token->tenure == NOBODY ? NULL : sim_tenure(token->tenure);
    if (!tenure || tenure->at_least_ms == 0)
        return false;
    if (token->prolonged & bit(node))
        return true;
    int64_t left_us = seen[node][tenure->lock].expires_us - sim.now_us;
    return left_us <= sim_longest_keep_us(tenure->at_least_ms * 1000);
}

/* A release that meets NOSCRIPT when nobody is there any more to repeat it is up to the ttl, as is
 * what a connection took with it that died without a word. */
static bool may_be_left(int number, int node)
{
    const struct token *token = &tokens[number];
    if (is_to_stand(token, node))
        return true;
    if (sim.nodes[node].was_flushed ||
        (token->process != NOBODY && sim.links[token->process][node].has_lost))
        return true;
    if (token->tenure != NOBODY && sim_tenure(token->tenure)->is_dropped)
        return true;
    return token->is_foreign || ((token->late | token->refused | token->cut_off) & bit(node)) ||
           token->process == NOBODY || !sim.processes[token->process].is_alive;
}

/* All are done, and what was on its way has arrived. */
void sim_tokens_end(void)
{
    for (int node = 0; node < sim.mix.nodes; node++)
        for (int lock = 0; lock < sim.mix.locks; lock++) {
            struct sim_value value = look(node, lock, LOCK);
            int token = value.exists && value.len == TOKEN_LEN ? find(value.bytes) : NOBODY;
            sim_judge_check(SIM_NO_ORPHAN, token == NOBODY || may_be_left(token, node),
                            "token %.4s is left on node %d", token == NOBODY ? "" : value.bytes,
                            node + 1);
        }
}
