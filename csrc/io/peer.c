/* Everything that can go wrong with a connection ends in go_down(), with a reason for people. */
#include "io/peer.h"

#include <stdio.h>
#include <string.h>

#define RETRY_FIRST_MS 10
#define RETRY_MAX_MS 1000
#define SILENCE_FACTOR 4 /* timeouts of silence after which a connection is given up */
#define READ_SIZE (16 * 1024)

bool rlk_peer_init(struct rlk_peer *peer, const struct rlk_endpoint *endpoint,
                   const struct rlk_settings *settings, const struct rlk_login *login,
                   struct rlk_quorum *quorum)
{
    *peer = (struct rlk_peer){
        .quorum = quorum,
        .timeout_ms = settings->timeout_ms,
        .quiet_since_ms = RLK_NEVER,
        .started_ms = RLK_NEVER,
    };
    rlk_stream_init(&peer->stream, endpoint, settings->tls);
    peer->node = rlk_node_new(login);
    return peer->node != NULL;
}

void rlk_peer_free(struct rlk_peer *peer)
{
    rlk_stream_close(&peer->stream);
    rlk_node_free(peer->node);
    peer->node = NULL;
}

/* ---- up and down ---- */

static void disconnect(struct rlk_peer *peer, enum rlk_reason reason)
{
    rlk_node_close(peer->node, reason);
    rlk_stream_close(&peer->stream);
    peer->quiet_since_ms = RLK_NEVER;
}

static void go_down(struct rlk_peer *peer, enum rlk_reason reason, const char *failure,
                    int64_t now_ms)
{
    int doublings = peer->failures < 7 ? peer->failures : 7;
    int64_t ceiling = (int64_t)RETRY_FIRST_MS << doublings;
    if (ceiling > RETRY_MAX_MS)
        ceiling = RETRY_MAX_MS;
    snprintf(peer->failure, sizeof peer->failure, "%s", failure);
    peer->failures++;
    peer->reason = reason;
    peer->phase = peer->hastened ? RLK_PEER_ASLEEP : RLK_PEER_DOWN;
    peer->retry_at_ms = now_ms + ceiling / 2 + rlk_jitter(peer->quorum, ceiling / 2 + 1);
    disconnect(peer, reason);
}

/* A connection that had served is dialed again at the next request, without a back-off. */
static void lose_connection(struct rlk_peer *peer, enum rlk_reason reason, int64_t now_ms)
{
    char failure[sizeof peer->stream.error];
    memcpy(failure, peer->stream.error, sizeof failure);
    bool served = peer->phase == RLK_PEER_READY && peer->proved;
    if (!served) {
        go_down(peer, reason, failure, now_ms);
        return;
    }
    disconnect(peer, RLK_DISCONNECTED);
    peer->phase = RLK_PEER_ASLEEP;
    peer->failures = 0;
}

static void log_in(struct rlk_peer *peer, int64_t now_ms)
{
    peer->asked_ms = now_ms;
    if (!rlk_node_open(peer->node))
        go_down(peer, RLK_NO_MEMORY, rlk_reason_text(RLK_NO_MEMORY), now_ms);
}

static void dial(struct rlk_peer *peer, int64_t now_ms)
{
    peer->phase = RLK_PEER_DIALING;
    peer->phase_seen = RLK_PEER_DIALING; /* what comes of it is news, also if that was so before */
    peer->dial_until_ms = now_ms + peer->timeout_ms;
    peer->proved = peer->hastened = false;
    rlk_stream_dial(&peer->stream);
    if (peer->stream.state == RLK_STREAM_FAILED)
        lose_connection(peer, RLK_UNREACHABLE, now_ms);
    else if (peer->stream.state == RLK_STREAM_OPEN)
        log_in(peer, now_ms);
}

void rlk_peer_want(struct rlk_peer *peer, int64_t now_ms)
{
    bool may_retry = peer->phase == RLK_PEER_DOWN && now_ms >= peer->retry_at_ms;
    bool has_votes =
        rlk_node_in_flight(peer->node) > 0; /* of the last connection, to be taken first */
    if (!has_votes && (peer->phase == RLK_PEER_ASLEEP || may_retry))
        dial(peer, now_ms);
}

void rlk_peer_distrust(struct rlk_peer *peer)
{
    disconnect(peer, RLK_DISCONNECTED);
    peer->phase = RLK_PEER_ASLEEP;
}

void rlk_peer_hasten(struct rlk_peer *peer)
{
    peer->failures = 0;
    peer->retry_at_ms = 0;
    peer->hastened = peer->phase == RLK_PEER_DIALING;
}

/* ---- bytes ---- */

void rlk_peer_write(struct rlk_peer *peer, int64_t now_ms)
{
    size_t len;
    if (peer->stream.state != RLK_STREAM_OPEN)
        return;
    const char *bytes = rlk_node_output(peer->node, &len);
    if (!len && !rlk_stream_has_unwritten(&peer->stream))
        return;
    long written = rlk_stream_write(&peer->stream, bytes, len);
    if (written < 0)
        lose_connection(peer, RLK_DISCONNECTED, now_ms);
    else
        rlk_node_written(peer->node, (size_t)written);
    if (peer->quiet_since_ms == RLK_NEVER && rlk_node_in_flight(peer->node) > 0)
        peer->quiet_since_ms = now_ms;
}

static bool read_open(struct rlk_peer *peer, int64_t now_ms)
{
    char bytes[READ_SIZE];
    long len;
    bool was_ready = false;
    do {
        len = rlk_stream_read(&peer->stream, bytes, sizeof bytes);
        if (len > 0) {
            rlk_node_feed(peer->node, bytes, (size_t)len);
            if (peer->quiet_since_ms != RLK_NEVER)
                peer->quiet_since_ms = now_ms;
        }
        was_ready |= len != 0;
    } while (len == (long)sizeof bytes || (len > 0 && rlk_stream_has_unread(&peer->stream)));
    return was_ready;
}

bool rlk_peer_read(struct rlk_peer *peer, int64_t now_ms)
{
    if (peer->stream.state == RLK_STREAM_OPEN)
        return read_open(peer, now_ms);
    if (peer->stream.state == RLK_STREAM_FAILED)
        return true; /* as its next event will say */
    rlk_stream_advance(&peer->stream);
    if (peer->stream.state == RLK_STREAM_FAILED)
        lose_connection(peer, RLK_UNREACHABLE, now_ms);
    else if (peer->stream.state == RLK_STREAM_OPEN)
        log_in(peer, now_ms);
    return true;
}

/* ---- events ---- */

static void become_ready(struct rlk_peer *peer, int64_t uptime_s, int64_t now_ms)
{
    peer->phase = RLK_PEER_READY;
    peer->was_ready = true;
    peer->hastened = false;
    peer->quiet_since_ms = RLK_NEVER;
    peer->started_ms = uptime_s < 0 ? RLK_NEVER : now_ms - uptime_s * 1000;
    peer->started_from_ms = peer->asked_ms - uptime_s * 1000;
}

static void break_off(struct rlk_peer *peer, const struct rlk_vote *vote, int64_t now_ms)
{
    char failure[sizeof peer->failure];
    snprintf(failure, sizeof failure, "%.*s", (int)vote->text_len,
             vote->text_len ? vote->text : "");
    go_down(peer, vote->reason, failure, now_ms);
}

static void note_answer(struct rlk_peer *peer)
{
    peer->proved = true;
    peer->failures = 0;
    if (rlk_node_in_flight(peer->node) == 0)
        peer->quiet_since_ms = RLK_NEVER;
}

bool rlk_peer_next_event(struct rlk_peer *peer, struct rlk_event *event, int64_t now_ms)
{
    while (rlk_node_next_event(peer->node, event)) {
        if (event->kind == RLK_EVENT_BROKEN) {
            break_off(peer, &event->vote, now_ms);
            continue;
        }
        if (event->kind == RLK_EVENT_READY)
            become_ready(peer, event->uptime_s, now_ms);
        else if (peer->phase == RLK_PEER_READY)
            note_answer(peer);
        return true;
    }
    if (peer->stream.state == RLK_STREAM_FAILED) {
        lose_connection(peer, RLK_DISCONNECTED, now_ms);
        return rlk_peer_next_event(peer, event, now_ms);
    }
    return false;
}

/* ---- time ---- */

bool rlk_peer_is_stalled(const struct rlk_peer *peer, int64_t now_ms)
{
    return peer->phase == RLK_PEER_READY && peer->quiet_since_ms != RLK_NEVER &&
           now_ms - peer->quiet_since_ms >= peer->timeout_ms;
}

bool rlk_peer_time(struct rlk_peer *peer, int64_t now_ms)
{
    if (now_ms < rlk_peer_next_time(peer))
        return false;
    if (peer->phase == RLK_PEER_DIALING)
        go_down(peer, RLK_TIMED_OUT, "no connection and login within the timeout", now_ms);
    else if (peer->phase == RLK_PEER_READY)
        go_down(peer, RLK_STALLED, "silent for four timeouts", now_ms);
    return true;
}

int64_t rlk_peer_next_time(const struct rlk_peer *peer)
{
    if (peer->phase == RLK_PEER_DIALING)
        return peer->dial_until_ms;
    if (peer->phase == RLK_PEER_READY && peer->quiet_since_ms != RLK_NEVER)
        return peer->quiet_since_ms + SILENCE_FACTOR * peer->timeout_ms;
    return RLK_NEVER;
}
