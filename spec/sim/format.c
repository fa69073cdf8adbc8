/* hiredis writes a command word by word into a string that grows, which is a tenth of what a schedule
 * costs. The same bytes, in one go. */
#include "replaced.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#if HIREDIS_MAJOR >= 1
typedef long long length;
#else
typedef int length;
#endif

#define HEAD_MAX 23 /* '*' or '$', a number, CR and LF */

static char *put_head(char *at, char kind, size_t number)
{
    char digits[HEAD_MAX], *digit = digits + sizeof digits;
    *--digit = '\n';
    *--digit = '\r';
    do
        *--digit = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    *--digit = kind;
    size_t len = (size_t)(digits + sizeof digits - digit);
    return (char *)memcpy(at, digit, len) + len;
}

static size_t length_of(const char **argv, const size_t *lengths, int index)
{
    return lengths ? lengths[index] : strlen(argv[index]);
}

length redisFormatSdsCommandArgv(sds *target, int argc, const char **argv, const size_t *lengths)
{
    size_t size = HEAD_MAX;
    for (int i = 0; i < argc; i++)
        size += HEAD_MAX + length_of(argv, lengths, i) + 2;
    char *bytes = malloc(size);
    if (!bytes)
        return -1;
    char *at = put_head(bytes, '*', (size_t)argc);
    for (int i = 0; i < argc; i++) {
        size_t len = length_of(argv, lengths, i);
        at = put_head(at, '$', len);
        at = (char *)memcpy(at, argv[i], len) + len;
        *at++ = '\r';
        *at++ = '\n';
    }
    *target = bytes;
    return (length)(at - bytes);
}

void redisFreeSdsCommand(sds bytes)
{
    free(bytes);
}
