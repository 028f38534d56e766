// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_driver.c - see virtio_driver.h.
 */
#include "tests/local/virtio_driver.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "common/util.h"
#include "tests/local/driver_transport.h"

#define ISR_QUEUE     0x1  /* 4.1.4.5 */
#define RESET_SECONDS 15.0 /* more than the device model gives a back-end that does not answer */

int virtio_driver_failed(struct virtio_driver *drv, int err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(drv->error, sizeof(drv->error), fmt, ap);
    va_end(ap);
    return err;
}

/* ---- registers ---------------------------------------------------------------------------------- */

uint64_t virtio_driver_common_read(struct virtio_driver *drv, unsigned offset, uint8_t size)
{
    return drv->transport->field_read(drv, offset, size);
}

void virtio_driver_common_write(struct virtio_driver *drv, unsigned offset, uint8_t size, uint64_t value)
{
    drv->transport->field_write(drv, offset, size, value);
}

uint8_t virtio_driver_status(struct virtio_driver *drv)
{
    return (uint8_t)virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_STATUS, 1);
}

void virtio_driver_status_add(struct virtio_driver *drv, uint8_t bits)
{
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_STATUS, 1, virtio_driver_status(drv) | bits);
}

void virtio_driver_config(struct virtio_driver *drv, unsigned offset, void *buf, size_t len)
{
    uint8_t *bytes = buf;
    uint64_t before, after;

    do {
        before = virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)mmio_read(drv->os, drv->device.gpa + offset + i, 1);
        after = virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
    } while (before != after);
}

void virtio_driver_restore(struct virtio_driver *drv)
{
    drv->transport->restore(drv);
}

/* ---- start -------------------------------------------------------------------------------------- */

static bool status_is_zero(void *ctx)
{
    return virtio_driver_status(ctx) == 0;
}

int virtio_driver_reset(struct virtio_driver *drv, double seconds)
{
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    if (!guest_os_wait(drv->os, status_is_zero, drv, seconds))
        return virtio_driver_failed(drv, -ETIMEDOUT, "status still reads 0x%x %g s after a reset",
                                    virtio_driver_status(drv), seconds);
    return 0;
}

int virtio_driver_negotiate(struct virtio_driver *drv, uint64_t features)
{
    virtio_driver_status_add(drv, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    virtio_driver_status_add(drv, VIRTIO_CONFIG_S_DRIVER);
    drv->offered = 0;
    for (unsigned half = 0; half < 2; half++) {
        virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_DFSELECT, 4, half);
        drv->offered |= virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_DF, 4) << (32 * half);
    }
    for (unsigned half = 0; half < 2; half++) {
        virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_GFSELECT, 4, half);
        virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(features >> (32 * half)));
    }
    virtio_driver_status_add(drv, VIRTIO_CONFIG_S_FEATURES_OK);
    if (!(virtio_driver_status(drv) & VIRTIO_CONFIG_S_FEATURES_OK))
        return virtio_driver_failed(drv, -ENOTSUP, "features 0x%llx refused, 0x%llx offered",
                                    (unsigned long long)features, (unsigned long long)drv->offered);
    drv->features = features;
    return 0;
}

void virtio_driver_queue_program(struct virtio_driver *drv, unsigned index, uint64_t desc, uint64_t avail,
                                 uint64_t used)
{
    const struct {
        unsigned reg;
        uint64_t value;
    } areas[] = {{VIRTIO_PCI_COMMON_Q_DESCLO, desc},
                 {VIRTIO_PCI_COMMON_Q_AVAILLO, avail},
                 {VIRTIO_PCI_COMMON_Q_USEDLO, used}};

    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
    for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
        virtio_driver_common_write(drv, areas[i].reg, 4, (uint32_t)areas[i].value);
        virtio_driver_common_write(drv, areas[i].reg + 4, 4, (uint32_t)(areas[i].value >> 32));
    }
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

static int queue_start(struct virtio_driver *drv, unsigned index, const struct driver_options *options)
{
    struct driver_queue *q = &drv->queues[index];
    uint16_t size;
    int err;

    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
    size = (uint16_t)virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_Q_SIZE, 2);
    if (size == 0)
        return virtio_driver_failed(drv, -ENODEV, "queue %u does not exist", index);
    size = (uint16_t)MIN(size, options->queue_size != 0 ? options->queue_size : DRIVER_QUEUE_MAX);
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
    if (drv->transport->tells_queue_size &&
        virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_Q_SIZE, 2) != size)
        return virtio_driver_failed(drv, -EIO, "queue %u: size %u refused", index, size);
    err = driver_queue_init(q, drv->os, size, drv->features >> VIRTIO_RING_F_EVENT_IDX & 1,
                            drv->features >> VIRTIO_RING_F_INDIRECT_DESC & 1);
    if (err < 0)
        return virtio_driver_failed(drv, err, "no guest memory for queue %u", index);
    err = drv->transport->queue_connect(drv, index, options);
    if (err < 0)
        return err;
    virtio_driver_queue_program(drv, index, q->desc, q->avail, q->used);
    if (virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_Q_ENABLE, 2) != 1)
        return virtio_driver_failed(drv, -EIO, "queue %u: not enabled", index);
    return 0;
}

int virtio_driver_start(struct virtio_driver *drv, const struct driver_options *options)
{
    int err = virtio_driver_reset(drv, RESET_SECONDS);
    uint64_t features;

    if (err < 0)
        return err;
    drv->nr_queues = MIN(MIN(options->nr_queues, drv->nr_queues_max), DRIVER_MAX_QUEUES);
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
    features = virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_DF, 4);
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
    features |= virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_DF, 4) << 32;
    err = virtio_driver_negotiate(drv, features & (options->features | 1ULL << VIRTIO_F_VERSION_1));
    if (err == 0)
        err = drv->transport->irqs_start(drv, options);
    for (unsigned i = 0; err == 0 && i < drv->nr_queues; i++)
        err = queue_start(drv, i, options);
    if (err < 0)
        return err;
    if (drv->config_irq >= 0)
        drv->config_irq_seen = drv->os->irq_count[drv->config_irq];
    drv->isr_config = false;
    memset(drv->isr_queue, 0, sizeof(drv->isr_queue));
    virtio_driver_status_add(drv, VIRTIO_CONFIG_S_DRIVER_OK);
    return 0;
}

/* ---- interrupts --------------------------------------------------------------------------------- */

static bool uses_msix(const struct virtio_driver *drv)
{
    return drv->nr_queues > 0 && drv->queues[0].irq >= 0;
}

/* Without MSI-X a level interrupt says only that the ISR is worth reading, which clears it. */
static void isr_take(struct virtio_driver *drv)
{
    uint8_t isr = drv->transport->line_is_up(drv) ? drv->transport->isr_take(drv) : 0;

    if (isr & VIRTIO_PCI_ISR_CONFIG)
        drv->isr_config = true;
    for (unsigned i = 0; i < drv->nr_queues && isr & ISR_QUEUE; i++)
        drv->isr_queue[i] = true;
}

bool virtio_driver_has_interrupt(const struct virtio_driver *drv)
{
    bool any = !uses_msix(drv) && drv->transport->line_is_up(drv);

    for (unsigned i = 0; i < drv->nr_queues; i++) {
        const struct driver_queue *q = &drv->queues[i];

        any |= drv->isr_queue[i] || (q->irq >= 0 && drv->os->irq_count[q->irq] != q->irq_seen);
    }
    return any;
}

static bool take(bool *flag)
{
    bool was = *flag;

    *flag = false;
    return was;
}

bool virtio_driver_queue_interrupted(struct virtio_driver *drv, unsigned index)
{
    if (uses_msix(drv))
        return driver_queue_interrupted(&drv->queues[index]);
    isr_take(drv);
    return take(&drv->isr_queue[index]);
}

bool virtio_driver_config_interrupted(struct virtio_driver *drv)
{
    uint64_t seen = drv->config_irq_seen;

    if (uses_msix(drv)) {
        drv->config_irq_seen = drv->os->irq_count[drv->config_irq];
        return drv->config_irq_seen != seen;
    }
    isr_take(drv);
    return take(&drv->isr_config);
}
