/* The protocol's second version, RESP2. */
#include "sim/redis_reply.h"

#include <stdarg.h>
#include <stdio.h>

#include "sim/redis_number.h"

static char *put(char *at, struct redis_word word)
{
    if (word.len > 0)
        memcpy(at, word.bytes, word.len);
    return at + word.len;
}

static char *put_line_end(char *at)
{
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

static char *put_count(char *at, char kind, int64_t count)
{
    char text[REDIS_NUMBER_SIZE];
    *at++ = kind;
    return put_line_end(put(at, redis_write_integer(text, count)));
}

void redis_write_count(struct redis_bytes *output, char kind, int64_t count)
{
    char *at = redis_bytes_room(output, REDIS_NUMBER_SIZE + 3);
    output->end = (size_t)(put_count(at, kind, count) - output->bytes);
}

void redis_write_bulk(struct redis_bytes *output, struct redis_word word)
{
    char *at = redis_bytes_room(output, REDIS_NUMBER_SIZE + 3 + word.len + 2);
    at = put_count(at, '$', (int64_t)word.len);
    output->end = (size_t)(put_line_end(put(at, word)) - output->bytes);
}

/* Line ends within a line become spaces. */
void redis_write_line(struct redis_bytes *output, char kind, struct redis_word text)
{
    char *at = redis_bytes_room(output, 1 + text.len + 2);
    *at++ = kind;
    for (size_t i = 0; i < text.len; i++)
        *at++ = text.bytes[i] == '\r' || text.bytes[i] == '\n' ? ' ' : text.bytes[i];
    output->end = (size_t)(put_line_end(at) - output->bytes);
}

static void send_ok(struct redis_reply *reply)
{
    redis_bytes_append(reply->target, "+OK\r\n", 5);
}

static void send_error(struct redis_reply *reply, struct redis_word text)
{
    redis_write_line(reply->target, '-', text);
}

static void send_integer(struct redis_reply *reply, int64_t value)
{
    redis_write_count(reply->target, ':', value);
}

static void send_bulk(struct redis_reply *reply, struct redis_word word)
{
    redis_write_bulk(reply->target, word);
}

static void send_nil(struct redis_reply *reply)
{
    redis_write_count(reply->target, '$', -1);
}

static void send_array(struct redis_reply *reply, size_t count)
{
    redis_write_count(reply->target, '*', (int64_t)count);
}

struct redis_reply redis_reply_to_client(struct redis_bytes *output)
{
    static const struct redis_reply_kind kind = {send_ok,   send_error, send_integer,
                                                 send_bulk, send_nil,   send_array};
    return (struct redis_reply){.kind = &kind, .target = output};
}

void redis_reply_error(struct redis_reply *reply, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t written = len < (int)sizeof text ? (size_t)len : sizeof text - 1;
    reply->failed = true;
    reply->kind->error(reply, (struct redis_word){text, written});
}
