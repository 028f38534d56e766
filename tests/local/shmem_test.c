// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmem_test.c - see shmem_test.h.
 */
#include "tests/local/shmem_test.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <unistd.h>

#include "common/virtio_uapi.h"
#include "tests/unit/fds.h"

#define ANSWER_MS 10000

struct rig_options options;
struct rig rig;
struct guest_os os;
struct virtio_driver driver;
struct fake_backend fake;

static ev_async backend_woke;
static int nr_fds_before;
static struct {
    struct request *requests;
    size_t nr;
} todo;

/* ---- fixture ------------------------------------------------------------------------------------ */

static void on_backend(struct ev_loop *loop, ev_async *w, int revents)
{
    (void)loop;
    (void)w;
    (void)revents;
}

static void backend_wakes(void *ctx)
{
    (void)ctx;
    ev_async_send(rig.loop, &backend_woke);
}

void shmem_test_setup(void)
{
    nr_fds_before = fds_count();
    fake_backend_defaults(&fake);
    fake.config_len = sizeof(struct virtio_pmem_config);
    fake.shmem_sizes[0] = MIB(1);
    rig_options_default(&options);
    options.devices[0].type = device_type_find("pmem");
}

void shmem_test_watch(void)
{
    ev_async_init(&backend_woke, on_backend);
    ev_async_start(rig.loop, &backend_woke);
    fake.wake = backend_wakes;
}

void shmem_test_unwatch(void)
{
    fake.wake = NULL;
    if (rig.loop != NULL)
        ev_async_stop(rig.loop, &backend_woke);
}

void shmem_test_teardown(void)
{
    shmem_test_unwatch();
    rig_close(&rig);
    if (fake.listen_fd > 0)
        fake_backend_stop(&fake);
    ck_assert_int_eq(fds_count(), nr_fds_before);
}

void shmem_test_by(enum device_transport transport)
{
    if (transport == TRANSPORT_MMIO)
        rig_options_mmio(&options, 0);
}

/* The first device. */
static int driver_probe(void)
{
    const struct device_options *device = &options.devices[0];

    return device->transport == TRANSPORT_MMIO
               ? virtio_driver_probe_mmio(&driver, &os, device->place.base, device->place.irq)
               : virtio_driver_probe(&driver, &os, guest_os_scan(&os, 0));
}

void shmem_test_boot(void)
{
    fake_backend_start(&fake);
    snprintf(options.devices[0].socket, sizeof(options.devices[0].socket), "%s", fake.path);
    guest_os_init(&os, &options.local);
    ck_assert_msg(rig_open(&rig, &options, &os) == 0, "%s", rig.error);
    shmem_test_watch();
    ck_assert_msg(driver_probe() == 0, "%s", driver.error);
}

static bool ring_is_enabled(void *ctx)
{
    (void)ctx;
    return fake.rings[0].started && fake.rings[0].enabled;
}

void shmem_test_start_driver(void)
{
    const struct driver_options wanted = {
        .features = 1ULL << VIRTIO_PMEM_F_SHMEM_REGION, .nr_queues = 1, .msix = true};

    ck_assert_msg(virtio_driver_start(&driver, &wanted) == 0, "%s", driver.error);
    ck_assert(guest_os_wait(&os, ring_is_enabled, NULL, PATIENCE));
}

/* ---- the back-end ------------------------------------------------------------------------------- */

struct request map_request(uint8_t shmid, int fd, uint64_t fd_offset, uint64_t shm_offset, uint64_t len,
                           uint64_t flags)
{
    return (struct request){
        .request = VHOST_USER_BACKEND_SHMEM_MAP,
        .mmap =
            {.shmid = shmid, .fd_offset = fd_offset, .shm_offset = shm_offset, .len = len, .flags = flags},
        .nr_fds = 1,
        .fds = {fd},
    };
}

struct request unmap_request(uint8_t shmid, uint64_t shm_offset, uint64_t len)
{
    return (struct request){
        .request = VHOST_USER_BACKEND_SHMEM_UNMAP,
        .mmap = {.shmid = shmid, .shm_offset = shm_offset, .len = len},
    };
}

/* An assertion of check cannot be used in a thread. */
static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "back-end: %s\n", what);
    abort();
}

static void request_send(struct fake_backend *f, struct request *q)
{
    struct vhost_user_msg msg;

    q->answer = UINT64_MAX;
    vhost_user_msg_init(&msg, q->request, q->size != 0 ? q->size : sizeof(q->mmap));
    memset(&msg.payload, 0, sizeof(msg.payload.mmap) + 8);
    msg.payload.mmap = q->mmap;
    msg.nr_fds = q->nr_fds;
    memcpy(msg.fds, q->fds, sizeof(msg.fds));
    if (!q->silent)
        msg.header.flags |= VHOST_USER_FLAG_NEED_REPLY;
    must(f->backend != NULL, "it has no channel of its own");
    must(vhost_user_channel_send_wait(f->backend, &msg, ANSWER_MS) == 0, "a request could not be sent");
    if (q->silent)
        return;
    must(vhost_user_channel_receive_wait(f->backend, &msg, ANSWER_MS) == 0, "no answer to a request");
    must(msg.header.request == q->request && msg.header.size == sizeof(uint64_t) && msg.nr_fds == 0 &&
             msg.header.flags == (VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY),
         "not the answer to its request");
    q->answer = msg.payload.u64;
}

void backend_requests_now(struct fake_backend *f, struct request *requests, size_t nr)
{
    for (size_t i = 0; i < nr; i++)
        request_send(f, &requests[i]);
}

static void requests_do(struct fake_backend *f)
{
    backend_requests_now(f, todo.requests, todo.nr);
}

static bool backend_is_done(void *ctx)
{
    (void)ctx;
    return fake.done;
}

void backend_requests(struct request *requests, size_t nr)
{
    todo.requests = requests;
    todo.nr = nr;
    fake_backend_do(&fake, requests_do);
    ck_assert(guest_os_wait(&os, backend_is_done, NULL, 3 * PATIENCE));
}

void backend_does(struct request request)
{
    backend_requests(&request, 1);
    if (request.answer != 0)
        ck_abort_msg("refused: %ju", (uintmax_t)request.answer);
}

void backend_is_refused(struct request request)
{
    backend_requests(&request, 1);
    if (request.answer == 0)
        ck_abort_msg("not refused");
}

/* ---- contents ----------------------------------------------------------------------------------- */

uint64_t pattern(unsigned tag, uint64_t page, unsigned word)
{
    return (uint64_t)tag << 48 | page << 16 | word;
}

int file_new(uint64_t len, unsigned tag)
{
    uint64_t words[GUEST_PAGE_SIZE / sizeof(uint64_t)];
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)len), 0);
    for (uint64_t page = 0; tag != 0 && page < len / GUEST_PAGE_SIZE; page++) {
        for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
            words[i] = pattern(tag, page, i);
        ck_assert_int_eq(pwrite(fd, words, sizeof(words), (off_t)PAGES(page)), sizeof(words));
    }
    return fd;
}

uint64_t shm_gpa(uint8_t shmid)
{
    struct driver_shm shm;

    if (!driver_shm_find(&driver, shmid, &shm))
        ck_abort_msg("no region %u", shmid);
    return shm.gpa;
}

/* The first word of each page, its last, and one that is another in each page. */
static void page_is(uint64_t gpa, const uint64_t expected[3], unsigned between)
{
    const unsigned words[3] = {0, between, GUEST_PAGE_SIZE / sizeof(uint64_t) - 1};

    for (unsigned i = 0; i < 3; i++) {
        uint64_t value = mmio_read(&os, gpa + words[i] * sizeof(uint64_t), sizeof(uint64_t));

        if (value != expected[i])
            ck_abort_msg("word %u of the page at 0x%jx is 0x%jx, not 0x%jx", words[i], (uintmax_t)gpa,
                         (uintmax_t)value, (uintmax_t)expected[i]);
    }
}

void guest_sees(uint8_t shmid, uint64_t offset, uint64_t nr_pages, unsigned tag, uint64_t file_page)
{
    uint64_t gpa = shm_gpa(shmid) + offset;

    for (uint64_t i = 0; i < nr_pages; i++) {
        unsigned between = (unsigned)((file_page + i) % 511 + 1);
        uint64_t expected[3] = {pattern(tag, file_page + i, 0), pattern(tag, file_page + i, between),
                                pattern(tag, file_page + i, 511)};

        page_is(gpa + PAGES(i), expected, between);
    }
}

void guest_sees_nothing(uint8_t shmid, uint64_t offset, uint64_t nr_pages)
{
    const uint64_t expected[3] = {ALL_ONES, ALL_ONES, ALL_ONES};
    uint64_t gpa = shm_gpa(shmid) + offset;

    for (uint64_t i = 0; i < nr_pages; i++)
        page_is(gpa + PAGES(i), expected, (unsigned)(i % 511 + 1));
}

struct shmem_stats stats(void)
{
    return shmem_stats_get(device_shmem(rig.devices[0]));
}
