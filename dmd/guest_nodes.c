// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest_nodes.c - a guest's nodes in xenstore: what libxl wants it to have, and the states by which libxl is
 * answered (see guest.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "dmd/guest.h"

#define DEVICES_LOOKED_AT 64 /* of a kind; more are not ours to serve */

static void node_write(struct guest *guest, enum toolstack_kind kind, unsigned devid, enum xl_state state)
{
    char path[128], text[2] = {(char)('0' + state), '\0'};
    int rc;

    snprintf(path, sizeof(path), "%s/%u/%u/state", toolstack_kind_path(kind), guest->domain.domid, devid);
    rc = toolstack_write(guest->daemon->toolstack, path, text);
    if (rc != 0 && rc != -ENOENT)
        log_warning("%s: xenstore, %s cannot be set to %s: %s; xl waits up to 10 s for it", guest->label,
                    path, text, strerror(-rc));
}

static enum xl_state node_state(struct guest *guest, enum toolstack_kind kind, unsigned devid)
{
    char path[128], text[8];

    snprintf(path, sizeof(path), "%s/%u/%u/state", toolstack_kind_path(kind), guest->domain.domid, devid);
    if (toolstack_read(guest->daemon->toolstack, path, text, sizeof(text)) != 0)
        return XL_STATE_UNKNOWN;
    return xl_state(text);
}

/* All devices that come from xl are told that they are served. */
void guest_nodes_tell(struct guest *guest, enum xl_state state)
{
    for (size_t i = 0; i < guest->plan.nr_devices; i++) {
        const struct plan_device *device = &guest->plan.devices[i];

        if (device->from_xl && node_state(guest, device->kind, device->devid) < XL_STATE_CLOSING)
            node_write(guest, device->kind, device->devid, state);
    }
}

static int by_number(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return (x > y) - (x < y);
}

/* The numbers of the guest's devices of that kind, in order. Their count, or negative errno. */
static int devids_read(struct guest *guest, enum toolstack_kind kind, unsigned devids[DEVICES_LOOKED_AT])
{
    char path[96];
    int n;

    snprintf(path, sizeof(path), "%s/%u", toolstack_kind_path(kind), guest->domain.domid);
    n = toolstack_children(guest->daemon->toolstack, path, devids, DEVICES_LOOKED_AT);
    if (n > 0)
        qsort(devids, (size_t)n, sizeof(*devids), by_number);
    return n;
}

/* Reads what xl wants the guest to have. The count, or a negative errno and why. */
int guest_nodes_read(struct guest *guest, struct xl_device devices[CONFIG_MAX_DEVICES], char *why,
                     size_t why_len)
{
    unsigned devids[DEVICES_LOOKED_AT];
    int total = 0;

    for (int kind = 0; kind < TOOLSTACK_NR_KINDS; kind++) {
        int n = devids_read(guest, (enum toolstack_kind)kind, devids);

        if (n < 0) {
            snprintf(why, why_len, "xenstore, %s/%u: %s", toolstack_kind_path((enum toolstack_kind)kind),
                     guest->domain.domid, strerror(-n));
            return n;
        }
        for (int i = 0; i < n; i++) {
            int rc;

            if (total == CONFIG_MAX_DEVICES) {
                snprintf(why, why_len, "xl.cfg has more than %d devices", CONFIG_MAX_DEVICES);
                return -E2BIG;
            }
            rc = xl_device_read(guest->daemon->toolstack, guest->domain.domid, (enum toolstack_kind)kind,
                                devids[i], &devices[total], why, why_len);
            if (rc != 0 && rc != -ENOENT)
                return rc;
            total += rc == 0;
        }
    }
    return total;
}

/* What xl takes away: from a guest that it destroys, or one disk. */
void guest_nodes_removals(struct guest *guest)
{
    unsigned devids[DEVICES_LOOKED_AT];

    for (int kind = 0; kind < TOOLSTACK_NR_KINDS; kind++) {
        int n = devids_read(guest, (enum toolstack_kind)kind, devids);

        for (int i = 0; i < n; i++)
            if (node_state(guest, (enum toolstack_kind)kind, devids[i]) == XL_STATE_CLOSING)
                node_write(guest, (enum toolstack_kind)kind, devids[i], XL_STATE_CLOSED);
    }
}

bool guest_nodes_disks_wait(struct guest *guest)
{
    unsigned devids[DEVICES_LOOKED_AT];
    int n = devids_read(guest, TOOLSTACK_VIRTIO_DISK, devids);

    for (int i = 0; i < n; i++)
        if (node_state(guest, TOOLSTACK_VIRTIO_DISK, devids[i]) == XL_STATE_INITIALISING)
            return true;
    return false;
}

void guest_nodes_disks_answer(struct guest *guest)
{
    unsigned devids[DEVICES_LOOKED_AT];
    int n = devids_read(guest, TOOLSTACK_VIRTIO_DISK, devids);

    for (int i = 0; i < n; i++)
        if (node_state(guest, TOOLSTACK_VIRTIO_DISK, devids[i]) == XL_STATE_INITIALISING)
            node_write(guest, TOOLSTACK_VIRTIO_DISK, devids[i], XL_STATE_INIT_WAIT);
}
