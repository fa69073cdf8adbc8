/* Commands are arrays of bulk strings. What Redis takes besides, lines as typed by hand, no client
 * of a simulation sends. */
#include "sim/redis_request.h"

#include <limits.h>
#include <stdio.h>

#include "sim/redis_number.h"

#define LINE_MAX_LEN (64 * 1024)
#define BULK_MAX_LEN (512LL * 1024 * 1024)

void redis_request_free(struct redis_request *request)
{
    free(request->words);
}

void redis_request_add_word(struct redis_request *request, struct redis_word word)
{
    if (request->count == request->capacity) {
        request->capacity = 2 * request->capacity + 16;
        request->words = redis_grow(request->words, request->capacity * sizeof *request->words);
    }
    request->words[request->count++] = word;
}

static enum redis_parsed malformed(struct redis_request *request, const char *what)
{
    snprintf(request->error, sizeof request->error, "ERR Protocol error: %s", what);
    return REDIS_MALFORMED;
}

/* The number in the line behind the kind's character; *at moves behind the line. As in Redis, what
 * follows the carriage return is not looked at. */
static enum redis_parsed read_count(const char **at, const char *end, int64_t *count)
{
    const char *digits = *at + 1;
    const char *line_end = digits;
    while (line_end < end && *line_end >= '0' && *line_end <= '9')
        line_end++;
    if (line_end == end || *line_end != '\r')
        line_end = digits < end ? memchr(digits, '\r', (size_t)(end - digits)) : NULL;
    if (!line_end || line_end + 1 >= end)
        return end - *at > LINE_MAX_LEN ? REDIS_MALFORMED : REDIS_INCOMPLETE;
    *at = line_end + 2;
    return redis_read_integer((struct redis_word){digits, (size_t)(line_end - digits)}, count)
               ? REDIS_COMPLETE
               : REDIS_MALFORMED;
}

static enum redis_parsed read_word(struct redis_request *request, const char **at, const char *end)
{
    int64_t len;
    if (*at == end)
        return REDIS_INCOMPLETE;
    if (**at != '$') {
        char what[] = "expected '$', got '?'";
        what[sizeof what - 3] = **at;
        return malformed(request, what);
    }
    enum redis_parsed parsed = read_count(at, end, &len);
    if (parsed == REDIS_INCOMPLETE)
        return parsed;
    if (parsed == REDIS_MALFORMED || len < 0 || len > BULK_MAX_LEN)
        return malformed(request, "invalid bulk length");
    if (end - *at < len + 2)
        return REDIS_INCOMPLETE;
    redis_request_add_word(request, (struct redis_word){*at, (size_t)len});
    *at += len + 2;
    return REDIS_COMPLETE;
}

enum redis_parsed redis_request_parse(struct redis_request *request, const char *bytes, size_t len)
{
    const char *at = bytes, *end = bytes + len;
    int64_t count;
    request->count = 0;
    if (len == 0)
        return REDIS_INCOMPLETE;
    if (*at != '*')
        return malformed(request, "no array");
    enum redis_parsed parsed = read_count(&at, end, &count);
    if (parsed == REDIS_MALFORMED || (parsed == REDIS_COMPLETE && count > INT_MAX))
        return malformed(request, "invalid multibulk length");
    for (; parsed == REDIS_COMPLETE && count > 0; count--)
        parsed = read_word(request, &at, end);
    request->size = (size_t)(at - bytes);
    return parsed;
}
