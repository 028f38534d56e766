// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bounce_queue.c - see bounce_queue.h. What the back-end writes in the memfd is as little to be trusted as
 * what the guest writes: of the shadow ring only the used ring is read, each number once, and all that we
 * must remember is in memory of our own.
 */
#include "dm/bounce_queue.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dm/frontend.h"
#include "dm/shared_eventfd.h"

/* ---- the shadow ring ------------------------------------------------------------------------------ */

/* The used ring has a cache line of its own: the back-end writes it, we write the rest. */
#define SHADOW_ALIGN 64

static size_t avail_len(uint16_t size)
{
    return sizeof(struct vring_avail) + sizeof(__virtio16) * (size + 1u);
}

static size_t used_len(uint16_t size)
{
    return sizeof(struct vring_used) + sizeof(struct vring_used_elem) * size + sizeof(__virtio16);
}

size_t bounce_queue_ring_len(uint16_t size)
{
    return align_up(sizeof(struct vring_desc) * size, SHADOW_ALIGN) +
           align_up(avail_len(size), SHADOW_ALIGN) + align_up(used_len(size), SHADOW_ALIGN);
}

static void *shadow_at(const struct bounce_queue *q, uint64_t offset)
{
    return q->bounce->pool.mem + offset;
}

static struct vring_desc *shadow_desc(const struct bounce_queue *q)
{
    return shadow_at(q, q->desc_offset);
}

static struct vring_avail *shadow_avail_ring(const struct bounce_queue *q)
{
    return shadow_at(q, q->avail_offset);
}

static struct vring_used *shadow_used_ring(const struct bounce_queue *q)
{
    return shadow_at(q, q->used_offset);
}

/* The event fields behind the rings (linux/virtio_ring.h: vring_used_event, vring_avail_event). */
static __virtio16 *shadow_used_event(const struct bounce_queue *q)
{
    return &shadow_avail_ring(q)->ring[q->guest.size];
}

static __virtio16 *shadow_avail_event(const struct bounce_queue *q)
{
    return (__virtio16 *)(void *)&shadow_used_ring(q)->ring[q->guest.size];
}

static bool shadow_has(const struct bounce_queue *q, unsigned feature)
{
    return q->bounce->shadow_features >> feature & 1;
}

static uint16_t load16(const __virtio16 *at)
{
    return le16toh(__atomic_load_n(at, __ATOMIC_ACQUIRE));
}

static uint32_t load32(const __virtio32 *at)
{
    return le32toh(__atomic_load_n(at, __ATOMIC_RELAXED));
}

static void store16(__virtio16 *at, uint16_t value)
{
    __atomic_store_n(at, htole16(value), __ATOMIC_RELEASE);
}

static void call_ready(struct ev_loop *loop, ev_io *io, int revents)
{
    struct bounce_queue *q = io->data;

    (void)revents;
    /* The counter is of no interest, and a back-end may even have emptied it. */
    if (shared_eventfd_clear(q->call_fd) == 0) {
        bounce_called(q);
        return;
    }
    /* Not once more. While requests are waited for their time limit will end the connection. */
    ev_io_stop(loop, io);
    bounce_backend_error(q, "its call eventfd blocks");
}

int bounce_queue_shadow(struct bounce_queue *q, uint64_t ring_offset)
{
    uint16_t size = q->guest.size;

    q->desc_offset = ring_offset;
    q->avail_offset = q->desc_offset + align_up(sizeof(struct vring_desc) * size, SHADOW_ALIGN);
    q->used_offset = q->avail_offset + align_up(avail_len(size), SHADOW_ALIGN);
    q->shadow_avail = q->shadow_used = 0;
    q->nr_asked = q->nr_asked_unshown = 0;
    q->next = calloc(size, sizeof(*q->next));
    q->slots = calloc(size, sizeof(*q->slots));
    q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->next == NULL || q->slots == NULL)
        return -ENOMEM;
    if (q->kick_fd < 0 || q->call_fd < 0)
        return -errno;
    for (unsigned i = 0; i < size; i++)
        q->next[i] = (uint16_t)(i + 1);
    q->free_head = 0;
    q->nr_free = size;
    ev_io_init(&q->call_io, call_ready, q->call_fd, EV_READ);
    q->call_io.data = q;
    ev_io_start(q->bounce->dev->guest->loop, &q->call_io);
    return 0;
}

void bounce_queue_unshadow(struct bounce_queue *q)
{
    ev_io_stop(q->bounce->dev->guest->loop, &q->call_io);
    list_remove(&q->waiting);
    list_remove(&q->call_work.link);
    for (unsigned i = 0; q->slots != NULL && i < q->guest.size; i++)
        chain_free(&q->slots[i].chain);
    free(q->slots);
    free(q->next);
    q->slots = NULL;
    q->next = NULL;
    if (q->kick_fd >= 0)
        close(q->kick_fd);
    if (q->call_fd >= 0)
        close(q->call_fd);
    q->kick_fd = q->call_fd = -1;
}

/* ---- from the guest to the back-end ----------------------------------------------------------------- */

/* How a chain is laid out in the memfd and in the shadow ring: in pieces, each of them a run of segments that
 * lie together and have one descriptor. */
struct chain_plan {
    enum {
        PIECE_IS_SEGMENT,
        PIECE_IS_HEADER,    /* the first segment, all else that is readable, each that is writable */
        PIECE_IS_DIRECTION, /* all that is readable, all that is writable: a chain that is too long for the
                               ring */
    } pieces;
    bool indirect; /* one descriptor, that names a table in front of the buffers */
    unsigned nr_pieces;
    unsigned nr_descs; /* of the ring */
    uint64_t len;      /* bytes of pool */
};

static bool piece_begins(const struct chain *chain, const struct chain_plan *plan, unsigned segment)
{
    switch (plan->pieces) {
    case PIECE_IS_SEGMENT:
        return true;
    case PIECE_IS_HEADER:
        return segment <= 1 || segment >= chain->nr_readable;
    case PIECE_IS_DIRECTION:
        return segment == 0 || segment == chain->nr_readable;
    }
    return true;
}

static unsigned pieces_count(const struct chain *chain, const struct chain_plan *plan)
{
    unsigned nr = 0;

    for (unsigned i = 0; i < chain->nr_segments; i++)
        nr += piece_begins(chain, plan, i);
    return nr;
}

static struct chain_plan chain_plan_make(struct bounce_queue *q)
{
    struct chain *chain = &q->scratch;
    struct chain_plan plan = {.pieces = q->bounce->options.header_first ? PIECE_IS_HEADER : PIECE_IS_SEGMENT};
    uint64_t at = 0;

    plan.nr_pieces = pieces_count(chain, &plan);
    plan.indirect = plan.nr_pieces > 1 && shadow_has(q, VIRTIO_RING_F_INDIRECT_DESC);
    if (!plan.indirect && plan.nr_pieces > q->guest.size) {
        plan.pieces = PIECE_IS_DIRECTION;
        plan.nr_pieces = pieces_count(chain, &plan);
    }
    plan.nr_descs = plan.indirect ? 1 : plan.nr_pieces;
    if (plan.indirect)
        at = plan.nr_pieces * sizeof(struct vring_desc);
    for (unsigned i = 0; i < chain->nr_segments; i++) {
        struct chain_segment *s = &chain->segments[i];

        /* Page alignment lets back-ends use O_DIRECT without a copy of their own. */
        if (piece_begins(chain, &plan, i))
            at = align_up(at, s->len >= BOUNCE_POOL_UNIT ? BOUNCE_POOL_UNIT : 16);
        s->offset = at;
        at += s->len;
    }
    plan.len = at;
    return plan;
}

static void desc_fill(struct vring_desc *desc, uint64_t offset, uint64_t len, uint16_t flags, uint16_t next)
{
    *desc = (struct vring_desc){
        .addr = htole64(BOUNCE_BACKEND_BASE + offset),
        .len = htole32((uint32_t)len),
        .flags = htole16(flags),
        .next = htole16(next),
    };
}

/* The descriptor of the piece that begins at *segment, which is moved to the next one. */
static void desc_fill_piece(struct vring_desc *desc, const struct chain *chain, const struct chain_plan *plan,
                            unsigned *segment, uint16_t next)
{
    uint16_t flags = *segment < chain->nr_readable ? 0 : VRING_DESC_F_WRITE;
    uint64_t offset = chain->segments[*segment].offset, len = 0;

    do
        len += chain->segments[(*segment)++].len;
    while (*segment < chain->nr_segments && !piece_begins(chain, plan, *segment));
    if (*segment < chain->nr_segments)
        flags |= VRING_DESC_F_NEXT;
    desc_fill(desc, offset, len, flags, next);
}

static uint16_t descs_fill(struct bounce_queue *q, const struct chain_plan *plan, uint64_t alloc_offset)
{
    const struct chain *chain = &q->scratch;
    struct vring_desc *descs = shadow_desc(q);
    uint16_t first = q->free_head, id = first;
    unsigned segment = 0;

    if (plan->indirect) {
        struct vring_desc *table = shadow_at(q, alloc_offset);

        for (unsigned i = 0; i < plan->nr_pieces; i++)
            desc_fill_piece(&table[i], chain, plan, &segment, (uint16_t)(i + 1));
        desc_fill(&descs[id], alloc_offset, plan->nr_pieces * sizeof(*table), VRING_DESC_F_INDIRECT, 0);
        q->free_head = q->next[id];
    } else {
        for (unsigned i = 0; i < plan->nr_pieces; i++) {
            desc_fill_piece(&descs[id], chain, plan, &segment, q->next[id]);
            id = q->next[id];
        }
        q->free_head = id;
    }
    q->nr_free -= plan->nr_descs;
    return first;
}

static void descs_release(struct bounce_queue *q, uint16_t first, unsigned nr)
{
    uint16_t last = first;

    for (unsigned i = 1; i < nr; i++)
        last = q->next[last];
    q->next[last] = q->free_head;
    q->free_head = first;
    q->nr_free += nr;
}

static struct bounce_arena *slot_arena(struct bounce_queue *q, bool lent)
{
    return lent ? &q->lent : &q->bounce->common;
}

/* A turn at the common part of the pool is taken in order, so that a large request is not overtaken for ever
 * by small ones. What is lent has a part of the queue's own: it waits for nobody else, and nobody for it. */
static int64_t pool_take(struct bounce_queue *q, uint64_t len, bool lent)
{
    struct bounce *bounce = q->bounce;
    bool first = list_is_empty(&bounce->pool_waiters) || bounce->pool_waiters.next == &q->waiting;
    int64_t offset;

    if (lent)
        return bounce_pool_alloc(&bounce->pool, &q->lent, len);
    offset = first ? bounce_pool_alloc(&bounce->pool, &bounce->common, len) : -ENOSPC;
    if (offset >= 0)
        list_remove(&q->waiting);
    else if (offset == -ENOSPC && list_is_empty(&q->waiting))
        list_append(&bounce->pool_waiters, &q->waiting);
    return offset;
}

/* Copies the chain in scratch and makes it available, except for the index. 1; 0: no room now; -1: error
 * told. */
static int chain_submit(struct bounce_queue *q, uint16_t head)
{
    struct chain *chain = &q->scratch;
    struct chain_plan plan = chain_plan_make(q);
    bool lent = bounce_chain_is_lent(q, chain);
    struct bounce_slot *slot;
    struct chain spare;
    int64_t offset;
    uint16_t id;

    if (plan.nr_descs > q->nr_free)
        return 0;
    offset = pool_take(q, plan.len, lent);
    if (offset == -E2BIG)
        bounce_guest_error(
            q,
            "a request is larger than the bounce pool's part for it (a larger bounce-pool= would serve it)");
    if (offset < 0)
        return offset == -ENOSPC ? 0 : -1;
    for (unsigned i = 0; i < chain->nr_segments; i++)
        chain->segments[i].offset += (uint64_t)offset;
    for (unsigned i = 0; i < chain->nr_readable; i++) {
        struct chain_segment *s = &chain->segments[i];

        if (guest_memory_read(q->guest.guest, s->gpa, shadow_at(q, s->offset), s->len) != 0) {
            bounce_pool_release(&q->bounce->pool, slot_arena(q, lent), (uint64_t)offset, plan.len);
            bounce_guest_error(q, "a buffer is not in the guest's memory");
            return -1;
        }
    }
    id = descs_fill(q, &plan, (uint64_t)offset);
    slot = &q->slots[id];
    /* The arrays change places: neither is allocated again. */
    spare = slot->chain;
    *slot = (struct bounce_slot){.busy = true,
                                 .lent = lent,
                                 .guest_head = head,
                                 .nr_descs = (uint16_t)plan.nr_descs,
                                 .alloc_offset = (uint64_t)offset,
                                 .alloc_len = plan.len,
                                 .chain = *chain};
    q->counts.bytes_read += slot->chain.readable_len;
    *chain = spare;
    q->nr_asked_unshown += !lent;
    shadow_avail_ring(q)->ring[q->shadow_avail++ % q->guest.size] = htole16(id);
    return 1;
}

/* Shows the back-end what was made available since old, and wakes it if it wants that. */
static void shadow_publish(struct bounce_queue *q, uint16_t old)
{
    bool wanted;

    if (old == q->shadow_avail)
        return;
    store16(&shadow_avail_ring(q)->idx, q->shadow_avail);
    q->nr_asked += q->nr_asked_unshown;
    q->nr_asked_unshown = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (shadow_has(q, VIRTIO_RING_F_EVENT_IDX))
        wanted = vring_need_event(load16(shadow_avail_event(q)), q->shadow_avail, old);
    else
        wanted = !(load16(&shadow_used_ring(q)->flags) & VRING_USED_F_NO_NOTIFY);
    if (wanted && shared_eventfd_signal(q->kick_fd) != 0)
        bounce_backend_error(q, "its kick eventfd blocks");
}

/* One chain further. 1: go on; 0: nothing to do, or no room, for now; -1: error told. */
static int submit_one(struct bounce_queue *q)
{
    uint16_t head;
    int rc = bounce_chain_next(q, &head);

    if (rc == 0)
        return bounce_guest_idle(q) ? 0 : 1;
    if (rc < 0)
        return rc;
    if (q->scratch.nr_segments == 0) { /* no bytes in either direction: nothing that a back-end could do */
        bounce_chain_advance(q, head);
        q->counts.requests++;
        return bounce_chain_complete(q, head, 0) ? 1 : -1;
    }
    rc = chain_submit(q, head);
    if (rc > 0)
        bounce_chain_advance(q, head);
    return rc;
}

void bounce_queue_submit(struct bounce_queue *q)
{
    uint16_t old_avail = q->shadow_avail, old_used = q->saved->used_idx;
    int rc = 1;

    guest_ring_notify_disable(&q->guest);
    for (unsigned n = 0; rc > 0 && n < BOUNCE_BATCH; n++)
        rc = submit_one(q);
    if (rc < 0)
        return;
    if (rc > 0)
        guest_work_queue(q->guest.guest, &q->kick_work);
    shadow_publish(q, old_avail);
    bounce_interrupt_if_wanted(q, old_used);
}

/* ---- from the back-end to the guest ----------------------------------------------------------------- */

static bool slot_copy_back(struct bounce_queue *q, const struct bounce_slot *slot, uint64_t len)
{
    const struct chain *chain = &slot->chain;

    for (unsigned i = chain->nr_readable; i < chain->nr_segments && len > 0; i++) {
        const struct chain_segment *s = &chain->segments[i];
        size_t part = MIN(len, s->len);

        if (guest_memory_write(q->guest.guest, s->gpa, shadow_at(q, s->offset), part) != 0)
            return false;
        len -= part;
    }
    return true;
}

/* One element of the shadow's used ring. False: error told. */
static bool complete_one(struct bounce_queue *q)
{
    const struct vring_used_elem *elem = &shadow_used_ring(q)->ring[q->shadow_used % q->guest.size];
    /* Each is read once: the back-end may write to it at any time. */
    uint32_t id = load32(&elem->id), used_len = load32(&elem->len);
    struct bounce_slot *slot;
    uint64_t len;

    if (id >= q->guest.size || !q->slots[id].busy) {
        bounce_backend_error(q, "it returned a request that it does not have");
        return false;
    }
    slot = &q->slots[id];
    len = MIN(used_len, slot->chain.writable_len);
    if (!slot_copy_back(q, slot, q->bounce->options.copy_all ? slot->chain.writable_len : len)) {
        bounce_guest_error(q, "a buffer is no longer in the guest's memory");
        return false;
    }
    q->shadow_used++;
    slot->busy = false;
    descs_release(q, (uint16_t)id, slot->nr_descs);
    bounce_pool_release(&q->bounce->pool, slot_arena(q, slot->lent), slot->alloc_offset, slot->alloc_len);
    q->nr_asked -= !slot->lent;
    q->counts.requests++;
    q->counts.bytes_written += len;
    return bounce_chain_put(q, slot->guest_head, (uint32_t)len);
}

/* True when there is nothing more, and the back-end will call when there is. */
static bool backend_idle(struct bounce_queue *q)
{
    if (shadow_has(q, VIRTIO_RING_F_EVENT_IDX))
        store16(shadow_used_event(q), q->shadow_used);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return load16(&shadow_used_ring(q)->idx) == q->shadow_used;
}

void bounce_queue_complete(struct bounce_queue *q)
{
    bool together = q->bounce->options.used_together;
    uint16_t old_used = q->saved->used_idx;
    unsigned n = 0;

    while (q->slots != NULL && !backend_idle(q)) {
        uint16_t pending = (uint16_t)(load16(&shadow_used_ring(q)->idx) - q->shadow_used);

        if (pending > q->guest.size) {
            bounce_backend_error(q, "its used index has jumped");
            return;
        }
        if (n >= BOUNCE_BATCH) {
            guest_work_queue(q->guest.guest, &q->call_work);
            break;
        }
        for (; pending > 0 && (together || n < BOUNCE_BATCH); pending--, n++)
            if (!complete_one(q) || (!together && !bounce_chains_show(q)))
                return;
        if (together && !bounce_chains_show(q))
            return;
    }
    bounce_interrupt_if_wanted(q, old_used);
    if (n > 0) {
        bounce_pool_freed(q->bounce);
        bounce_queue_submit(q);
    }
}

/* Of what the back-end has been asked, how much it has not answered yet, its used index being idx. */
static unsigned unanswered(const struct bounce_queue *q, uint16_t idx)
{
    unsigned nr = q->nr_asked;

    for (uint16_t pos = q->shadow_used; pos != idx && nr > 0; pos++) {
        uint32_t id = load32(&shadow_used_ring(q)->ring[pos % q->guest.size].id);

        nr -= id < q->guest.size && q->slots[id].busy && !q->slots[id].lent;
    }
    return nr;
}

bool bounce_queue_is_drained(struct bounce_queue *q)
{
    uint16_t seen, idx;

    if (q->slots == NULL || q->nr_asked == 0)
        return true;
    idx = load16(&shadow_used_ring(q)->idx);
    /* To be called for the next one, whatever comes between. A back-end is not followed for ever. */
    for (unsigned n = 0; n <= q->guest.size; n++) {
        seen = idx;
        if (shadow_has(q, VIRTIO_RING_F_EVENT_IDX))
            store16(shadow_used_event(q), seen);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        idx = load16(&shadow_used_ring(q)->idx);
        if (idx == seen)
            break;
    }
    return (uint16_t)(idx - q->shadow_used) <= q->guest.size && unanswered(q, idx) == 0;
}
