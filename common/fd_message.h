/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fd_message.h - datagrams of one fixed size between processes of this host, with one file descriptor or
 * none. Whatever the other side sends, no descriptor is left open unseen. Used by dm/shm_server.c and
 * xen/broker.c.
 */
#ifndef VHOST_DM_FD_MESSAGE_H
#define VHOST_DM_FD_MESSAGE_H

#include <stddef.h>

/* Sends len bytes, and fd (borrowed) unless it is -1, through a SOCK_SEQPACKET socket. flags: of sendmsg(2),
 * MSG_NOSIGNAL is added. 0 or negative errno. */
int fd_message_send(int sock, const void *data, size_t len, int fd, int flags);

/*
 * Receives len bytes; *fd: the caller's, or -1. flags: of recvmsg(2), MSG_CMSG_CLOEXEC is added. 0; -EAGAIN:
 * nothing there yet; -EPIPE: the other side has ended; -EPROTO: it was longer or shorter, or had more than
 * one descriptor, which are closed; -EMFILE: the data is there, but there was no place for its descriptor,
 * which is closed; or another negative errno.
 */
int fd_message_receive(int sock, void *data, size_t len, int *fd, int flags);

#endif
