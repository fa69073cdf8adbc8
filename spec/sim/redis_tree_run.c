/* Runs a tree. What is called finds its arguments on a stack and leaves its results in their place;
 * an error goes to the innermost guard. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "sim/redis_commands.h"
#include "sim/redis_number.h"
#include "sim/redis_tree.h"

#define STACK_SIZE 8192
#define RESULTS_MAX 8 /* of a function of the library, without asking for more room */
#define CHUNK_SIZE ((size_t)256 * 1024)
#define ELEMENTS_MAX 1000000
#define CHUNK_NAME "user_script"

struct tree_guard {
    jmp_buf way;
    struct tree_guard *outer;
};

enum flow { GOES_ON, BREAKS, RETURNS };

static _Thread_local struct tree_value stack[STACK_SIZE];

/* ---- memory of a run ---- */

struct chunk {
    struct chunk *next;
    size_t size;
    char bytes[];
};
static _Thread_local struct chunk *first_chunk, *chunk;
static _Thread_local size_t used;

static struct chunk *new_chunk(size_t size)
{
    struct chunk *fresh = redis_grow(NULL, sizeof *fresh + size);
    fresh->next = NULL;
    fresh->size = size;
    return fresh;
}

void *tree_take(size_t size)
{
    size = (size + 15) / 16 * 16;
    if (used + size > chunk->size) {
        if (!chunk->next || chunk->next->size < size)
            chunk->next = new_chunk(size > CHUNK_SIZE ? size : CHUNK_SIZE);
        chunk = chunk->next;
        used = 0;
    }
    void *taken = chunk->bytes + used;
    used += size;
    return taken;
}

static void give_all_back(void)
{
    if (!first_chunk)
        first_chunk = new_chunk(CHUNK_SIZE);
    chunk = first_chunk;
    used = 0;
}

/* ---- errors ---- */

void tree_raise(struct tree_run *run, struct tree_value error)
{
    run->error = error;
    longjmp(run->guard->way, 1);
}

void tree_fail(struct tree_run *run, const char *what)
{
    (void)what;
    run->gives_up = true;
    while (run->guard->outer)
        run->guard = run->guard->outer;
    tree_raise(run, tree_nil());
}

void tree_raise_text(struct tree_run *run, const char *format, ...)
{
    char *text = tree_take(512);
    va_list arguments;
    int len = snprintf(text, 256, "%s:%d: ", CHUNK_NAME, run->line);
    va_start(arguments, format);
    vsnprintf(text + len, 256, format, arguments);
    va_end(arguments);
    tree_raise(run, tree_text(text, strlen(text)));
}

void tree_need(struct tree_run *run, size_t values)
{
    if (run->top + values > stack + STACK_SIZE)
        tree_fail(run, "stack overflow");
}

static void push(struct tree_run *run, struct tree_value value)
{
    tree_need(run, 1);
    *run->top++ = value;
}

/* ---- tables ---- */

struct tree_list *tree_new_list(void)
{
    struct tree_list *list = tree_take(sizeof *list);
    *list = (struct tree_list){0};
    return list;
}

/* From 1 on; 0 if it is none. */
static size_t element_of(struct tree_value key)
{
    bool is_whole = key.type == TREE_DOUBLE && key.number >= 1 && key.number < ELEMENTS_MAX &&
                    key.number == floor(key.number);
    return is_whole ? (size_t)key.number : 0;
}

static struct tree_field *field_of(const struct tree_list *list, struct redis_word name)
{
    for (size_t i = 0; i < list->field_count; i++)
        if (redis_word_is(list->fields[i].name, name))
            return &list->fields[i];
    return NULL;
}

struct tree_value tree_get(const struct tree_list *list, struct tree_value key)
{
    size_t element = element_of(key);
    if (element > 0)
        return element <= list->count ? list->elements[element - 1] : tree_nil();
    const struct tree_field *field = key.type == TREE_TEXT ? field_of(list, tree_word(key)) : NULL;
    return field ? field->value : tree_nil();
}

static void *grow(void *array, size_t count, size_t capacity, size_t size)
{
    void *grown = tree_take(capacity * size);
    if (count > 0)
        memcpy(grown, array, count * size);
    return grown;
}

static void set_element(struct tree_list *list, size_t element, struct tree_value value)
{
    if (element > list->capacity && value.type != TREE_NOTHING) {
        list->capacity = 2 * element + 2;
        list->elements = grow(list->elements, list->count, list->capacity, sizeof *list->elements);
    }
    if (value.type != TREE_NOTHING)
        while (list->count < element)
            list->elements[list->count++] = tree_nil();
    if (element <= list->count)
        list->elements[element - 1] = value;
    while (list->count > 0 && list->elements[list->count - 1].type == TREE_NOTHING)
        list->count--;
}

static void set_field(struct tree_list *list, struct redis_word name, struct tree_value value)
{
    struct tree_field *field = field_of(list, name);
    if (field) {
        field->value = value;
        return;
    }
    if (list->field_count == list->field_capacity) {
        list->field_capacity = 2 * list->field_capacity + 2;
        list->fields =
            grow(list->fields, list->field_count, list->field_capacity, sizeof *list->fields);
    }
    list->fields[list->field_count++] = (struct tree_field){name, value};
}

void tree_set(struct tree_run *run, struct tree_list *list, struct tree_value key,
              struct tree_value value)
{
    size_t element = element_of(key);
    if (element > 0)
        set_element(list, element, value);
    else if (key.type == TREE_TEXT)
        set_field(list, tree_word(key), value);
    else
        tree_fail(run, "a key that scripts do not use");
}

/* ---- values ---- */

bool tree_text_of(struct tree_value value, struct redis_word *text)
{
    if (value.type == TREE_TEXT) {
        *text = tree_word(value);
        return true;
    }
    if (value.type != TREE_DOUBLE)
        return false;
    char *digits = tree_take(REDIS_NUMBER_SIZE);
    *text = value.number == floor(value.number) && fabs(value.number) < 1e14
                ? redis_write_double(digits, value.number)
                : (struct redis_word){
                      digits, (size_t)snprintf(digits, REDIS_NUMBER_SIZE, "%.14g", value.number)};
    return true;
}

static bool are_equal(struct tree_value a, struct tree_value b)
{
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case TREE_NOTHING:
        return true;
    case TREE_TRUTH:
        return a.truth == b.truth;
    case TREE_DOUBLE:
        return !(a.number < b.number) && !(a.number > b.number);
    case TREE_TEXT:
        return redis_word_is(tree_word(a), tree_word(b));
    default:
        return a.list == b.list;
    }
}

/* Below 0, 0 or above, as strcmp(). */
static int compare(struct tree_run *run, struct tree_value a, struct tree_value b)
{
    if (a.type == TREE_DOUBLE && b.type == TREE_DOUBLE)
        return (a.number > b.number) - (a.number < b.number);
    if (a.type != TREE_TEXT || b.type != TREE_TEXT)
        tree_fail(run, "attempt to compare");
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.bytes, b.bytes, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static struct tree_value concatenation(struct tree_run *run, struct tree_value a,
                                       struct tree_value b)
{
    struct redis_word left, right;
    if (!tree_text_of(a, &left) || !tree_text_of(b, &right))
        tree_fail(run, "attempt to concatenate");
    char *text = tree_take(left.len + right.len);
    memcpy(text, left.bytes, left.len);
    memcpy(text + left.len, right.bytes, right.len);
    return tree_text(text, left.len + right.len);
}

static double number_of(struct tree_run *run, struct tree_value value)
{
    if (value.type != TREE_DOUBLE)
        tree_fail(run, "attempt to perform arithmetic");
    return value.number;
}

static struct tree_value length_of(struct tree_run *run, struct tree_value value)
{
    if (value.type == TREE_TEXT)
        return tree_number((double)value.len);
    if (value.type != TREE_LIST)
        tree_fail(run, "attempt to get length");
    return tree_number((double)value.list->count);
}

/* ---- expressions ---- */

/* What is not inlined is called by a jump from evaluate(), which then has no frame of its own. */
#define APART __attribute__((noinline))

static struct tree_value evaluate_more(struct tree_run *run, const struct tree_node *node,
                                       struct tree_frame *frame);

static struct tree_value given(const struct tree_list *list, size_t element)
{
    return element <= list->count ? list->elements[element - 1] : tree_nil();
}

/* Most are simple. */
static inline struct tree_value evaluate(struct tree_run *run, const struct tree_node *node,
                                         struct tree_frame *frame)
{
    if (node->kind == TREE_CONSTANT)
        return node->constant;
    if (node->kind == TREE_LOCAL && node->depth == 0)
        return frame->slots[node->slot];
    if (node->kind == TREE_KEY)
        return given(&run->keys, node->element);
    if (node->kind == TREE_ARGUMENT)
        return given(&run->arguments, node->element);
    return evaluate_more(run, node, frame);
}

static struct tree_value *local(const struct tree_node *node, struct tree_frame *frame)
{
    for (int depth = node->depth; depth > 0; depth--)
        frame = frame->outer;
    return &frame->slots[node->slot];
}

static APART struct tree_value index_value(struct tree_run *run, const struct tree_node *node,
                                           struct tree_frame *frame)
{
    struct tree_value list = evaluate(run, node->a, frame);
    struct tree_value key = evaluate(run, node->b, frame);
    if (list.type != TREE_LIST)
        tree_fail(run, "attempt to index");
    return tree_get(list.list, key);
}

static APART struct tree_value binary(struct tree_run *run, const struct tree_node *node,
                                      struct tree_frame *frame)
{
    struct tree_value a = evaluate(run, node->a, frame), b = evaluate(run, node->b, frame);
    switch (node->operator) {
    case TREE_ADD:
        return tree_number(number_of(run, a) + number_of(run, b));
    case TREE_SUBTRACT:
        return tree_number(number_of(run, a) - number_of(run, b));
    case TREE_MULTIPLY:
        return tree_number(number_of(run, a) * number_of(run, b));
    case TREE_DIVIDE:
        return tree_number(number_of(run, a) / number_of(run, b));
    case TREE_CONCAT:
        return concatenation(run, a, b);
    case TREE_EQUAL:
        return tree_truth(are_equal(a, b));
    case TREE_UNEQUAL:
        return tree_truth(!are_equal(a, b));
    case TREE_LESS:
        return tree_truth(compare(run, a, b) < 0);
    case TREE_LESS_EQUAL:
        return tree_truth(compare(run, a, b) <= 0);
    case TREE_GREATER:
        return tree_truth(compare(run, a, b) > 0);
    case TREE_GREATER_EQUAL:
        break;
    }
    return tree_truth(compare(run, a, b) >= 0);
}

static size_t push_results(struct tree_run *run, const struct tree_node *call,
                           struct tree_frame *frame);

static size_t push_rest(struct tree_run *run, const struct tree_frame *frame)
{
    for (size_t i = 0; i < frame->rest_count; i++)
        push(run, frame->rest[i]);
    return frame->rest_count;
}

/* All values of the last expression, one of each other: how many. */
static size_t push_values(struct tree_run *run, struct tree_node *const *list, size_t count,
                          struct tree_frame *frame)
{
    for (size_t i = 0; i + 1 < count; i++)
        push(run, evaluate(run, list[i], frame));
    if (count == 0)
        return 0;
    if (list[count - 1]->kind == TREE_CALL)
        return count - 1 + push_results(run, list[count - 1], frame);
    if (list[count - 1]->kind == TREE_REST)
        return count - 1 + push_rest(run, frame);
    push(run, evaluate(run, list[count - 1], frame));
    return count;
}

static size_t push_results(struct tree_run *run, const struct tree_node *call,
                           struct tree_frame *frame)
{
    struct tree_value callee = evaluate(run, call->a, frame);
    size_t count = push_values(run, call->list, call->count, frame);
    run->line = call->line;
    return tree_call_value(run, callee, count);
}

static APART struct tree_value call_for_one(struct tree_run *run, const struct tree_node *call,
                                            struct tree_frame *frame)
{
    size_t count = push_results(run, call, frame);
    run->top -= count;
    return count > 0 ? *run->top : tree_nil();
}

static APART struct tree_value run_command(struct tree_run *run, const struct tree_node *call,
                                           struct tree_frame *frame)
{
    struct tree_value words[TREE_WORDS_MAX];
    for (size_t i = 0; i < call->count; i++)
        words[i] = evaluate(run, call->list[i], frame);
    run->line = call->line;
    if (tree_run_command(run, words, call->count))
        tree_raise(run, run->reply);
    return run->reply;
}

static APART struct tree_value table(struct tree_run *run, const struct tree_node *node,
                                     struct tree_frame *frame)
{
    struct tree_list *list = tree_new_list();
    struct tree_value *base = run->top;
    size_t elements = 0;
    for (size_t i = 0; i < node->count; i++) {
        bool is_field = node->names[i].bytes != NULL;
        if (is_field)
            set_field(list, node->names[i], evaluate(run, node->list[i], frame));
        else if (i + 1 == node->count)
            elements += push_values(run, &node->list[i], 1, frame);
        else
            push(run, evaluate(run, node->list[i], frame));
        elements += !is_field && i + 1 < node->count;
    }
    for (size_t i = 0; i < elements; i++)
        set_element(list, i + 1, base[i]);
    run->top = base;
    return tree_of_list(list);
}

static APART struct tree_value closure(const struct tree_node *node, struct tree_frame *frame)
{
    struct tree_closure *closure = tree_take(sizeof *closure);
    *closure = (struct tree_closure){node->function, frame};
    return (struct tree_value){.type = TREE_CLOSURE, .closure = closure};
}

static struct tree_value evaluate_more(struct tree_run *run, const struct tree_node *node,
                                       struct tree_frame *frame)
{
    struct tree_value value;
    switch (node->kind) {
    case TREE_LOCAL:
        return *local(node, frame);
    case TREE_KEYS:
        return tree_of_list(&run->keys);
    case TREE_ARGV:
        return tree_of_list(&run->arguments);
    case TREE_INDEX:
        return index_value(run, node, frame);
    case TREE_REST:
        return frame->rest_count > 0 ? frame->rest[0] : tree_nil();
    case TREE_COMMAND:
        return run_command(run, node, frame);
    case TREE_CALL:
        return call_for_one(run, node, frame);
    case TREE_AND:
        value = evaluate(run, node->a, frame);
        return tree_is_true(value) ? evaluate(run, node->b, frame) : value;
    case TREE_OR:
        value = evaluate(run, node->a, frame);
        return tree_is_true(value) ? value : evaluate(run, node->b, frame);
    case TREE_NOT:
        value = evaluate(run, node->a, frame);
        return tree_truth(!tree_is_true(value));
    case TREE_LENGTH:
        value = evaluate(run, node->a, frame);
        return length_of(run, value);
    case TREE_MINUS:
        value = evaluate(run, node->a, frame);
        return tree_number(-number_of(run, value));
    case TREE_BINARY:
        return binary(run, node, frame);
    case TREE_TABLE:
        return table(run, node, frame);
    case TREE_FUNCTION:
        return closure(node, frame);
    default:
        abort();
    }
}

static bool holds(struct tree_run *run, const struct tree_node *condition, struct tree_frame *frame)
{
    struct tree_value value = evaluate(run, condition, frame);
    return tree_is_true(value);
}

/* ---- statements ---- */

static enum flow execute(struct tree_run *run, const struct tree_node *node,
                         struct tree_frame *frame);

static APART void declare(struct tree_run *run, const struct tree_node *node,
                          struct tree_frame *frame)
{
    struct tree_value *slots = &frame->slots[node->slot], *base = run->top;
    if (node->is_one_by_one) { /* none of the values sees the new names */
        for (size_t i = 0; i < node->count; i++)
            slots[i] = evaluate(run, node->list[i], frame);
        return;
    }
    size_t count = push_values(run, node->list, node->count, frame);
    for (size_t i = 0; i < node->target_count; i++)
        slots[i] = i < count ? base[i] : tree_nil();
    run->top = base;
}

static void assign_one(struct tree_run *run, const struct tree_node *target,
                       struct tree_value value, struct tree_frame *frame)
{
    if (target->kind == TREE_LOCAL) {
        *local(target, frame) = value;
        return;
    }
    struct tree_value list = evaluate(run, target->a, frame);
    struct tree_value key = evaluate(run, target->b, frame);
    if (list.type != TREE_LIST)
        tree_fail(run, "attempt to index");
    tree_set(run, list.list, key, value);
}

static APART void assign(struct tree_run *run, const struct tree_node *node,
                         struct tree_frame *frame)
{
    struct tree_value *base = run->top;
    if (node->is_one_by_one && node->count == 1) {
        assign_one(run, node->targets[0], evaluate(run, node->list[0], frame), frame);
        return;
    }
    size_t count = push_values(run, node->list, node->count, frame);
    for (size_t i = node->target_count; i-- > 0;)
        assign_one(run, node->targets[i], i < count ? base[i] : tree_nil(), frame);
    run->top = base;
}

static APART enum flow execute_if(struct tree_run *run, const struct tree_node *node,
                                  struct tree_frame *frame)
{
    if (holds(run, node->a, frame))
        return execute(run, node->b, frame);
    return node->c ? execute(run, node->c, frame) : GOES_ON;
}

static APART enum flow execute_while(struct tree_run *run, const struct tree_node *node,
                                     struct tree_frame *frame)
{
    enum flow flow = GOES_ON;
    while (flow == GOES_ON && holds(run, node->a, frame))
        flow = execute(run, node->b, frame);
    return flow == BREAKS ? GOES_ON : flow;
}

static double bound_of_loop(struct tree_run *run, const struct tree_node *node, size_t index,
                            struct tree_frame *frame)
{
    if (index >= node->count)
        return 1;
    struct tree_value value = evaluate(run, node->list[index], frame);
    return number_of(run, value);
}

static APART enum flow execute_for(struct tree_run *run, const struct tree_node *node,
                                   struct tree_frame *frame)
{
    enum flow flow = GOES_ON;
    double at = bound_of_loop(run, node, 0, frame), last = bound_of_loop(run, node, 1, frame),
           step = bound_of_loop(run, node, 2, frame);
    for (; flow == GOES_ON && (step > 0 ? at <= last : at >= last); at += step) {
        frame->slots[node->slot] = tree_number(at);
        flow = execute(run, node->b, frame);
    }
    return flow == BREAKS ? GOES_ON : flow;
}

/* One match after the other, behind the last. */
static APART enum flow execute_for_match(struct tree_run *run, const struct tree_node *node,
                                         struct tree_frame *frame)
{
    static const struct redis_word library = {"string", 6}, name = {"find", 4};
    struct tree_value find = {.type = TREE_BUILTIN, .builtin = tree_builtin(library, name)};
    struct tree_value text = evaluate(run, node->a, frame);
    struct tree_value pattern = evaluate(run, node->c, frame);
    enum flow flow = GOES_ON;
    for (double from = 1; flow == GOES_ON;) {
        push(run, text);
        push(run, pattern);
        push(run, tree_number(from));
        size_t count = tree_call_value(run, find, 3);
        run->top -= count;
        if (run->top[0].type != TREE_DOUBLE)
            break;
        double start = run->top[0].number, end = run->top[1].number;
        if (count > 2 || end < start)
            tree_fail(run, "a pattern that scripts do not use");
        frame->slots[node->slot] =
            tree_text(text.bytes + (size_t)start - 1, (size_t)(end - start) + 1);
        from = end + 1;
        flow = execute(run, node->b, frame);
    }
    return flow == BREAKS ? GOES_ON : flow;
}

static APART enum flow execute_block(struct tree_run *run, const struct tree_node *node,
                                     struct tree_frame *frame)
{
    for (size_t i = 0; i < node->count; i++) {
        enum flow flow = execute(run, node->list[i], frame);
        if (flow != GOES_ON)
            return flow;
    }
    return GOES_ON;
}

static enum flow execute(struct tree_run *run, const struct tree_node *node,
                         struct tree_frame *frame)
{
    switch (node->kind) {
    case TREE_BLOCK:
        return execute_block(run, node, frame);
    case TREE_DECLARE:
        declare(run, node, frame);
        return GOES_ON;
    case TREE_DECLARE_CLOSED:
        frame->slots[node->slot] = closure(node, frame);
        return GOES_ON;
    case TREE_ASSIGN:
        assign(run, node, frame);
        return GOES_ON;
    case TREE_DO_CALL:
        evaluate(run, node->a, frame);
        return GOES_ON;
    case TREE_IF:
        return execute_if(run, node, frame);
    case TREE_WHILE:
        return execute_while(run, node, frame);
    case TREE_FOR:
        return execute_for(run, node, frame);
    case TREE_FOR_MATCH:
        return execute_for_match(run, node, frame);
    case TREE_RETURN:
        push_values(run, node->list, node->count, frame);
        return RETURNS;
    case TREE_BREAK:
        return BREAKS;
    default:
        abort();
    }
}

/* ---- calls ---- */

static struct tree_frame *new_frame(const struct tree_function *function, struct tree_frame *outer)
{
    struct tree_frame *frame = tree_take(sizeof *frame + function->slots * sizeof *frame->slots);
    frame->outer = outer;
    return frame;
}

/* How many results stand on the stack from where the arguments did. */
static size_t call_function(struct tree_run *run, const struct tree_closure *closure, size_t count)
{
    const struct tree_function *function = closure->function;
    struct tree_frame *frame = new_frame(function, closure->outer);
    struct tree_value *base = run->top - count;
    for (size_t i = 0; i < function->parameters; i++)
        frame->slots[i] = i < count ? base[i] : tree_nil();
    frame->rest_count =
        function->takes_rest && count > function->parameters ? count - function->parameters : 0;
    if (frame->rest_count > 0)
        frame->rest = grow(base + function->parameters, frame->rest_count, frame->rest_count,
                           sizeof *frame->rest);
    run->top = base;
    return execute(run, function->body, frame) == RETURNS ? (size_t)(run->top - base) : 0;
}

size_t tree_call_value(struct tree_run *run, struct tree_value callee, size_t count)
{
    if (callee.type == TREE_CLOSURE)
        return call_function(run, callee.closure, count);
    if (callee.type != TREE_BUILTIN)
        tree_fail(run, "attempt to call");
    struct tree_value *arguments = run->top - count;
    tree_need(run, RESULTS_MAX);
    size_t results = callee.builtin->run(run, arguments, count);
    run->top = arguments + results;
    return results;
}

size_t tree_call_guarded(struct tree_run *run, struct tree_value callee, size_t count)
{
    struct tree_guard guard = {.outer = run->guard};
    struct tree_value *base = run->top - count;
    if (_setjmp(guard.way) == 0) {
        run->guard = &guard;
        size_t results = tree_call_value(run, callee, count);
        run->guard = guard.outer;
        return results;
    }
    run->guard = guard.outer;
    run->top = base;
    return SIZE_MAX;
}

/* ---- replies ---- */

static void send_value(struct redis_bytes *output, const struct tree_value *value);

static const struct tree_value *text_field(const struct tree_list *list, const char *name)
{
    const struct tree_field *field = field_of(list, (struct redis_word){name, strlen(name)});
    return field && field->value.type == TREE_TEXT ? &field->value : NULL;
}

static void send_list(struct redis_bytes *output, const struct tree_list *list)
{
    const struct tree_value *error = text_field(list, "err"), *status = text_field(list, "ok");
    size_t count = 0;
    if (error || status) {
        redis_write_line(output, error ? '-' : '+', tree_word(error ? *error : *status));
        return;
    }
    while (count < list->count && list->elements[count].type != TREE_NOTHING)
        count++;
    redis_write_count(output, '*', (int64_t)count);
    for (size_t i = 0; i < count; i++)
        send_value(output, &list->elements[i]);
}

static void send_value(struct redis_bytes *output, const struct tree_value *value)
{
    switch (value->type) {
    case TREE_DOUBLE:
        redis_write_count(output, ':', redis_truncate(value->number));
        break;
    case TREE_TEXT:
        redis_write_bulk(output, tree_word(*value));
        break;
    case TREE_LIST:
        send_list(output, value->list);
        break;
    case TREE_TRUTH:
        redis_write_count(output, value->truth ? ':' : '$', value->truth ? 1 : -1);
        break;
    default:
        redis_write_count(output, '$', -1);
    }
}

/* Says where it was, as Redis does. */
static void reply_failure(struct tree_run *run, const char *sha1)
{
    struct redis_word text = {"unknown error", 13};
    const struct tree_value *error =
        run->error.type == TREE_LIST ? text_field(run->error.list, "err") : &run->error;
    bool is_known = error && tree_text_of(*error, &text);
    bool is_list = run->error.type == TREE_LIST && is_known;
    redis_reply_error(run->call->reply, "%s%.*s script: %s, on @" CHUNK_NAME ":%d.",
                      is_list ? "" : "ERR ", (int)text.len, text.bytes, sha1, run->line);
}

/* ---- a script ---- */

static void fill(struct tree_list *list, const struct redis_word *words, size_t count)
{
    *list = (struct tree_list){
        .elements = tree_take(count * sizeof *list->elements), .count = count, .capacity = count};
    for (size_t i = 0; i < count; i++)
        list->elements[i] = tree_text(words[i].bytes, words[i].len);
}

bool tree_run_script(struct redis_call *call, const struct tree_function *script, const char *sha1,
                     size_t key_count, struct tree_answers *answers)
{
    struct tree_run run = {.call = call, .top = stack, .line = 1};
    struct tree_closure main = {script, NULL};
    struct tree_value callee = {.type = TREE_CLOSURE, .closure = &main};
    give_all_back();
    fill(&run.keys, call->words + 3, key_count);
    fill(&run.arguments, call->words + 3 + key_count, call->count - 3 - key_count);
    size_t count = tree_call_guarded(&run, callee, 0);
    struct tree_value nothing = tree_nil();
    *answers = run.answers;
    if (run.gives_up)
        return false;
    if (count == SIZE_MAX)
        reply_failure(&run, sha1);
    else
        send_value(call->reply->target, count > 0 ? stack : &nothing);
    return true;
}
