// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log.c - see log.h. A line is written with one write(2), so that lines of several processes do not mix.
 */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/util.h"

#define LOG_LINE_LEN 1024

enum log_level log_level = LOG_LEVEL_INFO;
const char *log_program = "vhost-dm";

/* The other reader: see log_tap. */
static struct {
    log_tap_fn *fn;
    void *ctx;
    enum log_level level, stderr_level;
} tap;

static const char *const level_name[] = {
    [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug", [LOG_LEVEL_TRACE] = "trace",
};

static const char *const level_prefix[] = {
    [LOG_LEVEL_ERROR] = "error: ", [LOG_LEVEL_WARNING] = "warning: ", [LOG_LEVEL_INFO] = "",
    [LOG_LEVEL_DEBUG] = "debug: ", [LOG_LEVEL_TRACE] = "trace: ",
};

/* Nothing that came from outside may start a line of its own or send escape sequences to a terminal. */
static void line_clean(char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
}

__attribute__((format(printf, 2, 0))) static void log_line(enum log_level level, const char *fmt, va_list ap)
{
    char line[LOG_LINE_LEN];
    int n = snprintf(line, sizeof(line), "%s: %s", log_program, level_prefix[level]);
    int m = vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
    size_t len = m < 0 ? (size_t)n : MIN((size_t)(n + m), sizeof(line) - 1);

    line_clean(line, len);
    if (tap.fn != NULL) {
        line[len] = '\0';
        if (level <= tap.level)
            tap.fn(tap.ctx, level, line + n, len - (size_t)n);
        if (level > tap.stderr_level)
            return;
    }
    line[len++] = '\n';
    /* There is nowhere to report that standard error cannot be written. */
    if (write(STDERR_FILENO, line, len) < 0)
        return;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_line(level, fmt, ap);
    va_end(ap);
}

void log_write_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
{
    struct timespec now;
    va_list ap;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (limit->in_window == 0 || now.tv_sec - limit->window_start >= LOG_LIMIT_SECONDS) {
        if (limit->suppressed > 0)
            log_write(level, "(%u more messages like the next one were left out)", limit->suppressed);
        *limit = (struct log_limit){.window_start = now.tv_sec};
    }
    if (limit->in_window >= LOG_LIMIT_BURST) {
        limit->suppressed++;
        return;
    }
    limit->in_window++;
    va_start(ap, fmt);
    log_line(level, fmt, ap);
    va_end(ap);
}

void log_tap(log_tap_fn *fn, void *ctx, enum log_level level)
{
    if (tap.fn != NULL)
        log_level = tap.stderr_level;
    tap.fn = fn;
    tap.ctx = ctx;
    tap.level = level;
    tap.stderr_level = log_level;
    if (fn != NULL)
        log_level = MAX(log_level, level);
}

const char *log_level_name(enum log_level level)
{
    return level_name[level];
}

bool log_level_by_name(const char *name, enum log_level *level)
{
    for (size_t i = 0; i < ARRAY_SIZE(level_name); i++)
        if (strcmp(name, level_name[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    return false;
}
