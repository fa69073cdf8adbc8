/* hiredis before 1.3 has known overflows in what it does with huge counts: the bounds stand before
 * it. */
#include "core/reader.h"

#include <string.h>

static int depth_of(const redisReadTask *task)
{
    int depth = 1;
    for (; task->parent; task = task->parent)
        depth++;
    return depth;
}

static void *create_bounded_array(const redisReadTask *task, rlk_reader_count count)
{
    const struct rlk_reader *reader = task->privdata;
    bool fits = (size_t)count <= reader->bounds.elements && depth_of(task) <= reader->bounds.depth;
    return fits ? reader->create_array(task, count) : NULL;
}

bool rlk_reader_open(struct rlk_reader *reader, struct rlk_reader_bounds bounds)
{
    memset(reader, 0, sizeof *reader);
    reader->bounds = bounds;
    reader->parser = redisReaderCreate();
    if (!reader->parser)
        return false;
    reader->functions = *reader->parser->fn;
    reader->create_array = reader->functions.createArray;
    reader->functions.createArray = create_bounded_array;
    reader->parser->fn = &reader->functions;
    reader->parser->privdata = reader;
    return true;
}

void rlk_reader_close(struct rlk_reader *reader)
{
    if (reader->reply)
        freeReplyObject(reader->reply);
    reader->reply = NULL;
    if (reader->parser)
        redisReaderFree(reader->parser);
    reader->parser = NULL;
}

void rlk_reader_feed(struct rlk_reader *reader, const char *bytes, size_t len)
{
    reader->unanswered += len;
    reader->has_unread = true;
    redisReaderFeed(reader->parser, bytes, len); /* what goes wrong here, the next reply says */
}

enum rlk_reading rlk_reader_next(struct rlk_reader *reader)
{
    void *reply = NULL;
    if (reader->reply)
        freeReplyObject(reader->reply);
    reader->reply = NULL;
    if (redisReaderGetReply(reader->parser, &reply) != REDIS_OK)
        return RLK_READ_MALFORMED;
    reader->reply = reply;
    size_t rest = reply ? reader->parser->len - reader->parser->pos : 0;
    reader->has_unread = rest > 0;
    bool fits = reader->unanswered - rest <= reader->bounds.bytes;
    if (reply)
        reader->unanswered = rest;
    if (!fits)
        return RLK_READ_MALFORMED;
    return reply ? RLK_READ_REPLY : RLK_READ_INCOMPLETE;
}
