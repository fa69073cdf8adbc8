/* exhaustive [SCENE]... [PARAMETER=NUMBER]...
 *
 * Searches the scenes, all unless some are named, and says how many worlds there are. Parameters
 * change every scene that is searched. Ends with 1 if an invariant broke, or did not where it must,
 * and with 2 if a search was not complete. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "exhaustive/scenes.h"
#include "exhaustive/search.h"

#define SCENES_MAX 32

struct arguments {
    struct scene scenes[SCENES_MAX];
    int count;
    struct search_limits limits;
    bool stops;
};

/* ---- arguments ---- */

static const struct {
    const char *name;
    size_t at;
} parameters[] = {
    {"nodes", offsetof(struct scene, nodes)},
    {"ticks", offsetof(struct scene, ticks)},
    {"fast", offsetof(struct scene, fast)},
    {"late", offsetof(struct scene, late)},
    {"tick_ms", offsetof(struct scene, tick_ms)},
    {"ttl_ms", offsetof(struct scene, ttl_ms)},
    {"drift", offsetof(struct scene, drift)},
    {"timeout_ms", offsetof(struct scene, timeout_ms)},
    {"wait_ms", offsetof(struct scene, wait_ms)},
    {"calls", offsetof(struct scene, calls)},
    {"attempts", offsetof(struct scene, attempts)},
    {"extensions", offsetof(struct scene, extensions)},
    {"extend_ms", offsetof(struct scene, extend_ms)},
    {"renews", offsetof(struct scene, renews)},
    {"at_least_ms", offsetof(struct scene, at_least_ms)},
    {"max_hold_ms", offsetof(struct scene, max_hold_ms)},
    {"cancels", offsetof(struct scene, cancels)},
    {"breaks", offsetof(struct scene, breaks)},
    {"ghosts", offsetof(struct scene, ghosts)},
    {"outages", offsetof(struct scene, outages)},
    {"refusals", offsetof(struct scene, refusals)},
    {"restarts", offsetof(struct scene, restarts)},
    {"many", offsetof(struct scene, many)},
    {"guard", offsetof(struct scene, guard)},
};

static bool set_limit(struct arguments *arguments, const char *name, int value)
{
    if (strcmp(name, "worlds") == 0)
        arguments->limits.worlds = (uint32_t)value;
    else if (strcmp(name, "checks") == 0)
        arguments->limits.checks = (uint32_t)value;
    else if (strcmp(name, "stop") == 0)
        arguments->stops = value;
    else
        return false;
    return true;
}

static bool set_parameter(struct arguments *arguments, const char *name, int value)
{
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        if (strcmp(parameters[i].name, name) != 0)
            continue;
        for (int scene = 0; scene < arguments->count; scene++)
            memcpy((char *)&arguments->scenes[scene] + parameters[i].at, &value, sizeof value);
        return true;
    }
    return set_limit(arguments, name, value);
}

static void add_scenes(struct arguments *arguments, const char *name)
{
    for (int i = 0; i < scene_count; i++)
        if ((!name || strcmp(scenes[i].name, name) == 0) && arguments->count < SCENES_MAX)
            arguments->scenes[arguments->count++] = scenes[i];
}

static bool parse(struct arguments *arguments, int argc, char **argv)
{
    int named = 0, value, end;
    char name[20];
    for (int i = 1; i < argc; i++)
        if (!strchr(argv[i], '=')) {
            add_scenes(arguments, argv[i]);
            if (arguments->count != ++named)
                return false;
        }
    if (named == 0)
        add_scenes(arguments, NULL);
    for (int i = 1; i < argc; i++)
        if (strchr(argv[i], '=') && (sscanf(argv[i], "%19[^=]=%d%n", name, &value, &end) != 2 ||
                                     argv[i][end] || !set_parameter(arguments, name, value)))
            return false;
    return true;
}

static void explain(FILE *out)
{
    fputs("usage: exhaustive [SCENE]... [PARAMETER=NUMBER]...\n\nscenes:\n", out);
    for (int i = 0; i < scene_count; i++)
        fprintf(out, "  %-9s %s\n", scenes[i].name, scenes[i].about);
    fputs("\nparameters (world.h):", out);
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
        fprintf(out, "%s%s", i % 10 ? " " : "\n  ", parameters[i].name);
    fputs("\n\nlimits:\n"
          "  worlds=N  at most so many in a scene\n"
          "  checks=N  worlds of a scene that were taken for others and are tried out\n"
          "  stop=1    after the first scene that fails\n",
          out);
}

/* ---- searching ---- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int report(const struct scene *scene, const struct search_result *result, double took_s)
{
    bool as_expected = result->broken == scene->expected;
    const char *end = result->broken ? "stopped" : result->complete ? "complete" : "NOT COMPLETE";
    printf("%-8s  %8u worlds %9llu steps, %2u deep, %s, %4.1f s: %s%s%s\n", scene->name,
           result->worlds, (unsigned long long)result->steps, result->depth, end, took_s,
           result->broken ? "broken: " : "", invariant_name(result->broken),
           !as_expected     ? ": FAILED"
           : result->broken ? ", as it must"
                            : "");
    if (result->differ)
        printf("%-8s  %u of %u worlds went on differently from others of the same form: FAILED\n",
               "", result->differ, result->checked);
    if (!as_expected || result->differ)
        return 1;
    return result->complete || result->broken ? 0 : 2;
}

int main(int argc, char **argv)
{
    static struct arguments arguments = {.limits = {.worlds = 20000000, .checks = 1000}};
    int status = 0;
    if (!parse(&arguments, argc, argv)) {
        explain(stderr);
        return 2;
    }
    for (int i = 0; i < arguments.count && !(status && arguments.stops); i++) {
        double began_s = seconds();
        struct search_result result = search(&arguments.scenes[i], arguments.limits, stdout);
        int worse = report(&arguments.scenes[i], &result, seconds() - began_s);
        fflush(stdout);
        status = worse && status != 1 ? worse : status;
    }
    return status;
}
