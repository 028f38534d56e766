// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kept.c - see kept.h.
 */
#include "xen/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/process.h"
#include "common/util.h"

#define MAGIC   "vdm-kept"
#define VERSION 1
/* Of the process before: a request may take that long, of which it does one more. */
#define PREDECESSOR_MS 30000
#define OPEN_TRIES     8

/* With another boot of this host all of Xen is new. "": that cannot be told. */
static void boot_read(char boot[40])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    memset(boot, 0, 40);
    if (fd < 0)
        return;
    if (read(fd, boot, 36) != 36)
        memset(boot, 0, 40);
    close(fd);
}

/* Whether its last process has ended, or ends soon. */
static bool predecessor_ended(const struct kept *kept)
{
    struct pollfd pfd = {.events = POLLIN};
    pid_t pid = kept->pid;
    int n;

    if (pid <= 0 || pid == getpid() || process_start_time(pid) != kept->pid_start)
        return true;
    pfd.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pfd.fd < 0)
        return errno == ESRCH;
    do
        n = poll(&pfd, 1, PREDECESSOR_MS);
    while (n < 0 && errno == EINTR);
    close(pfd.fd);
    return n > 0 || process_start_time(pid) != kept->pid_start;
}

static int file_map(struct kept **out, int fd, struct stat *st)
{
    void *map;
    int err;

    if (fstat(fd, st) < 0)
        return -errno;
    if (!S_ISREG(st->st_mode) || st->st_uid != geteuid())
        return -EPERM;
    /* One that is cut, or has holes. */
    do
        err = posix_fallocate(fd, 0, sizeof(struct kept));
    while (err == EINTR);
    if (err != 0)
        return -err;
    map = mmap(NULL, sizeof(struct kept), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    *out = map;
    return 0;
}

/* Whether the path still leads to the file: a process that ends removes it if it says nothing. */
static bool path_leads_to(const char *path, const struct stat *st)
{
    struct stat now;

    return lstat(path, &now) == 0 && now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

/* One try: -EAGAIN: the file was removed meanwhile. */
static int open_once(struct kept **out, const char *path, const uint8_t uuid[16])
{
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600), rc;
    struct kept fresh = {.pid = 0}, *kept = NULL;
    struct stat st;

    if (fd < 0)
        return -errno;
    rc = file_map(&kept, fd, &st);
    close(fd);
    if (rc < 0)
        return rc;
    memcpy(fresh.magic, MAGIC, sizeof(fresh.magic));
    memcpy(fresh.uuid, uuid, sizeof(fresh.uuid));
    boot_read(fresh.boot);
    if (memcmp(kept->magic, fresh.magic, sizeof(fresh.magic)) != 0 || kept->version != VERSION ||
        memcmp(kept->uuid, fresh.uuid, sizeof(fresh.uuid)) != 0 ||
        memcmp(kept->boot, fresh.boot, sizeof(fresh.boot)) != 0) {
        kept->version = 0;
        *kept = fresh;
        kept->version = VERSION;
    } else if (!predecessor_ended(kept)) {
        rc = -EBUSY;
    }
    if (rc == 0 && !path_leads_to(path, &st))
        rc = -EAGAIN;
    if (rc < 0) {
        kept_close(kept);
        return rc;
    }
    kept->pid = getpid();
    kept->pid_start = process_start_time(getpid());
    *out = kept;
    return 0;
}

int kept_open(struct kept **out, const char *path, const uint8_t uuid[16])
{
    int rc = -EAGAIN;

    for (int i = 0; i < OPEN_TRIES && rc == -EAGAIN; i++)
        rc = open_once(out, path, uuid);
    return rc;
}

bool kept_says_nothing(const struct kept *kept)
{
    if (kept->pauses > 0 || kept->table_pages > 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(kept->limits); i++)
        if (kept->limits[i].own_pages > 0)
            return false;
    for (size_t i = 0; i < ARRAY_SIZE(kept->devices); i++)
        if (kept->devices[i].flags != 0)
            return false;
    return true;
}

void kept_close(struct kept *kept)
{
    if (kept)
        munmap(kept, sizeof(*kept));
}
