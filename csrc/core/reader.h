/* A reader: bytes of a server in, whole replies out, within bounds: what the server says is not
 * trusted, and hiredis alone would take nearly any amount of it. */
#ifndef RLK_READER_H
#define RLK_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/hiredis_compat.h"

struct rlk_reader_bounds {
    size_t bytes;    /* of one reply */
    size_t elements; /* of one array */
    int depth;       /* arrays within one another; 1: an array holds none */
};

struct rlk_reader {
    struct rlk_reader_bounds bounds;
    redisReader *parser; /* NULL: closed */
    redisReplyObjectFunctions functions;
    void *(*create_array)(const redisReadTask *, rlk_reader_count);
    redisReply *reply; /* the last one; owned */
    size_t unanswered; /* bytes since the last whole reply */
    bool has_unread;   /* more may be read of what was fed */
};

enum rlk_reading { RLK_READ_REPLY, RLK_READ_INCOMPLETE, RLK_READ_MALFORMED };

/* From closed (all zero is closed). It must not move while it is open. False if there is no
 * memory. */
bool rlk_reader_open(struct rlk_reader *reader, struct rlk_reader_bounds bounds);
void rlk_reader_close(struct rlk_reader *reader);

void rlk_reader_feed(struct rlk_reader *reader, const char *bytes, size_t len);

/* The next reply is in reader->reply until the next call. What is malformed, too large or without
 * memory ends the conversation. */
enum rlk_reading rlk_reader_next(struct rlk_reader *reader);

#endif
