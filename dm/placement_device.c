// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * placement_device.c - the placement of device memory: its frames are known and are not ordinary memory, so
 * nothing on this host reuses them, and they are put into the guest as they are (uncached).
 */
#include <stddef.h>

#include "common/util.h"
#include "dm/device_memory.h"
#include "dm/guest.h"
#include "dm/host.h"
#include "dm/placement.h"
#include "dm/shmem_file.h"

static const char *device_refuses(struct guest *guest, const struct placement_range *range)
{
    uint64_t addr;
    int rc;

    if (guest->hv->ops->pages == NULL || guest->hv->ops->pages->device_place == NULL)
        return "not device: this hypervisor has no device memory";
    if (range->file->allocation != NULL)
        return "not device: it is ordinary memory";
    rc = host_device_memory(guest->hv, range->file->fd, range->file_offset, range->len, &addr);
    if (rc != 0)
        return device_memory_why(rc);
    /* Such an entry of the guest's has no read-only form either. */
    return range->writable ? NULL : "not device: the guest may only read it";
}

static int device_place(struct guest *guest, const struct placement_range *range, uint64_t gpa)
{
    return guest->hv->ops->pages->device_place(guest->hv, range->file->fd, range->file_offset,
                                               range->len >> GUEST_PAGE_SHIFT, gpa);
}

static void device_remove(struct guest *guest, const struct placement_range *range, uint64_t gpa)
{
    guest->hv->ops->pages->device_remove(guest->hv, range->len >> GUEST_PAGE_SHIFT, gpa);
}

const struct placement_ops placement_device = {
    .id = PLACEMENT_DEVICE,
    .name = "device",
    .refuses = device_refuses,
    .place = device_place,
    .remove = device_remove,
};
