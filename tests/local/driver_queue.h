/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * driver_queue.h - the driver's side of a split virtqueue (virtio 1.2, section 2.7), able to make every legal
 * shape of chain: descriptors in any order, indirect tables, direct descriptors before an indirect one, both
 * ways of saying when notifications are wanted. And the illegal ones, by the raw functions. Everything that
 * the driver relies on is in its own memory: the device can only fool it in the used ring, which is checked.
 * Used by virtio_driver.c and the tests.
 */
#ifndef VHOST_DM_TESTS_DRIVER_QUEUE_H
#define VHOST_DM_TESTS_DRIVER_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/local/guest_os.h"

#define DRIVER_QUEUE_MAX 1024 /* entries */
#define DRIVER_NO_TOKEN  UINT32_MAX

struct driver_segment {
    uint64_t gpa;
    uint32_t len; /* bytes */
    bool write;   /* by the device */
};

struct driver_queue {
    struct guest_os *os;     /* borrowed */
    uint16_t size, capacity; /* entries; how many the memory has room for */
    bool event_idx, indirect;
    uint64_t desc, avail, used; /* gpa */
    uint64_t notify_gpa;        /* where to kick */
    uint32_t notify_value;
    uint8_t notify_size; /* bytes of it */
    int irq;             /* number of its own, or -1 */
    uint64_t irq_seen;
    uint16_t avail_idx;  /* next to be published */
    uint16_t kicked_idx; /* avail_idx when notification was last considered */
    uint16_t used_idx;   /* next to be harvested */
    uint16_t nr_free, nr_in_flight;
    uint16_t free_list[DRIVER_QUEUE_MAX];    /* a stack */
    uint32_t token[DRIVER_QUEUE_MAX];        /* by head; DRIVER_NO_TOKEN: not in flight */
    uint64_t writable_len[DRIVER_QUEUE_MAX]; /* by head */
    uint16_t next[DRIVER_QUEUE_MAX];         /* by descriptor: the next of its chain */
    uint16_t chain_len[DRIVER_QUEUE_MAX];    /* by head: descriptors of the ring */
    uint64_t nr_kicks, nr_kicks_saved;
    char error[128]; /* what the device did against the spec; empty: nothing */
};

/* Makes an empty ring, in the memory that the queue has had before if that suffices (zero *q at first).
 * 0; -ENOSPC. */
int driver_queue_init(struct driver_queue *q, struct guest_os *os, uint16_t size, bool event_idx,
                      bool indirect);

/* How to make a chain of segments. */
struct driver_shape {
    uint64_t table;      /* gpa of room for an indirect table (16 bytes a segment); 0: none is made */
    unsigned nr_direct;  /* segments in front of the indirect table */
    struct rng *shuffle; /* descriptors of the table in random order; NULL: in order */
};

/* Adds a chain, not yet seen by the device. token: any but DRIVER_NO_TOKEN. 0, or -ENOSPC. */
int driver_queue_add(struct driver_queue *q, const struct driver_segment *segments, unsigned nr,
                     const struct driver_shape *shape, uint32_t token);
/* Shows what was added to the device, and notifies it if it wants to be. */
void driver_queue_publish(struct driver_queue *q);
void driver_queue_kick(struct driver_queue *q); /* whether it wants or not */

/* The next used chain: true with its token and length. False: none, or q->error says what is wrong. */
bool driver_queue_harvest(struct driver_queue *q, uint32_t *token, uint32_t *len);
/* Whether all that was made available has been used, harvested or not. */
bool driver_queue_all_used(struct driver_queue *q);
/* Whether the queue's interrupt has come since this was last asked. */
bool driver_queue_interrupted(struct driver_queue *q);
/* Asks for an interrupt once `after` more chains (at least 1) are used; true: that many are used already, so
 * harvest again. */
bool driver_queue_interrupt_after(struct driver_queue *q, unsigned after);
void driver_queue_interrupt_off(struct driver_queue *q);

/* Malformed input. */
void driver_queue_raw_desc(struct driver_queue *q, uint64_t table, uint16_t index, uint64_t gpa, uint32_t len,
                           uint16_t flags, uint16_t next);
void driver_queue_raw_avail(struct driver_queue *q, uint16_t head); /* the next entry, and the index + 1 */
void driver_queue_raw_avail_idx(struct driver_queue *q, uint16_t idx);

#endif
