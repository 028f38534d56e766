// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmem_hostile.c - a back-end that means harm: to the event loop, by the eventfds that it shares with us and
 * by floods of requests; to the administrator's log; to the other device of the guest, by taking what there
 * is of fds.
 */
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/log.h"
#include "common/virtio_uapi.h"
#include "tests/local/shmem_test.h"

#define FILE_TAG 7

/* The other device of the guest and its back-end, which mean no harm. */
static struct fake_backend other;
static struct virtio_driver other_driver;

static void boot_two(void)
{
    fake_backend_defaults(&other);
    other.config_len = sizeof(struct virtio_pmem_config);
    other.shmem_sizes[0] = MIB(1);
    fake_backend_start(&other);
    options.nr_devices = 2;
    options.devices[1].type = device_type_find("pmem");
    snprintf(options.devices[1].socket, sizeof(options.devices[1].socket), "%s", other.path);
    shmem_test_boot();
    ck_assert_msg(virtio_driver_probe(&other_driver, &os, guest_os_scan(&os, driver.sbdf + 1)) == 0, "%s",
                  other_driver.error);
}

static void teardown(void)
{
    if (options.nr_devices == 2)
        fake_backend_stop(&other);
    shmem_test_teardown();
}

static const struct driver_options other_wanted = {
    .features = 1ULL << VIRTIO_PMEM_F_SHMEM_REGION, .nr_queues = 1, .msix = true};

/* A request of no meaning: what matters is that it is handed on. */
static void request_make(struct virtio_driver *drv)
{
    uint64_t gpa = guest_os_alloc(&os, 16, 16, false);
    const struct driver_segment segments[] = {{.gpa = gpa, .len = 4}, {gpa + 8, 4, true}};

    ck_assert_int_eq(driver_queue_add(&drv->queues[0], segments, 2, &(struct driver_shape){0}, 1), 0);
    driver_queue_publish(&drv->queues[0]);
}

static bool needs_reset(void *ctx)
{
    return (virtio_driver_status(ctx) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
}

static bool is_done(void *ctx)
{
    return atomic_load(&((struct fake_backend *)ctx)->done);
}

/* ---- eventfds: O_NONBLOCK belongs to the file, which the back-end has too ------------------------- */

static void fill_kick(struct fake_backend *f)
{
    const uint64_t full = UINT64_MAX - 1;
    uint64_t count;
    int kick = f->rings[0].kick;

    if (read(kick, &count, sizeof(count)) < 0)
        count = 0;
    if (write(kick, &full, sizeof(full)) != sizeof(full) || fcntl(kick, F_SETFL, 0) < 0)
        abort();
}

START_TEST(a_kick_that_blocks)
{
    boot_two();
    shmem_test_start_driver();
    fake_backend_do(&fake, fill_kick);
    ck_assert(guest_os_wait(&os, is_done, &fake, PATIENCE));
    request_make(&driver);
    ck_assert(guest_os_wait(&os, needs_reset, &driver, PATIENCE));
    ck_assert_msg(virtio_driver_start(&other_driver, &other_wanted) == 0, "%s", other_driver.error);
    ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
    shmem_test_start_driver();
}
END_TEST

/* Calls, and takes the call away again before it is seen, or not. */
static void steal_calls(struct fake_backend *f)
{
    int call = f->rings[0].call;

    if (fcntl(call, F_SETFL, 0) < 0)
        abort();
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t count = 1;
        struct iovec iov = {&count, sizeof(count)};

        if (write(call, &count, sizeof(count)) < 0)
            abort();
        if (preadv2(call, &iov, 1, -1, RWF_NOWAIT) < 0)
            continue;
    }
}

START_TEST(calls_that_are_stolen)
{
    boot_two();
    shmem_test_start_driver();
    fake_backend_do(&fake, steal_calls);
    ck_assert(guest_os_wait(&os, is_done, &fake, PATIENCE));
    ck_assert_msg(virtio_driver_start(&other_driver, &other_wanted) == 0, "%s", other_driver.error);
    ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
}
END_TEST

/* ---- floods ------------------------------------------------------------------------------------- */

static void on_flood(struct ev_loop *loop, ev_io *io, int revents)
{
    (void)loop;
    (void)io;
    (void)revents;
}

static bool other_is_kicked(void *ctx)
{
    struct pollfd kick = {.fd = other.rings[0].kick, .events = POLLIN};

    (void)ctx;
    return other.rings[0].enabled && poll(&kick, 1, 0) == 1;
}

/* Something always comes from somewhere. Requests that wait for the other back-end to be ready are taken up
 * all the same, without a further access of the guest. */
START_TEST(a_flood)
{
    int fd = eventfd(1, EFD_CLOEXEC);
    bool kicked;
    ev_io io;

    boot_two();
    ev_io_init(&io, on_flood, fd, EV_READ);
    ev_io_start(rig.loop, &io);
    ck_assert_msg(virtio_driver_start(&other_driver, &other_wanted) == 0, "%s", other_driver.error);
    request_make(&other_driver);
    kicked = guest_os_wait(&os, other_is_kicked, NULL, 3.0);
    ev_io_stop(rig.loop, &io);
    close(fd);
    ck_assert_msg(kicked, "the other device stands still");
}
END_TEST

/* ---- a guest ------------------------------------------------------------------------------------ */

#define NR_MAPPINGS 50000u
#define NR_SEGMENTS 1000u

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* One small descriptor table can name any number of mappings: to look at each, a thousand times, would take
 * the time of everybody. */
START_TEST(a_request_of_many_mappings)
{
    struct request *requests = calloc(NR_MAPPINGS, sizeof(*requests));
    int live = file_new(PAGES(1), FILE_TAG);
    uint64_t table = 0;
    double begin;

    fake.shmem_sizes[0] = PAGES(NR_MAPPINGS);
    fake.features |= 1ULL << VIRTIO_RING_F_INDIRECT_DESC;
    shmem_test_boot();
    ck_assert_msg(
        virtio_driver_start(&driver, &(struct driver_options){.features = 1ULL << VIRTIO_PMEM_F_SHMEM_REGION |
                                                                          1ULL << VIRTIO_RING_F_INDIRECT_DESC,
                                                              .nr_queues = 1,
                                                              .msix = true}) == 0,
        "%s", driver.error);
    for (unsigned i = 0; i < NR_MAPPINGS; i++)
        requests[i] = map_request(0, live, 0, PAGES(i), PAGES(1), RW);
    backend_requests(requests, NR_MAPPINGS);
    ck_assert_uint_eq(stats().nr_mappings, NR_MAPPINGS);
    table = guest_os_alloc(&os, NR_SEGMENTS * 16, 16, false);
    for (unsigned i = 0; i < NR_SEGMENTS; i++)
        driver_queue_raw_desc(&driver.queues[0], table, (uint16_t)i, shm_gpa(0), (uint32_t)PAGES(NR_MAPPINGS),
                              i + 1 < NR_SEGMENTS ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
    driver_queue_raw_desc(&driver.queues[0], driver.queues[0].desc, 0, table, NR_SEGMENTS * 16,
                          VRING_DESC_F_INDIRECT, 0);
    driver_queue_raw_avail(&driver.queues[0], 0);
    begin = seconds();
    driver_queue_kick(&driver.queues[0]);
    ck_assert(guest_os_wait(&os, needs_reset, &driver, 2 * PATIENCE));
    ck_assert_msg(seconds() - begin < 0.5, "it took %g s", seconds() - begin);
    close(live);
    free(requests);
}
END_TEST

/* ---- the log ------------------------------------------------------------------------------------ */

static int log_fd, real_stderr;

static void log_begin(void)
{
    log_level = LOG_LEVEL_INFO;
    log_fd = memfd_create("log", MFD_CLOEXEC);
    real_stderr = dup(STDERR_FILENO);
    ck_assert(log_fd >= 0 && real_stderr >= 0 && dup2(log_fd, STDERR_FILENO) >= 0);
}

/* How many lines were written. */
static unsigned log_end(void)
{
    unsigned nr = 0;
    char c;

    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    log_level = LOG_LEVEL_ERROR;
    lseek(log_fd, 0, SEEK_SET);
    while (read(log_fd, &c, 1) == 1)
        nr += c == '\n';
    close(log_fd);
    return nr;
}

/* A choice of placements that changes with each mapping. */
START_TEST(log_of_placements)
{
    int live = file_new(PAGES(1), FILE_TAG), sealed = file_new(PAGES(1), FILE_TAG);
    unsigned nr_lines;

    ck_assert_int_eq(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0);
    shmem_test_boot();
    shmem_test_start_driver();
    log_begin();
    for (unsigned i = 0; i < 100; i++) {
        backend_does(map_request(0, live, 0, 0, PAGES(1), RW));
        backend_does(map_request(0, sealed, 0, PAGES(1), PAGES(1), 0));
        backend_does(unmap_request(0, 0, PAGES(1)));
        backend_does(unmap_request(0, PAGES(1), PAGES(1)));
    }
    nr_lines = log_end();
    ck_assert_uint_ge(nr_lines, 2);
    ck_assert_uint_le(nr_lines, 10);
    close(live);
    close(sealed);
}
END_TEST

/* A driver that starts the device again and again, whose back-end is not there. */
START_TEST(log_of_losses)
{
    const struct driver_options wanted = other_wanted;
    unsigned nr_lines;

    shmem_test_boot();
    shmem_test_start_driver();
    fake_backend_stop(&fake);
    fake.listen_fd = 0;
    log_begin();
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_msg(virtio_driver_start(&driver, &wanted) == 0, "%s", driver.error);
        ck_assert(guest_os_wait(&os, needs_reset, &driver, PATIENCE));
    }
    nr_lines = log_end();
    ck_assert_uint_ge(nr_lines, 1);
    ck_assert_uint_le(nr_lines, 20);
}
END_TEST

/* ---- fds ---------------------------------------------------------------------------------------- */

#define NR_FILES 200

static bool other_is_enabled(void *ctx)
{
    (void)ctx;
    return other.rings[0].started && other.rings[0].enabled;
}

/* One device's back-end takes all the fds that it can get: the other device's driver can start. */
START_TEST(fds_for_others)
{
    int files[NR_FILES], top = -1;
    unsigned nr_mapped = 0;
    struct rlimit limit, low;
    struct request q;

    boot_two();
    shmem_test_start_driver();
    for (unsigned i = 0; i < NR_FILES; i++) {
        files[i] = file_new(PAGES(1), i + 1);
        top = MAX(top, files[i]);
    }
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)top + 100;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (unsigned i = 0; i < NR_FILES; i++) {
        q = map_request(0, files[i], 0, PAGES(i), PAGES(1), RW);
        backend_requests(&q, 1);
        nr_mapped += q.answer == 0;
    }
    ck_assert_uint_gt(nr_mapped, 10);
    ck_assert_uint_lt(nr_mapped, NR_FILES);
    ck_assert_msg(virtio_driver_start(&other_driver, &other_wanted) == 0, "%s", other_driver.error);
    ck_assert(guest_os_wait(&os, other_is_enabled, NULL, PATIENCE));
    ck_assert(!needs_reset(&other_driver));
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (unsigned i = 0; i < NR_FILES; i++)
        close(files[i]);
}
END_TEST

void shmem_cases_hostile(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, shmem_test_setup, teardown);
    tcase_add_test(tcase, a_kick_that_blocks);
    tcase_add_test(tcase, calls_that_are_stolen);
    tcase_add_test(tcase, a_flood);
    tcase_add_test(tcase, a_request_of_many_mappings);
    tcase_add_test(tcase, log_of_placements);
    tcase_add_test(tcase, log_of_losses);
    tcase_add_test(tcase, fds_for_others);
}
