/* SipHash-2-4, a hash under a secret: who does not know the secret cannot choose bytes that
 * collide. "SipHash: a fast short-input PRF", Aumasson and Bernstein 2012. */
#ifndef RLK_SIPHASH_H
#define RLK_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t rlk_siphash(const uint64_t secret[2], const char *bytes, size_t len);

#endif
