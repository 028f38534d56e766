// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * placement_foreign.c - the placement without any copy and any exit: the memory is an allocation of shared
 * pages (shm_pool.h), and the same pages are put into the guest. There is no read-only form of it: what the
 * guest may only read is left to others.
 */
#include <stddef.h>

#include "common/util.h"
#include "dm/guest.h"
#include "dm/placement.h"
#include "dm/shm_pool.h"
#include "dm/shmem_file.h"

static const char *foreign_refuses(struct guest *guest, const struct placement_range *range)
{
    if (guest->hv->ops->pages == NULL || guest->hv->ops->pages->shared_place == NULL)
        return "not foreign: this hypervisor cannot put shared pages into the guest";
    if (range->file->allocation == NULL)
        return "not foreign: the memory was not allocated with libvhost-dm-shm";
    if (!range->writable)
        return "not foreign: the guest may only read it";
    return NULL;
}

static uint64_t first_page(const struct placement_range *range)
{
    return shm_allocation_page(range->file->allocation) + (range->file_offset >> GUEST_PAGE_SHIFT);
}

static int foreign_place(struct guest *guest, const struct placement_range *range, uint64_t gpa)
{
    return guest->hv->ops->pages->shared_place(guest->hv, first_page(range), range->len >> GUEST_PAGE_SHIFT,
                                               gpa);
}

static void foreign_remove(struct guest *guest, const struct placement_range *range, uint64_t gpa)
{
    guest->hv->ops->pages->shared_remove(guest->hv, range->len >> GUEST_PAGE_SHIFT, gpa);
}

const struct placement_ops placement_foreign = {
    .id = PLACEMENT_FOREIGN,
    .name = "foreign",
    .refuses = foreign_refuses,
    .place = foreign_place,
    .remove = foreign_remove,
    .in_runs = true,
};
