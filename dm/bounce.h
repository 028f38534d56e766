/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bounce.h - the data path for any unmodified back-end: the back-end never sees guest memory. It gets rings
 * and buffers in a memfd of ours, and each chain of descriptors is copied between there and the guest.
 *
 * Theory of operation. For each queue there are two split rings: the guest's (guest_ring.h), whose device we
 * are, and a shadow of the same size in the memfd, whose driver we are.
 *   - A kick by the guest: chains are taken from the guest's avail ring, their descriptors checked, their
 *     readable bytes copied to buffers from the pool, and one shadow chain of the same shape (back-ends may
 * rely on it) made available to the back-end.
 *   - A call by the back-end: used shadow chains have their written bytes copied to the guest's buffers, and
 * the guest's chain is put into the guest's used ring. Where the pool or the shadow ring is full, the queue
 * waits until something is given back; the guest's chains wait in its own ring meanwhile.
 *
 * What dies and what lives: struct bounce_saved says which of the guest's chains are in flight. When this
 * process or the back-end is replaced, they are submitted again in their old order, into new shadow rings.
 *
 * A reset by the driver: it may set the device up again at once, in whatever memory it likes, while the
 * back-end finishes in the shadow rings what it was asked for, which is thrown away. The driver is served
 * again when that is done.
 *
 * What the driver lends: some queues (net's and vsock's receive queues) hold buffers that may wait for ever,
 * and are not requests. See bounce_options.lends.
 *
 * Used by dm/device.c, which passes on what the front-end reports.
 */
#ifndef VHOST_DM_BOUNCE_H
#define VHOST_DM_BOUNCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dm/virtio_device.h"

#define BOUNCE_POOL_DEFAULT MIB(64)
#define BOUNCE_POOL_MIN     MIB(1)
#define BOUNCE_POOL_MAX     GIB(2)

struct bounce;
struct frontend;

/* Plain data, in the saved state. The number of chains taken from a guest's avail ring needs no place: it is
 * used_idx plus those in flight. */
struct bounce_queue_saved {
    uint16_t used_idx;                          /* what we have published in the used ring */
    uint16_t nr_completing;                     /* how many used elements are being published */
    uint32_t sequence;                          /* of the last chain taken; 0: none was */
    uint16_t completing[VIRTIO_MAX_QUEUE_SIZE]; /* ... and their heads */
    uint32_t in_flight[VIRTIO_MAX_QUEUE_SIZE];  /* by head: its sequence number, never 0; 0: not in flight */
};

struct bounce_saved {
    struct bounce_queue_saved queues[VIRTIO_MAX_QUEUES];
};

#define BOUNCE_REFUSAL_MAX 16

/* How the driver is told that a request has failed because the back-end is gone. */
struct bounce_refusal {
    enum bounce_refuse {
        REFUSE_NOT,       /* not at all: chains stay in flight until the driver resets the device */
        REFUSE_BY_EMPTY,  /* given back with nothing in them */
        REFUSE_BY_STATUS, /* the last byte that the driver gave us to write is bytes[0] */
        REFUSE_BY_REPLY,  /* the first len bytes are bytes, and in them an echo from the request; nothing,
                             where  the driver has no room for that */
    } how;
    uint8_t bytes[BOUNCE_REFUSAL_MAX];
    size_t len, echo_from, echo_to, echo_len; /* bytes and offsets in bytes */
};

struct bounce_options {
    unsigned nr_queues;        /* so many of the device's, the first ones, are the back-end's */
    uint64_t backend_features; /* device features that are passed through when the driver takes them */
    size_t pool_len;           /* bytes */
    struct bounce_refusal refusal;
    /* The driver gives buffers in which the device may write some day: chains without a readable part are not
     * requests. They have a part of the pool of their own, so that requests always find room; nobody waits
     * for them, and without a back-end they stay where they are. */
    bool lends;
    /* What the back-end shows as used at once the driver sees at once: it may be one packet. */
    bool used_together;
    /* Some back-ends know only packets of a header and one buffer: what the driver has in more goes to them
     * in one piece, behind the first. */
    bool header_first;
    /* Some back-ends count a status byte at the end and not what is before it: copy all that is writable,
     * whatever length they claim. */
    bool copy_all;
    /* The driver is to see the end of a reset only when the back-end has stopped: what that has mapped into
     * the guest must be gone by then. Without, it is over at once. */
    bool reset_waits;
    double drain_limit; /* seconds that the back-end has to finish its requests when the driver resets the
                           device */
};

/* dev and fe are borrowed and outlive it; it becomes dev's data path. saved is borrowed. 0 or -ENOMEM. */
int bounce_new(struct bounce **out, struct virtio_device *dev, struct frontend *fe,
               const struct bounce_options *options, struct bounce_saved *saved);
void bounce_free(struct bounce *bounce);

/* The next start goes on with the chains that saved says are in flight, instead of from the beginning. */
void bounce_resume(struct bounce *bounce, bool resume);

/* For status. Counted since this process has the device, by what was given back to the driver. */
struct bounce_counts {
    uint64_t requests;      /* that the back-end served */
    uint64_t refused;       /* that failed because there was none */
    uint64_t bytes_read;    /* copied from the guest, for the back-end to read */
    uint64_t bytes_written; /* that it wrote, copied to the guest */
};
struct bounce_counts bounce_queue_counts(const struct bounce *bounce, unsigned queue);
/* Requests of the driver that wait for the back-end, or for there to be one. */
unsigned bounce_queue_in_flight(const struct bounce *bounce, unsigned queue);
/* "stopped", "stopping", "restarting", "waiting", "starting", "running", "failing", "halted": see enum
 * bounce_state. */
const char *bounce_state_name(const struct bounce *bounce);

/* The device is being removed: once its back-end is lost there will be no other. */
void bounce_retire(struct bounce *bounce);

/* From the front-end's callbacks of the same names. */
void bounce_backend_ready(struct bounce *bounce);
void bounce_backend_started(struct bounce *bounce);
void bounce_backend_stopped(struct bounce *bounce);
void bounce_backend_lost(struct bounce *bounce, const char *why);

#endif
