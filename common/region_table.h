/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * region_table.h - what is at this guest-physical address? One ordered table per guest answers it for
 * everybody: the ioreq dispatcher, the copying of queues and buffers, the memory tables sent to back-ends and
 * the shared memory requests. Nothing keeps a second copy.
 *
 * Invariants: no region is empty, none wraps around, no two overlap. A region is removed exactly as it was
 * inserted. Look-up, insertion and removal are O(log n); a look-up that hits the same region as the last one
 * is O(1). Even a look-up changes the table's memory of the last hit: a table belongs to one thread.
 */
#ifndef VHOST_DM_REGION_TABLE_H
#define VHOST_DM_REGION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum region_kind {
    REGION_RAM_FOREIGN, /* guest pages that are mapped by domain id and gfn */
    REGION_RAM_GRANT,   /* addresses with bit 63 set: grant references, mapped per request */
    REGION_SHMEM,       /* memory that a back-end mapped: in the table of a shared memory region, by offset */
    REGION_WINDOW,      /* a shared memory region; what is mapped in it is in a table of its own */
    REGION_MMIO,        /* registers of one of our devices */
};

struct guest_access;
struct shmem_file;

/* Serves an access that lies wholly in the region; offset is from the region's start. */
typedef void region_mmio_fn(void *opaque, uint64_t offset, struct guest_access *access);

struct region {
    uint64_t gpa; /* first byte */
    uint64_t len; /* bytes, not 0; gpa + len - 1 does not wrap */
    enum region_kind kind;
    union {
        struct {
            uint16_t domid;
        } ram;
        struct {
            struct shmem_file *file; /* borrowed */
            uint64_t file_offset;    /* bytes */
            bool writable;           /* by the guest */
            uint8_t placement;       /* enum placement, as it was chosen */
            uint32_t serial;         /* tells it from what was mapped there before */
        } shmem;
        struct {
            region_mmio_fn *access;
            void *opaque; /* whose region it is, and what is mapped in it */
            uint8_t shmid;
        } window;
        struct {
            region_mmio_fn *access;
            void *opaque;
        } mmio;
    };
};

struct region_table;

/* A new empty table, or NULL without memory. The caller owns it. */
struct region_table *region_table_new(void);
/* Frees the table and what is left in it; NULL is allowed. */
void region_table_free(struct region_table *table);

/* Inserts a copy of *region. 0; -EINVAL: empty or wrapping; -EEXIST: overlaps a region; -ENOMEM. On an error
 * nothing has changed. */
int region_table_insert(struct region_table *table, const struct region *region);

/* Removes the region that is exactly [gpa, gpa + len) and of that kind. 0, or -ENOENT and nothing changed. */
int region_table_remove(struct region_table *table, uint64_t gpa, uint64_t len, enum region_kind kind);

/* The region that contains gpa, or NULL. The pointer is good until the table is changed. */
const struct region *region_table_find(struct region_table *table, uint64_t gpa);

/* The region that contains gpa or, if none does, the nearest one above it; NULL if there is neither. A walk
 * in the order of addresses begins with gpa 0 and goes on with region_table_next. A walk that changes the
 * table goes on instead with find_from the byte after the last region, unless that byte was the last of all.
 */
const struct region *region_table_find_from(struct region_table *table, uint64_t gpa);

/* The region that follows r, or NULL. r is a result of find, find_from or next, and the table was not changed
 * since. */
const struct region *region_table_next(struct region_table *table, const struct region *r);

/* How many regions there are. */
size_t region_table_count(const struct region_table *table);

/* A name for people: "ram", "shmem", ... */
const char *region_kind_name(enum region_kind kind);

#endif
