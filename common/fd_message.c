// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fd_message.c - see fd_message.h.
 */
#include "common/fd_message.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int fd_message_send(int sock, const void *data, size_t len, int fd, int flags)
{
    union control control = {.bytes = {0}};
    struct iovec iov = {(void *)(uintptr_t)data, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (fd >= 0) {
        struct cmsghdr *cmsg;

        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
    }
    do
        n = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EMSGSIZE;
}

/* The fd of a received message, or -1. False: there were more, which are closed. For some there is room
 * behind the one that is asked for, as the kernel aligns; what does not fit at all it closes by itself. */
static bool message_fd(struct msghdr *msg, int *fd)
{
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
    size_t nr;

    *fd = -1;
    if (cmsg == NULL || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
        return true;
    nr = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < nr; i++) {
        memcpy(fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(*fd));
        if (nr > 1)
            close(*fd);
    }
    if (nr > 1)
        *fd = -1;
    return nr <= 1;
}

int fd_message_receive(int sock, void *data, size_t len, int *fd, int flags)
{
    union control control;
    struct iovec iov = {data, len};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    bool one;
    ssize_t n;

    *fd = -1;
    do
        n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    one = message_fd(&msg, fd);
    if (one && n == (ssize_t)len && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return 0;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    if (n == (ssize_t)len && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == MSG_CTRUNC && one)
        return -EMFILE;
    return n == 0 ? -EPIPE : -EPROTO;
}
