// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pci_bus.c - bus 0 of a guest, as far as it is ours: which function a configuration access is for. Created
 * by guest_init; functions plug themselves in. Owns the table of slots and, where the guest's PCI host has
 * one, the ECAM range (configuration space as memory: PCI Express Base Specification, 7.2.2).
 *
 * Ours is one function a slot. On a host of others (HVM guests have QEMU's) only the functions that we claim
 * arrive here; on one of ours (PVH guests) all do, and those that do not exist read all ones.
 */
#include "dm/pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUS_NR_SLOTS 32

/* ECAM offset: bus << 20 | device << 15 | function << 12 | register. */
#define ECAM_FUNCTION_SHIFT 12
#define ECAM_FUNCTION_LEN   (1u << ECAM_FUNCTION_SHIFT)

struct pci_bus {
    struct guest *guest; /* borrowed */
    struct pci_host host;
    struct pci_function *slots[BUS_NR_SLOTS]; /* borrowed */
};

/* sbdf: segment << 16 | bus << 8 | device << 3 | function. */
static struct pci_function *function_at(const struct pci_bus *bus, uint64_t sbdf)
{
    return sbdf < BUS_NR_SLOTS << 3 && (sbdf & 7) == 0 ? bus->slots[sbdf >> 3] : NULL;
}

/* One access to one function: 1, 2 or 4 bytes, aligned. */
static void function_access(struct pci_function *fn, unsigned reg, bool write, uint8_t *data, unsigned size)
{
    uint32_t value = 0;

    if (write) {
        for (unsigned i = 0; i < size; i++)
            value |= (uint32_t)data[i] << 8 * i;
        pci_function_config_write(fn, reg, size, value);
        return;
    }
    value = pci_function_config_read(fn, reg, size);
    for (unsigned i = 0; i < size; i++)
        data[i] = (uint8_t)(value >> 8 * i);
}

/*
 * A unit of a guest's access, at a place in the configuration spaces seen as one sequence of 4 KiB each. It
 * is cut at dwords, as a root complex does, so that it may also span two functions.
 */
static void unit_access(const struct pci_bus *bus, uint64_t place, bool write, uint8_t *data, unsigned size)
{
    for (unsigned done = 0, part; done < size; done += part) {
        uint64_t at = place + done;
        struct pci_function *fn = function_at(bus, at >> ECAM_FUNCTION_SHIFT);

        for (part = 4; at % part != 0 || part > size - done;)
            part /= 2;
        if (fn)
            function_access(fn, at % ECAM_FUNCTION_LEN, write, data + done, part);
        else if (!write)
            memset(data + done, 0xff, part);
    }
}

static void units_access(const struct pci_bus *bus, uint64_t place, struct guest_access *access)
{
    for (size_t done = 0; done < access->len; done += access->size)
        unit_access(bus, place + done, access->write, (uint8_t *)access->data + done, access->size);
}

static void ecam_access(void *opaque, uint64_t offset, struct guest_access *access)
{
    units_access(opaque, offset, access);
}

void pci_bus_access(struct pci_bus *bus, struct guest_access *access)
{
    uint64_t sbdf = access->addr >> 32, reg = access->addr & UINT32_MAX;

    if (range_within(reg, access->len, ECAM_FUNCTION_LEN))
        units_access(bus, sbdf << ECAM_FUNCTION_SHIFT | reg, access);
    else if (!access->write)
        memset(access->data, 0xff, access->len);
}

bool pci_bus_has_intx(const struct pci_bus *bus)
{
    return bus->host.has_intx;
}

uint64_t pci_bus_hotplug_gpa(const struct pci_bus *bus)
{
    return bus->host.hotplug_gpa;
}

void pci_bus_bar_unmapped(struct pci_bus *bus)
{
    for (unsigned i = 0; i < BUS_NR_SLOTS; i++)
        if (bus->slots[i] && bus->slots[i]->plugged)
            pci_function_map_bars(bus->slots[i]);
}

/* ---- plugging ---- */

/* Slot 0 is where guests expect the host bridge, if only by habit. */
uint8_t pci_bus_free_slot(const struct pci_bus *bus, uint32_t avoid)
{
    for (unsigned i = MAX(bus->host.first_slot, 1u); i < BUS_NR_SLOTS; i++)
        if (!bus->slots[i] && !(avoid >> i & 1))
            return (uint8_t)i;
    return PCI_SLOT_ANY;
}

/* The slot to use, or a negative errno. */
static int slot_choose(const struct pci_bus *bus, const struct pci_function *fn, uint8_t slot)
{
    if (slot == PCI_SLOT_ANY) {
        slot = pci_bus_free_slot(bus, 0);
        return slot == PCI_SLOT_ANY ? -ENOSPC : slot;
    }
    if (slot >= BUS_NR_SLOTS)
        return -EINVAL;
    if (bus->slots[slot])
        return -EBUSY;
    if (slot < bus->host.first_slot)
        log_warning(
            "%s: slot 0x%02x is among the first %u, where the guest's other devices are: if one of them "
            "is there, the guest sees this one instead",
            fn->name, slot, bus->host.first_slot);
    return slot;
}

int pci_function_plug(struct pci_function *fn, uint8_t slot)
{
    struct pci_bus *bus = fn->guest->pci;
    struct hypervisor *hv = fn->guest->hv;
    int chosen = slot_choose(bus, fn, slot), rc;

    if (chosen < 0)
        return chosen;
    fn->sbdf = (uint32_t)chosen << 3;
    rc = hv->ops->pci_add(hv, fn->sbdf);
    if (rc < 0)
        return rc;
    bus->slots[chosen] = fn;
    pci_function_enable(fn);
    return 0;
}

void pci_function_unplug(struct pci_function *fn)
{
    struct hypervisor *hv = fn->guest->hv;
    int rc;

    if (!fn->plugged)
        return;
    pci_function_disable(fn);
    fn->guest->pci->slots[fn->sbdf >> 3] = NULL;
    rc = hv->ops->pci_remove(hv, fn->sbdf);
    if (rc < 0)
        log_warning("%s: configuration space could not be given back: %s", fn->name, strerror(-rc));
}

/* ---- life cycle ---- */

int pci_bus_new(struct pci_bus **out, struct guest *guest)
{
    struct pci_bus *bus = calloc(1, sizeof(*bus));
    int rc;

    if (!bus)
        return -ENOMEM;
    bus->guest = guest;
    rc = guest->hv->ops->pci_host(guest->hv, &bus->host);
    if (rc == 0 && bus->host.has_ecam)
        rc = guest_mmio_add(guest, bus->host.ecam_gpa, bus->host.ecam_len, ecam_access, bus);
    if (rc < 0) {
        free(bus);
        return rc;
    }
    *out = bus;
    return 0;
}

void pci_bus_free(struct pci_bus *bus)
{
    if (!bus)
        return;
    if (bus->host.has_ecam)
        guest_mmio_remove(bus->guest, bus->host.ecam_gpa, bus->host.ecam_len);
    free(bus);
}
