/* A doorbell: how a program whose event loop takes only sockets that it opened itself (nginx) gets
 * one that is an outbox's bell.
 *
 * We listen once, on a port of the loopback interface; the program connects, and sends the cookie;
 * whoever does not know it is turned away. */
#ifndef RLK_DOORBELL_H
#define RLK_DOORBELL_H

#include <stdint.h>

struct rlk_doorbell;

/* NULL if there is no memory, descriptor or port. */
struct rlk_doorbell *rlk_doorbell_new(void);
void rlk_doorbell_free(struct rlk_doorbell *doorbell);

uint16_t rlk_doorbell_port(const struct rlk_doorbell *doorbell);
const char *rlk_doorbell_cookie(const struct rlk_doorbell *doorbell);

/* Never waits. The socket of the one who has sent the cookie, which is then the caller's; -1 if
 * nobody has yet. */
int rlk_doorbell_answer(struct rlk_doorbell *doorbell);

#endif
