/* Text to tree, in one pass (Lua 5.1's grammar, without what the scripts do not use). Names become
 * places: a local's is known here, and a global is a function of the library, KEYS or ARGV. Whatever
 * else comes up ends the attempt. */
#include <ctype.h>
#include <setjmp.h>
#include <stdio.h>

#include "sim/redis_tree.h"

#define NAMES_MAX 64 /* that are in sight at a time */

enum token { END, NAME, NUMBER, STRING, SYMBOL };

struct scope {
    struct scope *outer;
    struct tree_function *function;
    struct redis_word names[NAMES_MAX];
    size_t count;
    bool is_in_loop; /* a function made here would share what belongs to one turn */
};

static _Thread_local struct parser {
    const char *at, *end;
    int line;
    enum token token;
    struct redis_word word; /* the token's; a string's as it means */
    int word_line;
    struct scope *scope;
    jmp_buf unknown;
} parser;

static void give_up(void) __attribute__((noreturn));
static void give_up(void)
{
    longjmp(parser.unknown, 1);
}

/* ---- memory, which lasts ---- */

static struct tree_node *new_node(enum tree_node_kind kind)
{
    struct tree_node *node = redis_grow(NULL, sizeof *node);
    *node = (struct tree_node){.kind = kind, .line = parser.word_line};
    return node;
}

static void append(struct tree_node ***list, size_t *count, struct tree_node *node)
{
    *list = redis_grow(*list, (*count + 1) * sizeof **list);
    (*list)[(*count)++] = node;
}

static struct tree_node *constant(struct tree_value value)
{
    struct tree_node *node = new_node(TREE_CONSTANT);
    node->constant = value;
    return node;
}

/* ---- tokens ---- */

static bool is_name_byte(char byte)
{
    return isalnum((unsigned char)byte) || byte == '_';
}

static void skip_space(void)
{
    for (; parser.at < parser.end; parser.at++) {
        if (*parser.at == '\n')
            parser.line++;
        else if (*parser.at == '-' && parser.end - parser.at > 1 && parser.at[1] == '-')
            give_up(); /* comments are left out before */
        else if (!isspace((unsigned char)*parser.at))
            return;
    }
}

/* Without escapes but those of quotes and the backslash. */
static void read_string(void)
{
    char quote = *parser.at++, *text = redis_grow(NULL, (size_t)(parser.end - parser.at) + 1);
    size_t len = 0;
    for (; parser.at < parser.end && *parser.at != quote; parser.at++) {
        if (*parser.at == '\n')
            give_up();
        if (*parser.at == '\\' &&
            (++parser.at == parser.end || !ispunct((unsigned char)*parser.at)))
            give_up();
        text[len++] = *parser.at;
    }
    if (parser.at++ == parser.end)
        give_up();
    parser.token = STRING;
    parser.word = (struct redis_word){text, len};
}

static size_t symbol_len(void)
{
    static const char *const doubles[] = {"..", "==", "~=", "<=", ">="};
    if (parser.end - parser.at > 2 && memcmp(parser.at, "...", 3) == 0)
        return 3;
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
        if (parser.end - parser.at > 1 && memcmp(parser.at, doubles[i], 2) == 0)
            return 2;
    return strchr("+-*/#<>=(){}[];:,.", *parser.at) ? 1 : 0;
}

static void next(void)
{
    skip_space();
    parser.word_line = parser.line;
    const char *start = parser.at;
    if (start == parser.end) {
        parser.token = END;
        return;
    }
    if (*start == '\'' || *start == '"') {
        read_string();
        return;
    }
    parser.token = isdigit((unsigned char)*start) ? NUMBER : is_name_byte(*start) ? NAME : SYMBOL;
    if (parser.token == SYMBOL)
        parser.at += symbol_len();
    while (parser.token != SYMBOL && parser.at < parser.end && is_name_byte(*parser.at))
        parser.at++;
    parser.word = (struct redis_word){start, (size_t)(parser.at - start)};
    if (parser.word.len == 0)
        give_up();
}

static bool is(const char *text)
{
    return (parser.token == NAME || parser.token == SYMBOL) &&
           redis_word_is(parser.word, (struct redis_word){text, strlen(text)});
}

static bool take(const char *text)
{
    if (!is(text))
        return false;
    next();
    return true;
}

static void expect(const char *text)
{
    if (!take(text))
        give_up();
}

static bool is_reserved(void)
{
    static const char *const words[] = {"and",   "break", "do",       "else",   "elseif", "end",
                                        "false", "for",   "function", "if",     "in",     "local",
                                        "nil",   "not",   "or",       "repeat", "return", "then",
                                        "true",  "until", "while"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is(words[i]))
            return true;
    return false;
}

static struct redis_word take_name(void)
{
    struct redis_word name = parser.word;
    if (parser.token != NAME || is_reserved())
        give_up();
    next();
    return name;
}

/* ---- names ---- */

static int declare(struct redis_word name)
{
    struct scope *scope = parser.scope;
    if (scope->count == NAMES_MAX)
        give_up();
    scope->names[scope->count] = name;
    int slot = (int)scope->count++;
    if (scope->count > scope->function->slots)
        scope->function->slots = scope->count;
    return slot;
}

static bool find_local(struct redis_word name, int *depth, int *slot)
{
    *depth = 0;
    for (const struct scope *scope = parser.scope; scope; scope = scope->outer, ++*depth)
        for (size_t i = scope->count; i-- > 0;)
            if (redis_word_is(scope->names[i], name)) {
                *slot = (int)i;
                return true;
            }
    return false;
}

static struct tree_node *builtin(struct redis_word table, struct redis_word name)
{
    const struct tree_builtin *found = tree_builtin(table, name);
    if (!found)
        give_up();
    return constant((struct tree_value){.type = TREE_BUILTIN, .builtin = found});
}

static bool says(struct redis_word word, const char *text)
{
    return redis_word_is(word, (struct redis_word){text, strlen(text)});
}

static struct tree_node *global(struct redis_word name)
{
    if (says(name, "KEYS"))
        return new_node(TREE_KEYS);
    if (says(name, "ARGV"))
        return new_node(TREE_ARGV);
    if (take("."))
        return builtin(name, take_name());
    return builtin((struct redis_word){NULL, 0}, name);
}

static struct tree_node *name_node(void)
{
    int depth, slot;
    struct redis_word name = take_name();
    if (!find_local(name, &depth, &slot))
        return global(name);
    struct tree_node *node = new_node(TREE_LOCAL);
    node->depth = depth;
    node->slot = slot;
    return node;
}

/* ---- expressions ---- */

static struct tree_node *expression(void);
static struct tree_node *function_body(void);

static void expressions(struct tree_node *node)
{
    do
        append(&node->list, &node->count, expression());
    while (take(","));
}

static void table_element(struct tree_node *table)
{
    struct redis_word name = {NULL, 0};
    const struct parser before = parser;
    if (parser.token == NAME && !is_reserved()) {
        name = take_name();
        if (!take("=")) {
            memcpy(&parser, &before, sizeof parser);
            name.bytes = NULL;
        }
    }
    if (is("["))
        give_up();
    table->names = redis_grow(table->names, (table->count + 1) * sizeof *table->names);
    table->names[table->count] = name;
    append(&table->list, &table->count, expression());
}

static struct tree_node *table(void)
{
    struct tree_node *node = new_node(TREE_TABLE);
    expect("{");
    while (!is("}")) {
        table_element(node);
        if (!take(",") && !take(";"))
            break;
    }
    expect("}");
    return node;
}

static void arguments(struct tree_node *call)
{
    call->line = parser.word_line;
    if (parser.token == STRING) {
        append(&call->list, &call->count, constant(tree_text(parser.word.bytes, parser.word.len)));
        next();
    } else if (is("{")) {
        append(&call->list, &call->count, table());
    } else {
        expect("(");
        if (!is(")"))
            expressions(call);
        expect(")");
    }
}

/* a:name(...) of a text. */
static struct tree_node *method(struct tree_node *object)
{
    struct tree_node *call = new_node(TREE_CALL);
    call->a = builtin((struct redis_word){"string", 6}, take_name());
    append(&call->list, &call->count, object);
    arguments(call);
    return call;
}

static struct tree_node *index_of(struct tree_node *object, struct tree_node *key)
{
    struct tree_node *node = new_node(TREE_INDEX);
    bool is_known = key->kind == TREE_CONSTANT && key->constant.type == TREE_DOUBLE &&
                    key->constant.number >= 1 && key->constant.number < 100;
    node->a = object;
    node->b = key;
    if (is_known && (object->kind == TREE_KEYS || object->kind == TREE_ARGV)) {
        node->kind = object->kind == TREE_KEYS ? TREE_KEY : TREE_ARGUMENT;
        node->element = (size_t)key->constant.number;
    }
    return node;
}

static bool gives_many(const struct tree_node *node)
{
    return node->kind == TREE_CALL || node->kind == TREE_REST;
}

static struct tree_node *primary(void)
{
    if (!take("("))
        return name_node();
    struct tree_node *inner = expression();
    expect(")");
    if (gives_many(inner))
        give_up(); /* would be cut to one value */
    return inner;
}

static struct tree_node *call_of(struct tree_node *callee)
{
    struct tree_node *call = new_node(TREE_CALL);
    call->a = callee;
    arguments(call);
    bool is_command = callee->kind == TREE_CONSTANT && call->count > 0 &&
                      call->count <= TREE_WORDS_MAX && !gives_many(call->list[call->count - 1]) &&
                      strcmp(callee->constant.builtin->name, "redis.call") == 0;
    if (is_command)
        call->kind = TREE_COMMAND;
    return call;
}

/* ("9"):rep(n) stands in parentheses. */
static struct tree_node *suffixed(void)
{
    struct tree_node *node = primary();
    for (;;) {
        if (take(".")) {
            struct redis_word name = take_name();
            node = index_of(node, constant(tree_text(name.bytes, name.len)));
        } else if (take("[")) {
            node = index_of(node, expression());
            expect("]");
        } else if (take(":")) {
            node = method(node);
        } else if (is("(") || is("{") || parser.token == STRING) {
            node = call_of(node);
        } else {
            return node;
        }
    }
}

static struct tree_node *number(void)
{
    double value = 0;
    for (size_t i = 0; i < parser.word.len; i++) {
        if (!isdigit((unsigned char)parser.word.bytes[i]) || i > 14)
            give_up();
        value = 10 * value + (parser.word.bytes[i] - '0');
    }
    next();
    if (is("."))
        give_up();
    return constant(tree_number(value));
}

static struct tree_node *simple(void)
{
    if (parser.token == NUMBER)
        return number();
    if (parser.token == STRING) {
        struct tree_node *text = constant(tree_text(parser.word.bytes, parser.word.len));
        next();
        return text;
    }
    if (take("nil"))
        return constant(tree_nil());
    if (is("true") || is("false")) {
        bool truth = is("true");
        next();
        return constant(tree_truth(truth));
    }
    if (is("{"))
        return table();
    if (is("...") && !parser.scope->function->takes_rest)
        give_up();
    if (take("..."))
        return new_node(TREE_REST);
    if (take("function"))
        return function_body();
    return suffixed();
}

static struct tree_node *unary_node(enum tree_node_kind kind);

/* All of them bind closer than what takes two, but for a power, which is not known here. */
static struct tree_node *unary(void)
{
    if (take("not"))
        return unary_node(TREE_NOT);
    if (take("#"))
        return unary_node(TREE_LENGTH);
    if (take("-"))
        return unary_node(TREE_MINUS);
    return simple();
}

static struct tree_node *unary_node(enum tree_node_kind kind)
{
    struct tree_node *node = new_node(kind);
    node->a = unary();
    return node;
}

/* By how closely it binds; the concatenation is the one that binds to the right. */
static const struct operator_text {
    const char *text;
    int binding;
    enum tree_node_kind kind;
    enum tree_operator operator;
} operators[] = {
    {"or", 1, TREE_OR, 0},
    {"and", 2, TREE_AND, 0},
    {"<", 3, TREE_BINARY, TREE_LESS},
    {">", 3, TREE_BINARY, TREE_GREATER},
    {"<=", 3, TREE_BINARY, TREE_LESS_EQUAL},
    {">=", 3, TREE_BINARY, TREE_GREATER_EQUAL},
    {"~=", 3, TREE_BINARY, TREE_UNEQUAL},
    {"==", 3, TREE_BINARY, TREE_EQUAL},
    {"..", 4, TREE_BINARY, TREE_CONCAT},
    {"+", 5, TREE_BINARY, TREE_ADD},
    {"-", 5, TREE_BINARY, TREE_SUBTRACT},
    {"*", 6, TREE_BINARY, TREE_MULTIPLY},
    {"/", 6, TREE_BINARY, TREE_DIVIDE},
};

static const struct operator_text *next_operator(void)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (is(operators[i].text))
            return &operators[i];
    return NULL;
}

static struct tree_node *binary(int least)
{
    struct tree_node *left = unary();
    const struct operator_text *operator;
    while ((operator= next_operator()) != NULL && operator->binding >= least) {
        struct tree_node *node = new_node(operator->kind);
        next();
        node->operator= operator->operator;
        node->a = left;
        node->b = binary(operator->binding +(operator->operator!= TREE_CONCAT || operator->kind !=
                                             TREE_BINARY));
        left = node;
    }
    return left;
}

static struct tree_node *expression(void)
{
    return binary(1);
}

/* ---- statements ---- */

static struct tree_node *statement(void);

static bool ends_block(void)
{
    return parser.token == END || is("end") || is("else") || is("elseif") || is("until");
}

static struct tree_node *block(void)
{
    struct tree_node *node = new_node(TREE_BLOCK);
    size_t names = parser.scope->count;
    while (!ends_block()) {
        append(&node->list, &node->count, statement());
        (void)take(";");
    }
    parser.scope->count = names;
    return node;
}

static struct tree_node *loop_body(void)
{
    bool was_in_loop = parser.scope->is_in_loop;
    parser.scope->is_in_loop = true;
    expect("do");
    struct tree_node *body = block();
    expect("end");
    parser.scope->is_in_loop = was_in_loop;
    return body;
}

static struct tree_node *function_body(void)
{
    struct tree_node *node = new_node(TREE_FUNCTION);
    struct scope scope = {.outer = parser.scope};
    if (parser.scope->is_in_loop)
        give_up();
    node->function = scope.function = redis_grow(NULL, sizeof *node->function);
    *node->function = (struct tree_function){0};
    parser.scope = &scope;
    expect("(");
    while (!is(")") && !node->function->takes_rest) {
        node->function->takes_rest = take("...");
        if (!node->function->takes_rest) {
            declare(take_name());
            node->function->parameters++;
        }
        if (!take(","))
            break;
    }
    expect(")");
    node->function->body = block();
    expect("end");
    parser.scope = scope.outer;
    return node;
}

static struct tree_node *local_function(void)
{
    struct redis_word name = take_name();
    int slot = declare(name);
    struct tree_node *node = function_body();
    node->kind = TREE_DECLARE_CLOSED;
    node->slot = slot;
    return node;
}

static bool is_one_by_one(const struct tree_node *node)
{
    return node->count == node->target_count &&
           (node->count == 1 || !gives_many(node->list[node->count - 1]));
}

/* The names are in sight behind the values only. */
static struct tree_node *local_values(void)
{
    struct redis_word names[16];
    struct tree_node *node = new_node(TREE_DECLARE);
    do {
        if (node->target_count == sizeof names / sizeof *names)
            give_up();
        names[node->target_count++] = take_name();
    } while (take(","));
    if (take("="))
        expressions(node);
    node->is_one_by_one = is_one_by_one(node);
    node->slot = (int)parser.scope->count;
    for (size_t i = 0; i < node->target_count; i++)
        declare(names[i]);
    return node;
}

static struct tree_node *condition(void)
{
    struct tree_node *node = new_node(TREE_IF);
    node->a = expression();
    expect("then");
    node->b = block();
    if (take("elseif")) {
        node->c = condition();
        return node;
    }
    if (take("else"))
        node->c = block();
    expect("end");
    return node;
}

static struct tree_node *loop_over_matches(struct redis_word name)
{
    struct tree_node *node = new_node(TREE_FOR_MATCH), *call = expression();
    bool is_match = call->kind == TREE_CALL && call->a->kind == TREE_CONSTANT &&
                    call->a->constant.type == TREE_BUILTIN && call->count == 2 &&
                    strcmp(call->a->constant.builtin->name, "string.gmatch") == 0;
    if (!is_match)
        give_up();
    node->a = call->list[0];
    node->c = call->list[1];
    node->slot = declare(name);
    node->b = loop_body();
    return node;
}

static struct tree_node *loop_over_numbers(struct redis_word name)
{
    struct tree_node *node = new_node(TREE_FOR);
    expressions(node);
    if (node->count < 2 || node->count > 3)
        give_up();
    node->slot = declare(name);
    node->b = loop_body();
    return node;
}

static struct tree_node *for_loop(void)
{
    size_t names = parser.scope->count;
    struct redis_word name = take_name();
    struct tree_node *node = NULL;
    if (take("="))
        node = loop_over_numbers(name);
    else if (take("in"))
        node = loop_over_matches(name);
    else
        give_up();
    parser.scope->count = names;
    return node;
}

static struct tree_node *while_loop(void)
{
    struct tree_node *node = new_node(TREE_WHILE);
    node->a = expression();
    node->b = loop_body();
    return node;
}

static struct tree_node *assignment(struct tree_node *first)
{
    struct tree_node *node = new_node(TREE_ASSIGN);
    append(&node->targets, &node->target_count, first);
    while (take(","))
        append(&node->targets, &node->target_count, suffixed());
    expect("=");
    expressions(node);
    node->is_one_by_one = is_one_by_one(node);
    for (size_t i = 0; i < node->target_count; i++)
        if (node->targets[i]->kind != TREE_LOCAL && node->targets[i]->kind != TREE_INDEX)
            give_up(); /* KEYS and ARGV stay what they are, too */
    return node;
}

static struct tree_node *call_or_assignment(void)
{
    struct tree_node *first = suffixed();
    if (first->kind != TREE_CALL && first->kind != TREE_COMMAND)
        return assignment(first);
    struct tree_node *node = new_node(TREE_DO_CALL);
    node->a = first;
    return node;
}

static struct tree_node *return_values(void)
{
    struct tree_node *node = new_node(TREE_RETURN);
    if (!ends_block() && !is(";"))
        expressions(node);
    (void)take(";");
    if (!ends_block())
        give_up();
    return node;
}

static struct tree_node *statement(void)
{
    if (take("local"))
        return take("function") ? local_function() : local_values();
    if (take("if"))
        return condition();
    if (take("while"))
        return while_loop();
    if (take("for"))
        return for_loop();
    if (take("return"))
        return return_values();
    if (take("break"))
        return new_node(TREE_BREAK);
    return call_or_assignment();
}

/* ---- a script ---- */

static struct tree_node *whole(struct scope *scope, const char *text, size_t len)
{
    parser = (struct parser){.at = text, .end = text + len, .line = 1, .scope = scope};
    if (setjmp(parser.unknown) != 0)
        return NULL;
    next();
    struct tree_node *body = block();
    if (parser.token != END)
        give_up();
    return body;
}

const struct tree_function *tree_parse(struct redis_word text)
{
    struct tree_function *function = redis_grow(NULL, sizeof *function);
    char *copy = redis_grow(NULL, text.len + 1); /* names and texts lie in it */
    struct scope scope = {.function = function};
    *function = (struct tree_function){0};
    memcpy(copy, text.bytes, text.len);
    function->body = whole(&scope, copy, text.len);
    return function->body ? function : NULL;
}
