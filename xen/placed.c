// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * placed.c - see placed.h. The saved table has no order: a new entry is written behind the last and then
 * counted; the last replaces one that goes, and then is not counted any more. A kill between leaves an entry
 * twice, which does no harm. Where an entry is, is known to a table of this process.
 */
#include "xen/placed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/region_table.h"
#include "common/saved_state.h"
#include "common/util.h"

#define AREA    "placed pages"
#define VERSION 1

struct saved_chunk {
    uint64_t key; /* gfn / PLACED_CHUNK_PAGES * 2 + kind */
    uint64_t pages[PLACED_CHUNK_PAGES / 64];
};

struct placed_saved {
    uint32_t version, nr_chunks, nr_devices, pad;
    uint64_t copied_pages;
    struct placed_device devices[PLACED_MAX_DEVICES];
    struct saved_chunk chunks[PLACED_MAX_CHUNKS];
};

struct placed {
    struct placed_saved *saved;
    struct region_table *index; /* at the key: mmio.opaque is the entry */
};

int placed_new(struct placed **out, struct saved_state *saved)
{
    struct placed *placed = calloc(1, sizeof(*placed));
    bool resumed;

    if (!placed)
        return -ENOMEM;
    placed->index = region_table_new();
    placed->saved = saved_state_area(saved, AREA, sizeof(*placed->saved), &resumed);
    if (!placed->index || !placed->saved) {
        placed_free(placed);
        return -ENOMEM;
    }
    if (!resumed || placed->saved->version != VERSION || placed->saved->nr_chunks > PLACED_MAX_CHUNKS ||
        placed->saved->nr_devices > PLACED_MAX_DEVICES) {
        if (resumed)
            memset(placed->saved, 0, sizeof(*placed->saved));
        placed->saved->version = VERSION;
    }
    *out = placed;
    return 0;
}

void placed_free(struct placed *placed)
{
    if (!placed)
        return;
    region_table_free(placed->index);
    free(placed);
}

uint64_t *placed_copied_pages(struct placed *placed)
{
    return &placed->saved->copied_pages;
}

/* ---- chunks ---------------------------------------------------------------------------------------- */

static uint64_t key_of(enum placed_kind kind, uint64_t gfn)
{
    return gfn / PLACED_CHUNK_PAGES * 2 + kind;
}

static struct saved_chunk *entry_find(struct placed *placed, uint64_t key)
{
    const struct region *r = region_table_find(placed->index, key);

    return r ? r->mmio.opaque : NULL;
}

static int index_set(struct placed *placed, uint64_t key, struct saved_chunk *entry)
{
    struct region r = {.gpa = key, .len = 1, .kind = REGION_MMIO, .mmio = {.opaque = entry}};

    return region_table_insert(placed->index, &r);
}

static int entry_add(struct placed *placed, uint64_t key, struct saved_chunk **entry)
{
    struct placed_saved *saved = placed->saved;
    int rc;

    if (saved->nr_chunks == PLACED_MAX_CHUNKS)
        return -ENOSPC;
    *entry = &saved->chunks[saved->nr_chunks];
    rc = index_set(placed, key, *entry);
    if (rc < 0)
        return rc;
    **entry = (struct saved_chunk){.key = key};
    saved->nr_chunks++;
    return 0;
}

static void entry_remove(struct placed *placed, struct saved_chunk *entry)
{
    struct saved_chunk *last = &placed->saved->chunks[placed->saved->nr_chunks - 1];

    region_table_remove(placed->index, entry->key, 1, REGION_MMIO);
    if (entry != last) {
        *entry = *last;
        /* What is removed can be inserted: there is room for it. */
        region_table_remove(placed->index, last->key, 1, REGION_MMIO);
        index_set(placed, entry->key, entry);
    }
    placed->saved->nr_chunks--;
}

static bool entry_is_empty(const struct saved_chunk *entry)
{
    for (unsigned i = 0; i < ARRAY_SIZE(entry->pages); i++)
        if (entry->pages[i])
            return false;
    return true;
}

/* The pages of a run that lie in the first chunk of it. */
static unsigned first_part(uint64_t gfn, uint64_t nr_pages)
{
    return (unsigned)MIN(nr_pages, PLACED_CHUNK_PAGES - gfn % PLACED_CHUNK_PAGES);
}

static void pages_set(struct saved_chunk *entry, uint64_t gfn, unsigned nr_pages, bool there)
{
    for (unsigned i = 0; i < nr_pages; i++) {
        unsigned bit = (unsigned)((gfn + i) % PLACED_CHUNK_PAGES);
        uint64_t mask = (uint64_t)1 << (bit % 64);

        if (there)
            entry->pages[bit / 64] |= mask;
        else
            entry->pages[bit / 64] &= ~mask;
    }
}

int placed_note(struct placed *placed, enum placed_kind kind, uint64_t gpa, uint64_t nr_pages)
{
    uint64_t gfn = gpa >> GUEST_PAGE_SHIFT;

    for (uint64_t done = 0; done < nr_pages;) {
        struct saved_chunk *entry = entry_find(placed, key_of(kind, gfn + done));
        unsigned part = first_part(gfn + done, nr_pages - done);
        int rc = entry ? 0 : entry_add(placed, key_of(kind, gfn + done), &entry);

        if (rc < 0) {
            placed_forget(placed, kind, gpa, done);
            return rc;
        }
        pages_set(entry, gfn + done, part, true);
        done += part;
    }
    return 0;
}

void placed_forget(struct placed *placed, enum placed_kind kind, uint64_t gpa, uint64_t nr_pages)
{
    uint64_t gfn = gpa >> GUEST_PAGE_SHIFT;

    for (uint64_t done = 0; done < nr_pages;) {
        struct saved_chunk *entry = entry_find(placed, key_of(kind, gfn + done));
        unsigned part = first_part(gfn + done, nr_pages - done);

        if (entry) {
            pages_set(entry, gfn + done, part, false);
            if (entry_is_empty(entry))
                entry_remove(placed, entry);
        }
        done += part;
    }
}

/* ---- devices --------------------------------------------------------------------------------------- */

int placed_note_device(struct placed *placed, const struct placed_device *device)
{
    struct placed_saved *saved = placed->saved;

    if (saved->nr_devices == PLACED_MAX_DEVICES)
        return -ENOSPC;
    saved->devices[saved->nr_devices] = *device;
    saved->nr_devices++;
    return 0;
}

static struct placed_device *device_find(const struct placed *placed, uint64_t gpa, uint64_t nr_pages)
{
    for (uint32_t i = 0; i < placed->saved->nr_devices; i++)
        if (placed->saved->devices[i].gpa == gpa && placed->saved->devices[i].nr_pages == nr_pages)
            return &placed->saved->devices[i];
    return NULL;
}

bool placed_find_device(const struct placed *placed, uint64_t gpa, uint64_t nr_pages, uint64_t *frame)
{
    const struct placed_device *device = device_find(placed, gpa, nr_pages);

    if (device)
        *frame = device->frame;
    return device != NULL;
}

void placed_forget_device(struct placed *placed, uint64_t gpa, uint64_t nr_pages)
{
    struct placed_device *device = device_find(placed, gpa, nr_pages);

    if (!device)
        return;
    *device = placed->saved->devices[placed->saved->nr_devices - 1];
    placed->saved->nr_devices--;
}

/* ---- what a predecessor left ----------------------------------------------------------------------- */

static bool page_noted(const struct saved_chunk *chunk, unsigned page)
{
    return chunk->pages[page / 64] >> (page % 64) & 1;
}

static void chunk_sweep(const struct saved_chunk *chunk, const struct placed_sweep *sweep, void *ctx)
{
    uint64_t first = chunk->key / 2 * PLACED_CHUNK_PAGES;
    unsigned end;

    for (unsigned page = 0; page < PLACED_CHUNK_PAGES; page = end + 1) {
        for (end = page; end < PLACED_CHUNK_PAGES && page_noted(chunk, end);)
            end++;
        if (end > page)
            sweep->pages(ctx, (enum placed_kind)(chunk->key % 2), first + page, end - page);
    }
}

void placed_sweep(struct placed *placed, const struct placed_sweep *sweep, void *ctx)
{
    struct placed_saved *saved = placed->saved;

    for (uint32_t i = 0; i < saved->nr_chunks; i++)
        chunk_sweep(&saved->chunks[i], sweep, ctx);
    for (uint32_t i = 0; i < saved->nr_devices; i++)
        sweep->device(ctx, &saved->devices[i]);
    saved->nr_chunks = 0;
    saved->nr_devices = 0;
}
