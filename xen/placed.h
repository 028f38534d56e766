/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * placed.h - a record, in the saved state, of where in the guest's physmap pages were put by us: a successor
 * of a killed vhost-dm takes them away, as the mappings for which they were are gone. Pieces of 2 MiB are
 * noted before the first page of them is placed and forgotten after the last is removed, so the record can
 * say too much and never too little.
 *
 * Used by xen_pages.c.
 */
#ifndef VHOST_DM_XEN_PLACED_H
#define VHOST_DM_XEN_PLACED_H

#include <stdbool.h>
#include <stdint.h>

struct saved_state;

enum placed_kind {
    PLACED_SHARED, /* pages of the holder */
    PLACED_COPY,   /* pages of the guest */
};

/* Pages are noted in chunks of 2 MiB, of which there may be 64 GiB. */
#define PLACED_CHUNK_PAGES 512
#define PLACED_MAX_CHUNKS  32768
#define PLACED_MAX_DEVICES 256

struct placed_device {
    uint64_t gpa, nr_pages, frame;
};

struct placed;

/* What a predecessor noted is there still. 0 or negative errno. */
int placed_new(struct placed **out, struct saved_state *saved);
/* The record stays. NULL is allowed. */
void placed_free(struct placed *placed);

/* Pages are going to be placed. 0; -ENOSPC: the record is full; -ENOMEM. */
int placed_note(struct placed *placed, enum placed_kind kind, uint64_t gpa, uint64_t nr_pages);
/* They are removed. */
void placed_forget(struct placed *placed, enum placed_kind kind, uint64_t gpa, uint64_t nr_pages);
/* The same for frames of device memory, whole runs at a time. */
int placed_note_device(struct placed *placed, const struct placed_device *device);
/* The frame at which a run begins that was noted; false: none. */
bool placed_find_device(const struct placed *placed, uint64_t gpa, uint64_t nr_pages, uint64_t *frame);
void placed_forget_device(struct placed *placed, uint64_t gpa, uint64_t nr_pages);

/* How many pages the guest was given for copies; to be read and written. */
uint64_t *placed_copied_pages(struct placed *placed);

/* Calls the functions with all that is noted, then forgets it. */
struct placed_sweep {
    void (*pages)(void *ctx, enum placed_kind kind, uint64_t gfn, uint64_t nr_pages);
    void (*device)(void *ctx, const struct placed_device *device);
};
void placed_sweep(struct placed *placed, const struct placed_sweep *sweep, void *ctx);

#endif
