/* The model, told by lines what happens to it, says what comes out of it. For redis_spec.lua. What runs
 * the scripts may be named: trees or luajit.
 *
 * In   accept SESSION                the spec's numbers for its sessions
 *      close SESSION
 *      receive SESSION NOW LENGTH    and in the next line so many bytes
 *      restart KEEPS_DATA NOW
 *      look NOW LENGTH               at the key in the next line
 * Out  SESSION LENGTH                for each session that has something to send, and in the next
 *                                    line the bytes
 *      over SESSION                  the server has closed it
 *      value KIND LENGTH EXPIRY      what a look found: absent, bytes, which stand in the next
 *                                    line, or members
 *      .                             behind what came of each line */
#include <inttypes.h>
#include <stdio.h>

#include "sim/redis.h"
#include "sim/redis_bytes.h"
#include "sim/redis_scripts.h"

#define SESSIONS 64

static struct sim_redis *redis;
static struct sim_session *sessions[SESSIONS];

static void put(const char *bytes, size_t len)
{
    if (len > 0)
        fwrite(bytes, 1, len, stdout);
    putchar('\n');
}

static int number_of(const struct sim_session *session)
{
    int number = 0;
    while (sessions[number] != session)
        number++;
    return number;
}

static void put_outputs(void)
{
    struct sim_session *session;
    while ((session = sim_redis_next_output(redis))) {
        size_t len;
        const char *bytes = sim_session_output(session, &len);
        printf("%d %zu\n", number_of(session), len);
        put(bytes, len);
        sim_session_sent(session, len);
    }
}

/* So many bytes of the next line, until the next call. */
static const char *take_bytes(size_t len)
{
    static struct redis_bytes taken;
    redis_bytes_clear(&taken);
    char *room = redis_bytes_room(&taken, len + 1);
    if (fread(room, 1, len + 1, stdin) != len + 1)
        exit(EXIT_FAILURE);
    return room;
}

static void receive(int number, int64_t now_ms, size_t len)
{
    sim_session_receive(sessions[number], take_bytes(len), len, now_ms);
    put_outputs();
    if (sim_session_is_over(sessions[number]))
        printf("over %d\n", number);
}

static void look(int64_t now_ms, size_t len)
{
    struct sim_value value = sim_redis_look(redis, take_bytes(len), len, now_ms);
    const char *kind = !value.exists ? "absent" : value.bytes ? "bytes" : "members";
    printf("value %s %zu %" PRId64 "\n", kind, value.len, value.expires_at_ms);
    put(value.bytes, value.bytes ? value.len : 0);
}

static bool follow(const char *line)
{
    int number;
    int64_t now_ms;
    size_t len;
    if (sscanf(line, "accept %d", &number) == 1 && number < SESSIONS)
        sessions[number] = sim_redis_accept(redis);
    else if (sscanf(line, "close %d", &number) == 1)
        sim_session_close(sessions[number]);
    else if (sscanf(line, "receive %d %" SCNd64 " %zu", &number, &now_ms, &len) == 3)
        receive(number, now_ms, len);
    else if (sscanf(line, "restart %d %" SCNd64, &number, &now_ms) == 2)
        sim_redis_restart(redis, number, now_ms);
    else if (sscanf(line, "look %" SCNd64 " %zu", &now_ms, &len) == 2)
        look(now_ms, len);
    else
        return false;
    puts(".");
    return true;
}

int main(int argc, char **argv)
{
    char line[128];
    if (argc > 1)
        redis_engine = strcmp(argv[1], "luajit") == 0 ? REDIS_LUAJIT : REDIS_TREES;
    redis = sim_redis_new();
    while (fgets(line, sizeof line, stdin))
        if (!follow(line))
            return EXIT_FAILURE;
    sim_redis_free(redis);
    return EXIT_SUCCESS;
}
