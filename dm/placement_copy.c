// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * placement_copy.c - the placement of what cannot change any more: a memfd that is sealed against writes and
 * resizing, mapped read-only. The guest gets pages of its own with the same content, once.
 * (F_SEAL_FUTURE_WRITE is not enough: an older writable mapping may exist.)
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>

#include "common/util.h"
#include "dm/guest.h"
#include "dm/placement.h"
#include "dm/shmem_file.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK)

/* What a back-end may make us take from the host's memory for its guest. */
#define COPY_LIMIT GIB(1)

static const char *copy_refuses(struct guest *guest, const struct placement_range *range)
{
    int seals;

    if (guest->hv->ops->pages == NULL || guest->hv->ops->pages->copy_place == NULL)
        return "not copy: this hypervisor cannot give the guest pages";
    if (range->writable)
        return "not copy: the guest may write to it";
    /* The pages of an allocation change whatever its token's seals are. */
    seals = range->file->allocation == NULL ? fcntl(range->file->fd, F_GET_SEALS) : -1;
    if (seals < 0 || (seals & SEALS) != SEALS)
        return "not copy: the memory is not a memfd that is sealed against writing and resizing";
    if (!range_within(guest->copied, range->len, COPY_LIMIT))
        return "not copy: the guest has as many copied pages as are allowed";
    return NULL;
}

static bool copy_fill(void *ctx, uint64_t offset, void *buf, size_t len)
{
    const struct placement_range *range = ctx;

    return shmem_file_copy(range->file, range->file_offset + offset, buf, len, false);
}

static int copy_place(struct guest *guest, const struct placement_range *range, uint64_t gpa)
{
    struct placement_range copy = *range;
    int rc;

    /* Asked for again: while the guest sees none of it nothing is counted. */
    if (!range_within(guest->copied, range->len, COPY_LIMIT))
        return -EDQUOT;
    rc = guest->hv->ops->pages->copy_place(guest->hv, range->len >> GUEST_PAGE_SHIFT, gpa, copy_fill, &copy);
    if (rc == 0)
        guest->copied += range->len;
    return rc;
}

static void copy_remove(struct guest *guest, const struct placement_range *range, uint64_t gpa)
{
    guest->hv->ops->pages->copy_remove(guest->hv, range->len >> GUEST_PAGE_SHIFT, gpa);
    guest->copied -= range->len;
}

const struct placement_ops placement_copy = {
    .id = PLACEMENT_COPY,
    .name = "copy",
    .refuses = copy_refuses,
    .place = copy_place,
    .remove = copy_remove,
    .in_runs = true,
};
