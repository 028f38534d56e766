/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioreq_access.h - carries out one I/O request of Xen (struct ioreq) as accesses of dm/hypervisor.h: single
 * ones, and string instructions, whose other side is guest memory. Used by the ioreq server; owns nothing.
 */
#ifndef VHOST_DM_XEN_IOREQ_ACCESS_H
#define VHOST_DM_XEN_IOREQ_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/hvm/ioreq.h>

struct guest_access;

/* Who serves the accesses of a request. */
struct ioreq_target {
    void (*access)(void *ctx, struct guest_access *access);
    void *access_ctx;
    /* Guest memory, as hypervisor_ops.map_ram: for requests whose data is in memory. */
    void *(*map)(void *ctx, uint64_t gpa, size_t *len);
    void *map_ctx;
    /* What of that is memory of a back-end, as hypervisor_handler.window_copy: it is asked first. */
    size_t (*window_copy)(void *ctx, uint64_t gpa, void *buf, size_t len, bool to_guest);
    void *window_ctx;
};

/* String instructions are served in pieces of this many bytes at the most. */
#define IOREQ_BOUNCE_SIZE 4096
/* More units than Xen puts into one request (it stops at page boundaries): such a request is not carried out.
 */
#define IOREQ_COUNT_MAX 4096

/*
 * Carries out *req, of type PIO, COPY or PCI_CONFIG. On return req->data is the answer of a read that is not
 * a string instruction. What cannot be read (no device, no memory, a size that is none) is all ones, what
 * cannot be written is dropped. Returns false when the request was malformed, which is then all that was
 * done.
 */
bool ioreq_perform(struct ioreq *req, const struct ioreq_target *target);

#endif
