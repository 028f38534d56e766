/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * driver_shm.h - the shared memory regions of a device, as a driver finds and uses them (virtio 1.2, 4.1.4.7
 * and 4.2.2). Used by the tests, beside virtio_driver.h.
 */
#ifndef VHOST_DM_TESTS_DRIVER_SHM_H
#define VHOST_DM_TESTS_DRIVER_SHM_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/local/virtio_driver.h"

struct driver_shm {
    unsigned bar;      /* of PCI */
    uint64_t gpa, len; /* bytes; where it is now */
};

/* The region of that shmid. False: there is none, or PCI's capability is not as the spec says. */
bool driver_shm_find(struct virtio_driver *drv, uint8_t shmid, struct driver_shm *shm);

/* len bytes at gpa, by as many accesses of 8 bytes and at the ends 1; ascending. */
void driver_shm_read(struct guest_os *os, uint64_t gpa, void *buf, uint64_t len);
void driver_shm_write(struct guest_os *os, uint64_t gpa, const void *buf, uint64_t len);

#endif
