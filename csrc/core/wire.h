/* Requests to RESP bytes, replies to votes. hiredis formats and parses; the meaning is here. */
#ifndef RLK_WIRE_H
#define RLK_WIRE_H

#include <hiredis/hiredis.h>

#include "core/buffer.h"
#include "core/request.h"
#include "core/vote.h"

/* The largest number that Redis scripts (doubles) and every Lua hold exactly, less room to bid
 * above it. */
#define RLK_FENCE_MAX ((INT64_C(1) << 53) - (INT64_C(1) << 32))

/* Appends a plain command. Without lengths its words are terminated. False if there is no
 * memory. */
bool rlk_wire_command(struct rlk_buffer *out, int argc, const char **argv, const size_t *lengths);

/* Appends the request; by its script's text if by_text, else by its SHA1. For a kind of many there
 * are count requests, at most RLK_BATCH_MAX, that travel as one; else count is 1. Waiters that
 * travel together have one inbox. */
bool rlk_wire_request(struct rlk_buffer *out, enum rlk_request_kind kind,
                      const struct rlk_request *requests, size_t count, bool by_text);

#define RLK_SIDE_KEY_SIZE (RLK_KEY_MAX + sizeof "{}:fence")

/* The key's companion in the same slot: "{key}:suffix", or "key:suffix" if the key brings its own
 * tag. ":fence", ":queue" and ":claim" are in use. It points into the buffer. */
struct rlk_key rlk_wire_side_key(const struct rlk_key *key, const char *suffix,
                                 char buffer[RLK_SIDE_KEY_SIZE]);

#define RLK_MEMO_WORDS 12 /* in a request for one lock, at most */

/* The bytes of the last request: a quorum sends the same ones to every node, and where the words of
 * the next are as long, they take the places of these. */
struct rlk_memo {
    enum rlk_request_kind kind;
    bool by_text;
    struct rlk_buffer asked; /* what tells it from others, for each that travelled in it */
    struct rlk_buffer bytes;
    struct rlk_buffer made; /* words that were made for a request */
    size_t words;           /* in the bytes; 0: too many, or none */
    size_t lengths[RLK_MEMO_WORDS];
};

/* As rlk_wire_request(), for askers whose keys are always the same. */
bool rlk_wire_remembered(struct rlk_buffer *out, struct rlk_memo *memo, enum rlk_request_kind kind,
                         const struct rlk_request *requests, const struct rlk_asker *askers,
                         size_t count, bool by_text);

void rlk_memo_free(struct rlk_memo *memo);

/* What the reply says of the index-th of the requests that it answers. The text points into the
 * reply. */
struct rlk_vote rlk_wire_vote(enum rlk_request_kind kind, const redisReply *reply, size_t count,
                              size_t index);

/* A wake-up as scripts/wake.lua writes it: "waiter fence key". False if it is anything else. */
struct rlk_wake {
    uint64_t waiter;
    int64_t fence;
    struct rlk_key key; /* points into the message */
};
bool rlk_wire_wake(const char *message, size_t len, struct rlk_wake *wake);

/* Decimal digits alone, up to RLK_FENCE_MAX. */
bool rlk_wire_number(const char *text, size_t len, int64_t *number);

#endif
