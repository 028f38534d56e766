// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest_ring.c - see guest_ring.h. Layout and flags: linux/virtio_ring.h. Indexes are read and written as
 * single 16-bit accesses, with the barriers that the spec asks for (2.7.13, 2.7.14); the rings' alignment,
 * which is checked first, makes sure that none crosses a page.
 */
#include "dm/guest_ring.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_ring.h>

#define AVAIL_FLAGS     offsetof(struct vring_avail, flags)
#define AVAIL_IDX       offsetof(struct vring_avail, idx)
#define AVAIL_RING(pos) (offsetof(struct vring_avail, ring) + sizeof(__virtio16) * (pos))
#define USED_FLAGS      offsetof(struct vring_used, flags)
#define USED_IDX        offsetof(struct vring_used, idx)
#define USED_RING(pos)  (offsetof(struct vring_used, ring) + sizeof(struct vring_used_elem) * (pos))

static int ring_load16(const struct guest_ring *ring, uint64_t gpa, uint16_t *value)
{
    size_t len = sizeof(*value);
    const uint16_t *at = guest_memory_at(ring->guest, gpa, &len);

    if (at == NULL || len < sizeof(*value))
        return -EFAULT;
    *value = le16toh(__atomic_load_n(at, __ATOMIC_ACQUIRE));
    return 0;
}

static int ring_store16(const struct guest_ring *ring, uint64_t gpa, uint16_t value)
{
    size_t len = sizeof(value);
    uint16_t *at = guest_memory_at(ring->guest, gpa, &len);

    if (at == NULL || len < sizeof(value))
        return -EFAULT;
    __atomic_store_n(at, htole16(value), __ATOMIC_RELEASE);
    return 0;
}

const char *guest_ring_check(const struct guest_ring *ring)
{
    if (ring->desc % VRING_DESC_ALIGN_SIZE != 0 || ring->avail % VRING_AVAIL_ALIGN_SIZE != 0 ||
        ring->used % VRING_USED_ALIGN_SIZE != 0)
        return "its rings are not aligned";
    /* With the two event fields that follow the rings. */
    if (!guest_memory_covers(ring->guest, ring->desc, sizeof(struct vring_desc) * ring->size, false) ||
        !guest_memory_covers(ring->guest, ring->avail, AVAIL_RING((uint64_t)ring->size) + sizeof(__virtio16),
                             false) ||
        !guest_memory_covers(ring->guest, ring->used, USED_RING((uint64_t)ring->size) + sizeof(__virtio16),
                             true))
        return "its rings are not in the guest's memory";
    return NULL;
}

int guest_ring_avail_idx(const struct guest_ring *ring, uint16_t *idx)
{
    return ring_load16(ring, ring->avail + AVAIL_IDX, idx);
}

int guest_ring_avail_head(const struct guest_ring *ring, uint16_t pos, uint16_t *head)
{
    int rc = ring_load16(ring, ring->avail + AVAIL_RING(pos % ring->size), head);

    return rc == 0 && *head >= ring->size ? -EINVAL : rc;
}

/* ---- chains --------------------------------------------------------------------------------------- */

static int chain_append(struct chain *chain, uint64_t gpa, uint32_t len)
{
    if (chain->nr_segments == chain->capacity) {
        unsigned capacity = MAX(4u, chain->capacity * 2);
        struct chain_segment *segments = realloc(chain->segments, capacity * sizeof(*segments));

        if (segments == NULL)
            return -ENOMEM;
        chain->segments = segments;
        chain->capacity = capacity;
    }
    chain->segments[chain->nr_segments++] = (struct chain_segment){.gpa = gpa, .len = len};
    return 0;
}

static int chain_add(const struct guest_ring *ring, struct chain *chain, const struct vring_desc *desc,
                     const char **why)
{
    uint32_t len = le32toh(desc->len);
    uint64_t gpa = le64toh(desc->addr);
    bool writable = le16toh(desc->flags) & VRING_DESC_F_WRITE;
    int rc;

    if (!writable && chain->writable_len > 0) {
        *why = "a buffer to read follows one to write";
        return -EINVAL;
    }
    /* An empty buffer says nothing, and back-ends choke on it. */
    if (len == 0)
        return 0;
    /* First, because it may take long to find out whether all of a large buffer is memory. */
    if (ring->chain_max > 0 &&
        !range_within(chain->readable_len + chain->writable_len, len, ring->chain_max)) {
        *why = "a request is larger than the whole bounce pool (a larger bounce-pool= would serve it)";
        return -E2BIG;
    }
    if (!guest_memory_covers(ring->guest, gpa, len, writable)) {
        *why = "a buffer is not in the guest's memory";
        return -EFAULT;
    }
    rc = chain_append(chain, gpa, len);
    if (rc != 0) {
        *why = "no memory";
        return rc;
    }
    if (writable) {
        chain->writable_len += len;
    } else {
        chain->readable_len += len;
        chain->nr_readable = chain->nr_segments;
    }
    return 0;
}

/* A table of descriptors that is being walked: the queue's own, or an indirect one. */
struct desc_table {
    uint64_t gpa;
    uint32_t nr; /* entries */
};

static int indirect_open(const struct guest_ring *ring, const struct vring_desc *desc, bool in_indirect,
                         struct desc_table *table, const char **why)
{
    uint32_t len = le32toh(desc->len);

    *why = NULL;
    if (!ring->indirect)
        *why = "an indirect table, which was not negotiated";
    else if (in_indirect)
        *why = "an indirect table inside an indirect table";
    else if (le16toh(desc->flags) & VRING_DESC_F_NEXT)
        *why = "an indirect table with a next descriptor";
    else if (len == 0 || len % sizeof(struct vring_desc) != 0)
        *why = "an indirect table of odd length";
    if (*why != NULL)
        return -EINVAL;
    *table = (struct desc_table){le64toh(desc->addr), (uint32_t)(len / sizeof(struct vring_desc))};
    return 0;
}

int guest_ring_chain_read(const struct guest_ring *ring, uint16_t head, struct chain *chain, const char **why)
{
    struct desc_table table = {ring->desc, ring->size};
    uint32_t index = head, seen = 0;
    bool in_indirect = false;

    chain->nr_segments = chain->nr_readable = 0;
    chain->readable_len = chain->writable_len = 0;
    for (;;) {
        struct vring_desc desc;
        uint16_t flags;
        int rc;

        if (index >= table.nr) {
            *why = "a descriptor number past the end of its table";
            return -EINVAL;
        }
        if (seen++ >= (in_indirect ? CHAIN_MAX_SEGMENTS : ring->size)) {
            *why = "a chain that is too long, or a loop";
            return -EINVAL;
        }
        if (table.gpa + index * sizeof(desc) < table.gpa ||
            guest_memory_read(ring->guest, table.gpa + index * sizeof(desc), &desc, sizeof(desc)) != 0) {
            *why = "a descriptor that is not in the guest's memory";
            return -EFAULT;
        }
        flags = le16toh(desc.flags);
        if (flags & VRING_DESC_F_INDIRECT) {
            rc = indirect_open(ring, &desc, in_indirect, &table, why);
            if (rc != 0)
                return rc;
            in_indirect = true;
            index = 0;
            continue;
        }
        rc = chain_add(ring, chain, &desc, why);
        if (rc != 0)
            return rc;
        if (!(flags & VRING_DESC_F_NEXT))
            return 0;
        index = le16toh(desc.next);
    }
}

void chain_free(struct chain *chain)
{
    free(chain->segments);
    *chain = (struct chain){0};
}

/* ---- used ring and notifications ------------------------------------------------------------------ */

int guest_ring_used_put(const struct guest_ring *ring, uint16_t pos, uint16_t head, uint32_t len)
{
    struct vring_used_elem elem = {.id = htole32(head), .len = htole32(len)};

    return guest_memory_write(ring->guest, ring->used + USED_RING(pos % ring->size), &elem, sizeof(elem));
}

int guest_ring_used_show(const struct guest_ring *ring, uint16_t idx)
{
    return ring_store16(ring, ring->used + USED_IDX, idx);
}

int guest_ring_used_idx(const struct guest_ring *ring, uint16_t *idx)
{
    return ring_load16(ring, ring->used + USED_IDX, idx);
}

bool guest_ring_wants_interrupt(const struct guest_ring *ring, uint16_t old_idx, uint16_t new_idx)
{
    uint16_t value;

    /* The index must be visible before we look whether the driver waits for it. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (ring->event_idx)
        return ring_load16(ring, ring->avail + AVAIL_RING(ring->size), &value) != 0 ||
               vring_need_event(value, new_idx, old_idx);
    return ring_load16(ring, ring->avail + AVAIL_FLAGS, &value) != 0 || !(value & VRING_AVAIL_F_NO_INTERRUPT);
}

void guest_ring_notify_enable(const struct guest_ring *ring, uint16_t pos)
{
    if (ring->event_idx)
        ring_store16(ring, ring->used + USED_RING(ring->size), pos);
    else
        ring_store16(ring, ring->used + USED_FLAGS, 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void guest_ring_notify_disable(const struct guest_ring *ring)
{
    /* With the event index, the driver notifies only when it passes what was asked for last. */
    if (!ring->event_idx)
        ring_store16(ring, ring->used + USED_FLAGS, VRING_USED_F_NO_NOTIFY);
}
