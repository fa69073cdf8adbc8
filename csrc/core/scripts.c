/* The scripts as the build embedded them (scripts/embed.sh). */
#include "core/scripts.h"

#define RLK_SCRIPT(name, sha1, text) \
    static const struct rlk_script script_##name = {#name, sha1, text, sizeof(text) - 1};
#include "scripts_text.h"
#undef RLK_SCRIPT

const struct rlk_script *rlk_script(enum rlk_request_kind kind)
{
    static const struct rlk_script *const scripts[RLK_REQUEST_KINDS] = {
        [RLK_ACQUIRE] = &script_acquire, [RLK_ACQUIRE_MANY] = &script_acquire_many,
        [RLK_EXTEND] = &script_extend,   [RLK_EXTEND_MANY] = &script_extend_many,
        [RLK_RELEASE] = &script_release, [RLK_RELEASE_MANY] = &script_release_many,
        [RLK_INSPECT] = &script_inspect, [RLK_BREAK] = &script_break,
        [RLK_SCAN] = &script_scan,
    };
    return scripts[kind];
}
