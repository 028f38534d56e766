/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest_map.h - the memory map of a guest, from what the toolstack left in its memory: the table for
 * hvmloader (HVM) or the start info (PVH, before it runs), or else by looking where it has pages. Used while
 * attaching; plain values, nothing to free.
 *
 * All of it can have been written by the guest. Whatever is read is checked and bounded.
 */
#ifndef VHOST_DM_XEN_GUEST_MAP_H
#define VHOST_DM_XEN_GUEST_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "xen/xen_state.h"

struct foreign_cache;

#define GUEST_MAP_MAX 32

enum guest_map_type {
    GUEST_MAP_RAM,
    GUEST_MAP_ACPI,  /* tables, in memory */
    GUEST_MAP_OTHER, /* taken by something else */
};

struct guest_map_entry {
    uint64_t gpa, len; /* bytes */
    enum guest_map_type type;
    uint64_t where; /* PVH: address of the entry in guest memory */
};

struct guest_map {
    uint64_t rsdp_gpa; /* PVH: of the ACPI tables, 0: the guest has none */
    unsigned nr;
    struct guest_map_entry entry[GUEST_MAP_MAX];
};

/* Of an HVM guest, at any time after it was built. 0; -ENOENT: the table is not there or not sane. */
int guest_map_read_hvm(struct guest_map *map, struct foreign_cache *cache);

/* Of a PVH guest that has not run yet. 0; -ENOENT: its first vCPU does not point to a start info with a map;
 * -E2BIG: too many entries; negative errno of the hypercall. */
int guest_map_read_pvh(struct guest_map *map, struct foreign_cache *cache, xc_interface *xch, uint16_t domid);

/* Above this libxl puts no RAM, below 4 GiB: in an HVM guest PCI devices (HVM_BELOW_4G_MMIO_START), in a PVH
 * guest the ACPI tables. */
#define GUEST_MAP_LOW_LIMIT_HVM 0xf0000000u
#define GUEST_MAP_LOW_LIMIT_PVH 0xfc000000u

/*
 * By looking: the guest's pages below low_limit, and those above 4 GiB, of which it has max_memkb at the
 * most. Slow (a few milliseconds for each GiB), and a guest that has given back its highest pages looks
 * smaller. 0; -ENOENT: it has no pages at all; -EPERM: none that we may map; negative errno of the hypercall.
 */
int guest_map_probe(struct guest_map *map, xenforeignmemory_handle *fmem, xc_interface *xch, uint16_t domid,
                    uint64_t max_memkb, uint64_t low_limit);

/* The end of the highest RAM, bytes; 0 if there is none. */
uint64_t guest_map_ram_end(const struct guest_map *map);
/* Whether nothing of the map lies in [gpa, gpa + len). */
bool guest_map_free(const struct guest_map *map, uint64_t gpa, uint64_t len);

#endif
