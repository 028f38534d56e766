/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory_table.h - the guest's memory as a back-end is told of it that maps it itself: its RAM, and what
 * other devices' back-ends have mapped into their shared memory regions, so that a device can move data
 * there. Made from the guest's region table (common/region_table.h) whenever it is needed: there is no second
 * copy of it. Used by dm/direct.c.
 */
#ifndef VHOST_DM_MEMORY_TABLE_H
#define VHOST_DM_MEMORY_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "dm/frontend.h"

#define MEMORY_TABLE_MAX_RAM 16 /* regions: more than a hypervisor makes of a guest's RAM */

struct guest;
struct shmem;

struct memory_table {
    struct guest *guest;     /* borrowed */
    const struct shmem *own; /* borrowed: the device's own regions, which its back-end knows; NULL: none */
    size_t nr_ram;
    struct frontend_region ram[MEMORY_TABLE_MAX_RAM]; /* with fds of ours */
    uint64_t nr_untold; /* mappings that the last fill had no room for, or that nobody else can map */
};

/* In how many regions the guest's RAM is. */
size_t memory_table_count_ram(struct guest *guest);

/* Opens the guest's RAM for a back-end. 0; -E2BIG: it lies in too many pieces; or what opening it gave. On an
 * error nothing is left to close. */
int memory_table_open(struct memory_table *table);
/* Closes it; the back-end has its own fds. Good at any time. */
void memory_table_close(struct memory_table *table);

/* Writes the regions that a back-end is to have now, at most max: its RAM; then of told, which it has, what
 * is still there; then what is new, as far as there is room. Returns how many. Fds are borrowed until memory
 * changes or the table is closed. */
size_t memory_table_fill(struct memory_table *table, const struct frontend_region *told, size_t nr_told,
                         struct frontend_region *out, size_t max);

#endif
