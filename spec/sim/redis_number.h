/* Numbers as words, by the rules of Redis. */
#ifndef SIM_REDIS_NUMBER_H
#define SIM_REDIS_NUMBER_H

#include "sim/redis_bytes.h"

#define REDIS_NUMBER_SIZE 32

/* A whole one as Redis itself would write it: no sign but "-", no leading zeros, no spaces. */
bool redis_read_integer(struct redis_word word, int64_t *value);

/* A score: anything that strtod() takes whole, but for spaces before it and "nan". */
bool redis_read_score(struct redis_word word, double *value);

/* The word lies in the text. */
struct redis_word redis_write_integer(char text[REDIS_NUMBER_SIZE], int64_t value);

/* With 17 significant digits, as Redis 7.0 writes scores and hands on the numbers of scripts. */
struct redis_word redis_write_double(char text[REDIS_NUMBER_SIZE], double value);

/* C leaves open what a number beyond an integer's range becomes; x86 says this. */
int64_t redis_truncate(double number);

#endif
