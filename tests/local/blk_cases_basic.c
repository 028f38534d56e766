// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blk_cases_basic.c - a disk used as it should be: negotiation, configuration, interrupts, and very many
 * requests whose results are compared with what they must be.
 */
#include "tests/local/blk_cases.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>

#define VERSION_1 (1ULL << VIRTIO_F_VERSION_1)

START_TEST(features_are_negotiated)
{
    const uint64_t expected = VERSION_1 | EVENT_IDX | INDIRECT | 1ULL << VIRTIO_BLK_F_FLUSH |
                              1ULL << VIRTIO_BLK_F_MQ | 1ULL << VIRTIO_BLK_F_BLK_SIZE |
                              1ULL << VIRTIO_BLK_F_SEG_MAX;
    struct blk_test *t = blk_test_new_by(_i, 1);
    struct virtio_driver *drv = &t->drivers[0];

    blk_test_boot(t);
    ck_assert_uint_eq(virtio_driver_status(drv), 0);
    ck_assert_int_eq(virtio_driver_negotiate(drv, VERSION_1), 0);
    ck_assert_uint_eq(drv->offered & expected, expected);
    ck_assert_uint_eq(drv->offered >> VIRTIO_BLK_F_RO & 1, 0);
    /* Too late: ignored. */
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_GF, 4, UINT32_MAX);
    ck_assert_uint_eq(virtio_device_driver_features_get(device_virtio(t->rig.devices[0]), 0), 0);
    /* A legacy driver, and one that wants what is not there. */
    ck_assert_int_eq(virtio_driver_reset(drv, BLK_TEST_PATIENCE), 0);
    ck_assert_int_eq(virtio_driver_negotiate(drv, EVENT_IDX), -ENOTSUP);
    ck_assert_int_eq(virtio_driver_reset(drv, BLK_TEST_PATIENCE), 0);
    ck_assert_int_eq(virtio_driver_negotiate(drv, VERSION_1 | ~drv->offered), -ENOTSUP);
    ck_assert_int_eq(virtio_driver_reset(drv, BLK_TEST_PATIENCE), 0);
    ck_assert_int_eq(virtio_driver_negotiate(drv, VERSION_1 | 1ULL << VIRTIO_F_ACCESS_PLATFORM), -ENOTSUP);
    /* Windows that do not exist. */
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_DFSELECT, 4, 2);
    ck_assert_uint_eq(virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_DF, 4), 0);
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_DFSELECT, 4, UINT32_MAX);
    ck_assert_uint_eq(virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_DF, 4), 0);
    blk_test_end(t);
}
END_TEST

/* As the device has it; not all transports tell. */
static unsigned queue_size(const struct blk_test *t, unsigned queue)
{
    return virtio_device_queue_size_get(device_virtio(t->rig.devices[0]), queue);
}

START_TEST(queues_as_the_driver_wants_them)
{
    static const uint16_t bad[] = {0, 3, 100, 129, 256, 0xffff};
    struct blk_test *t = blk_test_new_by(_i, 1);
    struct virtio_driver *drv = &t->drivers[0];

    blk_test_boot(t);
    ck_assert_uint_eq(drv->nr_queues_max, 4);
    ck_assert_int_eq(virtio_driver_negotiate(drv, VERSION_1), 0);
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_Q_SELECT, 2, 3);
    ck_assert_uint_eq(virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_Q_SIZE, 2), 128);
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_Q_SIZE, 2, 64);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_Q_SIZE, 2, bad[i]);
        ck_assert_uint_eq(queue_size(t, 3), 64);
    }
    for (unsigned queue = 4; queue < 0x10000; queue = queue * 2 + 1) {
        virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
        ck_assert_uint_eq(virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
        virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
        ck_assert_uint_eq(virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
    }
    blk_test_end(t);
}
END_TEST

/* All that a driver may choose, each with some I/O. */
START_TEST(every_choice_works)
{
    static const uint16_t sizes[] = {1, 2, 4, 16, 128};
    struct blk_test *t = blk_test_new_by(_i, 1);
    struct blk_load_options options;
    struct blk_load *load;
    uint64_t goal = 0;

    blk_test_boot(t);
    blk_test_start(t, 0);
    options = blk_test_load_options(t, 0);
    options.max_segments = 1; /* so that the smallest queues do */
    load = blk_load_new(&t->drivers[0], &options, test_seed());
    for (unsigned i = 0; i < 2 * 2 * 2 * 2 * ARRAY_SIZE(sizes); i++) {
        t->driver_options.features =
            ~(EVENT_IDX | INDIRECT) | (i & 1 ? EVENT_IDX : 0) | (i & 2 ? INDIRECT : 0);
        t->driver_options.msix = (i & 4) != 0;
        t->driver_options.nr_queues = i & 8 ? 4 : 1;
        t->driver_options.queue_size = sizes[i / 16];
        if (t->driver_options.queue_size < 4 && !(i & 2))
            continue; /* a request is three descriptors */
        if (_i == TRANSPORT_MMIO && !t->driver_options.msix)
            continue; /* it has no choice */
        blk_test_start(t, 0);
        goal = load->completed + 60;
        blk_load_run(load, goal, BLK_TEST_PATIENCE);
        blk_load_drain(load, BLK_TEST_PATIENCE);
    }
    ck_assert_uint_eq(t->os.irq_stray, 0);
    blk_load_verify_all(load, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

/* ---- configuration ------------------------------------------------------------------------------ */

static uint64_t compose(const uint8_t *bytes, unsigned offset, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, bytes + offset, size);
    return value;
}

START_TEST(device_config_reads)
{
    struct blk_test *t = blk_test_new_by(_i, 1);
    struct virtio_driver *drv = &t->drivers[0];
    struct virtio_blk_config config;
    uint8_t bytes[512 + 8], block[512];
    struct guest_access access = {.size = 1, .len = sizeof(block), .data = block};
    size_t len = sizeof(bytes);

    blk_test_boot(t);
    blk_test_start(t, 0);
    virtio_driver_config(drv, 0, &config, sizeof(config));
    ck_assert_uint_eq(config.capacity, BLK_TEST_DISK / BLK_SECTOR);
    ck_assert_uint_eq(config.blk_size, 512);
    ck_assert_uint_eq(config.num_queues, 4);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)mmio_read(&t->os, drv->device.gpa + i, 1);
    for (unsigned i = drv->device.len; i < sizeof(bytes); i++)
        ck_assert_uint_eq(bytes[i], 0xff);
    /* By mmio, nothing of ours is behind it. */
    if (_i == TRANSPORT_MMIO)
        len = access.len = drv->device.len;
    for (uint8_t size = 1; size <= 8; size *= 2)
        for (unsigned i = 0; i + size <= len; i++)
            ck_assert_uint_eq(mmio_read(&t->os, drv->device.gpa + i, size), compose(bytes, i, size));
    /* As one string instruction, in bytes and in double words. */
    for (access.size = 1; access.size <= 8; access.size *= 2) {
        access.addr = drv->device.gpa;
        memset(block, 0, sizeof(block));
        local_access(t->os.hv, &access);
        ck_assert_mem_eq(block, bytes, access.len);
    }
    /* Nothing of it can be written, of any width (but the cache mode, which is left alone here). */
    for (uint8_t size = 1; size <= 8; size *= 2)
        for (unsigned i = 0; i + size <= offsetof(struct virtio_blk_config, wce); i++)
            mmio_write(&t->os, drv->device.gpa + i, size, 0x5a5a5a5a5a5a5a5a);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        ck_assert_uint_eq(mmio_read(&t->os, drv->device.gpa + i, 1), bytes[i]);
    blk_test_end(t);
}
END_TEST

START_TEST(pci_config_reads)
{
    struct blk_test *t = blk_test_new(1);
    struct virtio_driver *drv = &t->drivers[0];
    uint8_t bytes[256];

    t->options.local.pci.has_ecam = _i == 1;
    t->options.local.pci.ecam_gpa = 0xd8000000;
    t->options.local.pci.ecam_len = MIB(1);
    blk_test_boot(t);
    blk_test_start(t, 0);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)config_read(&t->os, drv->sbdf, i, 1);
    for (uint8_t size = 1; size <= 4; size *= 2)
        for (unsigned i = 0; i + size <= sizeof(bytes); i += size)
            ck_assert_uint_eq(config_read(&t->os, drv->sbdf, i, size), compose(bytes, i, size));
    ck_assert_uint_eq(compose(bytes, PCI_CLASS_REVISION, 4) >> 8, 0x010000);
    ck_assert_uint_eq(compose(bytes, PCI_ROM_ADDRESS, 4), 0);
    blk_test_end(t);
}
END_TEST

/* The third way to the registers, through configuration space (virtio 1.2, 4.1.4.9). */
START_TEST(registers_by_config_window)
{
    struct blk_test *t = blk_test_new(1);
    struct virtio_driver *drv = &t->drivers[0];
    unsigned cap;
    uint32_t bar_offset;

    blk_test_boot(t);
    blk_test_start(t, 0);
    cap = drv->cfg_cap;
    bar_offset = (uint32_t)(drv->device.gpa - drv->bars[0]);
    for (uint32_t len = 1; len <= 4; len *= 2)
        for (uint32_t i = 0; i + len <= 64; i += len) {
            config_write(&t->os, drv->sbdf, cap + VIRTIO_PCI_CAP_BAR, 1, 0);
            config_write(&t->os, drv->sbdf, cap + VIRTIO_PCI_CAP_OFFSET, 4, bar_offset + i);
            config_write(&t->os, drv->sbdf, cap + VIRTIO_PCI_CAP_LENGTH, 4, len);
            ck_assert_uint_eq(
                config_read(&t->os, drv->sbdf, cap + sizeof(struct virtio_pci_cap), (uint8_t)len),
                mmio_read(&t->os, drv->device.gpa + i, (uint8_t)len));
        }
    /* A reset by this way. */
    bar_offset = (uint32_t)(drv->common.gpa - drv->bars[0]);
    ck_assert_uint_ne(virtio_driver_status(drv), 0);
    config_write(&t->os, drv->sbdf, cap + VIRTIO_PCI_CAP_OFFSET, 4, bar_offset + VIRTIO_PCI_COMMON_STATUS);
    config_write(&t->os, drv->sbdf, cap + VIRTIO_PCI_CAP_LENGTH, 4, 1);
    config_write(&t->os, drv->sbdf, cap + sizeof(struct virtio_pci_cap), 1, 0);
    ck_assert_int_eq(virtio_driver_reset(drv, BLK_TEST_PATIENCE), 0);
    blk_test_end(t);
}
END_TEST

/* ---- many requests ------------------------------------------------------------------------------ */

/* The image as the back-end has it, compared with what the driver has written. */
static void image_verify(const struct blk_test *t, const struct blk_load *load)
{
    int fd = open(t->backends[0].image, O_RDONLY | O_CLOEXEC);
    uint8_t sector[BLK_SECTOR];

    ck_assert_int_ge(fd, 0);
    for (uint64_t i = 0; i < load->options.sectors; i++) {
        unit_expect_eq(pread(fd, sector, sizeof(sector), (off_t)(i * BLK_SECTOR)), BLK_SECTOR);
        unit_expect(load->unknown[i] || memcmp(sector, load->shadow + i * BLK_SECTOR, BLK_SECTOR) == 0);
    }
    close(fd);
}

START_TEST(many_requests)
{
    struct blk_test *t = blk_test_new_by(_i, 1);
    struct blk_load_options options;
    struct blk_load *load;

    t->driver_options.nr_queues = 4;
    blk_test_boot(t);
    blk_test_start(t, 0);
    options = blk_test_load_options(t, 0);
    options.nr_slots = 4 * 128; /* as many as the rings hold */
    load = blk_load_new(&t->drivers[0], &options, test_seed());
    blk_load_run(load, unit_count(_i == TRANSPORT_PCI ? TEST_MANY_REQUESTS : TEST_SOME_REQUESTS),
                 BLK_TEST_PATIENCE);
    blk_load_drain(load, BLK_TEST_PATIENCE);
    blk_load_verify_all(load, BLK_TEST_PATIENCE);
    ck_assert_int_eq(blk_request(&t->drivers[0], 0, load->slots[0].area, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, true,
                                 BLK_TEST_PATIENCE),
                     VIRTIO_BLK_S_OK);
    image_verify(t, load);
    ck_assert_uint_eq(t->os.irq_stray, 0);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

/* Guest memory that is mapped page by page, a guest with ECAM and without INTx, a pool that is nearly too
 * small, and memory that changes under the device's feet. */
START_TEST(requests_under_pressure)
{
    struct blk_test *t = blk_test_new_by(_i, 1);
    struct blk_load *load;

    t->options.local.map_chunk = GUEST_PAGE_SIZE;
    t->options.local.pci =
        (struct pci_host){.has_ecam = true, .ecam_gpa = 0xd8000000, .ecam_len = MIB(1), .first_slot = 1};
    t->options.devices[0].bounce_pool = MIB(1);
    t->driver_options.nr_queues = 4;
    blk_test_boot(t);
    blk_test_start(t, 0);
    load = blk_test_load(t, 0);
    while (load->completed < unit_count(TEST_SOME_REQUESTS)) {
        blk_load_run(load, load->completed + 100, BLK_TEST_PATIENCE);
        ck_assert_int_eq(local_memory_changed(t->os.hv), 0);
    }
    blk_load_drain(load, BLK_TEST_PATIENCE);
    blk_load_verify_all(load, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

static bool queue_is_idle(void *ctx)
{
    struct driver_queue *q = ctx;
    uint32_t token, len;

    while (driver_queue_harvest(q, &token, &len))
        continue;
    return q->nr_in_flight == 0;
}

/* One queue has all of the pool, and another, that has nothing, waits for its turn. */
START_TEST(pool_shared_by_queues)
{
    struct blk_test *t = blk_test_new(1);
    struct virtio_driver *drv = &t->drivers[0];
    const struct driver_shape shape = {0};
    struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_IN};
    struct driver_segment segments[3];

    t->options.devices[0].bounce_pool = MIB(1);
    t->driver_options.nr_queues = 2;
    blk_test_boot(t);
    blk_test_start(t, 0);
    guest_os_idle(&t->os, 0.1);
    segments[0] = (struct driver_segment){guest_os_alloc(&t->os, 16, 16, true), sizeof(header), false};
    segments[1] = (struct driver_segment){guest_os_alloc(&t->os, KIB(64), 16, true), KIB(64), true};
    segments[2] = (struct driver_segment){guest_os_alloc(&t->os, 1, 16, true), 1, true};
    memcpy(guest_os_ptr(&t->os, segments[0].gpa, sizeof(header)), &header, sizeof(header));
    for (unsigned round = 0; round < 10; round++) {
        backend_pause(&t->backends[0]);
        for (uint32_t i = 0; i < 30; i++)
            ck_assert_int_eq(driver_queue_add(&drv->queues[1], segments, 3, &shape, i), 0);
        driver_queue_publish(&drv->queues[1]);
        ck_assert_int_eq(driver_queue_add(&drv->queues[0], segments, 3, &shape, 0), 0);
        driver_queue_publish(&drv->queues[0]);
        backend_continue(&t->backends[0]);
        for (unsigned i = 0; i < 2; i++)
            ck_assert_msg(guest_os_wait(&t->os, queue_is_idle, &drv->queues[i], BLK_TEST_PATIENCE),
                          "queue %u waits for ever", i);
    }
    blk_test_end(t);
}
END_TEST

START_TEST(odd_requests)
{
    struct blk_test *t = blk_test_new_by(_i, 1);
    struct virtio_driver *drv = &t->drivers[0];
    uint64_t area, end = BLK_TEST_DISK / BLK_SECTOR;
    char buf[KIB(64)] = {0}, id[VIRTIO_BLK_ID_BYTES + 1] = {0};

    blk_test_boot(t);
    blk_test_start(t, 0);
    area = guest_os_alloc(&t->os, BLK_REQUEST_AREA(sizeof(buf)), 16, true);
    ck_assert_int_eq(blk_request(drv, 0, area, VIRTIO_BLK_T_GET_ID, 0, id, VIRTIO_BLK_ID_BYTES, true, 5),
                     VIRTIO_BLK_S_OK);
    ck_assert_uint_gt(strlen(id), 0);
    ck_assert_int_eq(blk_request(drv, 0, area, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, true, 5), VIRTIO_BLK_S_OK);
    ck_assert_int_eq(blk_request(drv, 0, area, 99, 0, NULL, 0, true, 5), VIRTIO_BLK_S_UNSUPP);
    ck_assert_int_eq(blk_request(drv, 0, area, VIRTIO_BLK_T_IN, end - 1, buf, 512, true, 5), VIRTIO_BLK_S_OK);
    ck_assert_int_eq(blk_request(drv, 0, area, VIRTIO_BLK_T_IN, end - 1, buf, 1024, true, 5),
                     VIRTIO_BLK_S_IOERR);
    ck_assert_int_eq(blk_request(drv, 0, area, VIRTIO_BLK_T_OUT, end, buf, 512, false, 5),
                     VIRTIO_BLK_S_IOERR);
    ck_assert_int_eq(blk_request(drv, 0, area, VIRTIO_BLK_T_IN, UINT64_MAX, buf, 512, true, 5),
                     VIRTIO_BLK_S_IOERR);
    ck_assert_int_eq(blk_request(drv, 0, area, VIRTIO_BLK_T_IN, 0, buf, 100, true, 5), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(virtio_driver_status(drv) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
    blk_test_end(t);
}
END_TEST

/* ---- interrupts and BARs ------------------------------------------------------------------------ */

START_TEST(masked_vectors_wait)
{
    struct blk_test *t = blk_test_new(1);
    struct virtio_driver *drv = &t->drivers[0];
    struct driver_queue *q = &drv->queues[0];
    uint64_t ctrl, pba, before;
    struct blk_load *load;

    blk_test_boot(t);
    blk_test_start(t, 0);
    load = blk_test_load(t, 0);
    ctrl = drv->msix_table + PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL;
    for (unsigned round = 0; round < 20; round++) {
        before = t->os.irq_count[q->irq];
        if (round & 1)
            mmio_write(&t->os, ctrl, 4, PCI_MSIX_ENTRY_CTRL_MASKBIT);
        else
            config_write(&t->os, drv->sbdf, drv->msix_cap + PCI_MSIX_FLAGS, 2,
                         PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
        blk_load_submit(load, load->submitted + 1);
        do {
            guest_os_idle(&t->os, BLK_TEST_PATIENCE);
            pba = mmio_read(&t->os, drv->msix_pba, 8);
        } while (!(pba & 2));
        ck_assert_uint_eq(t->os.irq_count[q->irq], before);
        if (round & 1)
            mmio_write(&t->os, ctrl, 4, 0);
        else
            config_write(&t->os, drv->sbdf, drv->msix_cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
        ck_assert_uint_eq(t->os.irq_count[q->irq], before + 1);
        ck_assert_uint_eq(mmio_read(&t->os, drv->msix_pba, 8), 0);
        blk_load_drain(load, BLK_TEST_PATIENCE);
    }
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

START_TEST(bars_move_under_load)
{
    struct blk_test *t = blk_test_new(1);
    struct virtio_driver *drv = &t->drivers[0];
    struct rng rng = {.state = test_seed()};
    struct blk_load *load;

    blk_test_boot(t);
    blk_test_start(t, 0);
    load = blk_test_load(t, 0);
    for (unsigned i = 0; i < 200; i++) {
        uint64_t old = drv->bars[0];

        blk_load_run(load, load->completed + 10, BLK_TEST_PATIENCE);
        virtio_driver_move_bar(drv, 0, 0xe0000000 + rng_below(&rng, 1024) * drv->bar_lens[0]);
        if (old != drv->bars[0])
            ck_assert_uint_eq(mmio_read(&t->os, old, 4), UINT32_MAX);
    }
    /* On top of RAM: nothing is there, and RAM is as it was. */
    blk_load_drain(load, BLK_TEST_PATIENCE);
    virtio_driver_move_bar(drv, 0, MIB(1));
    mmio_write(&t->os, drv->common.gpa + VIRTIO_PCI_COMMON_STATUS, 1, 0);
    virtio_driver_move_bar(drv, 0, 0xe0000000);
    ck_assert_uint_eq(virtio_driver_status(drv) & VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_DRIVER_OK);
    blk_load_verify_all(load, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

/* ---- resets ------------------------------------------------------------------------------------- */

START_TEST(resets_under_load)
{
    static const uint16_t sizes[] = {0, 128, 64, 32};
    struct blk_test *t = blk_test_new_by(_i, 1);
    struct virtio_driver *drv = &t->drivers[0];
    struct rng rng = {.state = test_seed()};
    struct blk_load *load;

    blk_test_boot(t);
    blk_test_start(t, 0);
    load = blk_test_load(t, 0);
    for (unsigned i = 0; i < 40; i++) {
        blk_load_run(load, load->completed + rng_below(&rng, 300), BLK_TEST_PATIENCE);
        blk_load_submit(load, UINT64_MAX);
        ck_assert_msg(virtio_driver_reset(drv, BLK_TEST_PATIENCE) == 0, "%s", drv->error);
        /* From now on everything is ours. */
        blk_load_forget(load);
        blk_load_poison(load);
        guest_os_idle(&t->os, 0.01);
        blk_load_check_poison(load);
        t->driver_options.nr_queues = 1 + (unsigned)rng_below(&rng, 4);
        t->driver_options.queue_size = sizes[rng_below(&rng, ARRAY_SIZE(sizes))];
        t->driver_options.msix = !rng_one_in(&rng, 4);
        t->driver_options.features = rng_one_in(&rng, 3) ? ~EVENT_IDX : ALL_FEATURES;
        blk_test_start(t, 0);
    }
    blk_load_run(load, load->completed + 1000, BLK_TEST_PATIENCE);
    blk_load_drain(load, BLK_TEST_PATIENCE);
    blk_load_verify_all(load, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

/* Two vCPUs: one notifies while the other resets, and both wait for their answers at once. */
START_TEST(notification_and_reset_at_once)
{
    struct blk_test *t = blk_test_new_by(_i, 1);
    struct virtio_driver *drv = &t->drivers[0];
    struct blk_load *load;

    blk_test_boot(t);
    blk_test_start(t, 0);
    load = blk_test_load(t, 0);
    for (unsigned i = 0; i < 40; i++) {
        uint32_t queue = 0, status = 0;
        uint8_t notify_size = drv->queues[0].notify_size, status_size = _i == TRANSPORT_MMIO ? 4 : 1;
        struct guest_access accesses[] = {
            {.write = true,
             .size = notify_size,
             .len = notify_size,
             .addr = drv->queues[0].notify_gpa,
             .data = &queue},
            {.write = true,
             .size = status_size,
             .len = status_size,
             .addr = _i == TRANSPORT_MMIO ? drv->mmio.gpa + VIRTIO_MMIO_STATUS
                                          : drv->common.gpa + VIRTIO_PCI_COMMON_STATUS,
             .data = &status},
        };

        if (i & 1) {
            struct guest_access first = accesses[0];

            accesses[0] = accesses[1];
            accesses[1] = first;
        }
        blk_load_run(load, load->completed + 20, BLK_TEST_PATIENCE);
        blk_load_submit(load, UINT64_MAX);
        local_accesses(t->os.hv, accesses, 2);
        ck_assert_msg(virtio_driver_reset(drv, BLK_TEST_PATIENCE) == 0, "%s", drv->error);
        blk_load_forget(load);
        blk_test_start(t, 0);
    }
    blk_load_run(load, load->completed + 100, BLK_TEST_PATIENCE);
    blk_load_drain(load, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

void blk_cases_basic(TCase *tcase)
{
    blk_test_add_by_transport(tcase, features_are_negotiated);
    blk_test_add_by_transport(tcase, queues_as_the_driver_wants_them);
    blk_test_add_by_transport(tcase, every_choice_works);
    blk_test_add_by_transport(tcase, device_config_reads);
    tcase_add_loop_test(tcase, pci_config_reads, 0, 2);
    tcase_add_test(tcase, registers_by_config_window);
    blk_test_add_by_transport(tcase, many_requests);
    blk_test_add_by_transport(tcase, requests_under_pressure);
    tcase_add_test(tcase, pool_shared_by_queues);
    blk_test_add_by_transport(tcase, odd_requests);
    tcase_add_test(tcase, masked_vectors_wait);
    tcase_add_test(tcase, bars_move_under_load);
    blk_test_add_by_transport(tcase, resets_under_load);
    blk_test_add_by_transport(tcase, notification_and_reset_at_once);
}
