// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmem_told.c - a device whose back-end has the guest's memory itself (memory=xen-mmap), beside one whose
 * back-end maps shared memory: the first is served by its own rings, and told of what the second maps, so
 * that it can move data there. Its back-end is a thread that only takes messages; its rings are served by the
 * test, through the fds that it was sent.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "dm/direct.h"
#include "tests/local/shmem_test.h"

#define FILE_TAG  9
#define NR_RAM    2u
#define RING_BITS (1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define OWN_BIT   (1ULL << 3) /* a feature of the type */
#define MORE      200         /* mappings in a burst */

static struct fake_backend direct; /* of the second device */
static struct virtio_driver drv;
static int file;
static uint16_t served; /* requests that its back-end took from the ring */
static char saved_path[64];

static void setup(void)
{
    shmem_test_setup();
    fake_backend_defaults(&direct);
    direct.features |= RING_BITS;
    direct.nr_queues = 1;
    fake_backend_start(&direct);
    file = file_new(MIB(1), FILE_TAG);
    served = 0;
    saved_path[0] = '\0';
    options.nr_devices = 2;
    options.devices[1].type = device_type_find("generic");
    options.devices[1].virtio_id = 34;
    options.devices[1].nr_queues = 1;
    options.devices[1].memory = MEMORY_XEN_MMAP;
    snprintf(options.devices[1].socket, sizeof(options.devices[1].socket), "%s", direct.path);
}

static void teardown(void)
{
    direct.wake = NULL;
    shmem_test_unwatch();
    rig_close(&rig);
    close(file);
    fake_backend_stop(&direct);
    if (options.local.ram_fd >= 0)
        close(options.local.ram_fd);
    if (saved_path[0] != '\0')
        unlink(saved_path);
    shmem_test_teardown();
}

static void probe(void)
{
    ck_assert_msg(virtio_driver_probe(&drv, &os, guest_os_scan(&os, driver.sbdf + 1)) == 0, "%s", drv.error);
}

static bool ring_is_enabled(void *ctx)
{
    (void)ctx;
    return direct.rings[0].started && direct.rings[0].enabled && device_info(rig.devices[1]).direct != NULL &&
           strcmp(direct_state_name(device_info(rig.devices[1]).direct), "running") == 0;
}

static void start(uint64_t features)
{
    const struct driver_options wanted = {.features = features, .nr_queues = 1, .msix = true};

    ck_assert_msg(virtio_driver_start(&drv, &wanted) == 0, "%s", drv.error);
    ck_assert(guest_os_wait(&os, ring_is_enabled, NULL, PATIENCE));
    served = 0;
}

static void boot(void)
{
    shmem_test_boot();
    direct.wake = fake.wake;
    probe();
    start(RING_BITS | OWN_BIT);
}

static bool status_has(uint8_t bit)
{
    return (virtio_driver_status(&drv) & bit) != 0;
}

static bool needs_reset(void *ctx)
{
    (void)ctx;
    return status_has(VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* ---- the back-end at its rings ------------------------------------------------------------------------- */

static void backend_copy(uint64_t gpa, void *buf, size_t len, bool write)
{
    for (unsigned i = 0; i < direct.nr_regions; i++) {
        const struct vhost_user_region *r = &direct.regions[i].plain;
        off_t at = (off_t)(r->mmap_offset + (gpa - r->gpa));
        int fd = direct.region_fds[i];

        if (gpa < r->gpa || !range_within(gpa - r->gpa, len, r->size))
            continue;
        ck_assert_int_eq(write ? pwrite(fd, buf, len, at) : pread(fd, buf, len, at), len);
        return;
    }
    ck_abort_msg("the back-end has no memory at 0x%jx", (uintmax_t)gpa);
}

static uint16_t backend_read16(uint64_t gpa)
{
    uint16_t value;

    backend_copy(gpa, &value, sizeof(value), false);
    return value;
}

static bool kicked(void *ctx)
{
    struct pollfd p = {.fd = direct.rings[0].kick, .events = POLLIN};

    (void)ctx;
    return poll(&p, 1, 0) == 1;
}

static uint16_t avail_idx(void)
{
    return backend_read16(direct.rings[0].addr.avail + offsetof(struct vring_avail, idx));
}

/* Takes a request: the head of its chain. Asks to be told of the next. */
static uint16_t backend_take(void)
{
    const struct fake_ring *r = &direct.rings[0];
    uint16_t head;

    ck_assert_uint_ne(avail_idx(), served);
    head = backend_read16(r->addr.avail + offsetof(struct vring_avail, ring) + 2u * (served++ % r->num));
    backend_copy(r->addr.used + offsetof(struct vring_used, ring) + sizeof(struct vring_used_elem) * r->num,
                 &served, sizeof(served), true);
    return head;
}

static void backend_give(uint16_t head, uint32_t len)
{
    uint64_t used = direct.rings[0].addr.used;
    uint16_t idx = backend_read16(used + offsetof(struct vring_used, idx));
    struct vring_used_elem elem = {.id = head, .len = len};

    backend_copy(used + offsetof(struct vring_used, ring) + sizeof(elem) * (idx % direct.rings[0].num), &elem,
                 sizeof(elem), true);
    idx++;
    backend_copy(used + offsetof(struct vring_used, idx), &idx, sizeof(idx), true);
    ck_assert_int_eq(eventfd_write(direct.rings[0].call, 1), 0);
}

/* Serves a request of two buffers: what is in the first goes to the second. */
static void backend_serve(void)
{
    struct vring_desc desc[2];
    uint8_t data[4096];
    eventfd_t value;
    uint16_t head;

    ck_assert(guest_os_wait(&os, kicked, NULL, PATIENCE));
    ck_assert_int_eq(eventfd_read(direct.rings[0].kick, &value), 0);
    head = backend_take();
    backend_copy(direct.rings[0].addr.desc + sizeof(desc[0]) * head, &desc[0], sizeof(desc[0]), false);
    ck_assert_uint_eq(desc[0].flags, VRING_DESC_F_NEXT);
    backend_copy(direct.rings[0].addr.desc + sizeof(desc[0]) * desc[0].next, &desc[1], sizeof(desc[1]),
                 false);
    ck_assert_uint_eq(desc[1].flags, VRING_DESC_F_WRITE);
    ck_assert_uint_le(desc[0].len, sizeof(data));
    backend_copy(desc[0].addr, data, desc[0].len, false);
    backend_copy(desc[1].addr, data, desc[0].len, true);
    backend_give(head, desc[0].len);
}

/* Since the last request. */
static bool was_interrupted;

static bool interrupted(void *ctx)
{
    (void)ctx;
    was_interrupted |= virtio_driver_queue_interrupted(&drv, 0);
    return was_interrupted;
}

static void submit(uint64_t from, uint64_t to, uint32_t len)
{
    const struct driver_segment segments[] = {{.gpa = from, .len = len},
                                              {.gpa = to, .len = len, .write = true}};
    struct driver_queue *q = &drv.queues[0];

    ck_assert_int_eq(driver_queue_add(q, segments, 2, &(struct driver_shape){0}, 5), 0);
    driver_queue_interrupt_after(q, 1);
    interrupted(NULL);
    was_interrupted = false;
    driver_queue_publish(q);
}

static void expect_done(uint32_t len)
{
    uint32_t token, got;

    ck_assert(guest_os_wait(&os, interrupted, NULL, PATIENCE));
    ck_assert_msg(driver_queue_harvest(&drv.queues[0], &token, &got), "%s", drv.queues[0].error);
    ck_assert_uint_eq(got, len);
}

/* Has the back-end move len bytes. */
static void move(uint64_t from, uint64_t to, uint32_t len)
{
    submit(from, to, len);
    backend_serve();
    expect_done(len);
}

/* One request in RAM, whose result is looked at. */
static void work(void)
{
    uint64_t gpa = guest_os_alloc(&os, 64, 8, true);
    uint8_t *bytes = guest_os_ptr(&os, gpa, 64);

    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(i * 3 + gpa / 64);
    move(gpa, gpa + 32, 32);
    ck_assert_mem_eq(bytes, bytes + 32, 32);
}

/* ---- its own rings ------------------------------------------------------------------------------------- */

START_TEST(rings)
{
    boot();
    ck_assert_uint_eq(drv.offered & RING_BITS, RING_BITS);
    ck_assert_uint_eq(direct.acked_features & (RING_BITS | OWN_BIT), RING_BITS | OWN_BIT);
    ck_assert_uint_eq(direct.nr_regions, NR_RAM);
    for (unsigned i = 0; i < NR_RAM; i++) {
        ck_assert_uint_eq(direct.regions[i].xen_flags, 0);
        ck_assert_uint_eq(direct.regions[i].plain.user_addr, direct.regions[i].plain.gpa);
    }
    for (unsigned round = 0; round < 3; round++) {
        ck_assert_uint_eq(direct.rings[0].base, 0);
        ck_assert_uint_eq(direct.rings[0].addr.desc, drv.queues[0].desc);
        for (unsigned i = 0; i < 200; i++)
            work();
        direct.rings[0].base = served;
        ck_assert_int_eq(virtio_driver_reset(&drv, PATIENCE), 0);
        start(RING_BITS);
    }
}
END_TEST

/* What a back-end lacks that serves the rings nobody can offer for it. */
START_TEST(features_are_its_own)
{
    direct.features &= ~(RING_BITS | OWN_BIT);
    boot();
    ck_assert_uint_eq(drv.offered & (RING_BITS | OWN_BIT), 0);
    work();
}
END_TEST

START_TEST(backend_without)
{
    direct.protocol_features &= ~(1ULL << VHOST_USER_PROTOCOL_F_XEN_MMAP);
    fake_backend_start(&fake);
    snprintf(options.devices[0].socket, sizeof(options.devices[0].socket), "%s", fake.path);
    guest_os_init(&os, &options.local);
    ck_assert_int_lt(rig_open(&rig, &options, &os), 0);
    ck_assert_msg(strstr(rig.error, "use memory=bounce") != NULL, "%s", rig.error);
}
END_TEST

/* A back-end that stops a ring and still has a request: the driver's reset waits until it is given back. */
START_TEST(reset_waits_for_requests)
{
    uint64_t gpa;
    uint16_t head;

    boot();
    gpa = guest_os_alloc(&os, 64, 8, true);
    work();
    submit(gpa, gpa + 32, 32);
    head = backend_take();
    direct.rings[0].base = served;
    ck_assert_int_eq(virtio_driver_reset(&drv, 0.3), -ETIMEDOUT);
    backend_give(head, 0);
    ck_assert_int_eq(virtio_driver_reset(&drv, PATIENCE), 0);
    start(0);
    work();
}
END_TEST

static bool is_let_go(void *ctx)
{
    (void)ctx;
    return direct.nr_closed == 1;
}

/* ... but not for ever: it is let go of. */
START_TEST(reset_does_not_wait_for_ever)
{
    uint64_t gpa;

    options.devices[1].reply_limit = 0.5;
    boot();
    gpa = guest_os_alloc(&os, 64, 8, true);
    submit(gpa, gpa + 32, 32);
    backend_take();
    direct.rings[0].base = served;
    ck_assert_int_eq(virtio_driver_reset(&drv, PATIENCE), 0);
    ck_assert(guest_os_wait(&os, is_let_go, NULL, PATIENCE));
    start(0);
    work();
}
END_TEST

static void nothing(void *ctx)
{
    (void)ctx;
}

START_TEST(removed)
{
    boot();
    work();
    device_retire(rig.devices[1], nothing, NULL);
    ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
    ck_assert_int_eq(virtio_driver_reset(&drv, PATIENCE), 0);
}
END_TEST

/* ---- a successor ------------------------------------------------------------------------------------------
 */

static void boot_saved(void)
{
    const struct local_options *local = &options.local;

    snprintf(saved_path, sizeof(saved_path), "%s/state", direct.dir);
    options.saved_path = saved_path;
    options.local.ram_fd = memfd_create("test-ram", MFD_CLOEXEC);
    ck_assert_int_ge(options.local.ram_fd, 0);
    ck_assert_int_eq(ftruncate(options.local.ram_fd, (off_t)(local->ram_low + local->ram_high)), 0);
    boot();
}

/* The device model goes without a word to the guest, and comes again. */
static int succeed(void)
{
    int err;

    direct.wake = NULL;
    shmem_test_unwatch();
    rig_leave(&rig);
    err = rig_open(&rig, &options, &os);
    if (err == 0) {
        shmem_test_watch();
        direct.wake = fake.wake;
    }
    return err;
}

START_TEST(successor_of_an_idle_one)
{
    boot_saved();
    for (unsigned i = 0; i < 7; i++)
        work();
    ck_assert_msg(succeed() == 0, "%s", rig.error);
    ck_assert(guest_os_wait(&os, ring_is_enabled, NULL, PATIENCE));
    ck_assert(!status_has(VIRTIO_CONFIG_S_NEEDS_RESET));
    ck_assert_uint_eq(direct.rings[0].base, 7);
    for (unsigned i = 0; i < 7; i++)
        work();
}
END_TEST

/* Whether the back-end had the request nobody can tell. */
START_TEST(successor_of_a_busy_one)
{
    uint64_t gpa;

    boot_saved();
    work();
    gpa = guest_os_alloc(&os, 64, 8, true);
    submit(gpa, gpa + 32, 32);
    ck_assert_msg(succeed() == 0, "%s", rig.error);
    ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
    ck_assert(!direct.rings[0].started);
    /* And once more, with a driver that has not done it yet. */
    ck_assert_msg(succeed() == 0, "%s", rig.error);
    ck_assert(needs_reset(NULL));
    ck_assert_int_eq(virtio_driver_reset(&drv, PATIENCE), 0);
    start(0);
    work();
}
END_TEST

START_TEST(successor_in_another_mode)
{
    boot_saved();
    options.devices[1].memory = MEMORY_BOUNCE;
    ck_assert_int_eq(succeed(), -EINVAL);
    ck_assert_msg(strstr(rig.error, "same memory=") != NULL, "%s", rig.error);
}
END_TEST

/* ---- what it is told of -------------------------------------------------------------------------------- */

static unsigned regions_wanted;

static bool has_regions(void *ctx)
{
    (void)ctx;
    return direct.nr_regions == regions_wanted;
}

static void expect_regions(unsigned nr)
{
    regions_wanted = nr;
    if (!guest_os_wait(&os, has_regions, NULL, PATIENCE))
        ck_abort_msg("%u regions, not %u", direct.nr_regions, nr);
}

/* Mappings that it was not told of. */
static uint64_t untold(void)
{
    return direct_memory_get(device_info(rig.devices[1]).direct).nr_untold;
}

/* With and without CONFIGURE_MEM_SLOTS. */
static void kind_of_backend(int kind)
{
    if (kind != 0)
        direct.protocol_features &= ~(1ULL << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
}

START_TEST(mapping_comes_and_goes)
{
    kind_of_backend(_i);
    boot();
    for (unsigned round = 0; round < 10; round++) {
        backend_does(map_request(0, file, PAGES(20 + round), PAGES(round), PAGES(2), RW));
        expect_regions(NR_RAM + 1);
        ck_assert_uint_eq(direct.regions[NR_RAM].plain.gpa, shm_gpa(0) + PAGES(round));
        ck_assert_uint_eq(direct.regions[NR_RAM].plain.size, PAGES(2));
        ck_assert_uint_eq(direct.regions[NR_RAM].xen_flags, 0);
        guest_sees(0, PAGES(round), 2, FILE_TAG, 20 + round);
        work();
        backend_does(unmap_request(0, PAGES(round), PAGES(2)));
        expect_regions(NR_RAM);
    }
    work();
}
END_TEST

/* From RAM to what the other device's back-end mapped, and back; at once after the answer that it is mapped.
 */
START_TEST(data_moves_there)
{
    uint64_t ram, shm;
    uint8_t *bytes;

    kind_of_backend(_i);
    boot();
    ram = guest_os_alloc(&os, 2 * 4096, 4096, false);
    bytes = guest_os_ptr(&os, ram, 2 * 4096);
    shm = shm_gpa(0) + PAGES(3);
    backend_does(map_request(0, file, PAGES(40), PAGES(3), PAGES(4), RW));
    expect_regions(NR_RAM + 1);
    move(shm, ram, 4096);
    for (unsigned i = 0; i < 512; i++)
        ck_assert_uint_eq(((uint64_t *)(void *)bytes)[i], pattern(FILE_TAG, 40, i));
    move(shm + PAGES(1), shm + PAGES(2), 4096);
    guest_sees(0, PAGES(5), 1, FILE_TAG, 41);
    memset(bytes, 0x5a, 4096);
    move(ram, shm, 4096);
    ck_assert_uint_eq(mmio_read(&os, shm + 4088, 8), 0x5a5a5a5a5a5a5a5a);
}
END_TEST

/* What nobody else can map to read and write is the other back-end's affair alone. */
START_TEST(read_only_is_not_told)
{
    boot();
    backend_does(map_request(0, file, 0, 0, PAGES(1), 0));
    backend_does(map_request(0, file, 0, PAGES(1), PAGES(1), RW));
    expect_regions(NR_RAM + 1);
    ck_assert_uint_eq(direct.regions[NR_RAM].plain.gpa, shm_gpa(0) + PAGES(1));
    ck_assert_uint_eq(untold(), 1);
}
END_TEST

/* As many as there is room for; the rest is counted, and all goes on. */
START_TEST(no_more_than_its_slots)
{
    direct.max_slots = NR_RAM + 5;
    boot();
    for (unsigned i = 0; i < 20; i++)
        backend_does(map_request(0, file, PAGES(i), PAGES(i), PAGES(1), RW));
    while (untold() != 15)
        guest_os_idle(&os, PATIENCE);
    expect_regions(NR_RAM + 5);
    ck_assert_uint_eq(direct_memory_get(device_info(rig.devices[1]).direct).nr_regions, NR_RAM + 5);
    work();
    /* One that it has makes room for another. */
    backend_does(unmap_request(0, PAGES(0), PAGES(1)));
    while (untold() != 14)
        guest_os_idle(&os, PATIENCE);
    expect_regions(NR_RAM + 5);
    for (unsigned i = 1; i < 20; i++)
        backend_does(unmap_request(0, PAGES(i), PAGES(1)));
    expect_regions(NR_RAM);
    work();
}
END_TEST

START_TEST(bursts)
{
    static struct request requests[2 * MORE];
    unsigned messages;

    boot();
    messages = direct.nr_log;
    for (unsigned i = 0; i < MORE; i++) {
        requests[i] = map_request(0, file, PAGES(i), PAGES(i), PAGES(1), RW);
        requests[MORE + i] = unmap_request(0, PAGES(i), PAGES(1));
        requests[i].silent = requests[MORE + i].silent = true;
    }
    requests[2 * MORE - 1].silent = false;
    backend_requests(requests, 2 * MORE);
    ck_assert_uint_eq(requests[2 * MORE - 1].answer, 0);
    expect_regions(NR_RAM);
    /* It may have heard of some of them, but not of each. */
    ck_assert_uint_lt(direct.nr_log - messages, 2 * MORE);
    work();
}
END_TEST

/* Mappings of before its driver came up, and when the guest moves the window. */
START_TEST(window_that_moves)
{
    uint64_t old;
    struct driver_shm shm;

    boot();
    backend_does(map_request(0, file, 0, 0, PAGES(1), RW));
    expect_regions(NR_RAM + 1);
    ck_assert_int_eq(virtio_driver_reset(&drv, PATIENCE), 0);
    start(0);
    ck_assert_uint_eq(direct.nr_regions, NR_RAM + 1);
    ck_assert(driver_shm_find(&driver, 0, &shm));
    old = shm.gpa;
    virtio_driver_move_bar(&driver, shm.bar, driver.bars[shm.bar] + GIB(8));
    expect_regions(NR_RAM + 1);
    while (direct.regions[NR_RAM].plain.gpa == old || direct.nr_regions != NR_RAM + 1)
        guest_os_idle(&os, PATIENCE);
    ck_assert_uint_eq(direct.regions[NR_RAM].plain.gpa, shm_gpa(0));
    work();
}
END_TEST

static void do_close(struct fake_backend *f)
{
    shutdown(vhost_user_channel_fd(f->main), SHUT_RDWR);
}

/* The other back-end's end is no trouble of its own. */
START_TEST(the_other_is_lost)
{
    boot();
    backend_does(map_request(0, file, 0, 0, PAGES(8), RW));
    expect_regions(NR_RAM + 1);
    fake_backend_do(&fake, do_close);
    expect_regions(NR_RAM);
    ck_assert(!status_has(VIRTIO_CONFIG_S_NEEDS_RESET));
    work();
}
END_TEST

/* It does not answer: the one that maps is not kept waiting for that. */
START_TEST(one_that_does_not_answer)
{
    options.devices[1].reply_limit = 1;
    direct.fault = FAKE_SILENT;
    direct.fault_at = VHOST_USER_ADD_MEM_REG;
    boot();
    backend_does(map_request(0, file, 0, 0, PAGES(1), RW));
    backend_does(map_request(0, file, 0, PAGES(1), PAGES(1), RW));
    backend_does(unmap_request(0, 0, PAGES(1)));
    ck_assert(!status_has(VIRTIO_CONFIG_S_NEEDS_RESET));
    ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
    guest_sees(0, PAGES(1), 1, FILE_TAG, 0);
}
END_TEST

void shmem_cases_told(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, rings);
    tcase_add_test(tcase, features_are_its_own);
    tcase_add_test(tcase, backend_without);
    tcase_add_test(tcase, reset_waits_for_requests);
    tcase_add_test(tcase, reset_does_not_wait_for_ever);
    tcase_add_test(tcase, removed);
    tcase_add_test(tcase, successor_of_an_idle_one);
    tcase_add_test(tcase, successor_of_a_busy_one);
    tcase_add_test(tcase, successor_in_another_mode);
    tcase_add_loop_test(tcase, mapping_comes_and_goes, 0, 2);
    tcase_add_loop_test(tcase, data_moves_there, 0, 2);
    tcase_add_test(tcase, read_only_is_not_told);
    tcase_add_test(tcase, no_more_than_its_slots);
    tcase_add_test(tcase, bursts);
    tcase_add_test(tcase, window_that_moves);
    tcase_add_test(tcase, the_other_is_lost);
    tcase_add_test(tcase, one_that_does_not_answer);
}
