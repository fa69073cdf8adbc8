/* Which scripts there are, and the commands that run them. */
#ifndef SIM_REDIS_SCRIPTS_H
#define SIM_REDIS_SCRIPTS_H

#include "sim/redis_server.h"

/* What runs the scripts: a tree, if it can (redis_tree.h), else LuaJIT. Or one of them alone. */
extern enum redis_engine { REDIS_EITHER, REDIS_TREES, REDIS_LUAJIT } redis_engine;

void redis_eval(struct redis_call *call);
void redis_evalsha(struct redis_call *call);
void redis_script_load(struct redis_call *call);
void redis_script_flush(struct redis_call *call);
void redis_script_exists(struct redis_call *call);

#endif
