// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_virtio_mmio.c - the virtio-mmio transport, from a driver's side: every register answers at every width
 * and offset, the interrupt is a level, a reset is one even for a driver that does not wait, and what no
 * driver does changes nothing. Places and restarts:
 * test_virtio_mmio_life.c. Shared memory regions: see tests/local/test_shmem.c.
 */
#include <check.h>
#include <string.h>

#define VIRTIO_MMIO_NO_LEGACY
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "tests/unit/mmio_guest.h"
#include "tests/unit/unit.h"

#define MAGIC  0x74726976
#define VENDOR 0x1af4

/* ---- the usual way ------------------------------------------------------------------------------------- */

START_TEST(test_driver)
{
    struct vdev *v = setup();

    ck_assert_uint_eq(get(v, VIRTIO_MMIO_MAGIC_VALUE), MAGIC);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_VERSION), 2);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_DEVICE_ID), COUNTING_ID);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_VENDOR_ID), VENDOR);
    driver_start(v);
    ck_assert_uint_eq(v->it.starts, 1);
    for (uint32_t i = 0; i < NR_QUEUES; i++) {
        set(v, VIRTIO_MMIO_QUEUE_NOTIFY, i);
        ck_assert_uint_eq(v->it.kicks[i], 1);
    }
    /* Queues that do not exist, also as VIRTIO_F_NOTIFICATION_DATA would have it. */
    set(v, VIRTIO_MMIO_QUEUE_NOTIFY, NR_QUEUES);
    set(v, VIRTIO_MMIO_QUEUE_NOTIFY, 0x10000);
    set(v, VIRTIO_MMIO_QUEUE_NOTIFY, UINT32_MAX);
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
        ck_assert_uint_eq(v->it.kicks[i], i < NR_QUEUES);
    teardown();
}
END_TEST

START_TEST(test_interrupt)
{
    struct vdev *v = setup();

    driver_start(v);
    ck_assert(!rig.irq_line[IRQ]);
    virtio_device_queue_interrupt(&v->it.dev, 1);
    ck_assert(rig.irq_line[IRQ]);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    virtio_device_broken(&v->it.dev, "for a test");
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_STATUS), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
    /* What is not acknowledged stays. */
    set(v, VIRTIO_MMIO_INTERRUPT_STATUS, UINT32_MAX);
    set(v, VIRTIO_MMIO_INTERRUPT_ACK, ~(uint32_t)VIRTIO_MMIO_INT_CONFIG);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
    ck_assert(rig.irq_line[IRQ]);
    set(v, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
    ck_assert(!rig.irq_line[IRQ]);
    /* The line is driven when it changes and not each time. */
    rig.nr_irqs = 0;
    for (unsigned i = 0; i < 10; i++)
        virtio_device_queue_interrupt(&v->it.dev, i % NR_QUEUES);
    ck_assert_uint_eq(rig.nr_irqs, 1);
    set(v, VIRTIO_MMIO_STATUS, 0);
    ck_assert(!rig.irq_line[IRQ]);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    teardown();
}
END_TEST

/* Of a driver that does not wait: what it does next counts. */
START_TEST(test_reset)
{
    struct vdev *v = setup();

    driver_start(v);
    set(v, VIRTIO_MMIO_QUEUE_SEL, 3);
    set(v, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    set(v, VIRTIO_MMIO_SHM_SEL, 7);
    virtio_device_queue_interrupt(&v->it.dev, 3);
    set(v, VIRTIO_MMIO_QUEUE_NOTIFY, 3);
    set(v, VIRTIO_MMIO_STATUS, 0);
    set(v, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    set(v, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_STATUS), VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    ck_assert_uint_eq(v->it.stops, 1);
    ck_assert(!rig.irq_line[IRQ]);
    ck_assert_uint_eq(v->mmio.queue_select, 0);
    ck_assert_uint_eq(v->mmio.device_feature_select, 0);
    ck_assert_uint_eq(v->mmio.shm_select, 0);
    for (unsigned i = 0; i < NR_QUEUES; i++)
        ck_assert(!virtio_device_queue_enabled(&v->it.dev, i));
    driver_start(v);
    ck_assert_uint_eq(v->it.starts, 2);
    teardown();
}
END_TEST

/* Of a device whose data path takes its time, as with shared memory: what is done meanwhile does not count.
 */
START_TEST(test_slow_reset)
{
    struct vdev *v = setup();

    v->it.slow = true;
    driver_start(v);
    set(v, VIRTIO_MMIO_QUEUE_SEL, 3);
    set(v, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    set(v, VIRTIO_MMIO_SHM_SEL, 7);
    virtio_device_queue_interrupt(&v->it.dev, 3);
    set(v, VIRTIO_MMIO_STATUS, 0);
    /* Under way. Linux does not wait, but looks whether its queues are free, and acknowledges interrupts. */
    ck_assert_uint_ne(get(v, VIRTIO_MMIO_STATUS), 0);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_READY), 0);
    set(v, VIRTIO_MMIO_QUEUE_READY, 0);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_READY), 0);
    set(v, VIRTIO_MMIO_QUEUE_READY, 1);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_READY), 0);
    set(v, VIRTIO_MMIO_QUEUE_NOTIFY, 3);
    ck_assert_uint_eq(v->it.kicks[3], 0);
    set(v, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    ck_assert_uint_ne(get(v, VIRTIO_MMIO_STATUS), VIRTIO_CONFIG_S_ACKNOWLEDGE);
    ck_assert_uint_eq(v->it.stops, 1);
    virtio_device_stopped(&v->it.dev);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_STATUS), 0);
    ck_assert(!rig.irq_line[IRQ]);
    ck_assert_uint_eq(v->mmio.queue_select, 0);
    ck_assert_uint_eq(v->mmio.device_feature_select, 0);
    ck_assert_uint_eq(v->mmio.shm_select, 0);
    v->it.slow = false;
    driver_start(v);
    ck_assert_uint_eq(v->it.starts, 2);
    teardown();
}
END_TEST

START_TEST(test_queue_ready)
{
    struct vdev *v = setup();

    driver_negotiate(v);
    queue_start(v, 2);
    set(v, VIRTIO_MMIO_QUEUE_READY, 2); /* 1 enables, 0 disables, nothing else does anything */
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_READY), 1);
    set(v, VIRTIO_MMIO_QUEUE_NUM, 64); /* too late */
    ck_assert_uint_eq(v->it.state.queues[2].size, 128);
    set(v, VIRTIO_MMIO_QUEUE_READY, 0);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_READY), 0);
    set(v, VIRTIO_MMIO_QUEUE_READY, 0x101);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_READY), 0);
    set(v, VIRTIO_MMIO_QUEUE_NUM, 64);
    ck_assert_uint_eq(v->it.state.queues[2].size, 64);
    set(v, VIRTIO_MMIO_QUEUE_NUM, 0x10020); /* more bits than a size has */
    ck_assert_uint_eq(v->it.state.queues[2].size, 64);
    queue_start(v, 2);
    /* In use it stays in use, and the driver sees that. */
    set(v, VIRTIO_MMIO_STATUS, 15);
    set(v, VIRTIO_MMIO_QUEUE_READY, 0);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_READY), 1);
    set(v, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
    ck_assert_uint_eq(v->it.kicks[2], 1);
    /* One more is not taken any more. */
    set(v, VIRTIO_MMIO_QUEUE_SEL, 1);
    set(v, VIRTIO_MMIO_QUEUE_READY, 1);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_READY), 0);
    teardown();
}
END_TEST

START_TEST(test_absent_queue)
{
    static const uint32_t selects[] = {NR_QUEUES, 63, 64, 0x100, 0x10000, UINT32_MAX};
    struct vdev *v = setup();
    struct virtio_device_state before = v->it.state;

    for (unsigned i = 0; i < ARRAY_SIZE(selects); i++) {
        set(v, VIRTIO_MMIO_QUEUE_SEL, selects[i]);
        ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
        set(v, VIRTIO_MMIO_QUEUE_NUM, 16);
        for (unsigned reg = VIRTIO_MMIO_QUEUE_DESC_LOW; reg <= VIRTIO_MMIO_QUEUE_USED_HIGH; reg += 4)
            set(v, reg, 0x1000);
        set(v, VIRTIO_MMIO_QUEUE_READY, 1);
        ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_READY), 0);
        set(v, VIRTIO_MMIO_QUEUE_READY, 0);
    }
    ck_assert_mem_eq(&before, &v->it.state, sizeof(before));
    teardown();
}
END_TEST

START_TEST(test_no_shared_memory)
{
    static const uint32_t shmids[] = {0, 1, 255, 256, 0x10000, UINT32_MAX};
    struct vdev *v = setup();

    for (unsigned i = 0; i < ARRAY_SIZE(shmids); i++) {
        set(v, VIRTIO_MMIO_SHM_SEL, shmids[i]);
        for (unsigned reg = VIRTIO_MMIO_SHM_LEN_LOW; reg <= VIRTIO_MMIO_SHM_BASE_HIGH; reg += 4)
            ck_assert_uint_eq(get(v, reg), UINT32_MAX);
    }
    teardown();
}
END_TEST

/* ---- any access ---------------------------------------------------------------------------------------- */

/* What each register reads of a device whose driver is up and has selected queue 1 and the second half of the
 * features; all others, which are write-only or not there, 0. */
static uint32_t expected_register(unsigned reg)
{
    switch (reg) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MAGIC;
    case VIRTIO_MMIO_VERSION:
        return 2;
    case VIRTIO_MMIO_DEVICE_ID:
        return COUNTING_ID;
    case VIRTIO_MMIO_VENDOR_ID:
        return VENDOR;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return COUNTING_FEATURES >> 32;
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return COUNTING_QUEUE_SIZE;
    case VIRTIO_MMIO_QUEUE_READY:
        return 1;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return VIRTIO_MMIO_INT_VRING;
    case VIRTIO_MMIO_STATUS:
        return 15;
    case VIRTIO_MMIO_SHM_LEN_LOW:
    case VIRTIO_MMIO_SHM_LEN_HIGH:
    case VIRTIO_MMIO_SHM_BASE_LOW:
    case VIRTIO_MMIO_SHM_BASE_HIGH:
        return UINT32_MAX;
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return 0x5a;
    default:
        return 0;
    }
}

static uint64_t ones(unsigned size)
{
    return size == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * size) - 1;
}

START_TEST(test_register_reads)
{
    struct vdev *v = setup_running();
    uint32_t string[VIRTIO_MMIO_CONFIG / 4];
    uint8_t bytes[VIRTIO_MMIO_CONFIG];

    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned at = 0; at < VIRTIO_MMIO_CONFIG; at++)
            ck_assert_uint_eq(mem_read(&rig, v->base + at, size),
                              size == 4 && at % 4 == 0 ? expected_register(at) : ones(size));
    mem_string(&rig, false, v->base, 4, string, sizeof(string));
    for (unsigned i = 0; i < ARRAY_SIZE(string); i++)
        ck_assert_uint_eq(string[i], expected_register(4 * i));
    mem_string(&rig, false, v->base, 1, bytes, sizeof(bytes));
    for (unsigned i = 0; i < sizeof(bytes); i++)
        ck_assert_uint_eq(bytes[i], 0xff);
    teardown();
}
END_TEST

/* Every write that is not of a whole register, and every one to what is not for writing. */
START_TEST(test_register_writes_ignored)
{
    static const uint8_t read_only[] = {VIRTIO_MMIO_MAGIC_VALUE,
                                        VIRTIO_MMIO_VERSION,
                                        VIRTIO_MMIO_DEVICE_ID,
                                        VIRTIO_MMIO_VENDOR_ID,
                                        VIRTIO_MMIO_DEVICE_FEATURES,
                                        0x18,
                                        0x28,
                                        VIRTIO_MMIO_QUEUE_NUM_MAX,
                                        0x3c,
                                        0x40,
                                        VIRTIO_MMIO_INTERRUPT_STATUS,
                                        VIRTIO_MMIO_SHM_LEN_LOW,
                                        VIRTIO_MMIO_SHM_LEN_HIGH,
                                        VIRTIO_MMIO_SHM_BASE_LOW,
                                        VIRTIO_MMIO_SHM_BASE_HIGH,
                                        0xc0 /* of ring resets */,
                                        VIRTIO_MMIO_CONFIG_GENERATION};
    struct vdev *v = setup_running(), before = *v;

    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned at = 0; at < VIRTIO_MMIO_CONFIG; at++)
            for (unsigned i = 0; i < 2 && (size != 4 || at % 4 != 0); i++)
                mem_write(&rig, v->base + at, size, i == 0 ? 0 : UINT64_MAX);
    for (unsigned i = 0; i < sizeof(read_only); i++) {
        set(v, read_only[i], 0);
        set(v, read_only[i], UINT32_MAX);
    }
    ck_assert_mem_eq(&before, v, sizeof(before));
    teardown();
}
END_TEST

START_TEST(test_config_widths)
{
    struct vdev *v = setup();
    uint8_t image[VIRTIO_MMIO_LEN - VIRTIO_MMIO_CONFIG + 8], back[sizeof(image)];
    uint64_t config = v->base + VIRTIO_MMIO_CONFIG, value;

    memset(image, 0xff, sizeof(image));
    memcpy(image, v->it.dev.config, CONFIG_LEN);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned at = 0; at + size <= VIRTIO_MMIO_LEN - VIRTIO_MMIO_CONFIG; at++) {
            value = 0;
            memcpy(&value, image + at, size);
            ck_assert_uint_eq(mem_read(&rig, config + at, size), value);
        }
    for (unsigned size = 1; size <= 8; size *= 2) {
        mem_string(&rig, false, config, size, back, VIRTIO_MMIO_LEN - VIRTIO_MMIO_CONFIG);
        ck_assert_mem_eq(back, image, VIRTIO_MMIO_LEN - VIRTIO_MMIO_CONFIG);
    }
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned at = 0; at + size <= VIRTIO_MMIO_LEN - VIRTIO_MMIO_CONFIG; at++) {
            bool taken =
                at >= COUNTING_CONFIG_FIRST && at + size <= COUNTING_CONFIG_FIRST + COUNTING_CONFIG_NR;

            value = unit_random();
            mem_write(&rig, config + at, size, value);
            if (taken)
                memcpy(image + at, &value, size);
            ck_assert_mem_eq(image, v->it.dev.config, CONFIG_LEN);
        }
    teardown();
}
END_TEST

/* A driver by string instructions, one of which goes through two devices. */
START_TEST(test_strings)
{
    struct vdev *v = setup();
    uint32_t rings[(VIRTIO_MMIO_QUEUE_USED_HIGH + 4 - VIRTIO_MMIO_QUEUE_DESC_LOW) / 4];
    uint32_t both[2 * VIRTIO_MMIO_LEN / 4];

    vdev_plug(&vdevs[1], false);
    driver_negotiate(v);
    set(v, VIRTIO_MMIO_QUEUE_SEL, 4);
    for (unsigned i = 0; i < ARRAY_SIZE(rings); i++)
        rings[i] = 0x1000 * i;
    mem_string(&rig, true, v->base + VIRTIO_MMIO_QUEUE_DESC_LOW, 4, rings, sizeof(rings));
    ck_assert_uint_eq(v->it.state.queues[4].desc, 0x100000000000);
    ck_assert_uint_eq(v->it.state.queues[4].avail, 0x500000004000);
    ck_assert_uint_eq(v->it.state.queues[4].used, 0x900000008000);
    mem_string(&rig, false, v->base, 4, both, sizeof(both));
    for (unsigned i = 0; i < 2; i++) {
        const uint32_t *of = both + i * VIRTIO_MMIO_LEN / 4;

        ck_assert_uint_eq(of[VIRTIO_MMIO_MAGIC_VALUE / 4], MAGIC);
        ck_assert_uint_eq(of[VIRTIO_MMIO_STATUS / 4], i == 0 ? 11 : 0);
        ck_assert_mem_eq(of + VIRTIO_MMIO_CONFIG / 4, v->it.dev.config, CONFIG_LEN);
        ck_assert_uint_eq(of[VIRTIO_MMIO_LEN / 4 - 1], UINT32_MAX);
    }
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("virtio_mmio");
    TCase *tc = tcase_create("virtio_mmio");

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, test_driver);
    tcase_add_test(tc, test_interrupt);
    tcase_add_test(tc, test_reset);
    tcase_add_test(tc, test_slow_reset);
    tcase_add_test(tc, test_queue_ready);
    tcase_add_test(tc, test_absent_queue);
    tcase_add_test(tc, test_no_shared_memory);
    tcase_add_test(tc, test_register_reads);
    tcase_add_test(tc, test_register_writes_ignored);
    tcase_add_test(tc, test_config_widths);
    tcase_add_test(tc, test_strings);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
