// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * driver_mmio.c - the part of the driver that is of virtio-mmio (virtio 1.2, section 4.2): see
 * driver_transport.h.
 */
#include "tests/local/driver_transport.h"

#include <errno.h>

#define VIRTIO_MMIO_NO_LEGACY
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>

#include "common/util.h"

#define MAGIC      0x74726976 /* 4.2.2 */
#define VERSION    2
#define CONFIG_LEN 256 /* as far as a device can have some (vhost-user) */
#define NONE       UINT32_MAX

/* The registers that are the same as fields of PCI's common configuration. */
static const struct {
    unsigned field, read, write;
} registers[] = {
    {VIRTIO_PCI_COMMON_DFSELECT, NONE, VIRTIO_MMIO_DEVICE_FEATURES_SEL},
    {VIRTIO_PCI_COMMON_DF, VIRTIO_MMIO_DEVICE_FEATURES, NONE},
    {VIRTIO_PCI_COMMON_GFSELECT, NONE, VIRTIO_MMIO_DRIVER_FEATURES_SEL},
    {VIRTIO_PCI_COMMON_GF, NONE, VIRTIO_MMIO_DRIVER_FEATURES},
    {VIRTIO_PCI_COMMON_STATUS, VIRTIO_MMIO_STATUS, VIRTIO_MMIO_STATUS},
    {VIRTIO_PCI_COMMON_CFGGENERATION, VIRTIO_MMIO_CONFIG_GENERATION, NONE},
    {VIRTIO_PCI_COMMON_Q_SELECT, NONE, VIRTIO_MMIO_QUEUE_SEL},
    {VIRTIO_PCI_COMMON_Q_SIZE, VIRTIO_MMIO_QUEUE_NUM_MAX, VIRTIO_MMIO_QUEUE_NUM},
    {VIRTIO_PCI_COMMON_Q_ENABLE, VIRTIO_MMIO_QUEUE_READY, VIRTIO_MMIO_QUEUE_READY},
    {VIRTIO_PCI_COMMON_Q_DESCLO, NONE, VIRTIO_MMIO_QUEUE_DESC_LOW},
    {VIRTIO_PCI_COMMON_Q_DESCHI, NONE, VIRTIO_MMIO_QUEUE_DESC_HIGH},
    {VIRTIO_PCI_COMMON_Q_AVAILLO, NONE, VIRTIO_MMIO_QUEUE_AVAIL_LOW},
    {VIRTIO_PCI_COMMON_Q_AVAILHI, NONE, VIRTIO_MMIO_QUEUE_AVAIL_HIGH},
    {VIRTIO_PCI_COMMON_Q_USEDLO, NONE, VIRTIO_MMIO_QUEUE_USED_LOW},
    {VIRTIO_PCI_COMMON_Q_USEDHI, NONE, VIRTIO_MMIO_QUEUE_USED_HIGH},
};

static uint32_t register_read(struct virtio_driver *drv, unsigned reg)
{
    return (uint32_t)mmio_read(drv->os, drv->mmio.gpa + reg, 4);
}

static void register_write(struct virtio_driver *drv, unsigned reg, uint32_t value)
{
    mmio_write(drv->os, drv->mmio.gpa + reg, 4, value);
}

/* What is not for reading reads 0, as what is not there. */
static uint64_t field_read(struct virtio_driver *drv, unsigned field, uint8_t size)
{
    (void)size;
    for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
        if (registers[i].field == field && registers[i].read != NONE)
            return register_read(drv, registers[i].read);
    return 0;
}

static void field_write(struct virtio_driver *drv, unsigned field, uint8_t size, uint64_t value)
{
    (void)size;
    for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
        if (registers[i].field == field && registers[i].write != NONE)
            register_write(drv, registers[i].write, (uint32_t)value);
}

int virtio_driver_probe_mmio(struct virtio_driver *drv, struct guest_os *os, uint64_t gpa, unsigned irq)
{
    *drv = (struct virtio_driver){.transport = &driver_mmio,
                                  .os = os,
                                  .config_irq = -1,
                                  .mmio = {gpa, VIRTIO_MMIO_CONFIG},
                                  .mmio_irq = irq,
                                  .device = {gpa + VIRTIO_MMIO_CONFIG, CONFIG_LEN}};
    if (register_read(drv, VIRTIO_MMIO_MAGIC_VALUE) != MAGIC ||
        register_read(drv, VIRTIO_MMIO_VERSION) != VERSION)
        return virtio_driver_failed(drv, -ENODEV, "not a modern virtio-mmio device");
    drv->virtio_id = (uint16_t)register_read(drv, VIRTIO_MMIO_DEVICE_ID);
    if (drv->virtio_id == 0)
        return virtio_driver_failed(drv, -ENODEV, "a place without a device");
    for (;; drv->nr_queues_max++) {
        register_write(drv, VIRTIO_MMIO_QUEUE_SEL, drv->nr_queues_max);
        if (register_read(drv, VIRTIO_MMIO_QUEUE_NUM_MAX) == 0)
            return 0;
    }
}

static int irqs_start(struct virtio_driver *drv, const struct driver_options *options)
{
    (void)drv;
    (void)options; /* there is one interrupt, whatever they say */
    return 0;
}

static int queue_connect(struct virtio_driver *drv, unsigned index, const struct driver_options *options)
{
    struct driver_queue *q = &drv->queues[index];

    (void)options;
    q->notify_gpa = drv->mmio.gpa + VIRTIO_MMIO_QUEUE_NOTIFY;
    q->notify_value = index;
    q->notify_size = 4;
    return 0;
}

static bool line_is_up(const struct virtio_driver *drv)
{
    return drv->os->irq_line[drv->mmio_irq];
}

/* The bits are those of PCI's ISR. */
static uint8_t isr_take(struct virtio_driver *drv)
{
    uint32_t status = register_read(drv, VIRTIO_MMIO_INTERRUPT_STATUS);

    register_write(drv, VIRTIO_MMIO_INTERRUPT_ACK, status);
    return (uint8_t)status;
}

static uint64_t register_read_64(struct virtio_driver *drv, unsigned low)
{
    uint64_t value = register_read(drv, low);

    return value | (uint64_t)register_read(drv, low + 4) << 32;
}

static bool shm_find(struct virtio_driver *drv, uint8_t shmid, struct driver_shm *shm)
{
    register_write(drv, VIRTIO_MMIO_SHM_SEL, shmid);
    *shm = (struct driver_shm){.gpa = register_read_64(drv, VIRTIO_MMIO_SHM_BASE_LOW),
                               .len = register_read_64(drv, VIRTIO_MMIO_SHM_LEN_LOW)};
    return shm->len != UINT64_MAX;
}

static void restore(struct virtio_driver *drv)
{
    (void)drv; /* there is nothing that a guest can move */
}

const struct driver_transport driver_mmio = {
    .field_read = field_read,
    .field_write = field_write,
    .irqs_start = irqs_start,
    .queue_connect = queue_connect,
    .line_is_up = line_is_up,
    .isr_take = isr_take,
    .shm_find = shm_find,
    .restore = restore,
};
