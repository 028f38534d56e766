// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shm_pool.c - see shm_pool.h. An entry of the saved table goes through MAKING and FREEING, in which its
 * pages may be there or not: a successor that finds one gives the pages back.
 *
 * While we hold the token no other file has its inode. Between two of us nobody may hold it, and its number
 * could come again: the inode's generation, which is random, tells them apart.
 */
#include "dm/shm_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd_keep.h"
#include "common/saved_state.h"
#include "common/util.h"
#include "dm/host.h"
#include "dm/hypervisor.h"
#include "lib/shm_protocol.h"

#define NR_BUCKETS 256u /* a power of two */
#define AREA       "shared memory"
#define VERSION    1

#define TOKEN_SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK)

enum saved_allocation_state { SAVED_FREE, SAVED_MAKING, SAVED_LIVE, SAVED_FREEING };

struct file_id {
    uint64_t dev, ino, generation;
};

struct saved_allocation {
    uint64_t state; /* written last when it begins, first when it ends */
    struct file_id id;
    uint64_t page, nr_pages;
};

struct saved_use {
    uint32_t allocation; /* slot + 1; 0: free */
    int32_t pid;
    uint64_t start_time;
};

struct shm_pool_saved {
    uint64_t version;
    struct saved_allocation allocations[SHM_POOL_MAX_ALLOCATIONS];
    struct saved_use uses[SHM_POOL_MAX_USES];
};

struct shm_allocation {
    struct list_link link;    /* in a bucket */
    struct list_link by_page; /* in the pool's list, ascending */
    struct shm_pool *pool;
    struct saved_allocation *saved;
    struct file_id id;
    uint64_t page, nr_pages;
    unsigned refs;
    int fd;       /* owned; -1: a predecessor's */
    uint8_t *map; /* owned; NULL: not yet */
};

struct shm_pool {
    struct hypervisor *hv;
    struct shm_pool_saved *saved; /* borrowed */
    uint64_t max_pages, used_pages, nr;
    struct list_link buckets[NR_BUCKETS];
    struct list_link by_page;
    unsigned next_use; /* where to look for a free slot */
};

/* ---- tokens -------------------------------------------------------------------------------------------- */

/* The generation, from the handle that file systems make for it. 0 where the kernel has none. */
static uint64_t generation_of(int fd)
{
    struct {
        struct file_handle handle;
        uint8_t bytes[MAX_HANDLE_SZ];
    } h = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
    uint64_t generation = 0;
    int mount;

    if (name_to_handle_at(fd, "", &h.handle, &mount, AT_EMPTY_PATH) == 0)
        memcpy(&generation, h.bytes, MIN(sizeof(generation), (size_t)h.handle.handle_bytes));
    return generation;
}

bool shm_token(struct hypervisor *hv, int fd)
{
    static const char prefix[] = "/memfd:" SHM_TOKEN_PREFIX;
    char name[sizeof(prefix) + 1];
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & TOKEN_SEALS) != TOKEN_SEALS)
        return false;
    return host_file_name(hv, fd, name, sizeof(name)) && strncmp(name, prefix, sizeof(prefix) - 1) == 0;
}

static struct list_link *bucket_of(struct shm_pool *pool, uint64_t ino)
{
    return &pool->buckets[ino & (NR_BUCKETS - 1)];
}

struct shm_allocation *shm_pool_find(struct shm_pool *pool, int fd, const struct stat *st)
{
    struct shm_allocation *a;

    list_for_each (a, bucket_of(pool, st->st_ino), link) {
        if (a->id.ino != st->st_ino || a->id.dev != st->st_dev)
            continue;
        if (a->fd >= 0)
            return a;
        if (a->id.generation != generation_of(fd) || !shm_token(pool->hv, fd))
            continue;
        /* From now on nobody else gets its number. Without a free fd it can still come later. */
        a->fd = fd_keep(fd);
        return a;
    }
    return NULL;
}

/* ---- allocations ----------------------------------------------------------------------------------- */

static struct saved_allocation *saved_slot_find(struct shm_pool *pool)
{
    for (unsigned i = 0; i < SHM_POOL_MAX_ALLOCATIONS; i++)
        if (pool->saved->allocations[i].state == SAVED_FREE)
            return &pool->saved->allocations[i];
    return NULL;
}

/* The first gap that is large enough: its first page, and behind which allocation it is. False: none. */
static bool gap_find(struct shm_pool *pool, uint64_t nr_pages, uint64_t *page, struct list_link **before)
{
    struct shm_allocation *a;

    *page = 0;
    list_for_each (a, &pool->by_page, by_page) {
        if (a->page - *page >= nr_pages)
            break;
        *page = a->page + a->nr_pages;
    }
    *before = &a->by_page;
    return range_within(*page, nr_pages, pool->max_pages);
}

static struct shm_allocation *allocation_new(struct shm_pool *pool, struct saved_allocation *saved,
                                             struct list_link *before)
{
    struct shm_allocation *a = calloc(1, sizeof(*a));

    if (a == NULL)
        return NULL;
    a->pool = pool;
    a->saved = saved;
    a->id = saved->id;
    a->page = saved->page;
    a->nr_pages = saved->nr_pages;
    a->fd = -1;
    list_append(bucket_of(pool, a->id.ino), &a->link);
    list_append(before, &a->by_page);
    pool->used_pages += a->nr_pages;
    pool->nr++;
    return a;
}

/* Frees what we have of it; the pages stay. */
static void allocation_forget(struct shm_allocation *a)
{
    if (a->map != NULL)
        a->pool->hv->ops->pages->shared_unmap(a->pool->hv, a->map, a->nr_pages);
    a->pool->used_pages -= a->nr_pages;
    a->pool->nr--;
    list_remove(&a->link);
    list_remove(&a->by_page);
    if (a->fd >= 0)
        close(a->fd);
    free(a);
}

static void allocation_free(struct shm_allocation *a)
{
    struct saved_allocation *saved = a->saved;
    struct hypervisor *hv = a->pool->hv;
    uint64_t page = a->page, nr_pages = a->nr_pages;

    saved->state = SAVED_FREEING;
    allocation_forget(a);
    hv->ops->pages->shared_release(hv, page, nr_pages);
    saved->state = SAVED_FREE;
}

/* A file that can become a token, and its pages. */
static int token_check(struct shm_pool *pool, int fd, struct stat *st, uint64_t *nr_pages)
{
    int mode = fcntl(fd, F_GETFL);

    if (mode < 0 || fstat(fd, st) != 0)
        return -EINVAL;
    if (mode & O_PATH || (mode & O_ACCMODE) != O_RDWR || !S_ISREG(st->st_mode) || fcntl(fd, F_GET_SEALS) < 0)
        return -EINVAL;
    if (st->st_size <= 0 || (uint64_t)st->st_size % GUEST_PAGE_SIZE != 0)
        return -EINVAL;
    *nr_pages = (uint64_t)st->st_size >> GUEST_PAGE_SHIFT;
    if (shm_pool_find(pool, fd, st) != NULL)
        return -EEXIST;
    return range_within(pool->used_pages, *nr_pages, pool->max_pages) ? 0 : -EDQUOT;
}

static int pages_make(struct shm_allocation *a, int fd, int token)
{
    const struct hypervisor_page_ops *ops = a->pool->hv->ops->pages;
    struct stat st;
    int rc;

    a->fd = token;
    rc = ops->shared_populate(a->pool->hv, a->page, a->nr_pages);
    if (rc != 0)
        return rc;
    if (fcntl(fd, F_ADD_SEALS, TOKEN_SEALS) != 0)
        return errno == EBUSY ? -EBUSY : -EPERM;
    /* Its owner may have changed it until now; from now on its size says how many pages there are. */
    return fstat(fd, &st) == 0 && (uint64_t)st.st_size == a->nr_pages << GUEST_PAGE_SHIFT ? 0 : -EBUSY;
}

int shm_pool_allocate(struct shm_pool *pool, int fd, struct shm_allocation **out)
{
    struct saved_allocation *saved;
    struct shm_allocation *a;
    struct list_link *before;
    struct stat st;
    uint64_t page, nr_pages;
    int rc = token_check(pool, fd, &st, &nr_pages), token;

    if (rc != 0)
        return rc;
    saved = saved_slot_find(pool);
    if (saved == NULL || !gap_find(pool, nr_pages, &page, &before))
        return -ENOSPC;
    token = fd_keep(fd);
    if (token < 0)
        return token;
    saved->id = (struct file_id){st.st_dev, st.st_ino, generation_of(fd)};
    saved->page = page;
    saved->nr_pages = nr_pages;
    a = allocation_new(pool, saved, before);
    if (a == NULL) {
        close(token);
        return -ENOMEM;
    }
    saved->state = SAVED_MAKING;
    rc = pages_make(a, fd, token);
    if (rc != 0) {
        allocation_free(a);
        return rc;
    }
    saved->state = SAVED_LIVE;
    a->refs = 1;
    *out = a;
    return 0;
}

void shm_allocation_get(struct shm_allocation *a)
{
    a->refs++;
}

void shm_allocation_put(struct shm_allocation *a)
{
    if (--a->refs == 0)
        allocation_free(a);
}

struct shm_pool *shm_allocation_pool(const struct shm_allocation *a)
{
    return a->pool;
}

uint64_t shm_allocation_page(const struct shm_allocation *a)
{
    return a->page;
}

uint64_t shm_allocation_nr_pages(const struct shm_allocation *a)
{
    return a->nr_pages;
}

uint8_t *shm_allocation_map(struct shm_allocation *a)
{
    if (a->map == NULL)
        a->map = a->pool->hv->ops->pages->shared_map(a->pool->hv, a->page, a->nr_pages);
    return a->map;
}

/* ---- uses by processes ----------------------------------------------------------------------------- */

int shm_use_add(struct shm_allocation *a, pid_t pid, uint64_t start_time, struct shm_use *use)
{
    struct shm_pool *pool = a->pool;

    for (unsigned i = 0; i < SHM_POOL_MAX_USES; i++) {
        unsigned slot = (pool->next_use + i) % SHM_POOL_MAX_USES;
        struct saved_use *saved = &pool->saved->uses[slot];

        if (saved->allocation != 0)
            continue;
        saved->pid = pid;
        saved->start_time = start_time;
        saved->allocation = (uint32_t)(a->saved - pool->saved->allocations) + 1;
        pool->next_use = slot + 1;
        *use = (struct shm_use){a, slot};
        a->refs++;
        return 0;
    }
    return -ENOSPC;
}

void shm_use_drop(struct shm_use *use)
{
    use->allocation->pool->saved->uses[use->slot].allocation = 0;
    shm_allocation_put(use->allocation);
}

void shm_pool_take_uses(struct shm_pool *pool,
                        bool (*fn)(void *ctx, const struct shm_use *use, pid_t pid, uint64_t start_time),
                        void *ctx)
{
    struct shm_allocation *a, *tmp;

    for (unsigned i = 0; i < SHM_POOL_MAX_USES; i++) {
        struct saved_use *saved = &pool->saved->uses[i];
        struct shm_use use = {.slot = i};

        if (saved->allocation == 0)
            continue;
        list_for_each (a, &pool->by_page, by_page)
            if (a->saved - pool->saved->allocations == (ptrdiff_t)saved->allocation - 1)
                use.allocation = a;
        if (use.allocation == NULL) {
            saved->allocation = 0;
            continue;
        }
        use.allocation->refs++;
        if (!fn(ctx, &use, saved->pid, saved->start_time))
            shm_use_drop(&use);
    }
    list_for_each_safe (a, tmp, &pool->by_page, by_page)
        if (a->refs == 0)
            allocation_free(a);
}

/* ---- the pool -------------------------------------------------------------------------------------- */

static int by_page(const void *a, const void *b)
{
    const struct saved_allocation *x = *(struct saved_allocation *const *)a;
    const struct saved_allocation *y = *(struct saved_allocation *const *)b;

    return x->page < y->page ? -1 : x->page > y->page;
}

/* Whether all that the table has is within the limit, which may be lower now. */
static bool table_fits(const struct shm_pool *pool)
{
    for (unsigned i = 0; i < SHM_POOL_MAX_ALLOCATIONS; i++) {
        const struct saved_allocation *saved = &pool->saved->allocations[i];

        if (saved->state != SAVED_FREE &&
            (saved->nr_pages == 0 || !range_within(saved->page, saved->nr_pages, pool->max_pages)))
            return false;
    }
    return true;
}

/* Takes up what the table says; -EINVAL: it cannot be ours. */
static int table_adopt(struct shm_pool *pool)
{
    struct saved_allocation *order[SHM_POOL_MAX_ALLOCATIONS];
    uint64_t end = 0;
    size_t nr = 0;

    for (unsigned i = 0; i < SHM_POOL_MAX_ALLOCATIONS; i++) {
        struct saved_allocation *saved = &pool->saved->allocations[i];

        if (saved->state == SAVED_FREE)
            continue;
        order[nr++] = saved;
    }
    qsort(order, nr, sizeof(order[0]), by_page);
    for (size_t i = 0; i < nr; i++) {
        struct shm_allocation *a;

        if (order[i]->page < end)
            return -EINVAL;
        end = order[i]->page + order[i]->nr_pages;
        a = allocation_new(pool, order[i], &pool->by_page);
        if (a == NULL)
            return -ENOMEM;
        if (order[i]->state != SAVED_LIVE)
            allocation_free(a);
    }
    return 0;
}

static void pool_drop_all(struct shm_pool *pool)
{
    struct shm_allocation *a, *tmp;

    list_for_each_safe (a, tmp, &pool->by_page, by_page)
        allocation_free(a);
}

int shm_pool_new(struct shm_pool **out, struct hypervisor *hv, struct saved_state *saved, uint64_t limit)
{
    struct shm_pool *pool;
    bool resumed = false;
    int rc;

    if (hv->ops->pages == NULL || hv->ops->pages->shared_init == NULL)
        return -EOPNOTSUPP;
    if (limit == 0 || limit % GUEST_PAGE_SIZE != 0 || limit > SHM_POOL_MAX_LIMIT)
        return -EINVAL;
    pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return -ENOMEM;
    pool->hv = hv;
    pool->max_pages = limit >> GUEST_PAGE_SHIFT;
    list_init(&pool->by_page);
    for (unsigned i = 0; i < NR_BUCKETS; i++)
        list_init(&pool->buckets[i]);
    pool->saved = saved_state_area(saved, AREA, sizeof(*pool->saved), &resumed);
    rc = pool->saved == NULL ? -errno : 0;
    if (rc == 0) {
        /* (Where they do not fit any more all are given up at once, those beyond the limit too.) */
        resumed = resumed && pool->saved->version == VERSION && table_fits(pool);
        rc = hv->ops->pages->shared_init(hv, pool->max_pages, &resumed);
    }
    if (rc == 0 && resumed) {
        rc = table_adopt(pool);
        if (rc == -EINVAL) { /* damaged */
            pool_drop_all(pool);
            hv->ops->pages->shared_release(hv, 0, pool->max_pages);
            resumed = false;
            rc = 0;
        }
    }
    if (rc == 0 && !resumed) {
        memset(pool->saved, 0, sizeof(*pool->saved));
        pool->saved->version = VERSION;
    }
    if (rc != 0) {
        free(pool);
        return rc;
    }
    *out = pool;
    return 0;
}

void shm_pool_free(struct shm_pool *pool)
{
    struct shm_allocation *a, *tmp;

    if (pool == NULL)
        return;
    list_for_each_safe (a, tmp, &pool->by_page, by_page)
        allocation_forget(a);
    free(pool);
}

struct hypervisor *shm_pool_hypervisor(const struct shm_pool *pool)
{
    return pool->hv;
}

struct shm_pool_stats shm_pool_stats_get(const struct shm_pool *pool)
{
    return (struct shm_pool_stats){pool->nr, pool->used_pages << GUEST_PAGE_SHIFT,
                                   pool->max_pages << GUEST_PAGE_SHIFT};
}
