// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * control_trace.c - messages for clients of the control socket, as they are logged. A message is put into a
 * ring of bytes and is sent when the socket takes it, so that a message costs no more than its formatting. A
 * client that does not keep up is not waited for: what does not fit is left out, counted, and the count is
 * told.
 */
#include "dm/control_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RING_LEN     KIB(256)
#define LINE_MAX_LEN 2304 /* a message of 1024 bytes, all of them escaped, and what is around it */

struct control_trace {
    enum log_level level;
    uint64_t dropped; /* messages, not told of yet */
    size_t start, used;
    char ring[RING_LEN];
};

static void ring_put(struct control_trace *trace, const char *data, size_t len)
{
    size_t at = (trace->start + trace->used) % RING_LEN, first = MIN(len, RING_LEN - at);

    memcpy(trace->ring + at, data, first);
    memcpy(trace->ring, data + first, len - first);
    trace->used += len;
}

const char *control_trace_peek(struct control_trace *trace, size_t *len)
{
    *len = MIN(*len, MIN(trace->used, RING_LEN - trace->start));
    return trace->used > 0 ? trace->ring + trace->start : NULL;
}

void control_trace_sent(struct control_trace *trace, size_t len)
{
    trace->start = (trace->start + len) % RING_LEN;
    trace->used -= len;
}

/* ---- messages ----------------------------------------------------------------------------------- */

/* The text is printable but for bytes above 0x7f, which may be anything and need not be UTF-8. */
static size_t text_escape(char *out, const char *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"' || text[i] == '\\')
            out[n++] = '\\';
        out[n++] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    }
    return n;
}

static size_t line_make(char *line, enum log_level level, const char *text, size_t len)
{
    struct timespec now;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &now);
    n = (size_t)snprintf(line, LINE_MAX_LEN, "{\"time\":%" PRId64 ".%06ld,\"level\":\"%s\",\"text\":\"",
                         (int64_t)now.tv_sec, now.tv_nsec / 1000, log_level_name(level));
    n += text_escape(line + n, text, len);
    memcpy(line + n, "\"}\n", 3);
    return n + 3;
}

static void trace_put(struct control_client *client, const char *line, size_t len)
{
    struct control_trace *trace = client->trace;
    char note[64];
    size_t note_len = 0;

    if (trace->dropped > 0)
        note_len = (size_t)snprintf(note, sizeof(note), "{\"dropped\":%" PRIu64 "}\n", trace->dropped);
    if (note_len + len > RING_LEN - trace->used) {
        trace->dropped++;
        return;
    }
    ring_put(trace, note, note_len);
    ring_put(trace, line, len);
    trace->dropped = 0;
    control_wake(client);
}

static void on_message(void *ctx, enum log_level level, const char *text, size_t len)
{
    struct control *control = ctx;
    struct control_client *client;
    char line[LINE_MAX_LEN];
    size_t line_len = 0;

    list_for_each (client, &control->clients, link) {
        if (client->trace == NULL || level > client->trace->level)
            continue;
        if (line_len == 0)
            line_len = line_make(line, level, text, MIN(len, 1024u));
        trace_put(client, line, line_len);
    }
}

/* ---- who listens -------------------------------------------------------------------------------- */

/* The messages are made up to the highest level that somebody wants. */
static void tap_update(struct control *control)
{
    struct control_client *client;
    enum log_level level = LOG_LEVEL_ERROR;
    bool wanted = false;

    list_for_each (client, &control->clients, link) {
        if (client->trace == NULL)
            continue;
        wanted = true;
        level = MAX(level, client->trace->level);
    }
    if (wanted || control->taps)
        log_tap(wanted ? on_message : NULL, control, level);
    control->taps = wanted;
}

int control_trace_start(struct control_client *client, enum log_level level)
{
    client->trace = malloc(sizeof(*client->trace));
    if (client->trace == NULL)
        return -ENOMEM;
    client->trace->level = level;
    client->trace->dropped = 0;
    client->trace->start = client->trace->used = 0;
    tap_update(client->control);
    return 0;
}

void control_trace_end(struct control_client *client)
{
    if (client->trace == NULL)
        return;
    free(client->trace);
    client->trace = NULL;
    tap_update(client->control);
}
