// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * notify.c - see notify.h.
 */
#include "common/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

static int prepared = -1; /* connected, until a message has been sent */

/* The fd; -1 without a service manager, or when it cannot be reached, which is logged. */
static int manager_connect(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = path != NULL ? strlen(path) : 0;
    int fd;

    if (len < 2 || len >= sizeof(addr.sun_path) || (path[0] != '/' && path[0] != '@'))
        return -1;
    memcpy(addr.sun_path, path, len);
    if (path[0] == '@')
        addr.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&addr,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == 0)
        return fd;
    log_warning("the service manager cannot be reached at %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

void notify_prepare(void)
{
    if (prepared < 0)
        prepared = manager_connect();
}

void notify_service_manager(const char *message)
{
    notify_prepare();
    if (prepared < 0)
        return;
    if (send(prepared, message, strlen(message), MSG_NOSIGNAL) < 0)
        log_warning("'%s' could not be told to the service manager: %s", message, strerror(errno));
    close(prepared);
    prepared = -1;
}
