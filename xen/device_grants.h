/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_grants.h - which devices a guest may have, by the sockets of their back-ends: those that vhost-dm
 * was started with, and those that root has added since, which are remembered in a file for a vhost-dm that
 * is started again. vhost-dm's own saved state is not believed in this, as whoever takes it over can write
 * there. Used by privileged.c.
 */
#ifndef VHOST_DM_XEN_DEVICE_GRANTS_H
#define VHOST_DM_XEN_DEVICE_GRANTS_H

#include <stddef.h>
#include <stdint.h>

struct device_grants;

/* path: of the file; copied; one of another guest (uuid) is removed. 0 or -ENOMEM. */
int device_grants_new(struct device_grants **out, const char *path, const uint8_t uuid[16]);
/* NULL is allowed. */
void device_grants_free(struct device_grants *grants);

/* The guest may have a device from now on: text as for --device. 0; -EINVAL: it has no socket=, or is not
 * text; -ENOSPC; -ENOMEM. */
int device_grants_add(struct device_grants *grants, const char *text);
/* The same, and it is written into the file, too, unless it was the last. Also what went wrong with that. */
int device_grants_add_kept(struct device_grants *grants, const char *text);

/* The value of socket= in a list KEY=VALUE,...; *len: its length in bytes. NULL: there is none. */
const char *device_grants_socket(const char *text, size_t *len);

/* The text of the device with that socket, the last one of several. NULL: the guest may not have it. */
const char *device_grants_find(const struct device_grants *grants, const char *socket);
/* The same for a device that is there with that text, which is not the last one of its socket when another
 * was granted since and could not be added. */
const char *device_grants_find_text(const struct device_grants *grants, const char *text);

#endif
