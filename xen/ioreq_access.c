// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ioreq_access.c - see ioreq_access.h.
 *
 * A request is `count` units of `size` bytes. For memory (COPY) the address moves on by a unit each time,
 * down if the direction flag (df) is set; a port, and a PCI configuration register (reached through ports),
 * stays the same. The data is either in the request, one unit, or in guest memory from where a string
 * instruction takes it or puts it, a unit for each, moving the same way.
 */
#include "xen/ioreq_access.h"

#include <string.h>

#include "common/util.h"
#include "dm/hypervisor.h"

static void target_access(const struct ioreq_target *target, const struct ioreq *req, uint64_t addr,
                          void *data, size_t len)
{
    struct guest_access access = {
        .space = req->type == IOREQ_TYPE_PIO          ? ACCESS_PIO
                 : req->type == IOREQ_TYPE_PCI_CONFIG ? ACCESS_PCI_CONFIG
                                                      : ACCESS_MMIO,
        .write = req->dir == IOREQ_WRITE,
        .size = (uint8_t)req->size,
        .addr = addr,
        .len = len,
        .data = data,
    };

    if (!access.write)
        memset(data, 0xff, len);
    target->access(target->access_ctx, &access);
}

/* p: of n bytes of the guest; NULL: there are none. */
static void memory_copy_page(uint8_t *p, uint8_t *buf, size_t n, bool to_guest)
{
    if (p && to_guest)
        memcpy(p, buf, n);
    else if (p)
        memcpy(buf, p, n);
    else if (!to_guest)
        memset(buf, 0xff, n);
}

/* Copies between guest memory and buf; memory that is not there reads all ones and takes no writes. */
static void memory_copy(const struct ioreq_target *target, uint64_t gpa, uint8_t *buf, size_t len,
                        bool to_guest)
{
    while (len) {
        size_t in_page = MIN(len, GUEST_PAGE_SIZE - (gpa & (GUEST_PAGE_SIZE - 1)));
        size_t n = target->window_copy(target->window_ctx, gpa, buf, in_page, to_guest);

        if (!n) {
            uint8_t *p;

            n = in_page;
            p = target->map(target->map_ctx, gpa, &n);
            memory_copy_page(p, buf, p ? n : in_page, to_guest);
            n = p ? n : in_page;
        }
        gpa += n;
        buf += n;
        len -= n;
    }
}

/* The data is in the request: one unit, written or read count times. */
static void perform_plain(struct ioreq *req, const struct ioreq_target *target, uint64_t step)
{
    uint8_t data[8] = {0};

    for (uint32_t i = 0; i < req->count; i++) {
        if (req->dir == IOREQ_WRITE)
            memcpy(data, &req->data, sizeof(data));
        target_access(target, req, req->addr + i * step, data, req->size);
    }
    if (req->dir == IOREQ_READ)
        memcpy(&req->data, data, sizeof(data));
}

/* Upwards through memory on both sides: one access for as much as fits into the buffer. */
static void perform_block(const struct ioreq *req, const struct ioreq_target *target)
{
    uint8_t buf[IOREQ_BOUNCE_SIZE];
    uint64_t addr = req->addr, gpa = req->data, left = (uint64_t)req->count * req->size;

    while (left) {
        size_t n = MIN(left, sizeof(buf));

        if (req->dir == IOREQ_WRITE)
            memory_copy(target, gpa, buf, n, false);
        target_access(target, req, addr, buf, n);
        if (req->dir == IOREQ_READ)
            memory_copy(target, gpa, buf, n, true);
        addr += n;
        gpa += n;
        left -= n;
    }
}

/* Unit by unit: downwards, or at an address that stays. */
static void perform_units(const struct ioreq *req, const struct ioreq_target *target, uint64_t step)
{
    uint64_t memory_step = req->df ? -(uint64_t)req->size : req->size;

    for (uint32_t i = 0; i < req->count; i++) {
        uint64_t gpa = req->data + i * memory_step;
        uint8_t data[8];

        if (req->dir == IOREQ_WRITE)
            memory_copy(target, gpa, data, req->size, false);
        target_access(target, req, req->addr + i * step, data, req->size);
        if (req->dir == IOREQ_READ)
            memory_copy(target, gpa, data, req->size, true);
    }
}

bool ioreq_perform(struct ioreq *req, const struct ioreq_target *target)
{
    bool size_ok = req->size == 1 || req->size == 2 || req->size == 4 || req->size == 8;
    uint64_t step = req->type != IOREQ_TYPE_COPY ? 0 : req->df ? -(uint64_t)req->size : req->size;

    if (!size_ok || req->count > IOREQ_COUNT_MAX) {
        if (req->dir == IOREQ_READ && !req->data_is_ptr)
            req->data = ~(uint64_t)0;
        return false;
    }
    if (!req->data_is_ptr)
        perform_plain(req, target, step);
    else if (req->type == IOREQ_TYPE_COPY && !req->df)
        perform_block(req, target);
    else
        perform_units(req, target, step);
    return true;
}
