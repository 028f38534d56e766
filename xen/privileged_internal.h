/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * privileged_internal.h - the server of privileged requests, as privileged.c and privileged_device.c know it.
 * Included by them alone.
 */
#ifndef VHOST_DM_XEN_PRIVILEGED_INTERNAL_H
#define VHOST_DM_XEN_PRIVILEGED_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xenctrl.h>

#include <xenforeignmemory.h>

#include "xen/device_grants.h"
#include "xen/holder.h"
#include "xen/kept.h"
#include "xen/privileged.h"

/* No x86 or Arm processor has wider guest-physical addresses. */
#define GFN_MAX (((uint64_t)1 << (52 - GUEST_PAGE_SHIFT)) - 1)
/* More devices than a guest can have. */
#define LIST_MAX 64

struct privileged_server {
    struct privileged base;
    struct privileged_scope scope;
    xc_interface *xch;
    xenforeignmemory_handle *fmem;
    struct holder *holder; /* NULL before HOLDER_INIT */
    uint64_t holder_pages; /* its size */
    struct kept *kept;
    bool over; /* its files are gone, and so may be the record: nothing is done any more */
    struct device_grants *grants;
    const char *listed[LIST_MAX]; /* of grants: the list that is being made */
    size_t nr_listed;
};

/* Carries a request out: what it answers is in reply, a descriptor for the asker in *fd_out. 0 or negative
 * errno. */
typedef int privileged_op_fn(struct privileged_server *s, const struct privileged_request *q, int fd,
                             struct privileged_reply *reply, int *fd_out);

privileged_op_fn privileged_device_find_op, privileged_device_map_op, privileged_device_unmap_op;
/* What a predecessor has mapped goes, and permissions that are of no use any more. */
void privileged_devices_undo(struct privileged_server *s);

#endif
