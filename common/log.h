/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h - messages to the administrator, one line each, to standard error.
 * Called from everywhere; owns the level, and who else reads the messages, and nothing else. An error is
 * logged once, where it is given up on, with the domain and device, the cause and what can be done.
 */
#ifndef VHOST_DM_LOG_H
#define VHOST_DM_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_TRACE, /* every vhost-user message and every ioreq */
};

extern enum log_level log_level;
/* Stands before each line. "vhost-dm", unless main() says otherwise. */
extern const char *log_program;

/*
 * Another reader of the messages, beside standard error and up to a level of its own, is called for each:
 * text is len bytes, without prefix and newline, all printable, and followed by a NUL. It must not log. While
 * there is one, log_level is the higher of the two levels, and what standard error gets stays as it was;
 * log_level is not to be changed meanwhile. fn NULL: no reader any more.
 */
typedef void log_tap_fn(void *ctx, enum log_level level, const char *text, size_t len);
void log_tap(log_tap_fn *fn, void *ctx, enum log_level level);
/* "error", "warning", "info", "debug", "trace"; and back: false: none of these. */
const char *log_level_name(enum log_level level);
bool log_level_by_name(const char *name, enum log_level *level);

/* A message that hostile input can cause as often as it likes goes through one of these: at most
 * LOG_LIMIT_BURST lines in LOG_LIMIT_SECONDS, then a count of what was left out. Zero-initialise it. */
#define LOG_LIMIT_BURST   5
#define LOG_LIMIT_SECONDS 10
struct log_limit {
    int64_t window_start; /* seconds, CLOCK_MONOTONIC */
    unsigned in_window, suppressed;
};

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_write_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The arguments are not evaluated when the level is off. */
#define log_at(level, ...)                 \
    do {                                   \
        if ((level) <= log_level)          \
            log_write(level, __VA_ARGS__); \
    } while (0)
#define log_error(...)   log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_trace(...)   log_at(LOG_LEVEL_TRACE, __VA_ARGS__)
#define log_limited(limit, level, ...)                    \
    do {                                                  \
        if ((level) <= log_level)                         \
            log_write_limited(limit, level, __VA_ARGS__); \
    } while (0)

#endif
