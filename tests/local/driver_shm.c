// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * driver_shm.c - see driver_shm.h.
 */
#include "tests/local/driver_shm.h"

#include <string.h>

#include "tests/local/driver_transport.h"

bool driver_shm_find(struct virtio_driver *drv, uint8_t shmid, struct driver_shm *shm)
{
    return drv->transport->shm_find(drv, shmid, shm);
}

void driver_shm_read(struct guest_os *os, uint64_t gpa, void *buf, uint64_t len)
{
    for (uint64_t done = 0; done < len;) {
        uint8_t size = (gpa + done) % 8 == 0 && len - done >= 8 ? 8 : 1;
        uint64_t value = mmio_read(os, gpa + done, size);

        memcpy((uint8_t *)buf + done, &value, size); /* little-endian, as we are */
        done += size;
    }
}

void driver_shm_write(struct guest_os *os, uint64_t gpa, const void *buf, uint64_t len)
{
    for (uint64_t done = 0; done < len;) {
        uint8_t size = (gpa + done) % 8 == 0 && len - done >= 8 ? 8 : 1;
        uint64_t value = 0;

        memcpy(&value, (const uint8_t *)buf + done, size);
        mmio_write(os, gpa + done, size, value);
        done += size;
    }
}
