// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * xl_nodes.c - see xl_nodes.h.
 */
#include "dmd/xl_nodes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_ids.h>

#define BASE_MAX (((uint64_t)1 << 52) - 1) /* the most that guest-physical addresses have */
#define IRQ_MAX  1019 /* of Arm's shared interrupts (Arm GIC architecture, IHI 0069, 2.2.1) */
#define TEXT_LEN 256

int xl_number(const char *text, int base, uint64_t max, uint64_t *number)
{
    size_t len = strspn(text, base == 16 ? "0123456789abcdefABCDEF" : "0123456789");

    if (base == 16 && len == 1 && text[0] == '0' && text[1] == 'x') {
        text += 2;
        len = strspn(text, "0123456789abcdefABCDEF");
    }
    if (len == 0 || len > 20 || text[len] != '\0')
        return -EINVAL;
    errno = 0;
    *number = strtoull(text, NULL, base);
    return errno != 0 || *number > max ? -EINVAL : 0;
}

int xl_virtio_id(const char *text, uint16_t *virtio_id)
{
    static const char begin[] = "virtio,device";
    uint64_t id;

    if (strncmp(text, begin, sizeof(begin) - 1) != 0)
        return -EINVAL;
    text += sizeof(begin) - 1;
    if (strspn(text, "0123456789abcdef") != strlen(text) || text[0] == '0' ||
        xl_number(text, 16, UINT16_MAX, &id) != 0)
        return -EINVAL;
    *virtio_id = (uint16_t)id;
    return 0;
}

enum xl_state xl_state(const char *text)
{
    if (text[0] < '1' || text[0] > '8' || text[1] != '\0')
        return XL_STATE_UNKNOWN;
    return (enum xl_state)(text[0] - '0');
}

struct place {
    struct toolstack *toolstack;
    char path[128];
    char *why;
    size_t why_len;
};

static int node_read(const struct place *place, const char *name, char text[TEXT_LEN])
{
    char path[192];
    int rc;

    snprintf(path, sizeof(path), "%s/%s", place->path, name);
    rc = toolstack_read(place->toolstack, path, text, TEXT_LEN);
    if (rc != 0)
        snprintf(place->why, place->why_len, "xenstore, %s: %s", path,
                 rc == -EMSGSIZE ? "is longer than 255 bytes"
                 : rc == -EILSEQ ? "has control characters in it"
                                 : strerror(-rc));
    return rc;
}

static int number_read(const struct place *place, const char *name, int base, uint64_t max, uint64_t *number)
{
    char text[TEXT_LEN];
    int rc = node_read(place, name, text);

    if (rc == 0 && xl_number(text, base, max, number) != 0) {
        snprintf(place->why, place->why_len, "xenstore, %s/%s: '%.40s' is no number to %llx", place->path,
                 name, text, (unsigned long long)max);
        rc = -EINVAL;
    }
    return rc;
}

/* transport, base, irq: a virtio disk that libxl made on x86 may lack them. */
static int place_read(const struct place *place, struct xl_device *device)
{
    uint64_t irq = 0;
    char text[TEXT_LEN];
    int rc = node_read(place, "transport", text);

    if (rc == 0 && strcmp(text, "mmio") != 0) {
        snprintf(place->why, place->why_len, "xenstore, %s/transport: '%.40s' is not 'mmio'", place->path,
                 text);
        return -EINVAL;
    }
    if (rc == 0 || rc == -ENOENT)
        rc = number_read(place, "base", 16, BASE_MAX, &device->base);
    if (rc == 0 || rc == -ENOENT)
        rc = number_read(place, "irq", 10, IRQ_MAX, &irq);
    device->irq = (uint32_t)irq;
    return rc == -ENOENT ? 0 : rc;
}

int xl_device_read(struct toolstack *toolstack, unsigned domid, enum toolstack_kind kind, unsigned devid,
                   struct xl_device *device, char *why, size_t why_len)
{
    struct place place = {.toolstack = toolstack, .why = why, .why_len = why_len};
    char text[TEXT_LEN];
    int rc;

    *device = (struct xl_device){.kind = kind, .devid = devid, .virtio_id = VIRTIO_ID_BLOCK};
    snprintf(place.path, sizeof(place.path), "%s/%u/%u", toolstack_kind_path(kind), domid, devid);
    rc = node_read(&place, "state", text);
    if (rc == 0 && kind == TOOLSTACK_VIRTIO) {
        rc = node_read(&place, "type", text);
        if (rc == 0 && xl_virtio_id(text, &device->virtio_id) != 0) {
            snprintf(why, why_len, "xenstore, %s/type: '%.40s' is not 'virtio,deviceN' with a hexadecimal N",
                     place.path, text);
            rc = -EINVAL;
        }
    } else if (rc == 0) {
        rc = node_read(&place, "params", device->file);
        if (rc == -ENOENT)
            rc = 0;
    }
    return rc != 0 ? rc : place_read(&place, device);
}
