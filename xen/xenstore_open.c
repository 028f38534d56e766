// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * xenstore_open.c - see xenstore_open.h. That xenstored has ended is told by a second connection, on which
 * nothing is ever said: a thread of libxenstore's reads the first one, and keeps the end of it to itself.
 */
#include "xen/xenstore_open.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <xenstore.h>
#include <xenstore_lib.h>

/* -1, with errno: ENOENT where there is no socket. */
static int socket_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, error;

    if (path == NULL || strlen(path) >= sizeof(address.sun_path)) {
        errno = ENOENT;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

struct xs_handle *xenstore_open(int *alive)
{
    int fd = socket_connect(xs_daemon_socket());
    struct xs_handle *xs;

    /* (The socket's file stays when xenstored is killed.) */
    if (fd < 0 && errno == ECONNREFUSED)
        return NULL;
    xs = xs_open(0);
    if (xs != NULL && alive != NULL) {
        *alive = fd;
    } else if (fd >= 0) {
        int error = errno;

        close(fd);
        errno = error;
    }
    return xs;
}
