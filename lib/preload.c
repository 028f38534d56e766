// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * preload.c - libvhost-dm-shm-preload.so: stands between a program and the C library where memfds are made,
 * sized and mapped, so that they are shared memory of a guest without the program's knowing. An empty memfd
 * that gets its size becomes an allocation; everything else, and all where there is no vhost-dm, is left to
 * the C library.
 *
 * What cannot be the same: the size of such a memfd is final; it can be mapped, read and written, but not
 * given to system calls that take memory from a file by themselves (sendfile(2), readv(2), io_uring); and its
 * mappings can be unmapped, but not moved or protected, in pieces.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/shm_client.h"

/* What is known of fds, a bit for each; higher ones are looked at when they are mapped, and are not read or
 * written. */
#define MAX_FDS 65536
typedef uint8_t fd_marks[MAX_FDS / 8];
static fd_marks made;       /* may be a token: reads and writes have a look */
static fd_marks unsealable; /* the program asked for no seals to be possible */

static void fd_mark(fd_marks marks, int fd, bool set)
{
    if (fd < 0 || fd >= MAX_FDS)
        return;
    if (set)
        __atomic_fetch_or(&marks[fd / 8], (uint8_t)(1u << (fd % 8)), __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&marks[fd / 8], (uint8_t) ~(1u << (fd % 8)), __ATOMIC_RELAXED);
}

static bool fd_marked(const fd_marks marks, int fd)
{
    return fd >= 0 && fd < MAX_FDS && __atomic_load_n(&marks[fd / 8], __ATOMIC_RELAXED) >> (fd % 8) & 1;
}

static int result(int rc)
{
    if (rc >= 0)
        return rc;
    errno = -rc;
    return -1;
}

/* The C library's function of a name that is ours here. */
#define NEXT(name)                                        \
    static __typeof__(&name) next;                        \
    do {                                                  \
        if (next == NULL) {                               \
            void *symbol = dlsym(RTLD_NEXT, #name);       \
            next = *(__typeof__(&name) *)(void *)&symbol; \
        }                                                 \
    } while (0)

/* ---- making ---------------------------------------------------------------------------------------- */

int memfd_create(const char *name, unsigned flags)
{
    NEXT(memfd_create);
    int fd;

    /* Huge pages are the program's wish for another kind of memory. */
    if (!shm_client_enabled() || flags & MFD_HUGETLB)
        return next(name, flags);
    fd = shm_client_memfd(name, flags);
    fd_mark(made, fd, true);
    fd_mark(unsealable, fd, !(flags & MFD_ALLOW_SEALING));
    return result(fd);
}

/* An empty memfd gets its size: tries to make it an allocation. False: it is to be sized as ever. */
static bool size_as_allocation(int fd, off_t len)
{
    struct stat st;
    int saved = errno;
    bool done;

    if (!shm_client_enabled() || len <= 0 || len % (off_t)SHM_PAGE_SIZE != 0 || fstat(fd, &st) != 0 ||
        !S_ISREG(st.st_mode) || st.st_size != 0 || !shm_client_is_named(fd))
        return false;
    done = syscall(SYS_ftruncate, fd, len) == 0;
    if (done && shm_client_allocate(fd) == 0 && fd_marked(unsealable, fd))
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL); /* as the program made it */
    errno = saved;
    return done;
}

int ftruncate(int fd, off_t len)
{
    NEXT(ftruncate);
    return size_as_allocation(fd, len) ? 0 : next(fd, len);
}

static int punch(int fd, off_t offset, size_t len)
{
    ssize_t n = shm_client_copy(fd, offset, NULL, len, true);

    return result(n >= 0 || n == -EPERM ? 0 : (int)n); /* behind the end there is nothing to be punched */
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    NEXT(fallocate);

    if (mode == 0 && offset >= 0 && len > 0 && offset <= INT64_MAX - len &&
        size_as_allocation(fd, offset + len))
        return 0;
    if (!shm_client_enabled() || !shm_client_is_token(fd))
        return next(fd, mode, offset, len);
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return len < 0 ? result(-EINVAL) : punch(fd, offset, (size_t)len);
    if (mode & ~FALLOC_FL_KEEP_SIZE)
        return result(-EOPNOTSUPP);
    return 0; /* all of it is there */
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
    NEXT(posix_fallocate);

    if (offset >= 0 && len > 0 && offset <= INT64_MAX - len && size_as_allocation(fd, offset + len))
        return 0;
    return shm_client_enabled() && shm_client_is_token(fd) ? 0 : next(fd, offset, len);
}

/* ---- mapping --------------------------------------------------------------------------------------- */

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    void *map;
    int rc;

    if (!shm_client_enabled())
        return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
    if (flags & MAP_FIXED)
        switch (shm_client_overlap(addr, len)) {
        case SHM_OVERLAP_NONE:
            break;
        case SHM_OVERLAP_WHOLE:
            shm_client_unmap(addr, len);
            break;
        case SHM_OVERLAP_PART:
            errno = ENOMEM;
            return MAP_FAILED;
        }
    if (fd < 0 || flags & MAP_ANONYMOUS || !shm_client_is_token(fd))
        return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
    fd_mark(made, fd, true);
    rc = shm_client_map(fd, addr, len, prot, flags, offset, &map);
    if (rc == 0)
        return map;
    errno = -rc;
    return MAP_FAILED;
}

int munmap(void *addr, size_t len)
{
    if (!shm_client_enabled() || shm_client_overlap(addr, len) == SHM_OVERLAP_NONE)
        return (int)syscall(SYS_munmap, addr, len);
    return result(shm_client_unmap(addr, len));
}

void *mremap(void *addr, size_t old_len, size_t new_len, int flags, ...)
{
    void *target = NULL, *map;
    va_list args;
    int rc;

    if (flags & MREMAP_FIXED) {
        va_start(args, flags);
        target = va_arg(args, void *);
        va_end(args);
    }
    if (!shm_client_enabled() || shm_client_overlap(addr, old_len) == SHM_OVERLAP_NONE)
        return (void *)syscall(SYS_mremap, addr, old_len, new_len, flags, target);
    rc = shm_client_remap(addr, old_len, new_len, flags, &map);
    if (rc == 0)
        return map;
    errno = -rc;
    return MAP_FAILED;
}

int mprotect(void *addr, size_t len, int prot)
{
    if (!shm_client_enabled() || shm_client_overlap(addr, len) == SHM_OVERLAP_NONE)
        return (int)syscall(SYS_mprotect, addr, len, prot);
    return result(shm_client_protect(addr, len, prot));
}

/* ---- fds ------------------------------------------------------------------------------------------- */

int close(int fd)
{
    NEXT(close);
    bool token = shm_client_enabled() && fd >= 0 && shm_client_is_token(fd);
    int rc;

    /* A mark that stays costs a look and does nothing else. */
    if (shm_client_is_owner()) {
        fd_mark(made, fd, false);
        fd_mark(unsealable, fd, false);
    }
    rc = next(fd);
    if (token)
        shm_client_closed();
    return rc;
}

static void mark_copy(fd_marks marks, int from, int to)
{
    if (fd_marked(marks, from))
        fd_mark(marks, to, true);
    else if (fd_marked(marks, to) && shm_client_is_owner())
        fd_mark(marks, to, false);
}

/* A copy is what its original is. */
static int fd_copied(int from, int to)
{
    mark_copy(made, from, to);
    mark_copy(unsealable, from, to);
    return to;
}

int dup(int fd)
{
    NEXT(dup);

    return fd_copied(fd, next(fd));
}

int dup2(int fd, int to)
{
    NEXT(dup2);

    return fd_copied(fd, next(fd, to));
}

int dup3(int fd, int to, int flags)
{
    NEXT(dup3);

    return fd_copied(fd, next(fd, to, flags));
}

/* With F_DUPFD it is a dup, too: what Rust's and Python's standard libraries make copies with. */
int fcntl(int fd, int command, ...)
{
    NEXT(fcntl);
    va_list args;
    void *arg; /* or an int: all that it can be is passed on as one word */
    int rc;

    va_start(args, command);
    arg = va_arg(args, void *);
    va_end(args);
    rc = next(fd, command, arg);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? fd_copied(fd, rc) : rc;
}

int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

/* ---- reading and writing --------------------------------------------------------------------------- */

static bool is_token(int fd)
{
    return fd_marked(made, fd) && shm_client_is_token(fd);
}

static ssize_t copy_result(ssize_t n)
{
    if (n >= 0)
        return n;
    errno = (int)-n;
    return -1;
}

/* At the file's position, which moves. */
static ssize_t copy_here(int fd, void *buf, size_t len, bool to_file)
{
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t n = at < 0 ? -errno : shm_client_copy(fd, at, buf, len, to_file);

    if (n > 0)
        lseek(fd, n, SEEK_CUR);
    return copy_result(n);
}

ssize_t read(int fd, void *buf, size_t len)
{
    NEXT(read);

    return is_token(fd) ? copy_here(fd, buf, len, false) : next(fd, buf, len);
}

ssize_t write(int fd, const void *buf, size_t len)
{
    NEXT(write);

    return is_token(fd) ? copy_here(fd, (void *)(uintptr_t)buf, len, true) : next(fd, buf, len);
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
    NEXT(pread);

    return is_token(fd) ? copy_result(shm_client_copy(fd, offset, buf, len, false))
                        : next(fd, buf, len, offset);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    NEXT(pwrite);

    return is_token(fd) ? copy_result(shm_client_copy(fd, offset, (void *)(uintptr_t)buf, len, true))
                        : next(fd, buf, len, offset);
}

/* What programs that were compiled with _FORTIFY_SOURCE call. */
ssize_t __read_chk(int fd, void *buf, size_t len, size_t buf_len);
ssize_t __pread_chk(int fd, void *buf, size_t len, off_t offset, size_t buf_len);

ssize_t __read_chk(int fd, void *buf, size_t len, size_t buf_len)
{
    NEXT(__read_chk);

    return is_token(fd) && len <= buf_len ? copy_here(fd, buf, len, false) : next(fd, buf, len, buf_len);
}

ssize_t __pread_chk(int fd, void *buf, size_t len, off_t offset, size_t buf_len)
{
    NEXT(__pread_chk);

    return is_token(fd) && len <= buf_len ? copy_result(shm_client_copy(fd, offset, buf, len, false))
                                          : next(fd, buf, len, offset, buf_len);
}

ssize_t pread64(int fd, void *buf, size_t len, off64_t offset) __attribute__((alias("pread")));
ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t offset) __attribute__((alias("pwrite")));
ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t offset, size_t buf_len)
    __attribute__((alias("__pread_chk")));
int ftruncate64(int fd, off64_t len) __attribute__((alias("ftruncate")));
int fallocate64(int fd, int mode, off64_t offset, off64_t len) __attribute__((alias("fallocate")));
int posix_fallocate64(int fd, off64_t offset, off64_t len) __attribute__((alias("posix_fallocate")));
void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
    __attribute__((alias("mmap")));
