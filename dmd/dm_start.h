/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dm_start.h - starts a guest's vhost-dm as a process of its own, which outlives the caller, and waits until
 * the guest's devices are there. Used by vhost-dm-qemu.
 */
#ifndef VHOST_DM_DMD_DM_START_H
#define VHOST_DM_DMD_DM_START_H

#include <stddef.h>
#include <stdint.h>

struct dm_start {
    const char *program, *state_dir;
    const char *confine; /* of --confine; NULL: its own default */
    uint16_t domid;
    const char *const *devices; /* values of --device */
    size_t nr_devices;
    int seconds; /* to wait for it at most */
};

/*
 * Its messages go to our standard error, it has no other descriptor of ours, and a session of its own; it is
 * not our child. 0: it is ready; -ETIMEDOUT: it was not in time, and has been told to end; -ECHILD: it ended,
 * and has said why; another negative errno: it could not be started.
 */
int dm_start(const struct dm_start *start);

#endif
