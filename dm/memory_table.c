// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memory_table.c - see memory_table.h. Guest-physical addresses are the back-end's for rings as well
 * (frontend_region.user_addr): nothing tells where this process has anything.
 */
#include "dm/memory_table.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/region_table.h"
#include "common/vhost_user.h"
#include "dm/guest.h"
#include "dm/shmem.h"

/* A back-end may make millions of mappings: so many are looked at for those that another one can be told of.
 */
#define LOOK_MAX 4096

size_t memory_table_count_ram(struct guest *guest)
{
    size_t nr = 0;

    for (const struct region *r = region_table_find_from(guest->regions, 0); r != NULL;
         r = region_table_next(guest->regions, r))
        nr += r->kind == REGION_RAM_FOREIGN;
    return nr;
}

static int ram_open(struct memory_table *table, const struct region *r)
{
    struct hypervisor *hv = table->guest->hv;
    struct ram_export export;
    int rc;

    if (table->nr_ram == MEMORY_TABLE_MAX_RAM)
        return -E2BIG;
    rc = hv->ops->ram_export(hv, r->gpa, &export);
    if (rc != 0)
        return rc;
    table->ram[table->nr_ram++] = (struct frontend_region){
        .gpa = r->gpa,
        .len = r->len,
        .user_addr = r->gpa,
        .mmap_offset = export.offset,
        .xen_flags = export.access == SHARED_BY_DOMAIN ? VHOST_USER_XEN_FOREIGN : 0,
        .domid = export.domid,
        .fd = export.fd,
    };
    return 0;
}

int memory_table_open(struct memory_table *table)
{
    struct region_table *regions = table->guest->regions;

    for (const struct region *r = region_table_find_from(regions, 0); r != NULL;
         r = region_table_next(regions, r)) {
        int rc = r->kind == REGION_RAM_FOREIGN ? ram_open(table, r) : 0;

        if (rc != 0) {
            memory_table_close(table);
            return rc;
        }
    }
    return 0;
}

void memory_table_close(struct memory_table *table)
{
    while (table->nr_ram > 0)
        close(table->ram[--table->nr_ram].fd);
}

/* ---- what other devices' back-ends have mapped -------------------------------------------------------- */

static struct frontend_region mapping_region(const struct shmem_window_mapping *m)
{
    return (struct frontend_region){
        .gpa = m->gpa,
        .len = m->len,
        .user_addr = m->gpa,
        .mmap_offset = m->fd_offset,
        /* RAM has 0. */
        .id = (uint64_t)1 << 32 | m->serial,
        .fd = m->fd,
    };
}

static bool same_region(const struct frontend_region *a, const struct frontend_region *b)
{
    return a->gpa == b->gpa && a->len == b->len && a->id == b->id;
}

static bool is_others(const struct memory_table *table, const struct region *r)
{
    return r->kind == REGION_WINDOW && shmem_window_owner(r->window.opaque) != table->own;
}

/* A region that the back-end was told of, as it is now; false: it is not there any more. */
static bool find_again(const struct memory_table *table, const struct frontend_region *told,
                       struct frontend_region *now)
{
    const struct region *r = region_table_find(table->guest->regions, told->gpa);
    struct shmem_window_mapping m;

    if (r == NULL || !is_others(table, r) || !shmem_window_mapping_from(r->window.opaque, told->gpa, &m) ||
        !m.plain)
        return false;
    *now = mapping_region(&m);
    return same_region(now, told);
}

static bool is_in(const struct frontend_region *r, const struct frontend_region *list, size_t nr)
{
    for (size_t i = 0; i < nr; i++)
        if (same_region(r, &list[i]))
            return true;
    return false;
}

/* Adds what the window shows and is not there yet; *looks: how many more mappings may be looked at. */
static size_t window_add(const struct region *r, struct frontend_region *out, size_t nr, size_t max,
                         unsigned *looks)
{
    struct shmem_window_mapping m;
    uint64_t gpa = r->gpa;
    size_t had = nr;

    while (nr<max && * looks> 0 && gpa - r->gpa < r->len &&
           shmem_window_mapping_from(r->window.opaque, gpa, &m)) {
        struct frontend_region region = mapping_region(&m);

        --*looks;
        if (m.plain && !is_in(&region, out, had))
            out[nr++] = region;
        gpa = m.gpa + m.len;
    }
    return nr;
}

size_t memory_table_fill(struct memory_table *table, const struct frontend_region *told, size_t nr_told,
                         struct frontend_region *out, size_t max)
{
    struct region_table *regions = table->guest->regions;
    size_t nr = MIN(table->nr_ram, max);
    unsigned looks = LOOK_MAX;
    uint64_t nr_mappings = 0;

    memcpy(out, table->ram, nr * sizeof(*out));
    for (size_t i = 0; i < nr_told && nr < max; i++)
        if (told[i].id != 0 && find_again(table, &told[i], &out[nr]))
            nr++;
    for (const struct region *r = region_table_find_from(regions, 0); r != NULL;
         r = region_table_next(regions, r)) {
        if (!is_others(table, r))
            continue;
        nr_mappings += shmem_window_nr_mappings(r->window.opaque);
        nr = window_add(r, out, nr, max, &looks);
    }
    table->nr_untold = nr_mappings - (nr - MIN(table->nr_ram, max));
    return nr;
}
