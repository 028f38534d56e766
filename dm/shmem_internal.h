/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shmem_internal.h - what the two files of shared memory regions, shmem.c and shmem_window.c, know of each
 * other. Included by them alone.
 */
#ifndef VHOST_DM_SHMEM_INTERNAL_H
#define VHOST_DM_SHMEM_INTERNAL_H

#include "common/log.h"
#include "common/region_table.h"
#include "dm/shmem.h"
#include "dm/shmem_file.h"

struct shmem_region {
    struct shmem *shmem;
    struct shmem_region_info info;
    struct region_table *maps; /* owned: REGION_SHMEM, by offset in the region */
    struct shmem_placed placed[NR_PLACEMENTS];
};

struct shmem {
    struct guest *guest;
    char name[64];
    struct shmem_options options;
    size_t nr_regions;
    struct shmem_region *regions; /* owned, by shmid */
    uint64_t window_len;
    bool shown;
    uint64_t gpa; /* of the window, when shown */
    struct shmem_file_set files;
    struct shmem_stats stats;
    uint32_t last_serial;
    unsigned placements_logged; /* bits by enum placement: a choice is logged once, not for each mapping */
    struct log_limit limit;
};

/* An access at an offset in the region that opaque is: what is not mapped reads all ones and takes no
 * writes. */
void shmem_region_access(void *opaque, uint64_t offset, struct guest_access *access);

#endif
