// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * host.c - see host.h.
 */
#include "dm/host.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/process.h"
#include "common/vhost_user_channel.h"
#include "dm/device_memory.h"
#include "dm/hypervisor.h"

bool host_own_file_name(int fd, char *name, size_t len)
{
    char path[64];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink(path, name, len - 1);
    name[n < 0 ? 0 : n] = '\0';
    return n >= 0;
}

uint64_t host_process_start(struct hypervisor *hv, int fd)
{
    return hv != NULL && hv->ops->host != NULL ? hv->ops->host->process_start(hv, fd)
                                               : process_start_time(process_of_peer(fd));
}

bool host_process_name(struct hypervisor *hv, int fd, char *name, size_t len)
{
    return hv != NULL && hv->ops->host != NULL ? hv->ops->host->process_name(hv, fd, name, len)
                                               : process_command(process_of_peer(fd), name, len);
}

bool host_file_name(struct hypervisor *hv, int fd, char *name, size_t len)
{
    return hv != NULL && hv->ops->host != NULL ? hv->ops->host->file_name(hv, fd, name, len)
                                               : host_own_file_name(fd, name, len);
}

int host_device_memory(struct hypervisor *hv, int fd, uint64_t offset, uint64_t len, uint64_t *addr)
{
    return hv != NULL && hv->ops->host != NULL ? hv->ops->host->device_memory(hv, fd, offset, len, addr)
                                               : device_memory_find(fd, offset, len, addr);
}

int host_socket_known(struct hypervisor *hv, const char *path)
{
    return hv != NULL && hv->ops->host != NULL ? hv->ops->host->socket_known(hv, path) : 0;
}

int host_socket_connect(struct hypervisor *hv, const char *path)
{
    return hv != NULL && hv->ops->host != NULL ? hv->ops->host->socket_connect(hv, path)
                                               : vhost_user_socket_connect(path);
}

int host_device_grant(struct hypervisor *hv, const char *text)
{
    return hv != NULL && hv->ops->host != NULL ? hv->ops->host->device_grant(hv, text) : 0;
}

int host_devices_list(struct hypervisor *hv, const char *const *lines, size_t nr)
{
    return hv != NULL && hv->ops->host != NULL ? hv->ops->host->devices_list(hv, lines, nr) : -ENOENT;
}
