// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * driver_queue.c - see driver_queue.h.
 */
#include "tests/local/driver_queue.h"

#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <linux/virtio_ring.h>

#include "common/util.h"

/* Rings are where the guest says, not where a struct would put them: by offset. */
static uint16_t load16(struct driver_queue *q, uint64_t gpa)
{
    const uint16_t *p = guest_os_ptr(q->os, gpa, sizeof(*p));

    return le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static void store16(struct driver_queue *q, uint64_t gpa, uint16_t value)
{
    uint16_t *p = guest_os_ptr(q->os, gpa, sizeof(*p));

    __atomic_store_n(p, htole16(value), __ATOMIC_RELEASE);
}

static uint64_t avail_entry(const struct driver_queue *q, unsigned index)
{
    return q->avail + offsetof(struct vring_avail, ring) + 2 * index;
}

static uint64_t used_entry(const struct driver_queue *q, unsigned index)
{
    return q->used + offsetof(struct vring_used, ring) + sizeof(struct vring_used_elem) * index;
}

static uint64_t used_event(const struct driver_queue *q)
{
    return avail_entry(q, q->size);
}

static uint64_t avail_event(const struct driver_queue *q)
{
    return used_entry(q, q->size);
}

int driver_queue_init(struct driver_queue *q, struct guest_os *os, uint16_t size, bool event_idx,
                      bool indirect)
{
    struct driver_queue fresh = {.os = os, .size = size, .event_idx = event_idx, .indirect = indirect};
    uint64_t desc_len = size * sizeof(struct vring_desc);
    uint64_t avail_len = sizeof(struct vring_avail) + 2 * size + 2;
    uint64_t used_len = sizeof(struct vring_used) + sizeof(struct vring_used_elem) * size + 2;

    if (q->capacity >= size) {
        fresh.capacity = q->capacity;
        fresh.desc = q->desc;
        fresh.avail = q->avail;
        fresh.used = q->used;
    } else {
        fresh.capacity = size;
        fresh.desc = guest_os_alloc(os, desc_len, VRING_DESC_ALIGN_SIZE, true);
        fresh.avail = guest_os_alloc(os, avail_len, VRING_AVAIL_ALIGN_SIZE, false);
        fresh.used = guest_os_alloc(os, used_len, VRING_USED_ALIGN_SIZE, false);
    }
    if (fresh.desc == 0 || fresh.avail == 0 || fresh.used == 0)
        return -ENOSPC;
    memset(guest_os_ptr(os, fresh.desc, desc_len), 0, desc_len);
    memset(guest_os_ptr(os, fresh.avail, avail_len), 0, avail_len);
    memset(guest_os_ptr(os, fresh.used, used_len), 0, used_len);
    fresh.irq = -1;
    fresh.nr_free = size;
    for (unsigned i = 0; i < size; i++) {
        fresh.free_list[i] = (uint16_t)(size - 1 - i);
        fresh.token[i] = DRIVER_NO_TOKEN;
    }
    *q = fresh;
    return 0;
}

/* ---- chains ------------------------------------------------------------------------------------- */

void driver_queue_raw_desc(struct driver_queue *q, uint64_t table, uint16_t index, uint64_t gpa, uint32_t len,
                           uint16_t flags, uint16_t next)
{
    struct vring_desc desc = {
        .addr = htole64(gpa), .len = htole32(len), .flags = htole16(flags), .next = htole16(next)};

    memcpy(guest_os_ptr(q->os, table + index * sizeof(desc), sizeof(desc)), &desc, sizeof(desc));
}

static uint16_t segment_flags(const struct driver_segment *segment, bool is_last)
{
    return (uint16_t)((segment->write ? VRING_DESC_F_WRITE : 0) | (is_last ? 0 : VRING_DESC_F_NEXT));
}

/* The whole table is written in an order of its own: next pointers say where it goes on; it begins at 0. */
static void table_write(struct driver_queue *q, const struct driver_segment *segments, unsigned nr,
                        const struct driver_shape *shape)
{
    uint16_t place[DRIVER_QUEUE_MAX];

    for (unsigned i = 0; i < nr; i++)
        place[i] = (uint16_t)i;
    for (unsigned i = nr; shape->shuffle != NULL && i-- > 2;) {
        unsigned other = 1 + (unsigned)rng_below(shape->shuffle, i);
        uint16_t tmp = place[i];

        place[i] = place[other];
        place[other] = tmp;
    }
    for (unsigned i = 0; i < nr; i++) {
        bool is_last = i + 1 == nr;

        driver_queue_raw_desc(q, shape->table, place[i], segments[i].gpa, segments[i].len,
                              segment_flags(&segments[i], is_last), is_last ? 0 : place[i + 1]);
    }
}

int driver_queue_add(struct driver_queue *q, const struct driver_segment *segments, unsigned nr,
                     const struct driver_shape *shape, uint32_t token)
{
    bool indirect = shape->table != 0;
    unsigned nr_direct = indirect ? MIN(shape->nr_direct, nr - 1) : nr;
    unsigned nr_descs = nr_direct + indirect;
    uint16_t head = 0, index, following = 0;

    if (nr_descs == 0 || nr_descs > q->nr_free)
        return -ENOSPC;
    head = following = q->free_list[q->nr_free - 1];
    q->writable_len[head] = 0;
    for (unsigned i = 0; i < nr; i++)
        q->writable_len[head] += segments[i].write ? segments[i].len : 0;
    for (unsigned i = 0; i < nr_descs; i++) {
        bool is_last = i + 1 == nr_descs;

        index = following;
        q->nr_free--;
        following = is_last ? 0 : q->free_list[q->nr_free - 1];
        q->next[index] = following;
        if (i < nr_direct)
            driver_queue_raw_desc(q, q->desc, index, segments[i].gpa, segments[i].len,
                                  segment_flags(&segments[i], is_last), following);
        else
            driver_queue_raw_desc(q, q->desc, index, shape->table,
                                  (uint32_t)((nr - nr_direct) * sizeof(struct vring_desc)),
                                  VRING_DESC_F_INDIRECT, 0);
    }
    if (indirect)
        table_write(q, segments + nr_direct, nr - nr_direct, shape);
    q->chain_len[head] = (uint16_t)nr_descs;
    q->token[head] = token;
    q->nr_in_flight++;
    store16(q, avail_entry(q, q->avail_idx % q->size), head);
    q->avail_idx++;
    return 0;
}

static void chain_release(struct driver_queue *q, uint16_t head)
{
    uint16_t index = head;

    for (unsigned i = 0; i < q->chain_len[head]; i++) {
        q->free_list[q->nr_free++] = index;
        index = q->next[index];
    }
    q->token[head] = DRIVER_NO_TOKEN;
    q->nr_in_flight--;
}

void driver_queue_kick(struct driver_queue *q)
{
    q->nr_kicks++;
    mmio_write(q->os, q->notify_gpa, q->notify_size, q->notify_value);
}

void driver_queue_publish(struct driver_queue *q)
{
    uint16_t old = q->kicked_idx;
    bool wanted;

    store16(q, q->avail + offsetof(struct vring_avail, idx), q->avail_idx);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* spec 2.7.13.4.1 */
    if (old == q->avail_idx)
        return;
    q->kicked_idx = q->avail_idx;
    if (q->event_idx)
        wanted = vring_need_event(load16(q, avail_event(q)), q->avail_idx, old);
    else
        wanted = !(load16(q, q->used + offsetof(struct vring_used, flags)) & VRING_USED_F_NO_NOTIFY);
    if (wanted)
        driver_queue_kick(q);
    else
        q->nr_kicks_saved++;
}

/* ---- used chains -------------------------------------------------------------------------------- */

bool driver_queue_harvest(struct driver_queue *q, uint32_t *token, uint32_t *len)
{
    uint16_t idx = load16(q, q->used + offsetof(struct vring_used, idx));
    struct vring_used_elem elem;
    uint32_t head;

    if (q->error[0] != '\0' || idx == q->used_idx)
        return false;
    if ((uint16_t)(idx - q->used_idx) > q->nr_in_flight) {
        snprintf(q->error, sizeof(q->error), "used index went from %u to %u with %u chains in flight",
                 q->used_idx, idx, q->nr_in_flight);
        return false;
    }
    memcpy(&elem, guest_os_ptr(q->os, used_entry(q, q->used_idx % q->size), sizeof(elem)), sizeof(elem));
    head = le32toh(elem.id);
    *len = le32toh(elem.len);
    if (head >= q->size || q->token[head] == DRIVER_NO_TOKEN) {
        snprintf(q->error, sizeof(q->error), "used element %u names chain %u, which is not in flight",
                 q->used_idx, head);
        return false;
    }
    if (*len > q->writable_len[head]) {
        snprintf(q->error, sizeof(q->error), "%u bytes written to a chain with room for %llu", *len,
                 (unsigned long long)q->writable_len[head]);
        return false;
    }
    *token = q->token[head];
    chain_release(q, (uint16_t)head);
    q->used_idx++;
    return true;
}

bool driver_queue_all_used(struct driver_queue *q)
{
    return load16(q, q->used + offsetof(struct vring_used, idx)) == q->avail_idx;
}

bool driver_queue_interrupted(struct driver_queue *q)
{
    uint64_t seen = q->irq_seen;

    if (q->irq < 0)
        return false;
    q->irq_seen = q->os->irq_count[q->irq];
    return q->irq_seen != seen;
}

bool driver_queue_interrupt_after(struct driver_queue *q, unsigned after)
{
    uint16_t used;

    if (q->event_idx)
        store16(q, used_event(q), (uint16_t)(q->used_idx + after - 1));
    else
        store16(q, q->avail + offsetof(struct vring_avail, flags), 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* spec 2.7.14 */
    used = load16(q, q->used + offsetof(struct vring_used, idx));
    return (uint16_t)(used - q->used_idx) >= (q->event_idx ? after : 1);
}

void driver_queue_interrupt_off(struct driver_queue *q)
{
    if (q->event_idx)
        store16(q, used_event(q), (uint16_t)(q->used_idx - 1));
    else
        store16(q, q->avail + offsetof(struct vring_avail, flags), VRING_AVAIL_F_NO_INTERRUPT);
}

/* ---- malformed input ---------------------------------------------------------------------------- */

void driver_queue_raw_avail(struct driver_queue *q, uint16_t head)
{
    store16(q, avail_entry(q, q->avail_idx % q->size), head);
    driver_queue_raw_avail_idx(q, (uint16_t)(q->avail_idx + 1));
}

void driver_queue_raw_avail_idx(struct driver_queue *q, uint16_t idx)
{
    q->avail_idx = q->kicked_idx = idx;
    store16(q, q->avail + offsetof(struct vring_avail, idx), idx);
}
