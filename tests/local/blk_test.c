// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blk_test.c - see blk_test.h.
 */
#include "tests/local/blk_test.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/mman.h>

uint64_t test_seed(void)
{
    unit_random_start();
    return unit_random();
}

unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned nr = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir) != NULL)
        nr++;
    closedir(dir);
    return nr;
}

struct blk_test *blk_test_new_by(enum device_transport transport, unsigned nr_devices)
{
    struct blk_test *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(t, MAP_FAILED);
    t->nr_fds = count_fds();
    rig_options_default(&t->options);
    t->options.nr_devices = nr_devices;
    t->driver_options = (struct driver_options){.features = ALL_FEATURES, .nr_queues = 1, .msix = true};
    for (unsigned i = 0; i < nr_devices; i++) {
        struct backend *backend = &t->backends[i];

        ck_assert_int_eq(backend_init(backend, BLK_TEST_DISK, 4), 0);
        ck_assert_int_eq(backend_start(backend), 0);
        if (transport == TRANSPORT_MMIO)
            rig_options_mmio(&t->options, i);
        snprintf(t->options.devices[i].socket, sizeof(t->options.devices[i].socket), "%s", backend->socket);
    }
    return t;
}

struct blk_test *blk_test_new(unsigned nr_devices)
{
    return blk_test_new_by(TRANSPORT_PCI, nr_devices);
}

void blk_test_boot(struct blk_test *t)
{
    guest_os_init(&t->os, &t->options.local);
    ck_assert_msg(rig_open(&t->rig, &t->options, &t->os) == 0, "%s", t->rig.error);
    blk_test_find_devices(t);
}

void blk_test_find_devices(struct blk_test *t)
{
    uint32_t sbdf = 0;

    for (unsigned i = 0; i < t->options.nr_devices; i++) {
        const struct device_options *device = &t->options.devices[i];
        struct virtio_driver *drv = &t->drivers[i];
        int err;

        if (device->transport == TRANSPORT_MMIO) {
            err = virtio_driver_probe_mmio(drv, &t->os, device->place.base, device->place.irq);
        } else {
            sbdf = guest_os_scan(&t->os, sbdf);
            ck_assert_uint_ne(sbdf, GUEST_OS_NO_DEVICE);
            err = virtio_driver_probe(drv, &t->os, sbdf++);
        }
        ck_assert_msg(err == 0, "%s", drv->error);
    }
    ck_assert_uint_eq(guest_os_scan(&t->os, sbdf), GUEST_OS_NO_DEVICE);
}

void blk_test_start(struct blk_test *t, unsigned device)
{
    struct virtio_driver *drv = &t->drivers[device];

    ck_assert_msg(virtio_driver_start(drv, &t->driver_options) == 0, "%s", drv->error);
}

struct blk_load_options blk_test_load_options(struct blk_test *t, unsigned device)
{
    struct virtio_driver *drv = &t->drivers[device];
    struct blk_load_options options = {
        .sectors = BLK_TEST_DISK / BLK_SECTOR,
        .max_len = KIB(64),
        .nr_slots = 64,
        .max_segments = 16,
        .discard = drv->features >> VIRTIO_BLK_F_DISCARD & 1,
        .write_zeroes = drv->features >> VIRTIO_BLK_F_WRITE_ZEROES & 1,
    };

    return options;
}

struct blk_load *blk_test_load(struct blk_test *t, unsigned device)
{
    struct blk_load_options options = blk_test_load_options(t, device);

    return blk_load_new(&t->drivers[device], &options, test_seed() + device);
}

void blk_test_end(struct blk_test *t)
{
    unsigned nr_fds = t->nr_fds;

    rig_close(&t->rig);
    for (unsigned i = 0; i < t->options.nr_devices; i++)
        backend_free(&t->backends[i]);
    munmap(t, sizeof(*t));
    ck_assert_uint_eq(count_fds(), nr_fds);
}
