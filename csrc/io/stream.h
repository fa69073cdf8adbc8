/* A stream: one non-blocking connection over TCP (IPv4, IPv6), a Unix socket, or TLS. Bytes in,
 * bytes out. */
#ifndef RLK_STREAM_H
#define RLK_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buffer.h"
#include "core/endpoint.h"
#include "io/resolver.h"
#include "io/tls.h"

enum rlk_stream_state {
    RLK_STREAM_CLOSED,
    RLK_STREAM_RESOLVING,
    RLK_STREAM_CONNECTING,
    RLK_STREAM_SECURING, /* the TLS handshake */
    RLK_STREAM_OPEN,
    RLK_STREAM_FAILED, /* error says why */
};

struct rlk_stream {
    enum rlk_stream_state state;
    const struct rlk_endpoint *endpoint; /* borrowed */
    const struct rlk_tls *tls;           /* borrowed */
    int fd;                              /* -1 for none */
    struct rlk_resolution *resolution;
    struct addrinfo *addresses, *next_address;
    struct rlk_tls_session *session;
    struct rlk_buffer wire; /* TLS bytes to be written */
    char error[128];
};

void rlk_stream_init(struct rlk_stream *stream, const struct rlk_endpoint *endpoint,
                     const struct rlk_tls *tls);

/* Starts to connect. From CLOSED. */
void rlk_stream_dial(struct rlk_stream *stream);

/* The descriptor that poll(2) is to watch, -1 for none, and for what. */
int rlk_stream_fd(const struct rlk_stream *stream);
short rlk_stream_poll_events(const struct rlk_stream *stream, bool has_output);

/* Goes on connecting; call when the descriptor is ready, until OPEN or FAILED. */
void rlk_stream_advance(struct rlk_stream *stream);

/* How many bytes; 0 if none can be moved now; -1 if the stream FAILED. Only when OPEN. */
long rlk_stream_read(struct rlk_stream *stream, char *bytes, size_t size);
long rlk_stream_write(struct rlk_stream *stream, const char *bytes, size_t len);

/* Bytes that were taken by rlk_stream_write() but are not on the wire yet. */
bool rlk_stream_has_unwritten(const struct rlk_stream *stream);

/* Bytes that have left the socket but were not read here yet: poll(2) does not know of them. */
bool rlk_stream_has_unread(const struct rlk_stream *stream);

/* What was written is still delivered. To CLOSED. */
void rlk_stream_close(struct rlk_stream *stream);

#endif
