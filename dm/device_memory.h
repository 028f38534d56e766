/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_memory.h - where in host-physical memory the device memory behind an fd lies: a PCI device's
 * resource file in sysfs, or a device-dax. Used by host.c, and by the Xen
 * implementation for a process that sees no file system.
 */
#ifndef VHOST_DM_DEVICE_MEMORY_H
#define VHOST_DM_DEVICE_MEMORY_H

#include <stdint.h>

/*
 * The host-physical address of [offset, offset + len) of fd, which is borrowed. 0; -ENODEV: it is
 * nothing of the kind; -EINVAL: not at a page; -ERANGE: not so long; -EPERM: not proven not to be ordinary
 * memory.
 */
int device_memory_find(int fd, uint64_t offset, uint64_t len, uint64_t *addr);
/* What such an error means, for people. */
const char *device_memory_why(int rc);

#endif
