// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * privileged_device.c - see privileged.h: the server's part that gives the guest memory of devices, and takes
 * it away again.
 */
#include <errno.h>

#include <xenctrl.h> /* before the others: it says that we are tools */

#include "common/util.h"
#include "dm/device_memory.h"
#include "xen/privileged_internal.h"

/* Whether Xen's own map of the machine has ordinary memory there. No reference would keep it from being used
 * for something else. */
static bool is_ordinary(struct privileged_server *s, uint64_t frame, uint64_t nr_pages)
{
    uint64_t addr = frame << GUEST_PAGE_SHIFT, len = nr_pages << GUEST_PAGE_SHIFT;
    struct e820entry map[E820MAX];
    int n = xc_get_machine_memory_map(s->xch, map, ARRAY_SIZE(map));

    if (n <= 0 || n == ARRAY_SIZE(map))
        return true;
    for (int i = 0; i < n; i++)
        if (map[i].type == E820_RAM && addr < map[i].addr + map[i].size && map[i].addr < addr + len)
            return true;
    return false;
}

/* Which frames is never the asker's word: the file says it. */
int privileged_device_find_op(struct privileged_server *s, const struct privileged_request *q, int fd,
                              struct privileged_reply *reply, int *fd_out)
{
    uint64_t addr;
    int rc;

    (void)fd_out;
    if (fd < 0 || q->page > GFN_MAX)
        return -EINVAL;
    rc = device_memory_find(fd, q->page << GUEST_PAGE_SHIFT, q->nr_pages << GUEST_PAGE_SHIFT, &addr);
    if (rc < 0)
        return rc;
    reply->value = addr >> GUEST_PAGE_SHIFT;
    return is_ordinary(s, reply->value, q->nr_pages) ? -EPERM : 0;
}

static bool overlap(uint64_t a, uint64_t b, uint64_t a_pages, uint64_t b_pages)
{
    return a < b + b_pages && b < a + a_pages;
}

/* Takes the permissions away that were given for mappings which are not there any more, where no other one
 * has these frames. What the guest was permitted by others (xl.cfg: pci=, iomem=) it keeps. */
static void permissions_trim(struct privileged_server *s)
{
    struct kept_device *devices = s->kept->devices;

    for (size_t i = 0; i < KEPT_DEVICES; i++) {
        bool used = false;

        if (devices[i].flags == 0 || devices[i].flags & KEPT_MAPPED)
            continue;
        for (size_t k = 0; k < KEPT_DEVICES && devices[i].flags & KEPT_GRANTED; k++)
            used |= devices[k].flags & KEPT_MAPPED &&
                    overlap(devices[i].frame, devices[k].frame, devices[i].nr_pages, devices[k].nr_pages);
        if (used)
            continue;
        if (devices[i].flags & KEPT_GRANTED)
            xc_domain_iomem_permission(s->xch, s->scope.domid, devices[i].frame, devices[i].nr_pages, 0);
        devices[i].flags = 0;
    }
}

/* A place for a mapping; NULL: there is none, or where it is to be is one of ours already. */
static struct kept_device *device_new(struct privileged_server *s, uint64_t gfn, uint64_t nr_pages)
{
    struct kept_device *device = NULL;

    for (size_t i = 0; i < KEPT_DEVICES; i++) {
        struct kept_device *its = &s->kept->devices[i];

        if (its->flags & KEPT_MAPPED && overlap(gfn, its->gfn, nr_pages, its->nr_pages))
            return NULL;
        if (its->flags == 0)
            device = its;
    }
    return device;
}

/* With the permission, if that is missing. */
static int device_change(struct privileged_server *s, struct kept_device *device, uint32_t how)
{
    uint16_t domid = s->scope.domid;
    int rc = xc_domain_memory_mapping(s->xch, domid, device->gfn, device->frame, device->nr_pages, how);

    if (rc == 0 || errno != EPERM)
        return rc < 0 ? -errno : 0;
    device->flags |= KEPT_GRANTED;
    if (xc_domain_iomem_permission(s->xch, domid, device->frame, device->nr_pages, 1) < 0)
        return -errno;
    rc = xc_domain_memory_mapping(s->xch, domid, device->gfn, device->frame, device->nr_pages, how);
    return rc < 0 ? -errno : 0;
}

static int device_remove(struct privileged_server *s, struct kept_device *device)
{
    int rc = device_change(s, device, DPCI_REMOVE_MAPPING);

    device->flags &= ~(uint64_t)KEPT_MAPPED;
    permissions_trim(s);
    return rc;
}

int privileged_device_map_op(struct privileged_server *s, const struct privileged_request *q, int fd,
                             struct privileged_reply *reply, int *fd_out)
{
    int rc = privileged_device_find_op(s, q, fd, reply, fd_out);
    struct kept_device *device;

    if (rc < 0)
        return rc;
    if (q->nr_pages == 0)
        return -EINVAL;
    device = device_new(s, q->gfn, q->nr_pages);
    if (!device)
        return -ENOSPC;
    *device = (struct kept_device){reply->value, q->gfn, q->nr_pages, KEPT_MAPPED};
    rc = device_change(s, device, DPCI_ADD_MAPPING);
    if (rc < 0) {
        device->flags &= ~(uint64_t)KEPT_MAPPED;
        permissions_trim(s);
    }
    return rc;
}

/* Only what was mapped here: of what else the guest has nothing is taken away. */
int privileged_device_unmap_op(struct privileged_server *s, const struct privileged_request *q, int fd,
                               struct privileged_reply *reply, int *fd_out)
{
    (void)fd, (void)reply, (void)fd_out;
    for (size_t i = 0; i < KEPT_DEVICES; i++) {
        struct kept_device *device = &s->kept->devices[i];

        if (device->flags & KEPT_MAPPED && device->frame == q->page && device->gfn == q->gfn &&
            device->nr_pages == q->nr_pages)
            return device_remove(s, device);
    }
    return -EINVAL;
}

void privileged_devices_undo(struct privileged_server *s)
{
    for (size_t i = 0; i < KEPT_DEVICES; i++)
        if (s->kept->devices[i].flags & KEPT_MAPPED)
            device_remove(s, &s->kept->devices[i]);
    permissions_trim(s);
}
