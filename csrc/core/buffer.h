/* A growing run of bytes that is filled at its end and consumed at its start. */
#ifndef RLK_BUFFER_H
#define RLK_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct rlk_buffer {
    char *bytes;
    size_t start; /* first byte that was not consumed */
    size_t end;
    size_t capacity;
};

/* False, and nothing appended, if there is no memory. */
bool rlk_buffer_append(struct rlk_buffer *buffer, const void *bytes, size_t len);
void rlk_buffer_consume(struct rlk_buffer *buffer, size_t len);
void rlk_buffer_clear(struct rlk_buffer *buffer);
void rlk_buffer_free(struct rlk_buffer *buffer);

static inline size_t rlk_buffer_len(const struct rlk_buffer *buffer)
{
    return buffer->end - buffer->start;
}

static inline const char *rlk_buffer_bytes(const struct rlk_buffer *buffer)
{
    return buffer->bytes ? buffer->bytes + buffer->start : "";
}

#endif
