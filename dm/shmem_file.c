// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmem_file.c - see shmem_file.h.
 */
#include "dm/shmem_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/fd_keep.h"
#include "dm/shm_pool.h"

#define NR_BUCKETS 1024u /* a power of two; distinct files are limited by RLIMIT_NOFILE, 1024 by habit */

/* ---- accesses that may fault -------------------------------------------------------------------------- */

static __thread sigjmp_buf *fault_exit;
static pthread_once_t fault_once = PTHREAD_ONCE_INIT;

static void on_sigbus(int signum)
{
    if (fault_exit != NULL)
        siglongjmp(*fault_exit, 1);
    /* Not ours: the instruction is repeated, and does what it would have done without us. */
    signal(signum, SIG_DFL);
}

static void fault_init(void)
{
    /* SA_NODEFER: the jump out of the handler leaves the signal mask as it was. */
    struct sigaction action = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER};

    sigaction(SIGBUS, &action, NULL);
}

/* What the guest does with one instruction must not come apart. */
static void access_once(void *mem, void *buf, size_t len, bool to_file)
{
    switch (len) {
#define UNIT(type)                                                             \
    case sizeof(type):                                                         \
        if (to_file) {                                                         \
            type value;                                                        \
            memcpy(&value, buf, sizeof(value));                                \
            __atomic_store_n((type *)mem, value, __ATOMIC_RELAXED);            \
        } else {                                                               \
            type value = __atomic_load_n((const type *)mem, __ATOMIC_RELAXED); \
            memcpy(buf, &value, sizeof(value));                                \
        }                                                                      \
        return;
        UNIT(uint8_t)
        UNIT(uint16_t)
        UNIT(uint32_t)
        UNIT(uint64_t)
#undef UNIT
    default:
        if (to_file)
            memcpy(mem, buf, len);
        else
            memcpy(buf, mem, len);
    }
}

static bool access_guarded(void *mem, void *buf, size_t len, bool to_file)
{
    sigjmp_buf here;

    if (sigsetjmp(here, 0) != 0) {
        fault_exit = NULL;
        return false;
    }
    fault_exit = &here;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    access_once(mem, buf, len, to_file);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    fault_exit = NULL;
    return true;
}

bool shmem_file_copy(const struct shmem_file *file, uint64_t offset, void *buf, size_t len, bool to_file)
{
    bool ok = true;

    /* Page by page: what is there is copied, whatever is missing beside it. */
    for (size_t done = 0; done < len;) {
        uint64_t at = offset + done;
        size_t part = MIN(len - done, GUEST_PAGE_SIZE - at % GUEST_PAGE_SIZE);
        bool natural = (len == 1 || len == 2 || len == 4 || len == 8) && at % len == 0;
        uint8_t *mem = file->map + (at - file->map_offset);

        /* An odd piece of an unaligned access has no claim to be one access. */
        for (size_t i = 0, step = natural || part > 8 ? part : 1; i < part; i += step) {
            uint8_t *piece = (uint8_t *)buf + done + i;

            if (access_guarded(mem + i, piece, step, to_file))
                continue;
            ok = false;
            if (!to_file)
                memset(piece, 0xff, step);
        }
        done += part;
    }
    return ok;
}

/* ---- the set of files ------------------------------------------------------------------------------ */

static struct list_link *bucket_of(struct shmem_file_set *set, dev_t dev, ino_t ino)
{
    uint64_t hash = ((uint64_t)ino ^ (uint64_t)dev << 32) * 0x9e3779b97f4a7c15ull; /* 2^64 / golden ratio */

    return &set->buckets[hash >> 32 & (NR_BUCKETS - 1)];
}

static int buckets_make(struct shmem_file_set *set)
{
    if (set->buckets != NULL)
        return 0;
    set->buckets = malloc(NR_BUCKETS * sizeof(*set->buckets));
    if (set->buckets == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < NR_BUCKETS; i++)
        list_init(&set->buckets[i]);
    return 0;
}

static struct shmem_file *file_find(struct shmem_file_set *set, const struct stat *st,
                                    const struct shm_allocation *allocation)
{
    struct shmem_file *file;

    list_for_each (file, bucket_of(set, st->st_dev, st->st_ino), link)
        if (file->shared && file->dev == st->st_dev && file->ino == st->st_ino &&
            file->allocation == allocation)
            return file;
    return NULL;
}

static void file_unmap(struct shmem_file *file)
{
    if (file->map != NULL && file->allocation == NULL) {
        munmap(file->map, file->map_len);
        file->set->mapped_len -= file->map_len;
    }
    file->map = NULL;
}

/* A device-dax is mapped in whole units of its own only: pages of x86, of the size that it was made with. */
static void *device_mmap(int fd, int prot, uint64_t *offset, uint64_t *len)
{
    static const uint64_t units[] = {GUEST_PAGE_SIZE, UINT64_C(2) << 20, UINT64_C(1) << 30};
    void *map = MAP_FAILED;

    errno = EINVAL;
    for (size_t i = 0; i < ARRAY_SIZE(units) && map == MAP_FAILED && errno == EINVAL; i++) {
        uint64_t first = align_down(*offset, units[i]), end = align_up(*offset + *len, units[i]);

        map = mmap(NULL, end - first, prot, MAP_SHARED, fd, (off_t)first);
        if (map != MAP_FAILED) {
            *offset = first;
            *len = end - first;
        }
    }
    return map;
}

/* Maps [offset, offset + len) of fd anew; the old mapping stays when that fails. */
static int file_map(struct shmem_file *file, int fd, bool writable, uint64_t offset, uint64_t len)
{
    int prot = PROT_READ | (writable ? PROT_WRITE : 0);
    uint64_t others = file->set->mapped_len - (file->map != NULL ? file->map_len : 0);
    void *map;

    if (!range_within(others, len, SHMEM_FILES_MAX_LEN))
        return -EFBIG;
    map = file->shared ? mmap(NULL, len, prot, MAP_SHARED, fd, (off_t)offset)
                       : device_mmap(fd, prot, &offset, &len);
    /* Older kernels give no shared mapping of a memfd that is sealed against writes, not even to read it; but
     * then a private one shows the same for ever. */
    if (map == MAP_FAILED && errno == EPERM && !writable)
        map = mmap(NULL, len, prot, MAP_PRIVATE, fd, (off_t)offset);
    if (map == MAP_FAILED)
        return errno == ENOMEM ? -ENOMEM : errno == EPERM || errno == EACCES ? -EACCES : -ENODEV;
    file_unmap(file);
    file->map = map;
    file->map_offset = offset;
    file->map_len = len;
    file->set->mapped_len += len;
    return 0;
}

/* What a mapping of the file is made of: its pages may be huge. */
static uint64_t file_unit(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize : GUEST_PAGE_SIZE;
}

/* The range to map so that [offset, offset + len) can be used: of an ordinary file, all of it, once. */
static int range_to_map(int fd, const struct stat *st, uint64_t *offset, uint64_t *len, const char **why)
{
    if (S_ISCHR(st->st_mode))
        return 0;
    if (!S_ISREG(st->st_mode)) {
        *why = "fd: neither a file nor a device";
        return -ENODEV;
    }
    if (!range_within(*offset, *len, (uint64_t)st->st_size)) {
        *why = "len: the file ends before fd_offset + len";
        return -ENXIO;
    }
    *offset = 0;
    *len = align_up((uint64_t)st->st_size, file_unit(fd));
    return 0;
}

static const char *map_error(int err)
{
    switch (err) {
    case -EACCES:
        return "fd: it does not allow the mapping that is asked for";
    case -EMFILE:
        return "fd: this process keeps no more files open";
    case -EFBIG:
        return "fd: with all of this file the device's files would be larger than 2 TiB";
    case -ENOMEM:
        return "no memory, or too many mappings of distinct files";
    default:
        return "fd: it cannot be mapped";
    }
}

static struct shmem_file *file_make(struct shmem_file_set *set, int fd, const struct stat *st,
                                    struct shm_allocation *allocation, int *err)
{
    struct shmem_file *file = calloc(1, sizeof(*file));

    if (file == NULL) {
        *err = -ENOMEM;
        return NULL;
    }
    file->fd = fd_keep(fd);
    if (file->fd < 0) {
        *err = -EMFILE;
        free(file);
        return NULL;
    }
    file->set = set;
    file->dev = st->st_dev;
    file->ino = st->st_ino;
    file->shared = S_ISREG(st->st_mode);
    file->unit = file->shared ? file_unit(fd) : 0;
    file->allocation = allocation;
    if (allocation != NULL)
        shm_allocation_get(allocation);
    list_append(bucket_of(set, st->st_dev, st->st_ino), &file->link);
    return file;
}

static void file_free(struct shmem_file *file)
{
    list_remove(&file->link);
    file_unmap(file);
    if (file->allocation != NULL)
        shm_allocation_put(file->allocation);
    close(file->fd);
    free(file);
}

/* The same for shared pages, which are mapped as a whole. */
static int allocation_cover(struct shmem_file *file, bool writable)
{
    file->map = shm_allocation_map(file->allocation);
    file->map_len = shm_allocation_nr_pages(file->allocation) << GUEST_PAGE_SHIFT;
    file->writable |= writable;
    return file->map != NULL ? 0 : -ENOMEM;
}

/* Makes sure that the range is mapped, as widely as the file is now, with the access that is wanted. */
static int file_cover(struct shmem_file *file, int fd, bool writable, uint64_t offset, uint64_t len)
{
    bool grow = file->map == NULL || len > file->map_len;
    int rc, dup_fd = -1;

    if (file->allocation != NULL)
        return allocation_cover(file, writable);
    if (!grow && (file->writable || !writable))
        return 0;
    if (writable && !file->writable) {
        dup_fd = fd_keep(fd);
        if (dup_fd < 0)
            return dup_fd;
    }
    rc = file_map(file, dup_fd >= 0 ? dup_fd : file->fd, writable || file->writable, offset,
                  MAX(len, file->map_len));
    if (dup_fd >= 0) {
        close(rc == 0 ? file->fd : dup_fd);
        if (rc == 0) {
            file->fd = dup_fd;
            file->writable = true;
        }
    }
    return rc;
}

int shmem_file_get(struct shmem_file_set *set, int fd, uint64_t offset, uint64_t len, bool writable,
                   struct shmem_file **out, const char **why)
{
    int mode = fcntl(fd, F_GETFL), rc;
    struct shm_allocation *allocation;
    struct shmem_file *file;
    struct stat st;

    *why = "fd: it cannot be used";
    if (mode < 0 || fstat(fd, &st) != 0)
        return -errno;
    mode &= O_ACCMODE | O_PATH;
    if (mode & O_PATH || mode == O_WRONLY || (writable && mode != O_RDWR)) {
        *why = map_error(-EACCES);
        return -EACCES;
    }
    rc = range_to_map(fd, &st, &offset, &len, why);
    if (rc != 0)
        return rc;
    allocation = set->pool != NULL ? shm_pool_find(set->pool, fd, &st) : NULL;
    if (allocation == NULL && shm_token(set->hv, fd)) {
        *why = "fd: shared pages of another guest, or of none any more";
        return -EACCES;
    }
    pthread_once(&fault_once, fault_init);
    rc = buckets_make(set);
    file = rc == 0 && S_ISREG(st.st_mode) ? file_find(set, &st, allocation) : NULL;
    if (rc == 0 && file == NULL)
        file = file_make(set, fd, &st, allocation, &rc);
    if (rc == 0)
        rc = file_cover(file, fd, writable, offset, len);
    if (rc != 0) {
        *why = map_error(rc);
        if (file != NULL && file->refs == 0)
            file_free(file);
        return rc;
    }
    file->refs++;
    *out = file;
    return 0;
}

void shmem_file_put(struct shmem_file *file)
{
    if (--file->refs == 0)
        file_free(file);
}

void shmem_file_set_fini(struct shmem_file_set *set)
{
    free(set->buckets);
    set->buckets = NULL;
}
