/* The scripts that run on the servers. Their sources are the .lua files in scripts/. */
#ifndef RLK_SCRIPTS_H
#define RLK_SCRIPTS_H

#include "core/request.h"

struct rlk_script {
    const char *name;
    const char *sha1; /* 40 hexadecimal digits, as EVALSHA takes them */
    const char *text;
    size_t text_len;
};

const struct rlk_script *rlk_script(enum rlk_request_kind kind);

#endif
