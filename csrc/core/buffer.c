/* Bytes move to the front only when room is needed, so that a consumed prefix costs nothing. */
#include "core/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 1024

static bool grow(struct rlk_buffer *buffer, size_t needed)
{
    size_t capacity = buffer->capacity ? buffer->capacity : FIRST_CAPACITY;
    while (capacity < needed)
        capacity *= 2;
    char *bytes = realloc(buffer->bytes, capacity);
    if (!bytes)
        return false;
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return true;
}

/* Room for so many bytes behind the end; NULL if there is no memory. */
static char *reserve(struct rlk_buffer *buffer, size_t len)
{
    size_t used = rlk_buffer_len(buffer);
    if (buffer->end + len > buffer->capacity && buffer->start > 0) {
        memmove(buffer->bytes, buffer->bytes + buffer->start, used);
        buffer->start = 0;
        buffer->end = used;
    }
    if (used + len > buffer->capacity && !grow(buffer, used + len))
        return NULL;
    return buffer->bytes + buffer->end;
}

bool rlk_buffer_append(struct rlk_buffer *buffer, const void *bytes, size_t len)
{
    if (len == 0)
        return true;
    char *room = reserve(buffer, len);
    if (!room)
        return false;
    memcpy(room, bytes, len);
    buffer->end += len;
    return true;
}

void rlk_buffer_consume(struct rlk_buffer *buffer, size_t len)
{
    assert(len <= rlk_buffer_len(buffer));
    buffer->start += len;
    if (buffer->start == buffer->end)
        rlk_buffer_clear(buffer);
}

void rlk_buffer_clear(struct rlk_buffer *buffer)
{
    buffer->start = buffer->end = 0;
}

void rlk_buffer_free(struct rlk_buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct rlk_buffer){0};
}
