// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * control_command.c - what a line on the control socket asks for. A request is {"command": NAME, ...}; what
 * is not known, or has another type, is refused with the name of what is wrong.
 */
#include "dm/control_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "dm/hypervisor.h"

#define MAX_DEPTH 4 /* of nested values: more than any request has */

/* ---- answers ------------------------------------------------------------------------------------ */

void control_add_string(struct json_object *o, const char *key, const char *value)
{
    char *text = strdup(value);

    if (text != NULL)
        utf8_clean(text);
    json_object_object_add(o, key, json_object_new_string(text != NULL ? text : ""));
    free(text);
}

void control_add_number(struct json_object *o, const char *key, uint64_t value)
{
    json_object_object_add(o, key, json_object_new_uint64(value));
}

void control_add_bool(struct json_object *o, const char *key, bool value)
{
    json_object_object_add(o, key, json_object_new_boolean(value));
}

void control_add_hex(struct json_object *o, const char *key, uint64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "0x%" PRIx64, value);
    control_add_string(o, key, text);
}

struct json_object *control_ok(void)
{
    struct json_object *o = json_object_new_object();

    control_add_bool(o, "ok", true);
    return o;
}

/* ---- arguments ---------------------------------------------------------------------------------- */

/* A string without NULs, or NULL. */
static const char *string_of(struct json_object *value)
{
    const char *text = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;

    return text != NULL && strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

/* The argument, or other where there is none. False: it is no string; the client has been told. */
static bool arg_string(struct control_client *client, struct json_object *request, const char *key,
                       const char *other, const char **text)
{
    struct json_object *value;

    *text = json_object_object_get_ex(request, key, &value) ? string_of(value) : other;
    if (*text == NULL)
        control_refuse(client, "\"%s\" must be a string", key);
    return *text != NULL;
}

static bool arg_bool(struct control_client *client, struct json_object *request, const char *key, bool *is)
{
    struct json_object *value;

    *is = false;
    if (!json_object_object_get_ex(request, key, &value))
        return true;
    if (!json_object_is_type(value, json_type_boolean)) {
        control_refuse(client, "\"%s\" must be true or false", key);
        return false;
    }
    *is = json_object_get_boolean(value);
    return true;
}

/* ---- commands ----------------------------------------------------------------------------------- */

static void command_list(struct control_client *client, struct json_object *request)
{
    (void)request;
    control_answer(client, control_list(client->control));
}

static void command_regions(struct control_client *client, struct json_object *request)
{
    const char *text;
    uint64_t from;
    char *end;

    if (!arg_string(client, request, "from", "0", &text))
        return;
    errno = 0;
    from = strtoull(text, &end, 0);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        control_refuse(client, "\"from\" must be an address, as \"0x1000\"");
    else
        control_answer(client, control_regions(client->control, from));
}

#define PLACE_LEN 16

static void place_print(char *place, size_t len, const struct device *device)
{
    uint32_t sbdf = device_info(device).sbdf;

    snprintf(place, len, "0000:00:%02x.%x", sbdf >> 3 & 0x1f, sbdf & 7);
}

/* What must be done in the guest, if there is no event that tells it. */
static void on_added(void *ctx, const struct devices_item *item, const char *why)
{
    struct control_client *client = ctx;
    struct json_object *answer;
    char place[PLACE_LEN];

    if (why != NULL) {
        control_refuse(client, "%s", why);
        return;
    }
    answer = control_ok();
    place_print(place, sizeof(place), item->device);
    control_add_string(answer, "name", item->name);
    control_add_string(answer, "place", place);
    control_add_bool(answer, "guest_is_told", devices_guest_is_told(client->control->devices));
    control_add_string(answer, "in_the_guest", "echo 1 >/sys/bus/pci/rescan");
    control_answer(client, answer);
}

static void command_add(struct control_client *client, struct json_object *request)
{
    const char *text;
    char why[512];

    if (!arg_string(client, request, "device", NULL, &text))
        return;
    client->waiting = true;
    if (devices_add(client->control->devices, text, on_added, client, why, sizeof(why)) != 0)
        control_refuse(client, "%s", why);
}

static void on_removed(void *ctx, const struct devices_item *item, const char *why)
{
    struct control_client *client = ctx;
    struct json_object *answer;
    char place[PLACE_LEN], text[96];

    if (why != NULL) {
        control_refuse(client, "%s", why);
        return;
    }
    answer = control_ok();
    control_add_string(answer, "name", item->name);
    control_add_bool(answer, "guest_is_told", devices_guest_is_told(client->control->devices));
    control_add_bool(answer, "waits_for_driver", item->state == DEVICES_LINGERING);
    if (item->state == DEVICES_LINGERING) {
        place_print(place, sizeof(place), item->device);
        snprintf(text, sizeof(text), "echo 1 >/sys/bus/pci/devices/%s/remove", place);
        control_add_string(answer, "in_the_guest", text);
    }
    control_answer(client, answer);
}

static void command_remove(struct control_client *client, struct json_object *request)
{
    enum devices_removal how;
    const char *name;
    char why[512];
    bool force, now;

    if (!arg_string(client, request, "name", NULL, &name) || !arg_bool(client, request, "force", &force) ||
        !arg_bool(client, request, "now", &now))
        return;
    how = now ? DEVICES_NOW : force ? DEVICES_FORCED : DEVICES_GENTLY;
    client->waiting = true;
    if (devices_remove(client->control->devices, name, how, on_removed, client, why, sizeof(why)) != 0)
        control_refuse(client, "%s", why);
}

static void command_trace(struct control_client *client, struct json_object *request)
{
    enum log_level level;
    const char *text;

    if (!arg_string(client, request, "level", "info", &text))
        return;
    if (!log_level_by_name(text, &level))
        control_refuse(client, "\"level\" must be error, warning, info, debug or trace");
    else if (control_trace_start(client, level) != 0)
        control_refuse(client, "not enough memory");
    else
        control_answer(client, control_ok());
}

static const struct command {
    const char *name;
    const char *args[3];
    void (*serve)(struct control_client *client, struct json_object *request);
} commands[] = {
    {"list", {NULL}, command_list},      {"regions", {"from"}, command_regions},
    {"add", {"device"}, command_add},    {"remove", {"name", "force", "now"}, command_remove},
    {"trace", {"level"}, command_trace},
};

static const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static bool has_arg(const struct command *command, const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(command->args); i++)
        if (command->args[i] != NULL && strcmp(command->args[i], key) == 0)
            return true;
    return strcmp(key, "command") == 0;
}

static void request_serve(struct control_client *client, struct json_object *request)
{
    const struct command *command;
    const char *name;

    if (!arg_string(client, request, "command", NULL, &name))
        return;
    command = command_find(name);
    if (command == NULL) {
        control_refuse(client, "unknown command '%.40s'; known are: list regions add remove trace", name);
        return;
    }
    json_object_object_foreach(request, key, value)
    {
        (void)value;
        if (!has_arg(command, key)) {
            control_refuse(client, "%s has no argument \"%.40s\"", name, key);
            return;
        }
    }
    command->serve(client, request);
}

static bool is_ascii(const char *text, size_t len)
{
    while (len > 0 && (unsigned char)text[len - 1] < 0x80)
        len--;
    return len == 0;
}

void control_command(struct control_client *client, const char *line, size_t len)
{
    struct json_tokener *tok = json_tokener_new_ex(MAX_DEPTH);
    struct json_object *request = NULL;

    if (tok != NULL) {
        /* When it is strict, json-c 0.18 takes all that is not ASCII for control characters. */
        json_tokener_set_flags(tok, is_ascii(line, len) ? JSON_TOKENER_STRICT : 0);
        request = json_tokener_parse_ex(tok, line, (int)len + 1); /* with the NUL, which ends it */
    }
    if (request == NULL || json_tokener_get_parse_end(tok) < len ||
        !json_object_is_type(request, json_type_object))
        control_refuse(client, "a request is one JSON object a line, as {\"command\":\"list\"}");
    else
        request_serve(client, request);
    json_object_put(request);
    json_tokener_free(tok);
}
