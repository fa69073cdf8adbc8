/* A peer: the connection to one node for one purpose, kept up. It dials when wanted, logs in,
 * notices when the server is gone or does not answer, and dials again with back-off. */
#ifndef RLK_PEER_H
#define RLK_PEER_H

#include "core/node.h"
#include "core/quorum.h"
#include "io/settings.h"
#include "io/stream.h"

enum rlk_peer_phase {
    RLK_PEER_ASLEEP, /* not connected, and nothing known against it */
    RLK_PEER_DIALING,
    RLK_PEER_READY,
    RLK_PEER_DOWN, /* failed; not dialed before retry_at_ms */
};

struct rlk_peer {
    enum rlk_peer_phase phase;
    enum rlk_peer_phase phase_seen; /* what the loop has acted on; a dial resets it */
    struct rlk_stream stream;
    struct rlk_node *node;
    struct rlk_quorum *quorum; /* for jitter */
    int64_t timeout_ms;
    int64_t dial_until_ms;
    int64_t retry_at_ms;
    int64_t quiet_since_ms;  /* no byte came since, of what is in flight; else RLK_NEVER */
    int64_t asked_ms;        /* when the login was begun */
    int64_t started_ms;      /* the server's start, by the latest; RLK_NEVER if it does not say */
    int64_t started_from_ms; /* by the earliest, up to a second less; only if it does say */
    int failures;            /* in a row */
    bool proved;             /* it answered on this connection */
    bool hastened;           /* DIALING, since before it was hastened */
    bool was_ready;          /* ever */
    enum rlk_reason reason;  /* DOWN: why */
    char failure[160];       /* DOWN: in words, without credentials */
};

/* Borrows all. False if there is no memory. */
bool rlk_peer_init(struct rlk_peer *peer, const struct rlk_endpoint *endpoint,
                   const struct rlk_settings *settings, const struct rlk_login *login,
                   struct rlk_quorum *quorum);
void rlk_peer_free(struct rlk_peer *peer);

/* Makes it connect, unless it does or failed too recently. */
void rlk_peer_want(struct rlk_peer *peer, int64_t now_ms);

/* It is READY, but there is reason to think that nobody is at the other end: connects anew, when
 * wanted. */
void rlk_peer_distrust(struct rlk_peer *peer);

/* Its back-off begins anew, and is over: when wanted, it connects. A dial under way, if it fails,
 * says nothing of a node that is back by now: it connects once more. */
void rlk_peer_hasten(struct rlk_peer *peer);

/* What has to be sent is written, as far as the connection takes it. */
void rlk_peer_write(struct rlk_peer *peer, int64_t now_ms);

/* The descriptor is ready, or may be; false if an open connection had nothing to read. Events are in
 * the node then. */
bool rlk_peer_read(struct rlk_peer *peer, int64_t now_ms);

/* The next event; a connection that is over yields its votes first. */
bool rlk_peer_next_event(struct rlk_peer *peer, struct rlk_event *event, int64_t now_ms);

/* True if something was due: a dial took too long, a server is silent. */
bool rlk_peer_time(struct rlk_peer *peer, int64_t now_ms);
int64_t rlk_peer_next_time(const struct rlk_peer *peer);

/* Connected, but silent for longer than the timeout with requests in flight. */
bool rlk_peer_is_stalled(const struct rlk_peer *peer, int64_t now_ms);

#endif
