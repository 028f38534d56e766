// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_mmio.c - see virtio_mmio.h. Created by the owner of a virtio device.
 *
 * Theory of operation. An access is taken apart into its units (a string instruction has many). Registers are
 * 32 bits wide and are to be accessed as a whole and aligned (4.2.2.2); config space, behind them, may be
 * accessed anyhow. Whoever does otherwise gets an answer all the same:
 *   - a unit below config space that is not one whole register reads all ones, as where there is nothing, so
 *     that half a register is never taken for a value; such a write is ignored;
 *   - a register that is not there, or is not for reading, reads 0, and ignores writes.
 *
 * The interrupt is a level: up while InterruptStatus is not 0, so until the driver has acknowledged all of
 * it.
 */
#include "dm/virtio_mmio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VIRTIO_MMIO_NO_LEGACY
#include <linux/virtio_mmio.h>

#include "dm/guest.h"
#include "dm/shmem.h"

#define MAGIC   0x74726976 /* "virt"; spec 4.2.2 */
#define VERSION 2          /* 4.2.2: not a legacy device */

#define INTERRUPTS (VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG)

_Static_assert(VIRTIO_MMIO_CONFIG + VIRTIO_MAX_CONFIG <= VIRTIO_MMIO_LEN, "config space fits in");

struct virtio_mmio {
    struct virtio_device *dev; /* borrowed */
    struct virtio_mmio_state *state;
    struct virtio_mmio_place place;
    bool line;              /* what the hypervisor was last told */
    uint32_t irq_bit;       /* of guest->device_irqs */
    bool mapped, shm_shown; /* the guest has the registers; the window */
};

/* ---- the interrupt ------------------------------------------------------------------------------------- */

static int line_drive(struct virtio_mmio *vm, bool level)
{
    struct hypervisor *hv = vm->dev->guest->hv;
    int rc = hv->ops->irq_set(hv, vm->place.irq, level);

    if (rc == 0)
        vm->line = level;
    return rc;
}

static void interrupt_set(struct virtio_mmio *vm, uint32_t interrupt)
{
    bool level = interrupt != 0;
    int rc;

    vm->state->interrupt = interrupt;
    if (level == vm->line)
        return;
    rc = line_drive(vm, level);
    if (rc < 0)
        log_limited(&vm->dev->limit, LOG_LEVEL_WARNING, "%s: interrupt line %u cannot be %s: %s",
                    vm->dev->name, vm->place.irq, level ? "raised" : "lowered", strerror(-rc));
}

static void transport_queue_interrupt(void *transport, unsigned queue)
{
    struct virtio_mmio *vm = transport;

    (void)queue; /* a driver looks at all of them */
    interrupt_set(vm, vm->state->interrupt | VIRTIO_MMIO_INT_VRING);
}

static void transport_config_interrupt(void *transport)
{
    struct virtio_mmio *vm = transport;

    interrupt_set(vm, vm->state->interrupt | VIRTIO_MMIO_INT_CONFIG);
}

static void transport_reset(void *transport)
{
    struct virtio_mmio *vm = transport;

    *vm->state = (struct virtio_mmio_state){0};
    interrupt_set(vm, 0);
}

static const struct virtio_transport_ops transport_ops = {
    .queue_interrupt = transport_queue_interrupt,
    .config_interrupt = transport_config_interrupt,
    .reset = transport_reset,
};

/* ---- registers ----------------------------------------------------------------------------------------- */

/* Whether a register is half of a ring's address, and of which. */
static bool is_ring_address(unsigned reg, enum virtio_queue_area *area, bool *high)
{
    switch (reg) {
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        *area = VIRTIO_QUEUE_DESC;
        *high = reg == VIRTIO_MMIO_QUEUE_DESC_HIGH;
        return true;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        *area = VIRTIO_QUEUE_AVAIL;
        *high = reg == VIRTIO_MMIO_QUEUE_AVAIL_HIGH;
        return true;
    case VIRTIO_MMIO_QUEUE_USED_LOW:
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        *area = VIRTIO_QUEUE_USED;
        *high = reg == VIRTIO_MMIO_QUEUE_USED_HIGH;
        return true;
    default:
        return false;
    }
}

/* The length or the base of the selected region; that of one that does not exist is all ones (4.2.2). */
static uint64_t shm_get(const struct virtio_mmio *vm, bool base)
{
    uint32_t shmid = vm->state->shm_select;
    struct shmem_region_info info;

    if (!vm->shm_shown || shmid >= SHMEM_MAX_REGIONS ||
        !shmem_region_find(vm->dev->shmem, (uint8_t)shmid, &info))
        return UINT64_MAX;
    return base ? vm->place.shm_base + info.offset : info.len;
}

static uint32_t register_get(const struct virtio_mmio *vm, unsigned reg)
{
    const struct virtio_device *dev = vm->dev;
    const struct virtio_mmio_state *state = vm->state;

    switch (reg) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MAGIC;
    case VIRTIO_MMIO_VERSION:
        return VERSION;
    case VIRTIO_MMIO_DEVICE_ID:
        return dev->virtio_id;
    case VIRTIO_MMIO_VENDOR_ID:
        return VIRTIO_VENDOR;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return virtio_device_features_get(dev, state->device_feature_select);
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return virtio_device_queue_size_max(dev, state->queue_select);
    case VIRTIO_MMIO_QUEUE_READY:
        return virtio_device_queue_enabled(dev, state->queue_select);
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return state->interrupt;
    case VIRTIO_MMIO_STATUS:
        return virtio_device_status_get(dev);
    case VIRTIO_MMIO_SHM_LEN_LOW:
        return (uint32_t)shm_get(vm, false);
    case VIRTIO_MMIO_SHM_LEN_HIGH:
        return (uint32_t)(shm_get(vm, false) >> 32);
    case VIRTIO_MMIO_SHM_BASE_LOW:
        return (uint32_t)shm_get(vm, true);
    case VIRTIO_MMIO_SHM_BASE_HIGH:
        return (uint32_t)(shm_get(vm, true) >> 32);
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return virtio_device_generation_get(dev);
    default: /* write-only, or not there */
        return 0;
    }
}

static void queue_ready_set(struct virtio_mmio *vm, uint32_t value)
{
    if (value == 1)
        virtio_device_queue_enable(vm->dev, vm->state->queue_select);
    else if (value == 0)
        virtio_device_queue_disable(vm->dev, vm->state->queue_select);
}

static void register_set(struct virtio_mmio *vm, unsigned reg, uint32_t value)
{
    struct virtio_device *dev = vm->dev;
    struct virtio_mmio_state *state = vm->state;
    enum virtio_queue_area area;
    bool high;

    switch (reg) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        state->device_feature_select = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        state->driver_feature_select = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        virtio_device_driver_features_set(dev, state->driver_feature_select, value);
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        state->queue_select = value;
        break;
    case VIRTIO_MMIO_QUEUE_NUM: /* 0, which is no size, for what has more bits than a size */
        virtio_device_queue_size_set(dev, state->queue_select, value <= UINT16_MAX ? (uint16_t)value : 0);
        break;
    case VIRTIO_MMIO_QUEUE_READY:
        queue_ready_set(vm, value);
        break;
    case VIRTIO_MMIO_QUEUE_NOTIFY: /* nothing but the queue: VIRTIO_F_NOTIFICATION_DATA is not offered */
        virtio_device_notify(dev, value);
        break;
    case VIRTIO_MMIO_INTERRUPT_ACK:
        interrupt_set(vm, state->interrupt & ~value);
        break;
    case VIRTIO_MMIO_STATUS:
        virtio_device_status_set(dev, (uint8_t)value);
        break;
    case VIRTIO_MMIO_SHM_SEL:
        state->shm_select = value;
        break;
    default: /* a ring's address, read-only, or not there */
        if (is_ring_address(reg, &area, &high))
            virtio_device_queue_addr_set(dev, state->queue_select, area, high, value);
        break;
    }
}

static void unit_access(void *opaque, uint64_t offset, struct guest_access *unit)
{
    struct virtio_mmio *vm = opaque;

    if (offset >= VIRTIO_MMIO_CONFIG) {
        if (unit->write)
            virtio_device_config_write(vm->dev, offset - VIRTIO_MMIO_CONFIG, unit->data, unit->size);
        else
            virtio_device_config_read(vm->dev, offset - VIRTIO_MMIO_CONFIG, unit->data, unit->size);
        return;
    }
    if (unit->size != sizeof(uint32_t) || offset % sizeof(uint32_t) != 0) {
        if (!unit->write)
            memset(unit->data, 0xff, unit->size);
        return;
    }
    if (unit->write)
        register_set(vm, (unsigned)offset, (uint32_t)access_get(unit, 0));
    else
        access_set(unit, 0, register_get(vm, (unsigned)offset));
}

static void register_access(void *opaque, uint64_t offset, struct guest_access *access)
{
    access_units(access, offset, unit_access, opaque);
}

/* ---- life cycle ---------------------------------------------------------------------------------------- */

static const char *line_error(int rc)
{
    return rc == -ENOTSUP ? "this guest has no interrupt lines (a PVH guest has none): it needs transport=pci"
           : rc == -EINVAL ? "the guest has no interrupt line for devices of the number that irq= says"
                           : "its interrupt line cannot be driven";
}

/* Gives the guest the registers, and the window if there is one. */
static int show(struct virtio_mmio *vm, const char **why)
{
    struct virtio_device *dev = vm->dev;
    int rc = guest_mmio_add(dev->guest, vm->place.base, VIRTIO_MMIO_LEN, register_access, vm);

    vm->mapped = rc == 0;
    *why = rc == -EEXIST ? "something else is at the address that base= says" : "it cannot be put at base=";
    if (rc < 0 || dev->shmem == NULL)
        return rc;
    rc = shmem_show(dev->shmem, vm->place.shm_base);
    vm->shm_shown = rc == 0;
    *why = rc == -EEXIST
               ? "something else is where its shared memory is to be: the window from shm-base= on is "
                 "as long as all its regions together, rounded up to a power of two"
               : "its shared memory cannot be put at shm-base=";
    return rc;
}

static int place_check(const struct virtio_device *dev, const struct virtio_mmio_place *place,
                       const char **why)
{
    if (place->base == 0 || place->base % VIRTIO_MMIO_LEN != 0) {
        *why = "base= is no multiple of 0x200";
        return -EINVAL;
    }
    if (dev->shmem == NULL)
        return 0;
    *why = place->shm_base == 0
               ? "its back-end has shared memory: say where the guest is to see it with shm-base="
               : "shm-base= is no multiple of 4K, or leaves no room for the shared memory";
    return place->shm_base != 0 && place->shm_base % GUEST_PAGE_SIZE == 0 &&
                   range_within(place->shm_base, shmem_window_len(dev->shmem), UINT64_MAX)
               ? 0
               : -EINVAL;
}

int virtio_mmio_new(struct virtio_mmio **out, struct virtio_device *dev,
                    const struct virtio_mmio_place *place, struct virtio_mmio_state *state, bool resumed,
                    const char **why)
{
    struct virtio_mmio *vm;
    int rc = place_check(dev, place, why);

    if (rc < 0)
        return rc;
    *why = "not enough memory";
    vm = calloc(1, sizeof(*vm));
    if (vm == NULL)
        return -ENOMEM;
    vm->dev = dev;
    vm->state = state;
    vm->place = *place;
    if (resumed)
        state->interrupt &= INTERRUPTS; /* it comes from a file that may be damaged */
    else
        *state = (struct virtio_mmio_state){0};
    /* A predecessor may have died anywhere between changing the state and telling the hypervisor. */
    rc = line_drive(vm, state->interrupt != 0);
    if (rc < 0)
        *why = line_error(rc);
    else
        rc = show(vm, why);
    if (rc < 0) {
        virtio_mmio_free(vm);
        return rc;
    }
    vm->irq_bit = place->irq < 32 ? 1u << place->irq : 0;
    dev->guest->device_irqs |= vm->irq_bit;
    dev->transport_ops = &transport_ops;
    dev->transport = vm;
    *out = vm;
    return 0;
}

void virtio_mmio_free(struct virtio_mmio *vm)
{
    if (vm == NULL)
        return;
    if (vm->shm_shown)
        shmem_hide(vm->dev->shmem);
    if (vm->mapped)
        guest_mmio_remove(vm->dev->guest, vm->place.base, VIRTIO_MMIO_LEN);
    if (vm->line)
        line_drive(vm, false);
    vm->dev->guest->device_irqs &= ~vm->irq_bit;
    vm->dev->transport_ops = NULL;
    vm->dev->transport = NULL;
    free(vm);
}
