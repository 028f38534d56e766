// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * eject.c - see eject.h. A guest that has let go has reset the device and taken the bus mastering from it,
 * which Linux does last; for a guest that leaves that out the end of the time counts as well.
 */
#include "dm/eject.h"

#include "common/util.h"
#include "dm/device.h"
#include "dm/guest.h"
#include "dm/hotplug.h"
#include "dm/virtio_device.h"

double eject_patience = 40; /* less than vhost-dmctl waits for the answer */

static unsigned slot_of(const struct eject *eject)
{
    return device_info(eject->device).sbdf >> 3 & 0x1f;
}

static bool in_use(const struct eject *eject)
{
    return virtio_device_in_use(device_info(eject->device).virtio);
}

static void finish(struct eject *eject, bool let_go)
{
    if (!let_go)
        hotplug_eject_withdraw(eject->guest->hotplug, slot_of(eject));
    eject_stop(eject);
    eject->done(eject->ctx, let_go);
}

static void on_let_go(void *ctx)
{
    struct eject *eject = ctx;

    if (!in_use(eject))
        finish(eject, true);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct eject *eject = timer->data;

    (void)loop;
    (void)revents;
    finish(eject, !in_use(eject));
}

void eject_start(struct eject *eject, struct guest *guest, struct device *device,
                 void (*done)(void *ctx, bool let_go), void *ctx)
{
    *eject = (struct eject){.guest = guest, .device = device, .done = done, .ctx = ctx};
    ev_timer_init(&eject->timer, on_time, eject_patience, 0);
    eject->timer.data = eject;
    ev_timer_start(guest->loop, &eject->timer);
    device_watch(device, on_let_go, eject);
    hotplug_eject(guest->hotplug, slot_of(eject));
}

void eject_stop(struct eject *eject)
{
    if (eject->guest == NULL)
        return;
    ev_timer_stop(eject->guest->loop, &eject->timer);
    device_watch(eject->device, NULL, NULL);
    eject->guest = NULL;
}
