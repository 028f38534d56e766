// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * foreign_cache.c - see foreign_cache.h.
 *
 * A chunk is one mapping of 512 guest frames. Frames that are not populated (ballooned out, or beyond the end
 * of memory) stay holes in it, on which a touch is a SIGBUS: a bitmap tells which are good. A hole that has
 * been filled since is seen when it is asked for: then the chunk is mapped anew beside the old one, which is
 * retired: it stays until nobody can hold a pointer into it. A mapping is never split or mapped over: privcmd
 * frees the pages behind it when its whole VMA goes.
 *
 * Chunks are found by a hash of their number, the one used last without it. All of them, retired or not, are
 * in one list by age: between events the oldest go until there is the usual number of them, and during an
 * event, which may go through all of a large guest's memory, as soon as there would be twice as many.
 */
#include "xen/foreign_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/util.h"

#define CHUNK_SHIFT  21
#define CHUNK_SIZE   ((uint64_t)1 << CHUNK_SHIFT)
#define CHUNK_PAGES  (CHUNK_SIZE >> GUEST_PAGE_SHIFT)
#define BITMAP_WORDS (CHUNK_PAGES / 64)
#define BUCKETS_LOG2 10

/* x86 and Arm guests have physical addresses of 52 bits at the most; addresses above (grants have bit 63 set)
 * are no frames. */
#define GPA_BITS 52

struct chunk {
    struct list_link age; /* in chunks */
    struct chunk *next;   /* in its bucket */
    bool retired;         /* in no bucket */
    uint64_t number;      /* gpa >> CHUNK_SHIFT */
    uint8_t *base;
    uint64_t valid[BITMAP_WORDS]; /* bit n: frame n is mapped */
};

struct foreign_cache {
    xenforeignmemory_handle *fmem; /* borrowed */
    uint16_t domid;
    size_t max_chunks, count, nr_retired; /* count: without those that are retired */
    struct chunk *last;                   /* the one used last, or NULL */
    struct list_link chunks;              /* the least recently used is first */
    struct chunk *buckets[1 << BUCKETS_LOG2];
};

static struct chunk **bucket_of(struct foreign_cache *cache, uint64_t number)
{
    /* Neighbours fall into neighbouring buckets, far ones are spread (2^64 divided by the golden ratio). */
    return &cache->buckets[(number + ((number >> BUCKETS_LOG2) * 0x9e3779b97f4a7c15u >> 32)) %
                           (1 << BUCKETS_LOG2)];
}

static bool page_valid(const struct chunk *chunk, unsigned page)
{
    return chunk->valid[page / 64] >> (page % 64) & 1;
}

/* Pages that are valid from `page` on, at most max. */
static unsigned pages_valid(const struct chunk *chunk, unsigned page, unsigned max)
{
    unsigned n = 0;

    while (n < max && page + n < CHUNK_PAGES) {
        uint64_t holes = ~chunk->valid[(page + n) / 64] >> ((page + n) % 64);

        if (holes) {
            n += (unsigned)__builtin_ctzll(holes);
            break;
        }
        n += 64 - (page + n) % 64;
    }
    return MIN(n, max);
}

static void chunk_unmap(struct foreign_cache *cache, struct chunk *chunk)
{
    list_remove(&chunk->age);
    xenforeignmemory_unmap(cache->fmem, chunk->base, CHUNK_PAGES);
    free(chunk);
}

/* Takes the chunk out of its bucket; it is in no look-up any more. */
static void chunk_unhash(struct foreign_cache *cache, struct chunk *chunk)
{
    struct chunk **at = bucket_of(cache, chunk->number);

    while (*at != chunk)
        at = &(*at)->next;
    *at = chunk->next;
    cache->count--;
    if (cache->last == chunk)
        cache->last = NULL;
}

static void chunk_retire(struct foreign_cache *cache, struct chunk *chunk)
{
    chunk_unhash(cache, chunk);
    chunk->retired = true;
    cache->nr_retired++;
}

static void chunk_drop(struct foreign_cache *cache, struct chunk *chunk)
{
    if (chunk->retired)
        cache->nr_retired--;
    else
        chunk_unhash(cache, chunk);
    chunk_unmap(cache, chunk);
}

static void oldest_drop(struct foreign_cache *cache)
{
    chunk_drop(cache, container_of(cache->chunks.next, struct chunk, age));
}

/* Maps a chunk and hashes it. NULL: none of its frames can be mapped, or no memory. */
static struct chunk *chunk_map(struct foreign_cache *cache, uint64_t number)
{
    xen_pfn_t gfns[CHUNK_PAGES];
    int errors[CHUNK_PAGES];
    struct chunk *chunk, **bucket;
    unsigned nr_valid = 0;

    while (cache->count + cache->nr_retired >= 2 * cache->max_chunks)
        oldest_drop(cache);
    chunk = calloc(1, sizeof(*chunk));
    if (!chunk)
        return NULL;
    for (unsigned i = 0; i < CHUNK_PAGES; i++)
        gfns[i] = (number << (CHUNK_SHIFT - GUEST_PAGE_SHIFT)) + i;
    chunk->base =
        xenforeignmemory_map(cache->fmem, cache->domid, PROT_READ | PROT_WRITE, CHUNK_PAGES, gfns, errors);
    if (!chunk->base) {
        free(chunk);
        return NULL;
    }
    chunk->number = number;
    for (unsigned i = 0; i < CHUNK_PAGES; i++) {
        if (errors[i])
            continue;
        chunk->valid[i / 64] |= (uint64_t)1 << (i % 64);
        nr_valid++;
    }
    list_init(&chunk->age);
    if (!nr_valid) {
        chunk_unmap(cache, chunk);
        return NULL;
    }
    list_append(&cache->chunks, &chunk->age);
    bucket = bucket_of(cache, number);
    chunk->next = *bucket;
    *bucket = chunk;
    cache->count++;
    return chunk;
}

/* Whether a frame that is a hole in its chunk has been filled since. */
static bool page_appeared(struct foreign_cache *cache, uint64_t gfn)
{
    xen_pfn_t pfn = gfn;
    int error = 0;
    void *page = xenforeignmemory_map(cache->fmem, cache->domid, PROT_READ | PROT_WRITE, 1, &pfn, &error);

    if (!page)
        return false;
    xenforeignmemory_unmap(cache->fmem, page, 1);
    return !error;
}

static struct chunk *chunk_find(struct foreign_cache *cache, uint64_t number)
{
    struct chunk *chunk = *bucket_of(cache, number);

    while (chunk && chunk->number != number)
        chunk = chunk->next;
    if (chunk) {
        list_remove(&chunk->age);
        list_append(&cache->chunks, &chunk->age);
    }
    return chunk;
}

void *foreign_cache_map(struct foreign_cache *cache, uint64_t gpa, size_t *len)
{
    uint64_t number = gpa >> CHUNK_SHIFT, offset = gpa & (CHUNK_SIZE - 1), usable;
    unsigned page = (unsigned)(offset >> GUEST_PAGE_SHIFT), nr_pages;
    size_t wanted = MIN(*len, CHUNK_SIZE - offset);
    struct chunk *chunk = cache->last;

    if (gpa >> GPA_BITS || !wanted)
        return NULL;
    if (!chunk || chunk->number != number) {
        chunk = chunk_find(cache, number);
        if (!chunk)
            chunk = chunk_map(cache, number);
        if (!chunk)
            return NULL;
        cache->last = chunk;
    }
    if (!page_valid(chunk, page)) {
        if (!page_appeared(cache, gpa >> GUEST_PAGE_SHIFT))
            return NULL;
        chunk_retire(cache, chunk);
        chunk = chunk_map(cache, number);
        if (!chunk)
            return NULL;
        cache->last = chunk;
        if (!page_valid(chunk, page))
            return NULL;
    }
    nr_pages = (unsigned)((offset + wanted - 1) >> GUEST_PAGE_SHIFT) - page + 1;
    usable =
        ((uint64_t)pages_valid(chunk, page, nr_pages) << GUEST_PAGE_SHIFT) - (offset & (GUEST_PAGE_SIZE - 1));
    *len = MIN(wanted, usable);
    return chunk->base + offset;
}

bool foreign_cache_around(struct foreign_cache *cache, uint64_t gpa, uint64_t *first, uint64_t *end)
{
    uint64_t start = gpa & ~(CHUNK_SIZE - 1);
    unsigned page = (unsigned)((gpa - start) >> GUEST_PAGE_SHIFT);
    size_t len = 1;

    /* One page is asked for before 512 are. */
    if (gpa >> GPA_BITS ||
        (!chunk_find(cache, gpa >> CHUNK_SHIFT) && !page_appeared(cache, gpa >> GUEST_PAGE_SHIFT)) ||
        !foreign_cache_map(cache, gpa, &len))
        return false;
    *end = start + (uint64_t)(page + pages_valid(cache->last, page, CHUNK_PAGES)) * GUEST_PAGE_SIZE;
    while (page > 0 && page_valid(cache->last, page - 1))
        page--;
    *first = start + (uint64_t)page * GUEST_PAGE_SIZE;
    return true;
}

void foreign_cache_drop(struct foreign_cache *cache)
{
    struct chunk *chunk, *tmp;

    list_for_each_safe (chunk, tmp, &cache->chunks, age)
        chunk_unmap(cache, chunk);
    if (cache->count)
        memset(cache->buckets, 0, sizeof(cache->buckets));
    cache->count = cache->nr_retired = 0;
    cache->last = NULL;
}

bool foreign_cache_over_limit(const struct foreign_cache *cache)
{
    return cache->count > cache->max_chunks || cache->nr_retired > 0;
}

void foreign_cache_trim(struct foreign_cache *cache)
{
    struct chunk *chunk, *tmp;

    if (cache->nr_retired > 0)
        list_for_each_safe (chunk, tmp, &cache->chunks, age)
            if (chunk->retired)
                chunk_drop(cache, chunk);
    while (cache->count > cache->max_chunks)
        oldest_drop(cache);
}

static int cache_copy(struct foreign_cache *cache, uint64_t gpa, uint8_t *to, const uint8_t *from, size_t len)
{
    while (len) {
        size_t n = len;
        uint8_t *p = foreign_cache_map(cache, gpa, &n);

        if (!p)
            return -EFAULT;
        if (to) {
            memcpy(to, p, n);
            to += n;
        } else {
            memcpy(p, from, n);
            from += n;
        }
        gpa += n;
        len -= n;
    }
    return 0;
}

int foreign_cache_read(struct foreign_cache *cache, uint64_t gpa, void *buf, size_t len)
{
    return cache_copy(cache, gpa, buf, NULL, len);
}

int foreign_cache_write(struct foreign_cache *cache, uint64_t gpa, const void *buf, size_t len)
{
    return cache_copy(cache, gpa, NULL, buf, len);
}

size_t foreign_cache_count(const struct foreign_cache *cache)
{
    return cache->count;
}

struct foreign_cache *foreign_cache_new(xenforeignmemory_handle *fmem, uint16_t domid, size_t max_chunks)
{
    struct foreign_cache *cache = calloc(1, sizeof(*cache));

    if (!cache)
        return NULL;
    cache->fmem = fmem;
    cache->domid = domid;
    cache->max_chunks = MAX(max_chunks, (size_t)1);
    list_init(&cache->chunks);
    return cache;
}

void foreign_cache_free(struct foreign_cache *cache)
{
    if (!cache)
        return;
    foreign_cache_drop(cache);
    free(cache);
}
