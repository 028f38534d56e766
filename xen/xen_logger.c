// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * xen_logger.c - see xen_logger.h. A logger is a table of three functions; Xen's own constructors of one are
 * not needed.
 */
#include "xen/xen_logger.h"

#include <stdio.h>
#include <string.h>

#include <xentoollog.h>

#include "common/log.h"

static void logger_vmessage(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
                            const char *context, const char *format, va_list args)
    __attribute__((format(printf, 5, 0)));

static void logger_vmessage(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
                            const char *context, const char *format, va_list args)
{
    char text[400];

    (void)logger;
    (void)level;
    if (log_level < LOG_LEVEL_DEBUG)
        return;
    vsnprintf(text, sizeof(text), format, args);
    log_debug("%s: %s%s%s", context ? context : "xen", text, errnoval >= 0 ? ": " : "",
              errnoval >= 0 ? strerror(errnoval) : "");
}

static void logger_destroy(struct xentoollog_logger *logger)
{
    (void)logger;
}

struct xentoollog_logger *xen_logger(void)
{
    static struct xentoollog_logger logger = {
        .vmessage = logger_vmessage,
        .destroy = logger_destroy,
    };

    return &logger;
}
