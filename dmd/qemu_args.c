// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * qemu_args.c - see qemu_args.h. Options of ours begin with -vhost-dm, as no option of QEMU does; all others
 * are passed on as they are, known here or not.
 */
#include "dmd/qemu_args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"

#define DOMID_LAST 0x7fef /* below Xen's DOMID_FIRST_RESERVED */

/* Options whose value is free text, which may look like an option. (libxl gives no others.) */
static const char *const free_text[] = {"name", "append", "kernel", "initrd"};

/* The name of an option; QEMU takes one or two dashes. NULL: not an option. */
static const char *option_name(const char *arg)
{
    if (arg[0] != '-' || arg[1] == '\0')
        return NULL;
    return arg[1] == '-' ? arg + 2 : arg + 1;
}

static bool is_free_text(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(free_text); i++)
        if (strcmp(name, free_text[i]) == 0)
            return true;
    return false;
}

/* Whether a comma-separated list has "key=". */
static bool list_has(const char *list, const char *key)
{
    size_t len = strlen(key);

    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, key, len) == 0 && at[len] == '=')
            return true;
    }
    return false;
}

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

static int device_add(struct qemu_args *args, const char *list, char *why, size_t why_len)
{
    if (args->nr_devices == QEMU_ARGS_MAX_DEVICES) {
        snprintf(why, why_len, "more than %d times -vhost-dm", QEMU_ARGS_MAX_DEVICES);
        return -EINVAL;
    }
    if (!is_printable(list) || strlen(list) >= QEMU_ARGS_DEVICE_LEN) {
        snprintf(why, why_len, "-vhost-dm %.60s: must be printable, and shorter than %d bytes", list,
                 QEMU_ARGS_DEVICE_LEN);
        return -EINVAL;
    }
    strcpy(args->devices[args->nr_devices++], list);
    return 0;
}

/* One option of ours. */
static int own_option(struct qemu_args *args, const char *name, const char *value, char *why, size_t why_len)
{
    const struct {
        const char *name, **value;
    } options[] = {{"vhost-dm-qemu", &args->qemu},
                   {"vhost-dm-program", &args->program},
                   {"vhost-dm-state-dir", &args->state_dir}};

    if (value == NULL) {
        snprintf(why, why_len, "-%s needs a value", name);
        return -EINVAL;
    }
    if (strcmp(name, "vhost-dm") == 0)
        return device_add(args, value, why, why_len);
    if (strcmp(name, "vhost-dm-confine") == 0) {
        args->confine = value;
        if (strcmp(value, "on") == 0 || strcmp(value, "off") == 0)
            return 0;
        snprintf(why, why_len, "-vhost-dm-confine %.60s: must be on or off", value);
        return -EINVAL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (strcmp(name, options[i].name) == 0) {
            *options[i].value = value;
            if (value[0] == '/')
                return 0;
            snprintf(why, why_len, "-%s %.100s: must be a path that begins with /", name, value);
            return -EINVAL;
        }
    snprintf(why, why_len,
             "unknown option -%.60s; known are -vhost-dm, -vhost-dm-qemu, -vhost-dm-program, "
             "-vhost-dm-state-dir and -vhost-dm-confine",
             name);
    return -EINVAL;
}

static int domid_set(struct qemu_args *args, const char *text, char *why, size_t why_len)
{
    unsigned long n = 0;
    char *end = NULL;

    if (text != NULL && text[0] >= '0' && text[0] <= '9') {
        errno = 0;
        n = strtoul(text, &end, 10);
    }
    if (end == NULL || *end != '\0' || errno != 0 || n < 1 || n > DOMID_LAST) {
        snprintf(why, why_len, "-xen-domid %.60s: not the number of a guest", text != NULL ? text : "");
        return -EINVAL;
    }
    args->has_domid = true;
    args->domid = (uint16_t)n;
    return 0;
}

/* One option of QEMU's, as far as it matters here. value may be NULL. */
static int qemu_option(struct qemu_args *args, const char *name, const char *value, char *why, size_t why_len)
{
    if (strcmp(name, "xen-domid") == 0)
        return domid_set(args, value, why, why_len);
    if (strcmp(name, "name") == 0 && args->guest_name == NULL)
        args->guest_name = value; /* libxl's own comes first */
    else if (strcmp(name, "incoming") == 0 || strcmp(name, "loadvm") == 0)
        args->incoming = true;
    else if (strcmp(name, "xen-attach") == 0)
        args->pv_backend = true;
    else if ((strcmp(name, "machine") == 0 || strcmp(name, "M") == 0) && value != NULL &&
             strncmp(value, "xenpv", 5) == 0)
        args->pv_backend = true;
    return 0;
}

/* A device's name is its type and its number among those of that type. */
static int device_default_socket(struct qemu_args *args, size_t i, const char *state_dir, char *why,
                                 size_t why_len)
{
    const char *guest = args->guest_name;
    char *list = args->devices[i], type[32];
    unsigned ordinal = 0;
    size_t len = strlen(list);
    int n;

    if (list_has(list, "socket"))
        return 0;
    if (sscanf(list, "type=%31[^,]", type) != 1) {
        snprintf(why, why_len, "-vhost-dm %.60s: without socket=, it must begin with type=", list);
        return -EINVAL;
    }
    if (guest == NULL || guest[0] == '\0' || guest[0] == '.' || strpbrk(guest, "/,") != NULL ||
        !is_printable(guest)) {
        snprintf(why, why_len,
                 "-vhost-dm %.60s: needs socket=, as no default can be made of the guest's name", list);
        return -EINVAL;
    }
    for (size_t j = 0; j < i; j++) {
        char other[32];

        ordinal += sscanf(args->devices[j], "type=%31[^,]", other) == 1 && strcmp(other, type) == 0;
    }
    n = snprintf(list + len, QEMU_ARGS_DEVICE_LEN - len, ",socket=%s/%s/%s%u.sock", state_dir, guest, type,
                 ordinal);
    if ((size_t)n < QEMU_ARGS_DEVICE_LEN - len)
        return 0;
    snprintf(why, why_len, "-vhost-dm %.60s: its default socket is too long", list);
    return -EINVAL;
}

/* Whether all is there that the devices need. */
static int devices_check(struct qemu_args *args, const char *state_dir, char *why, size_t why_len)
{
    const char *wrong = NULL;

    if (args->nr_devices == 0)
        return 0;
    if (args->pv_backend)
        wrong = "the guest is not an HVM guest of this QEMU: -vhost-dm is for type=\"hvm\" without a stub "
                "domain; "
                "vhost-dmd serves PVH guests";
    else if (args->incoming)
        wrong = "a guest with devices of vhost-dm can be neither restored nor migrated";
    else if (!args->has_domid)
        wrong = "there is no -xen-domid: this is to be started by xl, as device_model_override";
    if (wrong != NULL) {
        snprintf(why, why_len, "%s", wrong);
        return -EINVAL;
    }
    for (size_t i = 0; i < args->nr_devices; i++)
        if (device_default_socket(args, i, args->state_dir != NULL ? args->state_dir : state_dir, why,
                                  why_len) != 0)
            return -EINVAL;
    return 0;
}

int qemu_args_parse(struct qemu_args *args, int argc, char **argv, const char *state_dir, char *why,
                    size_t why_len)
{
    size_t n = 0;

    memset(args, 0, sizeof(*args));
    args->argv = calloc((size_t)argc + 1, sizeof(*args->argv));
    if (args->argv == NULL) {
        snprintf(why, why_len, "not enough memory");
        return -ENOMEM;
    }
    for (int i = 0; i < argc; i++) {
        const char *name = i > 0 ? option_name(argv[i]) : NULL;
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        int rc = 0;

        if (name != NULL && strncmp(name, "vhost-dm", 8) == 0) {
            rc = own_option(args, name, value, why, why_len);
            i++;
        } else {
            args->argv[n++] = argv[i];
            if (name != NULL)
                rc = qemu_option(args, name, value, why, why_len);
            if (name != NULL && value != NULL && is_free_text(name))
                args->argv[n++] = argv[++i];
        }
        if (rc != 0)
            return rc;
    }
    return devices_check(args, state_dir, why, why_len);
}

void qemu_args_fini(struct qemu_args *args)
{
    free(args->argv);
    args->argv = NULL;
}
