/* Whole numbers are read and written digit by digit, and so are the doubles that are whole: they
 * are most of them, and printf() takes several times as long. */
#include "sim/redis_number.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

#define EXACT_DIGITS 16         /* what is as short as the largest of these */
#define EXACT_BELOW (1LL << 53) /* is exact in a double */

/* Most are short and positive. */
static bool read_short(struct redis_word word, int64_t *value)
{
    int64_t sum = 0;
    if (word.len == 0 || word.len > EXACT_DIGITS || (*word.bytes == '0' && word.len > 1))
        return false;
    for (size_t i = 0; i < word.len; i++) {
        unsigned digit = (unsigned)(unsigned char)word.bytes[i] - '0';
        if (digit > 9)
            return false;
        sum = 10 * sum + digit;
    }
    *value = sum;
    return true;
}

bool redis_read_integer(struct redis_word word, int64_t *value)
{
    if (read_short(word, value))
        return true;
    const char *at = word.bytes, *end = word.bytes + word.len;
    bool negative = word.len > 0 && *at == '-';
    uint64_t limit = (uint64_t)INT64_MAX + negative, sum = 0;
    if (negative)
        at++;
    if (at == end || (*at == '0' && (negative || end - at > 1)))
        return false;
    for (; at < end; at++) {
        unsigned digit = (unsigned)(unsigned char)*at - '0';
        if (digit > 9 || sum > (limit - digit) / 10)
            return false;
        sum = 10 * sum + digit;
    }
    *value = (int64_t)(negative ? 0 - sum : sum);
    return true;
}

bool redis_read_score(struct redis_word word, double *value)
{
    char text[256], *end;
    int64_t whole;
    if (read_short(word, &whole) && whole < EXACT_BELOW) {
        *value = (double)whole;
        return true;
    }
    if (word.len == 0 || word.len >= sizeof text || isspace((unsigned char)*word.bytes))
        return false;
    memcpy(text, word.bytes, word.len);
    text[word.len] = '\0';
    *value = strtod(text, &end);
    return end == text + word.len && !isnan(*value);
}

struct redis_word redis_write_integer(char text[REDIS_NUMBER_SIZE], int64_t value)
{
    char *end = text + REDIS_NUMBER_SIZE, *at = end;
    if (value >= 0 && value < 10) {
        *text = (char)('0' + value);
        return (struct redis_word){text, 1};
    }
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        *--at = '-';
    return (struct redis_word){at, (size_t)(end - at)};
}

struct redis_word redis_write_double(char text[REDIS_NUMBER_SIZE], double value)
{
    if (fabs(value) < (double)EXACT_BELOW && value == floor(value) &&
        !(value == 0 && signbit(value)))
        return redis_write_integer(text, (int64_t)value);
    return (struct redis_word){text, (size_t)snprintf(text, REDIS_NUMBER_SIZE, "%.17g", value)};
}

int64_t redis_truncate(double number)
{
    return fabs(number) < 0x1p63 ? (int64_t)number : INT64_MIN;
}
