/* Connections between processes and servers. Bytes of one connection arrive in the order in which
 * they were sent; those of different ones as it comes. They are held up, cut, and lost with their
 * connection. A connection's number is its descriptor. */
#ifndef SIM_NETWORK_H
#define SIM_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "world.h"

enum sim_way { SIM_TO_SERVER, SIM_TO_CLIENT };

enum sim_segment_kind {
    SIM_BYTES,
    SIM_OPENING, /* to the server: a dial; to the client: it is accepted */
    SIM_END,     /* no more comes */
    SIM_BREAK,   /* the connection is reset: what was not read is gone */
};

struct sim_segment {
    int64_t turn_us; /* when the turn began in which it was sent */
    int64_t not_before_us;
    uint32_t end; /* of its bytes, in the pipe's numbering */
    enum sim_segment_kind kind;
};

/* One way of a connection. */
struct sim_pipe {
    char *bytes; /* from number 0 on, since the connection began */
    size_t capacity;
    uint32_t read, arrived, sent; /* numbers of bytes */
    struct sim_segment *segments;
    size_t segments_capacity;
    uint32_t first, next; /* segments that are under way */
    int64_t last_us;      /* when the last of them arrives */
    int64_t room;         /* bytes that still get through; then the connection dies */
    bool is_cut;          /* nothing gets through any more */
    bool has_ended;       /* the receiver knows */
};

struct sim_connection {
    bool is_used;
    uint16_t process, node;
    uint32_t events;             /* that are planned for it */
    struct sim_session *session; /* NULL: the server has not taken it yet, or no longer */
    bool is_open;                /* the client knows that it stands */
    bool is_refused;             /* or that it never will */
    bool is_broken;              /* reset, and the client knows */
    bool is_closed;              /* by the client */
    bool server_is_gone;         /* what arrives there meets nobody */
    bool is_half_open;           /* one end of a cut is not told */
    bool was_short; /* something was not taken at once: it may be old when it is sent */
    int poller;     /* the thread that waits for it; -1: none */
    int64_t closed_us;
    uint32_t shown;         /* of what the server has read, in the history */
    uint32_t judged;        /* what the server had read before the last time */
    int64_t unread_turn_us; /* the earliest turn in which what the server has not read was sent */
    int64_t stalled_until_us[2];
    struct sim_pipe pipes[2];
};

#define SIM_CONNECTIONS_MAX 1024

void sim_network_clear(void);
struct sim_connection *sim_connection(int number);
int sim_connection_count(void); /* above the highest number */

/* ---- by the client ---- */

/* The number of a new connection; -1 if there are too many. */
int sim_network_dial(struct sim_process *process, int node);
size_t sim_network_read(struct sim_connection *connection, char *bytes, size_t size);
size_t sim_network_write(struct sim_connection *connection, const char *bytes, size_t len);
void sim_network_close(struct sim_connection *connection);

bool sim_network_has_unread(const struct sim_connection *connection);

/* ---- by the server ---- */

void sim_network_reply(struct sim_connection *connection, const char *bytes, size_t len);

void sim_network_accept(struct sim_connection *connection);
void sim_network_break(struct sim_connection *connection);

/* After the server has left it: it may be over. */
void sim_network_settle(struct sim_connection *connection);

/* The server has come to its end: nobody is behind its connections. */
void sim_network_lose_server(int node, bool is_silent);

/* ---- by the world ---- */

/* The next segment is there: handed to the server, or left for the client to read. */
void sim_network_arrive(int connection, enum sim_way way);

/* The client's kernel finds that nobody is at the other end, unless its process knows already. */
void sim_network_notice(int connection);

/* An open connection is reset. False if none is open. */
bool sim_network_break_one(void);

/* Everything that holds up or cuts is over. */
void sim_network_heal(void);

#endif
