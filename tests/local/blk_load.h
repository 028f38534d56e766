/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blk_load.h - random requests to a virtio-blk device whose results are all known: a shadow of the disk is
 * kept, every read is compared with it, and no two requests that are in flight at once touch the same sector
 * unless both read. Chains have every legal shape. What the device must not touch, around its buffers, is
 * watched.
 *
 * A violation ends the test (check's ck_abort_msg). The struct holds no pointer into the process but drv and
 * the shadow's, and is allocated in memory that a fork shares, so that a successor of a killed process goes
 * on with it. Used by the tests.
 */
#ifndef VHOST_DM_TESTS_BLK_LOAD_H
#define VHOST_DM_TESTS_BLK_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/local/virtio_driver.h"

#define BLK_SECTOR       512u
#define BLK_MAX_SEGMENTS 48
#define BLK_MAX_SLOTS    1024

struct blk_slot {
    bool busy;
    uint8_t type; /* an index into the table of request types */
    uint8_t queue;
    uint16_t nr_segments, nr_readable;
    uint32_t nr_sectors;
    uint64_t sector;
    uint64_t area;         /* gpa */
    uint64_t status;       /* gpa of the status byte */
    uint32_t response_len; /* bytes that the device may write */
    struct driver_segment segments[BLK_MAX_SEGMENTS];
};

struct blk_load_options {
    uint64_t sectors;           /* of the disk */
    uint32_t max_len;           /* bytes of a request: sectors, at most 64 KiB */
    unsigned nr_slots;          /* requests in flight, all queues */
    unsigned max_segments;      /* of data in one request */
    bool plain;                 /* simple chains and sizes: as a usual driver makes them */
    bool discard, write_zeroes; /* the features were negotiated */
    bool errors_allowed;        /* VIRTIO_BLK_S_IOERR is a possible answer */
};

struct blk_load {
    struct virtio_driver *drv;
    struct blk_load_options options;
    struct rng rng;
    uint8_t *shadow;   /* contents */
    uint8_t *users;    /* by sector: readers in flight, or 255: a writer */
    uint8_t *unknown;  /* by sector: its contents are not known */
    uint32_t area_len; /* bytes of a slot's memory */
    unsigned nr_busy, nr_free;
    uint16_t free_slots[BLK_MAX_SLOTS]; /* a stack */
    uint64_t submitted, completed, failed, verified_bytes;
    uint64_t interrupts;
    struct blk_slot slots[BLK_MAX_SLOTS];
};

/* Memory shared with children; *load is not freed before the process ends unless by blk_load_free. */
struct blk_load *blk_load_new(struct virtio_driver *drv, const struct blk_load_options *options,
                              uint64_t seed);
void blk_load_free(struct blk_load *load);

/* Submits as many requests as there is room for, until `limit` were submitted in all; kicks as the device
 * wants. */
void blk_load_submit(struct blk_load *load, uint64_t limit);
/* Looks for interrupts, harvests what is used and verifies it. */
void blk_load_collect(struct blk_load *load);
/* Until so many requests have been completed since the load began; the longest time without any completion is
 * `patience` seconds. */
void blk_load_run(struct blk_load *load, uint64_t completed, double patience);
/* Until none is in flight. */
void blk_load_drain(struct blk_load *load, double patience);
/* The same for several loads at once, all at least to their counts. */
void blk_loads_run(struct blk_load **loads, unsigned nr, const uint64_t *completed, double patience);

/* The device was reset: what was in flight is gone, and what it wrote is not known. */
void blk_load_forget(struct blk_load *load);
/* Scribbles over all buffers, which belong to us now, and verifies later that nobody else wrote to them. */
void blk_load_poison(struct blk_load *load);
void blk_load_check_poison(struct blk_load *load);
/* Reads the whole disk and compares. */
void blk_load_verify_all(struct blk_load *load, double patience);

/* One request on a queue that has nothing else in flight. area: gpa of BLK_REQUEST_AREA(len) bytes; buf: len
 * bytes, read from the disk (device_writes) or for it. Returns the status byte; -ETIMEDOUT: no answer; -EIO:
 * the ring was misused. */
#define BLK_REQUEST_AREA(len) ((uint64_t)(len) + 64)
int blk_request(struct virtio_driver *drv, unsigned queue, uint64_t area, uint32_t type, uint64_t sector,
                void *buf, uint32_t len, bool device_writes, double patience);

#endif
