/* A Redis server, as far as the library can tell: the commands that it sends, run the shipped
 * scripts with Lua 5.1's rules, over keys that expire. Bytes in, bytes out; the time is handed in,
 * by the server's own clock.
 *
 * What it does is compared with a real server, reply by reply: redis_spec.lua. */
#ifndef SIM_REDIS_H
#define SIM_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_redis;
struct sim_session; /* one connection, as its server sees it */

/* Without keys, scripts and sessions, started at 0. Servers of one thread share an interpreter.
 * NULL if there is no memory. */
struct sim_redis *sim_redis_new(void);
void sim_redis_free(struct sim_redis *redis);

/* The process ends, and another starts: sessions are over (and still to be closed by who has them),
 * scripts are unknown, the uptime counts from now. Keys stay if the data was kept. Without them it
 * is as a new one, and costs less. */
void sim_redis_restart(struct sim_redis *redis, bool keeps_data, int64_t now_ms);

void sim_redis_flush_scripts(struct sim_redis *redis);

struct sim_session *sim_redis_accept(struct sim_redis *redis);

/* The client is gone: it hears no messages any more. The session is its server's again. */
void sim_session_close(struct sim_session *session);

/* The server has closed it, after a restart or bytes that are no commands: what is received is
 * ignored, and no more comes out than its output. */
bool sim_session_is_over(const struct sim_session *session);

/* Bytes from the client: whole commands are run, the rest is kept for later. */
void sim_session_receive(struct sim_session *session, const char *bytes, size_t len,
                         int64_t now_ms);

/* What the server has to send: replies, and messages that any session's commands published. */
const char *sim_session_output(const struct sim_session *session, size_t *len);
void sim_session_sent(struct sim_session *session, size_t len);

/* A session that has something to send; NULL if none has. */
struct sim_session *sim_redis_next_output(struct sim_redis *redis);

/* For the judge: what stands under a key, without touching it. */
struct sim_value {
    bool exists;           /* and is not expired */
    const char *bytes;     /* a string's; not terminated; until the next command */
    size_t len;            /* a string's, or how many members a sorted set has */
    int64_t expires_at_ms; /* by the server's clock; INT64_MAX for never */
    uint64_t newest;       /* a sorted set's newest member, by number */
};
struct sim_value sim_redis_look(const struct sim_redis *redis, const char *key, size_t len,
                                int64_t now_ms);

#endif
