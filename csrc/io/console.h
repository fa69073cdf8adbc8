/* A console: one connection to one node for any command, for programs that look after the nodes. It
 * blocks, and does not come back by itself: what goes wrong ends it. */
#ifndef RLK_CONSOLE_H
#define RLK_CONSOLE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/settings.h"

/* A reply larger than this ends the connection. */
#define RLK_CONSOLE_REPLY_MAX (1024 * 1024)

struct rlk_console;

/* To the node of that index, from 0. Borrows the settings. NULL if there is no memory. */
struct rlk_console *rlk_console_new(const struct rlk_settings *settings, int node);
void rlk_console_free(struct rlk_console *console);

/* Dials and logs in, unless it is open. False if that is not done within the timeout, with why in
 * rlk_console_error(). */
bool rlk_console_open(struct rlk_console *console, int64_t timeout_ms);
void rlk_console_close(struct rlk_console *console);
bool rlk_console_is_open(const struct rlk_console *console);

/* Queues a command; it leaves with the next rlk_console_receive(). Only when open. False if there
 * is no memory. */
bool rlk_console_send(struct rlk_console *console, int argc, const char **argv,
                      const size_t *lengths);

/* The next reply, for the commands in their order; the console's until the next call. NULL if there
 * is none within the timeout, or the connection ended: it is closed then, with why in
 * rlk_console_error(). Only when open. */
const redisReply *rlk_console_receive(struct rlk_console *console, int64_t timeout_ms);

/* In words, without credentials. */
const char *rlk_console_error(const struct rlk_console *console);

/* What a server says may hold the password that it was told. */
bool rlk_console_may_tell(const struct rlk_console *console, const char *text, size_t len);

/* What the server showed of itself. False without TLS, or when not open. */
bool rlk_console_certificate(const struct rlk_console *console, struct rlk_tls_peer *peer);

#endif
