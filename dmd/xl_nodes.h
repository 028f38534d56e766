/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xl_nodes.h - what libxl has written into xenstore for one virtio device of a guest: texts, read strictly.
 * Who wrote them is not certain. Used by plan.c and guest.c.
 */
#ifndef VHOST_DM_DMD_XL_NODES_H
#define VHOST_DM_DMD_XL_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xen/toolstack.h"

/* States of a device (xen/io/xenbus.h). */
enum xl_state {
    XL_STATE_UNKNOWN = 0,
    XL_STATE_INITIALISING = 1,
    XL_STATE_INIT_WAIT = 2,
    XL_STATE_CONNECTED = 4,
    XL_STATE_CLOSING = 5,
    XL_STATE_CLOSED = 6,
};

struct xl_device {
    enum toolstack_kind kind;
    unsigned devid;
    uint16_t virtio_id;
    uint64_t base; /* 0 on x86: a PCI device then */
    uint32_t irq;
    char file[256]; /* of a virtio disk: what the back-end is to serve; or "" */
};

/* The virtio device id of "virtio,deviceN", N hexadecimal in lower case, as in the device tree. 0 or -EINVAL.
 */
int xl_virtio_id(const char *text, uint16_t *virtio_id);
/* A whole number without sign or blanks, base 10 or 16. 0 or -EINVAL. */
int xl_number(const char *text, int base, uint64_t max, uint64_t *number);
/* A device's state; anything strange is XL_STATE_UNKNOWN. */
enum xl_state xl_state(const char *text);

/*
 * Reads a device's nodes. 0; -ENOENT: it is gone; -EINVAL and why: one line for people, which names the node.
 */
int xl_device_read(struct toolstack *toolstack, unsigned domid, enum toolstack_kind kind, unsigned devid,
                   struct xl_device *device, char *why, size_t why_len);

#endif
