// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bounce_pool.c - see bounce_pool.h. First fit from the lowest address, on a bitmap: a pool has some ten
 * thousand units, a search reads some hundred words at the worst, and whole words are skipped.
 */
#include "dm/bounce_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/util.h"

#define WORD_BITS 64u

int bounce_pool_init(struct bounce_pool *pool, size_t rings_len, size_t pool_len)
{
    int rc;

    *pool = (struct bounce_pool){.fd = -1, .first = align_up(rings_len, BOUNCE_POOL_UNIT)};
    pool->nr_units = align_up(pool_len, BOUNCE_POOL_UNIT) / BOUNCE_POOL_UNIT;
    pool->len = pool->first + pool->nr_units * BOUNCE_POOL_UNIT;
    pool->bitmap = calloc((pool->nr_units + WORD_BITS - 1) / WORD_BITS, sizeof(*pool->bitmap));
    if (pool->bitmap == NULL)
        return -ENOMEM;
    pool->fd = memfd_create("vhost-dm bounce", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (pool->fd < 0 || ftruncate(pool->fd, (off_t)pool->len) != 0 ||
        fcntl(pool->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        goto fail;
    pool->mem = mmap(NULL, pool->len, PROT_READ | PROT_WRITE, MAP_SHARED, pool->fd, 0);
    if (pool->mem == MAP_FAILED) {
        pool->mem = NULL;
        goto fail;
    }
    return 0;
fail:
    rc = -errno;
    bounce_pool_fini(pool);
    return rc;
}

void bounce_pool_fini(struct bounce_pool *pool)
{
    if (pool->mem != NULL)
        munmap(pool->mem, pool->len);
    if (pool->bitmap != NULL && pool->fd >= 0)
        close(pool->fd);
    free(pool->bitmap);
    *pool = (struct bounce_pool){.fd = -1};
}

static bool unit_used(const struct bounce_pool *pool, size_t unit)
{
    return pool->bitmap[unit / WORD_BITS] >> (unit % WORD_BITS) & 1;
}

static void units_set(struct bounce_pool *pool, size_t unit, size_t nr, bool used)
{
    for (; nr > 0; unit++, nr--) {
        uint64_t bit = (uint64_t)1 << (unit % WORD_BITS);

        if (used)
            pool->bitmap[unit / WORD_BITS] |= bit;
        else
            pool->bitmap[unit / WORD_BITS] &= ~bit;
    }
}

struct bounce_arena bounce_arena_make(size_t first, size_t nr)
{
    return (struct bounce_arena){.first = first, .end = first + nr, .search = first, .high_water = first};
}

int64_t bounce_pool_alloc(struct bounce_pool *pool, struct bounce_arena *arena, uint64_t len)
{
    size_t nr, start = arena->search, unit = arena->search;

    if (len > (arena->end - arena->first) * (uint64_t)BOUNCE_POOL_UNIT)
        return -E2BIG;
    nr = align_up(len, BOUNCE_POOL_UNIT) / BOUNCE_POOL_UNIT;
    while (unit < arena->end && unit - start < nr) {
        if (unit % WORD_BITS == 0 && pool->bitmap[unit / WORD_BITS] == UINT64_MAX)
            start = unit += WORD_BITS;
        else if (unit_used(pool, unit))
            start = ++unit;
        else
            unit++;
    }
    if (unit - start < nr || start + nr > arena->end)
        return -ENOSPC;
    units_set(pool, start, nr, true);
    if (start == arena->search)
        arena->search = start + nr;
    arena->nr_used += nr;
    arena->high_water = MAX(arena->high_water, start + nr);
    return (int64_t)(pool->first + start * BOUNCE_POOL_UNIT);
}

void bounce_pool_release(struct bounce_pool *pool, struct bounce_arena *arena, uint64_t offset, uint64_t len)
{
    size_t unit = (offset - pool->first) / BOUNCE_POOL_UNIT;
    size_t nr = align_up(len, BOUNCE_POOL_UNIT) / BOUNCE_POOL_UNIT;

    units_set(pool, unit, nr, false);
    arena->nr_used -= nr;
    arena->search = MIN(arena->search, unit);
}

void bounce_pool_trim(struct bounce_pool *pool, struct bounce_arena *arena, size_t keep)
{
    size_t kept = arena->first + align_up(keep, BOUNCE_POOL_UNIT) / BOUNCE_POOL_UNIT;
    size_t from = pool->first + kept * BOUNCE_POOL_UNIT;
    size_t to = pool->first + arena->high_water * BOUNCE_POOL_UNIT;

    if (arena->nr_used > 0 || from >= to)
        return;
    /* That it may fail costs memory and nothing else. */
    if (fallocate(pool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from)) == 0)
        arena->high_water = kept;
}
