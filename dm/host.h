/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * host.h - what the device model asks about this host. A confined process sees no file system and asks
 * through its hypervisor (hypervisor_ops.host), another looks for itself. Used by shm_server.c, shm_pool.c,
 * placement_device.c, control_list.c, device.c and devices.c.
 */
#ifndef VHOST_DM_HOST_H
#define VHOST_DM_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hypervisor;

struct host_ops {
    uint64_t (*process_start)(struct hypervisor *hv, int fd);
    bool (*process_name)(struct hypervisor *hv, int fd, char *name, size_t len);
    bool (*file_name)(struct hypervisor *hv, int fd, char *name, size_t len);
    int (*device_memory)(struct hypervisor *hv, int fd, uint64_t offset, uint64_t len, uint64_t *addr);
    int (*socket_known)(struct hypervisor *hv, const char *path);
    int (*socket_connect)(struct hypervisor *hv, const char *path);
    int (*device_grant)(struct hypervisor *hv, const char *text);
    int (*devices_list)(struct hypervisor *hv, const char *const *lines, size_t nr);
};

/* Of the process at the other end of a socket (process_of_peer of common/process.h), as no other is a
 * confined process's business: process_start_time, process_command of the same. */
uint64_t host_process_start(struct hypervisor *hv, int fd);
bool host_process_name(struct hypervisor *hv, int fd, char *name, size_t len);
/* The name by which the kernel knows an open file (/proc/self/fd), cut to len bytes with the NUL. */
bool host_file_name(struct hypervisor *hv, int fd, char *name, size_t len);
/* device_memory_find of dm/device_memory.h. */
int host_device_memory(struct hypervisor *hv, int fd, uint64_t offset, uint64_t len, uint64_t *addr);

/* Whether the guest may have a device with a back-end's socket there: 0 or -EPERM. What is in the saved state
 * was written by a predecessor that may have been taken over. */
int host_socket_known(struct hypervisor *hv, const char *path);
/* Connects to it and does not wait: the fd, or a negative errno as vhost_user_channel_connect. */
int host_socket_connect(struct hypervisor *hv, const char *path);
/* One more device, as for --device, is to be the guest's: 0; -EPERM: this process is confined, and root has
 * not said so to the process that acts for it; or another negative errno. */
int host_device_grant(struct hypervisor *hv, const char *text);
/* Brings the list of devices up to date (devices_list.h), if the hypervisor has one: these devices, as
 * for --device. 0, -ENOENT: there is no list; or another negative errno. */
int host_devices_list(struct hypervisor *hv, const char *const *lines, size_t nr);

/* The same by this process itself: for who is not confined. */
bool host_own_file_name(int fd, char *name, size_t len);

#endif
