/* A node: the conversation over one connection with one Redis server. Bytes in, events out;
 * requests in, bytes out.
 *
 *     rlk_node_open(node);                       the connection stands: the login is written
 *     rlk_node_output(node), rlk_node_written()  bytes for the server
 *     rlk_node_feed(node, bytes, len)            bytes from the server
 *     while (rlk_node_next_event(node, &event))  READY, VOTE, WAKE, BROKEN
 *     rlk_node_close(node, reason)               the connection is gone: what is in flight gets
 *                                                this as its vote */
#ifndef RLK_NODE_H
#define RLK_NODE_H

#include "core/request.h"
#include "core/vote.h"
#include "core/wire.h"

/* Replies larger than this end the connection. */
#define RLK_REPLY_MAX (64 * 1024)

struct rlk_login {
    const char *user;        /* NULL: the default user */
    const char *password;    /* NULL: none */
    int database;            /* 0 and up */
    const char *client_name; /* for CLIENT LIST; NULL: none */
    const char *channel;     /* NULL: a connection for requests; else the inbox to subscribe to */
};

enum rlk_event_kind { RLK_EVENT_READY, RLK_EVENT_VOTE, RLK_EVENT_WAKE, RLK_EVENT_BROKEN };

struct rlk_event {
    enum rlk_event_kind kind;
    struct rlk_asker asker; /* VOTE */
    struct rlk_vote vote;   /* VOTE; BROKEN: why the connection has to end */
    struct rlk_wake wake;   /* WAKE */
    int64_t uptime_s;       /* READY: the server's; -1 if it does not say */
};

struct rlk_node;

/* Borrows the login's strings. NULL if there is no memory. */
struct rlk_node *rlk_node_new(const struct rlk_login *login);
void rlk_node_free(struct rlk_node *node);

/* False if there is no memory. */
bool rlk_node_open(struct rlk_node *node);

/* Call rlk_node_next_event() until it has no more votes before the node is opened again. */
void rlk_node_close(struct rlk_node *node, enum rlk_reason reason);

/* Logged in, and so ready for requests; or subscribed. */
bool rlk_node_is_ready(const struct rlk_node *node);

/* It has run the script, for one or for many, on this connection, and so most likely will not say
 * NOSCRIPT. */
bool rlk_node_knows(const struct rlk_node *node, enum rlk_request_kind kind);

/* Requests that have no reply yet. */
size_t rlk_node_in_flight(const struct rlk_node *node);

/* Queues a request. Only when ready. The memo, which all nodes of a quorum share, may be NULL.
 * False if there is no memory. */
bool rlk_node_send(struct rlk_node *node, const struct rlk_request *request, struct rlk_asker asker,
                   struct rlk_memo *memo);

/* Queues several of a kind that travel as one, of rlk_kind_of_many(); at most RLK_BATCH_MAX. */
bool rlk_node_send_many(struct rlk_node *node, const struct rlk_request *requests,
                        const struct rlk_asker *askers, size_t count, struct rlk_memo *memo);

/* False once the server of this connection has refused several as one, as it may where not all of
 * them are permitted. It has done nothing then, and who asked is told RLK_NOSCRIPT: to be asked
 * again, one by one. */
bool rlk_node_takes_many(const struct rlk_node *node);

const char *rlk_node_output(const struct rlk_node *node, size_t *len);
void rlk_node_written(struct rlk_node *node, size_t len);

void rlk_node_feed(struct rlk_node *node, const char *bytes, size_t len);

/* Votes and wake-ups point into memory that the next call to the node reuses. */
bool rlk_node_next_event(struct rlk_node *node, struct rlk_event *event);

#endif
