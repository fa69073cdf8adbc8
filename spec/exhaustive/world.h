/* A small world in which everything that can happen does: clients built on the shipped core
 * compete for one lock on a few nodes, over connections that delay, break and come back.
 *
 * A world is plain memory: copied, it can go another way from there. Time passes in ticks. What may
 * happen next is a list of actions, and the search takes each of them in turn. */
#ifndef EXHAUSTIVE_WORLD_H
#define EXHAUSTIVE_WORLD_H

#include "core/lock.h"

#define NODES_MAX 3
#define CLIENTS 2
#define FLIGHT_MAX 4
#define TOKENS_MAX 15 /* of each client */
#define ACTIONS_MAX 256

/* What must hold (judge.h); the worst to break come first. */
enum invariant {
    HOLDS,
    ONE_OWNER,         /* never two that believe they own the lock */
    FENCES_RISE,       /* with every grant */
    DEADLINE_IS_REAL,  /* it comes before the real expiry on a majority */
    NOT_BEFORE_TIME,   /* nobody owns it before the time that its last owner asked for */
    NO_ORPHAN,         /* a token that nobody owns or still has to release stands nowhere */
    NO_RESURRECTION,   /* an extension never makes a key, nor shortens a lease */
    NO_LATE_EXTENSION, /* one that succeeded had no newer owner */
    NO_SHORTENING,     /* a deadline never comes nearer during a tenure */
    LOSS_IS_TRUE,      /* who is told of a loss has no majority any more */
    RELEASE_IS_TRUE,   /* nor has who is told of a release */
    FRESH_TOKENS,      /* each attempt has its own */
    WATCHDOG_STOPS,    /* with its owner, and at max_hold */
    NOBODY_IS_STUCK,   /* what has not ended will go on */
    NO_ASSERTION,      /* of the core fails */
    INVARIANTS
};

/* What there is, and how often it may happen. Budgets are for all clients together. */
struct scene {
    const char *name;
    const char *about;
    int nodes;
    int ticks;       /* how often time passes */
    int fast;        /* nodes whose clocks are as fast as clients allow for */
    int late;        /* messages, or looks at the clock, that are still to come when time passes */
    int tick_ms;     /* how much */
    int ttl_ms;      /* of a lease */
    int drift;       /* in percent of a lease, for which clients allow */
    int timeout_ms;  /* that a client gives a round */
    int wait_ms;     /* 0: acquires try once */
    int calls;       /* acquires of each client */
    int attempts;    /* of each client, in all its calls */
    int extensions;  /* asked for by the owner */
    int extend_ms;   /* by how much */
    int renews;      /* 1: and by the watchdog */
    int at_least_ms; /* nobody else is to own it before; 0: as soon as it is free */
    int max_hold_ms; /* where the watchdog stops; 0: nowhere */
    int cancels;
    int breaks;   /* of connections, also without need */
    int ghosts;   /* 1: what was under way then may still arrive later */
    int outages;  /* dials that are refused */
    int refusals; /* nodes that are busy instead of answering */
    int restarts; /* of nodes, without their data */
    int many; /* 1: requests that may travel with others of their kind go by the scripts for many */
    int guard;               /* 1: who restarted does not vote for a lease */
    enum invariant expected; /* to break; or HOLDS */
};

/* A request, and its answer once the node has run it. Tokens are numbers here, 0 for none. */
struct message {
    uint8_t kind; /* enum rlk_request_kind */
    uint8_t token;
    uint8_t call;   /* which of the client's calls asked */
    uint8_t answer; /* enum rlk_reason; RLK_NO_ANSWER: it is still on its way to the node */
    bool lost;      /* it never gets there */
    bool late;      /* the answer does not come before time has passed */
    uint32_t round;
    int16_t ttl_ms, fence;
    int16_t answer_ttl_ms, answer_fence;
};

enum link_phase { LINK_UP, LINK_DIALING, LINK_DOWN };

/* One connection: what was asked over it and not answered yet, in order. */
struct link {
    uint8_t phase;
    bool cut; /* the node has closed it, and the client does not know */
    uint8_t count, ghosts;
    struct message flight[FLIGHT_MAX];
    struct message ghost[FLIGHT_MAX]; /* of a connection that the client has given up */
};

struct client {
    struct rlk_quorum quorum;
    struct rlk_lock lock;
    struct rlk_tally tallies[NODES_MAX];
    struct link links[NODES_MAX];
    uint8_t calls, attempts;
    uint8_t tokens; /* handed in so far */
    uint16_t owned; /* of these, by bits, those that it owned and that may be kept */
    bool gave_back; /* what it had lost */
    int32_t
        ends_ms[TOKENS_MAX + 1]; /* when a token that was asked for has died, whatever happened */
};

/* What stands on a server, by its own clock. */
struct node {
    uint8_t token;
    bool haunted; /* it was granted to a request whose connection was given up before */
    bool is_fast;
    int32_t expires_ms;
    int32_t fence;
    int32_t restarted_ms; /* by the clients' clock; -1: never */
};

struct world {
    const struct scene *scene;
    int32_t now_ms;
    uint8_t late, extensions, cancels, breaks, outages, refusals, restarts; /* so far */
    int32_t highest_fence;                                                  /* of all grants */
    int32_t kept_until_ms; /* by the last owner's at_least_ms */
    struct client clients[CLIENTS];
    struct node nodes[NODES_MAX];
};

enum action_kind {
    ACQUIRE, /* a client calls */
    EXTEND,
    RELEASE,
    CANCEL,
    TIME,     /* a client hears what time it is */
    REFUSE,   /* a client knows that a node is down, or guarded */
    ANSWER,   /* a node runs the next request of a connection, and the client reads its answer */
    RUN,      /* a node runs it; the answer may take its time */
    RUN_LATE, /* or takes it */
    BUSY,     /* a node says that it is busy */
    READ,     /* a client reads the next answer */
    BREAK,    /* a client finds that its connection broke, after some more were run */
    HAUNT,    /* and what was not run may still be */
    GHOST,    /* which happens */
    CONNECT,
    FAIL_TO_CONNECT,
    RESTART,
    TICK,
    ACTION_KINDS
};

struct action {
    uint8_t kind, client, node, count;
};

/* Before anything has happened. */
void world_begin(struct world *world, const struct scene *scene);

/* A copy that can go its own way. */
void world_copy(struct world *to, const struct world *from);

/* For whoever moved or restored the bytes of a world. */
void world_point(struct world *world);

/* What may happen now; how many. */
int world_actions(const struct world *world, struct action actions[ACTIONS_MAX]);

/* Lets it happen. False if that leads beyond the scene: the world is of no use any more then. */
bool world_act(struct world *world, struct action action);

/* ---- what several files ask of a world ---- */

static inline void token_text(uint8_t token, char text[3])
{
    text[0] = '\0';
    if (token) {
        text[0] = (char)('A' + token / (TOKENS_MAX + 1));
        text[1] = (char)('a' + token % (TOKENS_MAX + 1) - 1);
        text[2] = '\0';
    }
}

static inline uint8_t token_number(const char *text)
{
    return text[0] ? (uint8_t)((text[0] - 'A') * (TOKENS_MAX + 1) + text[1] - 'a' + 1) : 0;
}

static inline int token_owner(uint8_t token)
{
    return token / (TOKENS_MAX + 1);
}

static inline bool is_acquire(const struct message *message)
{
    return message->kind == RLK_ACQUIRE || message->kind == RLK_ACQUIRE_MANY;
}

static inline bool is_extension(const struct message *message)
{
    return message->kind == RLK_EXTEND || message->kind == RLK_EXTEND_MANY;
}

static inline bool is_release(const struct message *message)
{
    return message->kind == RLK_RELEASE || message->kind == RLK_RELEASE_MANY;
}

/* The node would be too young to vote for a lease. */
static inline bool is_guarded(const struct world *world, int node)
{
    const struct node *at = &world->nodes[node];
    return world->scene->guard && at->restarted_ms >= 0 &&
           world->now_ms < at->restarted_ms + world->scene->ttl_ms;
}

/* What a fast clock gains: all that the clients allow for. */
static inline int64_t node_clock_ms(const struct world *world, int node, int64_t ms)
{
    return world->nodes[node].is_fast ? ms * 100 / (100 - world->scene->drift) : ms;
}

#endif
