/* An endpoint: where a node is and how to log in, read from a URL.
 *
 *     redis://[[user]:password@]host[:port][/database]
 *     rediss://...                                       the same over TLS
 *     unix://[[user]:password@]/path[?db=database]
 *     host[:port], [v6 address][:port]
 *
 * User, password, host and path may hold percent-escapes (RFC 3986). */
#ifndef RLK_ENDPOINT_H
#define RLK_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

enum rlk_transport { RLK_TCP, RLK_TLS, RLK_UNIX };

#define RLK_URL_MAX 1024

struct rlk_endpoint {
    enum rlk_transport transport;
    char host[256];     /* name or address, without brackets; a path for RLK_UNIX */
    int port;           /* 1 to 65535; 6379 unless given */
    char user[256];     /* "" for none */
    char password[512]; /* "" for none */
    int database;
    char name[300]; /* for people: "host:port", "[::1]:6379" or the path; never with credentials */
};

/* False, with what is wrong in error, if the text is no URL of these forms. The error never
 * quotes the text. */
bool rlk_endpoint_parse(struct rlk_endpoint *endpoint, const char *url, size_t len,
                        const char **error);

/* The same server, whatever the login or database: it has one vote. */
bool rlk_endpoint_same(const struct rlk_endpoint *a, const struct rlk_endpoint *b);

#endif
