/* The floor under the benchmark: acquire and release done by bare hiredis in one thread.
 *
 *     floor plain PORT...             SET key token NX PX ttl, then EVALSHA compare-and-delete
 *     floor eager PORT...             the same; looks for a reply for a moment before it sleeps, as the library does
 *     floor scripts FOLDER PORT...    the very commands that the library sends; its scripts are in FOLDER
 *
 * Several nodes are all written to before the first reply is read. What is asked for, line by line, stands in
 * bench/peers/README.md.
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define NODES_MAX 32
#define SAMPLES_MAX 4000000
#define TOKEN_BYTES 21
#define TTL_MS "30000"
#define EAGER_NS 100000 /* csrc/io/loop.c has the same */
#define KEY "floor"
#define CALLERS_MAX 1024
#define SHA1_SIZE 41

static const char compare_and_delete[] =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

static redisContext *nodes[NODES_MAX];
static int node_count;
static bool with_scripts, is_eager;
static char acquire_sha1[SHA1_SIZE], release_sha1[SHA1_SIZE];

static void die(const char *what, const char *why)
{
    fprintf(stderr, "floor: %s: %s\n", what, why);
    exit(1);
}

static int64_t read_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Fresh for every pair, 28 characters of base64url; randomness is drawn for many at once. */
static void make_token(char token[TOKEN_BYTES / 3 * 4 + 1])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static unsigned char pool[TOKEN_BYTES * 12]; /* getrandom gives up to 256 bytes whole */
    static size_t left;
    if (left == 0) {
        if (getrandom(pool, sizeof pool, 0) != (ssize_t)sizeof pool)
            die("getrandom", strerror(errno));
        left = sizeof pool;
    }
    const unsigned char *byte = pool + sizeof pool - left;
    left -= TOKEN_BYTES;
    for (int i = 0; i < TOKEN_BYTES; i += 3, byte += 3, token += 4) {
        token[0] = digits[byte[0] >> 2];
        token[1] = digits[(byte[0] & 3) << 4 | byte[1] >> 4];
        token[2] = digits[(byte[1] & 15) << 2 | byte[2] >> 6];
        token[3] = digits[byte[2] & 63];
    }
    *token = '\0';
}

/* The number that the library proposes: the wall clock in microseconds, and always rising. */
static const char *make_ballot(char text[24])
{
    static int64_t highest;
    int64_t now_us = read_ns(CLOCK_REALTIME) / 1000;
    highest = now_us > highest ? now_us : highest + 1;
    snprintf(text, 24, "%" PRId64, highest);
    return text;
}

static void write_all(redisContext *node)
{
    int done = 0;
    while (!done) {
        if (redisBufferWrite(node, &done) != REDIS_OK)
            die("write", node->errstr);
    }
}

/* SET answers OK, a script that granted {1}, a script that released 1. */
static bool succeeded(const redisReply *reply)
{
    switch (reply->type) {
    case REDIS_REPLY_STATUS:
        return strcmp(reply->str, "OK") == 0;
    case REDIS_REPLY_ARRAY:
        return reply->elements == 1 && reply->element[0]->integer == 1;
    case REDIS_REPLY_INTEGER:
        return reply->integer == 1;
    default:
        return false;
    }
}

/* Whoever sleeps has to be woken, which costs more than looking again. */
static void look_eagerly(const redisContext *node)
{
    struct pollfd fd = {.fd = node->fd, .events = POLLIN};
    int64_t until_ns = read_ns(CLOCK_MONOTONIC) + EAGER_NS;
    while (poll(&fd, 1, 0) == 0 && read_ns(CLOCK_MONOTONIC) < until_ns)
        ;
}

/* Into every node's buffer. */
static void append(int argc, const char **argv)
{
    char *bytes = NULL;
    long long len = redisFormatCommandArgv(&bytes, argc, argv, NULL);
    if (len < 0)
        die("format", "no memory");
    for (int i = 0; i < node_count; i++)
        redisAppendFormattedCommand(nodes[i], bytes, (size_t)len);
    redisFreeCommand(bytes);
}

static void expect_success(redisContext *node, const char *what)
{
    redisReply *reply = NULL;
    if (redisGetReply(node, (void **)&reply) != REDIS_OK)
        die("read", node->errstr);
    if (!succeeded(reply))
        die(what, reply->str ? reply->str : "not granted, or not released");
    freeReplyObject(reply);
}

/* One command to all nodes, then all their replies. */
static void command(int argc, const char **argv)
{
    append(argc, argv);
    for (int i = 0; i < node_count; i++)
        write_all(nodes[i]);
    for (int i = 0; i < node_count; i++) {
        if (is_eager)
            look_eagerly(nodes[i]);
        expect_success(nodes[i], argv[0]);
    }
}

static void acquire(const char *token)
{
    if (with_scripts) {
        char ballot[24];
        command(8, (const char *[]){"EVALSHA", acquire_sha1, "2", KEY, "{" KEY "}:fence", token,
                                    TTL_MS, make_ballot(ballot)});
    } else {
        command(6, (const char *[]){"SET", KEY, token, "NX", "PX", TTL_MS});
    }
}

static void release(const char *token)
{
    if (with_scripts)
        command(6, (const char *[]){"EVALSHA", release_sha1, "2", KEY, "{" KEY "}:queue", token});
    else
        command(5, (const char *[]){"EVALSHA", release_sha1, "1", KEY, token});
}

static int by_size(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* Acquires and releases until the time is over. */
static void run_pairs(double seconds)
{
    static int64_t acquire_ns[SAMPLES_MAX];
    size_t count = 0;
    int64_t start = read_ns(CLOCK_MONOTONIC), before = start;
    int64_t finish = start + (int64_t)(seconds * 1e9);
    while (before < finish && count < SAMPLES_MAX) {
        char token[TOKEN_BYTES / 3 * 4 + 1];
        make_token(token);
        acquire(token);
        acquire_ns[count++] = read_ns(CLOCK_MONOTONIC) - before;
        release(token);
        before = read_ns(CLOCK_MONOTONIC);
    }
    qsort(acquire_ns, count, sizeof *acquire_ns, by_size);
    printf("%zu %.6f %.1f %.1f\n", count, (double)(before - start) / 1e9,
           (double)acquire_ns[count / 2] / 1e3, (double)acquire_ns[count * 99 / 100] / 1e3);
}

/* Many callers in step: what all want is written at once, then all replies are read. Nobody does it with less work;
 * but while the servers are busy this waits, and the other way round. */
static void step_all(int callers, bool is_acquire, char tokens[][TOKEN_BYTES / 3 * 4 + 1])
{
    for (int caller = 0; caller < callers; caller++) {
        char key[32];
        snprintf(key, sizeof key, KEY ":%d", caller);
        if (is_acquire) {
            make_token(tokens[caller]);
            append(6, (const char *[]){"SET", key, tokens[caller], "NX", "PX", TTL_MS});
        } else {
            append(5, (const char *[]){"EVALSHA", release_sha1, "1", key, tokens[caller]});
        }
    }
    for (int i = 0; i < node_count; i++)
        write_all(nodes[i]);
    for (int i = 0; i < node_count; i++)
        for (int caller = 0; caller < callers; caller++)
            expect_success(nodes[i], is_acquire ? "SET" : "EVALSHA");
}

static void run_many(int callers, double seconds)
{
    static char tokens[CALLERS_MAX][TOKEN_BYTES / 3 * 4 + 1];
    long count = 0;
    int64_t start = read_ns(CLOCK_MONOTONIC), finish = start + (int64_t)(seconds * 1e9);
    do {
        step_all(callers, true, tokens);
        step_all(callers, false, tokens);
        count += callers;
    } while (read_ns(CLOCK_MONOTONIC) < finish);
    printf("%ld %.6f\n", count, (double)(read_ns(CLOCK_MONOTONIC) - start) / 1e9);
}

/* A script of the library's as the servers see it: what its own build embeds. */
static char *read_script(const char *folder, const char *name)
{
    enum { TEXT_SIZE = 65536 };
    char *text = calloc(1, TEXT_SIZE), shell[4096];
    snprintf(shell, sizeof shell, "sh '%s/embed.sh' '%s' %s", folder, folder, name);
    FILE *pipe = popen(shell, "r");
    if (!text || !pipe)
        die(shell, strerror(errno));
    size_t len = fread(text, 1, TEXT_SIZE - 1, pipe);
    if (pclose(pipe) != 0 || len == 0)
        die(shell, "no script");
    if (text[len - 1] == '\n')
        text[len - 1] = '\0';
    return text;
}

static void load(const char *text, char sha1[SHA1_SIZE])
{
    for (int i = 0; i < node_count; i++) {
        redisReply *reply = redisCommand(nodes[i], "SCRIPT LOAD %s", text);
        if (!reply || reply->type != REDIS_REPLY_STRING)
            die("SCRIPT LOAD", reply ? reply->str : nodes[i]->errstr);
        snprintf(sha1, SHA1_SIZE, "%s", reply->str);
        freeReplyObject(reply);
    }
}

static void load_scripts(const char *folder)
{
    if (!folder) {
        load(compare_and_delete, release_sha1);
        return;
    }
    char *acquire_text = read_script(folder, "acquire");
    char *release_text = read_script(folder, "release");
    load(acquire_text, acquire_sha1);
    load(release_text, release_sha1);
    free(acquire_text);
    free(release_text);
}

static void dial(const char *port)
{
    if (node_count == NODES_MAX)
        die(port, "too many nodes");
    redisContext *node = redisConnect("127.0.0.1", atoi(port));
    if (!node || node->err)
        die(port, node ? node->errstr : "no memory");
    nodes[node_count++] = node;
}

static void answer(const char *line)
{
    int callers;
    double seconds;
    if (sscanf(line, "pairs %lf", &seconds) == 1) {
        run_pairs(seconds);
    } else if (sscanf(line, "many %d %lf", &callers, &seconds) == 2 && callers <= CALLERS_MAX) {
        run_many(callers, seconds);
    } else if (strcmp(line, "first\n") == 0) {
        acquire("token");
        puts("held");
    } else {
        puts("no: waits for nobody, and renews nothing");
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        die("usage", "floor plain|eager PORT... | floor scripts FOLDER PORT...");
    with_scripts = strcmp(argv[1], "scripts") == 0;
    is_eager = strcmp(argv[1], "eager") == 0;
    for (int i = with_scripts ? 3 : 2; i < argc; i++)
        dial(argv[i]);
    if (node_count == 0)
        die("usage", "no port");
    load_scripts(with_scripts ? argv[2] : NULL);
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        answer(line);
        fflush(stdout);
    }
    for (int i = 0; i < node_count; i++)
        redisFree(nodes[i]);
    return 0;
}
