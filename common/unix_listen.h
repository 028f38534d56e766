/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unix_listen.h - a socket at a path, for the user that we are. Used by dm/control.c, dm/shm_server.c and
 * xen/broker.c; owns nothing.
 */
#ifndef VHOST_DM_UNIX_LISTEN_H
#define VHOST_DM_UNIX_LISTEN_H

/* Listens at path, from which whatever is there is removed: the caller knows that nobody listens there any
 * more. type: SOCK_STREAM or SOCK_SEQPACKET; backlog as of listen(2). The fd, the caller's, which does not
 * block; or -ENAMETOOLONG and others of socket(), bind() and listen(): then nothing of ours is at path. */
int unix_listen(const char *path, int type, int backlog);

#endif
