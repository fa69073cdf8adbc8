/* The command: one schedule with its history, or many with a summary, on several processors. */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "history.h"
#include "judge.h"
#include "report.h"
#include "world.h"

#define JOBS_MAX 64
#define CHUNK 32 /* schedules that a job takes at a time */
#define TAIL_LINES 60
#define FINDINGS_MAX 10

static struct options {
    uint64_t first, last;
    bool prints_history;
    int jobs;
    int findings; /* after so many it stops */
    enum sim_profile profile;
    const char *profile_name;
} options = {1, 100000, false, 0, FINDINGS_MAX, SIM_SOUND, "sound"};

/* What the jobs share. */
static struct shared {
    _Atomic uint64_t next; /* schedule that nobody has taken */
    atomic_int failures;
    struct job {
        _Atomic uint64_t at; /* the schedule that it runs; 0: none */
        struct sim_report report;
        uint64_t failed[FINDINGS_MAX];
        int failed_count;
    } jobs[JOBS_MAX];
} * shared;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Of processors, by jobs that have ended. */
static double seconds_of_jobs(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- one schedule ---- */

static int crash_lines;

static void print_verdict(uint64_t seed)
{
    printf("\nseed %" PRIu64 ", at %.6f s: \"%s\" does not hold (%s):\n  %s\n"
           "  make sim SEED=%" PRIu64 "%s\n",
           seed, (double)sim_verdict.at_us / 1e6, sim_invariants[sim_verdict.invariant].name,
           sim_invariants[sim_verdict.invariant].sentence, sim_verdict.text, seed,
           options.profile == SIM_BROKEN ? " PROFILE=broken" : "");
}

/* A crash is a finding like others. */
static void on_crash(int signal_number)
{
    sim_verdict.invariant = SIM_NO_CRASH;
    sim_verdict.at_us = sim.now_us;
    snprintf(sim_verdict.text, sizeof sim_verdict.text, "signal %d, %s", signal_number,
             strsignal(signal_number));
    sim_history_print(stdout, crash_lines);
    print_verdict(sim.seed);
    fflush(stdout);
    _exit(1);
}

static void watch_for_crashes(int lines)
{
    static char stack[64 * 1024];
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};
    crash_lines = lines;
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

static int run_one(uint64_t seed, int lines)
{
    watch_for_crashes(lines);
    sim_history_is_kept = true;
    sim_world_run(seed, options.profile);
    printf("seed %" PRIu64 ", profile %s:\n", seed, options.profile_name);
    sim_mix_print(&sim.mix, stdout);
    printf("\n");
    sim_history_print(stdout, lines);
    if (sim.is_over)
        print_verdict(seed);
    else
        printf("\n%" PRIu64 " events, %" PRIu64 " grants, %" PRIu64
               " double holders; nothing was violated\n",
               sim_count.events, sim_count.grants, sim_count.double_holders);
    return sim.is_over ? 1 : 0;
}

/* ---- many ---- */

static void note_failure(struct job *job, uint64_t seed)
{
    atomic_fetch_add(&shared->failures, 1);
    if (job->failed_count < FINDINGS_MAX)
        job->failed[job->failed_count++] = seed;
}

static bool has_found_enough(void)
{
    return atomic_load(&shared->failures) >= options.findings;
}

/* To its end, or to the finding that is enough: so one job finds the first. */
static void run_chunk(struct job *job, uint64_t first)
{
    uint64_t end = first + CHUNK;
    for (uint64_t seed = first; seed < end && seed <= options.last && !has_found_enough(); seed++) {
        atomic_store(&job->at, seed);
        sim_world_run(seed, options.profile);
        sim_report_add(&job->report, &sim_count);
        if (sim.is_over)
            note_failure(job, seed);
    }
    atomic_store(&job->at, 0);
}

static void run_job(struct job *job)
{
    uint64_t first;
    while ((first = atomic_fetch_add(&shared->next, CHUNK)) <= options.last && !has_found_enough())
        run_chunk(job, first);
}

static pid_t start_job(struct job *job)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        run_job(job);
        _exit(0);
    }
    return pid;
}

static void show_progress(double started)
{
    uint64_t total = options.last - options.first + 1;
    uint64_t done = atomic_load(&shared->next) - options.first;
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " schedules, %.0f s, %d violations ",
            done < total ? done : total, total, seconds() - started,
            atomic_load(&shared->failures));
}

/* A job that died did so in the schedule that it ran: no crash does not hold. */
static int wait_for_jobs(double started)
{
    int crashed = 0, status;
    for (int left = options.jobs; left > 0;) {
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid > 0) {
            left--;
            crashed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        } else {
            show_progress(started);
            usleep(20000);
        }
    }
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%60s\r", "");
    return crashed;
}

/* In a process of its own, since it may crash. */
static void show_one(uint64_t seed)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        run_one(seed, TAIL_LINES);
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void show_failures(void)
{
    int shown = 0;
    for (int i = 0; i < options.jobs; i++) {
        struct job *job = &shared->jobs[i];
        if (atomic_load(&job->at) > 0)
            show_one(atomic_load(&job->at));
        for (int j = 0; j < job->failed_count; j++)
            if (shown++ < 3)
                show_one(job->failed[j]);
            else
                printf("seed %" PRIu64 "\n", job->failed[j]);
    }
}

/* A check that never ran says nothing. Few schedules may not come to each. */
static int count_unchecked(const struct sim_report *total)
{
    int unchecked = 0;
    for (int i = 0; i < SIM_INVARIANTS; i++) {
        bool is_judged = options.profile == SIM_SOUND || sim_invariants[i].holds_always;
        if (!is_judged || total->checks[i] > 0 || total->schedules < 2000)
            continue;
        printf("\"%s\" was never checked\n", sim_invariants[i].name);
        unchecked++;
    }
    return unchecked;
}

static int run_many(void)
{
    static struct sim_report total;
    double started = seconds();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    atomic_store(&shared->next, options.first);
    for (int i = 0; i < options.jobs; i++)
        if (start_job(&shared->jobs[i]) < 0)
            return 2;
    int crashed = wait_for_jobs(started);
    double took = seconds() - started, worked = seconds_of_jobs();
    for (int i = 0; i < options.jobs; i++)
        sim_report_add(&total, &shared->jobs[i].report);
    total.checks[SIM_NO_CRASH] = total.schedules;
    printf("profile %s, seeds %" PRIu64 " to %" PRIu64 "\n", options.profile_name, options.first,
           options.last);
    sim_report_print(&total, options.profile, took, worked);
    show_failures();
    int unchecked = count_unchecked(&total), failures = atomic_load(&shared->failures) + crashed;
    printf("\n%d violations; digest %016" PRIx64 "\n", failures, total.digest);
    return failures + unchecked > 0 ? 1 : 0;
}

/* ---- arguments ---- */

static int complain(void)
{
    fputs("usage: sim [--seed N | --seeds FROM-TO] [--jobs N] [--findings N]\n"
          "           [--profile sound|broken] [--plant clocks|crash]\n",
          stderr);
    return 2;
}

static bool read_option(const char *name, const char *value)
{
    char *end = NULL;
    uint64_t number = strtoull(value, &end, 10);
    if (strcmp(name, "--profile") == 0) {
        options.profile_name = value;
        options.profile = strcmp(value, "broken") == 0 ? SIM_BROKEN : SIM_SOUND;
        return options.profile == SIM_BROKEN || strcmp(value, "sound") == 0;
    }
    if (strcmp(name, "--plant") == 0) {
        sim_plant = strcmp(value, "clocks") == 0 ? SIM_PLANT_CLOCKS : SIM_PLANT_CRASH;
        return sim_plant == SIM_PLANT_CLOCKS || strcmp(value, "crash") == 0;
    }
    if (end == value)
        return false;
    if (strcmp(name, "--seed") == 0) {
        options.first = options.last = number;
        options.prints_history = true;
    } else if (strcmp(name, "--seeds") == 0 && *end == '-') {
        options.first = number;
        options.last = strtoull(end + 1, &end, 10);
    } else if (strcmp(name, "--jobs") == 0) {
        options.jobs = (int)number;
    } else if (strcmp(name, "--findings") == 0) {
        options.findings = number < FINDINGS_MAX ? (int)number : FINDINGS_MAX;
    } else {
        return false;
    }
    return *end == '\0' && options.first > 0 && options.last >= options.first;
}

int main(int argc, char **argv)
{
    options.jobs = (int)sysconf(_SC_NPROCESSORS_ONLN);
    for (int i = 1; i < argc; i += 2)
        if (i + 1 == argc || !read_option(argv[i], argv[i + 1]))
            return complain();
    if (options.jobs < 1 || options.jobs > JOBS_MAX || options.findings < 1)
        return complain();
    return options.prints_history ? run_one(options.first, -1) : run_many();
}
