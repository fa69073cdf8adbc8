/* The one place that frees a configuration, and wipes the passwords in it; and what a login is made
 * of. */
#include "io/settings.h"

#include <stdlib.h>
#include <string.h>

static size_t endpoints_size(const struct rlk_settings *settings)
{
    return (size_t)settings->nodes * sizeof *settings->endpoints;
}

bool rlk_settings_copy(struct rlk_settings *copy, const struct rlk_settings *settings)
{
    struct rlk_endpoint *endpoints = malloc(endpoints_size(settings));
    if (!endpoints)
        return false;
    memcpy(endpoints, settings->endpoints, endpoints_size(settings));
    *copy = *settings;
    copy->endpoints = endpoints;
    return true;
}

void rlk_settings_free(struct rlk_settings *settings)
{
    rlk_tls_free(settings->tls);
    if (settings->endpoints)
        explicit_bzero(settings->endpoints, endpoints_size(settings));
    free(settings->endpoints);
    explicit_bzero(settings, sizeof *settings);
}

struct rlk_login rlk_settings_login(const struct rlk_settings *settings,
                                    const struct rlk_endpoint *endpoint)
{
    return (struct rlk_login){
        .user = endpoint->user[0] ? endpoint->user : NULL,
        .password = endpoint->password[0] ? endpoint->password : NULL,
        .database = endpoint->database,
        .client_name = settings->client_name,
    };
}
