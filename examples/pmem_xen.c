// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmem_xen.c - see pmem_xen.h. Two properties of such mappings: one request to the kernel has to fill the
 * whole of it, and each page has an error of its own.
 */
#include "examples/pmem_xen.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "common/util.h"
#include "config.h"

#ifdef WITH_XEN
#include <xen/xen.h>

#include <xen/sys/privcmd.h>
#endif

int pmem_xen_check(const struct vhost_user_xen_region *region)
{
    const struct vhost_user_region *plain = &region->plain;

    if (region->xen_flags == 0)
        return 0;
    if (region->xen_flags != VHOST_USER_XEN_FOREIGN)
        return -EOPNOTSUPP;
    return plain->gpa % GUEST_PAGE_SIZE == 0 && plain->size % GUEST_PAGE_SIZE == 0 &&
                   plain->size >> GUEST_PAGE_SHIFT <= UINT32_MAX && plain->mmap_offset == 0 &&
                   region->domid <= UINT16_MAX
               ? 0
               : -EINVAL;
}

#ifdef WITH_XEN
static uint8_t *absent_make(const int *errors, uint64_t nr_pages)
{
    uint8_t *absent = calloc((nr_pages + 7) / 8, 1);

    for (uint64_t i = 0; absent != NULL && i < nr_pages; i++)
        if (errors[i] != 0)
            absent[i / 8] |= (uint8_t)(1u << i % 8);
    return absent;
}

static int pages_map(const struct vhost_user_xen_region *region, int fd, void *map, uint8_t **absent)
{
    uint64_t nr_pages = region->plain.size >> GUEST_PAGE_SHIFT;
    xen_pfn_t *gfns = calloc(nr_pages, sizeof(*gfns));
    int *errors = calloc(nr_pages, sizeof(*errors)), rc = gfns != NULL && errors != NULL ? 0 : -ENOMEM;
    privcmd_mmapbatch_v2_t batch = {.num = (unsigned)nr_pages,
                                    .dom = (domid_t)region->domid,
                                    .addr = (uintptr_t)map,
                                    .arr = gfns,
                                    .err = errors};

    for (uint64_t i = 0; rc == 0 && i < nr_pages; i++)
        gfns[i] = (region->plain.gpa >> GUEST_PAGE_SHIFT) + i;
    /* ENOENT: of some pages; their errors say which. */
    if (rc == 0 && ioctl(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch) != 0 && errno != ENOENT)
        rc = -errno;
    for (uint64_t i = 0; rc == 0 && *absent == NULL && i < nr_pages; i++)
        if (errors[i] != 0) {
            *absent = absent_make(errors, nr_pages);
            rc = *absent != NULL ? 0 : -ENOMEM;
        }
    free(gfns);
    free(errors);
    return rc;
}

int pmem_xen_map(const struct vhost_user_xen_region *region, int fd, void **map, uint8_t **absent)
{
    int rc;

    *absent = NULL;
    *map = mmap(NULL, region->plain.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (*map == MAP_FAILED)
        return -errno;
    rc = pages_map(region, fd, *map, absent);
    if (rc != 0)
        munmap(*map, region->plain.size);
    return rc;
}
#else
int pmem_xen_map(const struct vhost_user_xen_region *region, int fd, void **map, uint8_t **absent)
{
    (void)region, (void)fd, (void)map, (void)absent;
    return -EOPNOTSUPP;
}
#endif
