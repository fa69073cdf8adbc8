/* The one place that frees a configuration, and wipes the passwords in it. */
#include "io/settings.h"

#include <string.h>

void rlk_settings_free(struct rlk_settings *settings)
{
    rlk_tls_free(settings->tls);
    explicit_bzero(settings, sizeof *settings);
}
