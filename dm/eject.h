/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * eject.h - asks a guest to let go of a device, and waits until its driver has, with a bound. Used by
 * devices.c for guests that can be told (dm/hotplug.h).
 */
#ifndef VHOST_DM_EJECT_H
#define VHOST_DM_EJECT_H

#include <ev.h>
#include <stdbool.h>

struct device;
struct guest;

/* In its owner's memory, zeroed at first. */
struct eject {
    struct guest *guest;   /* borrowed; NULL: nothing is waited for */
    struct device *device; /* borrowed */
    ev_timer timer;
    void (*done)(void *ctx, bool let_go);
    void *ctx;
};

/* Seconds that a guest has for it; tests shorten it. */
extern double eject_patience;

/* Asks a guest that wants to be told to let go of a PCI device that is plugged and not retired. done is
 * called once, later: whether its driver has let go; if not, the guest is no longer asked. */
void eject_start(struct eject *eject, struct guest *guest, struct device *device,
                 void (*done)(void *ctx, bool let_go), void *ctx);
/* Waits no longer: done is not called. Harmless when nothing is waited for. */
void eject_stop(struct eject *eject);

#endif
