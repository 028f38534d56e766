/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shmem_file.h - the files behind a device's shared memory regions, and accesses to them that cannot kill us.
 * A file is opened and mapped once, however many mappings of it the guest has: the kernel allows far fewer
 * VMAs and fds than a back-end may make mappings. Used by shmem.c and the placements.
 *
 * A back-end may shorten a file at any time; touching what is gone raises SIGBUS, which shmem_file_copy turns
 * into an error.
 */
#ifndef VHOST_DM_SHMEM_FILE_H
#define VHOST_DM_SHMEM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/util.h"

struct shm_allocation;
struct shm_pool;

struct shmem_file {
    struct list_link link;      /* in a bucket of the set */
    struct shmem_file_set *set; /* borrowed */
    dev_t dev;
    ino_t ino;
    uint64_t refs; /* live mappings */
    int fd;        /* owned; O_RDWR once a writable mapping asked for it */
    bool writable;
    bool shared;         /* found by dev and ino; a device file is not: each mapping has its own */
    uint64_t unit;       /* bytes: each mapping of it begins and ends at a multiple; 0: of a device file */
    uint64_t map_offset; /* what of the file is mapped: all of it, or the range of a device file */
    uint64_t map_len;    /* bytes */
    uint8_t *map;        /* owned, unless there is an allocation */
    /* The file is the token of shared pages: they are its content, and map is theirs. NULL: it is not. */
    struct shm_allocation *allocation;
};

struct shmem_file_set {
    struct list_link *buckets; /* owned; NULL while empty */
    struct hypervisor *hv;     /* borrowed */
    struct shm_pool *pool;     /* borrowed: where tokens are looked for; NULL: nowhere */
    uint64_t mapped_len;       /* bytes of this process's address space that its files take */
};

/* The most of that, which is 2^47: a file takes what it is long, whatever little of it is asked for. */
#define SHMEM_FILES_MAX_LEN ((uint64_t)1 << 41)

/*
 * A reference to the file behind fd, which is borrowed: it is found, or duplicated and mapped so that
 * [offset, offset + len) can be used. 0 and *out; or a negative errno and *why (static): -EACCES: fd was not
 * opened for this, or is the token of shared pages that are not (or no more) this guest's; -ENXIO: the file
 * is too short; -ENODEV: it cannot be mapped; -EMFILE, -ENOMEM.
 */
int shmem_file_get(struct shmem_file_set *set, int fd, uint64_t offset, uint64_t len, bool writable,
                   struct shmem_file **out, const char **why);
void shmem_file_put(struct shmem_file *file);
/* Frees the set itself; all references have been given back. */
void shmem_file_set_fini(struct shmem_file_set *set);

/*
 * Copies between buf and the file at offset, which lies in a range that was asked for. A len of 1, 2, 4 or 8
 * at an offset that is a multiple of it is one access. False: a part is not there any more (a read fills it
 * with ones).
 */
bool shmem_file_copy(const struct shmem_file *file, uint64_t offset, void *buf, size_t len, bool to_file);

#endif
