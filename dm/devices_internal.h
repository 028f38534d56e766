/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * devices_internal.h - what the files of the set of devices share and nobody else sees.
 */
#ifndef VHOST_DM_DEVICES_INTERNAL_H
#define VHOST_DM_DEVICES_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dm/devices.h"
#include "dm/eject.h"

#define MAX_ENTRIES 64 /* devices, and memories of removed ones */

enum entry_state {
    ENTRY_FREE,
    ENTRY_PRESENT,
    ENTRY_REMOVED, /* the command line has it still */
};

/* Plain data, in the saved state; its place in the array is the device's number. */
struct entry {
    uint32_t state;
    uint32_t added; /* while the guest ran: the command line does not have it */
    uint32_t ordinal;
    char text[OPTIONS_DEVICE_LEN]; /* as for --device */
};

struct devices_saved {
    uint32_t avoid_slots; /* a bit for each: a driver may believe that its device is there still */
    struct entry entries[MAX_ENTRIES];
};

struct item {
    struct devices_item public;
    struct devices *devices;
    struct device *device; /* owned; NULL: there is none with this number */
    struct device_options options;
    char text[OPTIONS_DEVICE_LEN];
    unsigned ordinal;
    enum devices_removal how;
    struct eject eject;
    bool asked; /* the guest was, to let go of it */
    devices_done_fn *done;
    void *done_ctx;
};

struct devices {
    struct guest *guest;
    const struct devices_callbacks *callbacks;
    void *ctx;
    char *list_path;             /* owned */
    struct devices_saved *saved; /* borrowed from guest->saved */
    size_t nr_waited;            /* not ready yet, of those that the guest begins with */
    bool plugged;
    struct item items[MAX_ENTRIES]; /* by number */
};

bool item_used(const struct item *item);
size_t item_number(const struct item *item);
struct entry *item_entry(const struct item *item);
/* The end of a device. */
void item_drop(struct item *item);
/* Ends what was asked for. *item is as it was before, when it is to be seen by the caller. */
void item_done(devices_done_fn *done, void *ctx, const struct devices_item *item, const char *why);
size_t devices_nr(const struct devices *devices);
/* Writes the list for others anew. */
void devices_list_refresh(const struct devices *devices);

#endif
