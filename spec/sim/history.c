/* Lines are kept in one growing text, and offsets of their beginnings for the last so many. */
#include "history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "judge.h"
#include "judge_rooms.h"
#include "memory.h"
#include "report.h"

#define LINE_MAX_LEN 400

bool sim_history_is_kept;

static char *text;
static size_t capacity, len;

void sim_history_begin(void)
{
    len = 0;
}

static void add_line(const char *who, const char *what)
{
    text = sim_memory_grow(text, &capacity, len + LINE_MAX_LEN + 64, 1);
    len += (size_t)snprintf(text + len, LINE_MAX_LEN, "%13.6f  %-9s  %s", (double)sim.now_us / 1e6,
                            who, what);
    if (text[len - 1] != '\n')
        text[len++] = '\n';
}

void sim_history_line(const char *who, const char *format, ...)
{
    char what[LINE_MAX_LEN - 40];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    add_line(who, what);
}

void sim_history_print(FILE *out, int last)
{
    size_t from = last < 0 ? 0 : len;
    for (int lines = 0; from > 0; from--)
        if (text[from - 1] == '\n' && lines++ == last)
            break;
    fwrite(text + from, 1, len - from, out);
}

const char *sim_process_name(int process)
{
    static char names[SIM_PROCESSES_MAX][24];
    char *name = names[process];
    snprintf(name, sizeof names[0], "%s %d", sim.mix.is_loop[process] ? "loop" : "script",
             process + 1);
    return name;
}

const char *sim_node_name(int node)
{
    static char names[SIM_NODES_MAX][24];
    snprintf(names[node], sizeof names[0], "node %d", node + 1);
    return names[node];
}

void sim_history_network(const char *what, int number, const struct sim_connection *connection)
{
    if (sim_history_is_kept)
        sim_history_add("network", "connection %d of %s with node %d: %s", number,
                        sim_process_name(connection->process), connection->node + 1, what);
}

void sim_history_write(int tenure, bool is_taken)
{
    if (sim_history_is_kept)
        sim_history_add("store", "%s a write by %s to %s with fence %" PRId64,
                        is_taken ? "takes" : "refuses",
                        sim_process_name(sim_number_of(sim_tenure(tenure)->process)),
                        sim_lock_name(sim_tenure_lock(tenure), NULL), sim_tenure_fence(tenure));
}
