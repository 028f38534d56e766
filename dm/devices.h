/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * devices.h - the devices of a guest: those that it begins with, and those that are added and removed while
 * it runs. Used by main() and, for an administrator, by the control socket.
 *
 * Which devices there are is in the saved state, so that a vhost-dm that is started again after a kill has
 * those that its predecessor had, whatever its command line says: what was added meanwhile is there, what was
 * removed is not. Each device keeps its number (which names its part of the saved state), its name and its
 * slot.
 *
 * A device's name is its type and a number among those of its type: blk0, blk1, fs0.
 */
#ifndef VHOST_DM_DEVICES_H
#define VHOST_DM_DEVICES_H

#include <stdbool.h>
#include <stddef.h>

#include "dm/device.h"
#include "dm/options.h"

struct devices;

/* What a device of the set is doing. */
enum devices_state {
    DEVICES_CONNECTING, /* its back-end has not said yet what it offers */
    DEVICES_READY,      /* it has, and the device is about to be shown to the guest */
    DEVICES_PLUGGED,    /* the guest has it */
    DEVICES_ASKED,      /* ... and has been asked to let go of it, so that it can be removed */
    DEVICES_LEAVING,    /* it is being removed: its back-end is let go of */
    DEVICES_LINGERING,  /* ... and only the guest's driver is waited for */
};

/* A device of the set, for looking at. */
struct devices_item {
    char name[24];
    enum devices_state state;
    const struct device *device;
    bool added; /* while the guest ran */
};

struct devices_callbacks {
    /* All that the guest begins with can be plugged. */
    void (*ready)(void *ctx);
    /* One of these cannot be made: why is for people. Only before ready. */
    void (*failed)(void *ctx, const char *why);
};

/*
 * An empty set. guest and callbacks are borrowed. list_path: a file that lists the devices for whoever starts
 * vhost-dm, one line each behind lines with '#': it is kept up to date if it is there; copied; NULL: none.
 * 0, -ENOMEM, or what the saved state says.
 */
int devices_new(struct devices **out, struct guest *guest, const char *list_path,
                const struct devices_callbacks *callbacks, void *ctx);
/* Takes all from the guest and frees them. NULL is allowed. */
void devices_free(struct devices *devices);

/* Begins to connect to the back-ends of the devices that the command line names or a predecessor had; ready
 * or failed is called from the event loop, unless there are none: then true in *none. False: an error has
 * been logged. */
bool devices_start(struct devices *devices, const struct options *options, bool *none);
/* After ready: the guest sees them, those first that ask for a slot. False: an error has been logged. From
 * then on devices can be added and removed. */
bool devices_plug(struct devices *devices);

/* The end of an addition or removal: why NULL: done, item is the device, or was. */
typedef void devices_done_fn(void *ctx, const struct devices_item *item, const char *why);

/* Adds a device, written as for --device. done is called once, later, when this returned 0. Otherwise a
 * negative errno, and why for people. */
int devices_add(struct devices *devices, const char *text, devices_done_fn *done, void *ctx, char *why,
                size_t why_len);
/* How to treat the guest's driver, if it uses the device. */
enum devices_removal {
    DEVICES_GENTLY, /* the guest is asked to let go, and if that does not help the removal has failed */
    DEVICES_FORCED, /* requests fail from now on; the device goes when the driver has let go of it */
    DEVICES_NOW,    /* the device goes: the driver reads all ones, and some never get over that */
};
/* Removes one by its name. As devices_add; in done the item's state is DEVICES_LINGERING if the driver is
 * still to let go. */
int devices_remove(struct devices *devices, const char *name, enum devices_removal how, devices_done_fn *done,
                   void *ctx, char *why, size_t why_len);
/* Whether the guest learns by itself that devices come and are to go; otherwise a removal is refused while a
 * driver uses the device. */
bool devices_guest_is_told(const struct devices *devices);
/* Whoever has that ctx does not want to be told any more; what it asked for goes on. */
void devices_forget_caller(struct devices *devices, const void *ctx);

/* The devices in the order of their numbers: *pos is 0 at first. NULL after the last. */
const struct devices_item *devices_next(const struct devices *devices, size_t *pos);

#endif
