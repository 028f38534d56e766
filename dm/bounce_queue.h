/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bounce_queue.h - one queue of the bounce data path: the guest's ring on one side, its shadow in the memfd
 * on the other. Private to bounce.c (life cycle of the device), bounce_queue.c (the movement of chains) and
 * bounce_flight.c (the guest's side).
 */
#ifndef VHOST_DM_BOUNCE_QUEUE_H
#define VHOST_DM_BOUNCE_QUEUE_H

#include <ev.h>

#include <linux/virtio_ring.h>

#include "dm/bounce.h"
#include "dm/bounce_pool.h"
#include "dm/guest_ring.h"

/* Where the memfd lies in the address space that the back-end is told of. Any number would do: not 0, which
 * some back-ends take for "none", and nothing that tells where we have it mapped. */
#define BOUNCE_BACKEND_BASE ((uint64_t)1 << 32)

/* Chains moved in one go: then other queues, devices and vCPUs have a turn. */
#define BOUNCE_BATCH 64

/* A chain that the back-end has. */
struct bounce_slot {
    bool busy;
    bool lent; /* the driver asks nothing by it, and waits for nothing: see bounce_options.lends */
    uint16_t guest_head;
    uint16_t nr_descs; /* of the shadow ring */
    uint64_t alloc_offset, alloc_len;
    struct chain chain; /* where the guest wants the result; chain_segment.offset is in the memfd */
};

struct bounce_queue {
    struct bounce *bounce;
    unsigned index;
    bool active; /* enabled by the driver, and set up */
    struct guest_ring guest;
    struct bounce_queue_saved *saved;
    uint16_t last_avail;         /* position in the guest's avail ring */
    unsigned nr_put;             /* chains in the guest's used ring that it has not been shown yet */
    struct guest_work kick_work; /* looks at the guest's ring again */
    struct guest_work call_work; /* looks at the shadow's used ring again */
    struct list_link waiting;    /* in bounce->pool_waiters, when the pool was full */
    struct chain scratch;        /* the chain that is being read */
    struct bounce_counts counts;

    /* Chains to submit again, oldest first, before new ones. */
    uint16_t *resubmit; /* owned */
    unsigned nr_resubmit, next_resubmit;

    /* The shadow ring: offsets in the memfd, and our own idea of its indexes. */
    uint64_t desc_offset, avail_offset, used_offset;
    uint16_t shadow_avail, shadow_used;
    unsigned nr_asked;         /* chains that the back-end has, without those that are only lent */
    unsigned nr_asked_unshown; /* ... and those that it has not been shown yet */
    struct bounce_arena lent;  /* the part of the pool for those */
    uint16_t *next;            /* owned: links the descriptors of a chain, and the free ones */
    uint16_t free_head;
    unsigned nr_free;
    struct bounce_slot *slots; /* owned: by the first descriptor of the shadow chain */
    int kick_fd, call_fd;      /* owned eventfds */
    ev_io call_io;
};

enum bounce_state {
    BOUNCE_STOPPED,    /* the driver is not up */
    BOUNCE_STOPPING,   /* ... since it reset the device, and the back-end has not let go of the memfd yet */
    BOUNCE_RESTARTING, /* likewise, but the driver is up again: it is served when the back-end has let go */
    BOUNCE_WAITING,    /* the driver is up, the back-end is being connected again */
    BOUNCE_STARTING,   /* the back-end is being told of the rings */
    BOUNCE_RUNNING,
    BOUNCE_FAILING, /* the back-end is gone: requests are refused */
    BOUNCE_HALTED,  /* the driver broke the rules: rings are not touched until it resets the device */
};

struct bounce {
    struct virtio_device *dev;
    struct frontend *fe;
    struct bounce_options options;
    struct bounce_saved *saved;
    bool resume;
    bool retired; /* the device is being removed */
    enum bounce_state state;
    bool backend_busy; /* the back-end may use the memfd: frontend_start was called, stopped() not seen */
    bool backend_stopping;
    bool draining;        /* frontend_stop is to be called when the back-end has finished its requests */
    ev_timer drain_timer; /* ... for which it has this long */
    bool loss_untold;  /* the connection was lost before the driver started, and lost() has not said so yet */
    bool stopped_owed; /* virtio_device_stopped is */
    uint64_t shadow_features; /* of the shadow rings, acked to the back-end */
    struct bounce_pool pool;
    struct bounce_arena common;    /* the part of it for requests */
    struct list_link pool_waiters; /* of struct bounce_queue, oldest first: no queue overtakes another */
    ev_timer trim_timer;
    struct log_limit limit;
    struct bounce_queue queues[VIRTIO_MAX_QUEUES];
};

/* Bytes that the shadow ring of a queue takes in the memfd. */
size_t bounce_queue_ring_len(uint16_t size);
/* Makes the queue ready on the guest's side: positions, the list of what is to be submitted again. 0, -EINVAL
 * and *why when the driver's rings are not acceptable, or -ENOMEM. */
int bounce_queue_open(struct bounce_queue *q, bool resume, const char **why);
/* Makes the shadow ring at ring_offset of the pool's memfd, which is zero there, and the eventfds. 0 or
 * negative errno. */
int bounce_queue_shadow(struct bounce_queue *q, uint64_t ring_offset);
/* Forgets the shadow ring and what the back-end has; what is in flight stays so in saved. */
void bounce_queue_unshadow(struct bounce_queue *q);
/* Frees all. */
void bounce_queue_close(struct bounce_queue *q);
/* Nothing is in flight, nothing was: what the driver had is of no interest to anybody who comes after. */
void bounce_queue_forget(struct bounce_queue *q);

/*
 * bounce_flight.c: the guest's side. What returns false or -1 has told of the error by bounce_guest_error.
 */
/* The next chain to work on: one that was in flight before, or the next in the avail ring; its descriptors
 * are in scratch. 1: *head; 0: none. The position is not advanced, which is for bounce_chain_advance to do.
 */
int bounce_chain_next(struct bounce_queue *q, uint16_t *head);
void bounce_chain_advance(struct bounce_queue *q, uint16_t head);
/* Puts chains into the used ring, at most as many as it has entries; shows all of them to the driver at once.
 */
bool bounce_chain_put(struct bounce_queue *q, uint16_t head, uint32_t len);
bool bounce_chains_show(struct bounce_queue *q);
/* Both for one. */
bool bounce_chain_complete(struct bounce_queue *q, uint16_t head, uint32_t len);
void bounce_interrupt_if_wanted(struct bounce_queue *q, uint16_t old_used);
/* True when the guest's ring was empty and stays so: it will notify us. */
bool bounce_guest_idle(struct bounce_queue *q);

static inline bool bounce_chain_is_lent(const struct bounce_queue *q, const struct chain *chain)
{
    return q->bounce->options.lends && chain->nr_readable == 0;
}

/* Moves chains from the guest to the back-end; from the back-end to the guest. A bounded number a call: the
 * rest is queued as work. */
void bounce_queue_submit(struct bounce_queue *q);
void bounce_queue_complete(struct bounce_queue *q);
/* Whether the back-end has finished all that it was given; if not, it will call when it has. What it wrote is
 * not shown to the guest. */
bool bounce_queue_is_drained(struct bounce_queue *q);
/* The back-end has gone: what it had is listed again, to be refused by bounce_queue_fail or submitted to its
 * successor. 0 or -ENOMEM. */
int bounce_queue_relist(struct bounce_queue *q);
/* Refuses all that is in flight and all that comes (options.refusal), but what is lent. Bounded likewise. */
void bounce_queue_fail(struct bounce_queue *q);

/* For bounce_queue.c: the driver / the back-end broke the rules. Both leave the queues in place: the caller
 * returns at once and touches nothing. */
void bounce_guest_error(struct bounce_queue *q, const char *what);
void bounce_backend_error(struct bounce_queue *q, const char *what);
/* The back-end has called. */
void bounce_called(struct bounce_queue *q);
/* Something was given back to the pool: who waits for it tries again. */
void bounce_pool_freed(struct bounce *bounce);

#endif
