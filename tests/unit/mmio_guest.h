/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mmio_guest.h - a guest with virtio-mmio devices whose data paths only count, and a driver of them that uses
 * whole registers. Used by test_virtio_mmio.c and test_virtio_mmio_life.c.
 */
#ifndef VHOST_DM_TESTS_MMIO_GUEST_H
#define VHOST_DM_TESTS_MMIO_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "dm/virtio_mmio.h"
#include "tests/unit/counting_device.h"
#include "tests/unit/pci_guest.h"

#define CONFIG_LEN 60
#define NR_QUEUES  5
#define IRQ        3 /* of the first device; the second has the next */

struct vdev {
    struct counting_device it;
    struct virtio_mmio_state mmio;
    struct virtio_mmio *vm;
    uint64_t base;
    unsigned irq;
};

extern struct rig rig;
extern struct vdev vdevs[2]; /* one right behind the other, in one page */

/* A guest with the first device / whose driver is up, has selected queue 1 and the second half of the
 * features, has an interrupt of a queue, and sees 0x5a as the generation of config space. */
struct vdev *setup(void);
struct vdev *setup_running(void);
/* Ends all; the interrupt lines must be down then. */
void teardown(void);
/* A device of a guest that is there already; resumed: as v->it.state and v->mmio say. */
void vdev_plug(struct vdev *v, bool resumed);

/* A register. */
uint32_t get(const struct vdev *v, unsigned reg);
void set(const struct vdev *v, unsigned reg, uint32_t value);
/* The initialisation of spec 3.1.1: up to FEATURES_OK; of one queue; all of it. */
void driver_negotiate(const struct vdev *v);
void queue_start(const struct vdev *v, unsigned queue);
void driver_start(const struct vdev *v);

#endif
