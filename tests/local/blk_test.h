/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blk_test.h - what the tests of a disk on the local hypervisor share: a guest with one or two virtio-blk
 * devices, each with a qemu-storage-daemon of its own, from the host's hardware up to a started driver and a
 * load.
 */
#ifndef VHOST_DM_TESTS_BLK_TEST_H
#define VHOST_DM_TESTS_BLK_TEST_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/util.h"
#include "tests/local/backend_process.h"
#include "tests/local/blk_load.h"
#include "tests/local/rig.h"
#include "tests/local/virtio_driver.h"
#include "tests/unit/unit.h"

#define BLK_TEST_DISK     MIB(24) /* bytes */
#define BLK_TEST_PATIENCE 20.0    /* seconds in which something must happen */
#define ALL_FEATURES      UINT64_MAX
#define EVENT_IDX         (1ULL << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT          (1ULL << VIRTIO_RING_F_INDIRECT_DESC)

/* Lies in memory that a fork shares. */
struct blk_test {
    struct rig_options options;
    struct rig rig;
    struct guest_os os;
    struct backend backends[RIG_MAX_DEVICES];
    struct virtio_driver drivers[RIG_MAX_DEVICES];
    struct driver_options driver_options;
    unsigned nr_fds; /* open before all of it */
};

/* A number that follows from the seed of this run (unit.h). */
uint64_t test_seed(void);

/* Starts back-ends with images of zeros. Then t->options may be changed. For a test that is made for each
 * transport: give it the loop's number. */
struct blk_test *blk_test_new_by(enum device_transport transport, unsigned nr_devices);
struct blk_test *blk_test_new(unsigned nr_devices); /* by PCI */
#define blk_test_add_by_transport(tcase, test) \
    tcase_add_loop_test(tcase, test, TRANSPORT_PCI, TRANSPORT_MMIO + 1)
/* Opens the rig, finds the devices and probes their drivers. */
void blk_test_boot(struct blk_test *t);
/* The second half of it, once the rig is open. */
void blk_test_find_devices(struct blk_test *t);
/* Starts the driver with t->driver_options. */
void blk_test_start(struct blk_test *t, unsigned device);
/* A load of usual options on the device; for others, change the result before first use of blk_load_new. */
struct blk_load_options blk_test_load_options(struct blk_test *t, unsigned device);
struct blk_load *blk_test_load(struct blk_test *t, unsigned device);
/* Ends all, and verifies that no file descriptor was left. */
void blk_test_end(struct blk_test *t);

unsigned count_fds(void);

#endif
