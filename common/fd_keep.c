// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fd_keep.c - see fd_keep.h.
 */
#include "common/fd_keep.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Fds are given out from the lowest number: those of the last quarter are for everybody else. */
int fd_keep_own(int fd)
{
    struct rlimit limit;

    if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0 || (rlim_t)fd < limit.rlim_cur - limit.rlim_cur / 4)
        return fd;
    close(fd);
    return -EMFILE;
}

int fd_keep(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    return copy < 0 ? -EMFILE : fd_keep_own(copy);
}
