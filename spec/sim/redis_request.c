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

void redis_request_reserve(struct redis_request *request, size_t count)
{
    if (count <= request->capacity)
        return;
    request->capacity = 2 * count;
    request->words = redis_grow(request->words, request->capacity * sizeof *request->words);
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

/* A bulk string's head that is not short, or not there. */
static enum redis_parsed read_length(struct redis_request *request, const char **at,
                                     const char *end, int64_t *len)
{
    if (*at == end)
        return REDIS_INCOMPLETE;
    if (**at != '$') {
        char what[] = "expected '$', got '?'";
        what[sizeof what - 3] = **at;
        return malformed(request, what);
    }
    enum redis_parsed parsed = read_count(at, end, len);
    if (parsed == REDIS_MALFORMED ||
        (parsed == REDIS_COMPLETE && (*len < 0 || *len > BULK_MAX_LEN)))
        return malformed(request, "invalid bulk length");
    return parsed;
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* "$1" or "$12" and a line end: nearly all heads. What is behind it, or NULL. */
static const char *read_short_length(const char *at, const char *end, int64_t *len)
{
    if (end - at < 5 || at[0] != '$' || !is_digit(at[1]))
        return NULL;
    if (at[2] == '\r') {
        *len = at[1] - '0';
        return at + 4;
    }
    *len = 10 * (at[1] - '0') + (at[2] - '0');
    return is_digit(at[2]) && at[1] != '0' && at[3] == '\r' ? at + 5 : NULL;
}

/* Room for them grows with what has arrived, whatever was announced. */
static enum redis_parsed read_words(struct redis_request *request, const char **from,
                                    const char *end, int64_t count)
{
    const char *at = *from;
    for (; count > 0; count--) {
        int64_t len;
        const char *word = read_short_length(at, end, &len);
        if (!word) {
            enum redis_parsed parsed = read_length(request, &at, end, &len);
            if (parsed != REDIS_COMPLETE)
                return parsed;
            word = at;
        }
        if (end - word < len + 2)
            return REDIS_INCOMPLETE;
        at = word + len + 2;
        if (request->count == request->capacity)
            redis_request_reserve(request, request->count + 8);
        request->words[request->count++] = (struct redis_word){word, (size_t)len};
    }
    *from = at;
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
    if (parsed == REDIS_COMPLETE)
        parsed = read_words(request, &at, end, count);
    request->size = (size_t)(at - bytes);
    return parsed;
}
