// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest_map.c - see guest_map.h.
 */
#include "xen/guest_map.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenforeignmemory.h>
#include <xen/arch-x86/hvm/save.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/hvm/hvm_info_table.h>

#include "common/util.h"
#include "xen/foreign_cache.h"

/* PC memory: the VGA hole, and where memory that did not fit below 4 GiB goes on. */
#define VGA_START 0xa0000u
#define VGA_END   0xc0000u
#define HIGH_RAM  GIB(4)
/* No guest has more: 52 bits of address. */
#define GPA_LIMIT ((uint64_t)1 << 52)

static int map_add(struct guest_map *map, enum guest_map_type type, uint64_t gpa, uint64_t end,
                   uint64_t where)
{
    if (gpa >= end)
        return 0;
    if (map->nr == GUEST_MAP_MAX)
        return -E2BIG;
    map->entry[map->nr++] = (struct guest_map_entry){gpa, end - gpa, type, where};
    return 0;
}

/* RAM from 0 to low_end, but for the VGA hole, and from 4 GiB to high_end (0: none). */
static int map_add_pc_ram(struct guest_map *map, uint64_t low_end, uint64_t high_end)
{
    int rc = map_add(map, GUEST_MAP_RAM, 0, MIN(low_end, VGA_START), 0);

    if (rc == 0)
        rc = map_add(map, GUEST_MAP_RAM, VGA_END, low_end, 0);
    if (rc == 0)
        rc = map_add(map, GUEST_MAP_RAM, HIGH_RAM, high_end, 0);
    return rc;
}

int guest_map_read_hvm(struct guest_map *map, struct foreign_cache *cache)
{
    struct hvm_info_table table;
    uint8_t bytes[GUEST_PAGE_SIZE - HVM_INFO_OFFSET], sum = 0;
    uint64_t low_end, high_end;

    memset(map, 0, sizeof(*map));
    if (foreign_cache_read(cache, HVM_INFO_PADDR, bytes, sizeof(bytes)) < 0)
        return -ENOENT;
    memcpy(&table, bytes, sizeof(table));
    if (memcmp(table.signature, "HVM INFO", sizeof(table.signature)) != 0 || table.length < sizeof(table) ||
        table.length > sizeof(bytes))
        return -ENOENT;
    for (uint32_t i = 0; i < table.length; i++)
        sum += bytes[i];
    low_end = (uint64_t)table.low_mem_pgend << GUEST_PAGE_SHIFT;
    high_end = (uint64_t)table.high_mem_pgend << GUEST_PAGE_SHIFT;
    if (sum != 0 || low_end <= VGA_END || low_end > HIGH_RAM)
        return -ENOENT;
    return map_add_pc_ram(map, low_end, high_end);
}

/* The start info that vCPU 0 is going to hand to the kernel, in rbx (the PVH boot ABI). */
static int start_info_read(struct hvm_start_info *info, struct foreign_cache *cache, xc_interface *xch,
                           uint16_t domid)
{
    struct hvm_hw_cpu cpu;

    memset(&cpu, 0, sizeof(cpu));
    if (xc_domain_hvm_getcontext_partial(xch, domid, HVM_SAVE_CODE(CPU), 0, &cpu, sizeof(cpu)) != 0)
        return -errno;
    if (foreign_cache_read(cache, cpu.rbx, info, sizeof(*info)) < 0)
        return -ENOENT;
    return info->magic == XEN_HVM_START_MAGIC_VALUE && info->version >= 1 && info->memmap_entries ? 0
                                                                                                  : -ENOENT;
}

static enum guest_map_type type_of(uint32_t type)
{
    switch (type) {
    case XEN_HVM_MEMMAP_TYPE_RAM:
        return GUEST_MAP_RAM;
    case XEN_HVM_MEMMAP_TYPE_ACPI:
    case XEN_HVM_MEMMAP_TYPE_NVS:
        return GUEST_MAP_ACPI;
    default:
        return GUEST_MAP_OTHER;
    }
}

int guest_map_read_pvh(struct guest_map *map, struct foreign_cache *cache, xc_interface *xch, uint16_t domid)
{
    struct hvm_start_info info;
    int rc = start_info_read(&info, cache, xch, domid);

    memset(map, 0, sizeof(*map));
    if (rc < 0)
        return rc;
    if (info.memmap_entries > GUEST_MAP_MAX)
        return -E2BIG;
    map->rsdp_gpa = info.rsdp_paddr;
    for (uint32_t i = 0; i < info.memmap_entries; i++) {
        struct hvm_memmap_table_entry raw;
        uint64_t where = info.memmap_paddr + i * sizeof(raw);

        if (foreign_cache_read(cache, where, &raw, sizeof(raw)) < 0)
            return -ENOENT;
        if (!range_within(raw.addr, raw.size, GPA_LIMIT))
            return -ENOENT;
        rc = map_add(map, type_of(raw.type), raw.addr, raw.addr + raw.size, where);
        if (rc < 0)
            return rc;
    }
    return guest_map_ram_end(map) ? 0 : -ENOENT;
}

/* The end of the last 2 MiB in [from, to) in which the guest has a page at its start or its end, or 0; *error
 * is the errno of a page that could not be mapped. */
static uint64_t probe_end(xenforeignmemory_handle *fmem, uint16_t domid, uint64_t from, uint64_t to,
                          int *error)
{
    enum { BATCH = 512 };
    xen_pfn_t gfns[BATCH];
    int errors[BATCH];
    uint64_t end = 0;

    while (from < to) {
        unsigned n = 0;
        void *pages;

        for (uint64_t at = from; n < BATCH && at < to; at += MIB(2)) {
            gfns[n++] = at >> GUEST_PAGE_SHIFT;
            gfns[n++] = (at + MIB(2) - GUEST_PAGE_SIZE) >> GUEST_PAGE_SHIFT;
        }
        pages = xenforeignmemory_map(fmem, domid, PROT_READ, n, gfns, errors);
        if (!pages)
            *error = errno;
        for (unsigned i = 0; pages && i < n; i++) {
            if (errors[i])
                *error = errors[i] < 0 ? -errors[i] : errors[i];
            else
                end = from + i / 2 * MIB(2) + MIB(2);
        }
        if (pages)
            xenforeignmemory_unmap(fmem, pages, n);
        from += n / 2 * MIB(2);
    }
    return end;
}

int guest_map_probe(struct guest_map *map, xenforeignmemory_handle *fmem, xc_interface *xch, uint16_t domid,
                    uint64_t max_memkb, uint64_t low_limit)
{
    xen_pfn_t max_gfn;
    uint64_t low_end, high_end = 0, max_end, max_ram;
    int error = 0;

    memset(map, 0, sizeof(*map));
    if (xc_domain_maximum_gpfn(xch, domid, &max_gfn) < 0)
        return -errno;
    max_end = align_up(MIN((uint64_t)max_gfn + 1, GPA_LIMIT >> GUEST_PAGE_SHIFT) << GUEST_PAGE_SHIFT, MIB(2));
    /* There is no more RAM than the limit. What else is mapped, below or terabytes above, is Xen's or a
     * device's. */
    max_ram = align_up(MIN(max_memkb, GPA_LIMIT / 1024) * 1024, MIB(2));
    low_end = probe_end(fmem, domid, 0, MIN(MIN(max_end, max_ram), low_limit), &error);
    if (low_end <= VGA_END)
        return error == EPERM || error == EACCES ? -EPERM : -ENOENT;
    if (max_end > HIGH_RAM)
        high_end = probe_end(fmem, domid, HIGH_RAM, MIN(max_end, HIGH_RAM + max_ram), &error);
    return map_add_pc_ram(map, low_end, high_end);
}

uint64_t guest_map_ram_end(const struct guest_map *map)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < map->nr; i++)
        if (map->entry[i].type == GUEST_MAP_RAM)
            end = MAX(end, map->entry[i].gpa + map->entry[i].len);
    return end;
}

bool guest_map_free(const struct guest_map *map, uint64_t gpa, uint64_t len)
{
    for (unsigned i = 0; i < map->nr; i++)
        if (gpa < map->entry[i].gpa + map->entry[i].len && map->entry[i].gpa < gpa + len)
            return false;
    return true;
}
