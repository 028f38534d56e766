/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost_user_channel.h - one AF_UNIX stream socket that carries vhost-user messages and their fds, in both
 * directions. The socket never blocks: an event loop asks vhost_user_channel_fd what to watch and calls
 * receive and flush; tests and tools use the _wait functions, which poll with a time limit. Used by the
 * front-end (both its channels) and by test back-ends.
 *
 * It owns the socket, what has arrived of an incomplete message, and copies of messages that could not be
 * sent yet. It knows framing (sizes, version, fds), not the meaning of messages. An error is final: every
 * later call returns it again.
 */
#ifndef VHOST_DM_VHOST_USER_CHANNEL_H
#define VHOST_DM_VHOST_USER_CHANNEL_H

#include <stdbool.h>

#include "common/vhost_user.h"

/* Messages that may wait to be sent; more are refused with -ENOBUFS. */
#define VHOST_USER_CHANNEL_MAX_QUEUED 64

struct vhost_user_channel;

/*
 * Makes a channel of a connected stream socket, which it owns from then on (on an error it is left to the
 * caller). requester: whose requests it carries; name: for traces, copied. 0 or -ENOMEM, or the errno of
 * fcntl().
 */
int vhost_user_channel_new(struct vhost_user_channel **out, int fd, enum vhost_user_side requester,
                           const char *name);

/*
 * Connects to the socket at path and makes a main channel of it; does not wait. 0, or: -ENAMETOOLONG;
 * -EAGAIN: somebody listens there, but too many wait to be accepted, and the kernel has no event for the end
 * of that: try again later; -ENOENT, -ECONNREFUSED, -EACCES and others of connect().
 */
int vhost_user_channel_connect(struct vhost_user_channel **out, const char *path, const char *name);
/* The first half of that: the fd of the socket, which does not block, or a negative errno as above. */
int vhost_user_socket_connect(const char *path);
/* As vhost_user_channel_connect, but waits up to timeout_ms for a place in the queue of the listener:
 * -ETIMEDOUT. */
int vhost_user_channel_connect_wait(struct vhost_user_channel **out, const char *path, const char *name,
                                    int timeout_ms);

/* Closes the socket and all fds that were received or copied and not handed out. NULL is allowed. */
void vhost_user_channel_free(struct vhost_user_channel *channel);

/* The socket, to be watched for reading, and for writing while vhost_user_channel_pending. */
int vhost_user_channel_fd(const struct vhost_user_channel *channel);
/* How many messages wait to be sent. */
unsigned vhost_user_channel_pending(const struct vhost_user_channel *channel);

/*
 * Sends a message, or as much as the socket takes and the rest at the next flush. msg stays the caller's, its
 * fds too: they are duplicated if they must wait, and may be closed when this returns. 0; -ENOBUFS: too many
 * wait already, -EMFILE, -ENFILE or -ENOMEM: the message could not be copied; nothing of it was sent and the
 * channel still works; -EINVAL: larger or with more fds than a message can be; other negative errno
 * (-ECONNRESET when the peer is gone): the channel is finished.
 */
int vhost_user_channel_send(struct vhost_user_channel *channel, const struct vhost_user_msg *msg);
/* Sends what waits. 0: nothing is left; -EAGAIN: the socket is full; other negative errno: finished. */
int vhost_user_channel_flush(struct vhost_user_channel *channel);

/*
 * Takes one message that has arrived wholly. msg's fds are the caller's then. 1: there was one; 0: not yet;
 * -ECONNRESET: the peer has closed; -EPROTO: it broke the framing; other negative errno of recvmsg().
 */
int vhost_user_channel_receive(struct vhost_user_channel *channel, struct vhost_user_msg *msg);

/* As send and flush until all is sent, for at most timeout_ms: 0, -ETIMEDOUT, or as send. */
int vhost_user_channel_send_wait(struct vhost_user_channel *channel, const struct vhost_user_msg *msg,
                                 int timeout_ms);
/* Waits at most timeout_ms for one message: 0, -ETIMEDOUT, or as receive. */
int vhost_user_channel_receive_wait(struct vhost_user_channel *channel, struct vhost_user_msg *msg,
                                    int timeout_ms);

/* Why the channel is finished, for people; "" while it works. Never NULL. */
const char *vhost_user_channel_error(const struct vhost_user_channel *channel);

#endif
