/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * process.h - tells a process from others that have had or will have its pid. Used by whoever remembers a
 * process beyond its own life: dm/host.c, dmd/child.c, xen/holder_keeper.c.
 */
#ifndef VHOST_DM_PROCESS_H
#define VHOST_DM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* When it was started, in clock ticks since the boot of this host: field 22 of /proc/PID/stat (proc(5)). 0:
 * there is no such process. */
uint64_t process_start_time(pid_t pid);
/* The name of a process as the kernel tells it (/proc/PID/comm), with '?' for what is not ASCII, cut to len
 * bytes with the NUL. False, and "": there is no such process. */
bool process_command(pid_t pid, char *name, size_t len);
/* The process that a connected Unix socket was connected by, or that listened there (SO_PEERCRED of unix(7)).
 * 0: it is none, or that cannot be told. */
pid_t process_of_peer(int fd);

#endif
