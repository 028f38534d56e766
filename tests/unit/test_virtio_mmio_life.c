// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_virtio_mmio_life.c - virtio-mmio devices that come to their places or are refused, that go on where a
 * predecessor left them, and that are driven by a guest that does anything.
 */
#include <check.h>
#include <errno.h>
#include <string.h>

#define VIRTIO_MMIO_NO_LEGACY
#include <linux/virtio_mmio.h>

#include "tests/unit/mmio_guest.h"
#include "tests/unit/unit.h"

/* ---- places -------------------------------------------------------------------------------------------- */

START_TEST(test_refused)
{
    static const struct {
        struct virtio_mmio_place place;
        int err;
    } cases[] = {
        {{.base = 0, .irq = 5}, -EINVAL},
        {{.base = RIG_LOW + 0x400 + 0x100, .irq = 5}, -EINVAL},
        {{.base = MIB(1), .irq = 5}, -EEXIST},  /* RAM */
        {{.base = RIG_LOW, .irq = 5}, -EEXIST}, /* the other device */
        {{.base = UINT64_MAX - VIRTIO_MMIO_LEN + 1, .irq = RIG_NR_IRQS}, -EINVAL},
    };
    struct vdev *v = setup();
    struct virtio_mmio_state state;
    struct virtio_mmio *vm;
    size_t nr_regions = region_table_count(rig.guest.regions);

    counting_device_init(&vdevs[1].it, &rig.guest, NR_QUEUES, CONFIG_LEN, false);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *why = NULL;

        ck_assert_int_eq(virtio_mmio_new(&vm, &vdevs[1].it.dev, &cases[i].place, &state, false, &why),
                         cases[i].err);
        ck_assert_ptr_nonnull(why);
        ck_assert_uint_eq(region_table_count(rig.guest.regions), nr_regions);
    }
    virtio_device_fini(&vdevs[1].it.dev);
    driver_start(v);
    teardown();
}
END_TEST

/* Where there are no interrupt lines: never is one driven. */
START_TEST(test_guest_without_lines)
{
    const struct virtio_mmio_place place = {.base = RIG_LOW, .irq = IRQ};
    struct vdev *v = &vdevs[0];
    const char *why = NULL;

    memset(vdevs, 0, sizeof(vdevs));
    rig_start(&rig, rig_pvh());
    counting_device_init(&v->it, &rig.guest, NR_QUEUES, CONFIG_LEN, false);
    ck_assert_int_eq(virtio_mmio_new(&v->vm, &v->it.dev, &place, &v->mmio, false, &why), -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(why, "transport=pci"));
    ck_assert_uint_eq(mem_read(&rig, RIG_LOW, 4), UINT32_MAX);
    virtio_device_fini(&v->it.dev);
    teardown();
}
END_TEST

START_TEST(test_last_place)
{
    const struct virtio_mmio_place place = {.base = UINT64_MAX - VIRTIO_MMIO_LEN + 1, .irq = IRQ};
    struct vdev *v = &vdevs[0];
    const char *why = NULL;

    memset(vdevs, 0, sizeof(vdevs));
    rig_start(&rig, rig_hvm());
    counting_device_init(&v->it, &rig.guest, NR_QUEUES, VIRTIO_MAX_CONFIG, false);
    ck_assert_msg(virtio_mmio_new(&v->vm, &v->it.dev, &place, &v->mmio, false, &why) == 0, "%s", why);
    ck_assert_uint_eq(mem_read(&rig, UINT64_MAX, 1), (0x80 + 255) & 0xff);
    teardown();
}
END_TEST

/* ---- a new process for the same guest ------------------------------------------------------------------ */

START_TEST(test_resume)
{
    struct vdev *v = setup_running();
    struct virtio_mmio_state mmio;
    struct virtio_device_state state = v->it.state;

    set(v, VIRTIO_MMIO_SHM_SEL, 3);
    mmio = v->mmio;
    ck_assert_uint_eq(mmio.interrupt, VIRTIO_MMIO_INT_VRING);
    teardown();
    rig_start(&rig, rig_hvm());
    vdev_plug(v, true);
    ck_assert_mem_eq(&mmio, &v->mmio, sizeof(mmio));
    ck_assert_mem_eq(&state, &v->it.state, offsetof(struct virtio_device_state, queues[NR_QUEUES]));
    ck_assert_uint_eq(v->it.starts, 2);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_STATUS), 15);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_READY), 1);
    /* An interrupt that was not acknowledged. */
    ck_assert(rig.irq_line[IRQ]);
    set(v, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
    ck_assert(!rig.irq_line[IRQ]);
    set(v, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    ck_assert_uint_eq(v->it.kicks[1], 1);
    teardown();
    /* One that was, but the predecessor died before it lowered the line. */
    rig_start(&rig, rig_hvm());
    rig.irq_line[IRQ] = true;
    vdev_plug(v, true);
    ck_assert(!rig.irq_line[IRQ]);
    teardown();
}
END_TEST

START_TEST(test_resume_damaged)
{
    unit_random_start();
    for (unsigned long round = unit_count(2000); round > 0; round--) {
        struct vdev *v = &vdevs[0];
        uint8_t *bytes = (uint8_t *)&v->mmio;

        memset(vdevs, 0, sizeof(vdevs));
        rig_start(&rig, rig_hvm());
        for (size_t i = 0; i < sizeof(v->mmio); i++)
            bytes[i] = (uint8_t)unit_random();
        vdev_plug(v, true);
        ck_assert_uint_le(get(v, VIRTIO_MMIO_INTERRUPT_STATUS), 3);
        ck_assert_int_eq(rig.irq_line[IRQ], get(v, VIRTIO_MMIO_INTERRUPT_STATUS) != 0);
        for (unsigned reg = 0; reg < VIRTIO_MMIO_LEN; reg += 4)
            get(v, reg);
        driver_start(v);
        virtio_device_queue_interrupt(&v->it.dev, 1);
        ck_assert(rig.irq_line[IRQ]);
        teardown();
    }
}
END_TEST

/* ---- a hostile guest ----------------------------------------------------------------------------------- */

static uint64_t some_value(void)
{
    return unit_random_below(3) == 0 ? unit_random() : unit_random_below(20);
}

static void fuzz_once(struct vdev *v)
{
    uint32_t data[256];
    unsigned size = 1u << unit_random_below(4);
    uint64_t gpa = v->base + unit_random_below(VIRTIO_MMIO_LEN);

    if (unit_random_below(4) != 0) {
        size = 4;
        gpa &= ~(uint64_t)3;
    }
    switch (unit_random_below(16)) {
    case 0:
        v->it.dev.transport_ops->queue_interrupt(v->it.dev.transport, (unsigned)unit_random_below(99));
        break;
    case 1:
        v->it.dev.transport_ops->config_interrupt(v->it.dev.transport);
        break;
    case 2:
        for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
            data[i] = (uint32_t)some_value();
        mem_string(&rig, unit_random_below(2) == 1, gpa, size, data,
                   size * (1 + unit_random_below(sizeof(data) / 8)));
        break;
    case 3:
        virtio_device_stopped(&v->it.dev);
        break;
    case 4:
    case 5:
    case 6:
        mem_read(&rig, gpa, size);
        break;
    default:
        mem_write(&rig, gpa, size, some_value());
        break;
    }
}

START_TEST(test_fuzz)
{
    setup();
    vdev_plug(&vdevs[1], false);
    vdevs[1].it.slow = true;
    unit_random_start();
    for (unsigned long n = unit_count(500000); n > 0; n--) {
        struct vdev *v = &vdevs[unit_random_below(2)];

        if (n % 500 == 0) {
            set(v, VIRTIO_MMIO_STATUS, 0);
            virtio_device_stopped(&v->it.dev);
            driver_start(v);
        }
        fuzz_once(v);
        for (unsigned i = 0; i < 2; i++) {
            unit_expect(vdevs[i].mmio.interrupt <= 3);
            unit_expect_eq(rig.irq_line[IRQ + i], vdevs[i].mmio.interrupt != 0);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        struct vdev *v = &vdevs[i];

        ck_assert_uint_ge(v->it.starts, unit_count(300)); /* it got as far as that */
        set(v, VIRTIO_MMIO_STATUS, 0);
        virtio_device_stopped(&v->it.dev);
        driver_start(v);
        virtio_device_queue_interrupt(&v->it.dev, 1);
        ck_assert_uint_eq(get(v, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    }
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("virtio_mmio_life");
    TCase *tc = tcase_create("virtio_mmio_life");

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_guest_without_lines);
    tcase_add_test(tc, test_last_place);
    tcase_add_test(tc, test_resume);
    tcase_add_test(tc, test_resume_damaged);
    tcase_add_test(tc, test_fuzz);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
