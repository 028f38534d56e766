// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_pci.c - the modern virtio-pci transport (virtio 1.2, 4.1): turns what a driver does to the registers
 * in BAR 0 into virtio_device_* calls, and the device's interrupts into MSI-X messages or INTx. Created by
 * the owner of a virtio device; owns its PCI function.
 *
 * Theory of operation. Each structure that a driver finds by a capability has a page of BAR 0. An access is
 * taken apart into its units (a string instruction has many), each unit goes to the page that it is in.
 * Drivers use the natural width of a register (4.1.3.1); whoever does not gets an answer all the same, by two
 * rules:
 *   - reads are put together from the bytes of the registers that they touch; between registers there is 0;
 *   - a write sets the registers that it covers as a whole, lowest first, and leaves alone those that it
 * covers in part, because half a value is never what was meant. A 64-bit address may so come as one write or
 * two. A unit that lies across two pages is taken as single bytes.
 *
 * BAR 0 is a 32-bit, non-prefetchable one: reading the ISR has an effect, so it must not be prefetchable, and
 * then firmware and kernels place it below 4 GiB in any case. BARs 2 and 3 are one 64-bit, prefetchable BAR
 * with the shared memory regions, where the device has some.
 */
#include "dm/virtio_pci.h"

#include "dm/shmem.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_pci.h>

#define VIRTIO_PCI_DEVICE_BASE 0x1040 /* plus the virtio device id; 4.1.2 */
#define VIRTIO_PCI_REVISION    1      /* at least, when there is no legacy interface; 4.1.2.1 */

#define ISR_QUEUE 0x1 /* 4.1.4.5; the header has only VIRTIO_PCI_ISR_CONFIG */

/* Offsets in the common configuration: the end of its last field, queue_reset (4.1.4.3). */
#define COMMON_LEN (VIRTIO_PCI_COMMON_Q_RESET + 2)

/* Notify addresses are 4 bytes apart: room for VIRTIO_F_NOTIFICATION_DATA, an even power of 2 (4.1.4.4.1). */
#define NOTIFY_MULTIPLIER 4
#define NOTIFY_LEN(nr)    ((nr)*NOTIFY_MULTIPLIER)

#define REGISTER_BAR 0
/* Shared memory regions: 64-bit, prefetchable; takes BAR 2 and 3. */
#define SHMEM_BAR 2
enum register_page {
    PAGE_COMMON,
    PAGE_ISR,
    PAGE_DEVICE,
    PAGE_NOTIFY,
    PAGE_MSIX_TABLE,
    PAGE_MSIX_PBA,
    NR_PAGES,
};
#define REGISTER_BAR_LEN (8 * GUEST_PAGE_SIZE)
#define PAGE_OFFSET(p)   ((uint32_t)((p)*GUEST_PAGE_SIZE))

_Static_assert(NR_PAGES *GUEST_PAGE_SIZE <= REGISTER_BAR_LEN, "the pages fit into the BAR");
_Static_assert(NOTIFY_LEN(VIRTIO_MAX_QUEUES) <= GUEST_PAGE_SIZE, "one page for the notify addresses");
_Static_assert(PCI_MSIX_MAX_VECTORS *PCI_MSIX_ENTRY_SIZE <= GUEST_PAGE_SIZE, "one page for the MSI-X table");
_Static_assert(VIRTIO_MAX_CONFIG <= GUEST_PAGE_SIZE, "one page for the device configuration");
_Static_assert(sizeof(struct virtio_pci_cap) == 16 && sizeof(struct virtio_pci_notify_cap) == 20 &&
                   sizeof(struct virtio_pci_cfg_cap) == 20,
               "spec 4.1.4");

struct virtio_pci {
    struct virtio_device *dev; /* borrowed */
    struct virtio_pci_state *state;
    struct pci_function fn;
    unsigned window; /* where VIRTIO_PCI_CAP_PCI_CFG is in configuration space */
};

/* ---- interrupts ---- */

static void isr_set(struct virtio_pci *vp, uint8_t isr)
{
    vp->state->isr = isr;
    pci_function_intx_set(&vp->fn, isr != 0);
}

/* With MSI-X the ISR only tells of config changes, without it is also what drives INTx (4.1.4.5.1). */
static void transport_queue_interrupt(void *transport, unsigned queue)
{
    struct virtio_pci *vp = transport;

    if (queue >= vp->dev->nr_queues)
        return;
    if (pci_function_msix_enabled(&vp->fn))
        pci_function_msix_notify(&vp->fn, vp->state->queue_vector[queue]);
    else
        isr_set(vp, vp->state->isr | ISR_QUEUE);
}

static void transport_config_interrupt(void *transport)
{
    struct virtio_pci *vp = transport;

    isr_set(vp, vp->state->isr | VIRTIO_PCI_ISR_CONFIG);
    if (pci_function_msix_enabled(&vp->fn))
        pci_function_msix_notify(&vp->fn, vp->state->config_vector);
}

static void transport_reset(void *transport)
{
    struct virtio_pci *vp = transport;
    struct virtio_pci_state *state = vp->state;

    state->device_feature_select = 0;
    state->driver_feature_select = 0;
    state->queue_select = 0;
    state->config_vector = VIRTIO_MSI_NO_VECTOR;
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
        state->queue_vector[i] = VIRTIO_MSI_NO_VECTOR;
    pci_function_msix_clear(&vp->fn);
    isr_set(vp, 0);
}

static const struct virtio_transport_ops transport_ops = {
    .queue_interrupt = transport_queue_interrupt,
    .config_interrupt = transport_config_interrupt,
    .reset = transport_reset,
};

/* A vector that does not exist is not accepted, and the driver sees it by reading back (4.1.5.1.2). */
static uint16_t vector_checked(const struct virtio_pci *vp, uint32_t vector)
{
    return vector < vp->fn.nr_vectors ? (uint16_t)vector : VIRTIO_MSI_NO_VECTOR;
}

/* ---- common configuration ---- */

/* Where each field begins; it ends where the next begins. */
static const uint8_t common_fields[] = {
    VIRTIO_PCI_COMMON_DFSELECT,  VIRTIO_PCI_COMMON_DF,
    VIRTIO_PCI_COMMON_GFSELECT,  VIRTIO_PCI_COMMON_GF,
    VIRTIO_PCI_COMMON_MSIX,      VIRTIO_PCI_COMMON_NUMQ,
    VIRTIO_PCI_COMMON_STATUS,    VIRTIO_PCI_COMMON_CFGGENERATION,
    VIRTIO_PCI_COMMON_Q_SELECT,  VIRTIO_PCI_COMMON_Q_SIZE,
    VIRTIO_PCI_COMMON_Q_MSIX,    VIRTIO_PCI_COMMON_Q_ENABLE,
    VIRTIO_PCI_COMMON_Q_NOFF,    VIRTIO_PCI_COMMON_Q_DESCLO,
    VIRTIO_PCI_COMMON_Q_DESCHI,  VIRTIO_PCI_COMMON_Q_AVAILLO,
    VIRTIO_PCI_COMMON_Q_AVAILHI, VIRTIO_PCI_COMMON_Q_USEDLO,
    VIRTIO_PCI_COMMON_Q_USEDHI,  VIRTIO_PCI_COMMON_Q_NDATA,
    VIRTIO_PCI_COMMON_Q_RESET,   COMMON_LEN,
};
#define NR_COMMON_FIELDS (ARRAY_SIZE(common_fields) - 1)

static uint32_t common_get(const struct virtio_pci *vp, unsigned field)
{
    const struct virtio_device *dev = vp->dev;
    const struct virtio_pci_state *state = vp->state;
    unsigned queue = state->queue_select;

    switch (field) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        return state->device_feature_select;
    case VIRTIO_PCI_COMMON_DF:
        return virtio_device_features_get(dev, state->device_feature_select);
    case VIRTIO_PCI_COMMON_GFSELECT:
        return state->driver_feature_select;
    case VIRTIO_PCI_COMMON_GF:
        return virtio_device_driver_features_get(dev, state->driver_feature_select);
    case VIRTIO_PCI_COMMON_MSIX:
        return state->config_vector;
    case VIRTIO_PCI_COMMON_NUMQ:
        return dev->nr_queues;
    case VIRTIO_PCI_COMMON_STATUS:
        return virtio_device_status_get(dev);
    case VIRTIO_PCI_COMMON_CFGGENERATION:
        return virtio_device_generation_get(dev);
    case VIRTIO_PCI_COMMON_Q_SELECT:
        return queue;
    case VIRTIO_PCI_COMMON_Q_SIZE:
        return virtio_device_queue_size_get(dev, queue);
    case VIRTIO_PCI_COMMON_Q_MSIX:
        return queue < dev->nr_queues ? state->queue_vector[queue] : VIRTIO_MSI_NO_VECTOR;
    case VIRTIO_PCI_COMMON_Q_ENABLE:
        return virtio_device_queue_enabled(dev, queue);
    case VIRTIO_PCI_COMMON_Q_NOFF:
        return queue < dev->nr_queues ? queue : 0;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
        return virtio_device_queue_addr_get(dev, queue, VIRTIO_QUEUE_DESC, false);
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        return virtio_device_queue_addr_get(dev, queue, VIRTIO_QUEUE_DESC, true);
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
        return virtio_device_queue_addr_get(dev, queue, VIRTIO_QUEUE_AVAIL, false);
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        return virtio_device_queue_addr_get(dev, queue, VIRTIO_QUEUE_AVAIL, true);
    case VIRTIO_PCI_COMMON_Q_USEDLO:
        return virtio_device_queue_addr_get(dev, queue, VIRTIO_QUEUE_USED, false);
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        return virtio_device_queue_addr_get(dev, queue, VIRTIO_QUEUE_USED, true);
    default: /* queue_notify_data and queue_reset: their features are not offered */
        return 0;
    }
}

static void common_set(struct virtio_pci *vp, unsigned field, uint32_t value)
{
    struct virtio_device *dev = vp->dev;
    struct virtio_pci_state *state = vp->state;
    unsigned queue = state->queue_select;

    switch (field) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        state->device_feature_select = value;
        break;
    case VIRTIO_PCI_COMMON_GFSELECT:
        state->driver_feature_select = value;
        break;
    case VIRTIO_PCI_COMMON_GF:
        virtio_device_driver_features_set(dev, state->driver_feature_select, value);
        break;
    case VIRTIO_PCI_COMMON_MSIX:
        state->config_vector = vector_checked(vp, value);
        break;
    case VIRTIO_PCI_COMMON_STATUS:
        virtio_device_status_set(dev, (uint8_t)value);
        break;
    case VIRTIO_PCI_COMMON_Q_SELECT:
        state->queue_select = (uint16_t)value;
        break;
    case VIRTIO_PCI_COMMON_Q_SIZE:
        virtio_device_queue_size_set(dev, queue, (uint16_t)value);
        break;
    case VIRTIO_PCI_COMMON_Q_MSIX:
        if (queue < dev->nr_queues)
            state->queue_vector[queue] = vector_checked(vp, value);
        break;
    case VIRTIO_PCI_COMMON_Q_ENABLE:
        if (value == 1)
            virtio_device_queue_enable(dev, queue);
        break;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        virtio_device_queue_addr_set(dev, queue, VIRTIO_QUEUE_DESC, field == VIRTIO_PCI_COMMON_Q_DESCHI,
                                     value);
        break;
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        virtio_device_queue_addr_set(dev, queue, VIRTIO_QUEUE_AVAIL, field == VIRTIO_PCI_COMMON_Q_AVAILHI,
                                     value);
        break;
    case VIRTIO_PCI_COMMON_Q_USEDLO:
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        virtio_device_queue_addr_set(dev, queue, VIRTIO_QUEUE_USED, field == VIRTIO_PCI_COMMON_Q_USEDHI,
                                     value);
        break;
    default: /* read-only */
        break;
    }
}

static void common_read(const struct virtio_pci *vp, unsigned first, uint8_t *data, unsigned size)
{
    memset(data, 0, size);
    for (unsigned i = 0; i < NR_COMMON_FIELDS; i++) {
        unsigned start = common_fields[i], end = common_fields[i + 1];
        uint32_t value;

        if (end <= first || start >= first + size)
            continue;
        value = common_get(vp, start);
        for (unsigned at = MAX(start, first); at < MIN(end, first + size); at++)
            data[at - first] = (uint8_t)(value >> 8 * (at - start));
    }
}

static void common_write(struct virtio_pci *vp, unsigned first, const uint8_t *data, unsigned size)
{
    for (unsigned i = 0; i < NR_COMMON_FIELDS; i++) {
        unsigned start = common_fields[i], end = common_fields[i + 1];
        uint32_t value = 0;

        if (start < first || end > first + size)
            continue;
        for (unsigned at = start; at < end; at++)
            value |= (uint32_t)data[at - first] << 8 * (at - start);
        common_set(vp, start, value);
    }
}

/* ---- the register BAR ---- */

/* The ISR is the one byte at 0; reading it acknowledges (4.1.4.5). */
static void isr_read(struct virtio_pci *vp, unsigned first, uint8_t *data, unsigned size)
{
    memset(data, 0, size);
    if (first != 0)
        return;
    data[0] = vp->state->isr;
    isr_set(vp, 0);
}

/* What is written does not matter (4.1.5.2): the address says which queue. */
static void notify_write(struct virtio_pci *vp, unsigned first, unsigned size)
{
    unsigned last = (first + size - 1) / NOTIFY_MULTIPLIER;

    for (unsigned queue = first / NOTIFY_MULTIPLIER; queue <= last && queue < vp->dev->nr_queues; queue++)
        virtio_device_notify(vp->dev, queue);
}

/* size bytes (1 to 8) at first of a page, not beyond its end. */
static void page_access(struct virtio_pci *vp, unsigned page, unsigned first, struct guest_access *unit)
{
    unsigned size = unit->size;

    if (!unit->write)
        memset(unit->data, 0, size);
    switch (page) {
    case PAGE_COMMON:
        if (unit->write)
            common_write(vp, first, unit->data, size);
        else
            common_read(vp, first, unit->data, size);
        break;
    case PAGE_ISR:
        if (!unit->write)
            isr_read(vp, first, unit->data, size);
        break;
    case PAGE_DEVICE:
        if (unit->write)
            virtio_device_config_write(vp->dev, first, unit->data, size);
        else
            virtio_device_config_read(vp->dev, first, unit->data, size);
        break;
    case PAGE_NOTIFY:
        if (unit->write)
            notify_write(vp, first, size);
        break;
    case PAGE_MSIX_TABLE:
    case PAGE_MSIX_PBA:
        pci_function_msix_access(&vp->fn, PAGE_OFFSET(page) + first, unit);
        break;
    default:
        break;
    }
}

static void unit_access(void *opaque, uint64_t offset, struct guest_access *unit)
{
    unsigned first = (unsigned)(offset % GUEST_PAGE_SIZE);
    struct guest_access bytes = *unit;

    if (range_within(first, unit->size, GUEST_PAGE_SIZE)) {
        page_access(opaque, (unsigned)(offset / GUEST_PAGE_SIZE), first, unit);
        return;
    }
    bytes.size = 1;
    access_units(&bytes, offset, unit_access, opaque);
}

static void register_access(void *opaque, uint64_t offset, struct guest_access *access)
{
    access_units(access, offset, unit_access, opaque);
}

/* ---- the window in configuration space (4.1.4.9) ---- */

/*
 * The guest touched pci_cfg_data: do what it says to the BAR that it names. What cannot be done reads all
 * ones and writes nothing. BARs never lead back to configuration space, so this does not come back here.
 */
static void window_access(void *opaque, bool write, unsigned reg, unsigned size)
{
    struct virtio_pci *vp = opaque;
    uint8_t *config = vp->state->pci.config + vp->window;
    struct virtio_pci_cfg_cap cap;
    struct guest_access access = {.space = ACCESS_MMIO, .write = write};
    const struct pci_bar *bar;
    uint32_t offset, len;

    (void)reg;
    (void)size;
    memcpy(&cap, config, sizeof(cap));
    if (!write)
        memset(config + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data), 0xff, sizeof(cap.pci_cfg_data));
    if (cap.cap.bar >= PCI_NR_BARS)
        return;
    bar = &vp->fn.bars[cap.cap.bar];
    offset = le32toh(cap.cap.offset);
    len = le32toh(cap.cap.length);
    if ((len != 1 && len != 2 && len != 4) || offset % len != 0 || !range_within(offset, len, bar->len))
        return;
    access.size = (uint8_t)len;
    access.len = len;
    access.addr = bar->gpa + offset;
    access.data = config + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
    bar->access(bar->opaque, offset, &access);
}

/* A system that is done with a function takes the bus mastering away from it, last of all. */
static void command_written(void *opaque)
{
    struct virtio_pci *vp = opaque;

    if (!pci_function_is_master(&vp->fn) && vp->dev->let_go != NULL)
        vp->dev->let_go(vp->dev);
}

/* ---- capabilities ---- */

/* Adds one, whose first bytes are a struct virtio_pci_cap; returns its place or a negative errno. */
static int cap_add(struct virtio_pci *vp, struct virtio_pci_cap *cap, size_t len, const void *writable)
{
    size_t header = offsetof(struct virtio_pci_cap, cap_len);

    cap->cap_len = (uint8_t)len;
    return pci_function_add_cap(&vp->fn, PCI_CAP_ID_VNDR, (const uint8_t *)cap + header,
                                writable ? (const uint8_t *)writable + header : NULL, len - header);
}

/* Says in which page of the BAR, and how long, a structure is. */
static struct virtio_pci_cap cap_of(uint8_t cfg_type, enum register_page page, uint32_t len)
{
    return (struct virtio_pci_cap){
        .cfg_type = cfg_type,
        .bar = REGISTER_BAR,
        .offset = htole32(PAGE_OFFSET(page)),
        .length = htole32(len),
    };
}

static int window_add(struct virtio_pci *vp)
{
    struct virtio_pci_cfg_cap window = {.cap.cfg_type = VIRTIO_PCI_CAP_PCI_CFG}, writable;
    int cap;

    memset(&writable, 0, sizeof(writable));
    writable.cap.bar = 0xff;
    writable.cap.offset = UINT32_MAX;
    writable.cap.length = UINT32_MAX;
    memset(writable.pci_cfg_data, 0xff, sizeof(writable.pci_cfg_data));
    cap = cap_add(vp, &window.cap, sizeof(window), &writable);
    if (cap < 0)
        return cap;
    vp->window = (unsigned)cap;
    vp->fn.hook_first = (uint8_t)((size_t)cap + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data));
    vp->fn.hook_len = sizeof(window.pci_cfg_data);
    vp->fn.hook = window_access;
    vp->fn.hook_opaque = vp;
    vp->fn.command_written = command_written;
    return 0;
}

/* ---- shared memory regions (4.1.4.7) ---- */

static int shmem_bar_show(void *opaque, uint64_t gpa)
{
    return shmem_show(opaque, gpa);
}

static void shmem_bar_hide(void *opaque, uint64_t gpa)
{
    (void)gpa;
    shmem_hide(opaque);
}

/* All regions in one BAR, and a capability for each. Configuration space has room for three or four. */
static int shmem_caps_add(struct virtio_pci *vp)
{
    struct shmem *shmem = vp->dev->shmem;
    int rc = 0;

    if (shmem == NULL)
        return 0;
    pci_function_add_bar(&vp->fn, SHMEM_BAR, shmem_window_len(shmem), true, true, shmem_access, shmem);
    pci_function_set_bar_show(&vp->fn, SHMEM_BAR, shmem_bar_show, shmem_bar_hide);
    for (size_t i = 0; i < shmem_nr_regions(shmem) && rc >= 0; i++) {
        struct shmem_region_info info = shmem_region_at(shmem, i);
        struct virtio_pci_cap64 cap = {
            .cap = {.cfg_type = VIRTIO_PCI_CAP_SHARED_MEMORY_CFG,
                    .bar = SHMEM_BAR,
                    .id = info.shmid,
                    .offset = htole32((uint32_t)info.offset),
                    .length = htole32((uint32_t)info.len)},
            .offset_hi = htole32((uint32_t)(info.offset >> 32)),
            .length_hi = htole32((uint32_t)(info.len >> 32)),
        };

        rc = cap_add(vp, &cap.cap, sizeof(cap), NULL);
    }
    return rc < 0 ? -E2BIG : 0;
}

static int caps_add(struct virtio_pci *vp)
{
    const struct virtio_device *dev = vp->dev;
    struct virtio_pci_cap common = cap_of(VIRTIO_PCI_CAP_COMMON_CFG, PAGE_COMMON, COMMON_LEN);
    struct virtio_pci_cap isr = cap_of(VIRTIO_PCI_CAP_ISR_CFG, PAGE_ISR, 1);
    /* The whole room, whatever the device uses of it: Linux does not survive a driver that looks for a field
     * past the length, and the length may be more than there is (4.1.4). */
    struct virtio_pci_cap device = cap_of(VIRTIO_PCI_CAP_DEVICE_CFG, PAGE_DEVICE, VIRTIO_MAX_CONFIG);
    struct virtio_pci_notify_cap notify = {
        .cap = cap_of(VIRTIO_PCI_CAP_NOTIFY_CFG, PAGE_NOTIFY, NOTIFY_LEN(MAX(dev->nr_queues, 1u))),
        .notify_off_multiplier = htole32(NOTIFY_MULTIPLIER),
    };
    int rc;

    if ((rc = cap_add(vp, &common, sizeof(common), NULL)) < 0 ||
        (rc = cap_add(vp, &notify.cap, sizeof(notify), NULL)) < 0 ||
        (rc = cap_add(vp, &isr, sizeof(isr), NULL)) < 0)
        return rc;
    /* Only for device types that have a configuration (4.1.4.6.1). */
    if (dev->config_len > 0 && (rc = cap_add(vp, &device, sizeof(device), NULL)) < 0)
        return rc;
    rc = window_add(vp);
    if (rc < 0)
        return rc;
    /* One vector for each queue and one for config changes. */
    rc =
        pci_function_add_msix(&vp->fn, REGISTER_BAR, PAGE_OFFSET(PAGE_MSIX_TABLE), PAGE_OFFSET(PAGE_MSIX_PBA),
                              (uint16_t)MIN(dev->nr_queues + 1, PCI_MSIX_MAX_VECTORS));
    /* Last: of these there may be more than there is room for. */
    return rc < 0 ? rc : shmem_caps_add(vp);
}

/* ---- life cycle ---- */

/* A predecessor's state comes from a file that may be damaged. */
static void state_sanitize(struct virtio_pci *vp)
{
    struct virtio_pci_state *state = vp->state;

    state->config_vector = vector_checked(vp, state->config_vector);
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
        state->queue_vector[i] = vector_checked(vp, state->queue_vector[i]);
    state->isr &= ISR_QUEUE | VIRTIO_PCI_ISR_CONFIG;
}

int virtio_pci_new(struct virtio_pci **out, struct virtio_device *dev, uint32_t class_code, uint8_t slot,
                   struct virtio_pci_state *state, bool resumed, uint32_t *sbdf)
{
    struct pci_function_id id = {
        .vendor = VIRTIO_VENDOR,
        .device = (uint16_t)(VIRTIO_PCI_DEVICE_BASE + dev->virtio_id),
        .subsystem_vendor = VIRTIO_VENDOR,
        .subsystem = (uint16_t)(VIRTIO_PCI_DEVICE_BASE + dev->virtio_id), /* at least 0x40 (4.1.2.1) */
        .class_code = class_code,
        .revision = VIRTIO_PCI_REVISION,
    };
    struct virtio_pci *vp;
    int rc;

    if (dev->nr_queues > VIRTIO_MAX_QUEUES)
        return -EINVAL;
    vp = calloc(1, sizeof(*vp));
    if (!vp)
        return -ENOMEM;
    vp->dev = dev;
    vp->state = state;
    pci_function_init(&vp->fn, dev->guest, dev->name, &id, &state->pci, resumed);
    pci_function_add_bar(&vp->fn, REGISTER_BAR, REGISTER_BAR_LEN, false, false, register_access, vp);
    rc = caps_add(vp);
    if (rc < 0)
        goto fail;
    if (resumed) {
        state_sanitize(vp);
        isr_set(vp, state->isr);
    } else {
        transport_reset(vp);
    }
    rc = pci_function_plug(&vp->fn, slot);
    if (rc < 0)
        goto fail;
    dev->transport_ops = &transport_ops;
    dev->transport = vp;
    *sbdf = vp->fn.sbdf;
    *out = vp;
    return 0;
fail:
    free(vp);
    return rc;
}

void virtio_pci_free(struct virtio_pci *vp)
{
    if (!vp)
        return;
    pci_function_unplug(&vp->fn);
    vp->dev->transport_ops = NULL;
    vp->dev->transport = NULL;
    free(vp);
}
