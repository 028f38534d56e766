// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blk_cases_restart.c - the device model is killed at any moment and started again for the same guest: the
 * guest sees nothing but a delay. Requests in flight are made again, none is lost and none is answered twice;
 * contents are verified.
 *
 * The device model and the driver run in one child process; guest memory, the driver's state and the load are
 * in memory that the parent shares, and the saved state is in its file. The child is killed by a timer, but
 * only when control is with the device model: a guest does not stop in the middle of its own instructions
 * because of it.
 */
#include "tests/local/blk_cases.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/virtio_pci.h>

#include "common/log.h"
#include "dm/bounce.h"

#define ROUNDS        20
#define SETTLE_US     20 /* between attempts to find the device model at work */
#define CHILD_SECONDS 30.0

struct restart_test {
    struct blk_test *blk;
    struct blk_load *load;
    char saved_path[128];
    int ram_fd;
};

/* For the signal handler of a child. */
static const struct guest_os *watched;
static volatile sig_atomic_t opening;

static void timer_set(unsigned us)
{
    const struct itimerval when = {.it_value = {.tv_sec = us / 1000000, .tv_usec = us % 1000000}};

    setitimer(ITIMER_REAL, &when, NULL);
}

static void kill_if_in_device(int signal)
{
    (void)signal;
    if (opening || __atomic_load_n(&watched->in_device, __ATOMIC_SEQ_CST))
        kill(getpid(), SIGKILL);
    timer_set(SETTLE_US);
}

/* Arms the timer that ends this process. */
static void child_doom(const struct blk_test *t, unsigned us)
{
    const struct sigaction action = {.sa_handler = kill_if_in_device, .sa_flags = SA_RESTART};

    watched = &t->os;
    sigaction(SIGALRM, &action, NULL);
    timer_set(us);
}

static void restart_open(struct restart_test *r, enum device_transport transport)
{
    struct blk_load_options options = {.max_len = KIB(16),
                                       .nr_slots = 100,
                                       .max_segments = 16,
                                       .sectors = BLK_TEST_DISK / BLK_SECTOR,
                                       .discard = true,
                                       .write_zeroes = true};
    struct blk_test *t = blk_test_new_by(transport, 1);

    r->blk = t;
    snprintf(r->saved_path, sizeof(r->saved_path), "%s/state", t->backends[0].dir);
    r->ram_fd = memfd_create("test-ram", MFD_CLOEXEC);
    ck_assert_int_ge(r->ram_fd, 0);
    ck_assert_int_eq(ftruncate(r->ram_fd, (off_t)(t->options.local.ram_low + t->options.local.ram_high)), 0);
    t->options.local.ram_fd = r->ram_fd;
    t->options.saved_path = r->saved_path;
    t->driver_options.nr_queues = 2;
    guest_os_init(&t->os, &t->options.local);
    t->drivers[0].os = &t->os;
    r->load = blk_load_new(&t->drivers[0], &options, test_seed());
}

static void restart_close(struct restart_test *r)
{
    blk_load_free(r->load);
    close(r->ram_fd);
    blk_test_end(r->blk);
}

static void adopt(struct blk_test *t)
{
    ck_assert_msg(rig_open(&t->rig, &t->options, &t->os) == 0, "%s", t->rig.error);
}

/* Runs fn in a child that is expected to end by SIGKILL. */
static void in_doomed_child(struct restart_test *r, void (*fn)(struct restart_test *r, unsigned arg),
                            unsigned arg)
{
    pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fn(r, arg);
        _exit(1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended with status 0x%x",
                  status);
}

static void first_boot(struct restart_test *r, unsigned arg)
{
    struct blk_test *t = r->blk;

    (void)arg;
    adopt(t);
    blk_test_find_devices(t);
    blk_test_start(t, 0);
    child_doom(t, 20000);
    blk_load_run(r->load, UINT64_MAX, CHILD_SECONDS);
}

static void work_until_killed(struct restart_test *r, unsigned us)
{
    opening = us < 3000;
    if (opening) /* killed while it takes over */
        child_doom(r->blk, us);
    adopt(r->blk);
    opening = false;
    if (us >= 3000)
        child_doom(r->blk, us);
    blk_load_run(r->load, UINT64_MAX, CHILD_SECONDS);
}

static void settle(struct restart_test *r)
{
    ck_assert_int_eq(backend_settle(&r->blk->backends[0]), 0);
}

START_TEST(killed_under_load)
{
    struct rng rng = {.state = test_seed()};
    struct restart_test r;
    uint64_t before;

    restart_open(&r, _i);
    in_doomed_child(&r, first_boot, 0);
    settle(&r);
    before = r.load->completed;
    /* Some are killed before they do anything: not all of them. */
    for (unsigned i = 0; i < unit_count(ROUNDS) || r.load->completed == before; i++) {
        in_doomed_child(&r, work_until_killed, (unsigned)rng_below(&rng, rng_one_in(&rng, 3) ? 3000 : 30000));
        if (rng_one_in(
                &rng,
                4)) { /* the back-end goes with it: requests in flight are made again to its successor */
            backend_kill(&r.blk->backends[0]);
            ck_assert_int_eq(backend_start(&r.blk->backends[0]), 0);
        }
        settle(&r);
    }
    adopt(r.blk);
    ck_assert_uint_eq(virtio_driver_status(&r.blk->drivers[0]) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
    blk_load_run(r.load, r.load->completed + 1000, BLK_TEST_PATIENCE);
    blk_load_drain(r.load, BLK_TEST_PATIENCE);
    blk_load_verify_all(r.load, BLK_TEST_PATIENCE);
    ck_assert_uint_eq(r.blk->os.irq_stray, 0);
    /* And it can be used as any device. */
    blk_test_start(r.blk, 0);
    blk_load_run(r.load, r.load->completed + 300, BLK_TEST_PATIENCE);
    blk_load_drain(r.load, BLK_TEST_PATIENCE);
    restart_close(&r);
}
END_TEST

static void killed_when_all_is_used(struct restart_test *r, unsigned arg)
{
    struct blk_test *t = r->blk;

    (void)arg;
    adopt(t);
    blk_test_find_devices(t);
    blk_test_start(t, 0);
    blk_load_submit(r->load, 50);
    while (!driver_queue_all_used(&t->drivers[0].queues[0]) ||
           !driver_queue_all_used(&t->drivers[0].queues[1]))
        guest_os_idle(&t->os, CHILD_SECONDS);
    kill(getpid(), SIGKILL);
}

/* As if those that came had not been sent. */
static void interrupts_forget(struct blk_test *t)
{
    struct virtio_driver *drv = &t->drivers[0];

    for (unsigned i = 0; i < drv->nr_queues; i++)
        if (drv->queues[i].irq >= 0)
            drv->queues[i].irq_seen = t->os.irq_count[drv->queues[i].irq];
    t->os.irq_line[drv->mmio_irq] = false;
}

/* Killed between the last completion and its interrupt: the successor sends it. */
START_TEST(killed_before_the_interrupt)
{
    struct restart_test r;

    restart_open(&r, _i);
    in_doomed_child(&r, killed_when_all_is_used, 0);
    settle(&r);
    interrupts_forget(r.blk);
    ck_assert(!virtio_driver_has_interrupt(&r.blk->drivers[0]));
    adopt(r.blk);
    blk_load_drain(r.load, BLK_TEST_PATIENCE);
    ck_assert_uint_eq(r.load->completed, 50);
    restart_close(&r);
}
END_TEST

static bool is_running(void *ctx)
{
    const struct blk_test *t = ctx;

    return strcmp(bounce_state_name(device_info(t->rig.devices[0]).bounce), "running") == 0;
}

static void killed_when_nothing_is_used(struct restart_test *r, unsigned arg)
{
    struct blk_test *t = r->blk;

    (void)arg;
    adopt(t);
    blk_test_find_devices(t);
    blk_test_start(t, 0);
    ck_assert(guest_os_wait(&t->os, is_running, t, CHILD_SECONDS));
    kill(getpid(), SIGKILL);
}

/* There is no interrupt that could be missing. */
START_TEST(killed_before_the_first_request)
{
    struct restart_test r;

    restart_open(&r, _i);
    in_doomed_child(&r, killed_when_nothing_is_used, 0);
    settle(&r);
    adopt(r.blk);
    ck_assert(guest_os_wait(&r.blk->os, is_running, r.blk, BLK_TEST_PATIENCE));
    ck_assert(!virtio_driver_has_interrupt(&r.blk->drivers[0]));
    blk_load_run(r.load, 300, BLK_TEST_PATIENCE);
    blk_load_drain(r.load, BLK_TEST_PATIENCE);
    restart_close(&r);
}
END_TEST

static void killed_in_reset(struct restart_test *r, unsigned arg)
{
    struct blk_test *t = r->blk;

    (void)arg;
    adopt(t);
    blk_test_find_devices(t);
    blk_test_start(t, 0);
    blk_load_run(r->load, 200, CHILD_SECONDS);
    backend_pause(&t->backends[0]);
    blk_load_submit(r->load, UINT64_MAX);
    virtio_driver_common_write(&t->drivers[0], VIRTIO_PCI_COMMON_STATUS, 1, 0);
    kill(getpid(), SIGKILL);
}

/* Killed between the driver's reset and the back-end's consent: there is nothing that the successor would do
 * for the driver. */
START_TEST(killed_during_a_reset)
{
    struct restart_test r;
    struct virtio_driver *drv;

    restart_open(&r, _i);
    drv = &r.blk->drivers[0];
    in_doomed_child(&r, killed_in_reset, 0);
    backend_continue(&r.blk->backends[0]);
    settle(&r);
    blk_load_forget(r.load);
    adopt(r.blk);
    ck_assert_int_eq(virtio_driver_reset(drv, BLK_TEST_PATIENCE), 0);
    blk_test_start(r.blk, 0);
    blk_load_run(r.load, r.load->completed + 1000, BLK_TEST_PATIENCE);
    blk_load_drain(r.load, BLK_TEST_PATIENCE);
    blk_load_verify_all(r.load, BLK_TEST_PATIENCE);
    restart_close(&r);
}
END_TEST

static void killed_when_a_start_waits(struct restart_test *r, unsigned arg)
{
    struct blk_test *t = r->blk;

    (void)arg;
    adopt(t);
    blk_test_find_devices(t);
    blk_test_start(t, 0);
    blk_load_run(r->load, 200, CHILD_SECONDS);
    backend_pause(&t->backends[0]);
    blk_load_submit(r->load, UINT64_MAX);
    guest_os_idle(&t->os, CHILD_SECONDS);
    blk_test_start(t, 0);
    blk_load_forget(r->load);
    blk_load_submit(r->load, r->load->submitted + 10);
    kill(getpid(), SIGKILL);
}

/* Killed when the driver had started the device again, and the back-end was still at work for the time
 * before: the successor begins with the start, and submits nothing of before again. */
START_TEST(killed_before_a_start_that_waits)
{
    struct restart_test r;
    uint64_t completed;

    restart_open(&r, _i);
    in_doomed_child(&r, killed_when_a_start_waits, 0);
    backend_continue(&r.blk->backends[0]);
    settle(&r);
    completed = r.load->completed;
    adopt(r.blk);
    blk_load_drain(r.load, BLK_TEST_PATIENCE);
    ck_assert_uint_eq(r.load->completed, completed + 10);
    blk_load_run(r.load, r.load->completed + 1000, BLK_TEST_PATIENCE);
    blk_load_drain(r.load, BLK_TEST_PATIENCE);
    blk_load_verify_all(r.load, BLK_TEST_PATIENCE);
    restart_close(&r);
}
END_TEST

static bool needs_reset(void *ctx)
{
    return (virtio_driver_status(ctx) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
}

static void killed_when_broken(struct restart_test *r, unsigned arg)
{
    struct blk_test *t = r->blk;

    (void)arg;
    adopt(t);
    blk_test_find_devices(t);
    blk_test_start(t, 0);
    blk_load_run(r->load, 200, CHILD_SECONDS);
    driver_queue_raw_avail(&t->drivers[0].queues[0], 0xffff);
    driver_queue_kick(&t->drivers[0].queues[0]);
    ck_assert(guest_os_wait(&t->os, needs_reset, &t->drivers[0], CHILD_SECONDS));
    kill(getpid(), SIGKILL);
}

/* A broken device is broken for the successor too, until it is reset. */
START_TEST(killed_when_a_reset_is_needed)
{
    struct restart_test r;
    struct virtio_driver *drv;

    restart_open(&r, _i);
    drv = &r.blk->drivers[0];
    in_doomed_child(&r, killed_when_broken, 0);
    settle(&r);
    adopt(r.blk);
    ck_assert(guest_os_wait(&r.blk->os, needs_reset, drv, BLK_TEST_PATIENCE));
    blk_load_forget(r.load);
    blk_test_start(r.blk, 0);
    blk_load_run(r.load, r.load->completed + 300, BLK_TEST_PATIENCE);
    blk_load_drain(r.load, BLK_TEST_PATIENCE);
    blk_load_verify_all(r.load, BLK_TEST_PATIENCE);
    restart_close(&r);
}
END_TEST

/* The guest does not look for its device anew: it stays where it was, or the successor does not begin. */
START_TEST(another_place_after_a_restart)
{
    struct restart_test r;
    struct device_options *device;

    restart_open(&r, _i == 0 ? TRANSPORT_PCI : TRANSPORT_MMIO);
    device = &r.blk->options.devices[0];
    in_doomed_child(&r, first_boot, 0);
    settle(&r);
    switch (_i) {
    case 0:
        rig_options_mmio(&r.blk->options, 0);
        break;
    case 1:
        device->transport = TRANSPORT_PCI;
        break;
    case 2:
        device->place.base += MIB(1);
        break;
    default:
        device->place.irq++;
        break;
    }
    ck_assert_int_eq(rig_open(&r.blk->rig, &r.blk->options, &r.blk->os), -EINVAL);
    ck_assert_msg(strstr(r.blk->rig.error, "elsewhere") != NULL, "%s", r.blk->rig.error);
    restart_close(&r);
}
END_TEST

/* What the file says is no more to be believed than a guest: garbage makes no device that works, and no harm.
 */
START_TEST(damaged_saved_state)
{
    struct rng rng = {.state = test_seed()};

    for (unsigned i = 0; i < unit_count(12); i++) {
        struct restart_test r;
        long damage = 30L << i % 10; /* bytes */
        FILE *file;

        restart_open(&r, _i);
        in_doomed_child(&r, first_boot, 0);
        settle(&r);
        file = fopen(r.saved_path, "r+b");
        ck_assert_ptr_nonnull(file);
        fseek(file, 0, SEEK_END);
        for (long len = ftell(file), n = 0; n < damage; n++) {
            ck_assert_int_eq(fseek(file, 4096 + (long)rng_below(&rng, (uint64_t)len - 4096), SEEK_SET), 0);
            fputc((int)rng_below(&rng, 256), file);
        }
        ck_assert_int_eq(fclose(file), 0);
        blk_load_forget(r.load);
        if (rig_open(&r.blk->rig, &r.blk->options, &r.blk->os) == 0) {
            for (unsigned n = 0; n < 5; n++)
                guest_os_idle(&r.blk->os, 0.01);
            virtio_driver_restore(&r.blk->drivers[0]);
            ck_assert_msg(virtio_driver_start(&r.blk->drivers[0], &r.blk->driver_options) == 0, "%s",
                          r.blk->drivers[0].error);
            blk_load_run(r.load, r.load->completed + 100, BLK_TEST_PATIENCE);
            blk_load_drain(r.load, BLK_TEST_PATIENCE);
        }
        restart_close(&r);
    }
}
END_TEST

void blk_cases_restart(TCase *tcase)
{
    blk_test_add_by_transport(tcase, killed_under_load);
    blk_test_add_by_transport(tcase, killed_before_the_interrupt);
    blk_test_add_by_transport(tcase, killed_before_the_first_request);
    blk_test_add_by_transport(tcase, killed_during_a_reset);
    blk_test_add_by_transport(tcase, killed_before_a_start_that_waits);
    blk_test_add_by_transport(tcase, killed_when_a_reset_is_needed);
    tcase_add_loop_test(tcase, another_place_after_a_restart, 0, 4);
    blk_test_add_by_transport(tcase, damaged_saved_state);
}
