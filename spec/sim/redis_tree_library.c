/* The functions that scripts call, by their names in Lua. */
#include <ctype.h>
#include <stdio.h>

#include "sim/redis_commands.h"
#include "sim/redis_interpreter.h"
#include "sim/redis_number.h"
#include "sim/redis_tree.h"

/* ---- commands ---- */

static struct tree_value field_of_text(const char *name, struct redis_word text)
{
    struct tree_list *list = tree_new_list();
    struct tree_field *field = tree_take(sizeof *field);
    char *copy = tree_take(text.len + 1);
    memcpy(copy, text.bytes, text.len);
    *field = (struct tree_field){{name, strlen(name)}, tree_text(copy, text.len)};
    list->fields = field;
    list->field_count = list->field_capacity = 1;
    return tree_of_list(list);
}

/* Into the reply, or as the next element of it. */
static void give(struct redis_reply *reply, struct tree_value value)
{
    struct tree_run *run = reply->target;
    if (reply->left == 0) {
        run->reply = value;
        return;
    }
    reply->left--;
    run->reply.list->elements[reply->element++] = value;
    run->reply.list->count = (size_t)reply->element;
}

static void give_ok(struct redis_reply *reply)
{
    give(reply, field_of_text("ok", (struct redis_word){"OK", 2}));
}

static void give_error(struct redis_reply *reply, struct redis_word text)
{
    give(reply, field_of_text("err", text));
}

static void give_integer(struct redis_reply *reply, int64_t value)
{
    give(reply, tree_number((double)value));
}

/* What the next command changes is not to change this. */
static void give_bulk(struct redis_reply *reply, struct redis_word word)
{
    char *copy = tree_take(word.len + 1);
    if (word.len > 0)
        memcpy(copy, word.bytes, word.len);
    give(reply, tree_text(copy, word.len));
}

static void give_nil(struct redis_reply *reply)
{
    give(reply, tree_truth(false));
}

static void give_array(struct redis_reply *reply, size_t count)
{
    struct tree_run *run = reply->target;
    struct tree_list *list = tree_new_list();
    list->elements = tree_take(count * sizeof *list->elements);
    list->capacity = count;
    run->reply = tree_of_list(list);
    reply->left = (int)count;
    reply->element = 0;
}

static bool take_words(const struct tree_value *arguments, size_t count, struct redis_word *words)
{
    for (size_t i = 0; i < count; i++)
        if (arguments[i].type == TREE_TEXT)
            words[i] = tree_word(arguments[i]);
        else if (arguments[i].type == TREE_DOUBLE)
            words[i] = redis_write_double(tree_take(REDIS_NUMBER_SIZE), arguments[i].number);
        else
            return false;
    return true;
}

static void note_answer(struct tree_run *run, bool failed)
{
    struct tree_answers *answers = &run->answers;
    if (answers->count == answers->capacity) {
        size_t capacity = 2 * answers->capacity + 12;
        struct tree_answer *list = tree_take(capacity * sizeof *list);
        if (answers->count > 0)
            memcpy(list, answers->list, answers->count * sizeof *list);
        answers->list = list;
        answers->capacity = capacity;
    }
    answers->list[answers->count++] = (struct tree_answer){run->reply, failed};
}

bool tree_run_command(struct tree_run *run, const struct tree_value *arguments, size_t count)
{
    static const struct redis_reply_kind kind = {give_ok,   give_error, give_integer,
                                                 give_bulk, give_nil,   give_array};
    struct redis_reply reply = {.kind = &kind, .target = run};
    struct redis_word few[TREE_WORDS_MAX];
    struct redis_word *words =
        count <= TREE_WORDS_MAX ? few : (struct redis_word *)tree_take(count * sizeof *words);
    if (count == 0)
        redis_reply_error(&reply,
                          "ERR Please specify at least one argument for this redis lib call");
    else if (!take_words(arguments, count, words))
        redis_reply_error(&reply,
                          "ERR Lua redis lib command arguments must be strings or integers");
    else
        redis_run_for_script(run->call, words, count, &reply);
    note_answer(run, reply.failed);
    return reply.failed;
}

static size_t call_command(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    if (tree_run_command(run, arguments, count))
        tree_raise(run, run->reply);
    arguments[0] = run->reply;
    return 1;
}

static size_t try_command(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    tree_run_command(run, arguments, count);
    arguments[0] = run->reply;
    return 1;
}

/* ---- strings ---- */

static struct redis_word text_argument(struct tree_run *run, const struct tree_value *arguments,
                                       size_t count, size_t index)
{
    struct redis_word text;
    if (index >= count || !tree_text_of(arguments[index], &text))
        tree_fail(run, "bad argument, a string");
    return text;
}

static int64_t whole_argument(struct tree_run *run, const struct tree_value *arguments,
                              size_t count, size_t index, int64_t otherwise)
{
    if (index >= count || arguments[index].type == TREE_NOTHING)
        return otherwise;
    if (arguments[index].type != TREE_DOUBLE)
        tree_fail(run, "bad argument, a number");
    return (int64_t)arguments[index].number;
}

static size_t sub(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    struct redis_word text = text_argument(run, arguments, count, 0);
    int64_t len = (int64_t)text.len;
    int64_t first = whole_argument(run, arguments, count, 1, 1);
    int64_t last = whole_argument(run, arguments, count, 2, -1);
    first = first < 0 ? len + first + 1 : first;
    last = last < 0 ? len + last + 1 : last;
    first = first < 1 ? 1 : first;
    last = last > len ? len : last;
    arguments[0] = first > last ? tree_text("", 0)
                                : tree_text(text.bytes + first - 1, (size_t)(last - first) + 1);
    return 1;
}

static size_t rep(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    struct redis_word text = text_argument(run, arguments, count, 0);
    int64_t times = whole_argument(run, arguments, count, 1, -1);
    if (times < 0 || times > 10000)
        tree_fail(run, "a repetition that scripts do not use");
    char *bytes = tree_take((size_t)times * text.len + 1);
    for (int64_t i = 0; i < times; i++)
        memcpy(bytes + (size_t)i * text.len, text.bytes, text.len);
    arguments[0] = tree_text(bytes, (size_t)times * text.len);
    return 1;
}

/* ---- patterns: classes, anchors, captures and what is repeated; neither sets nor %b ---- */

#define CAPTURES_MAX 4

struct search {
    struct tree_run *run;
    struct redis_word text;
    const char *pattern_end;
    struct redis_word captures[CAPTURES_MAX];
    size_t count, open; /* captures, and of them those that have not ended */
};

static bool fits_class(struct search *search, char class, unsigned char byte)
{
    bool fits;
    switch (redis_small(class)) {
    case 's':
        fits = byte == ' ' || (byte >= '\t' && byte <= '\r');
        break;
    case 'd':
        fits = byte >= '0' && byte <= '9';
        break;
    default:
        if (isalnum((unsigned char)class))
            tree_fail(search->run, "a pattern that scripts do not use");
        return (unsigned char)class == byte;
    }
    return fits == (class >= 'a');
}

/* The item that the pattern begins with: a byte, a class, or any. */
static size_t item_len(struct search *search, const char *pattern)
{
    if (*pattern == '[' || (*pattern == '%' && pattern + 1 == search->pattern_end))
        tree_fail(search->run, "a pattern that scripts do not use");
    return *pattern == '%' ? 2 : 1;
}

static inline bool fits(struct search *search, const char *item, const char *at)
{
    if (at == search->text.bytes + search->text.len)
        return false;
    if (*item == '%' && item[1] == 'd')
        return *at >= '0' && *at <= '9';
    if (*item == '%')
        return fits_class(search, item[1], (unsigned char)*at);
    return *item == '.' || *item == *at;
}

static const char *match(struct search *search, const char *pattern, const char *at);

/* The byte that has to stand where the rest of the pattern begins; -1: it may be another. */
static int first_byte(const struct search *search, const char *rest)
{
    while (rest < search->pattern_end && (*rest == '(' || *rest == ')'))
        rest++;
    bool is_plain = rest < search->pattern_end && !strchr("^$*+?.([%-", *rest);
    bool may_miss = rest + 1 < search->pattern_end && strchr("*?-", rest[1]);
    return is_plain && !may_miss ? (unsigned char)*rest : -1;
}

static bool may_go_on(const struct search *search, int first, const char *at)
{
    return first < 0 || (at < search->text.bytes + search->text.len && (unsigned char)*at == first);
}

/* As often as it can be, and then less and less often. */
static const char *match_most(struct search *search, const char *item, const char *rest,
                              const char *at, size_t least)
{
    const char *end = at, *found = NULL;
    int first = first_byte(search, rest);
    while (fits(search, item, end))
        end++;
    for (; end >= at + least; end--)
        if (may_go_on(search, first, end) && (found = match(search, rest, end)) != NULL)
            break;
    return found;
}

static const char *match_item(struct search *search, const char *pattern, const char *at)
{
    const char *rest = pattern + item_len(search, pattern), *found = NULL;
    char how = rest < search->pattern_end ? *rest : '\0';
    if (how == '*' || how == '+')
        return match_most(search, pattern, rest + 1, at, how == '+');
    if (how == '-') {
        while (!(found = match(search, rest + 1, at)) && fits(search, pattern, at))
            at++;
        return found;
    }
    rest += how == '?';
    if (fits(search, pattern, at))
        found = match(search, rest, at + 1);
    return found || how != '?' ? found : match(search, rest, at);
}

static const char *match_capture(struct search *search, const char *pattern, const char *at)
{
    bool begins = *pattern == '(';
    size_t index = begins ? search->count : search->open;
    if (begins && search->count == CAPTURES_MAX)
        tree_fail(search->run, "a pattern that scripts do not use");
    if (begins) {
        search->captures[search->count++] = (struct redis_word){at, 0};
        search->open = index;
    } else {
        search->captures[index].len = (size_t)(at - search->captures[index].bytes);
    }
    const char *found = match(search, pattern + 1, at);
    if (!found && begins)
        search->count = search->open = index;
    return found;
}

/* Where the match ends; NULL: there is none. Captures do not nest. */
static const char *match(struct search *search, const char *pattern, const char *at)
{
    if (pattern == search->pattern_end)
        return at;
    if (*pattern == '(' || *pattern == ')')
        return match_capture(search, pattern, at);
    if (*pattern == '$' && pattern + 1 == search->pattern_end)
        return at == search->text.bytes + search->text.len ? at : NULL;
    return match_item(search, pattern, at);
}

/* From there on, at the first place where it matches. */
static const char *first_match(struct search *search, struct redis_word pattern, const char *from,
                               const char **end)
{
    bool is_anchored = pattern.len > 0 && *pattern.bytes == '^';
    const char *text_end = search->text.bytes + search->text.len;
    search->pattern_end = pattern.bytes + pattern.len;
    for (const char *at = from; at <= text_end; at++) {
        search->count = search->open = 0;
        *end = match(search, pattern.bytes + is_anchored, at);
        if (*end || is_anchored)
            return *end ? at : NULL;
    }
    return NULL;
}

static size_t give_captures(const struct search *search, struct tree_value *results)
{
    for (size_t i = 0; i < search->count; i++)
        results[i] = tree_text(search->captures[i].bytes, search->captures[i].len);
    return search->count;
}

static size_t find(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    const char *start, *end = NULL;
    struct search search = {.run = run, .text = text_argument(run, arguments, count, 0)};
    struct redis_word pattern = text_argument(run, arguments, count, 1);
    int64_t from = whole_argument(run, arguments, count, 2, 1);
    if (from < 1 || from > (int64_t)search.text.len + 1)
        from = (int64_t)search.text.len + 1;
    const char *at = search.text.bytes + from - 1;
    if (count > 3 && tree_is_true(arguments[3])) {
        start = memmem(at, search.text.len - (size_t)(from - 1), pattern.bytes, pattern.len);
        end = start ? start + pattern.len : NULL;
    } else {
        start = first_match(&search, pattern, at, &end);
    }
    arguments[0] = start ? tree_number((double)(start - search.text.bytes + 1)) : tree_nil();
    if (!start)
        return 1;
    arguments[1] = tree_number((double)(end - search.text.bytes));
    return 2 + give_captures(&search, arguments + 2);
}

static size_t find_captures(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    const char *end;
    struct search search = {.run = run, .text = text_argument(run, arguments, count, 0)};
    struct redis_word pattern = text_argument(run, arguments, count, 1);
    const char *start = first_match(&search, pattern, search.text.bytes, &end);
    arguments[0] = start ? tree_text(start, (size_t)(end - start)) : tree_nil();
    size_t captures = start ? give_captures(&search, arguments) : 0;
    return captures > 0 ? captures : 1;
}

/* Only in the head of a loop, which looks for one match after the other itself. */
static size_t find_all(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    (void)arguments;
    (void)count;
    tree_fail(run, "matches that no loop takes");
}

/* ---- values ---- */

static const char *type_name(enum tree_type type)
{
    static const char *const names[] = {
        [TREE_NOTHING] = "nil",      [TREE_TRUTH] = "boolean", [TREE_DOUBLE] = "number",
        [TREE_TEXT] = "string",      [TREE_LIST] = "table",    [TREE_CLOSURE] = "function",
        [TREE_BUILTIN] = "function",
    };
    return names[type];
}

static size_t type(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    if (count == 0)
        tree_fail(run, "bad argument #1 to 'type' (value expected)");
    const char *name = type_name(arguments[0].type);
    arguments[0] = tree_text(name, strlen(name));
    return 1;
}

/* Of whole numbers, as all are that scripts are given. */
static size_t to_number(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    int64_t number;
    if (count == 1 && (arguments[0].type == TREE_DOUBLE || arguments[0].type == TREE_NOTHING))
        return 1;
    if (count != 1 || arguments[0].type != TREE_TEXT ||
        !redis_read_integer(tree_word(arguments[0]), &number))
        tree_fail(run, "a number that scripts do not read");
    arguments[0] = tree_number((double)number);
    return 1;
}

static size_t unpack(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    if (count == 0 || arguments[0].type != TREE_LIST)
        tree_fail(run, "bad argument #1 to 'unpack' (table expected)");
    const struct tree_list *list = arguments[0].list;
    int64_t first = whole_argument(run, arguments, count, 1, 1);
    int64_t last = whole_argument(run, arguments, count, 2, (int64_t)list->count);
    if (first > last)
        return 0;
    tree_need(run, (size_t)(last - first) + 1);
    for (int64_t i = first; i <= last; i++) {
        struct tree_value key = tree_number((double)i);
        arguments[i - first] = tree_get(list, key);
    }
    return (size_t)(last - first) + 1;
}

/* Whether there is anything: scripts ask no more of it. */
static size_t next(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    if (count != 1 || arguments[0].type != TREE_LIST)
        tree_fail(run, "bad argument #1 to 'next' (table expected)");
    const struct tree_list *list = arguments[0].list;
    bool has_any = list->field_count > 0;
    for (size_t i = 0; i < list->count; i++)
        has_any |= list->elements[i].type != TREE_NOTHING;
    arguments[0] = has_any ? tree_truth(true) : tree_nil();
    return 1;
}

/* ---- errors ---- */

static size_t raise_error(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    if (count != 1 || (arguments[0].type != TREE_TEXT && arguments[0].type != TREE_LIST))
        tree_fail(run, "an error that scripts do not raise");
    if (arguments[0].type == TREE_TEXT)
        tree_raise_text(run, "%.*s", (int)arguments[0].len, arguments[0].bytes);
    tree_raise(run, arguments[0]);
}

/* Of an error that is a table, its text is what scripts get to see. */
static size_t call_protected(struct tree_run *run, struct tree_value *arguments, size_t count)
{
    if (count == 0)
        tree_fail(run, "bad argument #1 to 'pcall' (value expected)");
    struct tree_value callee = arguments[0];
    size_t results = tree_call_guarded(run, callee, count - 1);
    if (results != SIZE_MAX) {
        arguments[0] = tree_truth(true);
        return results + 1;
    }
    struct tree_value err = tree_text("err", 3), error = run->error;
    struct tree_value text = error.type == TREE_LIST ? tree_get(error.list, err) : tree_nil();
    arguments[0] = tree_truth(false);
    arguments[1] = text.type == TREE_TEXT ? text : error;
    return 2;
}

/* ---- by name ---- */

const struct tree_builtin *tree_builtin(struct redis_word table, struct redis_word name)
{
    static const struct tree_builtin builtins[] = {
        {"redis.call", call_command},
        {"redis.pcall", try_command},
        {"string.sub", sub},
        {"string.rep", rep},
        {"string.find", find},
        {"string.match", find_captures},
        {"string.gmatch", find_all},
        {"type", type},
        {"tonumber", to_number},
        {"unpack", unpack},
        {"next", next},
        {"error", raise_error},
        {"pcall", call_protected},
    };
    char path[64];
    if (table.len + name.len + 2 > sizeof path)
        return NULL;
    snprintf(path, sizeof path, "%.*s%s%.*s", (int)table.len, table.len ? table.bytes : "",
             table.len ? "." : "", (int)name.len, name.bytes);
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++)
        if (strcmp(builtins[i].name, path) == 0)
            return &builtins[i];
    return NULL;
}
