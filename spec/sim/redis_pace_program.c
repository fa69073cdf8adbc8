/* How much processor time the model takes for what the library asks for: make sim-redis-pace
 *
 * The best of several rounds: on a machine that others use, the rest is theirs. */
#include <stdio.h>
#include <time.h>

#include "sim/redis.h"
#include "sim/redis_bytes.h"

#define LOCKS 32
#define ROUNDS 50

static const struct script {
    const char *name, *sha1, *text;
} scripts[] = {
#define RLK_SCRIPT(name, sha1, text) {#name, sha1, text},
#include "scripts_text.h"
};

static struct sim_redis *redis;
static struct sim_session *session;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const struct script *script(const char *name)
{
    const struct script *found = scripts;
    while (strcmp(found->name, name) != 0)
        found++;
    return found;
}

/* ---- requests ---- */

/* Ends with NULL. A % stands for the number of the lock. */
static struct redis_bytes request_of(int lock, const char *const *words)
{
    struct redis_bytes request = {0};
    size_t count = 0;
    while (words[count])
        count++;
    request.end += (size_t)sprintf(redis_bytes_room(&request, 32), "*%zu\r\n", count);
    for (; *words; words++) {
        char word[4096], *at = word;
        for (const char *from = *words; *from; from++)
            at += *from == '%' && count < 10 ? sprintf(at, "%02d", lock) : (*at = *from, 1);
        *at = '\0';
        size_t len = (size_t)(at - word);
        request.end +=
            (size_t)sprintf(redis_bytes_room(&request, len + 32), "$%zu\r\n%s\r\n", len, word);
    }
    return request;
}

/* Tokens are ever new. */
static void set_token(struct redis_bytes request, long number)
{
    char *token = memmem(request.bytes, request.end, "TOKEN", 5);
    for (char *digit = token ? token + 10 : NULL; digit && digit > token + 4; number /= 10)
        *digit-- = (char)('0' + number % 10);
}

static void ask(struct redis_bytes request, const char *expected)
{
    size_t len;
    sim_session_receive(session, request.bytes, request.end, 1000);
    const char *output = sim_session_output(session, &len);
    if (expected && (len != strlen(expected) || memcmp(output, expected, len) != 0)) {
        fprintf(stderr, "unexpected reply: %.*s\n", (int)len, output);
        exit(EXIT_FAILURE);
    }
    sim_session_sent(session, len);
}

/* ---- measuring ---- */

struct step {
    const char *what, *expected;
    struct redis_bytes requests[LOCKS];
    double best_ns;
};

#define STEP(what, expected, ...) step_of(what, expected, (const char *[]){__VA_ARGS__, NULL})

static struct step step_of(const char *what, const char *expected, const char *const *words)
{
    struct step step = {.what = what, .expected = expected, .best_ns = 1e9};
    for (int lock = 0; lock < LOCKS; lock++)
        step.requests[lock] = request_of(lock, words);
    return step;
}

/* The steps in turn, each for all locks. */
static void measure(struct step *steps, size_t count, long repetitions)
{
    for (int round = 0; round < ROUNDS; round++) {
        double took[16] = {0};
        for (long i = 0; i < repetitions; i++)
            for (size_t at = 0; at < count; at++) {
                for (int lock = 0; lock < LOCKS; lock++)
                    set_token(steps[at].requests[lock], round * repetitions + i);
                double began = seconds();
                for (int lock = 0; lock < LOCKS; lock++)
                    ask(steps[at].requests[lock], steps[at].expected);
                took[at] += seconds() - began;
            }
        for (size_t at = 0; at < count; at++) {
            double ns = took[at] * 1e9 / (double)(repetitions * LOCKS);
            steps[at].best_ns = ns < steps[at].best_ns ? ns : steps[at].best_ns;
        }
    }
    for (size_t at = 0; at < count; at++) {
        printf("%-24s %6.0f ns\n", steps[at].what, steps[at].best_ns);
        for (int lock = 0; lock < LOCKS; lock++)
            free(steps[at].requests[lock].bytes);
    }
}

static void load_scripts(void)
{
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        struct redis_bytes load =
            request_of(0, (const char *[]){"SCRIPT", "LOAD", scripts[i].text, NULL});
        ask(load, NULL);
        free(load.bytes);
    }
}

int main(int argc, char **argv)
{
    const char *acquire = script("acquire")->sha1, *release = script("release")->sha1;
    redis = sim_redis_new();
    session = sim_redis_accept(redis);
    load_scripts();
    struct step steps[] = {
        STEP("acquire", ":1\r\n", "EVALSHA", acquire, "2", "job:%", "{job:%}:fence",
             "TOKEN------of-the-lock-no-%", "30000", "1700000000000000"),
        STEP("acquire what is held", NULL, "EVALSHA", acquire, "2", "job:%", "{job:%}:fence",
             "another's-token-is-this-no-%", "30000", "1700000000000000"),
        STEP("extend", ":1\r\n", "EVALSHA", script("extend")->sha1, "2", "job:%", "{job:%}:fence",
             "TOKEN------of-the-lock-no-%", "30000", "1700000000000000", "86400"),
        STEP("inspect", NULL, "EVALSHA", script("inspect")->sha1, "2", "job:%", "{job:%}:fence"),
        STEP("release", ":1\r\n", "EVALSHA", release, "2", "job:%", "{job:%}:queue",
             "TOKEN------of-the-lock-no-%"),
        STEP("release what is not there", ":0\r\n", "EVALSHA", release, "2", "job:%",
             "{job:%}:queue", "TOKEN------of-the-lock-no-%"),
        STEP("GET", NULL, "GET", "{job:%}:fence"),
        STEP("DEL", ":1\r\n", "DEL", "{job:%}:fence"),
        STEP("PING", "+PONG\r\n", "PING"),
    };
    measure(steps, sizeof steps / sizeof *steps, argc > 1 ? atol(argv[1]) : 100);
    sim_redis_free(redis);
    return EXIT_SUCCESS;
}
