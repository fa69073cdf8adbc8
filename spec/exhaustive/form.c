/* A world is written down as bytes, and those are hashed. Left out is what is overwritten before
 * it is read; that this is so, search.c tries out on worlds that were taken for the same. Nodes are
 * written one by one, with all that concerns them, and sorted; clients in both orders, of which the
 * lower hash counts. */
#include "exhaustive/form.h"

#include <string.h>

/* A node's: what stands there, and each client's share, with full connections. A number takes two
 * bytes, and a message eight numbers. */
#define RECORD_MAX (2 * (7 + CLIENTS * (6 + 2 * FLIGHT_MAX * 8)) + 8)

struct record {
    size_t len;
    char bytes[RECORD_MAX];
};

static void put(struct record *record, int64_t value)
{
    record->bytes[record->len++] = (char)(value & 0xff);
    record->bytes[record->len++] = (char)(value >> 8 & 0x7f);
}

/* RLK_NEVER is all ones, and no moment of a scene comes near. */
static void put_if(struct record *record, bool matters, int64_t value)
{
    put(record, matters ? value : 0);
}

/* The name that the token would have if the first client had been the other. */
static void put_token(struct record *record, uint8_t token, int first)
{
    int owner = token_owner(token) ^ first;
    put(record, token ? owner * (TOKENS_MAX + 1) + token % (TOKENS_MAX + 1) : 0);
}

/* ---- a client ---- */

static bool is_trying(const struct rlk_lock *lock)
{
    return lock->state == RLK_ACQUIRING || lock->state == RLK_WAITING;
}

static bool is_in_round(const struct rlk_lock *lock)
{
    return lock->state == RLK_ACQUIRING || lock->state == RLK_RELEASING ||
           (lock->state == RLK_OWNED && lock->asking);
}

/* What is released may be owed yet, if the connection breaks before the answer. */
static bool has_token(const struct rlk_lock *lock)
{
    bool ends = lock->state == RLK_IDLE && lock->outcome != RLK_LOST && !rlk_lock_is_untold(lock);
    return lock->state != RLK_WAITING && !ends;
}

static void put_debts(struct record *record, const struct rlk_debts *debts)
{
    put(record, debts->until_ms); /* also where all that is left is a leave under way */
    put_if(record, debts->owed_later | debts->leaving_later, debts->again_at_ms);
}

static void put_lock(struct record *record, const struct rlk_lock *lock, int first)
{
    bool owned = lock->state == RLK_OWNED, trying = is_trying(lock), asks = is_in_round(lock);
    put(record, lock->state | lock->kind << 4 | lock->outcome << 8);
    put(record, lock->asking | lock->renewing << 1 | (asks && lock->taken ? 4 : 0) |
                    (trying && lock->met_another ? 8 : 0));
    put(record, lock->loss);
    if (has_token(lock)) {
        put_token(record, token_number(lock->lease.token), first);
        put(record, lock->lease.fence);
    }
    put_if(record, owned, lock->deadline_ms);
    put_if(record, owned, lock->renew_at_ms);
    put_if(record, owned || (lock->lease.terms.at_least_ms > 0 && has_token(lock)),
           lock->lease.granted_ms);
    put_if(record, asks, lock->t0_ms);
    put_if(record, asks, lock->round_until_ms);
    put_if(record, asks, lock->round_ttl_ms);
    put_if(record, trying, lock->wait_until_ms);
    put_if(record, trying, lock->give_up_at_ms);
    put_if(record, trying, lock->tries);
    put_if(record, lock->state == RLK_WAITING, lock->poll_at_ms);
    put_if(record, lock->stepped_back, lock->echo_until_ms);
    put(record, lock->lasts_until_ms);
    put_debts(record, &lock->debts);
}

static int64_t life_of(const struct client *client, uint8_t token)
{
    return client->ends_ms[token % (TOKENS_MAX + 1)];
}

static void put_client(struct record *record, const struct world *world, int index, int first)
{
    const struct client *client = &world->clients[index];
    bool handed_in = client->quorum.token[0] != '\0';
    put(record, client->calls | client->attempts << 4 | client->gave_back << 8);
    put(record, client->tokens + !handed_in);
    put(record, client->quorum.highest_fence);
    put(record, client->owned);
    put_lock(record, &client->lock, first);
    if (has_token(&client->lock))
        put(record, life_of(client, token_number(client->lock.lease.token)));
}

/* ---- a node ---- */

static void put_message(struct record *record, const struct client *client,
                        const struct message *message, int first)
{
    bool open = message->answer == RLK_NO_ANSWER;
    bool owed = message->round & RLK_ROUND_OWED;
    bool current = message->call == client->calls && (owed || message->round == client->lock.round);
    put(record, message->kind | message->answer << 4 | message->lost << 9 | message->late << 10 |
                    current << 11);
    put(record, message->round >> 24);
    put_token(record, message->token, first);
    put_if(record, open, message->ttl_ms);
    put_if(record, open, message->fence);
    put_if(record, open, life_of(client, message->token));
    put_if(record, !open && current, message->answer_ttl_ms);
    put_if(record, !open, message->answer_fence);
}

static void put_link(struct record *record, const struct client *client, int node, int first)
{
    const struct link *link = &client->links[node];
    put(record, link->phase | link->cut << 2 | link->count << 3 | link->ghosts << 6);
    for (int i = 0; i < link->count; i++)
        put_message(record, client, &link->flight[i], first);
    for (int i = 0; i < link->ghosts; i++)
        put_message(record, client, &link->ghost[i], first);
}

static int bit_of(rlk_nodes nodes, int node, int place)
{
    return (int)(nodes >> node & 1) << place;
}

static void put_bits(struct record *record, const struct rlk_lock *lock, int node)
{
    const struct rlk_debts *debts = &lock->debts;
    bool asks = is_in_round(lock);
    int bits = bit_of(lock->unsent, node, 0) | bit_of(lock->answered, node, 1) |
               bit_of(lock->woken, node, 2) | bit_of(lock->joined, node, 3) |
               bit_of(lock->stepped_back, node, 4) | bit_of(debts->owed, node, 5) |
               bit_of(debts->owed_sent, node, 6) | bit_of(debts->owed_later, node, 7) |
               bit_of(debts->leaving, node, 8) | bit_of(debts->leaving_later, node, 9);
    if (asks)
        bits |= bit_of(lock->sent, node, 10) | bit_of(lock->refused, node, 11) |
                bit_of(lock->repeated, node, 12);
    if (asks || lock->state == RLK_WAITING)
        bits |= bit_of(lock->granted, node, 13);
    if (has_token(lock))
        bits |= bit_of(lock->lease.nodes, node, 14);
    put(record, bits);
}

static void put_share(struct record *record, const struct client *client, int node, int first)
{
    const struct rlk_lock *lock = &client->lock;
    const struct rlk_tally *tally = &client->tallies[node];
    bool tried = is_trying(lock);
    put_bits(record, lock, node);
    put_if(record, tried, tally->reason);
    put_if(record, tried && tally->reason == RLK_HELD, tally->ttl_ms);
    if (rlk_debts_in_the_way(&lock->debts) & rlk_node_bit(node)) {
        put_token(record, token_number(tally->owed_token), first);
        put(record, life_of(client, token_number(tally->owed_token)));
        put(record, tally->was_owned);
    }
    put_link(record, client, node, first);
}

static void put_node(struct record *record, const struct world *world, int index, int first)
{
    const struct node *node = &world->nodes[index];
    put(record, node->haunted | node->is_fast << 1);
    put_token(record, node->token, first);
    put(record, node->expires_ms);
    put(record, node->fence);
    put_if(record, is_guarded(world, index), node->restarted_ms);
    if (node->token)
        put(record, life_of(&world->clients[token_owner(node->token)], node->token));
    put_share(record, &world->clients[first], index, first);
    put_share(record, &world->clients[!first], index, first);
}

/* ---- the whole ---- */

/* What stands in the rest of the last eight bytes is zero. */
static void pad(struct record *record)
{
    while (record->len % sizeof(uint64_t))
        record->bytes[record->len++] = 0;
}

/* Each eight bytes are multiplied into 128 bits, of which both halves count. */
static uint64_t hash(const struct record *record, uint64_t sum)
{
    for (size_t at = 0; at < record->len; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, record->bytes + at, sizeof word);
        unsigned __int128 product = (unsigned __int128)(word ^ sum ^ UINT64_C(0x9E3779B97F4A7C15)) *
                                    (sum + UINT64_C(0xD6E8FEB86659FD93));
        sum = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    return sum;
}

static int compare(const struct record *a, const struct record *b)
{
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return memcmp(a->bytes, b->bytes, a->len);
}

static void sort(const struct record *records, const struct record **sorted, int count)
{
    for (int i = 0; i < count; i++) {
        int at = i;
        for (; at > 0 && compare(&records[i], sorted[at - 1]) < 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = &records[i];
    }
}

static uint64_t hash_nodes(const struct world *world, int first, uint64_t sum)
{
    struct record records[NODES_MAX];
    const struct record *sorted[NODES_MAX];
    int nodes = world->scene->nodes;
    for (int node = 0; node < nodes; node++) {
        records[node].len = 0;
        put_node(&records[node], world, node, first);
        pad(&records[node]);
    }
    sort(records, sorted, nodes);
    for (int node = 0; node < nodes; node++)
        sum = hash(sorted[node], sum + sorted[node]->len);
    return sum;
}

static void put_world(struct record *record, const struct world *world)
{
    put(record, world->now_ms);
    put(record, world->late | world->extensions << 4 | world->cancels << 8);
    put(record, world->breaks | world->outages << 4 | world->refusals << 8 | world->restarts << 12);
    put(record, world->highest_fence);
    put(record, world->kept_until_ms);
    pad(record);
}

uint64_t world_form(const struct world *world)
{
    struct record whole = {0}, clients[CLIENTS] = {{0}};
    put_world(&whole, world);
    for (int index = 0; index < CLIENTS; index++) {
        put_client(&clients[index], world, index, index);
        pad(&clients[index]);
    }
    int order = compare(&clients[0], &clients[1]), first = order > 0;
    uint64_t sum = hash(&clients[!first], hash(&clients[first], hash(&whole, 1)));
    uint64_t one = hash_nodes(world, first, sum);
    if (order != 0)
        return one;
    uint64_t other = hash_nodes(world, !first, sum);
    return one < other ? one : other;
}
