/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control.h - the control socket of a vhost-dm, by which vhost-dmctl looks at it and changes which devices
 * the guest has: a stream socket, one JSON object a line in each direction. See docs/vhost-dmctl.8 for what
 * people see of it, and docs/control.md for the commands. Made by main() (or a test).
 *
 *   control.c          the socket, the connections, their lines
 *   control_command.c  what a line asks for
 *   control_list.c     the answer to "list"
 *   control_regions.c  the answer to "regions"
 *   control_trace.c    messages as they are logged
 *
 * Only root is heard. Nothing here blocks the event loop: answers are bounded and are sent as far as the
 * socket takes them, and who does not take them is dropped.
 */
#ifndef VHOST_DM_CONTROL_H
#define VHOST_DM_CONTROL_H

#include "config.h"

#include <errno.h>

struct control;
struct devices;
struct guest;

#define CONTROL_MAX_CLIENTS 16
#define CONTROL_MAX_LINE    4096 /* bytes of a request */

#ifdef HAVE_JSON
/* Listens at path, where whatever was there is replaced. guest and devices are borrowed until control_free.
 * 0, or negative errno. */
int control_new(struct control **out, struct guest *guest, struct devices *devices, const char *path);
/* Ends all connections, removes the socket. NULL is allowed. */
void control_free(struct control *control);
#else
static inline int control_new(struct control **out, struct guest *guest, struct devices *devices,
                              const char *path)
{
    (void)out;
    (void)guest;
    (void)devices;
    (void)path;
    return -ENOTSUP;
}

static inline void control_free(struct control *control)
{
    (void)control;
}
#endif

#endif
