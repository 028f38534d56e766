/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * confine.h - gives up what a process that serves one guest does not need: its user, its file system, new
 * privileges, other processes, and every system call that is not on a list. Used by main(), once, after
 * everything has been opened and before the guest runs.
 */
#ifndef VHOST_DM_CONFINE_H
#define VHOST_DM_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct confine_options {
    uid_t user;         /* also the group; not 0 */
    const char *folder; /* an existing one, over which the empty root is mounted (for us alone) */
};

/* Whether all of it can be done: not with sanitizers, which look at the whole process at its end. */
bool confine_complete(void);

/* 0; or negative errno and why, for people: then some of it may have been done, and the process is to end. */
int confine(const struct confine_options *options, char *why, size_t why_len);

#endif
