/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * driver_transport.h - what a driver does otherwise by virtio-pci and by virtio-mmio: a table of functions
 * for each, in driver_pci.c and driver_mmio.c. Used by virtio_driver.c and driver_shm.c alone.
 */
#ifndef VHOST_DM_TESTS_DRIVER_TRANSPORT_H
#define VHOST_DM_TESTS_DRIVER_TRANSPORT_H

#include "tests/local/driver_shm.h"
#include "tests/local/virtio_driver.h"

struct driver_transport {
    /* A field of PCI's common configuration or what comes next to it: virtio_driver_common_read and _write.
     */
    uint64_t (*field_read)(struct virtio_driver *drv, unsigned field, uint8_t size);
    void (*field_write)(struct virtio_driver *drv, unsigned field, uint8_t size, uint64_t value);
    bool tells_queue_size; /* the field of the queue's size reads what was written to it */
    /* During a start: interrupts, once features are negotiated; where to kick a queue, and its interrupt,
     * before it is enabled. 0, or negative errno and drv->error. */
    int (*irqs_start)(struct virtio_driver *drv, const struct driver_options *options);
    int (*queue_connect)(struct virtio_driver *drv, unsigned index, const struct driver_options *options);
    /* The level interrupt; why it is up (VIRTIO_PCI_ISR_*), which acknowledges it. */
    bool (*line_is_up)(const struct virtio_driver *drv);
    uint8_t (*isr_take)(struct virtio_driver *drv);
    bool (*shm_find)(struct virtio_driver *drv, uint8_t shmid, struct driver_shm *shm);
    void (*restore)(struct virtio_driver *drv); /* virtio_driver_restore */
};

extern const struct driver_transport driver_pci, driver_mmio;

/* Leaves the message in drv->error and returns err. */
int virtio_driver_failed(struct virtio_driver *drv, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
