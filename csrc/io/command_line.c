/* Linux says where the words lie, in /proc/self/stat (proc(5): arg_start and arg_end), and they may be
 * written to. */
#include "io/command_line.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_FIELD 3 /* behind the program's name, which may hold anything, and a parenthesis */
#define ARG_START 48

static bool find_words(char **start, char **end)
{
    char text[2048], *rest;
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return false;
    text[len] = '\0';
    rest = strrchr(text, ')');
    for (int field = FIRST_FIELD; rest && field <= ARG_START; field++)
        rest = strchr(rest + 1, ' ');
    if (!rest)
        return false;
    *start = (char *)(uintptr_t)strtoull(rest, &rest, 10);
    *end = (char *)(uintptr_t)strtoull(rest, NULL, 10);
    return *start && *start < *end;
}

/* Whatever stands before the last @ of a word may be a user and a password. */
static void hide(char *word)
{
    char *at = strrchr(word, '@'), *scheme = strstr(word, "://");
    char *from = scheme && scheme < at ? scheme + 3 : word;
    if (at && from < at)
        memset(from, '*', (size_t)(at - from));
}

void rlk_hide_credentials(void)
{
    char *word, *end;
    if (!find_words(&word, &end) || end[-1] != '\0')
        return;
    for (; word < end; word += strlen(word) + 1)
        hide(word);
}
