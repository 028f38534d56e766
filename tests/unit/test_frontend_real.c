// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_frontend_real.c - the front-end against Debian's qemu-storage-daemon: it negotiates, reads a disk
 * through a ring in a memfd, stops, loses the daemon to SIGKILL and finds the next one. Skipped where there
 * is no such program.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>

#include "common/log.h"
#include "common/util.h"
#include "tests/unit/fds.h"
#include "tests/unit/frontend_rig.h"
#include "tests/unit/unit.h"

#define DAEMON     "qemu-storage-daemon"
#define DISK_LEN   MIB(8)
#define BLOCK      4096
#define RING_SIZE  64
#define USER_ADDR  0x7000000000u
#define MEMORY_LEN KIB(64)

/* Where things are in the memory that is shared with the daemon. */
enum {
    AT_DESC = 0x0000,
    AT_AVAIL = 0x1000,
    AT_USED = 0x2000,
    AT_HEADER = 0x3000,
    AT_STATUS = 0x3100,
    AT_DATA = 0x4000,
};

static char dir[] = "/tmp/vhost-dm-real-XXXXXX", disk_path[64];
static struct sockaddr_un addr = {.sun_family = AF_UNIX};
static int listen_fd;
static pid_t daemon_pid;
static uint8_t *memory;
static uint16_t avail_index;

static bool daemon_present(void)
{
    return system("command -v " DAEMON " >/dev/null 2>&1") == 0;
}

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at / BLOCK * 31 + at % 251);
}

static void disk_create(void)
{
    FILE *f = fopen(disk_path, "w");

    ck_assert_ptr_nonnull(f);
    for (uint64_t i = 0; i < DISK_LEN; i++)
        putc(pattern(i), f);
    ck_assert_int_eq(fclose(f), 0);
}

/* The daemon is given our listening socket, so there is nothing to wait for: a connection waits for it. */
static void daemon_start(void)
{
    char blockdev[128], export[160];

    snprintf(blockdev, sizeof(blockdev), "driver=file,filename=%s,node-name=f0", disk_path);
    snprintf(export, sizeof(export),
             "type=vhost-user-blk,id=e0,node-name=f0,addr.type=fd,addr.str=%d,writable=on,num-queues=2",
             listen_fd);
    daemon_pid = fork();
    ck_assert_int_ge(daemon_pid, 0);
    if (daemon_pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fcntl(listen_fd, F_SETFD, 0);
    execlp(DAEMON, DAEMON, "--blockdev", blockdev, "--export", export, (char *)NULL);
    _exit(127);
}

static void daemon_kill(void)
{
    if (daemon_pid <= 0)
        return;
    kill(daemon_pid, SIGKILL);
    waitpid(daemon_pid, NULL, 0);
    daemon_pid = 0;
}

static void setup(void)
{
    rig_setup();
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(disk_path, sizeof(disk_path), "%s/disk", dir);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", dir);
    disk_create();
    listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(listen_fd, 1), 0);
    ck_assert_int_eq(ftruncate(memfd, MEMORY_LEN), 0);
    memory = mmap(NULL, MEMORY_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    avail_index = 0;
    daemon_start();
    options.socket = addr.sun_path;
    options.nr_queues = 0;
    options.config_len = sizeof(struct virtio_blk_config);
    options.features_mask = UINT64_MAX;
    ck_assert_int_eq(frontend_new(&fe, events.loop, &options, &frontend_events_callbacks, &events), 0);
}

static void teardown(void)
{
    daemon_kill();
    munmap(memory, MEMORY_LEN);
    close(listen_fd);
    unlink(disk_path);
    unlink(addr.sun_path);
    rmdir(dir);
    rig_teardown();
}

static void check_capacity(void)
{
    struct virtio_blk_config config;

    ck_assert_uint_ge(frontend_config(fe, &config, sizeof(config)), sizeof(config.capacity));
    ck_assert_uint_eq(config.capacity, DISK_LEN / 512);
}

static void start_queue(void)
{
    struct frontend_region region = {.gpa = 0, .len = MEMORY_LEN, .user_addr = USER_ADDR, .fd = memfd};
    struct frontend_queue queue = {.enabled = true,
                                   .size = RING_SIZE,
                                   .base = avail_index,
                                   .desc = USER_ADDR + AT_DESC,
                                   .avail = USER_ADDR + AT_AVAIL,
                                   .used = USER_ADDR + AT_USED,
                                   .kick_fd = kicks[0],
                                   .call_fd = calls[0]};
    struct frontend_start start = {
        .features = VERSION_1, .nr_regions = 1, .regions = &region, .nr_queues = 1, .queues = &queue};

    ck_assert_int_eq(frontend_start(fe, &start), 0);
}

static bool called;

static void call_event(struct ev_loop *loop, ev_io *w, int revents)
{
    eventfd_t value;

    (void)loop;
    (void)revents;
    ck_assert_int_eq(eventfd_read(w->fd, &value), 0);
    called = true;
}

/* Reads one block of the disk through the ring and compares it. */
static void read_block(uint64_t block)
{
    struct vring_desc *desc = (void *)(memory + AT_DESC);
    struct vring_avail *avail = (void *)(memory + AT_AVAIL);
    struct vring_used *used = (void *)(memory + AT_USED);
    struct virtio_blk_outhdr *header = (void *)(memory + AT_HEADER);
    ev_io call;

    *header = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN, .sector = block * BLOCK / 512};
    memory[AT_STATUS] = 0xff;
    memset(memory + AT_DATA, 0, BLOCK);
    desc[0] =
        (struct vring_desc){.addr = AT_HEADER, .len = sizeof(*header), .flags = VRING_DESC_F_NEXT, .next = 1};
    desc[1] = (struct vring_desc){
        .addr = AT_DATA, .len = BLOCK, .flags = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, .next = 2};
    desc[2] = (struct vring_desc){.addr = AT_STATUS, .len = 1, .flags = VRING_DESC_F_WRITE};
    avail->ring[avail_index % RING_SIZE] = 0;
    avail_index++;
    __atomic_store_n(&avail->idx, avail_index, __ATOMIC_RELEASE);
    ck_assert_int_eq(eventfd_write(kicks[0], 1), 0);

    called = false;
    ev_io_init(&call, call_event, calls[0], EV_READ);
    ev_io_start(events.loop, &call);
    frontend_events_until(&events, called && __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == avail_index);
    ev_io_stop(events.loop, &call);
    ck_assert_uint_eq(memory[AT_STATUS], VIRTIO_BLK_S_OK);
    for (uint64_t i = 0; i < BLOCK; i++)
        unit_expect_eq(memory[AT_DATA + i], pattern(block * BLOCK + i));
}

START_TEST(test_life)
{
    uint16_t base;

    expect_event(&events, EVENT_READY);
    ck_assert_uint_ne(frontend_features(fe) & VERSION_1, 0);
    ck_assert_uint_eq(frontend_protocol_features(fe),
                      PROTOCOL(MQ) | PROTOCOL(REPLY_ACK) | PROTOCOL(BACKEND_REQ) | PROTOCOL(CONFIG));
    ck_assert_uint_ge(frontend_nr_queues(fe), 2);
    check_capacity();
    for (unsigned round = 0; round < 3; round++) {
        start_queue();
        expect_event(&events, EVENT_STARTED);
        for (unsigned i = 0; i < 7; i++)
            read_block(round * 500 + i * 11);
        ck_assert_int_eq(frontend_stop(fe), 0);
        expect_event(&events, EVENT_STOPPED);
        ck_assert_int_eq(frontend_queue_base(fe, 0, &base), 0);
        ck_assert_uint_eq(base, (round + 1) * 7);
    }
}
END_TEST

/* Killed when idle, running or while it stops; the next one goes on where it ended. */
START_TEST(test_kill)
{
    expect_event(&events, EVENT_READY);
    for (unsigned round = 0; round < 3; round++) {
        if (_i > 0) {
            start_queue();
            expect_event(&events, EVENT_STARTED);
            read_block(round);
        }
        if (_i > 1) {
            kill(daemon_pid, SIGSTOP);
            ck_assert_int_eq(frontend_stop(fe), 0);
            ck_assert_int_eq(frontend_events_next(&events, 0.05), EVENT_NONE);
        }
        daemon_kill();
        rig_expect_lost(-ECONNRESET, "closed");
        ck_assert_int_eq(frontend_reconnect(fe), 0);
        daemon_start();
        expect_event(&events, EVENT_READY);
        check_capacity();
    }
    start_queue();
    expect_event(&events, EVENT_STARTED);
    read_block(DISK_LEN / BLOCK - 1);
}
END_TEST

/* A daemon that does not run for a while: the time limit ends it. */
START_TEST(test_stopped_daemon)
{
    expect_event(&events, EVENT_READY);
    frontend_free(fe);
    options.reply_limit = 0.5;
    kill(daemon_pid, SIGSTOP);
    ck_assert_int_eq(frontend_new(&fe, events.loop, &options, &frontend_events_callbacks, &events), 0);
    rig_expect_lost(-ETIMEDOUT, "GET_FEATURES");
}
END_TEST

/* The one field of config space that a driver may write. (At any other write this daemon closes.) */
START_TEST(test_set_config)
{
    struct virtio_blk_config config;
    size_t offset = offsetof(struct virtio_blk_config, wce);

    expect_event(&events, EVENT_READY);
    ck_assert_int_eq(frontend_set_config(fe, (uint32_t)offset, "\1", 1), 0);
    start_queue();
    expect_event(&events, EVENT_STARTED);
    read_block(3);
    ck_assert_uint_ge(frontend_config(fe, &config, sizeof(config)), sizeof(config.capacity));
}
END_TEST

int main(void)
{
    Suite *suite;
    TCase *tc;

    if (!daemon_present()) {
        fprintf(stderr, "skipped: no " DAEMON " here (Debian: qemu-utils)\n");
        return 77;
    }
    suite = suite_create("frontend_real");
    tc = tcase_create("frontend_real");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_life);
    tcase_add_loop_test(tc, test_kill, 0, 3);
    tcase_add_test(tc, test_stopped_daemon);
    tcase_add_test(tc, test_set_config);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
