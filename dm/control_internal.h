/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control_internal.h - what the files of the control socket share and nobody else sees.
 */
#ifndef VHOST_DM_CONTROL_INTERNAL_H
#define VHOST_DM_CONTROL_INTERNAL_H

#include <ev.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "common/util.h"
#include "dm/control.h"
#include "dm/devices.h"
#include "dm/guest.h"

struct control_trace;

struct control_client {
    struct list_link link; /* in control->clients */
    struct control *control;
    int fd; /* owned */
    ev_io readable, writable;
    ev_timer stuck; /* it has not taken anything of its answer for so long */
    char in[CONTROL_MAX_LINE + 1];
    size_t in_len;
    bool ended;   /* it sends nothing any more */
    bool close;   /* when the answer has been sent */
    bool waiting; /* for a device to come or go */
    char *out;    /* owned: an answer that is being sent; NULL: none */
    size_t out_len, out_done;
    struct control_trace *trace; /* owned; NULL: it did not ask for messages */
};

struct control {
    struct guest *guest;
    struct devices *devices;
    char path[108]; /* of a socket: sun_path has no more */
    int fd;         /* owned: listens */
    ev_io acceptable;
    ev_timer again;
    struct list_link clients;
    unsigned nr_clients;
    bool taps; /* the messages */
    struct log_limit limit;
};

/* ---- control.c ---- */

/* Sends an answer, which is freed. */
void control_answer(struct control_client *client, struct json_object *answer);
/* {"ok":false,"error":...}. */
void control_refuse(struct control_client *client, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* There is something in the trace to be sent. */
void control_wake(struct control_client *client);

/* ---- the commands ---- */

/* Serves a line, which is NUL-terminated but may have NULs in it. Calls control_answer or _refuse once, now
 * or later (client->waiting meanwhile). */
void control_command(struct control_client *client, const char *line, size_t len);

struct json_object *control_list(struct control *control);
struct json_object *control_regions(struct control *control, uint64_t from);

/* {"ok":true} */
struct json_object *control_ok(void);
/* Of what is not UTF-8, '?' is added. */
void control_add_string(struct json_object *o, const char *key, const char *value);
void control_add_number(struct json_object *o, const char *key, uint64_t value);
void control_add_bool(struct json_object *o, const char *key, bool value);
/* As "0x...": not all readers' numbers have 64 bits, and people compare addresses by their digits. */
void control_add_hex(struct json_object *o, const char *key, uint64_t value);

/* ---- control_trace.c ---- */

/* From now on the client gets messages up to that level. 0 or -ENOMEM. */
int control_trace_start(struct control_client *client, enum log_level level);
void control_trace_end(struct control_client *client);
/* What is to be sent next: at most *len bytes, in one piece; 0: nothing. */
const char *control_trace_peek(struct control_trace *trace, size_t *len);
/* So much of it is sent. */
void control_trace_sent(struct control_trace *trace, size_t len);

#endif
