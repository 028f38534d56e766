/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_mmio.h - the virtio-mmio transport, version 2 (virtio 1.2, section 4.2): registers and config space
 * in 512 bytes at a fixed guest-physical address, one level interrupt, shared memory regions in a window at
 * another fixed address. The guest is told of the places by others (a device tree, an ACPI table, its command
 * line). It turns register accesses into virtio_device_* calls and knows nothing of device types or
 * back-ends.
 */
#ifndef VHOST_DM_VIRTIO_MMIO_H
#define VHOST_DM_VIRTIO_MMIO_H

#include <stdbool.h>
#include <stdint.h>

#include "dm/virtio_device.h"

/* Bytes of a device's registers with its config space: as Xen's toolstack lays such devices out
 * (VIRTIO_MMIO_DEV_SIZE in libxl), several in a page. */
#define VIRTIO_MMIO_LEN 0x200

/* Where the guest has been told that the device is. */
struct virtio_mmio_place {
    uint64_t base;     /* gpa, a multiple of VIRTIO_MMIO_LEN, not 0 */
    uint64_t shm_base; /* gpa of the shared memory window, a multiple of pages; 0: none */
    uint32_t irq;      /* as in hypervisor_ops.irq_set; no other device's */
};

/* What the driver programmed of the transport; plain data, kept in the saved state. */
struct virtio_mmio_state {
    uint32_t device_feature_select, driver_feature_select;
    uint32_t queue_select;
    uint32_t shm_select;
    uint32_t interrupt; /* VIRTIO_MMIO_INT_* that are not acknowledged yet */
};

struct virtio_mmio; /* owned by the caller of virtio_mmio_new */

/*
 * Puts dev at a place of its guest; becomes dev's transport. dev and state are borrowed and outlive it, place
 * is copied. 0; or negative errno, *why (static, for people), and nothing is left in the guest.
 */
int virtio_mmio_new(struct virtio_mmio **out, struct virtio_device *dev,
                    const struct virtio_mmio_place *place, struct virtio_mmio_state *state, bool resumed,
                    const char **why);
/* Takes it from the guest. NULL is allowed. */
void virtio_mmio_free(struct virtio_mmio *vm);

#endif
