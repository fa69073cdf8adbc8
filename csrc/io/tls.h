/* TLS around a connection's bytes: what goes over the wire is handed in and out, sockets are
 * somebody else's. */
#ifndef RLK_TLS_H
#define RLK_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buffer.h"

struct rlk_tls_options {
    bool verify;             /* the peer's certificate and name */
    const char *ca_file;     /* NULL, with ca_path NULL too: the system's */
    const char *ca_path;     /* a folder of hashed certificates */
    const char *certificate; /* NULL for none; PEM, the client's chain */
    const char *key;         /* NULL: in the certificate's file */
    const char *server_name; /* NULL: the host of the URL */
};

struct rlk_tls; /* what the connections of a client share */
struct rlk_tls_session;

/* NULL with a message if a file cannot be read or does not fit. */
struct rlk_tls *rlk_tls_new(const struct rlk_tls_options *options, char *error, size_t error_size);
void rlk_tls_free(struct rlk_tls *tls);

/* NULL if there is no memory. Keeps what it needs of tls. */
struct rlk_tls_session *rlk_tls_open(const struct rlk_tls *tls, const char *host);
void rlk_tls_close(struct rlk_tls_session *session);

enum rlk_tls_progress { RLK_TLS_WANTS_BYTES, RLK_TLS_DONE, RLK_TLS_FAILED };

/* Goes on with the handshake. */
enum rlk_tls_progress rlk_tls_handshake(struct rlk_tls_session *session, char *error,
                                        size_t error_size);

/* What the peer showed of itself. */
struct rlk_tls_peer {
    int64_t valid_s;   /* until the first of its certificates ends; less than 0 if one has */
    const char *doubt; /* NULL: its chain and name are in order, else what a verification says */
};

/* Once the handshake is done. False if it showed no certificate. */
bool rlk_tls_look(const struct rlk_tls_session *session, struct rlk_tls_peer *peer);

/* Bytes from the wire. False if there is no memory. */
bool rlk_tls_feed(struct rlk_tls_session *session, const char *bytes, size_t len);

/* Plain bytes that were fed so far: their number, 0 for none yet, -1 if the connection is over. */
long rlk_tls_read(struct rlk_tls_session *session, char *bytes, size_t size);

/* Bytes that were fed and not read yet. */
bool rlk_tls_has_unread(const struct rlk_tls_session *session);

/* Plain bytes to the peer; all of them, or false. */
bool rlk_tls_write(struct rlk_tls_session *session, const char *bytes, size_t len);

/* Bytes for the wire, appended to the buffer. False if there is no memory. */
bool rlk_tls_drain(struct rlk_tls_session *session, struct rlk_buffer *wire);

#endif
