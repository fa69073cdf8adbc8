/* The clocks, getrandom(2), the process' name, threads and fork detection, and nothing else. */
#include "io/system.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int64_t read_us(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

int64_t rlk_clock_us(void)
{
    return read_us(CLOCK_BOOTTIME);
}

int64_t rlk_clock_ms(void)
{
    return rlk_clock_us() / 1000;
}

int64_t rlk_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

void rlk_name_process(char *name, size_t size)
{
    char host[65] = "";
    if (gethostname(host, sizeof host - 1) != 0 || !host[0])
        strcpy(host, "?");
    snprintf(name, size, "%s:%ld", host, (long)getpid());
    for (char *at = name; *at; at++)
        if (*at <= ' ' || *at > '~')
            *at = '?';
}

void rlk_random_bytes(void *bytes, size_t len)
{
    unsigned char *rest = bytes;
    while (len > 0) {
        ssize_t drawn = getrandom(rest, len, 0);
        if (drawn < 0 && errno != EINTR)
            abort(); /* no kernel since 3.17 refuses, and a lock without randomness is no lock */
        if (drawn > 0) {
            rest += drawn;
            len -= (size_t)drawn;
        }
    }
}

static void draw_from_pool(unsigned char bytes[RLK_TOKEN_BYTES])
{
    static unsigned char pool[RLK_TOKEN_BYTES * 64];
    static size_t left;
    static unsigned generation;
    if (left == 0 || generation != rlk_fork_generation()) {
        rlk_random_bytes(pool, sizeof pool);
        left = sizeof pool;
        generation = rlk_fork_generation();
    }
    memcpy(bytes, pool + sizeof pool - left, RLK_TOKEN_BYTES);
    left -= RLK_TOKEN_BYTES;
}

/* Randomness is drawn for many tokens at once, and anew after a fork. Whoever finds the pool in use
 * does without, in a child that was forked off in such a moment for ever. (Thread-local storage of a
 * module that is loaded late needs memory, and ends the process where there is none.) */
void rlk_random_token(char token[RLK_TOKEN_SIZE])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static atomic_flag in_use = ATOMIC_FLAG_INIT;
    unsigned char bytes[RLK_TOKEN_BYTES], *byte = bytes;
    if (atomic_flag_test_and_set(&in_use)) {
        rlk_random_bytes(bytes, sizeof bytes);
    } else {
        draw_from_pool(bytes);
        atomic_flag_clear(&in_use);
    }
    for (int i = 0; i < RLK_TOKEN_BYTES; i += 3, byte += 3, token += 4) {
        token[0] = digits[byte[0] >> 2];
        token[1] = digits[(byte[0] & 3) << 4 | byte[1] >> 4];
        token[2] = digits[(byte[1] & 15) << 2 | byte[2] >> 6];
        token[3] = digits[byte[2] & 63];
    }
    *token = '\0';
}

bool rlk_start_thread(pthread_t *thread, size_t stack, void *(*run)(void *), void *argument)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    if (stack > 0)
        pthread_attr_setstacksize(&attributes, stack);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(thread, &attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failure == 0;
}

static atomic_uint forks = 1;

static void count_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

unsigned rlk_fork_generation(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static atomic_bool watching;
    if (!atomic_load_explicit(&watching, memory_order_acquire)) {
        pthread_once(&once, watch_forks);
        atomic_store_explicit(&watching, true, memory_order_release);
    }
    return atomic_load_explicit(&forks, memory_order_relaxed);
}
