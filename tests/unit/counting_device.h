/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * counting_device.h - a virtio device for tests of transports: the real one, with a data path that only
 * counts what it is told. Used by test_virtio_pci.c and mmio_guest.c.
 */
#ifndef VHOST_DM_TESTS_COUNTING_DEVICE_H
#define VHOST_DM_TESTS_COUNTING_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "dm/virtio_device.h"

#define COUNTING_FEATURES     (1ULL << VIRTIO_F_VERSION_1 | 1ULL << 29 | 1ULL << 5)
#define COUNTING_ID           2   /* virtio device id: blk */
#define COUNTING_QUEUE_SIZE   256 /* at the most */
#define COUNTING_CONFIG_FIRST 32  /* the part of config space that drivers may write */
#define COUNTING_CONFIG_NR    4

struct counting_device {
    struct virtio_device dev;
    struct virtio_device_state state;
    unsigned kicks[VIRTIO_MAX_QUEUES], starts, stops;
    bool slow; /* a stop completes when the test says so */
};

/* Byte i of config space is 0x80 + i. resumed: state is a predecessor's. The counts stay. */
void counting_device_init(struct counting_device *d, struct guest *guest, unsigned nr_queues,
                          size_t config_len, bool resumed);

#endif
