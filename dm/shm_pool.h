/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shm_pool.h - the allocations of shared pages of one guest. An allocation is named by a memfd, the token:
 * its device, inode and generation. The token's own pages are never used (it is sealed against writing, so
 * that who does not know fails loudly); whoever has the fd gets the shared pages instead, be it a process
 * that maps them (through shm_server.h) or a shared memory region of the guest (through shmem_file.h).
 *
 * An allocation lives as long as it has users: processes, and mappings of the guest. The table is in the
 * saved state, so that a vhost-dm that is started again goes on with the same memory; the pages are the
 * hypervisor's.
 */
#ifndef VHOST_DM_SHM_POOL_H
#define VHOST_DM_SHM_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SHM_POOL_DEFAULT_LIMIT   ((uint64_t)1 << 30) /* bytes for each guest */
#define SHM_POOL_MAX_LIMIT       ((uint64_t)1 << 40)
#define SHM_POOL_MAX_ALLOCATIONS 4096
#define SHM_POOL_MAX_USES        16384 /* by processes */

struct hypervisor;
struct saved_state;
struct shm_pool;
struct shm_allocation;
struct stat;

/*
 * The pool of a guest, with what a predecessor left if saved has it; both are borrowed. limit: bytes, a
 * multiple of pages. 0; -EOPNOTSUPP: the hypervisor has no shared pages; or what it or saved_state_area said.
 */
int shm_pool_new(struct shm_pool **out, struct hypervisor *hv, struct saved_state *saved, uint64_t limit);
/* Frees the pool, whose users in this process are gone. Pages that other processes have still are left to
 * them as they are; a successor gives them back, or the hypervisor does at the guest's end. NULL is allowed.
 */
void shm_pool_free(struct shm_pool *pool);

/*
 * Makes the memfd fd (borrowed; sealed against writing and resizing when this succeeds) the token of as many
 * zeroed pages as it is long. 0 and a reference, put by the caller; -EINVAL: not a memfd opened for writing,
 * or not a whole number of pages; -EEXIST: it is one already; -EBUSY: it is mapped for writing by somebody;
 * -EPERM: it cannot be sealed, or the hypervisor does not let this guest have shared pages; -EDQUOT: the
 * limit; -ENOSPC: too many allocations, or no gap is large enough; -ENOMEM; or what else the hypervisor said.
 */
int shm_pool_allocate(struct shm_pool *pool, int fd, struct shm_allocation **out);
/* The allocation whose token fd is, st is what fstat said of it; NULL: none. */
struct shm_allocation *shm_pool_find(struct shm_pool *pool, int fd, const struct stat *st);
/* Whether fd looks like the token of an allocation, of this pool or another. */
bool shm_token(struct hypervisor *hv, int fd);

void shm_allocation_get(struct shm_allocation *a);
void shm_allocation_put(struct shm_allocation *a);
struct shm_pool *shm_allocation_pool(const struct shm_allocation *a);
uint64_t shm_allocation_page(const struct shm_allocation *a);
uint64_t shm_allocation_nr_pages(const struct shm_allocation *a);
/* All of it in our address space, mapped at the first time and good as long as a reference is held; NULL with
 * errno. */
uint8_t *shm_allocation_map(struct shm_allocation *a);

/* Processes that use an allocation, in the saved state, for a successor. A use has a reference. */
struct shm_use {
    struct shm_allocation *allocation;
    unsigned slot; /* in the saved state */
};
/* pid and start_time tell which process. 0, or -ENOSPC: too many. */
int shm_use_add(struct shm_allocation *a, pid_t pid, uint64_t start_time, struct shm_use *use);
void shm_use_drop(struct shm_use *use);
/* What a predecessor noted: calls fn for each use, which now belongs to it (true) or is dropped (false). Then
 * frees the allocations that nobody uses. */
void shm_pool_take_uses(struct shm_pool *pool,
                        bool (*fn)(void *ctx, const struct shm_use *use, pid_t pid, uint64_t start_time),
                        void *ctx);

struct hypervisor *shm_pool_hypervisor(const struct shm_pool *pool);
struct shm_pool_stats {
    uint64_t nr_allocations, bytes, limit;
};
struct shm_pool_stats shm_pool_stats_get(const struct shm_pool *pool);

#endif
