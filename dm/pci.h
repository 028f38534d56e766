/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci.h - conventional PCI as a guest sees it: the bus on which configuration accesses arrive, and a function
 * with BARs, capabilities, MSI-X and INTx. Knows nothing of virtio. Used by the virtio-pci transport.
 * Numbers: linux/pci_regs.h (PCI Local Bus Specification 3.0).
 */
#ifndef VHOST_DM_PCI_H
#define VHOST_DM_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/pci_regs.h>

#include "common/region_table.h"
#include "common/util.h"
#include "dm/guest.h"

#define PCI_NR_BARS          6
#define PCI_MSIX_MAX_VECTORS 128 /* enough for a device with as many queues as we allow */
#define PCI_SLOT_ANY         0xff

/* What the guest programmed; plain data, kept in the saved state. */
struct pci_function_state {
    uint8_t config[PCI_CFG_SPACE_SIZE];
    struct {
        uint32_t addr_lo, addr_hi, data, ctrl;
    } msix_table[PCI_MSIX_MAX_VECTORS];
    uint64_t msix_pending[PCI_MSIX_MAX_VECTORS / 64];
    bool intx_level;
};

struct pci_bar {
    uint64_t len; /* bytes, a power of two; 0: none */
    bool is_64, prefetchable;
    bool mapped;  /* the range is in the region table and at the hypervisor */
    uint64_t gpa; /* where, when mapped */
    region_mmio_fn *access;
    /* Who puts the BAR into the guest's memory and takes it away; NULL: it is one range of registers. show:
     * 0, or negative errno and nothing is there. */
    int (*show)(void *opaque, uint64_t gpa);
    void (*hide)(void *opaque, uint64_t gpa);
    void *opaque;
};

struct pci_function {
    struct guest *guest; /* borrowed */
    char name[64];       /* for messages */
    uint32_t sbdf;       /* bus 0: device << 3 | function */
    bool plugged;
    bool resumed;                           /* state holds what a predecessor's guest programmed */
    bool intx_line;                         /* what the hypervisor was last told */
    struct pci_function_state *state;       /* borrowed, outlives us */
    uint8_t write_mask[PCI_CFG_SPACE_SIZE]; /* bits of config that the guest may change */
    struct pci_bar bars[PCI_NR_BARS];       /* a 64-bit BAR uses its own slot and leaves the next empty */
    uint16_t cap_end;                       /* first free byte of config */
    uint8_t cap_last;                       /* where the last capability's next pointer is */
    uint8_t msix_cap;                       /* offset of the MSI-X capability, 0: none */
    uint16_t nr_vectors;
    uint8_t msix_bar;
    uint32_t msix_table_off, msix_pba_off;
    /* A transport may serve a part of config itself (VIRTIO_PCI_CAP_PCI_CFG's data): called for an access
     * that touches [hook_first, hook_first + hook_len), before the plain handling of a read and after the
     * plain handling of a write. NULL: none. */
    uint8_t hook_first, hook_len;
    void (*hook)(void *opaque, bool write, unsigned reg, unsigned size);
    void *hook_opaque;
    /* Called when the guest has written the command register; NULL: nobody cares. */
    void (*command_written)(void *opaque);
    struct log_limit limit; /* for what the guest can cause as often as it likes */
};

struct pci_function_id {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; /* 24 bits: class, subclass, interface */
    uint8_t revision;
};

/*
 * Prepares a function; it is not yet on the bus. state is borrowed; resumed: it holds what a predecessor's
 * guest programmed, which is kept where the guest may write and rebuilt where it may not.
 */
void pci_function_init(struct pci_function *fn, struct guest *guest, const char *name,
                       const struct pci_function_id *id, struct pci_function_state *state, bool resumed);
/* Gives it a memory BAR of len bytes (a power of two, at least 16 bytes; callers use pages); a 64-bit one
 * takes the registers of BAR bar and bar + 1. access serves what the guest does in it, wherever it puts it.
 */
void pci_function_add_bar(struct pci_function *fn, unsigned bar, uint64_t len, bool is_64, bool prefetchable,
                          region_mmio_fn *access, void *opaque);
/* What was added as a BAR is put in its place by others. */
void pci_function_set_bar_show(struct pci_function *fn, unsigned bar, int (*show)(void *opaque, uint64_t gpa),
                               void (*hide)(void *opaque, uint64_t gpa));
/* Appends a capability; body is what follows the id and next bytes, writable (as long, NULL: nothing) has the
 * bits of it that the guest may change. Returns its offset in config, or -ENOSPC. */
int pci_function_add_cap(struct pci_function *fn, uint8_t id, const void *body, const void *writable,
                         size_t body_len);
/* MSI-X with its table and pending bits in a BAR that was added; the BAR's access function passes accesses at
 * [table_off, ...) and [pba_off, ...) to pci_function_msix_access. 0; -EINVAL: it does not fit in the BAR, or
 * too many vectors; -ENOSPC. */
int pci_function_add_msix(struct pci_function *fn, unsigned bar, uint32_t table_off, uint32_t pba_off,
                          uint16_t nr_vectors);
/* True when offset (in the BAR) was in the table or the pending bits, and the access has been served. */
bool pci_function_msix_access(struct pci_function *fn, uint64_t offset, struct guest_access *access);

/* Puts the function on the bus of its guest at a slot (PCI_SLOT_ANY: a free one), claims its configuration
 * space and maps the BARs that a resumed state has enabled. 0; -EINVAL: no such slot; -EBUSY: slot taken;
 * -ENOSPC: all are; or what the hypervisor says. */
int pci_function_plug(struct pci_function *fn, uint8_t slot);
/* Takes it off the bus; harmless when it is not on it. What the guest programmed stays in the state. */
void pci_function_unplug(struct pci_function *fn);

/* Interrupts. msix_notify does as the masks say: sends, or sets the pending bit. */
bool pci_function_msix_enabled(const struct pci_function *fn);
void pci_function_msix_notify(struct pci_function *fn, uint16_t vector);
/* Forgets interrupts that wait for an unmask: the device was reset. */
void pci_function_msix_clear(struct pci_function *fn);
/* The level that the device wants. It reaches the guest while MSI-X is off and INTx is not disabled. */
void pci_function_intx_set(struct pci_function *fn, bool level);

/* Configuration access by the guest; size 1, 2, 4; reg may be anything. */
uint32_t pci_function_config_read(struct pci_function *fn, unsigned reg, unsigned size);
void pci_function_config_write(struct pci_function *fn, unsigned reg, unsigned size, uint32_t value);

/* Between the files of this layer. enable maps BARs and drives the line as config says, disable undoes it;
 * map_bars tries again what was in the way; msix_flush sends what is pending and no longer masked. */
void pci_function_enable(struct pci_function *fn);
void pci_function_disable(struct pci_function *fn);
void pci_function_map_bars(struct pci_function *fn);
void pci_function_msix_flush(struct pci_function *fn);
bool pci_function_is_master(const struct pci_function *fn);
/* A BAR was unmapped: others may have waited for its place. */
void pci_bus_bar_unmapped(struct pci_bus *bus);

/* The bus: by guest_init and guest_fini. It asks the hypervisor where PCI is, and traps ECAM if there is one.
 */
int pci_bus_new(struct pci_bus **out, struct guest *guest);
void pci_bus_free(struct pci_bus *bus);
/* An access with space ACCESS_PCI_CONFIG; of an absent function reads all ones. */
void pci_bus_access(struct pci_bus *bus, struct guest_access *access);
/* A free slot that is not in the mask avoid (a bit each), or PCI_SLOT_ANY when there is none. */
uint8_t pci_bus_free_slot(const struct pci_bus *bus, uint32_t avoid);
/* Whether level interrupts reach the guest. */
bool pci_bus_has_intx(const struct pci_bus *bus);
/* struct pci_host's. */
uint64_t pci_bus_hotplug_gpa(const struct pci_bus *bus);

#endif
