// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * plan.c - see plan.h. A device is known by its type and the ordinal among those of the type: xl's devices
 * are counted first, in the order of their numbers in xenstore.
 */
#include "dmd/plan.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "dm/device_types.h"
#include "dm/options.h"

struct planning {
    struct plan *plan;
    const struct plan_input *input;
    struct config_guest *config;
    bool used[CONFIG_MAX_DEVICES]; /* sections of the file */
    char *why;
    size_t why_len;
};

__attribute__((format(printf, 2, 3))) static int fault(struct planning *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(p->why, p->why_len, fmt, ap);
    va_end(ap);
    return -EINVAL;
}

_Static_assert(PLAN_TEXT_LEN == OPTIONS_DEVICE_LEN, "what vhost-dm takes of a device");

/* ---- names and types ------------------------------------------------------------------------- */

static const char *type_of_id(uint16_t virtio_id)
{
    const struct device_type *type;

    for (size_t i = 0; (type = device_type_at(i)) != NULL; i++)
        if (type->virtio_id == virtio_id)
            return type->name;
    return NULL;
}

/* The type that a name means: fs0 is an fs. */
static void type_of_name(const char *name, char *type, size_t len)
{
    size_t n = strlen(name);

    while (n > 0 && isdigit((unsigned char)name[n - 1]))
        n--;
    snprintf(type, len, "%.*s", (int)n, name);
}

/* TYPE and the first number that no device has. */
static void name_make(const struct plan *plan, const char *type, char name[CONFIG_DEVICE_NAME_LEN])
{
    unsigned ordinal = 0;

    for (size_t i = 0; i < plan->nr_devices; i++) {
        char its_type[CONFIG_DEVICE_NAME_LEN];

        type_of_name(plan->devices[i].name, its_type, sizeof(its_type));
        ordinal += strcmp(its_type, type) == 0;
    }
    snprintf(name, CONFIG_DEVICE_NAME_LEN, "%.16s%u", type, ordinal);
}

static const struct config_device *section_find(struct planning *p, const char *name)
{
    for (size_t i = 0; i < p->config->nr_devices; i++)
        if (strcmp(p->config->devices[i].name, name) == 0) {
            p->used[i] = true;
            return &p->config->devices[i];
        }
    return NULL;
}

/* ---- one device ------------------------------------------------------------------------------ */

/* With where to look: in the guest's file, unless only xl.cfg has the device. */
static int device_fault(struct planning *p, const struct plan_device *device,
                        const struct config_device *section, const char *why)
{
    if (section == NULL)
        return fault(p, "%s, which xl.cfg has: %s", device->name, why);
    return fault(p, "%s:%d: [%s] %s", p->config->path, section->line, device->name, why);
}

static int back_end_make(struct planning *p, struct plan_device *device, const char *type,
                         const char *request, const char *file, const struct config_device *section)
{
    char domid[16], why[400];
    const struct template_values values = {
        .socket = device->socket,
        .guest = p->input->guest,
        .device = device->name,
        .domid = domid,
        .type = type,
        .file = file,
    };
    int rc;

    snprintf(domid, sizeof(domid), "%u", p->input->domid);
    rc = template_command(&device->back_end, p->input->places, request, &values, why, sizeof(why));
    if (rc != 0)
        device_fault(p, device, section, why);
    return rc;
}

/* type=, socket=, what xl has laid out, the section's options, and a wait for the back-end. */
static int text_make(struct planning *p, struct plan_device *device, const char *type,
                     const struct config_device *section, const struct xl_device *xl)
{
    struct device_options *options;
    char place[64] = "", wait[32] = "", why[256];
    int n, rc;

    if (xl != NULL && xl->base != 0)
        snprintf(place, sizeof(place), ",transport=mmio,base=0x%llx,irq=%u", (unsigned long long)xl->base,
                 xl->irq);
    if (section == NULL || !section->has_wait)
        snprintf(wait, sizeof(wait), ",wait=%u", p->plan->settings.start_timeout);
    n = snprintf(device->text, sizeof(device->text), "type=%s,socket=%s%s%s%s", type, device->socket, place,
                 section != NULL ? section->options : "", wait);
    options = calloc(1, sizeof(*options));
    if (options == NULL)
        return fault(p, "not enough memory");
    rc = (size_t)n < sizeof(device->text) ? options_parse_device(options, device->text, why, sizeof(why))
                                          : -E2BIG;
    free(options);
    if (rc == -E2BIG)
        snprintf(why, sizeof(why), "its options are longer than %d bytes", PLAN_TEXT_LEN - 1);
    return rc == 0 ? 0 : device_fault(p, device, section, why);
}

static int socket_make(struct planning *p, struct plan_device *device, const struct config_device *section)
{
    const char *dir = p->input->daemon->state_dir;
    char path[PATH_MAX];
    int n;

    if (section != NULL && section->socket[0] != '\0')
        n = snprintf(path, sizeof(path), "%s", section->socket);
    else
        n = snprintf(path, sizeof(path), "%s/%s/%s.sock", dir, p->input->guest, device->name);
    if ((size_t)n >= sizeof(device->socket))
        return fault(p, "[%s] its socket would be %s/..., which is too long: give it one with socket=",
                     device->name, dir);
    memcpy(device->socket, path, (size_t)n + 1);
    for (const struct plan_device *other = p->plan->devices; other < device; other++)
        if (strcmp(other->socket, device->socket) == 0)
            return device_fault(p, device, section,
                                "its socket is that of another device, and serves one alone");
    /* A comma would begin another key of --device; the guest's name may have one. */
    if (strchr(device->socket, ',') != NULL)
        return fault(p, "[%s] its socket would be %s, with a comma: give it one with socket=", device->name,
                     device->socket);
    return 0;
}

static int device_add(struct planning *p, const char *name, const char *type,
                      const struct config_device *section, const struct xl_device *xl)
{
    struct plan *plan = p->plan;
    struct plan_device *device = &plan->devices[plan->nr_devices];
    const char *request = section != NULL ? section->back_end : "";
    const char *file = xl != NULL && xl->file[0] != '\0' ? xl->file : NULL;
    bool disk = xl != NULL && xl->kind == TOOLSTACK_VIRTIO_DISK;
    int rc;

    if (plan->nr_devices == CONFIG_MAX_DEVICES)
        return fault(p, "more than %d devices", CONFIG_MAX_DEVICES);
    plan->nr_devices++; /* whatever comes of it: plan_clear() frees it */
    snprintf(device->name, sizeof(device->name), "%s", name);
    if (xl != NULL) {
        device->from_xl = true;
        device->kind = xl->kind;
        device->devid = xl->devid;
    }
    if (disk && request[0] == '\0' && (section == NULL || section->socket[0] == '\0'))
        request = p->input->daemon->virtio_disk;
    if (disk && request[0] == '\0' && (section == NULL || section->socket[0] == '\0'))
        return fault(
            p,
            "its virtio disk %s has no back-end: write back-end= or socket= into [%s] of %s, or virtio-disk= "
            "into vhost-dmd.conf",
            name, name, p->config->path);
    rc = socket_make(p, device, section);
    if (rc == 0)
        rc = text_make(p, device, type, section, xl);
    if (rc == 0 && request[0] != '\0')
        rc = back_end_make(p, device, type, request, file, section);
    return rc;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int xl_device_add(struct planning *p, const struct xl_device *xl)
{
    const char *type = type_of_id(xl->virtio_id);
    const struct config_device *section;
    char name[CONFIG_DEVICE_NAME_LEN];

    /* One that we have no row for can still be described by hand, if there is a type for that. */
    if (type == NULL && device_type_find("generic") != NULL)
        type = "generic";
    if (type == NULL)
        return fault(p, "xl.cfg asks for virtio device %x, which is of no type that is known here",
                     xl->virtio_id);
    name_make(p->plan, type, name);
    section = section_find(p, name);
    if (section == NULL && strcmp(type, "generic") == 0)
        return fault(
            p,
            "xl.cfg asks for virtio device %x, which is of no type that is known here: describe it in "
            "[%s] of %s",
            xl->virtio_id, name, p->config->path);
    if (section != NULL && section->type[0] != '\0' && strcmp(section->type, type) != 0)
        return fault(p, "%s:%d: [%s] type=%s: xl.cfg has it as %s", p->config->path, section->line, name,
                     section->type, type);
    return device_add(p, name, type, section, xl);
}

static int section_add(struct planning *p, const struct config_device *section)
{
    char type[CONFIG_DEVICE_NAME_LEN];

    snprintf(type, sizeof(type), "%s", section->type);
    if (type[0] == '\0')
        type_of_name(section->name, type, sizeof(type));
    if (device_type_find(type) == NULL)
        return fault(p, "%s:%d: [%s]: '%s' is no type of device: give it one with type=", p->config->path,
                     section->line, section->name, type);
    return device_add(p, section->name, type, section, NULL);
}

int plan_make(struct plan *plan, const struct plan_input *input, char *why, size_t why_len)
{
    struct planning p = {.plan = plan, .input = input, .why = why, .why_len = why_len};
    int rc;

    plan->settings = input->daemon->defaults;
    p.config = calloc(1, sizeof(*p.config));
    if (p.config == NULL)
        return fault(&p, "not enough memory");
    rc = config_guest_read(p.config, input->config_dir, input->guest, input->daemon, why, why_len);
    plan->settings = p.config->settings;
    /* A name that cannot be a file's is of no interest while nothing is asked for that guest. */
    if (rc == -EINVAL && input->nr_xl == 0 && !config_guest_name_good(input->guest))
        rc = 0;
    for (size_t i = 0; i < input->nr_xl && rc == 0; i++)
        rc = xl_device_add(&p, &input->xl[i]);
    for (size_t i = 0; i < p.config->nr_devices && rc == 0; i++)
        if (!p.used[i])
            rc = section_add(&p, &p.config->devices[i]);
    free(p.config);
    return rc;
}

void plan_settings_read(struct plan *plan, const struct plan_input *input)
{
    struct config_guest *config = calloc(1, sizeof(*config));
    char why[512];

    plan->settings = input->daemon->defaults;
    if (config == NULL)
        return;
    config_guest_read(config, input->config_dir, input->guest, input->daemon, why, sizeof(why));
    plan->settings = config->settings;
    free(config);
}

void plan_clear(struct plan *plan)
{
    for (size_t i = 0; i < plan->nr_devices; i++)
        words_free(&plan->devices[i].back_end);
    plan->nr_devices = 0;
}
