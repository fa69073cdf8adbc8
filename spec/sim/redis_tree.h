/* As much of Lua as the scripts need, run where they are run a hundred times a schedule: words are
 * borrowed, nothing is interned, and all memory of a run is given back at once. What it does not
 * know it does not take: LuaJIT runs that (redis_interpreter.c). The same sequences of commands are
 * compared with a real server by either. */
#ifndef SIM_REDIS_TREE_H
#define SIM_REDIS_TREE_H

#include "sim/redis_bytes.h"

struct redis_call;

/* A script, as a tree. */
struct tree_function;

/* NULL if there is anything in the text that is not known here. It lasts. */
const struct tree_function *tree_parse(struct redis_word text);

/* What the commands of a run answered, one after the other. */
struct tree_answers {
    struct tree_answer *list;
    size_t count, capacity;
};

/* Runs it as the call's script, with so many keys, and replies. False if it came to something that is
 * not known here: then LuaJIT is to go through it again, with the answers that it has had. They last
 * until the next run. */
bool tree_run_script(struct redis_call *call, const struct tree_function *script, const char *sha1,
                     size_t key_count, struct tree_answers *answers);

/* ---- for the files of this room ---- */

struct tree_run;
struct tree_frame;

enum tree_type {
    TREE_NOTHING,
    TREE_TRUTH,
    TREE_DOUBLE,
    TREE_TEXT,
    TREE_LIST,
    TREE_CLOSURE,
    TREE_BUILTIN
};

/* A value, in two registers. */
struct tree_value {
    enum tree_type type;
    uint32_t len; /* of a text */
    union {
        bool truth;
        double number;
        const char *bytes; /* a text's */
        struct tree_list *list;
        struct tree_closure *closure;
        const struct tree_builtin *builtin;
    };
};

struct tree_answer {
    struct tree_value reply;
    bool failed;
};

/* A table: elements from 1 on, and fields, of which no script has many. */
struct tree_list {
    struct tree_value *elements;
    size_t count, capacity; /* the last element is not nil */
    struct tree_field {
        struct redis_word name;
        struct tree_value value;
    } * fields;
    size_t field_count, field_capacity;
};

struct tree_closure {
    const struct tree_function *function;
    struct tree_frame *outer;
};

/* Takes arguments from the stack on, and leaves its results there: how many. */
struct tree_builtin {
    const char *name;
    size_t (*run)(struct tree_run *run, struct tree_value *arguments, size_t count);
};

/* NULL if there is none of the name, such as "redis.call" or "tonumber"; a string's method goes by
 * "string.sub". */
const struct tree_builtin *tree_builtin(struct redis_word table, struct redis_word name);

#define TREE_WORDS_MAX 16

enum tree_node_kind {
    /* expressions */
    TREE_CONSTANT,
    TREE_LOCAL,
    TREE_KEYS,
    TREE_ARGV,
    TREE_INDEX,    /* a[b] */
    TREE_KEY,      /* KEYS[element] */
    TREE_ARGUMENT, /* ARGV[element] */
    TREE_REST,     /* ... */
    TREE_CALL,     /* a(list) */
    TREE_COMMAND,  /* the same of redis.call, whose list gives one value each */
    TREE_AND,      /* a, b */
    TREE_OR,       /* a, b */
    TREE_NOT,      /* a */
    TREE_LENGTH,   /* a */
    TREE_MINUS,    /* a */
    TREE_BINARY,   /* a, b by the operator */
    TREE_TABLE,    /* list of values, each with a name or not */
    TREE_FUNCTION, /* function */

    /* statements */
    TREE_BLOCK,          /* list */
    TREE_DECLARE,        /* so many slots from the slot on = list */
    TREE_DECLARE_CLOSED, /* slot = function */
    TREE_ASSIGN,         /* targets = list */
    TREE_DO_CALL,        /* a */
    TREE_IF,             /* a then b else c */
    TREE_WHILE,          /* a do b */
    TREE_FOR,            /* slot from list to list, by list, do b */
    TREE_FOR_MATCH,      /* slot in a:gmatch(c) do b */
    TREE_RETURN,         /* list */
    TREE_BREAK,
};

enum tree_operator {
    TREE_ADD,
    TREE_SUBTRACT,
    TREE_MULTIPLY,
    TREE_DIVIDE,
    TREE_CONCAT,
    TREE_EQUAL,
    TREE_UNEQUAL,
    TREE_LESS,
    TREE_LESS_EQUAL,
    TREE_GREATER,
    TREE_GREATER_EQUAL,
};

struct tree_node {
    enum tree_node_kind kind;
    enum tree_operator operator;
    int line;
    int depth, slot; /* a local: of which function outwards, and where in its frame */
    size_t element;
    struct tree_value constant;
    struct tree_node *a, *b, *c;
    struct tree_node **list, **targets;
    struct redis_word *names; /* of a table's fields; NULL bytes: an element */
    size_t count, target_count;
    bool is_one_by_one; /* as many values as names or targets */
    struct tree_function *function;
};

struct tree_function {
    size_t parameters, slots;
    bool takes_rest; /* ... */
    struct tree_node *body;
};

struct tree_frame {
    struct tree_frame *outer;
    struct tree_value *rest; /* arguments behind those that have names */
    size_t rest_count;
    struct tree_value slots[];
};

/* What is going on. */
struct tree_run {
    struct redis_call *call;
    struct tree_list keys, arguments;
    struct tree_value *top;   /* of the stack: free from here on */
    int line;                 /* of the innermost call */
    struct tree_guard *guard; /* where an error goes to */
    struct tree_value error;  /* that was raised */
    bool gives_up;
    struct tree_answers answers;
    struct tree_value reply; /* of the last command */
};

/* Memory until the end of the run. */
void *tree_take(size_t size);

/* Runs a command of so many words: true if it failed. What it replied is in the run. */
bool tree_run_command(struct tree_run *run, const struct tree_value *words, size_t count);

/* Room for so many values on the stack. */
void tree_need(struct tree_run *run, size_t values);

void tree_raise(struct tree_run *run, struct tree_value error) __attribute__((noreturn));

/* Gives the run up: LuaJIT knows what comes of it. The text is for who reads this. */
void tree_fail(struct tree_run *run, const char *what) __attribute__((noreturn));

/* An error of the script's own, with the line in front. */
void tree_raise_text(struct tree_run *run, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* Calls what stands below so many arguments on top of the stack: how many results are there in its
 * place then. */
size_t tree_call_value(struct tree_run *run, struct tree_value callee, size_t count);

/* The same; an error becomes false and its text. */
size_t tree_call_guarded(struct tree_run *run, struct tree_value callee, size_t count);

struct tree_value tree_get(const struct tree_list *list, struct tree_value key);
void tree_set(struct tree_run *run, struct tree_list *list, struct tree_value key,
              struct tree_value value);
struct tree_list *tree_new_list(void);

/* The text of a text or a number. */
bool tree_text_of(struct tree_value value, struct redis_word *text);

static inline struct tree_value tree_nil(void)
{
    return (struct tree_value){.type = TREE_NOTHING};
}

static inline struct tree_value tree_truth(bool truth)
{
    return (struct tree_value){.type = TREE_TRUTH, .truth = truth};
}

static inline struct tree_value tree_number(double number)
{
    return (struct tree_value){.type = TREE_DOUBLE, .number = number};
}

static inline struct tree_value tree_text(const char *bytes, size_t len)
{
    return (struct tree_value){.type = TREE_TEXT, .len = (uint32_t)len, .bytes = bytes};
}

static inline struct redis_word tree_word(struct tree_value text)
{
    return (struct redis_word){text.bytes, text.len};
}

static inline struct tree_value tree_of_list(struct tree_list *list)
{
    return (struct tree_value){.type = TREE_LIST, .list = list};
}

static inline bool tree_is_true(struct tree_value value)
{
    return value.type > TREE_TRUTH || (value.type == TREE_TRUTH && value.truth);
}

#endif
