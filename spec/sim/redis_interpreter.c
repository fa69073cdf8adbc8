/* Redis runs Lua 5.1; here LuaJIT does. They agree in what scripts can tell: the syntax, the
 * library, how numbers are written, and that a number is a double. Where they do not, no script of
 * ours looks: what lies at which address, the order of a table's string keys, the length of a list
 * with holes, and the line of an error that a tail call raised. Of the library are left out what
 * reads files, clocks, memory and random numbers, and cjson, cmsgpack, struct and bit; a script's
 * globals cannot be added to, but those that are there can be overwritten, and nobody does it.
 *
 * LuaJIT interprets: it compiles nothing that calls a function of C at every step. */
#include "sim/redis_interpreter.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "sim/redis_commands.h"
#include "sim/redis_number.h"

#define REPLY_DEPTH_MAX 1000 /* Redis goes deeper, on a larger stack */
#define CHUNK_NAME "@user_script"
#define TABLE_SIZE 8 /* of KEYS and ARGV, unless there are more */

/* Where things stand on the interpreter's stack. */
enum place { HANDLER = 1, KEYS, ARGUMENTS, FIRST_FREE };

struct interpreter {
    lua_State *lua;
    struct redis_call *call; /* whose script runs */
    const struct tree_answers *answers;
    size_t answered;              /* of them */
    struct redis_request request; /* what the script calls */
    size_t place_counts[FIRST_FREE];
};

/* Lives as long as its thread: to make one takes longer than to simulate a day. */
static _Thread_local struct interpreter *interpreter;

/* ---- replies of commands to scripts ---- */

static void settle(struct redis_reply *reply)
{
    if (reply->left == 0)
        return;
    lua_rawseti(reply->target, -2, reply->element++);
    reply->left--;
}

static void push_field(lua_State *lua, const char *name, struct redis_word text)
{
    lua_createtable(lua, 0, 1);
    lua_pushlstring(lua, text.bytes, text.len);
    lua_setfield(lua, -2, name);
}

/* There is one for all: to make a table costs more than most commands do. */
static void give_ok(struct redis_reply *reply)
{
    lua_pushvalue(reply->target, lua_upvalueindex(1));
    settle(reply);
}

static void give_error(struct redis_reply *reply, struct redis_word text)
{
    push_field(reply->target, "err", text);
    settle(reply);
}

static void give_integer(struct redis_reply *reply, int64_t value)
{
    lua_pushnumber(reply->target, (lua_Number)value);
    settle(reply);
}

static void give_bulk(struct redis_reply *reply, struct redis_word word)
{
    lua_pushlstring(reply->target, word.bytes, word.len);
    settle(reply);
}

static void give_nil(struct redis_reply *reply)
{
    lua_pushboolean(reply->target, false);
    settle(reply);
}

static void give_array(struct redis_reply *reply, size_t count)
{
    lua_createtable(reply->target, (int)count, 0);
    reply->left = (int)count;
    reply->element = 1;
}

static struct redis_reply reply_to_script(lua_State *lua)
{
    static const struct redis_reply_kind kind = {give_ok,   give_error, give_integer,
                                                 give_bulk, give_nil,   give_array};
    return (struct redis_reply){.kind = &kind, .target = lua};
}

/* ---- what scripts call ---- */

/* A number as a word, in its place on the stack. */
static void write_number(lua_State *lua, int index)
{
    char text[REDIS_NUMBER_SIZE];
    struct redis_word word = redis_write_double(text, lua_tonumber(lua, index));
    lua_pushlstring(lua, word.bytes, word.len);
    lua_replace(lua, index);
}

static bool take_words(lua_State *lua, struct redis_request *request)
{
    int count = lua_gettop(lua);
    redis_request_reserve(request, (size_t)count);
    for (int i = 1; i <= count; i++) {
        struct redis_word *word = &request->words[i - 1];
        int type = lua_type(lua, i);
        if (type == LUA_TNUMBER)
            write_number(lua, i);
        else if (type != LUA_TSTRING)
            return false;
        word->bytes = lua_tolstring(lua, i, &word->len);
    }
    request->count = (size_t)count;
    return true;
}

static void push_answer(lua_State *lua, struct tree_value answer)
{
    const struct tree_list *list = answer.list;
    if (answer.type == TREE_TRUTH)
        lua_pushboolean(lua, answer.truth);
    else if (answer.type == TREE_DOUBLE)
        lua_pushnumber(lua, answer.number);
    else if (answer.type == TREE_TEXT)
        lua_pushlstring(lua, answer.bytes, answer.len);
    if (answer.type != TREE_LIST)
        return;
    lua_createtable(lua, (int)list->count, (int)list->field_count);
    for (size_t i = 0; i < list->count; i++) {
        push_answer(lua, list->elements[i]);
        lua_rawseti(lua, -2, (int)i + 1);
    }
    for (size_t i = 0; i < list->field_count; i++) {
        lua_pushlstring(lua, list->fields[i].name.bytes, list->fields[i].name.len);
        push_answer(lua, list->fields[i].value);
        lua_rawset(lua, -3);
    }
}

static struct redis_reply run_call(lua_State *lua)
{
    struct redis_request *request = &interpreter->request;
    struct redis_reply reply = reply_to_script(lua);
    if (interpreter->answered < interpreter->answers->count) {
        const struct tree_answer *answer = &interpreter->answers->list[interpreter->answered++];
        push_answer(lua, answer->reply);
        reply.failed = answer->failed;
        return reply;
    }
    if (lua_gettop(lua) == 0)
        redis_reply_error(&reply,
                          "ERR Please specify at least one argument for this redis lib call");
    else if (!take_words(lua, request))
        redis_reply_error(&reply,
                          "ERR Lua redis lib command arguments must be strings or integers");
    else
        redis_run_for_script(interpreter->call, request->words, request->count, &reply);
    return reply;
}

/* redis.call */
static int call_command(lua_State *lua)
{
    return run_call(lua).failed ? lua_error(lua) : 1;
}

/* redis.pcall */
static int try_command(lua_State *lua)
{
    run_call(lua);
    return 1;
}

static bool has_one_string(lua_State *lua)
{
    if (lua_gettop(lua) == 1 && lua_type(lua, 1) == LUA_TSTRING)
        return true;
    lua_settop(lua, 0);
    push_field(lua, "err", (struct redis_word){"ERR wrong number or type of arguments", 37});
    return false;
}

/* redis.error_reply: an error's first word is its class, ERR if there is none. */
static int make_error_reply(lua_State *lua)
{
    if (!has_one_string(lua))
        return 1;
    const char *text = lua_tostring(lua, 1);
    if (*text == '-')
        text++;
    lua_pushfstring(lua, "%s%s", strchr(text, ' ') ? "" : "ERR ", text);
    lua_createtable(lua, 0, 1);
    lua_insert(lua, -2);
    lua_setfield(lua, -2, "err");
    return 1;
}

/* redis.status_reply */
static int make_status_reply(lua_State *lua)
{
    if (!has_one_string(lua))
        return 1;
    lua_createtable(lua, 0, 1);
    lua_insert(lua, 1);
    lua_setfield(lua, 1, "ok");
    return 1;
}

/* As pcall, but that of an error that is a table, its text is what scripts get to see. */
static int call_protected(lua_State *lua)
{
    luaL_checkany(lua, 1);
    bool failed = lua_pcall(lua, lua_gettop(lua) - 1, LUA_MULTRET, 0) != 0;
    if (failed && lua_istable(lua, -1)) {
        lua_getfield(lua, -1, "err");
        if (lua_isstring(lua, -1))
            lua_replace(lua, -2);
        else
            lua_pop(lua, 1);
    }
    lua_pushboolean(lua, !failed);
    lua_insert(lua, 1);
    return lua_gettop(lua);
}

static int refuse_unknown_global(lua_State *lua)
{
    return luaL_error(lua, "Script attempted to access nonexistent global variable '%s'",
                      lua_tostring(lua, 2));
}

static int refuse_new_global(lua_State *lua)
{
    return luaL_error(lua, "Attempt to modify a readonly table");
}

/* ---- the interpreter ---- */

/* Makes of whatever was raised a table with err, and says where it was. */
static int describe_error(lua_State *lua)
{
    lua_Debug where;
    lua_settop(lua, 1);
    if (!lua_istable(lua, 1)) {
        lua_getglobal(lua, "tostring");
        lua_insert(lua, 1);
        lua_call(lua, 1, 1);
        lua_pushfstring(lua, "ERR %s", lua_tostring(lua, 1));
        lua_createtable(lua, 0, 3);
        lua_replace(lua, 1);
        lua_setfield(lua, 1, "err");
    }
    bool known = lua_getstack(lua, 1, &where) && lua_getinfo(lua, "Sl", &where);
    if (known && *where.what == 'C')
        known = lua_getstack(lua, 2, &where) && lua_getinfo(lua, "Sl", &where);
    bool in_script = known && *where.what != 'C';
    lua_pushstring(lua, in_script ? where.source : CHUNK_NAME);
    lua_setfield(lua, 1, "source");
    lua_pushinteger(lua, in_script ? where.currentline : 1);
    lua_setfield(lua, 1, "line");
    return 1;
}

static void open_library(lua_State *lua, const char *name, lua_CFunction open)
{
    lua_pushcfunction(lua, open);
    lua_pushstring(lua, name);
    lua_call(lua, 1, 0);
}

static void leave_out(lua_State *lua, const char *table, const char *const *names)
{
    lua_getglobal(lua, table);
    for (; *names; names++) {
        lua_pushnil(lua);
        lua_setfield(lua, -2, *names);
    }
    lua_pop(lua, 1);
}

static void open_libraries(lua_State *lua)
{
    open_library(lua, "", luaopen_base);
    open_library(lua, LUA_TABLIBNAME, luaopen_table);
    open_library(lua, LUA_STRLIBNAME, luaopen_string);
    open_library(lua, LUA_MATHLIBNAME, luaopen_math);
    leave_out(lua, "_G",
              (const char *const[]){"collectgarbage", "dofile", "gcinfo", "getfenv", "loadfile",
                                    "module", "newproxy", "print", "require", "setfenv", NULL});
    leave_out(lua, LUA_MATHLIBNAME, (const char *const[]){"random", "randomseed", NULL});
}

/* KEYS or ARGV, empty. All of its room is for a list's elements. */
static void new_table(lua_State *lua, int place, size_t size)
{
    lua_createtable(lua, (int)size, 0);
    lua_pushvalue(lua, -1);
    lua_replace(lua, place);
    lua_pushstring(lua, place == KEYS ? "KEYS" : "ARGV");
    lua_insert(lua, -2);
    lua_rawset(lua, LUA_GLOBALSINDEX);
}

/* Which have the status OK in common. */
static void set_commands(lua_State *lua)
{
    push_field(lua, "ok", (struct redis_word){"OK", 2});
    lua_pushvalue(lua, -1);
    lua_pushcclosure(lua, call_command, 1);
    lua_setfield(lua, -3, "call");
    lua_pushcclosure(lua, try_command, 1);
    lua_setfield(lua, -2, "pcall");
}

static void set_globals(lua_State *lua)
{
    static const luaL_Reg functions[] = {
        {"error_reply", make_error_reply}, {"status_reply", make_status_reply}, {NULL, NULL}};
    lua_newtable(lua);
    set_commands(lua);
    luaL_register(lua, NULL, functions);
    lua_setglobal(lua, "redis");
    lua_pushcfunction(lua, call_protected);
    lua_setglobal(lua, "pcall");
    new_table(lua, KEYS, TABLE_SIZE);
    new_table(lua, ARGUMENTS, TABLE_SIZE);
}

static void close_globals(lua_State *lua)
{
    lua_createtable(lua, 0, 2);
    lua_pushcfunction(lua, refuse_unknown_global);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, refuse_new_global);
    lua_setfield(lua, -2, "__newindex");
    lua_setmetatable(lua, LUA_GLOBALSINDEX);
}

static struct interpreter *the_interpreter(void)
{
    if (interpreter)
        return interpreter;
    interpreter = redis_grow(NULL, sizeof *interpreter);
    *interpreter = (struct interpreter){.lua = luaL_newstate()};
    lua_State *lua = interpreter->lua;
    if (!lua)
        abort();
    lua_pushcfunction(lua, describe_error);
    lua_settop(lua, FIRST_FREE - 1);
    open_libraries(lua);
    set_globals(lua);
    close_globals(lua);
    return interpreter;
}

/* ---- the replies of scripts to clients ---- */

static void send_value(struct redis_bytes *output, lua_State *lua);

/* The field that makes a table a status or an error. */
static bool send_field(struct redis_bytes *output, lua_State *lua, const char *name, char kind)
{
    struct redis_word text;
    lua_pushstring(lua, name);
    lua_rawget(lua, -2);
    bool is_there = lua_type(lua, -1) == LUA_TSTRING;
    if (is_there) {
        text.bytes = lua_tolstring(lua, -1, &text.len);
        redis_write_line(output, kind, text);
    }
    lua_pop(lua, 1);
    return is_there;
}

static int count_elements(lua_State *lua)
{
    for (int count = 0;; count++) {
        lua_rawgeti(lua, -1, count + 1);
        bool is_end = lua_isnil(lua, -1);
        lua_pop(lua, 1);
        if (is_end)
            return count;
    }
}

static void send_table(struct redis_bytes *output, lua_State *lua)
{
    if (lua_gettop(lua) > REPLY_DEPTH_MAX || !lua_checkstack(lua, 4)) {
        redis_write_line(output, '-', (struct redis_word){"ERR reached lua stack limit", 27});
        return;
    }
    if (send_field(output, lua, "err", '-') || send_field(output, lua, "ok", '+'))
        return;
    int count = count_elements(lua);
    redis_write_count(output, '*', count);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(lua, -1, i);
        send_value(output, lua);
        lua_pop(lua, 1);
    }
}

/* What lies on top of the stack. */
static void send_value(struct redis_bytes *output, lua_State *lua)
{
    struct redis_word word;
    switch (lua_type(lua, -1)) {
    case LUA_TNUMBER:
        redis_write_count(output, ':', redis_truncate(lua_tonumber(lua, -1)));
        break;
    case LUA_TSTRING:
        word.bytes = lua_tolstring(lua, -1, &word.len);
        redis_write_bulk(output, word);
        break;
    case LUA_TTABLE:
        send_table(output, lua);
        break;
    case LUA_TBOOLEAN:
        redis_write_count(output, lua_toboolean(lua, -1) ? ':' : '$',
                          lua_toboolean(lua, -1) ? 1 : -1);
        break;
    default:
        redis_write_count(output, '$', -1);
    }
}

/* The error on top of the stack, which describe_error() made. */
static void reply_failure(struct redis_call *call, lua_State *lua, const char *sha1)
{
    if (!lua_istable(lua, -1)) {
        redis_reply_error(call->reply, "ERR Error running script: execution failure");
        return;
    }
    lua_getfield(lua, -1, "err");
    lua_getfield(lua, -2, "source");
    lua_getfield(lua, -3, "line");
    redis_reply_error(call->reply, "%s script: %s, on %s:%d.",
                      lua_isstring(lua, -3) ? lua_tostring(lua, -3) : "ERR unknown error", sha1,
                      lua_tostring(lua, -2), (int)lua_tointeger(lua, -1));
}

/* ---- running ---- */

/* A script changed its table beyond what the next one sets: the next one gets another. */
static bool was_extended(lua_State *lua, int place, size_t count)
{
    bool extended = count > TABLE_SIZE || lua_getmetatable(lua, place);
    if (!extended) {
        lua_pushinteger(lua, (lua_Integer)count);
        extended = lua_next(lua, place);
    }
    lua_settop(lua, FIRST_FREE - 1);
    return extended;
}

/* New tables would cost more than many a script does: KEYS and ARGV are those of the last one, with
 * other elements. */
static void fill_table(struct interpreter *in, int place, const struct redis_word *words,
                       size_t count)
{
    lua_State *lua = in->lua;
    if (count > TABLE_SIZE)
        new_table(lua, place, count);
    for (size_t i = 0; i < count; i++) {
        lua_pushlstring(lua, words[i].bytes, words[i].len);
        lua_rawseti(lua, place, (int)i + 1);
    }
    for (size_t i = count; i < in->place_counts[place]; i++) {
        lua_pushnil(lua);
        lua_rawseti(lua, place, (int)i + 1);
    }
    in->place_counts[place] = count;
}

static void tidy_table(struct interpreter *in, int place)
{
    if (!was_extended(in->lua, place, in->place_counts[place]))
        return;
    new_table(in->lua, place, TABLE_SIZE);
    in->place_counts[place] = 0;
}

void redis_interpret(struct redis_call *call, int function, const char *sha1, size_t key_count,
                     const struct tree_answers *answers)
{
    struct interpreter *in = the_interpreter();
    lua_State *lua = in->lua;
    in->call = call;
    in->answers = answers;
    in->answered = 0;
    fill_table(in, KEYS, call->words + 3, key_count);
    fill_table(in, ARGUMENTS, call->words + 3 + key_count, call->count - 3 - key_count);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, function);
    if (lua_pcall(lua, 0, 1, HANDLER) == 0)
        send_value(call->reply->target, lua);
    else
        reply_failure(call, lua, sha1);
    lua_settop(lua, FIRST_FREE - 1);
    tidy_table(in, KEYS);
    tidy_table(in, ARGUMENTS);
}

int redis_compile(struct redis_call *call, struct redis_word text)
{
    lua_State *lua = the_interpreter()->lua;
    if (luaL_loadbuffer(lua, text.bytes, text.len, CHUNK_NAME) == 0)
        return luaL_ref(lua, LUA_REGISTRYINDEX);
    redis_reply_error(call->reply, "ERR Error compiling script (new function): %s",
                      lua_tostring(lua, -1));
    lua_pop(lua, 1);
    return REDIS_NO_FUNCTION;
}
