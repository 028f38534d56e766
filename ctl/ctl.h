/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ctl.h - vhost-dmctl: what its files share.
 *
 *   main.c        the command line
 *   connection.c  finding the vhost-dm of a guest, asking it
 *   list.c        "list"
 *   regions.c     "regions", as a list
 *   map.c         ... and drawn
 *   change.c      "add", "remove" and "trace"
 *   output.c      text for people, tables
 *
 * Functions that fail have said why on standard error, in one line.
 */
#ifndef VHOST_DM_CTL_H
#define VHOST_DM_CTL_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ctl_options {
    const char *state_dir;
    const char *guest;    /* number or name; NULL: all */
    const char *argument; /* of add and remove */
    const char *level;    /* of trace */
    bool json, names, map, force, now;
};

/* ---- output.c ---- */

/* "vhost-dmctl: ..." on standard error; what came from others cannot send control characters. */
void ctl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same on standard output, without prefix. */
void ctl_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A number of bytes for people: "4K", "1.5G"; in a buffer of its own for a few calls. */
const char *ctl_size(uint64_t bytes);

/* A table: cells are added from left to right, row by row, and copied; NULL without memory, which all
 * functions take. A heading that begins with '<' is of a column that is flush left, the others are flush
 * right. */
struct ctl_table;
struct ctl_table *ctl_table_new(size_t nr_columns, const char *const *headings);
void ctl_table_add(struct ctl_table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints it, each line behind indent, and frees it. */
void ctl_table_print(struct ctl_table *table, const char *indent);

/* Values of an answer; what is not there, or of another type, is "" or 0. */
const char *ctl_string(struct json_object *o, const char *key);
uint64_t ctl_number(struct json_object *o, const char *key);
/* One of control's "0x..." strings. */
uint64_t ctl_hex(struct json_object *o, const char *key);
bool ctl_bool(struct json_object *o, const char *key);
struct json_object *ctl_object(struct json_object *o, const char *key);
/* Elements of an array, 0 and NULL where there is none. */
size_t ctl_nr(struct json_object *o, const char *key);
struct json_object *ctl_at(struct json_object *o, const char *key, size_t i);
/* Prints it as programs read it. */
void ctl_print_json(struct json_object *o);

/* ---- connection.c ---- */

struct ctl_connection;

/* Connects to the vhost-dm of a guest, by number or name. NULL: said why. */
struct ctl_connection *ctl_connect(const struct ctl_options *options);
void ctl_close(struct ctl_connection *c);
/* Sends a request, which is freed, and waits for its answer, which the caller frees; seconds: for how long,
 * 0: as long as it takes. NULL: it was refused, or there was none: said why. */
struct json_object *ctl_ask(struct ctl_connection *c, struct json_object *request, int seconds);
/* Tells the privileged process of a confined vhost-dm that the guest may have a device, as for --device.
 * False: said why; true also where there is none. */
bool ctl_grant(const struct ctl_options *options, struct ctl_connection *c, const char *device);
/* The next line of what it streams, an object; NULL: the end. */
struct json_object *ctl_next(struct ctl_connection *c);
/* A new request. */
struct json_object *ctl_request(const char *command);

/* The numbers of all guests that have a vhost-dm, in order; the caller frees it. -1: said why. */
int ctl_guests(const struct ctl_options *options, unsigned **domids);

/* ---- commands: exit statuses ---- */

int ctl_list(const struct ctl_options *options);
int ctl_regions(const struct ctl_options *options);
int ctl_add(const struct ctl_options *options);
int ctl_remove(const struct ctl_options *options);
int ctl_trace(const struct ctl_options *options);

/* Draws the regions of an array as "regions" gives them. */
void ctl_map(struct json_object *regions);

#endif
