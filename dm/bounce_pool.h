/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bounce_pool.h - the memory that a back-end in bounce mode sees instead of the guest's: one memfd, with room
 * for rings at its start and a bounded pool of buffers behind, which is given out in parts, the arenas. Used
 * by the bounce data path.
 *
 * The memfd is sealed against a change of size, so that the back-end cannot make us fault. Its pages come
 * into being when they are first used; low addresses are used first, and bounce_pool_trim gives the rest
 * back.
 */
#ifndef VHOST_DM_BOUNCE_POOL_H
#define VHOST_DM_BOUNCE_POOL_H

#include <stddef.h>
#include <stdint.h>

#define BOUNCE_POOL_UNIT 4096u /* bytes: allocations are multiples, and aligned to it */

struct bounce_pool {
    int fd;
    uint8_t *mem; /* the whole memfd, mapped */
    size_t len;   /* bytes, the rings' part and the pool's */
    size_t first; /* offset of the pool: a multiple of the unit */
    size_t nr_units;
    uint64_t *bitmap; /* owned: a bit for each unit, set: in use */
};

/* A part of a pool that is given out on its own: units [first, end). Plain data. */
struct bounce_arena {
    size_t first, end;
    size_t search;              /* no unit below it is free */
    size_t nr_used, high_water; /* high_water: the end of what was used since the last trim */
};

/* A memfd with rings_len bytes of zeros and then pool_len bytes of pool. Both are rounded up to units.
 * 0 or negative errno. */
int bounce_pool_init(struct bounce_pool *pool, size_t rings_len, size_t pool_len);
/* Frees all; a zeroed pool, or one of fd -1, is allowed. */
void bounce_pool_fini(struct bounce_pool *pool);

/* nr units from first on, none of them in use. */
struct bounce_arena bounce_arena_make(size_t first, size_t nr);

/* An offset in the memfd of len bytes (not 0) in one piece; -ENOSPC: not now; -E2BIG: never, it is more than
 * the whole arena. */
int64_t bounce_pool_alloc(struct bounce_pool *pool, struct bounce_arena *arena, uint64_t len);
void bounce_pool_release(struct bounce_pool *pool, struct bounce_arena *arena, uint64_t offset, uint64_t len);
/* Gives pages back to the system that lie behind the first keep bytes of the arena, when nothing of it is in
 * use. */
void bounce_pool_trim(struct bounce_pool *pool, struct bounce_arena *arena, size_t keep);

#endif
