// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * driver_pci.c - the part of the driver that is of virtio-pci (virtio 1.2, section 4.1): see
 * driver_transport.h.
 */
#include "tests/local/driver_transport.h"

#include <errno.h>
#include <stddef.h>

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "common/util.h"

#define VIRTIO_VENDOR      0x1af4 /* virtio 1.2, 4.1.2 */
#define VIRTIO_DEVICE_BASE 0x1040
#define CAP64(member)      ((unsigned)offsetof(struct virtio_pci_cap64, member))

static uint64_t field_read(struct virtio_driver *drv, unsigned field, uint8_t size)
{
    return mmio_read(drv->os, drv->common.gpa + field, size);
}

static void field_write(struct virtio_driver *drv, unsigned field, uint8_t size, uint64_t value)
{
    mmio_write(drv->os, drv->common.gpa + field, size, value);
}

/* ---- probe -------------------------------------------------------------------------------------- */

/* Where a virtio capability points; 4.1.4: values of bar above 5 and what does not fit are ignored. */
static struct driver_window window_read(struct virtio_driver *drv, unsigned cap)
{
    uint8_t bar = (uint8_t)config_read(drv->os, drv->sbdf, cap + VIRTIO_PCI_CAP_BAR, 1);
    uint32_t offset = config_read(drv->os, drv->sbdf, cap + VIRTIO_PCI_CAP_OFFSET, 4);
    uint32_t len = config_read(drv->os, drv->sbdf, cap + VIRTIO_PCI_CAP_LENGTH, 4);

    if (bar > 5 || drv->bars[bar] == 0 || !range_within(offset, len, drv->bar_lens[bar]))
        return (struct driver_window){0};
    return (struct driver_window){.gpa = drv->bars[bar] + offset, .len = len};
}

static int find_windows(struct virtio_driver *drv)
{
    unsigned cap = 0;

    while ((cap = guest_os_find_cap(drv->os, drv->sbdf, PCI_CAP_ID_VNDR, cap)) != 0) {
        uint8_t type = (uint8_t)config_read(drv->os, drv->sbdf, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1);
        struct driver_window window = window_read(drv, cap);
        struct driver_window *wanted = type == VIRTIO_PCI_CAP_COMMON_CFG   ? &drv->common
                                       : type == VIRTIO_PCI_CAP_NOTIFY_CFG ? &drv->notify
                                       : type == VIRTIO_PCI_CAP_ISR_CFG    ? &drv->isr
                                       : type == VIRTIO_PCI_CAP_DEVICE_CFG ? &drv->device
                                                                           : NULL;

        if (wanted != NULL && wanted->len == 0) { /* the first of a kind that can be used */
            *wanted = window;
            if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
                drv->notify_multiplier = config_read(drv->os, drv->sbdf, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
        }
        if (type == VIRTIO_PCI_CAP_PCI_CFG && drv->cfg_cap == 0)
            drv->cfg_cap = cap;
    }
    if (drv->common.len < VIRTIO_PCI_COMMON_Q_NDATA)
        return virtio_driver_failed(drv, -ENODEV, "no common configuration");
    if (drv->notify.len < 2 || drv->isr.len < 1)
        return virtio_driver_failed(drv, -ENODEV, "no notify or no ISR structure");
    if (drv->cfg_cap == 0)
        return virtio_driver_failed(drv, -ENODEV, "no PCI configuration access capability");
    return 0;
}

static int msix_find(struct virtio_driver *drv)
{
    uint32_t table, pba;

    drv->msix_cap = guest_os_find_cap(drv->os, drv->sbdf, PCI_CAP_ID_MSIX, 0);
    if (drv->msix_cap == 0)
        return virtio_driver_failed(drv, -ENODEV, "no MSI-X capability");
    table = config_read(drv->os, drv->sbdf, drv->msix_cap + PCI_MSIX_TABLE, 4);
    pba = config_read(drv->os, drv->sbdf, drv->msix_cap + PCI_MSIX_PBA, 4);
    drv->nr_vectors =
        (config_read(drv->os, drv->sbdf, drv->msix_cap + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
    if ((table & PCI_MSIX_TABLE_BIR) > 5 || (pba & PCI_MSIX_PBA_BIR) > 5)
        return virtio_driver_failed(drv, -ENODEV, "MSI-X points to no BAR");
    drv->msix_table = drv->bars[table & PCI_MSIX_TABLE_BIR] + (table & PCI_MSIX_TABLE_OFFSET);
    drv->msix_pba = drv->bars[pba & PCI_MSIX_PBA_BIR] + (pba & PCI_MSIX_PBA_OFFSET);
    return 0;
}

static int irqs_alloc(struct virtio_driver *drv)
{
    drv->config_irq = guest_os_irq_alloc(drv->os);
    for (unsigned i = 0; i < DRIVER_MAX_QUEUES; i++)
        drv->queue_irqs[i] = guest_os_irq_alloc(drv->os);
    return drv->queue_irqs[DRIVER_MAX_QUEUES - 1] < 0
               ? virtio_driver_failed(drv, -ENOSPC, "no interrupt numbers left")
               : 0;
}

int virtio_driver_probe(struct virtio_driver *drv, struct guest_os *os, uint32_t sbdf)
{
    unsigned device;
    int err;

    *drv = (struct virtio_driver){.transport = &driver_pci, .os = os, .sbdf = sbdf, .config_irq = -1};
    device = config_read(os, sbdf, PCI_DEVICE_ID, 2);
    if (config_read(os, sbdf, PCI_VENDOR_ID, 2) != VIRTIO_VENDOR || device < VIRTIO_DEVICE_BASE)
        return virtio_driver_failed(drv, -ENODEV, "not a modern virtio device");
    drv->virtio_id = (uint16_t)(device - VIRTIO_DEVICE_BASE);
    err = guest_os_assign_bars(os, sbdf, drv->bars, drv->bar_lens);
    if (err < 0)
        return virtio_driver_failed(drv, err, "BARs cannot be assigned");
    err = find_windows(drv);
    if (err == 0)
        err = msix_find(drv);
    if (err == 0)
        err = irqs_alloc(drv);
    drv->pin = (uint8_t)config_read(os, sbdf, PCI_INTERRUPT_PIN, 1);
    if (err == 0)
        drv->nr_queues_max = (unsigned)virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_NUMQ, 2);
    return err;
}

static void bar_write(struct virtio_driver *drv, unsigned bar)
{
    unsigned reg = PCI_BASE_ADDRESS_0 + 4 * bar;

    config_write(drv->os, drv->sbdf, reg, 4, (uint32_t)drv->bars[bar]);
    if (config_read(drv->os, drv->sbdf, reg, 4) & PCI_BASE_ADDRESS_MEM_TYPE_64)
        config_write(drv->os, drv->sbdf, reg + 4, 4, (uint32_t)(drv->bars[bar] >> 32));
}

static void restore(struct virtio_driver *drv)
{
    config_write(drv->os, drv->sbdf, PCI_COMMAND, 2, 0);
    for (unsigned bar = 0; bar < 6; bar++)
        if (drv->bars[bar] != 0)
            bar_write(drv, bar);
    config_write(drv->os, drv->sbdf, drv->msix_cap + PCI_MSIX_FLAGS, 2, 0);
    config_write(drv->os, drv->sbdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void gpa_move(uint64_t *gpa, uint64_t from, uint64_t to, uint64_t len)
{
    if (*gpa >= from && *gpa - from < len)
        *gpa += to - from;
}

void virtio_driver_move_bar(struct virtio_driver *drv, unsigned bar, uint64_t gpa)
{
    uint64_t from = drv->bars[bar], len = drv->bar_lens[bar];
    uint64_t *users[] = {&drv->common.gpa, &drv->notify.gpa, &drv->isr.gpa,
                         &drv->device.gpa, &drv->msix_table, &drv->msix_pba};

    config_write(drv->os, drv->sbdf, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    drv->bars[bar] = gpa;
    bar_write(drv, bar);
    config_write(drv->os, drv->sbdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    for (unsigned i = 0; i < ARRAY_SIZE(users); i++)
        gpa_move(users[i], from, gpa, len);
    for (unsigned i = 0; i < drv->nr_queues; i++)
        gpa_move(&drv->queues[i].notify_gpa, from, gpa, len);
}

/* ---- start -------------------------------------------------------------------------------------- */

static void msix_entry_write(struct virtio_driver *drv, unsigned vector, int irq)
{
    uint64_t entry = drv->msix_table + vector * PCI_MSIX_ENTRY_SIZE;

    mmio_write(drv->os, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, PCI_MSIX_ENTRY_CTRL_MASKBIT);
    mmio_write(drv->os, entry + PCI_MSIX_ENTRY_LOWER_ADDR, 4, (uint32_t)guest_os_msi_addr());
    mmio_write(drv->os, entry + PCI_MSIX_ENTRY_UPPER_ADDR, 4, (uint32_t)(guest_os_msi_addr() >> 32));
    mmio_write(drv->os, entry + PCI_MSIX_ENTRY_DATA, 4, (uint32_t)irq);
    mmio_write(drv->os, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
}

/* Vector 0 is for the configuration, the others for the queues, shared if they are too few. */
static unsigned queue_vector(const struct virtio_driver *drv, unsigned index)
{
    return drv->nr_vectors > 1 ? 1 + index % (drv->nr_vectors - 1) : 0;
}

static int irqs_start(struct virtio_driver *drv, const struct driver_options *options)
{
    unsigned flags = drv->msix_cap + PCI_MSIX_FLAGS;

    if (!options->msix) {
        config_write(drv->os, drv->sbdf, flags, 2, 0);
        return 0;
    }
    if (drv->nr_vectors < 2)
        return virtio_driver_failed(drv, -ENODEV, "%u MSI-X vectors are too few", drv->nr_vectors);
    config_write(drv->os, drv->sbdf, flags, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    msix_entry_write(drv, 0, drv->config_irq);
    for (unsigned i = 0; i < drv->nr_queues; i++)
        msix_entry_write(drv, queue_vector(drv, i),
                         drv->queue_irqs[(queue_vector(drv, i) - 1) % DRIVER_MAX_QUEUES]);
    config_write(drv->os, drv->sbdf, flags, 2, PCI_MSIX_FLAGS_ENABLE);
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_MSIX, 2, 0);
    if (virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_MSIX, 2) != 0)
        return virtio_driver_failed(drv, -EIO, "vector 0 refused for the configuration");
    return 0;
}

static int queue_connect(struct virtio_driver *drv, unsigned index, const struct driver_options *options)
{
    struct driver_queue *q = &drv->queues[index];
    uint64_t offset = virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_Q_NOFF, 2) * drv->notify_multiplier;
    unsigned vector = queue_vector(drv, index);

    if (!range_within(offset, 2, drv->notify.len))
        return virtio_driver_failed(drv, -EIO, "queue %u: notify address outside its structure", index);
    q->notify_gpa = drv->notify.gpa + offset;
    q->notify_value = index;
    q->notify_size = 2;
    if (!options->msix)
        return 0;
    virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_Q_MSIX, 2, vector);
    if (virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_Q_MSIX, 2) != vector)
        return virtio_driver_failed(drv, -EIO, "queue %u: vector %u refused", index, vector);
    q->irq = drv->queue_irqs[(vector - 1) % DRIVER_MAX_QUEUES];
    q->irq_seen = drv->os->irq_count[q->irq];
    return 0;
}

/* ---- afterwards --------------------------------------------------------------------------------- */

static bool line_is_up(const struct virtio_driver *drv)
{
    return drv->pin >= 1 && drv->pin <= 4 && drv->os->line[drv->sbdf >> 3 & 31][drv->pin - 1];
}

static uint8_t isr_take(struct virtio_driver *drv)
{
    return (uint8_t)mmio_read(drv->os, drv->isr.gpa, 1);
}

static uint32_t cap_read(struct virtio_driver *drv, unsigned cap, unsigned offset, uint8_t size)
{
    return config_read(drv->os, drv->sbdf, cap + offset, size);
}

static bool shm_find(struct virtio_driver *drv, uint8_t shmid, struct driver_shm *shm)
{
    unsigned cap = 0;

    while ((cap = guest_os_find_cap(drv->os, drv->sbdf, PCI_CAP_ID_VNDR, cap)) != 0) {
        uint64_t offset, len;
        unsigned bar;

        if (cap_read(drv, cap, VIRTIO_PCI_CAP_CFG_TYPE, 1) != VIRTIO_PCI_CAP_SHARED_MEMORY_CFG ||
            cap_read(drv, cap, CAP64(cap.id), 1) != shmid)
            continue;
        bar = cap_read(drv, cap, VIRTIO_PCI_CAP_BAR, 1);
        offset = cap_read(drv, cap, VIRTIO_PCI_CAP_OFFSET, 4) |
                 (uint64_t)cap_read(drv, cap, CAP64(offset_hi), 4) << 32;
        len = cap_read(drv, cap, VIRTIO_PCI_CAP_LENGTH, 4) | (uint64_t)cap_read(drv, cap, CAP64(length_hi), 4)
                                                                 << 32;
        if (cap_read(drv, cap, VIRTIO_PCI_CAP_LEN, 1) != sizeof(struct virtio_pci_cap64) || bar > 5 ||
            drv->bars[bar] == 0 || !range_within(offset, len, drv->bar_lens[bar]))
            return false;
        *shm = (struct driver_shm){.bar = bar, .gpa = drv->bars[bar] + offset, .len = len};
        return true;
    }
    return false;
}

const struct driver_transport driver_pci = {
    .field_read = field_read,
    .field_write = field_write,
    .tells_queue_size = true,
    .irqs_start = irqs_start,
    .queue_connect = queue_connect,
    .line_is_up = line_is_up,
    .isr_take = isr_take,
    .shm_find = shm_find,
    .restore = restore,
};
