// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mmio_guest.c - see mmio_guest.h.
 */
#include "tests/unit/mmio_guest.h"

#include <check.h>
#include <string.h>

#define VIRTIO_MMIO_NO_LEGACY
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

/* ---- devices ------------------------------------------------------------------------------------------- */

struct rig rig;
struct vdev vdevs[2];

void vdev_plug(struct vdev *v, bool resumed)
{
    struct virtio_mmio_place place = {.base = RIG_LOW + (uint64_t)(v - vdevs) * VIRTIO_MMIO_LEN,
                                      .irq = IRQ + (uint32_t)(v - vdevs)};
    const char *why = NULL;

    counting_device_init(&v->it, &rig.guest, NR_QUEUES, CONFIG_LEN, resumed);
    ck_assert_msg(virtio_mmio_new(&v->vm, &v->it.dev, &place, &v->mmio, resumed, &why) == 0, "%s", why);
    v->base = place.base;
    v->irq = place.irq;
    virtio_device_resume(&v->it.dev);
}

static void vdev_unplug(struct vdev *v)
{
    virtio_mmio_free(v->vm);
    if (v->vm != NULL)
        virtio_device_fini(&v->it.dev);
    v->vm = NULL;
}

struct vdev *setup(void)
{
    memset(vdevs, 0, sizeof(vdevs));
    rig_start(&rig, rig_hvm());
    vdev_plug(&vdevs[0], false);
    return &vdevs[0];
}

void teardown(void)
{
    vdev_unplug(&vdevs[0]);
    vdev_unplug(&vdevs[1]);
    for (unsigned i = 0; i < RIG_NR_IRQS; i++)
        ck_assert(!rig.irq_line[i]);
    rig_end(&rig);
}

/* ---- a driver ------------------------------------------------------------------------------------------ */

uint32_t get(const struct vdev *v, unsigned reg)
{
    return (uint32_t)mem_read(&rig, v->base + reg, 4);
}

void set(const struct vdev *v, unsigned reg, uint32_t value)
{
    mem_write(&rig, v->base + reg, 4, value);
}

static uint64_t ring_of(unsigned queue)
{
    return (uint64_t)(0x10 + queue) << 32 | (MIB(1) + queue * KIB(64));
}

void queue_start(const struct vdev *v, unsigned queue)
{
    static const struct {
        unsigned low;
        uint64_t offset;
    } areas[] = {{VIRTIO_MMIO_QUEUE_DESC_LOW, 0},
                 {VIRTIO_MMIO_QUEUE_AVAIL_LOW, KIB(16)},
                 {VIRTIO_MMIO_QUEUE_USED_LOW, KIB(32)}};
    const struct virtio_queue_state *q = &v->it.state.queues[queue];

    set(v, VIRTIO_MMIO_QUEUE_SEL, queue);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_READY), 0);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_NUM_MAX), COUNTING_QUEUE_SIZE);
    set(v, VIRTIO_MMIO_QUEUE_NUM, 128);
    for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
        set(v, areas[i].low, (uint32_t)(ring_of(queue) + areas[i].offset));
        set(v, areas[i].low + 4, (uint32_t)((ring_of(queue) + areas[i].offset) >> 32));
    }
    set(v, VIRTIO_MMIO_QUEUE_READY, 1);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_QUEUE_READY), 1);
    ck_assert_uint_eq(q->size, 128);
    ck_assert_uint_eq(q->desc, ring_of(queue));
    ck_assert_uint_eq(q->avail, ring_of(queue) + KIB(16));
    ck_assert_uint_eq(q->used, ring_of(queue) + KIB(32));
}

void driver_negotiate(const struct vdev *v)
{
    set(v, VIRTIO_MMIO_STATUS, 0);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_STATUS), 0);
    set(v, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    set(v, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    for (unsigned i = 0; i < 2; i++) {
        set(v, VIRTIO_MMIO_DEVICE_FEATURES_SEL, i);
        ck_assert_uint_eq(get(v, VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)(COUNTING_FEATURES >> 32 * i));
        set(v, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
        set(v, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(COUNTING_FEATURES >> 32 * i));
    }
    set(v, VIRTIO_MMIO_STATUS, 11);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_STATUS), 11);
    ck_assert_uint_eq(v->it.state.driver_features, COUNTING_FEATURES);
}

void driver_start(const struct vdev *v)
{
    driver_negotiate(v);
    for (unsigned i = 0; i < NR_QUEUES; i++)
        queue_start(v, i);
    set(v, VIRTIO_MMIO_STATUS, 15);
    ck_assert_uint_eq(get(v, VIRTIO_MMIO_STATUS), 15);
}

struct vdev *setup_running(void)
{
    struct vdev *v = setup();

    driver_start(v);
    set(v, VIRTIO_MMIO_QUEUE_SEL, 1);
    virtio_device_queue_interrupt(&v->it.dev, 1);
    v->it.state.config_generation = 0x5a;
    return v;
}
