/* What the operating system is asked for: clocks, randomness, who we are, whether the process
 * forked. */
#ifndef RLK_SYSTEM_H
#define RLK_SYSTEM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/request.h"

/* CLOCK_BOOTTIME: it counts suspend, and nobody can set it. */
int64_t rlk_clock_ms(void); /* rounded down */
int64_t rlk_clock_us(void);

/* Microseconds since 1970. May be set; never decides validity. */
int64_t rlk_wall_us(void);

/* "host:pid" of this process, also after a fork; cut short, and without what a terminal would trip
 * over. */
void rlk_name_process(char *name, size_t size);

/* From the kernel's CSPRNG. */
void rlk_random_bytes(void *bytes, size_t len);
void rlk_random_token(char token[RLK_TOKEN_SIZE]);

/* A thread that no signal reaches. A stack of 0 bytes is one of the usual size. */
bool rlk_start_thread(pthread_t *thread, size_t stack, void *(*run)(void *), void *argument);

/* Changes in the child of a fork: what was opened, or drawn, under another generation belongs to
 * the parent. */
unsigned rlk_fork_generation(void);

#endif
