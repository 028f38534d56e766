// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmem_dma.c - requests of another device whose buffers lie in a shared memory region: a virtio-blk device
 * with an unmodified qemu-storage-daemon, which never sees that memory. It reads and writes what the pmem
 * device's back-end has mapped.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>

#include "tests/local/backend_process.h"
#include "tests/local/blk_load.h"
#include "tests/local/shmem_test.h"

#define FILE_TAG 6
#define DISK     MIB(4)

static struct backend disk;
static struct virtio_driver blk;
static int file;

static void setup(void)
{
    const struct driver_options wanted = {
        .features = 1ULL << VIRTIO_BLK_F_FLUSH, .nr_queues = 1, .msix = true};

    shmem_test_setup();
    if (!backend_is_installed())
        return;
    file = file_new(MIB(1), FILE_TAG);
    ck_assert_int_eq(backend_init(&disk, DISK, 1), 0);
    ck_assert_int_eq(backend_start(&disk), 0);
    options.nr_devices = 2;
    options.devices[1].type = device_type_find("blk");
    snprintf(options.devices[1].socket, sizeof(options.devices[1].socket), "%s", disk.socket);
    shmem_test_boot();
    ck_assert_msg(virtio_driver_probe(&blk, &os, guest_os_scan(&os, driver.sbdf + 1)) == 0, "%s", blk.error);
    ck_assert_msg(virtio_driver_start(&blk, &wanted) == 0, "%s", blk.error);
    shmem_test_start_driver();
}

static void teardown(void)
{
    if (!backend_is_installed())
        return;
    close(file);
    shmem_test_teardown();
    backend_free(&disk);
}

struct answer {
    bool came;
    uint32_t token, len;
};

static bool answered(void *ctx)
{
    struct answer *answer = ctx;

    answer->came = answer->came || driver_queue_harvest(&blk.queues[0], &answer->token, &answer->len);
    return answer->came || (virtio_driver_status(&blk) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
}

/* A request whose data is at the given places; its status, or -1: the device gave up instead. */
static int request(uint32_t type, uint64_t sector, const struct driver_segment *data, unsigned nr)
{
    uint64_t gpa = guest_os_alloc(&os, sizeof(struct virtio_blk_outhdr) + 1, 16, false);
    struct virtio_blk_outhdr *header = guest_os_ptr(&os, gpa, sizeof(*header) + 1);
    uint8_t *status = (uint8_t *)(header + 1);
    struct driver_segment segments[16] = {{.gpa = gpa, .len = sizeof(*header)}};
    struct driver_queue *q = &blk.queues[0];
    struct answer answer = {0};

    *header = (struct virtio_blk_outhdr){.type = type, .sector = sector};
    *status = 0xee;
    memcpy(&segments[1], data, nr * sizeof(*data));
    segments[nr + 1] =
        (struct driver_segment){.gpa = gpa + sizeof(*header), .len = sizeof(*status), .write = true};
    ck_assert_int_eq(driver_queue_add(q, segments, nr + 2, &(struct driver_shape){0}, 1), 0);
    driver_queue_interrupt_after(q, 1);
    driver_queue_publish(q);
    ck_assert(guest_os_wait(&os, answered, &answer, PATIENCE));
    return answer.came ? *status : -1;
}

static struct driver_segment segment(uint64_t offset, uint32_t len, bool write)
{
    return (struct driver_segment){.gpa = shm_gpa(0) + offset, .len = len, .write = write};
}

START_TEST(from_and_to_shared_memory)
{
    struct driver_segment out[3], in[2];

    if (!backend_is_installed())
        return;
    backend_does(map_request(0, file, 0, 0, PAGES(32), RW));
    backend_does(map_request(0, file, PAGES(32), PAGES(32), PAGES(32), RW));
    /* To the disk: from two mappings at once, in pieces with odd ends; 48 KiB in all. */
    out[0] = segment(PAGES(28), PAGES(3) + 100, false);
    out[1] = segment(PAGES(31) + 100, PAGES(8) - 100, false);
    out[2] = segment(PAGES(39), PAGES(1), false);
    ck_assert_int_eq(request(VIRTIO_BLK_T_OUT, 8, out, 3), VIRTIO_BLK_S_OK);
    /* And back, to another place. */
    in[0] = segment(0, PAGES(5) + 7, true);
    in[1] = segment(PAGES(5) + 7, PAGES(7) - 7, true);
    ck_assert_int_eq(request(VIRTIO_BLK_T_IN, 8, in, 2), VIRTIO_BLK_S_OK);
    guest_sees(0, 0, 12, FILE_TAG, 28);
    guest_sees(0, PAGES(12), 52, FILE_TAG, 12);
    /* It is in the back-end's file as well. */
    for (unsigned page = 0; page < 12; page++) {
        uint64_t word;

        ck_assert_int_eq(pread(file, &word, sizeof(word), (off_t)PAGES(page)), sizeof(word));
        ck_assert_uint_eq(word, pattern(FILE_TAG, 28 + page, 0));
    }
}
END_TEST

/* A driver that points a device at what is not memory has to reset it; the other device does not care. */
static void expect_refused(uint32_t type, struct driver_segment data)
{
    const struct driver_options wanted = {
        .features = 1ULL << VIRTIO_BLK_F_FLUSH, .nr_queues = 1, .msix = true};

    ck_assert_int_eq(request(type, 8, &data, 1), -1);
    ck_assert_int_eq(virtio_driver_reset(&blk, PATIENCE), 0);
    ck_assert_msg(virtio_driver_start(&blk, &wanted) == 0, "%s", blk.error);
}

START_TEST(where_nothing_is_mapped)
{
    if (!backend_is_installed())
        return;
    backend_does(map_request(0, file, 0, 0, PAGES(32), 0));
    expect_refused(VIRTIO_BLK_T_IN, segment(PAGES(1), PAGES(1), true)); /* read-only */
    expect_refused(VIRTIO_BLK_T_IN, segment(PAGES(100), PAGES(1), true));
    expect_refused(VIRTIO_BLK_T_OUT, segment(PAGES(100), PAGES(1), false));
    expect_refused(VIRTIO_BLK_T_OUT, segment(PAGES(31), PAGES(2), false));
    guest_sees(0, 0, 32, FILE_TAG, 0);
    guest_sees_nothing(0, PAGES(32), 224);
}
END_TEST

/* Mapped, unmapped, and mapped elsewhere between requests. */
START_TEST(mappings_that_come_and_go)
{
    if (!backend_is_installed())
        return;
    for (unsigned i = 0; i < 50; i++) {
        uint64_t place = PAGES(i * 3);
        struct driver_segment out, in;

        backend_does(map_request(0, file, PAGES(100 + i), place, PAGES(1), 0));
        backend_does(map_request(0, file, PAGES(i), place + PAGES(1), PAGES(1), RW));
        out = segment(place, PAGES(1), false);
        in = segment(place + PAGES(1), PAGES(1), true);
        ck_assert_int_eq(request(VIRTIO_BLK_T_OUT, 64, &out, 1), VIRTIO_BLK_S_OK);
        ck_assert_int_eq(request(VIRTIO_BLK_T_IN, 64, &in, 1), VIRTIO_BLK_S_OK);
        guest_sees(0, place, 1, FILE_TAG, 100 + i);
        guest_sees(0, place + PAGES(1), 1, FILE_TAG, 100 + i);
        backend_does(unmap_request(0, place, PAGES(1)));
        backend_does(unmap_request(0, place + PAGES(1), PAGES(1)));
    }
}
END_TEST

void shmem_cases_dma(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, from_and_to_shared_memory);
    tcase_add_test(tcase, where_nothing_is_mapped);
    tcase_add_test(tcase, mappings_that_come_and_go);
}
