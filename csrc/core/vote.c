/* The names and classes of what a node may answer. Whatever is not known by name is still no
 * vote. */
#include "core/vote.h"

#include <string.h>

static const struct {
    const char *word;
    enum rlk_reason reason;
} error_words[] = {
    {"LOADING", RLK_LOADING},
    {"READONLY", RLK_READONLY},
    {"MASTERDOWN", RLK_MASTERDOWN},
    {"BUSY", RLK_BUSY},
    {"OOM", RLK_OOM},
    {"MISCONF", RLK_MISCONF},
    {"NOREPLICAS", RLK_NOREPLICAS},
    {"CLUSTERDOWN", RLK_CLUSTERDOWN},
    {"MOVED", RLK_MOVED},
    {"ASK", RLK_ASK},
    {"NOAUTH", RLK_NOAUTH},
    {"NOPERM", RLK_NOPERM},
    {"WRONGPASS", RLK_WRONGPASS},
    {"WRONGTYPE", RLK_WRONGTYPE},
    {"NOSCRIPT", RLK_NOSCRIPT},
};

enum rlk_reason rlk_reason_of_error(const char *text, size_t len)
{
    const char *space = memchr(text, ' ', len);
    size_t word_len = space ? (size_t)(space - text) : len;
    for (size_t i = 0; i < sizeof error_words / sizeof *error_words; i++) {
        const char *word = error_words[i].word;
        if (strlen(word) == word_len && memcmp(word, text, word_len) == 0)
            return error_words[i].reason;
    }
    return RLK_UNKNOWN_ERROR;
}

static const char *const texts[RLK_REASONS] = {
    [RLK_NO_ANSWER] = "no answer yet",
    [RLK_GRANTED] = "granted",
    [RLK_HELD] = "held",
    [RLK_OUTBID] = "a higher fence was accepted before",
    [RLK_ABSENT] = "absent",
    [RLK_ANOTHERS] = "held by another",
    [RLK_TIMED_OUT] = "timed out",
    [RLK_UNREACHABLE] = "unreachable",
    [RLK_DISCONNECTED] = "connection lost",
    [RLK_STALLED] = "not answering",
    [RLK_GUARDED] = "restarted less than a lease ago",
    [RLK_MALFORMED] = "malformed reply",
    [RLK_BAD_FENCE] = "the key of its fence holds no fence",
    [RLK_NO_MEMORY] = "out of memory here",
    [RLK_LOADING] = "loading its data",
    [RLK_READONLY] = "a read-only replica",
    [RLK_MASTERDOWN] = "a replica whose master is down",
    [RLK_BUSY] = "busy in a script",
    [RLK_OOM] = "out of memory",
    [RLK_MISCONF] = "refusing writes since it cannot persist",
    [RLK_NOREPLICAS] = "without enough replicas",
    [RLK_CLUSTERDOWN] = "cluster is down",
    [RLK_MOVED] = "the key's slot is elsewhere in its cluster",
    [RLK_ASK] = "the key's slot is moving in its cluster",
    [RLK_NOAUTH] = "wants a password",
    [RLK_NOPERM] = "no permission",
    [RLK_WRONGPASS] = "refused the user or password",
    [RLK_WRONGTYPE] = "held by another kind of lock",
    [RLK_NOSCRIPT] = "does not know the script",
    [RLK_UNKNOWN_ERROR] = "error",
};

const char *rlk_reason_text(enum rlk_reason reason)
{
    return texts[reason];
}

bool rlk_reason_is_answer(enum rlk_reason reason)
{
    switch (reason) {
    case RLK_GRANTED:
    case RLK_HELD:
    case RLK_OUTBID:
    case RLK_ABSENT:
    case RLK_ANOTHERS:
    case RLK_WRONGTYPE:
        return true;
    default:
        return false;
    }
}

bool rlk_reason_is_harmless(enum rlk_reason reason)
{
    switch (reason) {
    case RLK_HELD:
    case RLK_OUTBID:
    case RLK_WRONGTYPE:
    case RLK_GUARDED:
    case RLK_BAD_FENCE:
    case RLK_NOSCRIPT:
        return true;
    default:
        return false;
    }
}

bool rlk_reason_is_undelivered(enum rlk_reason reason)
{
    switch (reason) {
    case RLK_DISCONNECTED:
    case RLK_STALLED:
    case RLK_LOADING:
    case RLK_BUSY:
    case RLK_NOSCRIPT:
        return true;
    default:
        return false;
    }
}
