/* Reads URLs by hand: short, strict, and quoting nothing, since a URL may hold a password. */
#include "core/endpoint.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_PORT 6379
#define DATABASE_MAX 1000000

/* A piece of the URL. */
struct piece {
    const char *at;
    size_t len;
};

static bool starts_with(struct piece text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && strncasecmp(text.at, prefix, len) == 0;
}

static struct piece rest_after(struct piece text, size_t len)
{
    return (struct piece){text.at + len, text.len - len};
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Into size bytes with a NUL. False if it does not fit, holds a NUL, or an escape is broken. */
static bool unescape(struct piece text, char *out, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.at[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0' || len + 1 >= size)
            return false;
        out[len++] = c;
    }
    out[len] = '\0';
    return true;
}

static bool read_whole(struct piece text, int max, int *number)
{
    int value = 0;
    if (text.len == 0 || text.len > 7)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = 10 * value + (text.at[i] - '0');
    }
    *number = value;
    return value <= max;
}

/* "user:password@" or ":password@", up to the last '@' before the path. */
static const char *read_login(struct rlk_endpoint *endpoint, struct piece login)
{
    const char *colon = memchr(login.at, ':', login.len);
    if (!colon)
        return "the part before '@' must be user:password or :password";
    struct piece user = {login.at, (size_t)(colon - login.at)};
    struct piece password = {colon + 1, login.len - user.len - 1};
    if (!unescape(user, endpoint->user, sizeof endpoint->user))
        return "the user is too long or badly escaped";
    if (!unescape(password, endpoint->password, sizeof endpoint->password))
        return "the password is too long or badly escaped";
    if (password.len == 0)
        return "the password is empty";
    return NULL;
}

static const char *split_login(struct rlk_endpoint *endpoint, struct piece *authority)
{
    const char *at = memrchr(authority->at, '@', authority->len);
    if (!at)
        return NULL;
    struct piece login = {authority->at, (size_t)(at - authority->at)};
    *authority = rest_after(*authority, login.len + 1);
    return read_login(endpoint, login);
}

static const char *read_port(struct rlk_endpoint *endpoint, struct piece text)
{
    endpoint->port = DEFAULT_PORT;
    if (text.len == 0)
        return NULL;
    if (text.at[0] != ':')
        return "the address is malformed";
    if (!read_whole(rest_after(text, 1), 65535, &endpoint->port) || endpoint->port == 0)
        return "the port must be a number from 1 to 65535";
    return NULL;
}

static const char *read_host_and_port(struct rlk_endpoint *endpoint, struct piece text)
{
    struct piece host;
    bool bracketed = text.len > 0 && text.at[0] == '[';
    if (bracketed) {
        const char *close = memchr(text.at, ']', text.len);
        if (!close)
            return "the address is malformed";
        host = (struct piece){text.at + 1, (size_t)(close - text.at - 1)};
        text = rest_after(text, host.len + 2);
    } else {
        const char *colon = memchr(text.at, ':', text.len);
        host = (struct piece){text.at, colon ? (size_t)(colon - text.at) : text.len};
        text = rest_after(text, host.len);
    }
    if (host.len == 0)
        return "the host is missing";
    if (!unescape(host, endpoint->host, sizeof endpoint->host) || strpbrk(endpoint->host, " ?#"))
        return "the host is too long or malformed";
    const char *error = read_port(endpoint, text);
    snprintf(endpoint->name, sizeof endpoint->name, bracketed ? "[%s]:%d" : "%s:%d", endpoint->host,
             endpoint->port);
    return error;
}

static const char *read_database(struct rlk_endpoint *endpoint, struct piece text)
{
    if (text.len > 0 && !read_whole(text, DATABASE_MAX, &endpoint->database))
        return "the database must be a whole number";
    return NULL;
}

static const char *read_network(struct rlk_endpoint *endpoint, struct piece text)
{
    struct piece authority = text;
    const char *at = memrchr(text.at, '@', text.len);
    size_t login_len = at ? (size_t)(at - text.at) : 0;
    const char *slash = memchr(text.at + login_len, '/', text.len - login_len);
    struct piece database = {"", 0};
    if (slash) {
        authority.len = (size_t)(slash - text.at);
        database = rest_after(text, authority.len + 1);
    }
    const char *error = split_login(endpoint, &authority);
    if (!error)
        error = read_host_and_port(endpoint, authority);
    return error ? error : read_database(endpoint, database);
}

/* Where the path begins: behind the last '@' that a '/' follows, as a path may escape its own. */
static const char *last_login_end(struct piece text)
{
    const char *end = text.at + text.len;
    while ((end = memrchr(text.at, '@', (size_t)(end - text.at))) != NULL)
        if (end + 1 < text.at + text.len && end[1] == '/')
            return end;
    return NULL;
}

static const char *read_unix(struct rlk_endpoint *endpoint, struct piece text)
{
    struct piece path = text;
    const char *login_end = path.len > 0 && path.at[0] != '/' ? last_login_end(path) : NULL;
    const char *error = NULL;
    if (login_end) {
        struct piece login = {path.at, (size_t)(login_end - path.at)};
        path = rest_after(path, login.len + 1);
        error = read_login(endpoint, login);
    }
    if (error)
        return error;
    const char *query = memchr(path.at, '?', path.len);
    if (query) {
        struct piece parameter = rest_after(path, (size_t)(query - path.at) + 1);
        path.len = (size_t)(query - path.at);
        if (!starts_with(parameter, "db="))
            return "the only parameter is ?db=";
        error = read_database(endpoint, rest_after(parameter, 3));
    }
    if (path.len == 0 || path.at[0] != '/')
        return "the path of a Unix socket must begin with '/'";
    if (!unescape(path, endpoint->host, 108))
        return "the path is too long (107 bytes) or badly escaped";
    snprintf(endpoint->name, sizeof endpoint->name, "%s", endpoint->host);
    return error;
}

bool rlk_endpoint_parse(struct rlk_endpoint *endpoint, const char *url, size_t len,
                        const char **error)
{
    struct piece text = {url, len};
    *endpoint = (struct rlk_endpoint){.port = DEFAULT_PORT};
    if (len == 0 || len > RLK_URL_MAX || memchr(url, '\0', len)) {
        *error = len == 0 ? "it is empty" : "it is too long or holds a NUL";
    } else if (starts_with(text, "redis://")) {
        *error = read_network(endpoint, rest_after(text, 8));
    } else if (starts_with(text, "rediss://")) {
        endpoint->transport = RLK_TLS;
        *error = read_network(endpoint, rest_after(text, 9));
    } else if (starts_with(text, "unix://")) {
        endpoint->transport = RLK_UNIX;
        *error = read_unix(endpoint, rest_after(text, 7));
    } else if (memmem(url, len, "://", 3)) {
        *error = "the scheme must be redis, rediss or unix";
    } else {
        *error = memchr(url, '@', len) || memchr(url, '/', len)
                     ? "an address without a scheme is host:port alone"
                     : read_host_and_port(endpoint, text);
    }
    return *error == NULL;
}

bool rlk_endpoint_same(const struct rlk_endpoint *a, const struct rlk_endpoint *b)
{
    bool a_is_unix = a->transport == RLK_UNIX, b_is_unix = b->transport == RLK_UNIX;
    if (a_is_unix || b_is_unix)
        return a_is_unix && b_is_unix && strcmp(a->host, b->host) == 0;
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}
