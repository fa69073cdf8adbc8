/* A command is an array of bulk strings: "*2\r\n$3\r\nGET\r\n$1\r\nK\r\n". */
#include "resp.h"

#include <string.h>

/* The number behind the kind's character, as far as it is one. */
static long number_at(const char *at, const char *end)
{
    long number = 0;
    bool is_negative = at + 1 < end && at[1] == '-';
    for (at += 1 + is_negative; at < end && *at >= '0' && *at <= '9'; at++)
        number = 10 * number + (*at - '0');
    return is_negative ? -number : number;
}

/* Past the line that begins there; NULL if it is not whole. */
static const char *skip_line(const char *at, const char *end)
{
    const char *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    return newline ? newline + 1 : NULL;
}

/* Past the bulk string that begins there; NULL if it is not whole. */
static const char *skip_bulk(const char *at, const char *end, struct sim_word *word)
{
    const char *bytes = skip_line(at, end);
    long len = bytes ? number_at(at, end) : 0;
    if (!bytes || len > end - bytes - 2)
        return NULL;
    *word = (struct sim_word){bytes, len > 0 ? (size_t)len : 0};
    return len < 0 ? bytes : bytes + len + 2;
}

size_t sim_resp_command_len(const char *bytes, size_t len)
{
    const char *end = bytes + len, *at = skip_line(bytes, end);
    long words = at ? number_at(bytes, end) : 0;
    struct sim_word word;
    for (; at && words > 0; words--)
        at = skip_bulk(at, end, &word);
    return at ? (size_t)(at - bytes) : 0;
}

int sim_resp_words(const char *command, size_t len, struct sim_word *words, int most)
{
    const char *end = command + len, *at = skip_line(command, end);
    long count = at ? number_at(command, end) : 0;
    int found = 0;
    for (; at && found < count && found < most; found++)
        at = skip_bulk(at, end, &words[found]);
    return found;
}

bool sim_resp_is_script(const char *command, size_t len)
{
    struct sim_word name;
    return sim_resp_words(command, len, &name, 1) == 1 && name.len >= 4 &&
           memcmp(name.bytes, "EVAL", 4) == 0;
}

size_t sim_resp_reply_len(const char *bytes, size_t len)
{
    const char *end = bytes + len, *at = skip_line(bytes, end);
    struct sim_word word;
    if (!at)
        return 0;
    if (*bytes == '$')
        at = skip_bulk(bytes, end, &word);
    else if (*bytes == '*')
        for (long left = number_at(bytes, end); at && left > 0; left--) {
            size_t element = sim_resp_reply_len(at, (size_t)(end - at));
            at = element ? at + element : NULL;
        }
    return at ? (size_t)(at - bytes) : 0;
}
