// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_reset.c - a driver that resets a device and sets it up again at once, while the back-end is still at
 * work on what it was asked before: a network card on the local hypervisor, by PCI and by MMIO. The back-end
 * gets nothing new before it has finished, the guest gets nothing of the old, and no driver can make the one
 * work more than it would one after the other. Also: which interrupts a start brings.
 */
#include <check.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>

#include "common/util.h"
#include "dm/bounce.h"
#include "dm/frontend.h"
#include "tests/local/rings_test.h"

#define FEATURES BIT(VIRTIO_NET_F_MAC)
#define UP                                                                                \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
     VIRTIO_CONFIG_S_DRIVER_OK)
#define LEN 2048u

static const struct driver_options both_queues = {.features = FEATURES, .nr_queues = 2, .msix = true};

static void boot_net(int transport)
{
    if (transport == TRANSPORT_MMIO)
        rig_options_mmio(&options, 0);
    boot_fake("net", VIRTIO_ID_NET);
    start(2, 2, FEATURES);
}

static const char *state_name(void)
{
    return bounce_state_name(device_info(rig.devices[0]).bounce);
}

static bool state_is(void *ctx)
{
    return strcmp(state_name(), ctx) == 0;
}

/* Packets that the back-end gets and keeps. */
static void packets_held(uint16_t nr)
{
    for (unsigned i = 0; i < nr; i++)
        queue_add(TX, 100, 0, i);
    driver_queue_publish(&driver.queues[TX]);
    wait_avail(TX, nr);
}

static void reset_at_once(void)
{
    virtio_driver_common_write(&driver, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    ck_assert_uint_eq(virtio_driver_status(&driver), 0);
}

/* The whole way of a packet, as the first one after a start. */
static void packet_goes(void)
{
    queue_add(TX, 100, 0, 77);
    driver_queue_publish(&driver.queues[TX]);
    wait_avail(TX, 1);
    backend_use(TX, 1, 0);
    ck_assert_uint_eq(wait_used(TX).token, 77);
}

/* ---- a reset while the back-end is busy ---------------------------------------------------------------- */

START_TEST(started_again_at_once)
{
    const struct driver_options smaller = {
        .features = FEATURES, .nr_queues = 2, .queue_size = 16, .msix = true};
    const uint8_t *received;
    unsigned nr_log;

    boot_net(_i);
    received = guest_os_ptr(&os, queue_add(RX, 0, LEN, 0), LEN);
    driver_queue_publish(&driver.queues[RX]);
    wait_avail(RX, 1);
    packets_held(4);
    nr_log = fake.nr_log;
    reset_at_once();
    ck_assert_str_eq(state_name(), "stopping");
    driver_up(&smaller);
    ck_assert_str_eq(state_name(), "restarting");
    ck_assert_uint_eq(virtio_driver_status(&driver), UP);
    for (unsigned i = 0; i < 3; i++)
        queue_add(TX, 200, 0, 100 + i);
    driver_queue_publish(&driver.queues[TX]);
    driver_queue_kick(&driver.queues[TX]);
    /* What comes back is of before, and comes to nobody: the rings are where they were. */
    memset(backend_at(backend_desc(RX, backend_head(RX, 0))->addr), 0xaa, LEN);
    backend_use(RX, 1, LEN);
    for (unsigned i = 0; i < 3; i++) {
        backend_use(TX, 1, 0);
        guest_os_idle(&os, 0.01);
    }
    ck_assert_str_eq(state_name(), "restarting");
    ck_assert_uint_eq(backend_avail(TX), 4);
    ck_assert_uint_eq(fake.nr_log, nr_log);
    backend_use(TX, 1, 0);
    wait_rings(2);
    ck_assert_uint_eq(fake.nr_connections, 1);
    ck_assert_uint_eq(backend_starts(), 2);
    ck_assert_uint_eq(fake.rings[TX].num, 16);
    wait_avail(TX, 3);
    ck_assert_uint_eq(backend_desc(TX, backend_head(TX, 0))->len, 200);
    ck_assert_uint_eq(guest_used_idx(TX), 0);
    ck_assert_uint_eq(guest_used_idx(RX), 0);
    ck_assert_uint_eq(backend_avail(RX), 0);
    for (unsigned i = 0; i < LEN; i++)
        ck_assert_uint_eq(received[i], 0);
    backend_use(TX, 3, 0);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(wait_used(TX).token, 100 + i);
}
END_TEST

START_TEST(started_with_fewer_queues)
{
    const struct driver_options one = {.features = FEATURES, .nr_queues = 1, .msix = true};

    boot_net(_i);
    packets_held(2);
    reset_at_once();
    driver_up(&one);
    backend_use(TX, 2, 0);
    wait_rings(1);
    ck_assert(!fake.rings[TX].started);
    queue_add(RX, 0, LEN, 5);
    driver_queue_publish(&driver.queues[RX]);
    wait_avail(RX, 1);
    backend_use(RX, 1, 10);
    ck_assert_uint_eq(wait_used(RX).token, 5);
}
END_TEST

/* However often: the back-end is stopped and started once. */
START_TEST(many_resets)
{
    unsigned nr_log;

    boot_net(_i);
    packets_held(2);
    nr_log = fake.nr_log;
    for (unsigned i = 0; i < 300; i++) {
        reset_at_once();
        if (i % 3 != 0)
            driver_up(&both_queues);
    }
    ck_assert_uint_eq(fake.nr_log, nr_log);
    ck_assert_str_eq(state_name(), "restarting");
    backend_use(TX, 2, 0);
    wait_rings(2);
    ck_assert_uint_eq(backend_starts(), 2);
    ck_assert_uint_eq(fake.nr_connections, 1);
    packet_goes();
}
END_TEST

/* Nor is there a reset that it has nothing to do for, or that comes while it is being started. */
START_TEST(many_resets_of_an_idle_device)
{
    boot_net(_i);
    for (unsigned i = 0; i < 100; i++) {
        reset_at_once();
        driver_up(&both_queues);
        for (unsigned n = 0; n < i % 8; n++)
            guest_os_idle(&os, 0.01);
    }
    ck_assert(guest_os_wait(&os, state_is, "running", PATIENCE));
    ck_assert_uint_eq(fake.nr_connections, 1);
    ck_assert_uint_le(backend_starts(), 101);
    reset_at_once();
    start(2, 2, FEATURES);
    packet_goes();
}
END_TEST

START_TEST(second_reset_cancels_the_start)
{
    boot_net(_i);
    packets_held(1);
    reset_at_once();
    driver_up(&both_queues);
    queue_add(TX, 100, 0, 50);
    driver_queue_publish(&driver.queues[TX]);
    reset_at_once();
    ck_assert_str_eq(state_name(), "stopping");
    backend_use(TX, 1, 0);
    ck_assert(guest_os_wait(&os, state_is, "stopped", PATIENCE));
    ck_assert_str_eq(frontend_state_name(device_info(rig.devices[0]).fe), "idle");
    ck_assert_uint_eq(backend_starts(), 1);
    ck_assert_uint_eq(virtio_driver_status(&driver), 0);
    start(2, 2, FEATURES);
    packet_goes();
}
END_TEST

/* The driver had broken the rules, and the back-end is not done with what came before that. */
START_TEST(halted_and_started_again)
{
    boot_net(_i);
    packets_held(2);
    driver_queue_raw_avail_idx(&driver.queues[TX], 0x4000);
    driver_queue_kick(&driver.queues[TX]);
    ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
    reset_at_once();
    driver_up(&both_queues);
    ck_assert_str_eq(state_name(), "restarting");
    ck_assert_uint_eq(virtio_driver_status(&driver), UP);
    backend_use(TX, 2, 0);
    wait_rings(2);
    packet_goes();
}
END_TEST

/* It is told when its turn comes. */
START_TEST(malformed_rings_of_a_start_that_waits)
{
    boot_net(_i);
    packets_held(1);
    reset_at_once();
    driver_up(&both_queues);
    driver_queue_raw_avail_idx(&driver.queues[TX], 0x4000);
    ck_assert_uint_eq(virtio_driver_status(&driver), UP);
    backend_use(TX, 1, 0);
    ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
}
END_TEST

/* ---- the back-end goes meanwhile ----------------------------------------------------------------------- */

static void do_close(struct fake_backend *f)
{
    shutdown(vhost_user_channel_fd(f->main), SHUT_RDWR);
}

START_TEST(another_backend_takes_the_start)
{
    boot_net(_i);
    packets_held(3);
    reset_at_once();
    driver_up(&both_queues);
    fake_backend_do(&fake, do_close);
    wait_rings(2);
    ck_assert_uint_eq(fake.nr_connections, 2);
    ck_assert_uint_eq(virtio_driver_status(&driver), UP);
    packet_goes();
}
END_TEST

START_TEST(no_backend_for_the_start)
{
    boot_net(_i);
    packets_held(3);
    reset_at_once();
    driver_up(&both_queues);
    queue_add(TX, 100, 0, 9);
    driver_queue_publish(&driver.queues[TX]);
    backend_stop();
    ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
    ck_assert_uint_eq(wait_used(TX).token, 9);
    reset_at_once();
}
END_TEST

/* It is given up in its time, and no driver makes that longer. */
START_TEST(a_backend_that_never_finishes)
{
    options.devices[0].reply_limit = 1;
    boot_net(_i);
    packets_held(3);
    reset_at_once();
    driver_up(&both_queues);
    for (unsigned i = 0; i < 6; i++) {
        guest_os_idle(&os, 0.3);
        reset_at_once();
        driver_up(&both_queues);
    }
    ck_assert(guest_os_wait(&os, state_is, "running", PATIENCE));
    ck_assert_uint_eq(fake.nr_connections, 2);
    ck_assert_uint_eq(virtio_driver_status(&driver), UP);
}
END_TEST

/* ---- the device goes meanwhile ------------------------------------------------------------------------- */

static void retired(void *ctx)
{
    *(bool *)ctx = true;
}

static bool is_true(void *ctx)
{
    return *(bool *)ctx;
}

START_TEST(removed_when_a_start_waits)
{
    bool done = false;

    boot_net(_i);
    packets_held(3);
    reset_at_once();
    driver_up(&both_queues);
    queue_add(TX, 100, 0, 9);
    driver_queue_publish(&driver.queues[TX]);
    device_retire(rig.devices[0], retired, &done);
    ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
    ck_assert_uint_eq(wait_used(TX).token, 9);
    ck_assert(guest_os_wait(&os, is_true, &done, PATIENCE));
}
END_TEST

START_TEST(freed_in_the_middle)
{
    boot_net(_i & 1);
    packets_held(3);
    driver_queue_kick(&driver.queues[TX]);
    reset_at_once();
    if (_i & 2)
        driver_up(&both_queues);
    if (_i & 4) {
        backend_use(TX, 3, 0);
        guest_os_idle(&os, 0.01);
    }
}
END_TEST

/* ---- interrupts of a start ----------------------------------------------------------------------------- */

static uint64_t interrupts(void)
{
    const struct virtio_device *dev = device_info(rig.devices[0]).virtio;

    return virtio_device_queue_counts(dev, RX).interrupts + virtio_device_queue_counts(dev, TX).interrupts;
}

/* Nor does the one after it, although there was something before. */
START_TEST(start_brings_no_interrupt)
{
    boot_net(_i);
    ck_assert(guest_os_wait(&os, state_is, "running", PATIENCE));
    ck_assert_uint_eq(interrupts(), 0);
    ck_assert(!virtio_driver_has_interrupt(&driver));
    packet_goes();
    ck_assert_uint_eq(interrupts(), 1);
    reset_at_once();
    start(2, 2, FEATURES);
    ck_assert(guest_os_wait(&os, state_is, "running", PATIENCE));
    ck_assert_uint_eq(interrupts(), 1);
    ck_assert(!virtio_driver_has_interrupt(&driver));
    packet_goes();
    ck_assert_uint_eq(interrupts(), 2);
}
END_TEST

START_TEST(start_without_a_backend_brings_no_interrupt)
{
    boot_net(_i);
    reset_at_once();
    backend_stop();
    driver_up(&both_queues);
    ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
    guest_os_idle(&os, 0.01);
    ck_assert_uint_eq(interrupts(), 0);
    /* Nothing is missed for it. */
    queue_add(TX, 100, 0, 9);
    driver_queue_publish(&driver.queues[TX]);
    ck_assert_uint_eq(wait_used(TX).token, 9);
    ck_assert_uint_eq(interrupts(), 1);
}
END_TEST

/* Two of three were used, and the back-end breaks a rule before we tell of them; the driver wants to be told
 * of the first, and of no other before it has seen that. A socket: what a network card's driver sees at once
 * it does not see in part. */
START_TEST(used_before_a_fault)
{
    if (_i == TRANSPORT_MMIO)
        rig_options_mmio(&options, 0);
    options.devices[0].keys = (struct device_config_keys){.bytes = {42}};
    memset(options.devices[0].keys.given, true, 8);
    boot_fake("vsock", VIRTIO_ID_VSOCK);
    start(3, 2, BIT(VIRTIO_RING_F_EVENT_IDX));
    packets_held(3);
    ck_assert_uint_eq(interrupts(), 0);
    backend_use_raw(TX, (const uint32_t[]){backend_head(TX, 0), backend_head(TX, 1), 0x7fff}, 3);
    ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
    ck_assert_uint_ge(interrupts(), 1);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(wait_used(TX).token, i);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reset");
    TCase *tcase = tcase_create("net");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, started_again_at_once, 0, 2);
    tcase_add_loop_test(tcase, started_with_fewer_queues, 0, 2);
    tcase_add_loop_test(tcase, many_resets, 0, 2);
    tcase_add_loop_test(tcase, many_resets_of_an_idle_device, 0, 2);
    tcase_add_loop_test(tcase, second_reset_cancels_the_start, 0, 2);
    tcase_add_loop_test(tcase, halted_and_started_again, 0, 2);
    tcase_add_loop_test(tcase, malformed_rings_of_a_start_that_waits, 0, 2);
    tcase_add_loop_test(tcase, another_backend_takes_the_start, 0, 2);
    tcase_add_loop_test(tcase, no_backend_for_the_start, 0, 2);
    tcase_add_loop_test(tcase, a_backend_that_never_finishes, 0, 2);
    tcase_add_loop_test(tcase, removed_when_a_start_waits, 0, 2);
    tcase_add_loop_test(tcase, freed_in_the_middle, 0, 8);
    tcase_add_loop_test(tcase, start_brings_no_interrupt, 0, 2);
    tcase_add_loop_test(tcase, start_without_a_backend_brings_no_interrupt, 0, 2);
    tcase_add_loop_test(tcase, used_before_a_fault, 0, 2);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
