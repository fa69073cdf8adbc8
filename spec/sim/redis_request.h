/* Bytes from a client to the words of its commands. The words lie where the bytes do. */
#ifndef SIM_REDIS_REQUEST_H
#define SIM_REDIS_REQUEST_H

#include "sim/redis_bytes.h"

enum redis_parsed { REDIS_INCOMPLETE, REDIS_COMPLETE, REDIS_MALFORMED };

struct redis_request {
    struct redis_word *words;
    size_t count, capacity;
    size_t size;    /* of the bytes of a complete request */
    char error[64]; /* of a malformed one, as Redis words it */
};

enum redis_parsed redis_request_parse(struct redis_request *request, const char *bytes, size_t len);

/* Room for so many words. */
void redis_request_reserve(struct redis_request *request, size_t count);
void redis_request_free(struct redis_request *request);

#endif
