/* How much processor time the model takes for what the library asks for: make sim-redis-pace */
#include <stdio.h>
#include <time.h>

#include "sim/redis.h"
#include "sim/redis_bytes.h"

struct shipped {
    const char *name, *sha1, *text;
};

static const struct shipped scripts[] = {
#define RLK_SCRIPT(name, sha1, text) {#name, sha1, text},
#include "scripts_text.h"
};

#define LOCKS 32

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const struct shipped *script(const char *name)
{
    const struct shipped *found = scripts;
    while (strcmp(found->name, name) != 0)
        found++;
    return found;
}

static void add(struct redis_bytes *request, const char *word)
{
    char *room = redis_bytes_room(request, strlen(word) + 32);
    request->end += (size_t)sprintf(room, "$%zu\r\n%s\r\n", strlen(word), word);
}

static struct redis_bytes request_of(size_t count, const char *const words[])
{
    struct redis_bytes request = {0};
    request.end += (size_t)sprintf(redis_bytes_room(&request, 32), "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++)
        add(&request, words[i]);
    return request;
}

#define REQUEST(...)                                                   \
    request_of(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), \
               (const char *[]){__VA_ARGS__})

static struct sim_redis *redis;
static struct sim_session *session;

static void ask(struct redis_bytes request, const char *expected)
{
    size_t len;
    sim_session_receive(session, request.bytes, request.end, 1000);
    const char *output = sim_session_output(session, &len);
    if (expected && (len != strlen(expected) || memcmp(output, expected, len) != 0)) {
        fprintf(stderr, "unexpected reply: %.*s\n", (int)len, output);
        exit(1);
    }
    sim_session_sent(session, len);
}

static void report(const char *what, double took, long count)
{
    printf("%-28s %6.0f ns\n", what, took / (double)count * 1e9);
}

/* Each lock in turn, by the script's SHA1, with ever higher ballots. */
static void measure_pairs(long count)
{
    struct redis_bytes acquires[LOCKS], releases[LOCKS];
    for (int i = 0; i < LOCKS; i++) {
        char lock[16], fence[32], queue[32], token[64];
        sprintf(lock, "job:%02d", i);
        sprintf(fence, "{%s}:fence", lock);
        sprintf(queue, "{%s}:queue", lock);
        sprintf(token, "abcdefghijklmnopqrstuvwxyz%02d", i);
        acquires[i] = REQUEST("EVALSHA", script("acquire")->sha1, "2", lock, fence, token, "30000",
                              "1700000000000000");
        releases[i] = REQUEST("EVALSHA", script("release")->sha1, "2", lock, queue, token);
    }
    struct redis_bytes flush = REQUEST("FLUSHALL");
    double acquiring = 0, releasing = 0;
    for (long i = 0; i < count; i += LOCKS) {
        double began = seconds();
        for (int lock = 0; lock < LOCKS; lock++)
            ask(acquires[lock], ":1\r\n");
        double between = seconds();
        for (int lock = 0; lock < LOCKS; lock++)
            ask(releases[lock], ":1\r\n");
        acquiring += between - began;
        releasing += seconds() - between;
        ask(flush, NULL);
    }
    report("acquire", acquiring, count);
    report("release", releasing, count);
}

static void measure(const char *what, long count, struct redis_bytes request)
{
    ask(request, NULL);
    double began = seconds();
    for (long i = 0; i < count; i++)
        ask(request, NULL);
    report(what, seconds() - began, count);
    free(request.bytes);
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 1000000;
    redis = sim_redis_new();
    session = sim_redis_accept(redis);
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        ask(REQUEST("SCRIPT", "LOAD", scripts[i].text), NULL);
    measure_pairs(count);
    measure("PING", count, REQUEST("PING"));
    measure("GET", count, REQUEST("GET", "job"));
    measure("inspect", count,
            REQUEST("EVALSHA", script("inspect")->sha1, "2", "job", "{job}:fence"));
    ask(REQUEST("SET", "held", "another", "PX", "50000"), NULL);
    measure("acquire of what is held", count,
            REQUEST("EVALSHA", script("acquire")->sha1, "2", "held", "{held}:fence", "token",
                    "30000", "1700000000000000"));
    ask(REQUEST("SET", "mine", "token", "PX", "50000"), NULL);
    measure("extend", count,
            REQUEST("EVALSHA", script("extend")->sha1, "2", "mine", "{mine}:fence", "token",
                    "30000", "1700000000000000", "86400"));
    measure("acquire by text", count,
            REQUEST("EVAL", script("acquire")->text, "2", "held", "{held}:fence", "token", "30000",
                    "1700000000000000"));
    sim_redis_free(redis);
    return 0;
}
