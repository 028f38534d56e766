// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * unix_listen.c - see unix_listen.h.
 */
#include "common/unix_listen.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int unix_listen(const char *path, int type, int backlog)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    mode_t mask;
    int fd, rc;

    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    unlink(path);
    mask = umask(0177);
    rc = bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 ? 0 : -errno;
    umask(mask);
    if (rc == 0 && listen(fd, backlog) == 0)
        return fd;
    if (rc == 0) {
        rc = -errno;
        unlink(path);
    }
    close(fd);
    return rc;
}
