/* Where a command puts its reply: before a client, or into a script (redis_scripts.c). */
#ifndef SIM_REDIS_REPLY_H
#define SIM_REDIS_REPLY_H

#include "sim/redis_bytes.h"

struct redis_reply;

/* After an array so many more replies are its elements; none of them is an array. */
struct redis_reply_kind {
    void (*ok)(struct redis_reply *reply);
    void (*error)(struct redis_reply *reply, struct redis_word text); /* without the "-" */
    void (*integer)(struct redis_reply *reply, int64_t value);
    void (*bulk)(struct redis_reply *reply, struct redis_word word);
    void (*nil)(struct redis_reply *reply);
    void (*array)(struct redis_reply *reply, size_t count);
};

struct redis_reply {
    const struct redis_reply_kind *kind;
    void *target; /* struct redis_bytes: a client's output; or lua_State */
    int left;     /* a script's: how many elements of an array are still to come, */
    int element;  /* and the index of the next */
    bool failed;
};

struct redis_reply redis_reply_to_client(struct redis_bytes *output);

/* Also for those who know that it is a client. */
void redis_write_bulk(struct redis_bytes *output, struct redis_word word);
void redis_write_count(struct redis_bytes *output, char kind, int64_t count);
void redis_write_line(struct redis_bytes *output, char kind, struct redis_word text);

void redis_reply_error(struct redis_reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void redis_reply_ok(struct redis_reply *reply)
{
    reply->kind->ok(reply);
}

#endif
