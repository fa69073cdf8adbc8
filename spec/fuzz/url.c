/* Fuzzes the reading of URLs (core/endpoint.c).
 *
 * Claimed: what is read is within its bounds; written as a URL with every byte escaped it is read
 * as the same again; neither the name for people nor an error tells a password. */
#include "core/endpoint.h"

#include <string.h>

#include "input.h"

#define MARK "Pa55/w0rd"
#define MARK_ESCAPED "Pa55%%2Fw0rd" /* and for printf */

static bool parse(struct rlk_endpoint *endpoint, const char *url, size_t len, const char **error)
{
    char *exact = exact_copy(url, len);
    *error = "not set";
    bool valid = rlk_endpoint_parse(endpoint, exact, len, error);
    memset(exact, 0xEE, len); /* nothing points into it */
    free(exact);
    claim(valid == (*error == NULL), "an error goes with a failure");
    claim(valid || strlen(*error) < 100, "an error is a text");
    return valid;
}

static bool ends_within(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static void check_bounds(const struct rlk_endpoint *endpoint)
{
    claim(ends_within(endpoint->host, sizeof endpoint->host) && endpoint->host[0],
          "there is a host");
    claim(ends_within(endpoint->user, sizeof endpoint->user), "the user ends");
    claim(ends_within(endpoint->password, sizeof endpoint->password), "the password ends");
    claim(ends_within(endpoint->name, sizeof endpoint->name) && endpoint->name[0], "it has a name");
    claim(endpoint->port >= 1 && endpoint->port <= 65535, "a port is one");
    claim(endpoint->database >= 0, "a database is a number");
    claim(!endpoint->user[0] || endpoint->password[0], "who has a name has a password");
    claim(strstr(endpoint->name, endpoint->host), "the name says the host");
    if (endpoint->transport == RLK_UNIX)
        claim(endpoint->host[0] == '/' && strlen(endpoint->host) < 108, "a path fits a socket");
}

/* ---- written and read again ---- */

static char *escape(char *at, const char *text)
{
    for (; *text; text++)
        at += sprintf(at, "%%%02X", (unsigned char)*text);
    return at;
}

/* At most 7 and 3 times what the fields hold, and numbers. */
static void write_url(const struct rlk_endpoint *endpoint, char *url)
{
    static const char *const schemes[] = {"redis://", "rediss://", "unix://"};
    bool is_path = endpoint->transport == RLK_UNIX;
    url += sprintf(url, "%s", schemes[endpoint->transport]);
    if (endpoint->password[0]) {
        url = escape(url, endpoint->user);
        *url++ = ':';
        url = escape(url, endpoint->password);
        *url++ = '@';
    }
    if (is_path)
        *url++ = '/';
    url = escape(url, endpoint->host + is_path);
    url += is_path ? sprintf(url, "?db=%d", endpoint->database)
                   : sprintf(url, ":%d/%d", endpoint->port, endpoint->database);
    *url = '\0';
}

static void check_round_trip(const struct rlk_endpoint *endpoint)
{
    static char url[8192];
    const char *error;
    struct rlk_endpoint again;
    write_url(endpoint, url);
    if (strlen(url) > RLK_URL_MAX)
        return;
    claim(parse(&again, url, strlen(url), &error), "what was read can be written and read again");
    claim(again.transport == endpoint->transport && again.port == endpoint->port &&
              again.database == endpoint->database,
          "transport, port and database come back");
    claim(strcmp(again.host, endpoint->host) == 0, "the host comes back");
    claim(strcmp(again.user, endpoint->user) == 0, "the user comes back");
    claim(strcmp(again.password, endpoint->password) == 0, "the password comes back");
    claim(rlk_endpoint_same(endpoint, &again) && rlk_endpoint_same(&again, endpoint),
          "it is the same server");
}

static void read_url(const char *url, size_t len)
{
    struct rlk_endpoint endpoint;
    const char *error;
    if (!parse(&endpoint, url, len, &error))
        return;
    check_bounds(&endpoint);
    check_round_trip(&endpoint);
}

/* ---- secrets ---- */

/* A password as somebody may write it, which ends in the mark; before and behind it what the
 * input says. */
static void tell_no_secret(struct input *input)
{
    static const char *const schemes[] = {"redis://", "rediss://", "unix://",
                                          "REDIS://", "http://",   "x"};
    char url[2048];
    size_t user_len, head_len, rest_len;
    struct rlk_endpoint endpoint;
    const char *error, *scheme = schemes[choose(input, 6)];
    const char *user = take_bytes(input, 64, &user_len);
    const char *head = take_bytes(input, 64, &head_len);
    const char *rest = take_bytes(input, 512, &rest_len);
    if (memchr(user, '/', user_len) || memchr(rest, '@', rest_len))
        return; /* a login does not begin with a path, and ends before the last '@' */
    int len = sprintf(url, "%s%.*s:%.*s" MARK_ESCAPED "@%s", scheme, (int)user_len, user,
                      (int)head_len, head, scheme == schemes[2] ? "/" : "");
    if (rest_len > 0)
        memcpy(url + len, rest, rest_len);
    bool valid = parse(&endpoint, url, (size_t)len + rest_len, &error);
    claim(valid || !strstr(error, "Pa55"), "an error tells no password");
    claim(!valid || !strstr(endpoint.name, "Pa55") || memmem(rest, rest_len, "Pa55", 4),
          "a name tells no password");
    if (valid && !memchr(user, ':', user_len) && head_len == 0)
        claim(strcmp(endpoint.password, MARK) == 0, "the password is what was written");
}

static void compare(struct input *input)
{
    struct rlk_endpoint one, other;
    const char *error;
    size_t len;
    const char *url = take_bytes(input, 512, &len);
    if (!parse(&one, url, len, &error) ||
        !parse(&other, (const char *)input->at, input->left, &error))
        return;
    claim(rlk_endpoint_same(&one, &one), "a server is the same as itself");
    claim(rlk_endpoint_same(&one, &other) == rlk_endpoint_same(&other, &one),
          "it does not matter who is named first");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct input input = input_of(bytes, len);
    switch (choose(&input, 4)) {
    case 0:
    case 1:
        read_url((const char *)input.at, input.left);
        break;
    case 2:
        tell_no_secret(&input);
        break;
    default:
        compare(&input);
    }
    return 0;
}
