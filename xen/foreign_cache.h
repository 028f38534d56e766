/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * foreign_cache.h - the guest's memory in our address space: mappings of 2 MiB, made when they are first
 * asked for and kept until the guest's memory changes or too many are held. Used by the ioreq server, by
 * hypervisor_ops.map_ram and by whatever reads tables in guest memory.
 *
 * A pointer is good until control returns to the event loop (foreign_cache_trim runs there), until
 * foreign_cache_drop, or until as many others have been asked for as there may be mappings.
 */
#ifndef VHOST_DM_XEN_FOREIGN_CACHE_H
#define VHOST_DM_XEN_FOREIGN_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xenforeignmemory.h>

struct foreign_cache;

/* An empty cache that keeps at most max_chunks mappings (0 is as 1) between events, and twice as many during
 * one; or NULL without memory. fmem is borrowed. */
struct foreign_cache *foreign_cache_new(xenforeignmemory_handle *fmem, uint16_t domid, size_t max_chunks);
/* Unmaps and frees everything; NULL is allowed. */
void foreign_cache_free(struct foreign_cache *cache);

/*
 * A pointer to guest memory at gpa, which stays good at least for the next 2 * max_chunks - 1 calls of this
 * function and of foreign_cache_read and _write for each 2 MiB that they touch; *len in: bytes wanted, not 0;
 * out: bytes that can be used there. NULL: nothing is populated at gpa, or it cannot be mapped.
 */
void *foreign_cache_map(struct foreign_cache *cache, uint64_t gpa, size_t *len);

/* The populated memory around gpa, as far as one mapping has it: [*first, *end). False: there is none at gpa.
 */
bool foreign_cache_around(struct foreign_cache *cache, uint64_t gpa, uint64_t *first, uint64_t *end);

/* Unmaps everything at once: the guest's memory has changed. */
void foreign_cache_drop(struct foreign_cache *cache);

/* Whether foreign_cache_trim has something to do; and that: unmaps what has been replaced, and what was used
 * the longest ago beyond the limit. Only when nobody holds a pointer. */
bool foreign_cache_over_limit(const struct foreign_cache *cache);
void foreign_cache_trim(struct foreign_cache *cache);

/* Copies len bytes. 0, or -EFAULT when a part of the range is not memory (what comes before it was copied).
 */
int foreign_cache_read(struct foreign_cache *cache, uint64_t gpa, void *buf, size_t len);
int foreign_cache_write(struct foreign_cache *cache, uint64_t gpa, const void *buf, size_t len);

/* How many mappings there are, for messages and tests. */
size_t foreign_cache_count(const struct foreign_cache *cache);

#endif
