// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blk_cases_backend.c - back-ends that stop, die and come back under load: the driver always gets its
 * answers, and registers never wait for a back-end.
 */
#include "dm/frontend.h"
#include "tests/local/blk_cases.h"

#include <signal.h>
#include <string.h>

#include <linux/virtio_pci.h>

#define NEEDS_RESET    VIRTIO_CONFIG_S_NEEDS_RESET
#define REFUSE_SECONDS 5.0 /* in which requests of a dead back-end must have been refused */
#define ACCESS_SECONDS 0.1 /* that a register access may take: generous, for a busy machine */
#define REPLY_SECONDS  1.0 /* that a back-end may take for a reply */

static bool needs_reset(void *ctx)
{
    return (virtio_driver_status(ctx) & NEEDS_RESET) != 0;
}

/* A load that does not mind errors: whether it does is changed as the back-end comes and goes. */
static struct blk_load *load_with_errors(struct blk_test *t, unsigned device)
{
    struct blk_load_options options = blk_test_load_options(t, device);

    options.errors_allowed = true;
    return blk_load_new(&t->drivers[device], &options, test_seed());
}

START_TEST(killed_and_started_again)
{
    struct blk_test *t = blk_test_new(2);
    struct virtio_driver *drv = &t->drivers[0];
    struct blk_load *load, *other;
    uint64_t failed, completed;

    t->driver_options.nr_queues = 2;
    t->driver_options.msix = _i == 0;
    blk_test_boot(t);
    blk_test_start(t, 0);
    blk_test_start(t, 1);
    load = load_with_errors(t, 0);
    other = blk_test_load(t, 1);
    for (unsigned i = 0; i < 5; i++) {
        load->options.errors_allowed = false;
        blk_load_run(load, load->completed + 300, BLK_TEST_PATIENCE);
        if (i > 0) { /* so that it certainly has requests that it will not answer */
            blk_load_drain(load, BLK_TEST_PATIENCE);
            backend_pause(&t->backends[0]);
        }
        blk_load_submit(load, UINT64_MAX);
        load->options.errors_allowed = true;
        failed = load->failed;
        virtio_driver_config_interrupted(drv);
        backend_kill(&t->backends[0]);
        blk_load_drain(load, REFUSE_SECONDS);
        ck_assert(i == 0 || load->failed > failed);
        ck_assert_msg(guest_os_wait(&t->os, needs_reset, drv, REFUSE_SECONDS), "NEEDS_RESET is not set");
        ck_assert(virtio_driver_config_interrupted(drv));
        /* Later ones too: every one of them. */
        completed = load->completed;
        failed = load->failed;
        blk_load_run(load, completed + 500, REFUSE_SECONDS);
        blk_load_drain(load, REFUSE_SECONDS);
        ck_assert_uint_eq(load->failed - failed, load->completed - completed);
        blk_load_run(other, other->completed + 200, BLK_TEST_PATIENCE);
        /* The operator starts a back-end, the guest resets the device. */
        ck_assert_int_eq(backend_start(&t->backends[0]), 0);
        blk_test_start(t, 0);
    }
    load->options.errors_allowed = false;
    blk_load_run(load, load->completed + 1000, BLK_TEST_PATIENCE);
    blk_load_drain(load, BLK_TEST_PATIENCE);
    blk_load_drain(other, BLK_TEST_PATIENCE);
    blk_load_verify_all(load, BLK_TEST_PATIENCE);
    blk_load_verify_all(other, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_load_free(other);
    blk_test_end(t);
}
END_TEST

/* A driver that starts a device whose back-end is not there gets errors, and not silence. */
START_TEST(reset_without_a_backend)
{
    struct blk_test *t = blk_test_new(1);
    struct blk_load *load;

    blk_test_boot(t);
    blk_test_start(t, 0);
    load = load_with_errors(t, 0);
    backend_kill(&t->backends[0]);
    for (unsigned i = 0; i < 3; i++) {
        blk_test_start(t, 0);
        blk_load_run(load, load->completed + 100, REFUSE_SECONDS);
        blk_load_drain(load, REFUSE_SECONDS);
    }
    ck_assert_uint_gt(load->failed, 0);
    ck_assert(needs_reset(&t->drivers[0]));
    ck_assert_int_eq(backend_start(&t->backends[0]), 0);
    blk_test_start(t, 0);
    load->options.errors_allowed = false;
    blk_load_run(load, load->completed + 500, BLK_TEST_PATIENCE);
    blk_load_drain(load, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

/* Reads of every kind of register, and writes that change nothing, while the back-end hears nothing. */
static void registers_answer(struct blk_test *t, struct virtio_driver *drv)
{
    t->os.access_max_seconds = 0;
    for (unsigned i = 0; i < 2000; i++) {
        virtio_driver_common_read(drv, i * 4 % 56, 4);
        mmio_read(&t->os, drv->device.gpa + i % 60, 1);
        mmio_read(&t->os, drv->isr.gpa, 1);
        mmio_read(&t->os, drv->msix_table + i % 64 * 4, 4);
        config_read(&t->os, drv->sbdf, i * 4 % 256, 4);
        driver_queue_kick(&drv->queues[i % drv->nr_queues]);
        virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_Q_SELECT, 2, i);
        virtio_driver_status_add(drv, 0);
    }
    ck_assert_msg(t->os.access_max_seconds < ACCESS_SECONDS, "an access took %g s", t->os.access_max_seconds);
}

START_TEST(stopped_and_continued)
{
    struct blk_test *t = blk_test_new(1);
    struct virtio_driver *drv = &t->drivers[0];
    struct blk_load *load;

    blk_test_boot(t);
    blk_test_start(t, 0);
    load = blk_test_load(t, 0);
    for (unsigned i = 0; i < 3; i++) {
        blk_load_run(load, load->completed + 300, BLK_TEST_PATIENCE);
        blk_load_submit(load, UINT64_MAX);
        backend_pause(&t->backends[0]);
        registers_answer(t, drv);
        guest_os_idle(&t->os, 0.1);
        backend_continue(&t->backends[0]);
    }
    blk_load_run(load, load->completed + 300, BLK_TEST_PATIENCE);
    blk_load_drain(load, BLK_TEST_PATIENCE);
    blk_load_verify_all(load, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

static bool backend_is_lost(void *ctx)
{
    struct blk_test *t = ctx;

    return strcmp(frontend_state_name(device_info(t->rig.devices[0]).fe), "lost") == 0;
}

/* The reset of a device whose back-end does not answer: the driver does not wait for it. It is given up
 * within its time limit, and when it comes back it is taken again. */
START_TEST(reset_while_stopped)
{
    struct blk_test *t = blk_test_new(1);
    struct virtio_driver *drv = &t->drivers[0];
    struct blk_load *load;

    t->options.devices[0].reply_limit = REPLY_SECONDS;
    blk_test_boot(t);
    blk_test_start(t, 0);
    load = blk_test_load(t, 0);
    for (unsigned i = 0; i < 2; i++) {
        blk_load_run(load, load->completed + 300, BLK_TEST_PATIENCE);
        if (i == 0)
            blk_load_submit(load, UINT64_MAX); /* with requests in flight, and without */
        else
            blk_load_drain(load, BLK_TEST_PATIENCE);
        backend_pause(&t->backends[0]);
        t->os.access_max_seconds = 0;
        virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_STATUS, 1, 0);
        ck_assert_uint_eq(virtio_driver_status(drv), 0);
        ck_assert_msg(t->os.access_max_seconds < ACCESS_SECONDS, "an access took %g s",
                      t->os.access_max_seconds);
        blk_load_forget(load);
        registers_answer(t, drv);
        if (i == 0)
            ck_assert(guest_os_wait(&t->os, backend_is_lost, t, REPLY_SECONDS + 1));
        backend_continue(&t->backends[0]);
        blk_test_start(t, 0);
    }
    blk_load_run(load, load->completed + 300, BLK_TEST_PATIENCE);
    blk_load_drain(load, BLK_TEST_PATIENCE);
    blk_load_verify_all(load, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

/* Killed at any moment of a start or a reset. */
START_TEST(killed_while_starting)
{
    struct blk_test *t = blk_test_new(1);
    struct virtio_driver *drv = &t->drivers[0];
    struct blk_load *load;

    blk_test_boot(t);
    blk_test_start(t, 0);
    load = load_with_errors(t, 0);
    for (unsigned i = 0; i < 12; i++) {
        blk_test_start(t, 0);
        for (unsigned round = 0; round < i / 2; round++)
            guest_os_idle(&t->os, 0.05);
        if (i & 1)
            virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_STATUS, 1, 0);
        backend_kill(&t->backends[0]);
        if (i & 1) {
            ck_assert_int_eq(virtio_driver_reset(drv, REFUSE_SECONDS), 0);
        } else {
            blk_load_run(load, load->completed + 50, REFUSE_SECONDS);
            blk_load_drain(load, REFUSE_SECONDS);
        }
        guest_os_idle(&t->os, 0.05); /* the loss is noticed before there is a new one */
        ck_assert_int_eq(backend_start(&t->backends[0]), 0);
    }
    blk_test_start(t, 0);
    load->options.errors_allowed = false;
    blk_load_run(load, load->completed + 300, BLK_TEST_PATIENCE);
    blk_load_drain(load, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

void blk_cases_backend(TCase *tcase)
{
    tcase_add_loop_test(tcase, killed_and_started_again, 0, 2);
    tcase_add_test(tcase, reset_without_a_backend);
    tcase_add_test(tcase, stopped_and_continued);
    tcase_add_test(tcase, reset_while_stopped);
    tcase_add_test(tcase, killed_while_starting);
}
