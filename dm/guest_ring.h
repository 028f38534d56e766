/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest_ring.h - the device's side of a guest's split virtqueue (virtio 1.2, section 2.7): takes chains of
 * descriptors from the driver, gives them back as used. Every number in the rings is the guest's to change at
 * any moment, so each is read once, into memory of ours, and checked there.
 * Used by the bounce data path. Owns nothing but the segment arrays of chains.
 */
#ifndef VHOST_DM_GUEST_RING_H
#define VHOST_DM_GUEST_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dm/guest.h"

struct guest_ring {
    struct guest *guest;        /* borrowed */
    uint16_t size;              /* entries, a power of two */
    uint64_t desc, avail, used; /* gpa */
    bool indirect, event_idx;   /* negotiated with the driver */
    uint64_t chain_max;         /* bytes of one chain: no larger one is looked at; 0: any */
};

struct chain_segment {
    uint64_t gpa;
    uint32_t len; /* bytes, not 0 */
    uint32_t pad;
    uint64_t offset; /* for the data path: where its copy is */
};

/* A chain as the driver made it, without its empty descriptors: first what the device reads, then what it
 * writes. The array is kept from one use to the next. */
struct chain {
    struct chain_segment *segments; /* owned */
    unsigned capacity, nr_segments, nr_readable;
    uint64_t readable_len, writable_len; /* bytes */
};

/* No chain has more descriptors than this, those of indirect tables counted (spec 2.7.5.3.1: no more than the
 * queue size, which drivers exceed in indirect tables). */
#define CHAIN_MAX_SEGMENTS 1024

/* Whether the rings are aligned as the spec says and lie in memory. NULL, or what is wrong, for people. */
const char *guest_ring_check(const struct guest_ring *ring);

/* The avail index of the driver. 0, or -EFAULT. Ordered before all later reads of the ring. */
int guest_ring_avail_idx(const struct guest_ring *ring, uint16_t *idx);
/* The head of the chain at position pos of the avail ring. 0; -EFAULT; -EINVAL: not a descriptor. */
int guest_ring_avail_head(const struct guest_ring *ring, uint16_t pos, uint16_t *head);
/* Reads the chain that begins at head. 0, or negative errno and *why for people: -EINVAL: against the spec;
 * -EFAULT: descriptors or buffers that are not in memory; -ENOMEM. */
int guest_ring_chain_read(const struct guest_ring *ring, uint16_t head, struct chain *chain,
                          const char **why);
void chain_free(struct chain *chain);

/* Writes used element pos. 0, or -EFAULT. */
int guest_ring_used_put(const struct guest_ring *ring, uint16_t pos, uint16_t head, uint32_t len);
/* Writes the used index, after all that was written before: the chains of the elements before it are the
 * driver's again. 0, or -EFAULT. */
int guest_ring_used_show(const struct guest_ring *ring, uint16_t idx);
/* The used index as the guest has it in memory. 0, or -EFAULT. */
int guest_ring_used_idx(const struct guest_ring *ring, uint16_t *idx);
/* Whether the driver wants an interrupt after the used index went from old to new. */
bool guest_ring_wants_interrupt(const struct guest_ring *ring, uint16_t old_idx, uint16_t new_idx);
/* Asks for a notification when the avail index passes pos. The caller looks once more afterwards. */
void guest_ring_notify_enable(const struct guest_ring *ring, uint16_t pos);
void guest_ring_notify_disable(const struct guest_ring *ring);

#endif
