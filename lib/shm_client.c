// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shm_client.c - see shm_client.h. The memory is mapped through /dev/xen/privcmd, by way of an fd that
 * vhost-dm gives us and that can map this guest's shared pages and nothing else, or (a vhost-dm without Xen)
 * from a file. Two properties of privcmd mappings shape this file:
 *
 *  - the kernel lets no child of a fork have them: handlers of pthread_atfork map them again in the child,
 *    and keep the parent from going on (and perhaps ending) before the child uses what it needs;
 *  - the kernel must not be made to split one: a piece that is unmapped stays mapped until the rest is
 *    unmapped, too.
 *
 * System calls are made directly: in the preloaded form their C library names are our own.
 */
#include "lib/shm_client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "config.h"
#ifdef WITH_XEN
#include <xen/xen.h>
#include <xen/sys/privcmd.h>
#endif

#include "lib/shm_protocol.h"

/* vhost-dm answers at once, but for zeroing what it allocates: a minute is for a machine in trouble. */
#define REPLY_SECONDS 60

#define TOKEN_SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK)

struct allocation {
    struct allocation *next;
    dev_t dev;
    ino_t ino;
    int token; /* owned: so that nobody else gets this inode, and for a child */
    uint64_t id, page, nr_pages;
    unsigned nr_mappings;
    char *view; /* owned: all of it, for shm_client_copy; NULL: not yet */
};

struct mapping {
    struct mapping *next;
    char *addr;
    size_t len;        /* bytes, whole pages */
    size_t shared_len; /* what of it the allocation has; behind is nothing */
    struct allocation *a;
    uint64_t first; /* page of the allocation */
    int prot;
    bool private;           /* asked for with MAP_PRIVATE, and not written to so far */
    size_t unmapped;        /* pages */
    uint8_t *unmapped_bits; /* owned; NULL: none */
};

/* A file that we hold, and what it was: a program may close fds that it does not know. */
struct held_fd {
    int fd; /* -1: none */
    dev_t dev;
    ino_t ino;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static struct allocation *allocations;
static struct mapping *mappings;
static struct held_fd sock = {.fd = -1}, mem = {.fd = -1};
static struct shm_reply how; /* of SHM_ATTACH: how mem is mapped */
static int fork_pipe[2] = {-1, -1};

/* The program's malloc, which is called under the lock, may map and unmap by our own functions. */
static __thread bool inside __attribute__((tls_model("initial-exec")));

static void lock_take(void)
{
    pthread_mutex_lock(&lock);
    inside = true;
}

static void lock_drop(void)
{
    inside = false;
    pthread_mutex_unlock(&lock);
}

static void *sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

static int sys_munmap(void *addr, size_t len)
{
    return (int)syscall(SYS_munmap, addr, len);
}

static void sys_close(int fd)
{
    syscall(SYS_close, fd);
}

/* Bytes of whole pages, as the kernel takes lengths. */
static size_t pages_len(size_t len)
{
    return (len + SHM_PAGE_SIZE - 1) / SHM_PAGE_SIZE * SHM_PAGE_SIZE;
}

/* ---- fds of ours ----------------------------------------------------------------------------------- */

static void held_set(struct held_fd *held, int fd)
{
    struct stat st;

    held->fd = fstat(fd, &st) == 0 ? fd : -1;
    held->dev = st.st_dev;
    held->ino = st.st_ino;
}

static bool held_good(const struct held_fd *held)
{
    struct stat st;

    return held->fd >= 0 && fstat(held->fd, &st) == 0 && st.st_dev == held->dev && st.st_ino == held->ino;
}

static void held_close(struct held_fd *held)
{
    if (held_good(held))
        sys_close(held->fd);
    held->fd = -1;
}

/* ---- the connection -------------------------------------------------------------------------------- */

/* What the environment said when the program began. */
static struct sockaddr_un server = {.sun_family = AF_UNIX};
static pid_t owner; /* whose the data here is: the child of a vfork runs in our memory */

__attribute__((constructor)) static void client_init(void)
{
    const char *path = secure_getenv("VHOST_DM_SHM");

    if (path != NULL && strlen(path) < sizeof(server.sun_path))
        memcpy(server.sun_path, path, strlen(path) + 1);
    owner = getpid();
}

bool shm_client_enabled(void)
{
    return server.sun_path[0] != '\0' && !inside;
}

static int exchange(const struct shm_request *q, int fd, struct shm_reply *reply, int *reply_fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec iov = {(void *)(uintptr_t)q, sizeof(*q)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *cmsg;
    ssize_t n;

    if (fd >= 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
    }
    do
        n = sendmsg(sock.fd, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -ENOTCONN;
    iov = (struct iovec){reply, sizeof(*reply)};
    msg = (struct msghdr){
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    do
        n = recvmsg(sock.fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n != sizeof(*reply))
        return -ENOTCONN;
    cmsg = CMSG_FIRSTHDR(&msg);
    if (cmsg != NULL && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
        memcpy(reply_fd, CMSG_DATA(cmsg), sizeof(*reply_fd));
    return reply->error;
}

/* Connects, and learns how to map. */
static int client_connect(void)
{
    struct shm_request attach = {.version = SHM_PROTOCOL_VERSION, .op = SHM_ATTACH};
    struct timeval limit = {.tv_sec = REPLY_SECONDS};
    int fd, mem_fd = -1, rc;

    held_close(&sock);
    held_close(&mem);
    if (server.sun_path[0] == '\0')
        return -ENOTCONN;
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -ENOTCONN;
    if (connect(fd, (const struct sockaddr *)&server, sizeof(server)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0) {
        sys_close(fd);
        return -ENOTCONN;
    }
    held_set(&sock, fd);
    rc = exchange(&attach, -1, &how, &mem_fd);
    if (rc == 0 && mem_fd < 0)
        rc = -EPROTO;
    if (rc == 0)
        held_set(&mem, mem_fd);
    else
        held_close(&sock);
    return rc;
}

/* One request, over a new connection if the old one is lost: vhost-dm may have been started again. */
static int request(enum shm_op op, uint64_t id, int fd, struct shm_reply *reply)
{
    struct shm_request q = {.version = SHM_PROTOCOL_VERSION, .op = op, .id = id};
    int rc = -ENOTCONN, reply_fd = -1;

    if (held_good(&sock) && held_good(&mem))
        rc = exchange(&q, fd, reply, &reply_fd);
    if (rc == -ENOTCONN) {
        rc = client_connect();
        if (rc == 0)
            rc = exchange(&q, fd, reply, &reply_fd);
    }
    if (reply_fd >= 0)
        sys_close(reply_fd);
    return rc;
}

/* ---- allocations ----------------------------------------------------------------------------------- */

bool shm_client_is_token(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & TOKEN_SEALS) == TOKEN_SEALS && shm_client_is_named(fd);
}

bool shm_client_is_named(int fd)
{
    static const char prefix[] = "/memfd:" SHM_TOKEN_PREFIX;
    char path[64], name[sizeof(prefix)];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink(path, name, sizeof(name));
    return n >= (ssize_t)sizeof(prefix) - 1 && memcmp(name, prefix, sizeof(prefix) - 1) == 0;
}

static struct allocation *allocation_find(const struct stat *st)
{
    struct allocation *a = allocations;

    while (a != NULL && (a->dev != st->st_dev || a->ino != st->st_ino))
        a = a->next;
    return a;
}

/* By SHM_ALLOCATE or SHM_OPEN. */
static int allocation_new(enum shm_op op, int fd, struct allocation **out)
{
    struct allocation *a = calloc(1, sizeof(*a));
    struct shm_reply reply;
    struct stat st;
    int rc = -ENOMEM;

    if (a == NULL)
        return rc;
    a->token = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    rc = a->token < 0 || fstat(fd, &st) != 0 ? -errno : request(op, 0, fd, &reply);
    if (rc != 0) {
        if (a->token >= 0)
            sys_close(a->token);
        free(a);
        return rc;
    }
    a->dev = st.st_dev;
    a->ino = st.st_ino;
    a->id = reply.id;
    a->page = reply.page;
    a->nr_pages = reply.nr_pages;
    a->next = allocations;
    allocations = a;
    *out = a;
    return 0;
}

/* Whether the program has an fd of it (besides our own). Where that cannot be seen, it has. */
static bool allocation_has_fd(const struct allocation *a)
{
    DIR *dir = opendir("/proc/self/fd");
    bool has = dir == NULL;
    const struct dirent *entry;
    struct stat st;

    while (!has && (entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name);

        has = entry->d_name[0] != '.' && fd != a->token && fstat(fd, &st) == 0 && st.st_dev == a->dev &&
              st.st_ino == a->ino;
    }
    if (dir != NULL)
        closedir(dir);
    return has;
}

/* Gives back what nobody here can reach any more. */
static void allocations_sweep(void)
{
    struct shm_reply reply;

    for (struct allocation **at = &allocations; *at != NULL;) {
        struct allocation *a = *at;
        struct held_fd token = {a->token, a->dev, a->ino};

        if (a->nr_mappings > 0 || allocation_has_fd(a)) {
            at = &a->next;
            continue;
        }
        *at = a->next;
        if (a->view != NULL)
            sys_munmap(a->view, a->nr_pages * SHM_PAGE_SIZE);
        held_close(&token);
        request(SHM_CLOSE, a->id, -1, &reply);
        free(a);
    }
}

bool shm_client_is_owner(void)
{
    return getpid() == owner;
}

void shm_client_closed(void)
{
    int saved = errno;

    if (!shm_client_is_owner())
        return;
    lock_take();
    allocations_sweep();
    lock_drop();
    errno = saved;
}

/* ---- mapping --------------------------------------------------------------------------------------- */

#ifdef WITH_XEN
static int map_domain(char *addr, uint64_t gfn, size_t nr_pages)
{
    size_t gfns_len = nr_pages * sizeof(xen_pfn_t), len = gfns_len + nr_pages * sizeof(int);
    char *mem_of_arrays = sys_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    xen_pfn_t *gfns = (xen_pfn_t *)(void *)mem_of_arrays;
    int *errors = (int *)(void *)(mem_of_arrays + gfns_len), rc = 0;
    privcmd_mmapbatch_v2_t batch = {.num = (unsigned)nr_pages,
                                    .dom = (domid_t)how.domid,
                                    .addr = (uint64_t)(uintptr_t)addr,
                                    .arr = gfns,
                                    .err = errors};

    if (mem_of_arrays == MAP_FAILED)
        return -ENOMEM;
    for (size_t i = 0; i < nr_pages; i++)
        gfns[i] = gfn + i;
    if (ioctl(mem.fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch) != 0)
        rc = -errno;
    for (size_t i = 0; i < nr_pages && rc == 0; i++)
        rc = errors[i];
    sys_munmap(mem_of_arrays, len);
    return rc;
}
#else
static int map_domain(char *addr, uint64_t gfn, size_t nr_pages)
{
    (void)addr;
    (void)gfn;
    (void)nr_pages;
    return -ENOTSUP;
}
#endif

/* Maps pages of the pool at addr, by the MAP_FIXED flags, or anywhere. */
static int pages_map(char **addr, uint64_t page, size_t len, int prot, int fixed)
{
    bool by_domain = how.access == SHM_ACCESS_DOMAIN;
    char *at =
        sys_mmap(*addr, len, prot, MAP_SHARED | fixed, mem.fd, by_domain ? 0 : (off_t)(page * SHM_PAGE_SIZE));
    int rc;

    if (at == MAP_FAILED)
        return -errno;
    rc = by_domain ? map_domain(at, how.first_gfn + page, len / SHM_PAGE_SIZE) : 0;
    if (rc != 0)
        sys_munmap(at, len);
    else
        *addr = at;
    return rc;
}

/* A mapping that is longer than the allocation ends in pages that cannot be touched. */
static int mapping_place(struct mapping *m, int fixed)
{
    char *at = m->addr;
    int rc;

    if (m->shared_len < m->len) {
        at = sys_mmap(at, m->len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
        if (at == MAP_FAILED)
            return -errno;
        fixed = MAP_FIXED;
    }
    rc = pages_map(&at, m->a->page + m->first, m->shared_len, m->prot, fixed);
    if (rc != 0 && m->shared_len < m->len)
        sys_munmap(at, m->len);
    m->addr = at;
    return rc;
}

static int mapping_new(struct allocation *a, void *addr, size_t len, int prot, int fixed, off_t offset,
                       struct mapping **out)
{
    uint64_t first = (uint64_t)offset / SHM_PAGE_SIZE;
    struct mapping *m;
    int rc;

    if (first >= a->nr_pages)
        return -ENXIO;
    m = calloc(1, sizeof(*m));
    if (m == NULL)
        return -ENOMEM;
    m->addr = addr;
    m->len = len;
    m->shared_len = len / SHM_PAGE_SIZE < a->nr_pages - first ? len : (a->nr_pages - first) * SHM_PAGE_SIZE;
    m->a = a;
    m->first = first;
    m->prot = prot;
    rc = mapping_place(m, fixed);
    if (rc != 0) {
        free(m);
        return rc;
    }
    a->nr_mappings++;
    m->next = mappings;
    mappings = m;
    *out = m;
    return 0;
}

static void mapping_forget(struct mapping *m)
{
    struct mapping **at = &mappings;

    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    m->a->nr_mappings--;
    free(m->unmapped_bits);
    free(m);
}

/* What privcmd cannot do, a private mapping that is written: memory of our own with the content of now. */
static int map_private_copy(struct allocation *a, void *addr, size_t len, int prot, int fixed, off_t offset,
                            void **out)
{
    struct mapping *m;
    char *copy;
    int rc = mapping_new(a, NULL, len, PROT_READ, 0, offset, &m);

    if (rc != 0)
        return rc;
    copy = sys_mmap(addr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
    rc = copy == MAP_FAILED ? -errno : 0;
    if (rc == 0) {
        memcpy(copy, m->addr, m->shared_len);
        if (prot != (PROT_READ | PROT_WRITE))
            syscall(SYS_mprotect, copy, len, prot);
        *out = copy;
    }
    sys_munmap(m->addr, m->len);
    mapping_forget(m);
    return rc;
}

static void fork_prepare(void);
static void fork_parent(void);
static void fork_child(void);

/* At the first use, which may be in a child of who began the program. */
static void fork_init(void)
{
    owner = getpid();
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}

int shm_client_memfd(const char *name, unsigned flags)
{
    char full[250]; /* memfd_create(2): 249 bytes */
    int fd;

    snprintf(full, sizeof(full), "%s%s%s", SHM_TOKEN_PREFIX, name[0] != '\0' ? ":" : "", name);
    fd = (int)syscall(SYS_memfd_create, full, flags | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

int shm_client_allocate(int fd)
{
    struct allocation *a;
    int rc;

    pthread_once(&fork_once, fork_init);
    lock_take();
    rc = allocation_new(SHM_ALLOCATE, fd, &a);
    lock_drop();
    return rc;
}

static int client_map(int fd, void *addr, size_t len, int prot, int flags, off_t offset, void **out)
{
    int fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE), rc = 0;
    struct allocation *a;
    struct mapping *m;
    struct stat st;

    if (fstat(fd, &st) != 0)
        return -errno;
    a = allocation_find(&st);
    if (a == NULL)
        rc = allocation_new(SHM_OPEN, fd, &a);
    if (rc == 0 && !held_good(&mem))
        rc = client_connect();
    if (rc != 0)
        return rc;
    if ((flags & MAP_TYPE) == MAP_PRIVATE && prot & PROT_WRITE)
        return map_private_copy(a, addr, len, prot, fixed, offset, out);
    rc = mapping_new(a, addr, len, prot, fixed, offset, &m);
    if (rc == 0) {
        m->private = (flags & MAP_TYPE) == MAP_PRIVATE;
        *out = m->addr;
    }
    return rc;
}

int shm_client_map(int fd, void *addr, size_t len, int prot, int flags, off_t offset, void **out)
{
    int rc, mode = fcntl(fd, F_GETFL);

    if (mode < 0)
        return -EBADF;
    if (len == 0 || offset < 0 || offset % (off_t)SHM_PAGE_SIZE != 0 || len > SIZE_MAX - SHM_PAGE_SIZE)
        return -EINVAL;
    if ((mode & O_ACCMODE) == O_WRONLY ||
        ((mode & O_ACCMODE) == O_RDONLY && prot & PROT_WRITE && (flags & MAP_TYPE) != MAP_PRIVATE))
        return -EACCES;
    len = pages_len(len);
    pthread_once(&fork_once, fork_init);
    lock_take();
    rc = client_map(fd, addr, len, prot, flags, offset, out);
    lock_drop();
    return rc;
}

/* ---- unmapping ------------------------------------------------------------------------------------- */

/* The part of m that lies in [addr, addr + len): its first byte in m, and its bytes; 0: none. */
static size_t overlap_of(const struct mapping *m, const char *addr, size_t len, size_t *first)
{
    uintptr_t from = (uintptr_t)addr, to = from + len, start = (uintptr_t)m->addr, end = start + m->len;
    uintptr_t low = from > start ? from : start, high = to < end ? to : end;

    *first = low - start;
    return low < high ? high - low : 0;
}

enum shm_overlap shm_client_overlap(const void *addr, size_t len)
{
    enum shm_overlap found = SHM_OVERLAP_NONE;
    size_t first, n;

    len = pages_len(len);
    lock_take();
    for (const struct mapping *m = mappings; m != NULL; m = m->next) {
        n = overlap_of(m, addr, len, &first);
        if (n > 0 && n < m->len)
            found = SHM_OVERLAP_PART;
        else if (n > 0 && found == SHM_OVERLAP_NONE)
            found = SHM_OVERLAP_WHOLE;
    }
    lock_drop();
    return found;
}

/* Notes pages as unmapped; true: that was the last of them. */
static bool mapping_unmap_part(struct mapping *m, size_t first, size_t len)
{
    size_t nr_pages = m->len / SHM_PAGE_SIZE;

    if (len == m->len)
        return true;
    if (m->unmapped_bits == NULL)
        m->unmapped_bits = calloc(1, (nr_pages + 7) / 8);
    if (m->unmapped_bits == NULL)
        return false; /* it stays until the process ends */
    for (size_t i = first / SHM_PAGE_SIZE; i < (first + len) / SHM_PAGE_SIZE; i++)
        if (!(m->unmapped_bits[i / 8] >> (i % 8) & 1)) {
            m->unmapped_bits[i / 8] |= (uint8_t)(1u << (i % 8));
            m->unmapped++;
        }
    return m->unmapped == nr_pages;
}

/* What lies between the mappings of ours is unmapped as ever. */
static int unmap_others(char *addr, size_t len)
{
    while (len > 0) {
        size_t part = len, skip = 0, first;

        for (const struct mapping *m = mappings; m != NULL; m = m->next) {
            size_t n = overlap_of(m, addr, len, &first);
            char *start = m->addr + first;

            if (n > 0 && start == addr) {
                part = 0;
                skip = n;
            } else if (n > 0 && (size_t)(start - addr) < part) {
                part = (size_t)(start - addr);
            }
        }
        if (skip == 0 && sys_munmap(addr, part) != 0)
            return -errno;
        addr += skip > 0 ? skip : part;
        len -= skip > 0 ? skip : part;
    }
    return 0;
}

int shm_client_unmap(void *addr, size_t len)
{
    struct mapping *m, *next;
    size_t first, n;
    int rc;

    if ((uintptr_t)addr % SHM_PAGE_SIZE != 0 || len == 0 || len > SIZE_MAX - SHM_PAGE_SIZE)
        return -EINVAL;
    len = pages_len(len);
    lock_take();
    rc = unmap_others(addr, len);
    for (m = mappings; m != NULL; m = next) {
        next = m->next;
        n = overlap_of(m, addr, len, &first);
        if (n == 0 || !mapping_unmap_part(m, first, n))
            continue;
        sys_munmap(m->addr, m->len);
        mapping_forget(m);
    }
    allocations_sweep();
    lock_drop();
    return rc;
}

int shm_client_remap(void *addr, size_t old_len, size_t new_len, int flags, void **out)
{
    struct mapping *m, *moved;
    int rc = -EFAULT;

    old_len = pages_len(old_len);
    new_len = pages_len(new_len);
    lock_take();
    for (m = mappings; m != NULL && (m->addr != addr || m->len != old_len); m = m->next)
        continue;
    if (m != NULL && new_len == old_len && !(flags & MREMAP_FIXED)) {
        *out = addr;
        rc = 0;
    } else if (m != NULL) {
        rc = -ENOMEM; /* in place it cannot grow */
        if (flags == MREMAP_MAYMOVE && new_len > 0)
            rc = mapping_new(m->a, NULL, new_len, m->prot, 0, (off_t)(m->first * SHM_PAGE_SIZE), &moved);
        if (rc == 0) {
            moved->private = m->private;
            *out = moved->addr;
            sys_munmap(m->addr, m->len);
            mapping_forget(m);
        }
    }
    lock_drop();
    return rc;
}

/* Puts memory of the program's own, with the content of now, into the place of a mapping. */
static int mapping_detach(struct mapping *m)
{
    char *copy = sys_mmap(NULL, m->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (copy == MAP_FAILED)
        return -errno;
    if (!(m->prot & PROT_READ))
        syscall(SYS_mprotect, m->addr, m->shared_len, PROT_READ);
    memcpy(copy, m->addr, m->shared_len);
    if (syscall(SYS_mremap, copy, m->len, m->len, MREMAP_MAYMOVE | MREMAP_FIXED, m->addr) < 0) {
        int err = -errno;

        sys_munmap(copy, m->len);
        return err;
    }
    mapping_forget(m);
    return 0;
}

int shm_client_protect(void *addr, size_t len, int prot)
{
    struct mapping *m, *next;
    int rc = 0;

    len = pages_len(len);
    lock_take();
    for (m = mappings; m != NULL && rc == 0; m = next) {
        size_t first, n = overlap_of(m, addr, len, &first);

        next = m->next;
        if (n == 0)
            continue;
        if (n < m->len)
            rc = -ENOMEM;
        else if (m->private && prot & PROT_WRITE)
            rc = mapping_detach(m);
        else
            m->prot = prot;
    }
    if (rc == 0 && syscall(SYS_mprotect, addr, len, prot) != 0)
        rc = -errno;
    lock_drop();
    return rc;
}

/* The allocation behind a token, mapped as a whole. */
static int allocation_view(int fd, struct allocation **out)
{
    struct allocation *a;
    struct stat st;
    int rc = 0;

    if (fstat(fd, &st) != 0)
        return -errno;
    a = allocation_find(&st);
    if (a == NULL)
        rc = allocation_new(SHM_OPEN, fd, &a);
    if (rc == 0 && a->view == NULL && !held_good(&mem))
        rc = client_connect();
    if (rc == 0 && a->view == NULL)
        rc = pages_map(&a->view, a->page, a->nr_pages * SHM_PAGE_SIZE, PROT_READ | PROT_WRITE, 0);
    *out = a;
    return rc;
}

ssize_t shm_client_copy(int fd, off_t offset, void *buf, size_t len, bool to_file)
{
    int mode = fcntl(fd, F_GETFL);
    struct allocation *a = NULL;
    ssize_t rc;

    if (mode < 0 || (mode & O_ACCMODE) == (to_file ? O_RDONLY : O_WRONLY))
        return -EBADF;
    if (offset < 0)
        return -EINVAL;
    pthread_once(&fork_once, fork_init);
    lock_take();
    rc = allocation_view(fd, &a);
    if (rc == 0 && a != NULL) {
        uint64_t end = a->nr_pages * SHM_PAGE_SIZE, at = (uint64_t)offset;
        size_t part = at < end ? (size_t)(len < end - at ? len : end - at) : 0;

        if (part > 0 && to_file && buf == NULL)
            memset(a->view + at, 0, part);
        else if (part > 0)
            memcpy(to_file ? a->view + at : buf, to_file ? buf : a->view + at, part);
        /* It is sealed against growing. */
        rc = part == 0 && to_file && len > 0 ? -EPERM : (ssize_t)part;
    }
    lock_drop();
    return rc;
}

/* ---- fork ------------------------------------------------------------------------------------------ */

static void fork_prepare(void)
{
    lock_take();
    if (allocations == NULL || pipe2(fork_pipe, O_CLOEXEC) != 0)
        fork_pipe[0] = fork_pipe[1] = -1;
}

/* Waits until the child says, by closing its end, that it has what it needs. */
static void fork_parent(void)
{
    struct pollfd end = {.fd = fork_pipe[0], .events = POLLIN};
    int saved = errno;

    if (fork_pipe[0] >= 0) {
        sys_close(fork_pipe[1]);
        while (poll(&end, 1, REPLY_SECONDS * 1000) < 0 && errno == EINTR)
            continue;
        sys_close(fork_pipe[0]);
    }
    lock_drop();
    errno = saved;
}

/* Holds the places of the mappings, which are holes now, against our own mmaps. */
static void child_reserve(void)
{
    for (struct mapping *m = mappings; m != NULL; m = m->next)
        sys_mmap(m->addr, m->len, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

static void fork_child(void)
{
    int saved = errno;

    owner = getpid();
    if (allocations != NULL) {
        child_reserve();
        if (held_good(&sock)) /* the parent's */
            sys_close(sock.fd);
        sock.fd = -1;
        for (struct allocation *a = allocations; a != NULL; a = a->next) {
            struct shm_reply reply;

            a->id = request(SHM_OPEN, 0, a->token, &reply) == 0 ? reply.id : 0;
            if (a->view != NULL && how.access == SHM_ACCESS_MMAP)
                sys_munmap(a->view, a->nr_pages * SHM_PAGE_SIZE);
            a->view = NULL;
        }
        for (struct mapping *m = mappings; m != NULL; m = m->next)
            if (m->a->id != 0)
                mapping_place(m, MAP_FIXED);
    }
    if (fork_pipe[0] >= 0) {
        sys_close(fork_pipe[0]);
        sys_close(fork_pipe[1]);
    }
    lock_drop();
    errno = saved;
}
