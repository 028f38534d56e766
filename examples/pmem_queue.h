/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pmem_queue.h - the guest's side of vhost-user-pmem: the memory that the front-end shares, and the one queue
 * of flush requests in it (virtio 1.2, sections 2.7 and 5.19). Used by pmem_backend.c, which owns it.
 *
 * The driver is hostile: whatever it writes into rings and descriptors is checked, in a copy, and an address
 * is used only where the front-end has shared memory.
 */
#ifndef VHOST_DM_EXAMPLES_PMEM_QUEUE_H
#define VHOST_DM_EXAMPLES_PMEM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "common/vhost_user.h"

#define PMEM_QUEUE_MAX   1024 /* entries */
#define PMEM_MAX_REGIONS 64   /* what we answer to GET_MAX_MEM_SLOTS */

struct pmem_region {
    struct vhost_user_region said; /* by the front-end */
    uint8_t *map;                  /* owned: the fd from 0 to mmap_offset + size */
    uint8_t *absent;               /* owned: a bit for each page that is not there; NULL: all are */
};

struct pmem_queue {
    struct pmem_region regions[PMEM_MAX_REGIONS];
    unsigned nr_regions;
    uint32_t size;                /* entries */
    uint64_t desc, avail, used;   /* addresses as the front-end numbers them */
    uint16_t last_avail;          /* next to be taken from the avail ring */
    int kick_fd, call_fd, err_fd; /* owned; -1: none */
    bool started;                 /* it was given a kick fd, and not stopped since */
    bool enabled;
    bool broken; /* the driver broke the rules: not touched until it is started again */
    struct log_limit limit;
    unsigned nr_taken; /* requests that are not answered yet */
    struct pmem_taken {
        uint16_t head;
        bool valid; /* a flush; anything else is refused */
    } taken[PMEM_QUEUE_MAX];
};

void pmem_queue_init(struct pmem_queue *q);
/* Forgets all, unmaps and closes. */
void pmem_queue_fini(struct pmem_queue *q);

/* Memory, as the front-end numbers it. fd is borrowed. 0; -EINVAL: sizes that make no sense, or it overlaps
 * another; -ENOSPC: too many; what mmap() gave. */
int pmem_queue_add_memory(struct pmem_queue *q, const struct vhost_user_region *region, int fd);
/* The same of a front-end that says how to map it: as a file, or the guest's memory by its frame numbers.
 * -EOPNOTSUPP: otherwise. */
int pmem_queue_add_xen_memory(struct pmem_queue *q, const struct vhost_user_xen_region *region, int fd);
/* 0; -ENOENT: there is no such region (mmap_offset does not count). */
int pmem_queue_remove_memory(struct pmem_queue *q, const struct vhost_user_region *region);
void pmem_queue_remove_all_memory(struct pmem_queue *q);

/* Takes all requests that the driver has made available; pmem_queue_answer is owed to them. Returns how many
 * there are to be answered now. */
unsigned pmem_queue_take(struct pmem_queue *q);
/* Answers all that was taken: ok, or that it failed. */
void pmem_queue_answer(struct pmem_queue *q, bool ok);

#endif
