// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * devices_remove.c - the removal of a device from a running guest: in order, by force, or at once; see
 * devices.h. A guest that wants to be told is asked to let go of the device. Used by the control socket.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "dm/device.h"
#include "dm/devices_internal.h"
#include "dm/guest.h"
#include "dm/hotplug.h"
#include "dm/virtio_device.h"

/* What to do in the guest: the device's number and function follow. */
#define LET_GO                                                 \
    "first let go of it in the guest: unmount it, then type: " \
    "echo 1 >/sys/bus/pci/devices/0000:00:%02x.%x/remove"

static void item_eject(struct item *item)
{
    item->asked = true;
    hotplug_eject(item->devices->guest->hotplug, device_info(item->device).sbdf >> 3 & 0x1f);
}

/* Takes it off the bus. A guest that believes that it is there is told, unless a driver of it would wait for
 * what is gone. */
static void remove_finish(struct item *item)
{
    struct devices *devices = item->devices;
    struct devices_item public = item->public;
    devices_done_fn *done = item->done;
    void *done_ctx = item->done_ctx;
    unsigned number = (unsigned)item_number(item);
    const struct device_type *type = item->options.type;
    struct device_info info = device_info(item->device);

    if (virtio_device_in_use(info.virtio))
        devices->saved->avoid_slots |= 1u << (info.sbdf >> 3 & 0x1f);
    else if (!item->asked)
        item_eject(item);
    log_info("%s: %s is removed", device_name(item->device), public.name);
    item_drop(item);
    device_forget(devices->guest, number, type);
    public.device = NULL;
    item_done(done, done_ctx, &public, NULL);
}

static void on_retired(void *ctx)
{
    struct item *item = ctx;
    devices_done_fn *done = item->done;

    if (!virtio_device_in_use(device_info(item->device).virtio) || item->how == DEVICES_NOW) {
        remove_finish(item);
        return;
    }
    if (item->public.state != DEVICES_LINGERING)
        item_eject(item);
    item->public.state = DEVICES_LINGERING;
    item->done = NULL;
    item_done(done, item->done_ctx, &item->public, NULL);
}

static void leave(struct item *item)
{
    item->public.state = DEVICES_LEAVING;
    item_entry(item)->state = item->public.added ? ENTRY_FREE : ENTRY_REMOVED;
    devices_list_refresh(item->devices);
    device_retire(item->device, on_retired, item);
}

static void on_ejected(void *ctx, bool let_go)
{
    struct item *item = ctx;
    devices_done_fn *done = item->done;
    uint32_t sbdf = device_info(item->device).sbdf;
    char why[512];

    if (let_go) {
        leave(item);
        return;
    }
    item->public.state = DEVICES_PLUGGED;
    item->asked = false;
    item->done = NULL;
    snprintf(why, sizeof(why),
             "the guest was asked to let go of %s, and has not within %.0f seconds; " LET_GO
             " (or end it by force, and what is not written yet is lost: --force)",
             item->public.name, eject_patience, sbdf >> 3 & 0x1f, sbdf & 7);
    item_done(done, item->done_ctx, &item->public, why);
}

static struct item *item_find(struct devices *devices, const char *name, char *why, size_t why_len)
{
    int n = snprintf(why, why_len, "the guest has no device '%.32s'; it has:", name);

    for (size_t i = 0; i < MAX_ENTRIES; i++) {
        struct item *item = &devices->items[i];

        if (!item_used(item))
            continue;
        if (strcmp(item->public.name, name) == 0)
            return item;
        if (n > 0 && (size_t)n < why_len)
            n += snprintf(why + n, why_len - (size_t)n, " %s", item->public.name);
    }
    if (devices_nr(devices) == 0)
        snprintf(why, why_len, "the guest has no devices of vhost-dm");
    return NULL;
}

static bool must_let_go(const struct item *item, enum devices_removal how)
{
    bool lingers = item->public.state == DEVICES_LINGERING;

    return virtio_device_in_use(device_info(item->device).virtio) &&
           how <= (lingers ? DEVICES_FORCED : DEVICES_GENTLY);
}

static int remove_check(const struct item *item, enum devices_removal how, char *why, size_t why_len)
{
    struct device_info info = device_info(item->device);
    bool lingers = item->public.state == DEVICES_LINGERING;

    if (item->public.state != DEVICES_PLUGGED && !lingers) {
        snprintf(why, why_len, "%s is %s: try again", item->public.name,
                 item->public.state == DEVICES_LEAVING || item->public.state == DEVICES_ASKED
                     ? "being removed already"
                     : "still being added");
        return -EBUSY;
    }
    if (info.options->transport != TRANSPORT_PCI) {
        snprintf(why, why_len,
                 "%s has transport=mmio: a guest does not expect such a device to go; take it out of the "
                 "guest's configuration",
                 item->public.name);
        return -ENOTSUP;
    }
    if (must_let_go(item, how) && (lingers || !devices_guest_is_told(item->devices))) {
        snprintf(why, why_len, "the guest's driver uses %s; " LET_GO "%s", item->public.name,
                 info.sbdf >> 3 & 0x1f, info.sbdf & 7,
                 lingers ? "" : " (or end it by force, and what is not written yet is lost: --force)");
        return -EBUSY;
    }
    return 0;
}

int devices_remove(struct devices *devices, const char *name, enum devices_removal how, devices_done_fn *done,
                   void *ctx, char *why, size_t why_len)
{
    struct item *item = item_find(devices, name, why, why_len);
    int rc = item == NULL ? -ENOENT : remove_check(item, how, why, why_len);

    if (rc != 0)
        return rc;
    item->how = how;
    item->done = done;
    item->done_ctx = ctx;
    if (must_let_go(item, how)) {
        item->public.state = DEVICES_ASKED;
        item->asked = true;
        eject_start(&item->eject, devices->guest, item->device, on_ejected, item);
    } else {
        leave(item);
    }
    return 0;
}
