/* A fuzzer's input, read as choices: they are taken off its front, and once it has ended each is
 * 0. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct input {
    const uint8_t *at;
    size_t left;
};

static inline struct input input_of(const uint8_t *bytes, size_t len)
{
    return (struct input){bytes, len};
}

static inline uint8_t take_byte(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

/* From 0 to below bound, which is 256 at most. */
static inline unsigned choose(struct input *input, unsigned bound)
{
    return take_byte(input) % bound;
}

/* So many bytes, big end first. */
static inline uint64_t take_number(struct input *input, int bytes)
{
    uint64_t number = 0;
    while (bytes-- > 0)
        number = number << 8 | take_byte(input);
    return number;
}

/* Up to most bytes, as they stand in the input: how many is a choice of two bytes. */
static inline const char *take_bytes(struct input *input, size_t most, size_t *len)
{
    size_t wanted = (size_t)take_number(input, 2) % (most + 1);
    const char *bytes = (const char *)input->at;
    *len = wanted < input->left ? wanted : input->left;
    input->at += *len;
    input->left -= *len;
    return bytes;
}

/* In memory of just this size, so that reading past it is noticed. The caller frees. */
static inline char *exact_copy(const void *bytes, size_t len)
{
    char *copy = calloc(len, 1);
    if (len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

/* What must be so, whatever the input is. */
#define claim(condition, words)                                                \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, words); \
            abort();                                                           \
        }                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#endif
