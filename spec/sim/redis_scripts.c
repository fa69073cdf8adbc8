/* Redis runs Lua 5.1; here LuaJIT does. They agree in what scripts can tell: the syntax, the
 * library, how numbers are written, and that a number is a double. Where they do not, no script of
 * ours looks: what lies at which address, the order of a table's string keys, the length of a list
 * with holes, and the line of an error that a tail call raised. Of the library are left out what
 * reads files, clocks, memory and random numbers, and cjson, cmsgpack, struct and bit; a script's
 * globals cannot be added to, but those that are there can be overwritten, and nobody does it.
 *
 * A script is compiled once in a thread. Which scripts a server knows is its own affair. */
#include "sim/redis_scripts.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <math.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "sim/redis_commands.h"
#include "sim/redis_number.h"

#define SHA1_DIGITS 40
#define REPLY_DEPTH_MAX 1000 /* Redis goes deeper, on a larger stack */
#define CHUNK_NAME "@user_script"
#define TABLE_SIZE 8 /* of KEYS and ARGV, unless there are more */

/* Where things stand on the interpreter's stack. */
enum place { HANDLER = 1, KEYS, ARGUMENTS, FIRST_FREE };

struct script {
    char sha1[SHA1_DIGITS + 1];
    struct redis_word text;
    int function; /* in Lua's registry */
};

/* Numbers of scripts by a hash, with linear probing; a slot that is 0 is free. */
struct index {
    size_t *slots; /* the script's number, and 1 */
    size_t slot_count;
};

struct interpreter {
    lua_State *lua;
    struct redis_call *call;      /* whose script runs */
    struct redis_request request; /* what the script calls */
    size_t place_counts[FIRST_FREE];
    struct script *scripts;
    size_t script_count, script_capacity;
    struct index by_text, by_sha1;
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

static void run_for_script(const struct redis_request *request, struct redis_reply *reply)
{
    const struct redis_command *command = redis_command(request->words, request->count);
    struct redis_call call = *interpreter->call;
    call.words = request->words;
    call.count = request->count;
    call.reply = reply;
    if (!command)
        redis_reply_error(reply, "ERR Unknown Redis command called from script");
    else if (!redis_command_takes(command, request->count))
        redis_reply_error(reply, "ERR Wrong number of args calling Redis command from script");
    else if (command->by != REDIS_ANYWHERE)
        redis_reply_error(reply, "ERR This Redis command is not allowed from script");
    else
        command->run(&call);
}

static struct redis_reply run_call(lua_State *lua)
{
    struct redis_request *request = &interpreter->request;
    struct redis_reply reply = reply_to_script(lua);
    if (lua_gettop(lua) == 0)
        redis_reply_error(&reply,
                          "ERR Please specify at least one argument for this redis lib call");
    else if (!take_words(lua, request))
        redis_reply_error(&reply,
                          "ERR Lua redis lib command arguments must be strings or integers");
    else
        run_for_script(request, &reply);
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

/* ---- the cache ---- */

static uint64_t hash_of_sha1(struct redis_word sha1)
{
    return redis_word_hash((struct redis_word){sha1.bytes, 16}, 0);
}

/* Both ends and the length tell scripts apart well enough. */
static uint64_t hash_of_text(struct redis_word text)
{
    size_t len = text.len < 32 ? text.len : 32;
    uint64_t head = redis_word_hash((struct redis_word){text.bytes, len}, text.len);
    return redis_word_hash((struct redis_word){text.bytes + text.len - len, len}, head);
}

static struct redis_word sha1_of(const struct script *script)
{
    return (struct redis_word){script->sha1, SHA1_DIGITS};
}

static void put(struct index *index, uint64_t hash, size_t number)
{
    size_t slot = hash & (index->slot_count - 1);
    while (index->slots[slot])
        slot = (slot + 1) & (index->slot_count - 1);
    index->slots[slot] = number + 1;
}

static void clear_index(struct index *index, size_t slot_count)
{
    index->slot_count = slot_count;
    index->slots = redis_grow(index->slots, slot_count * sizeof *index->slots);
    memset(index->slots, 0, slot_count * sizeof *index->slots);
}

static void put_script(struct interpreter *in, size_t number)
{
    put(&in->by_text, hash_of_text(in->scripts[number].text), number);
    put(&in->by_sha1, hash_of_sha1(sha1_of(&in->scripts[number])), number);
}

/* The number of scripts if there is none. */
static size_t script_of_text(const struct interpreter *in, struct redis_word text)
{
    const struct index *index = &in->by_text;
    size_t slot = index->slot_count ? hash_of_text(text) & (index->slot_count - 1) : 0;
    for (; index->slot_count && index->slots[slot]; slot = (slot + 1) & (index->slot_count - 1))
        if (redis_word_is(in->scripts[index->slots[slot] - 1].text, text))
            return index->slots[slot] - 1;
    return in->script_count;
}

static size_t script_of_sha1(const struct interpreter *in, struct redis_word sha1)
{
    const struct index *index = &in->by_sha1;
    size_t slot = index->slot_count ? hash_of_sha1(sha1) & (index->slot_count - 1) : 0;
    for (; index->slot_count && index->slots[slot]; slot = (slot + 1) & (index->slot_count - 1))
        if (redis_word_is(sha1_of(&in->scripts[index->slots[slot] - 1]), sha1))
            return index->slots[slot] - 1;
    return in->script_count;
}

static void write_sha1(char digits[SHA1_DIGITS + 1], struct redis_word text)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)text.bytes, text.len, digest);
    for (int i = 0; i < SHA_DIGEST_LENGTH; i++)
        snprintf(digits + 2 * i, 3, "%02x", digest[i]);
}

static void remember_script(struct interpreter *in, struct redis_word text, int function)
{
    if (2 * (in->script_count + 1) > in->by_text.slot_count) {
        size_t slot_count = in->by_text.slot_count ? 2 * in->by_text.slot_count : 32;
        clear_index(&in->by_text, slot_count);
        clear_index(&in->by_sha1, slot_count);
        for (size_t number = 0; number < in->script_count; number++)
            put_script(in, number);
    }
    if (in->script_count == in->script_capacity) {
        in->script_capacity = 2 * in->script_capacity + 16;
        in->scripts = redis_grow(in->scripts, in->script_capacity * sizeof *in->scripts);
    }
    struct script *script = &in->scripts[in->script_count];
    char *copy = redis_grow(NULL, text.len + 1);
    memcpy(copy, text.bytes, text.len);
    *script = (struct script){.text = {copy, text.len}, .function = function};
    write_sha1(script->sha1, text);
    put_script(in, in->script_count++);
}

/* The number of a script that was compiled, now or before. False, and said so, if it is none. */
static bool compile(struct redis_call *call, struct redis_word text, size_t *number)
{
    struct interpreter *in = the_interpreter();
    *number = script_of_text(in, text);
    if (*number < in->script_count)
        return true;
    if (luaL_loadbuffer(in->lua, text.bytes, text.len, CHUNK_NAME) != 0) {
        redis_reply_error(call->reply, "ERR Error compiling script (new function): %s",
                          lua_tostring(in->lua, -1));
        lua_pop(in->lua, 1);
        return false;
    }
    remember_script(in, text, luaL_ref(in->lua, LUA_REGISTRYINDEX));
    return true;
}

/* ---- what servers know ---- */

static bool knows(const struct sim_redis *redis, size_t number)
{
    return number < redis->script_count && redis->knows_script[number];
}

static void learn(struct sim_redis *redis, size_t number)
{
    if (number >= redis->script_count) {
        size_t count = 2 * number + 16;
        redis->knows_script = redis_grow(redis->knows_script, count * sizeof *redis->knows_script);
        memset(redis->knows_script + redis->script_count, 0, count - redis->script_count);
        redis->script_count = count;
    }
    redis->knows_script[number] = true;
}

/* ---- the replies of scripts to clients ---- */

static void send_value(struct redis_bytes *output, lua_State *lua);

/* C leaves open what a number beyond an integer's range becomes; x86 says this. */
static int64_t truncated(lua_Number number)
{
    return fabs(number) < 0x1p63 ? (int64_t)number : INT64_MIN;
}

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
        redis_write_count(output, ':', truncated(lua_tonumber(lua, -1)));
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
static void reply_failure(struct redis_call *call, lua_State *lua, const struct script *script)
{
    if (!lua_istable(lua, -1)) {
        redis_reply_error(call->reply, "ERR Error running script: execution failure");
        return;
    }
    lua_getfield(lua, -1, "err");
    lua_getfield(lua, -2, "source");
    lua_getfield(lua, -3, "line");
    redis_reply_error(call->reply, "%s script: %s, on %s:%d.",
                      lua_isstring(lua, -3) ? lua_tostring(lua, -3) : "ERR unknown error",
                      script->sha1, lua_tostring(lua, -2), (int)lua_tointeger(lua, -1));
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

static void run(struct redis_call *call, size_t number, size_t key_count)
{
    struct interpreter *in = interpreter;
    const struct script *script = &in->scripts[number];
    lua_State *lua = in->lua;
    in->call = call;
    fill_table(in, KEYS, call->words + 3, key_count);
    fill_table(in, ARGUMENTS, call->words + 3 + key_count, call->count - 3 - key_count);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, script->function);
    if (lua_pcall(lua, 0, 1, HANDLER) == 0)
        send_value(call->reply->target, lua);
    else
        reply_failure(call, lua, script);
    lua_settop(lua, FIRST_FREE - 1);
    tidy_table(in, KEYS);
    tidy_table(in, ARGUMENTS);
}

static bool read_key_count(const struct redis_call *call, size_t *key_count)
{
    int64_t count;
    const char *error = NULL;
    if (!redis_read_integer(call->words[2], &count))
        error = "value is not an integer or out of range";
    else if (count > (int64_t)call->count - 3)
        error = "Number of keys can't be greater than number of args";
    else if (count < 0)
        error = "Number of keys can't be negative";
    if (error)
        redis_reply_error(call->reply, "ERR %s", error);
    *key_count = error ? 0 : (size_t)count;
    return !error;
}

void redis_eval(struct redis_call *call)
{
    size_t key_count, number;
    if (!read_key_count(call, &key_count) || !compile(call, call->words[1], &number))
        return;
    learn(call->session->redis, number);
    run(call, number, key_count);
}

/* The number of a script that this server knows, or of none. */
static size_t known_script(const struct redis_call *call, struct redis_word sha1)
{
    char digits[SHA1_DIGITS];
    const struct interpreter *in = the_interpreter();
    if (sha1.len != SHA1_DIGITS)
        return in->script_count;
    size_t number = script_of_sha1(in, sha1);
    if (number < in->script_count)
        return knows(call->session->redis, number) ? number : in->script_count;
    for (int i = 0; i < SHA1_DIGITS; i++)
        digits[i] = sha1.bytes[i] >= 'A' && sha1.bytes[i] <= 'Z' ? (char)(sha1.bytes[i] | 0x20)
                                                                 : sha1.bytes[i];
    number = script_of_sha1(in, (struct redis_word){digits, SHA1_DIGITS});
    return knows(call->session->redis, number) ? number : in->script_count;
}

void redis_evalsha(struct redis_call *call)
{
    size_t key_count = 0, number = the_interpreter()->script_count;
    if (call->words[1].len == SHA1_DIGITS) {
        if (!read_key_count(call, &key_count))
            return;
        number = known_script(call, call->words[1]);
    }
    if (number < interpreter->script_count)
        run(call, number, key_count);
    else
        redis_reply_error(call->reply, "NOSCRIPT No matching script. Please use EVAL.");
}

void redis_script_load(struct redis_call *call)
{
    size_t number;
    if (!compile(call, call->words[2], &number))
        return;
    learn(call->session->redis, number);
    call->reply->kind->bulk(call->reply, sha1_of(&interpreter->scripts[number]));
}

static bool says(struct redis_word word, const char *text)
{
    return word.len == strlen(text) && strncasecmp(word.bytes, text, word.len) == 0;
}

void redis_script_flush(struct redis_call *call)
{
    bool named =
        call->count == 3 && (says(call->words[2], "sync") || says(call->words[2], "async"));
    if (call->count > 2 && !named) {
        redis_reply_error(call->reply, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
        return;
    }
    sim_redis_flush_scripts(call->session->redis);
    redis_reply_ok(call->reply);
}

void redis_script_exists(struct redis_call *call)
{
    call->reply->kind->array(call->reply, call->count - 2);
    for (size_t i = 2; i < call->count; i++) {
        bool exists = known_script(call, call->words[i]) < interpreter->script_count;
        call->reply->kind->integer(call->reply, exists);
    }
}
