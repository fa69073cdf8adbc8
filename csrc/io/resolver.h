/* Host names to addresses without blocking: getaddrinfo(3) on a thread of its own. */
#ifndef RLK_RESOLVER_H
#define RLK_RESOLVER_H

#include <netdb.h>

struct rlk_resolution;

/* NULL if there is no memory, descriptor or thread for it. */
struct rlk_resolution *rlk_resolve(const char *host, int port);

/* Becomes readable when the answer is there. */
int rlk_resolution_fd(const struct rlk_resolution *resolution);

/* The addresses, to be freed with freeaddrinfo(); or NULL and getaddrinfo's error. Only once
 * readable. */
struct addrinfo *rlk_resolution_take(struct rlk_resolution *resolution, int *error);

/* At any time: an answer that comes later is thrown away. */
void rlk_resolution_drop(struct rlk_resolution *resolution);

#endif
