/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct.h - the data path for back-ends that map the guest's memory themselves (XEN_MMAP): they get the
 * guest's own rings, and nothing is copied. What is left to do here is to pass on notifications and
 * interrupts, and to tell the back-end of memory that comes and goes (memory_table.h).
 *
 * What dies and what lives: which requests a back-end has taken and not given back, it alone knows. So if it
 * is lost while the driver is up, or if this process is replaced while any request may be on its way, the
 * driver has to reset the device. A successor of this process goes on only where each ring shows that
 * nothing is.
 *
 * Used by dm/device.c, which passes on what the front-end reports.
 */
#ifndef VHOST_DM_DIRECT_H
#define VHOST_DM_DIRECT_H

#include <stdbool.h>
#include <stdint.h>

#include "dm/frontend.h"
#include "dm/virtio_device.h"

struct direct;

struct direct_options {
    unsigned nr_queues;        /* so many of the device's, the first ones, are the back-end's */
    uint64_t backend_features; /* features that are passed through when the driver takes them */
    double drain_limit; /* seconds that the back-end has to finish its requests when the driver resets the
                           device */
};

/* dev and fe are borrowed and outlive it; it becomes dev's data path. 0; -E2BIG: the guest's memory is in
 * more pieces than the back-end takes; -ENOMEM. */
int direct_new(struct direct **out, struct virtio_device *dev, struct frontend *fe,
               const struct direct_options *options);
/* NULL is allowed. */
void direct_free(struct direct *direct);

/* The next start is that of a driver that a predecessor served. */
void direct_resume(struct direct *direct, bool resume);
/* The device is being removed: once its back-end is lost there will be no other. */
void direct_retire(struct direct *direct);

/* For status: "stopped", "waiting", "starting", "running", "halted". Regions of memory that the back-end has;
 * mappings of other devices that it has not, since there was no room or they are not to be had. */
const char *direct_state_name(const struct direct *direct);
struct direct_memory {
    uint64_t nr_regions, nr_untold;
};
struct direct_memory direct_memory_get(const struct direct *direct);

/* From the front-end's callbacks of the same names. */
void direct_backend_ready(struct direct *direct);
void direct_backend_started(struct direct *direct);
void direct_backend_stopped(struct direct *direct);
void direct_backend_lost(struct direct *direct, const char *why);
size_t direct_memory(struct direct *direct, const struct frontend_region *told, size_t nr_told,
                     struct frontend_region *now, size_t max);

#endif
