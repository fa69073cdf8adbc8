/* What a client was configured with. Read-only once built, and shared by its loops and threads. */
#ifndef RLK_SETTINGS_H
#define RLK_SETTINGS_H

#include <stdint.h>

#include "core/endpoint.h"
#include "core/node.h"
#include "core/request.h"
#include "io/tls.h"

#define RLK_GUARD_AUTO (-1)

struct rlk_settings {
    int nodes;
    struct rlk_endpoint *endpoints; /* one per node; owned, once they were copied */
    struct rlk_tls *tls;            /* owned; NULL if no endpoint wants TLS */
    char client_name[64];
    char purpose[101];  /* a part of the identity that holders of locks are known by; "": none */
    bool is_anonymous;  /* no identity is told */
    int64_t timeout_ms; /* per node: dial, TLS, login and reply */
    double drift_factor;
    int64_t restart_guard_ms; /* RLK_GUARD_AUTO: the longest lease asked for; 0: no guard */
};

/* How to log in to one of the endpoints, for requests; borrows both. */
struct rlk_login rlk_settings_login(const struct rlk_settings *settings,
                                    const struct rlk_endpoint *endpoint);

/* Endpoints are copied, tls is handed over. False, and nothing done, if there is no memory. */
bool rlk_settings_copy(struct rlk_settings *copy, const struct rlk_settings *settings);

/* Of a copy. */
void rlk_settings_free(struct rlk_settings *settings);

#endif
