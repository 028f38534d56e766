/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pvh_acpi.h - gives a PVH guest a PCI host bridge. Such a guest has no firmware and no QEMU; it finds PCI by
 * the ACPI tables that the toolstack built in its memory, to which two are added here, before it first runs:
 * an SSDT with the root bridge (pvh_pci.asl) and an MCFG with the address of configuration space. Used while
 * attaching.
 */
#ifndef VHOST_DM_XEN_PVH_ACPI_H
#define VHOST_DM_XEN_PVH_ACPI_H

#include <stddef.h>
#include <stdint.h>

#include <xenctrl.h>

struct foreign_cache;
struct guest_map;

/* Guest-physical ranges for PCI; last bytes are inclusive. */
struct pvh_windows {
    uint64_t ecam_gpa, ecam_len;
    uint32_t mem32_first, mem32_last; /* for 32-bit and not prefetchable BARs */
    uint64_t mem64_first, mem64_last; /* for 64-bit prefetchable BARs */
};

/* Chooses ranges where the guest has nothing; gpa_bits: width of its physical addresses. 0; -ENOSPC: there is
 * no room. */
int pvh_windows_choose(struct pvh_windows *windows, const struct guest_map *map, unsigned gpa_bits);

/*
 * Builds the page that holds our tables and, as its last one, a copy of the XSDT (of xsdt_len bytes, header
 * checked by the caller) that names them too. page: one page, zeroed here; page_gpa: where the guest will see
 * it. 0 and the address of the new XSDT in *xsdt_gpa; -E2BIG: the XSDT is too long.
 */
int pvh_acpi_build(uint8_t *page, uint64_t page_gpa, const struct pvh_windows *windows, const uint8_t *xsdt,
                   size_t xsdt_len, uint64_t *xsdt_gpa);

/* Adds the tables to a guest that has never run, in one page more of its memory. max_memkb: its limit now. 0;
 * -ENOENT: it has no (sane) ACPI tables; -ENOSPC: no room near them; other negative errno. */
int pvh_acpi_add(struct foreign_cache *cache, xc_interface *xch, uint16_t domid, uint64_t max_memkb,
                 const struct guest_map *map, const struct pvh_windows *windows);

/* Looks whether the guest has our tables. 0 and the ECAM range in *windows (the rest is zeros); -ENOENT. */
int pvh_acpi_find(struct foreign_cache *cache, struct pvh_windows *windows);

#endif
